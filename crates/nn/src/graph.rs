//! A checked network: every layer with its name, its shapes and its parameters.
//!
//! [`Graph::lower`] walks a [`NetworkSpec`], refuses what does not fit together,
//! and flattens residual branches into one list of nodes that is in the order of
//! computation. Which nodes run together as one pass is decided in `crate::plan`.

use crate::error::{NnError, Result};
use crate::parameters::{Initial, Layout, Parameters};
use crate::{GlobalPoolKind, Layer, NetworkSpec, Padding, Shape};

/// More values than this in one array are refused rather than allocated.
const MAX_VALUES: usize = 1 << 30;

/// The index of an activation: value 0 is the network's input.
pub(crate) type ValueId = usize;

/// The index of a parameter in [`Parameters`].
pub(crate) type ParameterId = usize;

/// The layers of a network in the order of computation.
#[derive(Debug, Clone)]
pub(crate) struct Graph {
    pub(crate) nodes: Vec<Node>,
    /// The shape of each value.
    pub(crate) values: Vec<Shape>,
    pub(crate) output: ValueId,
    pub(crate) parameters: Parameters,
}

/// One layer with its place in the graph.
#[derive(Debug, Clone)]
pub(crate) struct Node {
    /// `layers.3.body.0`
    pub(crate) name: String,
    pub(crate) kind: &'static str,
    pub(crate) operation: Operation,
    pub(crate) input: ValueId,
    pub(crate) output: ValueId,
}

/// What a node computes.
#[derive(Debug, Clone)]
pub(crate) enum Operation {
    Conv {
        geometry: ConvGeometry,
        weight: ParameterId,
        bias: Option<ParameterId>,
    },
    BatchNorm(BatchNorm),
    Relu,
    MaxPool(Window),
    AveragePool(Window),
    GlobalPool(GlobalPoolKind),
    Flatten,
    Dropout {
        rate: f32,
    },
    Add {
        other: ValueId,
    },
}

/// A batch normalization and the parameters that it owns.
#[derive(Debug, Clone, Copy)]
pub(crate) struct BatchNorm {
    pub(crate) epsilon: f32,
    pub(crate) momentum: f32,
    pub(crate) weight: ParameterId,
    pub(crate) bias: ParameterId,
    pub(crate) running_mean: ParameterId,
    pub(crate) running_var: ParameterId,
}

/// The windows of a pooling layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Window {
    pub(crate) kernel: [usize; 2],
    pub(crate) stride: [usize; 2],
}

/// Everything that the loops of a convolution need to know.
///
/// A dense layer is the convolution of a 1 × 1 image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ConvGeometry {
    pub(crate) input: Shape,
    pub(crate) output: Shape,
    pub(crate) kernel: [usize; 2],
    pub(crate) stride: [usize; 2],
    /// Zeros on each side, above/below and left/right.
    pub(crate) padding: [usize; 2],
    pub(crate) groups: usize,
}

impl ConvGeometry {
    /// Input channels that one output channel sees.
    pub(crate) fn inputs_per_group(&self) -> usize {
        self.input.channels / self.groups
    }

    /// Output channels of one group.
    pub(crate) fn outputs_per_group(&self) -> usize {
        self.output.channels / self.groups
    }

    /// Weights of one output channel.
    pub(crate) fn taps(&self) -> usize {
        self.kernel[0] * self.kernel[1] * self.inputs_per_group()
    }

    /// The number of weights.
    pub(crate) fn n_weights(&self) -> usize {
        self.taps() * self.output.channels
    }

    /// Whether each channel sees only itself.
    pub(crate) fn is_depthwise(&self) -> bool {
        self.groups > 1 && self.groups == self.input.channels && self.groups == self.output.channels
    }

    /// The number of weight matrices: a depthwise convolution keeps all channels in one.
    pub(crate) fn n_matrices(&self) -> usize {
        if self.is_depthwise() { 1 } else { self.groups }
    }

    /// Whether it is a matrix product of vectors, one per example.
    pub(crate) fn is_dense(&self) -> bool {
        self.input.n_pixels() == 1 && self.kernel == [1, 1] && self.groups == 1
    }

    /// Multiplications per example.
    pub(crate) fn macs(&self) -> u64 {
        self.output.n_values() as u64 * self.taps() as u64
    }
}

impl Graph {
    /// Checks a specification and flattens it.
    pub(crate) fn lower(spec: &NetworkSpec) -> Result<Self> {
        let Shape {
            height,
            width,
            channels,
        } = spec.input;
        if height == 0 || width == 0 || channels == 0 {
            return Err(NnError::EmptyInput { input: spec.input });
        }
        let mut graph = Self {
            nodes: Vec::new(),
            values: vec![spec.input],
            output: 0,
            parameters: Parameters::default(),
        };
        checked_product("layers.0", "input", &[height, width, channels])?;
        graph.output = graph.lower_list("layers", &spec.layers, 0)?;
        Ok(graph)
    }

