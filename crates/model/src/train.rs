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
pub(crate) mod kept;
mod members;
pub mod observer;
mod sampling;
mod saved;
mod session;
mod validate;

use std::path::{Path, PathBuf};
use std::time::Instant;

use biophony_nn::Network;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::checkpoint::{Checkpoint, Identity};
use crate::error::ModelError;
use crate::labels::LabelSet;
use crate::normalize::Normalizer;
use crate::prepare::{Example, FrontEnd};
use config::TrainingConfig;
use kept::KeptEpochs;
use observer::{EpochRecord, EpochReport, TrainingObserver, TrainingPlan, ValidationScores, Watch};
use session::{EpochEnd, Session};

/// What came of training.
#[derive(Debug, Clone)]
pub struct Trained {
    /// The network with the best weights seen; of several members the one network
    /// whose logits are the mean of theirs.
    pub network: Network,
    /// Learned parameters of each member. Together they have a little less than as many
    /// times that: the biases of their last layers are one.
    pub n_parameters: usize,
    /// The normalization its input needs.
    pub normalizer: Normalizer,
    /// All epochs. Of several members, each epoch's figures are the means of what
    /// they reached alone, one that was stopped before counting with the epoch that
    /// it keeps: the network that they make together is not validated while they are
    /// trained.
    pub history: Vec<EpochRecord>,
    /// The epochs that the weights are from: of each member the best on the
    /// validation part, or the last without one.
    pub kept_epochs: KeptEpochs,
    /// What the network reaches on the validation part, all members as one; none
    /// without such a part, or before an epoch ended.
    pub validation: Option<ValidationScores>,
    /// Why training ended.
    pub stopped: StopReason,
}

impl Trained {
    /// How many networks act as one, at least one.
    pub fn n_members(&self) -> usize {
        self.kept_epochs.as_slice().len().max(1)
    }
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
    let settings: Vec<TrainingConfig> = (0..config.members)
        .map(|member| members::settings(config, member))
        .collect();
    let mut members = Vec::new();
    for (index, settings) in settings.iter().enumerate() {
        let directory = checkpoints.map(|path| members::directory(path, config.members, index));
        members.push(Member::start(&task, settings, index + 1, directory)?);
    }
    observer.started(&plan(&members));
    run_epochs(&mut members, observer)?;
    let trained: Result<_, _> = members.into_iter().map(Member::into_trained).collect();
    members::as_one(trained?, &task)
}

/// What all members have in common.
struct Task<'a> {
    classes: &'a LabelSet,
    train: &'a [Example],
    validation: &'a [Example],
    front: &'a FrontEnd,
    normalizer: &'a Normalizer,
}

/// One network while it is trained.
struct Member<'a> {
    /// Which, from 1.
    number: usize,
    session: Session<'a>,
    store: Option<Store>,
    /// Why it is not trained any further.
    stopped: Option<StopReason>,
}

/// Where checkpoints go, and whose they are.
struct Store {
    directory: PathBuf,
    identity: Identity,
}

impl<'a> Member<'a> {
    /// Begins, or goes on from its checkpoint.
    fn start(
        task: &Task<'a>,
        config: &'a TrainingConfig,
        number: usize,
        checkpoints: Option<PathBuf>,
    ) -> Result<Self, ModelError> {
        let &Task {
            classes,
            train,
            validation,
            front,
            normalizer,
        } = task;
        let mut session = Session::start(config, classes, train, validation, front, normalizer)?;
        let store = checkpoints.map(|directory| Store {
            directory,
            identity: Identity::of(config, front, classes, train, validation),
        });
        if let Some(store) = &store
            && let Some(checkpoint) = Checkpoint::load(&store.directory, &store.identity)?
        {
            session.resume(checkpoint)?;
        }
        let mut member = Self {
            number,
            session,
            store,
            stopped: None,
        };
        member.look_for_the_end();
        Ok(member)
    }

    fn look_for_the_end(&mut self) {
        if self.session.is_finished() {
            self.stopped = Some(StopReason::Finished);
        } else if self.session.has_stalled() {
            self.stopped = Some(StopReason::Stalled);
        }
    }

    /// Trains for an epoch and writes it down; nothing when it was stopped meanwhile.
    fn run_epoch(&mut self, watch: &Watch<'_, '_>) -> Result<Option<EpochReport>, ModelError> {
        let started = Instant::now();
        let EpochEnd::Complete {
            examples_per_second,
        } = self.session.train_epoch(self.number, watch)?
        else {
            self.stopped = Some(StopReason::Interrupted);
            return Ok(None);
        };
        let record = self.session.validate_epoch()?;
        if let Some(store) = &self.store {
            let checkpoint = self.session.checkpoint();
            checkpoint.save(&store.directory, &store.identity)?;
        }
        self.look_for_the_end();
        Ok(Some(EpochReport {
            member: self.number,
            record,
            epochs: self.session.epochs(),
            best_epoch: self.session.best_epoch(),
            examples_per_second,
            elapsed: started.elapsed(),
        }))
    }

    fn into_trained(self) -> Result<Trained, ModelError> {
        let stopped = self.stopped.unwrap_or(StopReason::Interrupted);
        self.session.into_trained(stopped)
    }
}

/// How large a training of these members is, which are at least one.
fn plan(members: &[Member<'_>]) -> TrainingPlan {
    let done = |member: &Member<'_>| member.session.epochs_done();
    TrainingPlan {
        members: members.len(),
        epochs_done: members.iter().map(done).sum(),
        ..members[0].session.plan()
    }
}

/// Trains all members epoch by epoch, side by side: what one leaves of the processors,
/// at the end of each operation, another takes.
fn run_epochs(
    members: &mut [Member<'_>],
    observer: &mut dyn TrainingObserver,
) -> Result<(), ModelError> {
    let watch = Watch::new(observer);
    while !watch.is_stopped() && members.iter().any(|member| member.stopped.is_none()) {
        let reports: Vec<Result<Option<EpochReport>, ModelError>> = members
            .par_iter_mut()
            .filter(|member| member.stopped.is_none())
            .map(|member| member.run_epoch(&watch))
            .collect();
        for report in reports {
            if let Some(report) = report? {
                watch.epoch_finished(&report);
            }
        }
    }
    Ok(())
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
