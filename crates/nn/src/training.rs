//! The workspace of training: the forward and backward passes over one batch.

mod stored;

use crate::buffer::Buffer;
use crate::gradients::Gradients;
use stored::StoredValues;

use crate::graph::ValueId;
use crate::kernels::Kernels;
use crate::layers::block::{BlockGradients, BlockNeeds, BlockState, BlockValues};
use crate::layers::simple::{self, DropoutMask};
use crate::layers::{Arrival, Context};
use crate::parameters::{Parameters, Role};
use crate::plan::{Plan, Step, StepOperation, Storage};
use crate::pool::in_pool;
use crate::scratch::ScratchPool;
use crate::{NamedTensor, Network};

/// Everything that training needs beside the weights, allocated once.
///
/// Activations are kept from the forward pass to the backward pass; gradients of
/// activations share buffers as soon as they have been used.
#[derive(Debug)]
pub struct Training {
    kernels: &'static Kernels,
    plan: Plan,
    states: Vec<StepState>,
    max_batch: usize,
    /// Examples in the last forward pass.
    n: usize,
    dropout_seed: u64,
    /// By [`ValueId`]; empty for those that are never stored.
    values: Vec<Buffer>,
    storage: Vec<Storage>,
    gradients: Gradients,
    parameters: Parameters,
    /// Gradients of all learned values.
    learned: Vec<f32>,
    scratch: ScratchPool,
}

/// What a step keeps between the passes.
#[derive(Debug)]
enum StepState {
    Block(Box<BlockState>),
    GlobalPool { places: Vec<u32> },
    Stateless,
}