    /// Lowers layers that follow one another and returns the last one's value.
    fn lower_list(&mut self, name: &str, layers: &[Layer], input: ValueId) -> Result<ValueId> {
        if layers.is_empty() {
            return Err(NnError::NoLayers {
                layer: name.to_owned(),
            });
        }
        layers
            .iter()
            .enumerate()
            .try_fold(input, |value, (index, layer)| {
                self.lower_layer(format!("{name}.{index}"), layer, value)
            })
    }

    fn lower_layer(&mut self, name: String, layer: &Layer, input: ValueId) -> Result<ValueId> {
        let shape = self.values[input];
        let at = At {
            name: &name,
            kind: layer.kind(),
            input: shape,
        };
        let (operation, output) = match *layer {
            Layer::Conv2d { .. } => self.lower_conv(at, layer)?,
            Layer::BatchNorm { epsilon, momentum } => {
                (self.lower_batch_norm(at, epsilon, momentum)?, shape)
            }
            Layer::Relu => (Operation::Relu, shape),
            Layer::MaxPool { kernel, stride } => {
                if kernel[0].saturating_mul(kernel[1]) > 256 {
                    return Err(NnError::WindowTooLarge {
                        layer: name,
                        kernel,
                    });
                }
                let output = at.windows(kernel, stride, [0, 0])?;
                (Operation::MaxPool(Window { kernel, stride }), output)
            }
            Layer::AveragePool { kernel, stride } => {
                let output = at.windows(kernel, stride, [0, 0])?;
                (Operation::AveragePool(Window { kernel, stride }), output)
            }
            Layer::GlobalPool { kind } => (Operation::GlobalPool(kind), flat(shape.channels)),
            Layer::Flatten => (Operation::Flatten, flat(shape.n_values())),
            Layer::Dense { outputs } => self.lower_dense(at, outputs)?,
            Layer::Dropout { rate } => {
                at.in_range(
                    "rate",
                    rate,
                    (0.0..1.0).contains(&rate),
                    "at least 0 and below 1",
                )?;
                (Operation::Dropout { rate }, shape)
            }
            Layer::Residual {
                ref body,
                ref shortcut,
            } => {
                return self.lower_residual(name, body, shortcut, input);
            }
        };
        Ok(self.push(name, layer.kind(), operation, input, output))
    }

    fn lower_conv(&mut self, at: At<'_>, layer: &Layer) -> Result<(Operation, Shape)> {
        let Layer::Conv2d {
            outputs,
            kernel,
            stride,
            padding,
            groups,
            bias,
        } = *layer
        else {
            unreachable!("called for a convolution");
        };
        at.positive("outputs", outputs)?;
        at.positive("groups", groups)?;
        let inputs = at.input.channels;
        if !inputs.is_multiple_of(groups) || !outputs.is_multiple_of(groups) {
            let layer = at.name.to_owned();
            return Err(NnError::GroupsDoNotDivide {
                layer,
                groups,
                inputs,
                outputs,
            });
        }
        let zeros = padding.zeros(kernel);
        let windows = at.windows(kernel, stride, zeros)?;
        let output = Shape {
            channels: outputs,
            ..windows
        };
        checked_product(at.name, at.kind, &[output.height, output.width, outputs])?;
        let geometry = ConvGeometry {
            input: at.input,
            output,
            kernel,
            stride,
            padding: zeros,
            groups,
        };
        let [kh, kw] = kernel;
        checked_product(at.name, at.kind, &[kh, kw, inputs / groups, outputs])?;
        let layout = Layout::Conv {
            outputs,
            inputs: inputs / groups,
            kernel,
        };
        let initial = Initial::HeNormal {
            fan_in: geometry.taps(),
        };
        let weight = self
            .parameters
            .learned(format!("{}.weight", at.name), layout, initial);
        let bias = bias.then(|| {
            let name = format!("{}.bias", at.name);
            self.parameters
                .learned(name, Layout::Vector(outputs), Initial::Constant(0.0))
        });
        Ok((
            Operation::Conv {
                geometry,
                weight,
                bias,
            },
            output,
        ))
    }

    fn lower_dense(&mut self, at: At<'_>, outputs: usize) -> Result<(Operation, Shape)> {
        at.positive("outputs", outputs)?;
        if at.input.n_pixels() != 1 {
            return Err(NnError::NotFlat {
                layer: at.name.to_owned(),
                input: at.input,
            });
        }
        let inputs = at.input.channels;
        checked_product(at.name, at.kind, &[inputs, outputs])?;
        let output = flat(outputs);
        let geometry = ConvGeometry {
            input: at.input,
            output,
            kernel: [1, 1],
            stride: [1, 1],
            padding: Padding::Valid.zeros([1, 1]),
            groups: 1,
        };
        let layout = Layout::Dense { outputs, inputs };
        let initial = Initial::Uniform { fan_in: inputs };
        let weight = self
            .parameters
            .learned(format!("{}.weight", at.name), layout, initial);
        let name = format!("{}.bias", at.name);
        let bias = self
            .parameters
            .learned(name, Layout::Vector(outputs), Initial::Constant(0.0));
        Ok((
            Operation::Conv {
                geometry,
                weight,
                bias: Some(bias),
            },
            output,
        ))
    }

