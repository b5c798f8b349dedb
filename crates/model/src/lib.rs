//! Networks, training and prediction: from prepared clips to a model in use.
//!
//! Read in this order:
//!
//! 1. [`labels`] and [`error`]: the words used everywhere.
//! 2. [`evaluate`]: how good a model is, out of [`metrics`], [`calibrate`] and
//!    [`bootstrap`].

pub mod bootstrap;
pub mod calibrate;
pub mod error;
pub mod evaluate;
pub mod labels;
pub mod metrics;

pub use error::ModelError;
pub use evaluate::{Evaluation, EvaluationOptions, evaluate};
pub use labels::LabelSet;
