//! Several networks trained alike but for their seeds, which then act as one.
//!
//! Here is how members differ while they are trained, and what is told of all of
//! them together. How their networks become one is in `biophony-nn`'s `merge`.

use std::path::{Path, PathBuf};

use biophony_nn::{Network, merge};

use super::config::TrainingConfig;
use super::observer::{EpochRecord, ValidationScores};
use super::{StopReason, Task, Trained};
use crate::error::ModelError;
use crate::score::score;
use crate::seeds::{Purpose, sub_seed};

/// The settings of one member, counted from 0. The first is trained as it would be alone.
pub(super) fn settings(config: &TrainingConfig, member: usize) -> TrainingConfig {
    let seed = match member {
        0 => config.seed,
        _ => sub_seed(config.seed, Purpose::Member, 0, member),
    };
    TrainingConfig {
        seed,
        members: 1,
        ..config.clone()
    }
}

/// Where a member's checkpoints go: below the given directory, or just there if it is
/// the only one.
pub(super) fn directory(checkpoints: &Path, n_members: usize, member: usize) -> PathBuf {
    match n_members {
        1 => checkpoints.to_owned(),
        _ => checkpoints.join(format!("member-{}", member + 1)),
    }
}

/// What came of training all members, which are at least one, as if it were one. One
/// member is left as it is, and those that were stopped before their first epoch ended
/// are left out; if all were, the first stays. What several reach together on the
/// validation part nobody has looked at before: it is scored here, once.
pub(super) fn as_one(mut members: Vec<Trained>, task: &Task<'_>) -> Result<Trained, ModelError> {
    let stopped = stop_reason(&members);
    let has_epoch = |one: &Trained| one.kept_epochs.any();
    if members.iter().any(has_epoch) {
        members.retain(has_epoch);
    } else {
        members.truncate(1);
    }
    if members.len() == 1 {
        let alone = members.remove(0);
        return Ok(Trained { stopped, ..alone });
    }
    let networks: Vec<Network> = members.iter().map(|one| one.network.clone()).collect();
    let network = merge(&networks)?;
    let scores = score(&network, task.normalizer, task.front, task.validation)?;
    Ok(Trained {
        validation: ValidationScores::of(task.validation, &scores, task.classes.len()),
        network,
        n_parameters: members[0].n_parameters,
        normalizer: task.normalizer.clone(),
        history: mean_history(&members),
        kept_epochs: members.iter().map(|one| &one.kept_epochs).collect(),
        stopped,
    })
}

/// Why training ended before all epochs of all members were done, if it did.
fn stop_reason(members: &[Trained]) -> StopReason {
    let ended = |reason: &StopReason| members.iter().any(|one| one.stopped == *reason);
    let early = [StopReason::Interrupted, StopReason::Stalled];
    early
        .into_iter()
        .find(ended)
        .unwrap_or(StopReason::Finished)
}

/// Epoch by epoch the means over the members, each of which has an epoch. One that was
/// stopped before counts with the epoch that it keeps: without it, a curve would jump
/// where only the better or the worse ones go on.
fn mean_history(members: &[Trained]) -> Vec<EpochRecord> {
    let histories = members.iter().map(|one| &one.history);
    let Some(longest) = histories.max_by_key(|history| history.len()) else {
        return Vec::new();
    };
    let mean_at = |there: &EpochRecord| {
        let records: Vec<&EpochRecord> = members
            .iter()
            .map(|one| {
                let reached = one.history.get(there.epoch - 1);
                reached.unwrap_or(&one.history[one.kept_epochs.as_slice()[0] - 1])
            })
            .collect();
        mean_record(there, &records)
    };
    longest.iter().map(mean_at).collect()
}

/// The means of what members reached, at the epoch that one of them is at.
fn mean_record(there: &EpochRecord, records: &[&EpochRecord]) -> EpochRecord {
    let of = |figure: fn(&EpochRecord) -> f32| {
        mean(records.iter().map(|record| f64::from(figure(record)))) as f32
    };
    let scores: Option<Vec<ValidationScores>> =
        records.iter().map(|record| record.validation).collect();
    EpochRecord {
        epoch: there.epoch,
        // The schedule is the same for all.
        learning_rate: there.learning_rate,
        train_loss: of(|record| record.train_loss),
        train_accuracy: of(|record| record.train_accuracy),
        validation: scores.map(|scores| mean_scores(&scores)),
    }
}

fn mean_scores(scores: &[ValidationScores]) -> ValidationScores {
    let of = |figure: fn(&ValidationScores) -> f64| mean(scores.iter().map(figure));
    ValidationScores {
        loss: of(|scores| scores.loss),
        accuracy: of(|scores| scores.accuracy),
        balanced_accuracy: of(|scores| scores.balanced_accuracy),
        macro_f1: of(|scores| scores.macro_f1),
    }
}

fn mean(values: impl ExactSizeIterator<Item = f64>) -> f64 {
    let n = values.len() as f64;
    values.sum::<f64>() / n
}

#[cfg(test)]
mod tests {
    use biophony_audio::Spectrogram;
    use biophony_nn::{Layer, NetworkSpec, Shape};

    use super::*;
    use crate::normalize::Normalizer;
    use crate::prepare::Example;
    use crate::train::kept::KeptEpochs;

    /// A member with these losses, epoch by epoch, on both parts.
    fn member(losses: &[f32], kept_epoch: usize) -> Trained {
        let spec = NetworkSpec {
            input: Shape {
                height: 1,
                width: 1,
                channels: 1,
            },
            layers: vec![Layer::Dense { outputs: 2 }],
        };
        let example = Example {
            name: String::new(),
            label: 0,
            features: Spectrogram::new(1, 1, vec![0.0]),
        };
        let record = |(index, &loss): (usize, &f32)| EpochRecord {
            epoch: index + 1,
            learning_rate: 0.1 / (index + 1) as f32,
            train_loss: loss,
            train_accuracy: 0.5,
            validation: Some(ValidationScores {
                loss: f64::from(loss),
                accuracy: 0.5,
                balanced_accuracy: 0.5,
                macro_f1: 0.5,
            }),
        };
        Trained {
            network: Network::new(&spec, 1).unwrap(),
            n_parameters: 4,
            normalizer: Normalizer::fit(&[example]).unwrap(),
            history: losses.iter().enumerate().map(record).collect(),
            kept_epochs: KeptEpochs::one(kept_epoch),
            validation: None,
            stopped: StopReason::Stalled,
        }
    }

    #[test]
    fn a_member_that_was_stopped_counts_with_the_epoch_that_it_keeps() {
        let members = [
            member(&[4.0, 1.0, 3.0], 2),
            member(&[2.0, 2.0, 2.0, 5.0, 7.0], 3),
        ];
        let history = mean_history(&members);
        let losses: Vec<f32> = history.iter().map(|record| record.train_loss).collect();
        assert_eq!(losses, [3.0, 1.5, 2.5, 3.0, 4.0]);
        let last = &history[4];
        assert_eq!(last.validation.unwrap().loss, 4.0);
        assert_eq!((last.epoch, last.learning_rate), (5, 0.1 / 5.0));
    }
}
