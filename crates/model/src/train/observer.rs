//! What training tells while it runs, and how it is asked to stop.

use std::ops::ControlFlow;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Watches a training run. Breaking from a report stops it cleanly: the best
/// weights so far are kept. Members are trained side by side, and their reports come
/// one at a time, from any thread.
pub trait TrainingObserver: Send {
    /// Training is about to begin, or to go on from checkpoints.
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

/// An observer that members share, and whether it has asked them to stop.
pub(super) struct Watch<'a, 'o> {
    shared: Mutex<Shared<'a, 'o>>,
}

struct Shared<'a, 'o> {
    observer: &'a mut (dyn TrainingObserver + 'o),
    is_stopped: bool,
}

impl<'a, 'o> Watch<'a, 'o> {
    pub(super) fn new(observer: &'a mut (dyn TrainingObserver + 'o)) -> Self {
        Self {
            shared: Mutex::new(Shared {
                observer,
                is_stopped: false,
            }),
        }
    }

    pub(super) fn is_stopped(&self) -> bool {
        self.tell(|_| ControlFlow::Continue(())).is_break()
    }

    pub(super) fn batch_finished(&self, report: &BatchReport) -> ControlFlow<()> {
        self.tell(|observer| observer.batch_finished(report))
    }

    pub(super) fn epoch_finished(&self, report: &EpochReport) {
        // Who asks for an end now gets it when all members have told their epochs.
        let _ = self.tell(|observer| observer.epoch_finished(report));
    }

    /// Whether training may go on: once it may not, it may not again.
    fn tell(
        &self,
        report: impl FnOnce(&mut dyn TrainingObserver) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        // An observer that panicked has ended the training, whatever it says.
        let mut shared = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
        shared.is_stopped |= report(shared.observer).is_break();
        match shared.is_stopped {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        }
    }
}

/// How large a training run is.
#[derive(Debug, Clone, PartialEq)]
pub struct TrainingPlan {
    /// Networks that are trained.
    pub members: usize,
    /// Epochs of each member.
    pub epochs: usize,
    /// Epochs that checkpoints have already done, of all members together.
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
    /// The member that took it, from 1.
    pub member: usize,
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
    /// The member whose epoch it is, from 1.
    pub member: usize,
    /// What is kept of the epoch.
    pub record: EpochRecord,
    /// Epochs of each member.
    pub epochs: usize,
    /// The member's best epoch so far, this one included.
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
