//! The settings of a training run.

use biophony_nn::{OptimizerConfig, Schedule};
use serde::{Deserialize, Serialize};

use crate::architecture::{Architecture, Scale};
use crate::augment::{AugmentConfig, check_range};
use crate::error::ModelError;
use crate::prepare::FrontEnd;

/// Everything that decides what training learns from the same examples.
///
/// A value of 0 turns off what it measures: patience, clipping, averaging.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TrainingConfig {
    /// The network: `cnn`, `cnn-bn`, `mobile` or `resnet`.
    pub architecture: Architecture,
    /// Multiplies the channels of the network.
    pub width: f64,
    /// The share of values dropped before the last layer while training.
    pub dropout: f64,
    /// Where all random numbers come from.
    pub seed: u64,
    /// So many networks are trained with seeds of their own and act as one, whose
    /// logits are the mean of theirs. Training, size and prediction cost as many
    /// times more.
    pub members: usize,
    /// How many times every example is seen.
    pub epochs: usize,
    /// How many examples make one step.
    pub batch_size: usize,
    /// The length of training windows in seconds; 0 for the length that is
    /// scored. Shorter ones train faster and vary more.
    pub crop_seconds: f64,
    /// How weights follow their gradients.
    pub optimizer: OptimizerName,
    /// The greatest learning rate of the schedule.
    pub learning_rate: f64,
    /// How strongly weights are drawn to zero.
    pub weight_decay: f64,
    /// The momentum of `sgd`.
    pub momentum: f64,
    /// How the learning rate changes, step by step.
    pub schedule: ScheduleName,
    /// The share of all steps in which the learning rate rises, for `cosine` and
    /// `one_cycle`.
    pub warmup: f64,
    /// Gradients of a greater norm are scaled down to it; 0 for never.
    pub max_gradient_norm: f64,
    /// The share of each label that is spread over all classes.
    pub label_smoothing: f64,
    /// How far rare classes are drawn more often: 0 for as they come, 1 for all
    /// classes alike.
    pub balanced_sampling: f64,
    /// How far rare classes count more in the loss: 0 for as they come, 1 for
    /// all classes alike.
    pub balanced_loss: f64,
    /// The decay of the moving average of the weights, which is what is
    /// validated and kept; 0 for the weights themselves.
    pub average_decay: f64,
    /// What the best epoch is best at, on the validation part.
    pub monitor: Monitor,
    /// Training stops after so many epochs without a better one; 0 for never.
    pub patience: usize,
    /// How training windows are varied.
    pub augment: AugmentConfig,
}

/// How weights follow their gradients.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OptimizerName {
    /// Adam with decoupled weight decay.
    Adamw,
    /// Adam, its weight decay part of the gradient.
    Adam,
    /// Stochastic gradient descent with Nesterov momentum.
    Sgd,
}

/// How the learning rate changes, step by step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ScheduleName {
    /// Not at all.
    Constant,
    /// Up along a line, down along a cosine.
    Cosine,
    /// Up and down along a cosine.
    OneCycle,
    /// A tenth after each third of the steps.
    Step,
}

/// What the best epoch is best at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Monitor {
    /// The mean F1 of the classes.
    MacroF1,
    /// The share of clips that are right.
    Accuracy,
    /// The mean recall of the classes.
    BalancedAccuracy,
    /// The cross-entropy; less is better.
    Loss,
    /// Being the last: no epoch is chosen, and training never stalls. On a small
    /// validation part the best epoch is best by luck.
    Last,
}

impl Default for TrainingConfig {
    fn default() -> Self {
        Self {
            architecture: Architecture::CnnBn,
            width: 1.0,
            dropout: 0.2,
            seed: 1,
            members: 1,
            epochs: 50,
            batch_size: 16,
            crop_seconds: 0.0,
            optimizer: OptimizerName::Adamw,
            learning_rate: 2e-3,
            weight_decay: 2e-2,
            momentum: 0.9,
            schedule: ScheduleName::Cosine,
            warmup: 0.1,
            max_gradient_norm: 5.0,
            label_smoothing: 0.1,
            balanced_sampling: 0.5,
            balanced_loss: 0.0,
            average_decay: 0.99,
            monitor: Monitor::Last,
            patience: 0,
            augment: AugmentConfig::default(),
        }
    }
}

/// More epochs than anyone waits for, and few enough to count steps in.
const MAX_EPOCHS: f64 = 100_000.0;

/// More members than ever helped.
const MAX_MEMBERS: f64 = 16.0;

impl TrainingConfig {
    /// Whether a validation part decides which epoch is kept or when training ends.
    pub fn chooses_epoch(&self) -> bool {
        self.monitor != Monitor::Last
    }

