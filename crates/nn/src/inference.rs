//! The workspace of inference.
//!
//! Batch-norms are folded into the weights of the convolutions before them. Without
//! batch statistics nothing joins the images of a batch, so each goes through the
//! network on its own, in buffers small enough for the cache. Only when vectors are
//! left, whose layers have more weights than values, do the images come together.

mod chain;
mod folded;

use std::ops::Range;
use std::sync::{Mutex, PoisonError};

use rayon::prelude::*;

use chain::Chain;
use folded::{FoldedStep, Inputs};

use crate::buffer::Buffer;
use crate::graph::ValueId;
use crate::kernels::Kernels;
use crate::network::Revision;
use crate::plan::{Plan, StepOperation};
use crate::pool::in_pool;
use crate::scratch::ScratchPool;
use crate::sharing::Sharing;
use crate::{Network, Shape};

/// Everything that running a network needs beside the weights, allocated once.
///
/// Weights are taken over when they have changed since the last call.
#[derive(Debug)]
pub struct Inference {
    plan: Plan,
    steps: Vec<FoldedStep>,
    revision: Option<Revision>,
    max_batch: usize,
    /// The steps before this one run image by image.
    n_image_steps: usize,
    /// Those steps, cut into what runs together.
    units: Vec<Range<usize>>,
    images: ImageBuffers,
    /// What the image steps give, for the whole batch.
    middle: Buffer,
    /// By [`ValueId`], for the whole batch; empty for values within the image steps.
    values: Vec<Buffer>,
    scratch: ScratchPool,
}

/// Buffers for the values of one image, as many sets as threads ever work at once.
#[derive(Debug)]
struct ImageBuffers {
    /// The buffer of each value within the image steps.
    slots: Vec<Option<usize>>,
    sharing: Sharing,
    idle: Mutex<Vec<Vec<Buffer>>>,
}

impl Inference {
    /// A workspace for batches of up to `max_batch` examples.
    pub fn new(network: &Network, max_batch: usize) -> Self {
        Self::with_kernels(Kernels::best(), network, max_batch)
    }

    pub(crate) fn with_kernels(
        kernels: &'static Kernels,
        network: &Network,
        max_batch: usize,
    ) -> Self {
        let plan = Plan::new(&network.graph);
        let n_image_steps = n_image_steps(&plan);
        let steps = plan
            .steps
            .iter()
            .map(|step| FoldedStep::new(kernels, &plan, step))
            .collect();
        let mut values = vec![Buffer::default(); plan.shapes.len()];
        for step in &plan.steps[n_image_steps..] {
            values[step.output] = Buffer::zeros(max_batch * plan.shapes[step.output].n_values());
        }
        let middle = plan.shapes[middle_value(&plan, n_image_steps)];
        let units = chain::cut(kernels, &plan, 0..n_image_steps);
        let mut workspace = Self {
            images: ImageBuffers::new(&plan, &units),
            units,
            middle: Buffer::zeros(max_batch * middle.n_values()),
            plan,
            steps,
            revision: None,
            max_batch,
            n_image_steps,
            values,
            scratch: ScratchPool::default(),
        };
        workspace.take_over(network);
        workspace
    }

    /// Folds the weights of a network, unless they are those of the last call.
    fn take_over(&mut self, network: &Network) {
        if self.revision == Some(network.revision()) {
            return;
        }
        assert_eq!(
            self.plan.shapes, network.graph.values,
            "a workspace of this architecture"
        );
        for (step, folded) in self.plan.steps.iter().zip(&mut self.steps) {
            folded.take_over(step, network);
        }
        self.revision = Some(network.revision());
    }

    pub(crate) fn forward(&mut self, network: &Network, batch: &[f32], n: usize) -> &[f32] {
        assert!(
            n <= self.max_batch,
            "{n} examples, at most {}",
            self.max_batch
        );
        assert_eq!(
            batch.len(),
            n * self.plan.shapes[0].n_values(),
            "{n} whole examples"
        );
        self.take_over(network);
        let output_len = n * self.plan.shapes[self.plan.output].n_values();
        if n == 0 {
            return &[];
        }
        in_pool(|| {
            self.run_images(batch, n);
            for index in self.n_image_steps..self.plan.steps.len() {
                self.run_batch_step(index, n);
            }
        });
        match self.n_image_steps == self.plan.steps.len() {
            true => &self.middle[..output_len],
            false => &self.values[self.plan.output][..output_len],
        }
    }

    /// The first steps, image by image: many at once if there are enough for all
    /// threads, otherwise one after the other with their rows shared out.
    fn run_images(&mut self, batch: &[f32], n: usize) {
        let mut middle = std::mem::take(&mut self.middle);
        let (x_len, y_len) = (batch.len() / n, middle.len() / self.max_batch);
        let y = &mut middle[..n * y_len];
        if self.n_image_steps == 0 {
            y.copy_from_slice(batch);
        } else if n >= rayon::current_num_threads() {
            let images = batch.par_chunks(x_len).zip(y.par_chunks_mut(y_len));
            images.for_each(|(x, y)| self.run_image(x, y, Threads::One));
        } else {
            for (x, y) in batch.chunks_exact(x_len).zip(y.chunks_exact_mut(y_len)) {
                self.run_image(x, y, Threads::All);
            }
        }
        self.middle = middle;
    }

