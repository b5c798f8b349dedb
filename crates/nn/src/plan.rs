//! Which layers run together: the nodes of a [`Graph`] gathered into steps.
//!
//! A convolution, the batch-norm and ReLU after it and the max-pooling after those
//! are one [`Block`], because each pass over memory costs more than the arithmetic
//! of all but the convolution. Training and inference run the same steps.

use crate::graph::{BatchNorm, ConvGeometry, Graph, Node, Operation, ParameterId, ValueId, Window};
use crate::{GlobalPoolKind, Shape};

/// The steps of a network in the order of computation.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    pub(crate) steps: Vec<Step>,
    /// The shape of each value of the graph; those within a block are never stored.
    pub(crate) shapes: Vec<Shape>,
    pub(crate) output: ValueId,
}

/// How a value of a network in training is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Storage {
    /// As it is.
    Done,
    /// As it was before a batch-norm and ReLU that its readers do themselves; which
    /// step's, and the value in whose buffer it lies.
    Pending { step: usize, buffer: ValueId },
}

/// One pass over the activations.
#[derive(Debug, Clone)]
pub(crate) struct Step {
    pub(crate) operation: StepOperation,
    pub(crate) input: ValueId,
    pub(crate) output: ValueId,
}

#[derive(Debug, Clone)]
pub(crate) enum StepOperation {
    Block(Block),
    AveragePool(Window),
    GlobalPool(GlobalPoolKind),
    Flatten,
    Dropout { rate: f32 },
    Add { other: ValueId, relu: bool },
}

/// Any of convolution, batch-norm, ReLU and max-pooling, in this order; at least one.
#[derive(Debug, Clone)]
pub(crate) struct Block {
    pub(crate) conv: Option<ConvLayer>,
    pub(crate) norm: Option<BatchNorm>,
    pub(crate) relu: bool,
    pub(crate) pool: Option<Window>,
    /// What normalization and pooling work on: the convolution's result, or the block's input.
    pub(crate) raw: ValueId,
}

impl Block {
    /// Whether examples are vectors and may as well be the rows of one image.
    pub(crate) fn works_on_vectors(&self, raw: Shape) -> bool {
        raw.n_pixels() == 1 && self.conv.is_none_or(|conv| conv.geometry.is_dense())
    }
}

/// A convolution and the parameters that it owns.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ConvLayer {
    pub(crate) geometry: ConvGeometry,
    pub(crate) weight: ParameterId,
    pub(crate) bias: Option<ParameterId>,
}

impl Plan {
    /// Gathers the nodes of a graph.
    pub(crate) fn new(graph: &Graph) -> Self {
        let mut nodes = Nodes { graph, next: 0 };
        let mut steps = Vec::new();
        while let Some(node) = nodes.graph.nodes.get(nodes.next) {
            steps.push(nodes.gather(node));
        }
        Self {
            steps,
            shapes: graph.values.clone(),
            output: graph.output,
        }
    }

    /// How each value is stored, if its step stores it.
    ///
    /// The result of a batch-norm is left pending if all who read it are convolutions
    /// of images, which copy what they read anyway.
    pub(crate) fn storage(&self) -> Vec<Storage> {
        let mut storage = vec![Storage::Done; self.shapes.len()];
        for (index, step) in self.steps.iter().enumerate() {
            let StepOperation::Block(block) = &step.operation else {
                continue;
            };
            let mut readers = self
                .steps
                .iter()
                .filter(|reader| reader.inputs().any(|id| id == step.output));
            let pending = block.norm.is_some()
                && step.output != self.output
                && readers.all(Step::is_image_convolution);
            if pending {
                let buffer = if block.pool.is_some() {
                    step.output
                } else {
                    block.raw
                };
                storage[step.output] = Storage::Pending {
                    step: index,
                    buffer,
                };
            }
        }
        storage
    }

    /// Whether each value depends on a learned parameter, so that its gradient is needed.
    pub(crate) fn needs_gradient(&self) -> Vec<bool> {
        let mut needed = vec![false; self.shapes.len()];
        for step in &self.steps {
            needed[step.output] = needed[step.input]
                || match &step.operation {
                    StepOperation::Block(block) => block.conv.is_some() || block.norm.is_some(),
                    StepOperation::Add { other, .. } => needed[*other],
                    _ => false,
                };
        }
        needed
    }
}

impl Step {
    /// Whether the step reads its input only to convolve it, image by image.
    fn is_image_convolution(&self) -> bool {
        match &self.operation {
            StepOperation::Block(Block {
                conv: Some(conv), ..
            }) => !conv.geometry.is_dense(),
            _ => false,
        }
    }

    /// The values that the step reads.
    pub(crate) fn inputs(&self) -> impl Iterator<Item = ValueId> {
        let other = match self.operation {
            StepOperation::Add { other, .. } => Some(other),
            _ => None,
        };
        std::iter::once(self.input).chain(other)
    }
}

/// Nodes that are not yet part of a step.
struct Nodes<'g> {
    graph: &'g Graph,
    next: usize,
}

impl<'g> Nodes<'g> {
    fn gather(&mut self, node: &Node) -> Step {
        let input = node.input;
        let operation = match node.operation {
            Operation::Conv { .. }
            | Operation::BatchNorm(_)
            | Operation::Relu
            | Operation::MaxPool(_) => return self.gather_block(input),
            Operation::AveragePool(window) => StepOperation::AveragePool(window),
            Operation::GlobalPool(kind) => StepOperation::GlobalPool(kind),
            Operation::Flatten => StepOperation::Flatten,
            Operation::Dropout { rate } => StepOperation::Dropout { rate },
            Operation::Add { other } => {
                self.next += 1;
                let (relu, output) = match self.follower(node.output) {
                    Some(Node {
                        operation: Operation::Relu,
                        output,
                        ..
                    }) => (true, *output),
                    _ => (false, node.output),
                };
                self.next += usize::from(relu);
                return Step {
                    operation: StepOperation::Add { other, relu },
                    input,
                    output,
                };
            }
        };
        self.next += 1;
        Step {
            operation,
            input,
            output: node.output,
        }
    }