    fn lower_batch_norm(&mut self, at: At<'_>, epsilon: f32, momentum: f32) -> Result<Operation> {
        let above_zero = epsilon > 0.0 && epsilon.is_finite();
        at.in_range("epsilon", epsilon, above_zero, "above 0")?;
        at.in_range(
            "momentum",
            momentum,
            (0.0..=1.0).contains(&momentum),
            "from 0 to 1",
        )?;
        let layout = Layout::Vector(at.input.channels);
        let name = |field: &str| format!("{}.{field}", at.name);
        let parameters = &mut self.parameters;
        Ok(Operation::BatchNorm(BatchNorm {
            epsilon,
            momentum,
            weight: parameters.learned(name("weight"), layout, Initial::Constant(1.0)),
            bias: parameters.learned(name("bias"), layout, Initial::Constant(0.0)),
            running_mean: parameters.running(name("running_mean"), layout, 0.0),
            running_var: parameters.running(name("running_var"), layout, 1.0),
        }))
    }

    fn lower_residual(
        &mut self,
        name: String,
        body: &[Layer],
        shortcut: &[Layer],
        input: ValueId,
    ) -> Result<ValueId> {
        let longer = self.lower_list(&format!("{name}.body"), body, input)?;
        let other = match shortcut {
            [] => input,
            layers => self.lower_list(&format!("{name}.shortcut"), layers, input)?,
        };
        let (body, shortcut) = (self.values[longer], self.values[other]);
        if body != shortcut {
            return Err(NnError::BranchesDiffer {
                layer: name,
                body,
                shortcut,
            });
        }
        Ok(self.push(name, "residual", Operation::Add { other }, longer, body))
    }

    fn push(
        &mut self,
        name: String,
        kind: &'static str,
        operation: Operation,
        input: ValueId,
        shape: Shape,
    ) -> ValueId {
        let output = self.values.len();
        self.values.push(shape);
        self.nodes.push(Node {
            name,
            kind,
            operation,
            input,
            output,
        });
        output
    }
}

/// A layer under inspection, for messages.
#[derive(Clone, Copy)]
struct At<'a> {
    name: &'a str,
    kind: &'static str,
    input: Shape,
}

impl At<'_> {
    fn positive(self, field: &'static str, value: usize) -> Result<()> {
        if value == 0 {
            return Err(NnError::ZeroSize {
                layer: self.name.to_owned(),
                kind: self.kind,
                field,
            });
        }
        Ok(())
    }

    fn in_range(
        self,
        field: &'static str,
        value: f32,
        valid: bool,
        wanted: &'static str,
    ) -> Result<()> {
        if !valid {
            let layer = self.name.to_owned();
            return Err(NnError::OutOfRange {
                layer,
                kind: self.kind,
                field,
                value,
                wanted,
            });
        }
        Ok(())
    }

    /// The extent of the result when a window slides over the padded input.
    fn windows(self, kernel: [usize; 2], stride: [usize; 2], zeros: [usize; 2]) -> Result<Shape> {
        for (&k, &s) in kernel.iter().zip(&stride) {
            self.positive("kernel", k)?;
            self.positive("stride", s)?;
        }
        let padded = [self.input.height, self.input.width];
        let padded = [0, 1].map(|axis| padded[axis].saturating_add(2 * zeros[axis]));
        if kernel[0] > padded[0] || kernel[1] > padded[1] {
            let layer = self.name.to_owned();
            let kind = self.kind;
            return Err(NnError::KernelTooLarge {
                layer,
                kind,
                kernel,
                input: self.input,
            });
        }
        let [height, width] = [0, 1].map(|axis| (padded[axis] - kernel[axis]) / stride[axis] + 1);
        Ok(Shape {
            height,
            width,
            channels: self.input.channels,
        })
    }
}

fn flat(channels: usize) -> Shape {
    Shape {
        height: 1,
        width: 1,
        channels,
    }
}

fn checked_product(name: &str, kind: &'static str, factors: &[usize]) -> Result<usize> {
    factors
        .iter()
        .try_fold(1usize, |product, &factor| product.checked_mul(factor))
        .filter(|&product| product <= MAX_VALUES)
        .ok_or_else(|| NnError::TooLarge {
            layer: name.to_owned(),
            kind,
        })
}
