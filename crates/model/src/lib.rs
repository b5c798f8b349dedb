//! Networks, training and prediction: from prepared clips to a model in use.
//!
//! Read in this order:
//!
//! 1. [`labels`] and [`error`]: the words used everywhere.

pub mod error;
pub mod labels;

pub use error::ModelError;
pub use labels::LabelSet;