    fn gather_block(&mut self, input: ValueId) -> Step {
        let mut block = Block {
            conv: None,
            norm: None,
            relu: false,
            pool: None,
            raw: input,
        };
        let mut value = input;
        // The first node is the block's even if others read its input as well.
        let mut candidate = self.graph.nodes.get(self.next);
        while let Some(node) = candidate {
            match node.operation {
                Operation::Conv {
                    geometry,
                    weight,
                    bias,
                } if value == input => {
                    block.conv = Some(ConvLayer {
                        geometry,
                        weight,
                        bias,
                    });
                    block.raw = node.output;
                }
                Operation::BatchNorm(norm)
                    if block.norm.is_none() && !block.relu && block.pool.is_none() =>
                {
                    block.norm = Some(norm);
                }
                Operation::Relu if !block.relu && block.pool.is_none() => block.relu = true,
                Operation::MaxPool(window) if block.pool.is_none() => block.pool = Some(window),
                _ => break,
            }
            value = node.output;
            self.next += 1;
            candidate = self.follower(value);
        }
        if block.conv.is_some() && block.norm.is_none() && block.pool.is_none() {
            // The convolution writes the ReLU's result itself.
            block.raw = value;
        }
        Step {
            operation: StepOperation::Block(block),
            input,
            output: value,
        }
    }

    /// The next node, if it alone reads `value`.
    fn follower(&self, value: ValueId) -> Option<&'g Node> {
        let reads = |node: &Node| {
            let other = matches!(node.operation, Operation::Add { other } if other == value);
            usize::from(node.input == value) + usize::from(other)
        };
        let n_readers: usize = self.graph.nodes.iter().map(reads).sum();
        self.graph
            .nodes
            .get(self.next)
            .filter(|node| node.input == value && n_readers == 1 && value != self.graph.output)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Layer, NetworkSpec, Padding};

    fn conv(outputs: usize) -> Layer {
        Layer::Conv2d {
            outputs,
            kernel: [3, 3],
            stride: [1, 1],
            padding: Padding::Same,
            groups: 1,
            bias: false,
        }
    }

    fn plan(layers: Vec<Layer>) -> Plan {
        let input = Shape {
            height: 8,
            width: 8,
            channels: 2,
        };
        let graph = Graph::lower(&NetworkSpec { input, layers }).expect("layers that fit");
        Plan::new(&graph)
    }

    /// The parts of each step, one letter each.
    fn letters(layers: Vec<Layer>) -> String {
        let letters = |step: &Step| match &step.operation {
            StepOperation::Block(block) => [
                (block.conv.is_some(), 'c'),
                (block.norm.is_some(), 'n'),
                (block.relu, 'r'),
                (block.pool.is_some(), 'p'),
            ]
            .iter()
            .filter_map(|&(there, letter)| there.then_some(letter))
            .collect(),
            StepOperation::Add { relu: true, .. } => "+r".to_owned(),
            StepOperation::Add { .. } => "+".to_owned(),
            _ => "other".to_owned(),
        };
        plan(layers)
            .steps
            .iter()
            .map(letters)
            .collect::<Vec<_>>()
            .join(" ")
    }

    const POOL: Layer = Layer::MaxPool {
        kernel: [2, 2],
        stride: [2, 2],
    };

    #[test]
    fn a_convolution_takes_what_follows_it_along() {
        let layers = vec![
            conv(4),
            Layer::batch_norm(),
            Layer::Relu,
            POOL,
            conv(4),
            Layer::Relu,
        ];
        assert_eq!(letters(layers), "cnrp cr");
    }

    #[test]
    fn layers_in_another_order_are_steps_of_their_own() {
        let layers = vec![
            Layer::batch_norm(),
            POOL,
            Layer::Relu,
            Layer::batch_norm(),
            conv(4),
        ];
        assert_eq!(letters(layers), "np r n c");
    }

    #[test]
    fn a_value_that_a_shortcut_reads_is_not_swallowed() {
        let body = vec![Layer::batch_norm(), Layer::Relu, conv(4)];
        let layers = vec![
            conv(4),
            Layer::Residual {
                body,
                shortcut: vec![],
            },
            Layer::Relu,
        ];
        assert_eq!(letters(layers), "c nr c +r");
    }

    #[test]
    fn batch_norm_is_left_to_convolutions_that_read_it() {
        let norm = Layer::batch_norm;
        let pending = |layers| {
            let storage = plan(layers).storage();
            storage
                .iter()
                .filter(|storage| **storage != Storage::Done)
                .count()
        };
        assert_eq!(pending(vec![conv(4), norm(), conv(4), norm()]), 1);
        assert_eq!(
            pending(vec![conv(4), norm(), Layer::Relu, POOL, conv(4)]),
            1
        );
        assert_eq!(pending(vec![conv(4), norm(), Layer::Flatten]), 0);
        let residual = Layer::Residual {
            body: vec![conv(4)],
            shortcut: vec![],
        };
        assert_eq!(pending(vec![conv(4), norm(), residual]), 0);
    }

    #[test]
    fn pooled_input_needs_no_gradient() {
        let plan = plan(vec![POOL, conv(4), Layer::Flatten]);
        assert_eq!(plan.needs_gradient(), [false, false, true, true]);
    }
}
