//! Training: from labelled, prepared clips to a network that tells them apart.
//!
//! [`train`] runs epochs until they are spent, validation stalls, or the
//! observer asks it to stop, and returns the best weights seen. The same seed
//! and clips give the same weights, bit for bit, at any number of threads and
//! with any number of interruptions. If the settings ask for several members, it
//! does so for each and returns the one network that they make together.
//!
//! The settings are in [`config`], what is reported while it runs in
//! [`observer`]. How windows are varied is in [`crate::augment`], what
//! interruptions leave behind in `checkpoint`, how clips are scored in
//! [`crate::score`](mod@crate::score), how members become one in `members`.

pub(crate) mod average;
mod batch;
pub mod config;
mod members;
pub mod observer;
mod sampling;
mod saved;
mod session;
mod validate;

use std::path::Path;
use std::time::Instant;

use biophony_nn::Network;
use serde::{Deserialize, Serialize};

use crate::checkpoint::{Checkpoint, Identity};
use crate::error::ModelError;
use crate::labels::LabelSet;
use crate::normalize::Normalizer;
use crate::prepare::{Example, FrontEnd};
use config::TrainingConfig;
use observer::{EpochRecord, EpochReport, TrainingObserver, TrainingPlan};
use session::{EpochEnd, Session};

/// What came of training.
#[derive(Debug, Clone)]
pub struct Trained {
    /// The network with the best weights seen; of several members the one network
    /// whose logits are the mean of theirs.
    pub network: Network,
    /// The normalization its input needs.
    pub normalizer: Normalizer,
    /// All epochs. Of several members, each epoch's figures are the means of what
    /// they reached alone: the network that they make together is not validated
    /// while they are trained.
    pub history: Vec<EpochRecord>,
    /// The epoch that the weights are from: the best on the validation part, or
    /// the last without one. 0 when training was stopped before an epoch ended.
    /// Of several members, each of which has its own, the mean, rounded.
    pub best_epoch: usize,
    /// Why training ended.
    pub stopped: StopReason,
}

/// Why training ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StopReason {
    /// All epochs are done.
    Finished,
    /// Validation has not improved for as long as the settings allow.
    Stalled,
    /// The observer asked for it.
    Interrupted,
}

/// Trains a network, and returns the best weights seen on the validation part
/// (the last ones, when that is empty).
///
/// With a directory for `checkpoints`, every epoch is saved there, and a run
/// that finds its own checkpoint goes on from it.
///
/// # Errors
///
/// When settings or clips cannot work, the loss stops being a number, or the
/// checkpoint cannot be written or belongs to other settings or clips.
pub fn train(
    config: &TrainingConfig,
    classes: &LabelSet,
    train: &[Example],
    validation: &[Example],
    front: &FrontEnd,
    checkpoints: Option<&Path>,
    observer: &mut dyn TrainingObserver,
) -> Result<Trained, ModelError> {
    config.check()?;
    front.check()?;
    check_examples(train, classes, front)?;
    check_examples(validation, classes, front)?;
    let normalizer = Normalizer::fit(train)?;
    let task = Task {
        classes,
        train,
        validation,
        front,
        normalizer: &normalizer,
    };
    let mut trained = Vec::new();
    for member in 0..config.members {
        let settings = members::settings(config, member);
        let directory = checkpoints.map(|path| members::directory(path, config.members, member));
        let place = Place {
            member: member + 1,
            members: config.members,
        };
        let one = task.train_member(&settings, place, directory.as_deref(), observer)?;
        let interrupted = one.stopped == StopReason::Interrupted;
        trained.push(one);
        if interrupted {
            break;
        }
    }
    members::as_one(trained)
}

/// What all members have in common.
struct Task<'a> {
    classes: &'a LabelSet,
    train: &'a [Example],
    validation: &'a [Example],
    front: &'a FrontEnd,
    normalizer: &'a Normalizer,
}

/// One of so many members, from 1.
struct Place {
    member: usize,
    members: usize,
}

impl Task<'_> {
    fn train_member(
        &self,
        config: &TrainingConfig,
        place: Place,
        checkpoints: Option<&Path>,
        observer: &mut dyn TrainingObserver,
    ) -> Result<Trained, ModelError> {
        let &Task {
            classes,
            train,
            validation,
            front,
            normalizer,
        } = self;
        let mut session = Session::start(config, classes, train, validation, front, normalizer)?;
        let store = checkpoints.map(|directory| Store {
            directory,
            identity: Identity::of(config, front, classes, train, validation),
        });
        if let Some(store) = &store
            && let Some(checkpoint) = Checkpoint::load(store.directory, &store.identity)?
        {
            session.resume(checkpoint)?;
        }
        let Place { member, members } = place;
        observer.started(&TrainingPlan {
            member,
            members,
            ..session.plan()
        });
        let stopped = run_epochs(&mut session, store.as_ref(), observer)?;
        session.into_trained(stopped)
    }
}

/// Where checkpoints go, and whose they are.
struct Store<'a> {
    directory: &'a Path,
    identity: Identity,
}

fn check_examples(
    examples: &[Example],
    classes: &LabelSet,
    front: &FrontEnd,
) -> Result<(), ModelError> {
    for example in examples {
        front.check_features(&example.name, &example.features)?;
        if example.label >= classes.len() {
            return Err(ModelError::LabelOutOfRange {
                name: example.name.clone(),
                label: example.label,
                n_classes: classes.len(),
            });
        }
    }
    Ok(())
}

fn run_epochs(
    session: &mut Session<'_>,
    store: Option<&Store<'_>>,
    observer: &mut dyn TrainingObserver,
) -> Result<StopReason, ModelError> {
    loop {
        if session.is_finished() {
            return Ok(StopReason::Finished);
        }
        if session.has_stalled() {
            return Ok(StopReason::Stalled);
        }
        let started = Instant::now();
        let EpochEnd::Complete {
            examples_per_second,
        } = session.train_epoch(observer)?
        else {
            return Ok(StopReason::Interrupted);
        };
        let record = session.validate_epoch()?;
        if let Some(store) = store {
            session
                .checkpoint()
                .save(store.directory, &store.identity)?;
        }
        let report = EpochReport {
            record,
            epochs: session.plan().epochs,
            best_epoch: session.best_epoch(),
            examples_per_second,
            elapsed: started.elapsed(),
        };
        if observer.epoch_finished(&report).is_break() {
            return Ok(StopReason::Interrupted);
        }
    }
}
