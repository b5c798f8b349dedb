//! The network inside the graph: layers become ONNX operators.
//!
//! Images are NCHW here, as ONNX wants them, and weights are stored in PyTorch's
//! layout, which is ONNX's as well. A batch-norm that follows a convolution is
//! folded into its weights, in `f64`, so that readers have less to compute.
//!
//! What the layers mean is defined in `biophony-nn`; what goes in is cut in
//! [`super::windows`], what comes out becomes probabilities in [`super`].

use std::collections::HashMap;

use biophony_nn::{GlobalPoolKind, Layer, NamedTensor, Network, Padding};

use super::graph::{GraphBuilder, Value, as_i64};
use super::proto::Attribute;
use crate::error::ModelError;

/// Adds all layers of a network.
///
/// # Shapes
///
/// - `images`: `[batch, channels, height, width]`
/// - returns `[batch, classes]`, before softmax
///
/// # Errors
///
/// When the network lacks a tensor that its layers call for.
pub(crate) fn logits(
    graph: &mut GraphBuilder,
    images: &Value,
    network: &Network,
) -> Result<Value, ModelError> {
    let tensors = network.tensors();
    let weights = Weights(
        tensors
            .iter()
            .map(|tensor| (tensor.name.as_str(), tensor))
            .collect(),
    );
    let images = Features {
        value: images.clone(),
        flat: false,
    };
    let mut writer = Writer {
        graph,
        weights: &weights,
    };
    let last = writer.layers(images, &network.spec().layers, "layers")?;
    Ok(writer.flattened(last).value)
}

/// The network's tensors by name.
struct Weights<'a>(HashMap<&'a str, &'a NamedTensor>);

impl Weights<'_> {
    fn get(&self, layer: &str, name: &str) -> Result<&NamedTensor, ModelError> {
        let name = format!("{layer}.{name}");
        self.0
            .get(name.as_str())
            .copied()
            .ok_or(ModelError::MissingTensor { name })
    }
}

/// What a layer gives to the next one.
#[derive(Clone)]
struct Features {
    value: Value,
    /// Whether this is `[batch, channels]` rather than `[batch, channels, height, width]`.
    flat: bool,
}

/// Turns layers into nodes, one after the other.
struct Writer<'a> {
    graph: &'a mut GraphBuilder,
    weights: &'a Weights<'a>,
}

/// A convolution's fixed numbers.
struct Convolution {
    kernel: [usize; 2],
    stride: [usize; 2],
    padding: Padding,
    groups: usize,
    bias: bool,
}

