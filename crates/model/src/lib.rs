//! Networks, training and prediction: from prepared clips to a model in use.
//!
//! Read in this order:
//!
//! 1. [`labels`] and [`error`]: the words used everywhere.
//! 2. [`prepare`] and [`normalize`]: how a waveform becomes network input.
//! 3. [`architecture`](mod@architecture): the networks that have names.
//! 4. [`augment`]: how training windows are varied.
//! 5. [`train`](mod@train) and [`score`](mod@score): learning, and what was learnt at work.
//! 6. [`evaluate`](mod@evaluate): how good a model is, out of [`metrics`], [`calibrate`] and
//!    [`bootstrap`].
//! 7. [`gate`]: whether it is good enough to replace the one in use.
//! 8. [`bundle`] and [`onnx`]: a model as a directory that other programs read.
//! 9. [`predict`]: a model in use.

pub mod architecture;
pub mod augment;
pub mod bootstrap;
pub mod bundle;
pub mod calibrate;
mod checkpoint;
pub mod error;
pub mod evaluate;
pub mod gate;
pub mod labels;
pub mod metrics;
mod mlmodel;
pub mod normalize;
pub mod onnx;
pub mod predict;
pub mod prepare;
pub mod score;
mod seeds;
pub mod train;

pub use architecture::{ARCHITECTURES, Architecture, Scale, architecture};
pub use augment::AugmentConfig;
pub use bundle::{Bundle, Calibration, Existing, PrecisionThreshold, Provenance};
pub use error::ModelError;
pub use evaluate::{Evaluation, EvaluationOptions, evaluate};
pub use gate::{GateConfig, GateDecision, PairedComparison, compare, decide};
pub use labels::LabelSet;
pub use normalize::Normalizer;
pub use predict::{Prediction, Predictor, Ranked, WindowScore};
pub use prepare::{ClipShape, Cut, Example, FrontEnd, Pad, Preparer};
pub use score::score;
pub use train::config::{Monitor, OptimizerName, ScheduleName, TrainingConfig};
pub use train::kept::KeptEpochs;
pub use train::observer::{
    BatchReport, EpochRecord, EpochReport, TrainingObserver, TrainingPlan, ValidationScores,
};
pub use train::{StopReason, Trained, train};
