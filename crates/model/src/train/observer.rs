//! What training tells while it runs, and how it is asked to stop.

use std::ops::ControlFlow;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Watches a training run. Breaking from a report stops it cleanly: the best
/// weights so far are kept.
pub trait TrainingObserver {
    /// Training is about to begin, or to go on from a checkpoint. Told for each member
    /// when its turn comes; what is reported then is about this one.
    fn started(&mut self, _plan: &TrainingPlan) {}

    /// One step is done.
    fn batch_finished(&mut self, _report: &BatchReport) -> ControlFlow<()> {
        ControlFlow::Continue(())
    }

    /// One epoch is done, validated, and in the checkpoint if there is one.
    fn epoch_finished(&mut self, _report: &EpochReport) -> ControlFlow<()> {
        ControlFlow::Continue(())
    }
}

/// Watches nothing.
impl TrainingObserver for () {}

/// How large a training run is.
#[derive(Debug, Clone, PartialEq)]
pub struct TrainingPlan {
    /// Which member is trained now, from 1.
    pub member: usize,
    /// Members in all.
    pub members: usize,
    /// Epochs of each member.
    pub epochs: usize,
    /// Epochs of this member that a checkpoint has already done.
    pub epochs_done: usize,
    /// Steps of each epoch.
    pub batches_per_epoch: usize,
    /// Examples that each epoch takes.
    pub examples_per_epoch: usize,
    /// Examples that validate.
    pub n_validation: usize,
    /// Learned parameters of each member.
    pub n_parameters: usize,
}

/// One step of training.
#[derive(Debug, Clone, PartialEq)]
pub struct BatchReport {
    /// The epoch, from 1.
    pub epoch: usize,
    /// The step within the epoch, from 1.
    pub batch: usize,
    /// Steps of each epoch.
    pub batches: usize,
    /// The mean loss of the epoch so far.
    pub loss: f32,
    /// The rate of this step.
    pub learning_rate: f32,
    /// The norm of this step's gradients before clipping.
    pub gradient_norm: f32,
    /// Training speed of the epoch so far.
    pub examples_per_second: f64,
}

/// One epoch of training.
#[derive(Debug, Clone, PartialEq)]
pub struct EpochReport {
    /// What is kept of the epoch.
    pub record: EpochRecord,
    /// Epochs of each member.
    pub epochs: usize,
    /// The best epoch so far, this one included.
    pub best_epoch: usize,
    /// Training speed.
    pub examples_per_second: f64,
    /// How long the epoch took, validation included.
    pub elapsed: Duration,
}

/// One line of a training run's history. Equal runs have equal histories.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EpochRecord {
    /// The epoch, from 1.
    pub epoch: usize,
    /// The rate of the epoch's last step.
    pub learning_rate: f32,
    /// The mean loss over the epoch's (varied and mixed) examples.
    pub train_loss: f32,
    /// The share of them whose best class was the one they have most of.
    pub train_accuracy: f32,
    /// How the weights did on the validation part, if there is one.
    pub validation: Option<ValidationScores>,
}

/// Figures of merit on the validation part, by windows averaged per clip as in
/// serving.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct ValidationScores {
    /// Mean cross-entropy.
    pub loss: f64,
    /// The share of clips that are right.
    pub accuracy: f64,
    /// The mean recall of the classes that occur.
    pub balanced_accuracy: f64,
    /// The mean F1 of the classes that occur.
    pub macro_f1: f64,
}