impl Training {
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
        let gradients = Gradients::new(&plan, max_batch);
        let storage = plan.storage();
        let states: Vec<StepState> = plan
            .steps
            .iter()
            .map(|step| {
                let needs = BlockNeeds {
                    input_gradient: gradients.is_needed(step.input),
                    pending: storage[step.output] != Storage::Done,
                };
                StepState::new(kernels, &plan, step, max_batch, needs)
            })
            .collect();
        let values = allocate_values(&plan, &storage, &states, max_batch);
        Self {
            kernels,
            plan,
            states,
            max_batch,
            n: 0,
            dropout_seed: 0,
            values,
            storage,
            gradients,
            parameters: network.graph.parameters.clone(),
            learned: vec![0.0; network.n_parameters()],
            scratch: ScratchPool::default(),
        }
    }

    /// Logits `[n, outputs]` for a batch `[n, height, width, channels]`, with batch
    /// statistics and dropout; the network's running statistics follow.
    ///
    /// # Panics
    ///
    /// If `network` has another architecture than the workspace was made for, if `n`
    /// is zero or above the maximum, or if `batch` does not hold `n` examples.
    pub fn forward(
        &mut self,
        network: &mut Network,
        batch: &[f32],
        n: usize,
        dropout_seed: u64,
    ) -> &[f32] {
        assert!(
            (1..=self.max_batch).contains(&n),
            "{n} examples, at most {}",
            self.max_batch
        );
        assert_eq!(
            self.plan.shapes, network.graph.values,
            "a workspace of this architecture"
        );
        assert_eq!(
            batch.len(),
            n * self.plan.shapes[0].n_values(),
            "{n} whole examples"
        );
        self.n = n;
        self.dropout_seed = dropout_seed;
        self.values[0][..batch.len()].copy_from_slice(batch);
        in_pool(|| {
            for index in 0..self.plan.steps.len() {
                self.forward_step(index, network);
            }
        });
        self.value(self.plan.output)
    }

    fn forward_step(&mut self, index: usize, network: &mut Network) {
        let step = &self.plan.steps[index];
        let n = self.n;
        let (from, to) = (self.plan.shapes[step.input], self.plan.shapes[step.output]);
        let mut output = std::mem::take(&mut self.values[step.output]);
        // A result that is left pending in another buffer has none.
        let y_len = output.len().min(n * to.n_values());
        let y = &mut output[..y_len];
        let mut raw = self.take_raw(index);
        let step = &self.plan.steps[index];
        let (earlier, later) = self.states.split_at_mut(index);
        let values = StoredValues {
            plan: &self.plan,
            storage: &self.storage,
            values: &self.values,
            states: earlier,
            n,
        };
        match (&step.operation, &mut later[0]) {
            (StepOperation::Block(block), StepState::Block(state)) => {
                let context = Context {
                    kernels: self.kernels,
                    scratch: &self.scratch,
                    n,
                };
                let raw_len = n * self.plan.shapes[block.raw].n_values();
                let values = BlockValues {
                    input: values.view(step.input),
                    raw: raw.as_mut().map(|(_, raw)| &mut raw[..raw_len]),
                    output: y,
                };
                state.forward(context, network, values);
            }
            (StepOperation::AveragePool(window), _) => {
                simple::average_pool(*window, from, to, values.stored(step.input), y);
            }
            (StepOperation::GlobalPool(kind), StepState::GlobalPool { places }) => {
                simple::global_pool(*kind, from, values.stored(step.input), y, places);
            }
            (StepOperation::Flatten, _) => simple::flatten(from, values.stored(step.input), y),
            (StepOperation::Dropout { rate }, _) => {
                let mask = DropoutMask::new(*rate, self.dropout_seed, index);
                mask.apply(values.stored(step.input), y, Arrival::First);
            }
            (StepOperation::Add { other, relu }, _) => {
                let (a, b) = (values.stored(step.input), values.stored(*other));
                simple::add(self.kernels, *relu, a, b, y);
            }
            _ => unreachable!("states are made for their steps"),
        }
        self.values[step.output] = output;
        if let Some((id, raw)) = raw {
            self.values[id] = raw;
        }
    }

    /// Takes out the buffer for a convolution's result where it is not the step's.
    fn take_raw(&mut self, index: usize) -> Option<(ValueId, Buffer)> {
        match (&self.plan.steps[index].operation, &self.states[index]) {
            (StepOperation::Block(block), StepState::Block(state)) if state.keeps_raw() => {
                Some((block.raw, std::mem::take(&mut self.values[block.raw])))
            }
            _ => None,
        }
    }

    /// A stored value of the examples of the last batch.
    fn value(&self, id: ValueId) -> &[f32] {
        &self.values[id][..self.n * self.plan.shapes[id].n_values()]
    }

    /// Works out the gradient of each learned parameter from the derivative of
    /// the loss with respect to the logits of the last [`Training::forward`].
    ///
    /// # Panics
    ///
    /// If `d_logits` does not have one value per logit.
    pub fn backward(&mut self, network: &Network, d_logits: &[f32]) {
        assert_eq!(
            d_logits.len(),
            self.value(self.plan.output).len(),
            "one derivative per logit"
        );
        self.gradients.start(self.plan.output, d_logits);
        in_pool(|| {
            for index in (0..self.plan.steps.len()).rev() {
                if self.gradients.is_needed(self.plan.steps[index].output) {
                    self.backward_step(index, network);
                }
            }
        });
    }

    fn backward_step(&mut self, index: usize, network: &Network) {
        let step = &self.plan.steps[index];
        let n = self.n;
        let (from, to) = (self.plan.shapes[step.input], self.plan.shapes[step.output]);
        let mut d_output = self.gradients.take(step.output);
        let dy = &mut d_output[..n * to.n_values()];
        if let StepOperation::Add { other, relu } = step.operation {
            if relu {
                simple::relu_mask(dy, self.value(step.output));
            }
            self.gradients.add(other, dy, self.kernels);
            self.gradients.put_back(step.output, d_output);
            self.gradients.mark_arrived(step.input);
            return;
        }
        let mut d_input = self.gradients.take_for_arrival(step.input);
        let dx = d_input
            .as_mut()
            .map(|(dx, arrival)| (&mut dx[..n * from.n_values()], *arrival));
        let (earlier, later) = self.states.split_at_mut(index);
        let values = StoredValues {
            plan: &self.plan,
            storage: &self.storage,
            values: &self.values,
            states: earlier,
            n,
        };
        match (&step.operation, &mut later[0], dx) {
            (StepOperation::Block(block), StepState::Block(state), dx) => {
                let context = Context {
                    kernels: self.kernels,
                    scratch: &self.scratch,
                    n,
                };
                let has_raw = state.keeps_raw() || block.conv.is_none();
                let raw = if has_raw { block.raw } else { step.output };
                let gradients = BlockGradients {
                    input: values.view(step.input),
                    raw: values.stored(raw),
                    output: values.stored(step.output),
                    dy,
                    dx,
                    learned: &mut self.learned,
                };
                state.backward(context, network, gradients);
            }
            (_, _, None) => {}
            (StepOperation::AveragePool(window), _, Some((dx, arrival))) => {
                simple::average_pool_backward(*window, from, to, dy, dx, arrival);
            }
            (
                StepOperation::GlobalPool(kind),
                StepState::GlobalPool { places },
                Some((dx, arrival)),
            ) => simple::global_pool_backward(*kind, from, dy, places, dx, arrival),
            (StepOperation::Flatten, _, Some((dx, arrival))) => {
                simple::flatten_backward(from, dy, dx, arrival);
            }
            (StepOperation::Dropout { rate }, _, Some((dx, arrival))) => {
                let mask = DropoutMask::new(*rate, self.dropout_seed, index);
                mask.apply(dy, dx, arrival);
            }
            _ => unreachable!("states are made for their steps"),
        }
        self.gradients.put_back(step.output, d_output);
        if let Some((buffer, _)) = d_input {
            self.gradients.put_back(step.input, buffer);
        }
    }

    /// The gradients of the last backward pass, named and laid out as in [`Network::tensors`].
    pub fn gradients(&self) -> Vec<NamedTensor> {
        self.parameters
            .iter()
            .filter(|parameter| parameter.role == Role::Learned)
            .map(|parameter| parameter.named(&self.learned[parameter.range.clone()], true))
            .collect()
    }

    pub(crate) fn gradient_values(&self) -> &[f32] {
        &self.learned
    }

    pub(crate) fn kernels(&self) -> &'static Kernels {
        self.kernels
    }
}

