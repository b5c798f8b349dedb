//! The networks that can be asked for by name, as data for `biophony-nn`.
//!
//! | name | what it is | after |
//! |---|---|---|
//! | `cnn` | conv, ReLU, max-pool; flatten; dense | the tutorials |
//! | `cnn-bn` | pairs of convolutions with batch-norm; global pooling | PANNs, Kong et al. 2020 |
//! | `mobile` | depthwise-separable inverted residuals | MobileNetV2, Sandler et al. 2018 |
//! | `resnet` | residual, with a restricted receptive field | CP-ResNet, Koutini et al. 2019 and 2021 |
//!
//! All but `cnn` pool globally, so that the same weights run on windows of any
//! length. Learning them is in [`crate::train`](mod@crate::train).

use std::fmt;
use std::str::FromStr;

use biophony_nn::{GlobalPoolKind, Layer, NetworkSpec, Padding, Shape};
use serde::{Deserialize, Serialize};

use crate::error::ModelError;

/// A network that can be asked for by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Architecture {
    /// The classic: conv–ReLU–max-pool blocks, flatten, dense.
    Cnn,
    /// Double-convolution blocks with batch-norm, global pooling.
    CnnBn,
    /// Depthwise-separable inverted residuals, under 150,000 parameters.
    Mobile,
    /// Residual blocks whose receptive field is restricted.
    Resnet,
}

/// The names of all networks.
pub const ARCHITECTURES: [&str; 4] = ["cnn", "cnn-bn", "mobile", "resnet"];

/// How large a network is made, and how much it drops while training.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Scale {
    /// Multiplies the channels of every convolution; 1 is the usual width.
    pub width: f64,
    /// The rate of the dropout before the last layer; 0 leaves it out.
    pub dropout: f64,
}

/// The greatest factor of the usual width.
pub const MAX_WIDTH: f64 = 16.0;

impl Default for Scale {
    fn default() -> Self {
        Self {
            width: 1.0,
            dropout: 0.2,
        }
    }
}

/// The network called `name`, at its usual width.
///
/// ```
/// # use biophony_model::architecture;
/// # use biophony_nn::Shape;
/// let input = Shape { height: 64, width: 128, channels: 1 };
/// let spec = architecture("mobile", input, 13)?;
/// assert_eq!(spec.input, input);
/// assert!(architecture("mobil", input, 13).unwrap_err().to_string().contains("`mobile`"));
/// # Ok::<(), biophony_model::ModelError>(())
/// ```
///
/// # Errors
///
/// When there is no such network (the message names the nearest) or the input
/// is too small for it.
pub fn architecture(name: &str, input: Shape, classes: usize) -> Result<NetworkSpec, ModelError> {
    name.parse::<Architecture>()?
        .network(input, classes, Scale::default())
}

impl Architecture {
    /// Every network there is.
    pub const ALL: [Self; 4] = [Self::Cnn, Self::CnnBn, Self::Mobile, Self::Resnet];

    /// The name that settings use.
    pub fn name(self) -> &'static str {
        match self {
            Self::Cnn => "cnn",
            Self::CnnBn => "cnn-bn",
            Self::Mobile => "mobile",
            Self::Resnet => "resnet",
        }
    }

    /// The network for one shape of input.
    ///
    /// # Errors
    ///
    /// When a setting is out of range or the input is too small.
    pub fn network(
        self,
        input: Shape,
        classes: usize,
        scale: Scale,
    ) -> Result<NetworkSpec, ModelError> {
        scale.check()?;
        let layers = match self {
            Self::Cnn => cnn(input, classes, scale),
            Self::CnnBn => cnn_bn(input, classes, scale),
            Self::Mobile => mobile(classes, scale),
            Self::Resnet => resnet(classes, scale),
        };
        let spec = NetworkSpec { input, layers };
        spec.summary()?;
        Ok(spec)
    }
}

impl Scale {
    fn check(self) -> Result<(), ModelError> {
        if !(self.width > 0.0 && self.width <= MAX_WIDTH) {
            return Err(ModelError::InvalidSetting {
                field: "width",
                value: self.width.to_string(),
                reason: format!("more than 0 and at most {MAX_WIDTH}"),
            });
        }
        if !(0.0..1.0).contains(&self.dropout) {
            return Err(ModelError::InvalidSetting {
                field: "dropout",
                value: self.dropout.to_string(),
                reason: "at least 0 and less than 1".to_owned(),
            });
        }
        Ok(())
    }

