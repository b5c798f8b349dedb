//! Networks as data: what a network is made of, before it has any weights.
//!
//! A [`NetworkSpec`] is plain data for settings files and bundles. It is checked
//! by [`NetworkSpec::summary`] and by [`crate::Network::new`]; how it is lowered
//! to steps that run is the business of `crate::graph` and `crate::plan`.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The extent of one example: an image of `height` × `width` with `channels` per pixel.
///
/// Batches are stored as NHWC: `[batch, height, width, channels]`, channels fastest.
/// A flat vector is a 1 × 1 image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Shape {
    /// Rows: mel bands, for a spectrogram.
    pub height: usize,
    /// Columns: frames, for a spectrogram.
    pub width: usize,
    /// Values per pixel.
    pub channels: usize,
}

impl Shape {
    /// The number of values of one example.
    pub fn n_values(self) -> usize {
        self.height * self.width * self.channels
    }

    /// The number of pixels of one example.
    pub fn n_pixels(self) -> usize {
        self.height * self.width
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}x{}x{}", self.height, self.width, self.channels)
    }
}

/// A network: the shape of its input and the layers that follow one another.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NetworkSpec {
    /// The shape of one example.
    pub input: Shape,
    /// The layers, first to last.
    pub layers: Vec<Layer>,
}

/// One layer. Semantics and defaults are PyTorch's.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "layer", rename_all = "snake_case", deny_unknown_fields)]
pub enum Layer {
    /// Cross-correlation with learned kernels; `torch.nn.Conv2d`.
    Conv2d {
        /// Channels of the result.
        outputs: usize,
        /// Height and width of the kernel.
        kernel: [usize; 2],
        /// Steps between results, down and across.
        #[serde(default = "one_by_one")]
        stride: [usize; 2],
        /// What lies beyond the border.
        #[serde(default)]
        padding: Padding,
        /// Channels are split into so many groups that do not see each other;
        /// as many groups as channels make the convolution depthwise.
        #[serde(default = "one")]
        groups: usize,
        /// Whether a learned constant is added to each output. Redundant before batch-norm.
        #[serde(default)]
        bias: bool,
    },
    /// Normalizes each channel over batch and pixels; `torch.nn.BatchNorm2d`.
    BatchNorm {
        /// Added to the variance.
        #[serde(default = "default_epsilon")]
        epsilon: f32,
        /// The weight of a new batch in the running statistics.
        #[serde(default = "default_momentum")]
        momentum: f32,
    },
    /// `max(x, 0)`.
    Relu,
    /// The largest value of each window; incomplete windows at the far border are left out.
    MaxPool {
        /// Height and width of the window.
        kernel: [usize; 2],
        /// Steps between windows, down and across.
        stride: [usize; 2],
    },
    /// The mean of each window; incomplete windows at the far border are left out.
    AveragePool {
        /// Height and width of the window.
        kernel: [usize; 2],
        /// Steps between windows, down and across.
        stride: [usize; 2],
    },
    /// One value per channel, for images of any size.
    GlobalPool {
        /// Which value.
        kind: GlobalPoolKind,
    },
    /// An image becomes a vector, in PyTorch's order: channel, row, column.
    Flatten,
    /// A matrix product and a bias; `torch.nn.Linear`.
    Dense {
        /// Values of the result.
        outputs: usize,
    },
    /// Zeroes values at random while training and scales the others by `1 / (1 - rate)`.
    Dropout {
        /// The probability of a zero, at least 0 and less than 1.
        rate: f32,
    },
    /// `body(x) + shortcut(x)`.
    Residual {
        /// The layers of the longer way.
        body: Vec<Layer>,
        /// The layers of the shorter way; none for `x` itself.
        #[serde(default)]
        shortcut: Vec<Layer>,
    },
}

impl Layer {
    /// The layer's word in settings files.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Conv2d { .. } => "conv2d",
            Self::BatchNorm { .. } => "batch_norm",
            Self::Relu => "relu",
            Self::MaxPool { .. } => "max_pool",
            Self::AveragePool { .. } => "average_pool",
            Self::GlobalPool { .. } => "global_pool",
            Self::Flatten => "flatten",
            Self::Dense { .. } => "dense",
            Self::Dropout { .. } => "dropout",
            Self::Residual { .. } => "residual",
        }
    }

    /// A batch-norm with PyTorch's `eps` and `momentum`.
    pub fn batch_norm() -> Self {
        Self::BatchNorm {
            epsilon: default_epsilon(),
            momentum: default_momentum(),
        }
    }
}

/// What a convolution sees beyond the border.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Padding {
    /// `(kernel - 1) / 2` zeros on each side: with an odd kernel and stride 1
    /// the result is as large as the input.
    #[default]
    Same,
    /// Nothing: only windows inside the input are used.
    Valid,
}

impl Padding {
    /// Zeros on each side, above/below and left/right, for a kernel.
    pub fn zeros(self, kernel: [usize; 2]) -> [usize; 2] {
        match self {
            Self::Same => kernel.map(|k| k.saturating_sub(1) / 2),
            Self::Valid => [0, 0],
        }
    }
}

/// What a global pooling keeps of each channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GlobalPoolKind {
    /// The mean.
    Average,
    /// The maximum.
    Max,
    /// The sum of mean and maximum, as in PANNs.
    AveragePlusMax,
}

fn one() -> usize {
    1
}

fn one_by_one() -> [usize; 2] {
    [1, 1]
}

fn default_epsilon() -> f32 {
    1e-5
}

fn default_momentum() -> f32 {
    0.1
}
