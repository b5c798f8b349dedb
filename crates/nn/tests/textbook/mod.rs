//! Every layer as a textbook defines it: loops over indices, in double precision.
//!
//! Slow and obvious; the oracle of the tests beside it.

use std::collections::HashMap;

use biophony_nn::{GlobalPoolKind, Layer, NamedTensor, NetworkSpec, Padding, Shape};

/// A batch of images, `[n, height, width, channels]`.
#[derive(Debug, Clone)]
pub(crate) struct Batch {
    pub(crate) n: usize,
    pub(crate) shape: Shape,
    pub(crate) values: Vec<f64>,
}

impl Batch {
    pub(crate) fn new(shape: Shape, values: &[f32]) -> Self {
        let n = values.len() / shape.n_values();
        Self {
            n,
            shape,
            values: values.iter().map(|&v| f64::from(v)).collect(),
        }
    }

    fn zeros(n: usize, shape: Shape) -> Self {
        Self {
            n,
            shape,
            values: vec![0.0; n * shape.n_values()],
        }
    }

    fn index(&self, image: usize, row: usize, column: usize, channel: usize) -> usize {
        let Shape {
            height,
            width,
            channels,
        } = self.shape;
        ((image * height + row) * width + column) * channels + channel
    }

    /// A value, or `None` beyond the border.
    fn at(&self, image: usize, row: isize, column: isize, channel: usize) -> Option<f64> {
        let inside = |place: isize, extent: usize| (0..extent as isize).contains(&place);
        (inside(row, self.shape.height) && inside(column, self.shape.width))
            .then(|| self.values[self.index(image, row as usize, column as usize, channel)])
    }

    /// Calls `value` for each place and takes over what it gives.
    fn fill(n: usize, shape: Shape, value: impl Fn(usize, usize, usize, usize) -> f64) -> Self {
        let mut batch = Self::zeros(n, shape);
        for image in 0..n {
            for row in 0..shape.height {
                for column in 0..shape.width {
                    for channel in 0..shape.channels {
                        let index = batch.index(image, row, column, channel);
                        batch.values[index] = value(image, row, column, channel);
                    }
                }
            }
        }
        batch
    }
}

/// Whether batch-norm uses the statistics of the batch or those it has kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    Training,
    Inference,
}

/// Parameters by name, in PyTorch's layout.
pub(crate) type Tensors = HashMap<String, Vec<f64>>;

pub(crate) fn tensors(named: &[NamedTensor]) -> Tensors {
    let widened = |values: &[f32]| values.iter().map(|&v| f64::from(v)).collect();
    named
        .iter()
        .map(|tensor| (tensor.name.clone(), widened(&tensor.values)))
        .collect()
}

/// Runs a whole network.
pub(crate) fn run(spec: &NetworkSpec, tensors: &Tensors, input: &Batch, mode: Mode) -> Batch {
    run_layers("layers", &spec.layers, tensors, input, mode)
}

fn run_layers(name: &str, layers: &[Layer], tensors: &Tensors, x: &Batch, mode: Mode) -> Batch {
    layers
        .iter()
        .enumerate()
        .fold(x.clone(), |x, (index, layer)| {
            run_layer(&format!("{name}.{index}"), layer, tensors, &x, mode)
        })
}

fn run_layer(name: &str, layer: &Layer, tensors: &Tensors, x: &Batch, mode: Mode) -> Batch {
    let tensor = |field: &str| tensors.get(&format!("{name}.{field}")).map(Vec::as_slice);
    match layer {
        Layer::Conv2d { .. } => conv(layer, tensor("weight").unwrap(), tensor("bias"), x),
        Layer::BatchNorm { epsilon, .. } => {
            let fields = ["weight", "bias", "running_mean", "running_var"];
            batch_norm(
                f64::from(*epsilon),
                fields.map(|field| tensor(field).unwrap()),
                x,
                mode,
            )
        }
        Layer::Relu => map(x, |v| v.max(0.0)),
        Layer::MaxPool { kernel, stride } => pool(x, *kernel, *stride, |window| {
            window.iter().copied().fold(f64::MIN, f64::max)
        }),
        Layer::AveragePool { kernel, stride } => pool(x, *kernel, *stride, |window| {
            window.iter().sum::<f64>() / window.len() as f64
        }),
        Layer::GlobalPool { kind } => {
            let whole = [x.shape.height, x.shape.width];
            pool(x, whole, whole, |window| {
                let mean = window.iter().sum::<f64>() / window.len() as f64;
                let max = window.iter().copied().fold(f64::MIN, f64::max);
                match kind {
                    GlobalPoolKind::Average => mean,
                    GlobalPoolKind::Max => max,
                    GlobalPoolKind::AveragePlusMax => mean + max,
                }
            })
        }
        Layer::Flatten => {
            let Shape { height, width, .. } = x.shape;
            let shape = Shape {
                height: 1,
                width: 1,
                channels: x.shape.n_values(),
            };
            Batch::fill(x.n, shape, |image, _, _, index| {
                let (channel, pixel) = (index / (height * width), index % (height * width));
                x.values[x.index(image, pixel / width, pixel % width, channel)]
            })
        }
        Layer::Dense { outputs } => {
            let (weight, bias) = (tensor("weight").unwrap(), tensor("bias").unwrap());
            let inputs = x.shape.channels;
            let shape = Shape {
                height: 1,
                width: 1,
                channels: *outputs,
            };
            Batch::fill(x.n, shape, |image, _, _, output| {
                let row = &weight[output * inputs..][..inputs];
                let values = &x.values[image * inputs..][..inputs];
                bias[output] + row.iter().zip(values).map(|(w, v)| w * v).sum::<f64>()
            })
        }
        Layer::Dropout { .. } => x.clone(),
        Layer::Residual { body, shortcut } => {
            let long = run_layers(&format!("{name}.body"), body, tensors, x, mode);
            let short = run_layers(&format!("{name}.shortcut"), shortcut, tensors, x, mode);
            let values = long
                .values
                .iter()
                .zip(&short.values)
                .map(|(a, b)| a + b)
                .collect();
            Batch { values, ..long }
        }
    }
}

