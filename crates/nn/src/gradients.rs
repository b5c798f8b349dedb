//! Buffers for the gradients of activations, shared by values that are never alive together.

use crate::buffer::Buffer;
use crate::graph::ValueId;
use crate::kernels::Kernels;
use crate::layers::Arrival;
use crate::plan::{Plan, StepOperation};
use crate::sharing::Sharing;

/// The gradients of activations during a backward pass.
#[derive(Debug)]
pub(crate) struct Gradients {
    /// The buffer of each value whose gradient is needed.
    slots: Vec<Option<usize>>,
    buffers: Vec<Buffer>,
    /// Whether a value's gradient has its first contribution.
    arrived: Vec<bool>,
}

impl Gradients {
    /// Shares out buffers for batches of up to `max_batch` examples.
    pub(crate) fn new(plan: &Plan, max_batch: usize) -> Self {
        let needed = plan.needs_gradient();
        let mut sharing = Sharing::default();
        let mut slots = vec![None; plan.shapes.len()];
        let size = |id: ValueId| max_batch * plan.shapes[id].n_values();
        if needed[plan.output] {
            slots[plan.output] = Some(sharing.borrow(size(plan.output)));
        }
        for step in plan.steps.iter().rev() {
            let Some(slot) = slots[step.output] else {
                continue;
            };
            let is_add = matches!(step.operation, StepOperation::Add { .. });
            for input in step.inputs() {
                if !needed[input] || slots[input].is_some() {
                    continue;
                }
                // A sum's gradient is that of its first term, where it already lies.
                let same = is_add && input == step.input;
                slots[input] = Some(if same {
                    slot
                } else {
                    sharing.borrow(size(input))
                });
            }
            if slots[step.input] != Some(slot) {
                sharing.give_back(slot);
            }
        }
        let buffers = sharing.allocate();
        Self {
            arrived: vec![false; slots.len()],
            slots,
            buffers,
        }
    }

    /// Begins a backward pass with the gradient of the network's result.
    pub(crate) fn start(&mut self, output: ValueId, gradient: &[f32]) {
        self.arrived.fill(false);
        if let Some(slot) = self.slots[output] {
            self.buffers[slot][..gradient.len()].copy_from_slice(gradient);
            self.arrived[output] = true;
        }
    }

    pub(crate) fn is_needed(&self, id: ValueId) -> bool {
        self.slots[id].is_some()
    }

    /// Takes out the buffer of a value whose gradient is complete.
    pub(crate) fn take(&mut self, id: ValueId) -> Buffer {
        self.slots[id]
            .map(|slot| std::mem::take(&mut self.buffers[slot]))
            .unwrap_or_default()
    }

    /// Takes out the buffer of a value that a contribution is about to reach, if it is needed.
    pub(crate) fn take_for_arrival(&mut self, id: ValueId) -> Option<(Buffer, Arrival)> {
        let slot = self.slots[id]?;
        let arrival = if self.arrived[id] {
            Arrival::Joins
        } else {
            Arrival::First
        };
        self.arrived[id] = true;
        Some((std::mem::take(&mut self.buffers[slot]), arrival))
    }

    pub(crate) fn put_back(&mut self, id: ValueId, buffer: Buffer) {
        if let Some(slot) = self.slots[id] {
            self.buffers[slot] = buffer;
        }
    }

    /// Notes that a value's gradient is already in its buffer.
    pub(crate) fn mark_arrived(&mut self, id: ValueId) {
        self.arrived[id] = true;
    }

    /// Contributes to the gradient of a value, if it is needed.
    pub(crate) fn add(&mut self, id: ValueId, gradient: &[f32], kernels: &Kernels) {
        if let Some((mut buffer, arrival)) = self.take_for_arrival(id) {
            let sum = &mut buffer[..gradient.len()];
            match arrival {
                Arrival::First => sum.copy_from_slice(gradient),
                Arrival::Joins => kernels.accumulate(gradient, sum),
            }
            self.put_back(id, buffer);
        }
    }
}