    fn run_image(&self, image: &[f32], result: &mut [f32], threads: Threads) {
        let mut buffers = self.images.take();
        for unit in &self.units {
            let step = &self.plan.steps[unit.start];
            let last = self.plan.steps[unit.end - 1].output;
            let slot = self.images.slots[last];
            let mut output = slot.map(|slot| std::mem::take(&mut buffers[slot]));
            let y = match &mut output {
                Some(buffer) => &mut buffer[..self.plan.shapes[last].n_values()],
                None => &mut *result,
            };
            let value = |id: ValueId| match self.images.slots[id] {
                Some(slot) => &buffers[slot][..self.plan.shapes[id].n_values()],
                None => image,
            };
            let inputs = Inputs {
                x: value(step.input),
                other: other(&step.operation).map(value),
            };
            match &self.steps[unit.clone()] {
                [step] => step.run(&self.scratch, inputs, y, threads),
                steps => Chain::of(steps).run(&self.scratch, inputs.x, y, threads),
            }
            if let (Some(slot), Some(output)) = (slot, output) {
                buffers[slot] = output;
            }
        }
        self.images.put_back(buffers);
    }

    /// One of the last steps, for the whole batch.
    fn run_batch_step(&mut self, index: usize, n: usize) {
        let step = &self.plan.steps[index];
        let mut output = std::mem::take(&mut self.values[step.output]);
        let y = &mut output[..n * self.plan.shapes[step.output].n_values()];
        let middle = middle_value(&self.plan, self.n_image_steps);
        let value = |id: ValueId| {
            let values = if id == middle {
                &self.middle
            } else {
                &self.values[id]
            };
            &values[..n * self.plan.shapes[id].n_values()]
        };
        let inputs = Inputs {
            x: value(step.input),
            other: other(&step.operation).map(value),
        };
        self.steps[index].run(&self.scratch, inputs, y, Threads::All);
        self.values[step.output] = output;
    }
}

/// Who works on one step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Threads {
    One,
    All,
}

fn other(operation: &StepOperation) -> Option<ValueId> {
    match operation {
        StepOperation::Add { other, .. } => Some(*other),
        _ => None,
    }
}

/// The value that the image steps end in.
fn middle_value(plan: &Plan, n_image_steps: usize) -> ValueId {
    n_image_steps
        .checked_sub(1)
        .map_or(0, |last| plan.steps[last].output)
}

/// The number of steps before the first that works on vectors, if all steps from
/// there on depend on the images through a single vector.
fn n_image_steps(plan: &Plan) -> usize {
    let is_vector = |shape: Shape| shape.n_pixels() == 1;
    let first = plan
        .steps
        .iter()
        .position(|step| is_vector(plan.shapes[step.input]));
    let Some(first) = first else {
        return plan.steps.len();
    };
    let middle = middle_value(plan, first);
    let later = &plan.steps[first..];
    let joined = later
        .iter()
        .flat_map(|step| step.inputs())
        .all(|input| input == middle || later.iter().any(|step| step.output == input));
    if joined { first } else { plan.steps.len() }
}

impl ImageBuffers {
    /// For steps cut into those that run together; what these hand over among themselves
    /// is never stored.
    fn new(plan: &Plan, units: &[Range<usize>]) -> Self {
        let n_steps = units.last().map_or(0, |last| last.end);
        let steps = &plan.steps[..n_steps];
        let mut sharing = Sharing::default();
        let mut slots = vec![None; plan.shapes.len()];
        for unit in units {
            // The last one's result goes to the whole batch.
            if unit.end < n_steps {
                let output = steps[unit.end - 1].output;
                slots[output] = Some(sharing.borrow(plan.shapes[output].n_values()));
            }
            let mut finished: Vec<ValueId> = steps[unit.start].inputs().collect();
            finished.dedup();
            finished.retain(|input| {
                !steps[unit.end..]
                    .iter()
                    .any(|later| later.inputs().any(|id| id == *input))
            });
            for input in finished {
                if let Some(slot) = slots[input] {
                    sharing.give_back(slot);
                }
            }
        }
        Self {
            slots,
            sharing,
            idle: Mutex::new(Vec::new()),
        }
    }

    fn take(&self) -> Vec<Buffer> {
        let idle = self
            .idle
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .pop();
        idle.unwrap_or_else(|| self.sharing.allocate())
    }

    fn put_back(&self, buffers: Vec<Buffer>) {
        self.idle
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(buffers);
    }
}