    /// Scaled channels in multiples of eight, which fill vector registers.
    fn channels(self, usual: usize) -> usize {
        let eights = (usual as f64 * self.width / 8.0).round() as usize;
        eights.max(1) * 8
    }
}

/// Conv–ReLU–max-pool blocks, flatten, dense, as in the Keras tutorials.
fn cnn(input: Shape, classes: usize, scale: Scale) -> Vec<Layer> {
    let mut layers = Vec::new();
    let mut size = [input.height, input.width];
    for channels in [32, 64, 128, 128] {
        layers.push(conv(scale.channels(channels), 3, Bias::Learned));
        layers.push(Layer::Relu);
        layers.extend(halve(&mut size).map(|window| Layer::MaxPool {
            kernel: window,
            stride: window,
        }));
    }
    layers.push(Layer::Flatten);
    layers.push(Layer::Dense {
        outputs: scale.channels(128),
    });
    layers.push(Layer::Relu);
    layers.extend(head(classes, scale));
    layers
}

/// Pairs of convolutions with batch-norm, halved by max-pooling in between. The
/// very first has a stride of 2: full resolution would cost more than all the
/// rest and helps nothing.
fn cnn_bn(input: Shape, classes: usize, scale: Scale) -> Vec<Layer> {
    let mut layers = conv_bn_relu(scale.channels(24), 5, 2);
    layers.extend(conv_bn_relu(scale.channels(24), 3, 1));
    let mut size = [input.height.div_ceil(2), input.width.div_ceil(2)];
    for channels in [48, 96, 192] {
        layers.extend(halve(&mut size).map(|window| Layer::MaxPool {
            kernel: window,
            stride: window,
        }));
        for _ in 0..2 {
            layers.extend(conv_bn_relu(scale.channels(channels), 3, 1));
        }
    }
    layers.push(Layer::GlobalPool {
        kind: GlobalPoolKind::AveragePlusMax,
    });
    layers.extend(head(classes, scale));
    layers
}

/// Inverted residuals: widen by 1×1, filter each channel, narrow by 1×1.
fn mobile(classes: usize, scale: Scale) -> Vec<Layer> {
    let mut layers = conv_bn_relu(scale.channels(16), 3, 2);
    let mut inputs = scale.channels(16);
    for (outputs, stride) in [(24, 2), (24, 1), (40, 2), (40, 1), (64, 2), (64, 1)] {
        let outputs = scale.channels(outputs);
        layers.extend(inverted_residual(inputs, outputs, stride));
        inputs = outputs;
    }
    layers.extend(conv_bn_relu(scale.channels(192), 1, 1));
    layers.push(Layer::GlobalPool {
        kind: GlobalPoolKind::AveragePlusMax,
    });
    layers.extend(head(classes, scale));
    layers
}

/// How many times wider the inside of an inverted residual is than its input.
const EXPANSION: usize = 4;

fn inverted_residual(inputs: usize, outputs: usize, stride: usize) -> Vec<Layer> {
    let inner = inputs * EXPANSION;
    let mut body = conv_bn_relu(inner, 1, 1);
    body.push(Layer::Conv2d {
        outputs: inner,
        kernel: [3, 3],
        stride: [stride, stride],
        padding: Padding::Same,
        groups: inner,
        bias: false,
    });
    body.extend([Layer::batch_norm(), Layer::Relu]);
    // The narrow end stays linear: a ReLU there would lose what it cannot hold.
    body.extend([conv(outputs, 1, Bias::None), Layer::batch_norm()]);
    if stride == 1 && inputs == outputs {
        vec![Layer::Residual {
            body,
            shortcut: Vec::new(),
        }]
    } else {
        body
    }
}

