//! What is recorded while a network is trained: a point of each metric per epoch,
//! under the names that Keras gives them, counted from epoch 0.
//!
//! Of an ensemble each member has curves of its own (`member_2/loss`); the plain names
//! are the means of the members and follow once the last of them gets there. What the
//! members reach as one is known when they are trained, and has names of its own
//! (`ensemble_val_loss`).

use std::collections::BTreeMap;
use std::sync::Arc;

use biophony_model::{EpochRecord, EpochReport, TrainingPlan, ValidationScores};
use biophony_tracking::{Metric, RunId, UnixMillis, now};

use super::Recorder;

/// Takes down the epochs of one division's training.
pub(crate) struct EpochLog {
    /// Who writes, and into which run; `None` if the run is not recorded.
    place: Option<(Arc<Recorder>, RunId)>,
    members: usize,
    /// What the members reached, by epoch.
    reached: BTreeMap<usize, Vec<EpochRecord>>,
}

impl EpochLog {
    pub(super) fn new(place: Option<(Arc<Recorder>, RunId)>) -> Self {
        Self {
            place,
            members: 1,
            reached: BTreeMap::new(),
        }
    }

    /// Training begins.
    pub(crate) fn started(&mut self, plan: &TrainingPlan) {
        self.members = plan.members;
    }

    /// An epoch is done.
    pub(crate) fn epoch_finished(&mut self, report: &EpochReport) {
        let Some((recorder, run)) = &self.place else {
            return;
        };
        let now = now();
        let record = &report.record;
        let step = step_of(record);
        let prefix = match self.members {
            1 => String::new(),
            _ => format!("member_{}/", report.member),
        };
        let mut metrics = metrics_of(record, &prefix, now);
        let speed = [
            ("examples_per_second", report.examples_per_second),
            ("epoch_seconds", report.elapsed.as_secs_f64()),
        ];
        metrics.extend(speed.map(|(key, v)| Metric::new(format!("{prefix}{key}"), v, now, step)));
        if self.members > 1 {
            let reached = self.reached.entry(record.epoch).or_default();
            reached.push(record.clone());
            if reached.len() == self.members {
                metrics.extend(metrics_of(&mean(reached), "", now));
            }
        }
        recorder.metrics(run, &metrics);
    }
}

/// An epoch's figures by their names.
pub(super) fn metrics_of(record: &EpochRecord, prefix: &str, now: UnixMillis) -> Vec<Metric> {
    let mut pairs = vec![
        ("loss", f64::from(record.train_loss)),
        ("accuracy", f64::from(record.train_accuracy)),
        ("learning_rate", f64::from(record.learning_rate)),
    ];
    pairs.extend(record.validation.iter().flat_map(validation_pairs));
    let step = step_of(record);
    let pairs = pairs.into_iter();
    pairs
        .map(|(key, value)| Metric::new(format!("{prefix}{key}"), value, now, step))
        .collect()
}

/// What the finished networks reach as one on the validation part.
pub(super) fn ensemble_metrics(scores: &ValidationScores, now: UnixMillis) -> Vec<Metric> {
    let pairs = validation_pairs(scores).into_iter();
    pairs
        .map(|(key, value)| Metric::new(format!("ensemble_{key}"), value, now, 0))
        .collect()
}

fn validation_pairs(scores: &ValidationScores) -> [(&'static str, f64); 4] {
    [
        ("val_loss", scores.loss),
        ("val_accuracy", scores.accuracy),
        ("val_balanced_accuracy", scores.balanced_accuracy),
        ("val_macro_f1", scores.macro_f1),
    ]
}

/// Epochs are counted from 1 here and from 0 there.
fn step_of(record: &EpochRecord) -> i64 {
    record.epoch as i64 - 1
}

/// The figures of one epoch, averaged over members.
fn mean(records: &[EpochRecord]) -> EpochRecord {
    let over = |value: &dyn Fn(&EpochRecord) -> f64| {
        records.iter().map(value).sum::<f64>() / records.len() as f64
    };
    let validated: Option<Vec<ValidationScores>> =
        records.iter().map(|record| record.validation).collect();
    let validation = validated.map(|scores| {
        let over = |value: &dyn Fn(&ValidationScores) -> f64| {
            scores.iter().map(value).sum::<f64>() / scores.len() as f64
        };
        ValidationScores {
            loss: over(&|scores| scores.loss),
            accuracy: over(&|scores| scores.accuracy),
            balanced_accuracy: over(&|scores| scores.balanced_accuracy),
            macro_f1: over(&|scores| scores.macro_f1),
        }
    });
    EpochRecord {
        epoch: records[0].epoch,
        learning_rate: over(&|record| f64::from(record.learning_rate)) as f32,
        train_loss: over(&|record| f64::from(record.train_loss)) as f32,
        train_accuracy: over(&|record| f64::from(record.train_accuracy)) as f32,
        validation,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(loss: f32, val_loss: f64) -> EpochRecord {
        EpochRecord {
            epoch: 3,
            learning_rate: 0.1,
            train_loss: loss,
            train_accuracy: 0.5,
            validation: Some(ValidationScores {
                loss: val_loss,
                accuracy: 0.5,
                balanced_accuracy: 0.5,
                macro_f1: 0.5,
            }),
        }
    }

    #[test]
    fn the_third_epoch_is_step_2_and_members_are_averaged() {
        let metrics = metrics_of(&mean(&[record(1.0, 2.0), record(3.0, 4.0)]), "", 7);
        let value = |key: &str| {
            let found = metrics.iter().find(|metric| metric.key == key);
            found.map(|metric| (metric.value, metric.step))
        };
        assert_eq!(value("loss"), Some((2.0, 2)));
        assert_eq!(value("val_loss"), Some((3.0, 2)));
    }
}