    /// Whether every value makes sense.
    ///
    /// # Errors
    ///
    /// Names the first that does not.
    pub fn check(&self) -> Result<(), ModelError> {
        for (field, value, range) in [
            ("members", self.members as f64, [1.0, MAX_MEMBERS]),
            ("epochs", self.epochs as f64, [1.0, MAX_EPOCHS]),
            ("batch_size", self.batch_size as f64, [1.0, 4096.0]),
            ("crop_seconds", self.crop_seconds, [0.0, 600.0]),
            ("learning_rate", self.learning_rate, [1e-9, 100.0]),
            ("weight_decay", self.weight_decay, [0.0, 10.0]),
            ("momentum", self.momentum, [0.0, 0.9999]),
            ("warmup", self.warmup, [0.0, 1.0]),
            ("max_gradient_norm", self.max_gradient_norm, [0.0, 1e6]),
            ("label_smoothing", self.label_smoothing, [0.0, 0.9]),
            ("balanced_sampling", self.balanced_sampling, [0.0, 1.0]),
            ("balanced_loss", self.balanced_loss, [0.0, 1.0]),
            ("average_decay", self.average_decay, [0.0, 0.99999]),
        ] {
            check_range(field, value, range)?;
        }
        self.augment.check()
    }

    /// The frames of training windows before this front end.
    ///
    /// # Errors
    ///
    /// When they would be longer than those that are scored.
    pub fn crop_frames(&self, front: &FrontEnd) -> Result<usize, ModelError> {
        if self.crop_seconds == 0.0 {
            return Ok(front.window_frames());
        }
        let n_frames = front.frames_of(self.crop_seconds);
        if n_frames <= front.window_frames() {
            return Ok(n_frames);
        }
        let longest = front.clip.clip_seconds;
        let reason = format!("training windows last at most `clip_seconds`, which is {longest}");
        Err(self.crop_fault(reason))
    }

    pub(crate) fn crop_fault(&self, reason: String) -> ModelError {
        ModelError::InvalidSetting {
            field: "crop_seconds",
            value: self.crop_seconds.to_string(),
            reason,
        }
    }

    /// The size of the network.
    pub fn scale(&self) -> Scale {
        Scale {
            width: self.width,
            dropout: self.dropout,
        }
    }

    pub(crate) fn optimizer(&self) -> OptimizerConfig {
        let (betas, epsilon) = ([0.9, 0.999], 1e-8);
        let weight_decay = self.weight_decay as f32;
        match self.optimizer {
            OptimizerName::Adamw => OptimizerConfig::AdamW {
                betas,
                epsilon,
                weight_decay,
            },
            OptimizerName::Adam => OptimizerConfig::Adam {
                betas,
                epsilon,
                weight_decay,
            },
            OptimizerName::Sgd => OptimizerConfig::Sgd {
                momentum: self.momentum as f32,
                nesterov: self.momentum > 0.0,
                weight_decay,
            },
        }
    }

    pub(crate) fn schedule(&self) -> Schedule {
        match self.schedule {
            ScheduleName::Constant => Schedule::Constant,
            ScheduleName::Cosine => Schedule::Cosine {
                warmup: self.warmup as f32,
            },
            ScheduleName::OneCycle => Schedule::OneCycle {
                rise: self.warmup as f32,
                first_divisor: 25.0,
                last_divisor: 1e4,
            },
            ScheduleName::Step => Schedule::Step {
                period: 1.0 / 3.0,
                factor: 0.1,
            },
        }
    }

    pub(crate) fn max_gradient_norm(&self) -> Option<f32> {
        (self.max_gradient_norm > 0.0).then_some(self.max_gradient_norm as f32)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_make_sense() {
        TrainingConfig::default().check().unwrap();
    }

    #[test]
    fn settings_out_of_range_are_named() {
        let named = |field: &str, change: fn(&mut TrainingConfig)| {
            let mut config = TrainingConfig::default();
            change(&mut config);
            let error = config.check().unwrap_err().to_string();
            assert!(error.contains(&format!("`{field}`")), "{error}");
        };
        named("epochs", |config| config.epochs = 0);
        named("members", |config| config.members = 17);
        named("batch_size", |config| config.batch_size = 0);
        named("learning_rate", |config| config.learning_rate = f64::NAN);
        named("average_decay", |config| config.average_decay = 1.0);
        named("augment.gain_db", |config| config.augment.gain_db = -1.0);
    }

    #[test]
    fn a_settings_file_names_what_it_changes_and_nothing_unknown() {
        let config: TrainingConfig =
            serde_json::from_str(r#"{"architecture":"mobile","augment":{"gain_db":3}}"#).unwrap();
        assert_eq!(config.architecture, Architecture::Mobile);
        assert_eq!(config.augment.gain_db, 3.0);
        assert_eq!(config.epochs, TrainingConfig::default().epochs);
        assert!(serde_json::from_str::<TrainingConfig>(r#"{"epoch":3}"#).is_err());
        assert!(serde_json::from_str::<TrainingConfig>(r#"{"monitor":"f1"}"#).is_err());
    }
}