fn map(x: &Batch, f: impl Fn(f64) -> f64) -> Batch {
    Batch {
        values: x.values.iter().map(|&v| f(v)).collect(),
        ..x.clone()
    }
}

fn conv(layer: &Layer, weight: &[f64], bias: Option<&[f64]>, x: &Batch) -> Batch {
    let Layer::Conv2d {
        outputs,
        kernel,
        stride,
        padding,
        groups,
        ..
    } = layer
    else {
        panic!("a convolution");
    };
    let [kh, kw] = *kernel;
    let [ph, pw] = match padding {
        Padding::Same => [(kh - 1) / 2, (kw - 1) / 2],
        Padding::Valid => [0, 0],
    };
    let shape = Shape {
        height: (x.shape.height + 2 * ph - kh) / stride[0] + 1,
        width: (x.shape.width + 2 * pw - kw) / stride[1] + 1,
        channels: *outputs,
    };
    let (inputs, per_group) = (x.shape.channels / groups, outputs / groups);
    Batch::fill(x.n, shape, |image, row, column, output| {
        let mut sum = bias.map_or(0.0, |bias| bias[output]);
        for input in 0..inputs {
            let channel = output / per_group * inputs + input;
            for tap_row in 0..kh {
                for tap_column in 0..kw {
                    let from_row = (row * stride[0] + tap_row) as isize - ph as isize;
                    let from_column = (column * stride[1] + tap_column) as isize - pw as isize;
                    let w = weight[((output * inputs + input) * kh + tap_row) * kw + tap_column];
                    sum += w * x.at(image, from_row, from_column, channel).unwrap_or(0.0);
                }
            }
        }
        sum
    })
}

fn batch_norm(epsilon: f64, fields: [&[f64]; 4], x: &Batch, mode: Mode) -> Batch {
    let [weight, bias, running_mean, running_var] = fields;
    let channels = x.shape.channels;
    let mut y = x.clone();
    for channel in 0..channels {
        let values = || x.values.iter().skip(channel).step_by(channels);
        let count = (x.values.len() / channels) as f64;
        let (mean, variance) = match mode {
            Mode::Training => {
                let mean = values().sum::<f64>() / count;
                (
                    mean,
                    values().map(|v| (v - mean).powi(2)).sum::<f64>() / count,
                )
            }
            Mode::Inference => (running_mean[channel], running_var[channel]),
        };
        for value in y.values.iter_mut().skip(channel).step_by(channels) {
            let normalized = (*value - mean) / (variance + epsilon).sqrt();
            *value = normalized * weight[channel] + bias[channel];
        }
    }
    y
}

fn pool(x: &Batch, kernel: [usize; 2], stride: [usize; 2], f: impl Fn(&[f64]) -> f64) -> Batch {
    let shape = Shape {
        height: (x.shape.height - kernel[0]) / stride[0] + 1,
        width: (x.shape.width - kernel[1]) / stride[1] + 1,
        ..x.shape
    };
    Batch::fill(x.n, shape, |image, row, column, channel| {
        let mut window = Vec::new();
        for tap_row in 0..kernel[0] {
            for tap_column in 0..kernel[1] {
                let (row, column) = (row * stride[0] + tap_row, column * stride[1] + tap_column);
                window.push(x.values[x.index(image, row, column, channel)]);
            }
        }
        f(&window)
    })
}
