//! Several networks trained alike but for their seeds, which then act as one.
//!
//! Here is how members differ while they are trained, and what is told of all of
//! them together. How their networks become one is in `biophony-nn`'s `merge`.

use std::path::{Path, PathBuf};

use biophony_nn::{Network, merge};

use super::config::TrainingConfig;
use super::observer::{EpochRecord, ValidationScores};
use super::{StopReason, Trained};
use crate::error::ModelError;
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
/// are left out; if all were, the first stays.
pub(super) fn as_one(mut members: Vec<Trained>) -> Result<Trained, ModelError> {
    let stopped = stop_reason(&members);
    if members.iter().any(|one| one.best_epoch > 0) {
        members.retain(|one| one.best_epoch > 0);
    } else {
        members.truncate(1);
    }
    if members.len() == 1 {
        let alone = members.remove(0);
        return Ok(Trained { stopped, ..alone });
    }
    let networks: Vec<Network> = members.iter().map(|one| one.network.clone()).collect();
    let best_epochs = members.iter().map(|one| one.best_epoch as f64);
    Ok(Trained {
        network: merge(&networks)?,
        normalizer: members[0].normalizer.clone(),
        history: mean_history(&members),
        best_epoch: mean(best_epochs).round() as usize,
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

/// Epoch by epoch the means over the members that got there.
fn mean_history(members: &[Trained]) -> Vec<EpochRecord> {
    let longest = members.iter().map(|one| one.history.len()).max();
    let epoch = |index| {
        let records: Vec<&EpochRecord> = members
            .iter()
            .filter_map(|one| one.history.get(index))
            .collect();
        mean_record(&records)
    };
    (0..longest.unwrap_or(0)).map(epoch).collect()
}

/// The mean of at least one record of the same epoch.
fn mean_record(records: &[&EpochRecord]) -> EpochRecord {
    let of = |figure: fn(&EpochRecord) -> f32| {
        mean(records.iter().map(|record| f64::from(figure(record)))) as f32
    };
    let scores: Option<Vec<ValidationScores>> =
        records.iter().map(|record| record.validation).collect();
    EpochRecord {
        epoch: records[0].epoch,
        // The schedule is the same for all.
        learning_rate: records[0].learning_rate,
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
