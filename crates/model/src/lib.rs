//! Networks, training and prediction: from prepared clips to a model in use.
//!
//! Read in this order:
//!
//! 1. [`labels`] and [`error`]: the words used everywhere.
//! 2. [`prepare`] and [`normalize`]: how a waveform becomes network input.
//! 3. [`architecture`]: the networks that have names.
//! 4. [`augment`]: how training windows are varied.
//! 5. [`evaluate`]: how good a model is, out of [`metrics`], [`calibrate`] and
//!    [`bootstrap`].

pub mod architecture;
pub mod augment;
pub mod bootstrap;
pub mod calibrate;
pub mod error;
pub mod evaluate;
pub mod labels;
pub mod metrics;
pub mod normalize;
pub mod prepare;
mod seeds;

pub use architecture::{Architecture, Scale, architecture};
pub use augment::AugmentConfig;
pub use error::ModelError;
pub use evaluate::{Evaluation, EvaluationOptions, evaluate};
pub use labels::LabelSet;
pub use normalize::Normalizer;
pub use prepare::{ClipShape, Cut, Example, FrontEnd, Pad, Preparer};