impl StepState {
    fn new(
        kernels: &'static Kernels,
        plan: &Plan,
        step: &Step,
        max_batch: usize,
        needs: BlockNeeds,
    ) -> Self {
        match &step.operation {
            StepOperation::Block(block) => {
                let state = BlockState::new(kernels, plan, step, block, max_batch, needs);
                Self::Block(Box::new(state))
            }
            StepOperation::GlobalPool(_) => {
                let channels = plan.shapes[step.input].channels;
                Self::GlobalPool {
                    places: vec![0; max_batch * channels],
                }
            }
            _ => Self::Stateless,
        }
    }
}

/// Buffers for the values that are stored.
fn allocate_values(
    plan: &Plan,
    storage: &[Storage],
    states: &[StepState],
    max_batch: usize,
) -> Vec<Buffer> {
    let mut values = vec![Buffer::default(); plan.shapes.len()];
    let mut allocate =
        |id: ValueId| values[id] = Buffer::zeros(max_batch * plan.shapes[id].n_values());
    allocate(0);
    for (step, state) in plan.steps.iter().zip(states) {
        match storage[step.output] {
            Storage::Pending { buffer, .. } if buffer != step.output => {}
            _ => allocate(step.output),
        }
        if let (StepOperation::Block(block), StepState::Block(state)) = (&step.operation, state)
            && state.keeps_raw()
        {
            allocate(block.raw);
        }
    }
    values
}