impl Writer<'_> {
    fn layers(
        &mut self,
        mut x: Features,
        layers: &[Layer],
        prefix: &str,
    ) -> Result<Features, ModelError> {
        let mut index = 0;
        while let Some(layer) = layers.get(index) {
            let name = format!("{prefix}.{index}");
            self.graph.enter(&name);
            let following = layers.get(index + 1);
            let (next, used) = self.layer(
                x,
                layer,
                &name,
                following,
                &format!("{prefix}.{}", index + 1),
            )?;
            x = next;
            index += used;
        }
        Ok(x)
    }

    /// Writes one layer, or a convolution together with the batch-norm after
    /// it, and says how many layers that was.
    fn layer(
        &mut self,
        x: Features,
        layer: &Layer,
        name: &str,
        following: Option<&Layer>,
        following_name: &str,
    ) -> Result<(Features, usize), ModelError> {
        let next = match layer {
            Layer::Conv2d {
                kernel,
                stride,
                padding,
                groups,
                bias,
                ..
            } => {
                let convolution = Convolution {
                    kernel: *kernel,
                    stride: *stride,
                    padding: *padding,
                    groups: *groups,
                    bias: *bias,
                };
                let norm = match following {
                    Some(Layer::BatchNorm { epsilon, .. }) => Some((following_name, *epsilon)),
                    _ => None,
                };
                let used = if norm.is_some() { 2 } else { 1 };
                return Ok((self.convolution(x, name, &convolution, norm)?, used));
            }
            Layer::BatchNorm { epsilon, .. } => self.batch_norm(x, name, *epsilon)?,
            Layer::Relu => self.keeping_shape("Relu", x),
            Layer::MaxPool { kernel, stride } => self.pool("MaxPool", x, *kernel, *stride),
            Layer::AveragePool { kernel, stride } => self.pool("AveragePool", x, *kernel, *stride),
            Layer::GlobalPool { kind } => self.global_pool(x, *kind),
            Layer::Flatten => self.flattened(x),
            Layer::Dense { .. } => self.dense(x, name)?,
            // Dropout is for training only.
            Layer::Dropout { .. } => x,
            Layer::Residual { body, shortcut } => self.residual(x, name, body, shortcut)?,
        };
        Ok((next, 1))
    }

    fn convolution(
        &mut self,
        x: Features,
        name: &str,
        convolution: &Convolution,
        norm: Option<(&str, f32)>,
    ) -> Result<Features, ModelError> {
        let x = self.as_image(x);
        let weight = self.weights.get(name, "weight")?;
        let mut values = weight.values.clone();
        let n_outputs = weight.shape.first().copied().unwrap_or(0);
        let mut bias = match convolution.bias {
            true => Some(self.weights.get(name, "bias")?.values.clone()),
            false => None,
        };
        if let Some((norm_name, epsilon)) = norm {
            let (scale, shift) = self.affine(norm_name, epsilon)?;
            bias = Some(fold(&mut values, bias, &scale, &shift));
        }
        let kernels = self
            .graph
            .floats(&format!("{name}.weight"), &weight.shape, &values);
        let mut inputs = vec![x.value, kernels];
        if let Some(bias) = bias {
            inputs.push(
                self.graph
                    .floats(&format!("{name}.bias"), &[n_outputs], &bias),
            );
        }
        let [down, across] = convolution.padding.zeros(convolution.kernel);
        let attributes = vec![
            Attribute::integers("kernel_shape", &convolution.kernel.map(as_i64)),
            Attribute::integers("strides", &convolution.stride.map(as_i64)),
            Attribute::integers("pads", &[down, across, down, across].map(as_i64)),
            Attribute::integer("group", as_i64(convolution.groups)),
        ];
        let inputs: Vec<&Value> = inputs.iter().collect();
        let value = self.graph.apply("Conv", &inputs, attributes);
        Ok(Features { value, flat: false })
    }

    /// A batch-norm's running statistics as one factor and one term per channel.
    fn affine(&self, name: &str, epsilon: f32) -> Result<(Vec<f64>, Vec<f64>), ModelError> {
        let weight = &self.weights.get(name, "weight")?.values;
        let bias = &self.weights.get(name, "bias")?.values;
        let mean = &self.weights.get(name, "running_mean")?.values;
        let variance = &self.weights.get(name, "running_var")?.values;
        let scale: Vec<f64> = std::iter::zip(weight, variance)
            .map(|(&w, &v)| f64::from(w) / (f64::from(v) + f64::from(epsilon)).sqrt())
            .collect();
        let shift = std::iter::zip(std::iter::zip(bias, mean), &scale)
            .map(|((&b, &m), s)| f64::from(b) - f64::from(m) * s)
            .collect();
        Ok((scale, shift))
    }

    fn batch_norm(
        &mut self,
        x: Features,
        name: &str,
        epsilon: f32,
    ) -> Result<Features, ModelError> {
        let mut inputs = vec![x.value];
        for part in ["weight", "bias", "running_mean", "running_var"] {
            let tensor = self.weights.get(name, part)?;
            inputs.push(
                self.graph
                    .floats(&tensor.name, &tensor.shape, &tensor.values),
            );
        }
        let inputs: Vec<&Value> = inputs.iter().collect();
        let attributes = vec![Attribute::float("epsilon", epsilon)];
        let value = self.graph.apply("BatchNormalization", &inputs, attributes);
        Ok(Features {
            value,
            flat: x.flat,
        })
    }

    fn keeping_shape(&mut self, operator: &str, x: Features) -> Features {
        Features {
            value: self.graph.op(operator, &[&x.value]),
            flat: x.flat,
        }
    }

    fn pool(
        &mut self,
        operator: &str,
        x: Features,
        kernel: [usize; 2],
        stride: [usize; 2],
    ) -> Features {
        let x = self.as_image(x);
        let attributes = vec![
            Attribute::integers("kernel_shape", &kernel.map(as_i64)),
            Attribute::integers("strides", &stride.map(as_i64)),
        ];
        Features {
            value: self.graph.apply(operator, &[&x.value], attributes),
            flat: false,
        }
    }

    fn global_pool(&mut self, x: Features, kind: GlobalPoolKind) -> Features {
        let x = self.as_image(x);
        let value = match kind {
            GlobalPoolKind::Average => self.graph.op("GlobalAveragePool", &[&x.value]),
            GlobalPoolKind::Max => self.graph.op("GlobalMaxPool", &[&x.value]),
            GlobalPoolKind::AveragePlusMax => {
                let average = self.graph.op("GlobalAveragePool", &[&x.value]);
                let maximum = self.graph.op("GlobalMaxPool", &[&x.value]);
                self.graph.add(&average, &maximum)
            }
        };
        Features { value, flat: false }
    }

    fn dense(&mut self, x: Features, name: &str) -> Result<Features, ModelError> {
        let x = self.flattened(x);
        let weight = self.weights.get(name, "weight")?;
        let bias = self.weights.get(name, "bias")?;
        let weight = self
            .graph
            .floats(&weight.name, &weight.shape, &weight.values);
        let bias = self.graph.floats(&bias.name, &bias.shape, &bias.values);
        let transposed = vec![Attribute::integer("transB", 1)];
        let value = self
            .graph
            .apply("Gemm", &[&x.value, &weight, &bias], transposed);
        Ok(Features { value, flat: true })
    }

    fn residual(
        &mut self,
        x: Features,
        name: &str,
        body: &[Layer],
        shortcut: &[Layer],
    ) -> Result<Features, ModelError> {
        let long = self.layers(x.clone(), body, &format!("{name}.body"))?;
        let short = self.layers(x, shortcut, &format!("{name}.shortcut"))?;
        let (long, short) = match long.flat == short.flat {
            true => (long, short),
            false => (self.as_image(long), self.as_image(short)),
        };
        self.graph.enter(name);
        let value = self.graph.add(&long.value, &short.value);
        Ok(Features {
            value,
            flat: long.flat,
        })
    }

    /// `[batch, channels * height * width]`, in PyTorch's order.
    fn flattened(&mut self, x: Features) -> Features {
        if x.flat {
            return x;
        }
        Features {
            value: self.graph.op("Flatten", &[&x.value]),
            flat: true,
        }
    }

    /// A flat vector as an image of one pixel.
    fn as_image(&mut self, x: Features) -> Features {
        if !x.flat {
            return x;
        }
        let axes = self.graph.axes(&[2, 3]);
        Features {
            value: self.graph.op("Unsqueeze", &[&x.value, &axes]),
            flat: false,
        }
    }
}

/// Scales each output's kernel and returns the bias that goes with it.
fn fold(values: &mut [f32], bias: Option<Vec<f32>>, scale: &[f64], shift: &[f64]) -> Vec<f32> {
    let per_output = values.len() / scale.len().max(1);
    for (kernel, factor) in values.chunks_exact_mut(per_output.max(1)).zip(scale) {
        for value in kernel {
            *value = (f64::from(*value) * factor) as f32;
        }
    }
    let bias = bias.unwrap_or_else(|| vec![0.0; scale.len()]);
    std::iter::zip(bias, std::iter::zip(scale, shift))
        .map(|(b, (factor, term))| (f64::from(b) * factor + term) as f32)
        .collect()
}
