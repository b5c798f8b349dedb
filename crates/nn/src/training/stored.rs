//! Reading the activations of a batch, done or pending.

use super::StepState;
use crate::buffer::Buffer;
use crate::graph::ValueId;
use crate::plan::{Plan, Storage};
use crate::view::View;

/// The stored values of the examples of a batch.
#[derive(Clone, Copy)]
pub(super) struct StoredValues<'a> {
    pub(super) plan: &'a Plan,
    pub(super) storage: &'a [Storage],
    /// By [`ValueId`].
    pub(super) values: &'a [Buffer],
    /// At least the steps that have made the values asked for.
    pub(super) states: &'a [StepState],
    /// Examples in the batch.
    pub(super) n: usize,
}

impl<'a> StoredValues<'a> {
    /// A value with what its readers have to do to it.
    pub(super) fn view(&self, id: ValueId) -> View<'a> {
        let Storage::Pending { step, buffer } = self.storage[id] else {
            return View::plain(self.stored(id));
        };
        let StepState::Block(state) = &self.states[step] else {
            unreachable!("only blocks leave values pending");
        };
        let pending = state
            .pending_activation()
            .expect("a block that leaves its value pending");
        View {
            values: self.stored(buffer),
            pending,
        }
    }

    /// What a buffer holds.
    pub(super) fn stored(&self, id: ValueId) -> &'a [f32] {
        let len = self.n * self.plan.shapes[id].n_values();
        self.values[id].get(..len).unwrap_or_default()
    }
}