/// Residual blocks; the later ones are 1×1, so that no output sees more than 47
/// bands, just under half of the default 96. Koutini et al. found that a receptive field that
/// covers the whole spectrogram overfits on small sets of sounds.
fn resnet(classes: usize, scale: Scale) -> Vec<Layer> {
    let mut layers = conv_bn_relu(scale.channels(16), 5, 2);
    let mut inputs = scale.channels(16);
    for (outputs, kernels, pool) in [
        (32, [3, 1], true),
        (64, [3, 3], true),
        (96, [3, 1], false),
        (128, [1, 1], false),
    ] {
        let outputs = scale.channels(outputs);
        layers.extend(residual(inputs, outputs, kernels));
        if pool {
            layers.push(Layer::MaxPool {
                kernel: [2, 2],
                stride: [2, 2],
            });
        }
        inputs = outputs;
    }
    layers.push(Layer::GlobalPool {
        kind: GlobalPoolKind::Average,
    });
    layers.extend(head(classes, scale));
    layers
}

fn residual(inputs: usize, outputs: usize, kernels: [usize; 2]) -> [Layer; 2] {
    let mut body = conv_bn_relu(outputs, kernels[0], 1);
    body.extend([conv(outputs, kernels[1], Bias::None), Layer::batch_norm()]);
    let shortcut = if inputs == outputs {
        Vec::new()
    } else {
        vec![conv(outputs, 1, Bias::None), Layer::batch_norm()]
    };
    [Layer::Residual { body, shortcut }, Layer::Relu]
}

/// Dropout, when there is any, and one output for each class.
fn head(classes: usize, scale: Scale) -> Vec<Layer> {
    let mut layers = Vec::new();
    if scale.dropout > 0.0 {
        layers.push(Layer::Dropout {
            rate: scale.dropout as f32,
        });
    }
    layers.push(Layer::Dense { outputs: classes });
    layers
}

/// Whether a convolution adds a constant; before batch-norm it would be lost.
#[derive(Clone, Copy, PartialEq)]
enum Bias {
    Learned,
    None,
}

fn conv(outputs: usize, kernel: usize, bias: Bias) -> Layer {
    strided_conv(outputs, kernel, 1, bias)
}

fn conv_bn_relu(outputs: usize, kernel: usize, stride: usize) -> Vec<Layer> {
    vec![
        strided_conv(outputs, kernel, stride, Bias::None),
        Layer::batch_norm(),
        Layer::Relu,
    ]
}

fn strided_conv(outputs: usize, kernel: usize, stride: usize, bias: Bias) -> Layer {
    Layer::Conv2d {
        outputs,
        kernel: [kernel, kernel],
        stride: [stride, stride],
        padding: Padding::Same,
        groups: 1,
        bias: bias == Bias::Learned,
    }
}

/// The pooling window that halves what can still be halved, if anything can.
fn halve(size: &mut [usize; 2]) -> Option<[usize; 2]> {
    let window = size.map(|extent| if extent >= 2 { 2 } else { 1 });
    *size = [size[0] / window[0], size[1] / window[1]];
    (window != [1, 1]).then_some(window)
}

impl fmt::Display for Architecture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl From<Architecture> for String {
    fn from(architecture: Architecture) -> Self {
        architecture.name().to_owned()
    }
}

impl TryFrom<String> for Architecture {
    type Error = ModelError;

    fn try_from(name: String) -> Result<Self, ModelError> {
        name.parse()
    }
}

impl FromStr for Architecture {
    type Err = ModelError;

    fn from_str(name: &str) -> Result<Self, ModelError> {
        let known = Self::ALL.into_iter().find(|known| known.name() == name);
        known.ok_or_else(|| unknown(name))
    }
}

fn unknown(name: &str) -> ModelError {
    let distance = |known: &Architecture| {
        let likeness = strsim::jaro_winkler(known.name(), &name.to_lowercase());
        // Floats have no order; six digits of likeness are plenty.
        std::cmp::Reverse((likeness * 1e6) as u64)
    };
    let nearest = Architecture::ALL.into_iter().min_by_key(distance);
    ModelError::UnknownArchitecture {
        name: name.to_owned(),
        nearest: nearest.unwrap_or(Architecture::Cnn).name(),
        known: ARCHITECTURES.join(", "),
    }
}

#[cfg(test)]
#[path = "architecture/tests.rs"]
mod tests;
