//! The state of a training run on disk, so that a killed run can go on.
//!
//! A checkpoint is a directory with two files: `epoch-N.safetensors` holds the
//! tensors of network, optimizer, average and best epoch; `checkpoint.json`
//! holds the rest, names the tensors' file with its digest, and is replaced
//! last, in one step. A kill at any moment leaves the previous checkpoint or the
//! new one.
//!
//! Random numbers need no state: they are derived from the seed and the epoch
//! (see `seeds`). Trained models are kept as bundles, not as checkpoints.

mod files;
mod identity;
mod tensors;

use std::path::Path;

use biophony_nn::{NamedTensor, OptimizerState};
use serde::{Deserialize, Serialize};

pub(crate) use identity::Identity;

use crate::error::ModelError;
use crate::train::average::SavedAverage;
use crate::train::observer::EpochRecord;

/// The version of the layout that this program reads and writes.
const VERSION: u32 = 1;

const DOCUMENT: &str = "checkpoint.json";

/// Everything that changes while training runs.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Checkpoint {
    /// The weights as the last step left them.
    pub(crate) network: Vec<NamedTensor>,
    /// The optimizer's memory.
    pub(crate) optimizer: OptimizerState,
    /// The moving average, when there is one.
    pub(crate) average: Option<SavedAverage>,
    /// The best epoch and its weights.
    pub(crate) best: Option<(usize, Vec<NamedTensor>)>,
    /// All epochs so far.
    pub(crate) history: Vec<EpochRecord>,
}

/// `checkpoint.json`.
#[derive(Serialize, Deserialize)]
struct Document {
    version: u32,
    identity: Identity,
    optimizer_steps: u64,
    average_updates: Option<u64>,
    best_epoch: Option<usize>,
    history: Vec<EpochRecord>,
    weights: String,
    weights_blake3: String,
}

impl Checkpoint {
    /// Replaces the checkpoint in `directory`, which is created if need be.
    pub(crate) fn save(&self, directory: &Path, identity: &Identity) -> Result<(), ModelError> {
        let weights = format!("epoch-{:06}.safetensors", self.history.len());
        let path = directory.join(&weights);
        let bytes = tensors::encode(&self.parts(), &path)?;
        let document = Document {
            version: VERSION,
            identity: identity.clone(),
            optimizer_steps: self.optimizer.n_steps,
            average_updates: self.average.as_ref().map(|average| average.n_updates),
            best_epoch: self.best.as_ref().map(|(epoch, _)| *epoch),
            history: self.history.clone(),
            weights_blake3: blake3::hash(&bytes).to_hex().to_string(),
            weights: weights.clone(),
        };
        files::create_directory(directory)?;
        files::replace(&path, &bytes)?;
        let path = directory.join(DOCUMENT);
        let json = serde_json::to_vec_pretty(&document).map_err(|source| ModelError::Json {
            path: path.clone(),
            source,
        })?;
        files::replace(&path, &json)?;
        files::remove_other_weights(directory, &weights);
        Ok(())
    }

    fn parts(&self) -> Vec<(&'static str, &[NamedTensor])> {
        let mut parts = vec![
            ("network", self.network.as_slice()),
            ("optimizer", self.optimizer.tensors.as_slice()),
        ];
        parts.extend(
            self.average
                .iter()
                .map(|average| ("average", average.tensors.as_slice())),
        );
        parts.extend(
            self.best
                .iter()
                .map(|(_, tensors)| ("best", tensors.as_slice())),
        );
        parts
    }

    /// Reads the checkpoint in `directory`; none when there is none.
    ///
    /// # Errors
    ///
    /// When it cannot be read, or belongs to another run.
    pub(crate) fn load(directory: &Path, identity: &Identity) -> Result<Option<Self>, ModelError> {
        let path = directory.join(DOCUMENT);
        let Some(json) = files::read(&path)? else {
            return Ok(None);
        };
        let document: Document =
            serde_json::from_slice(&json).map_err(|source| ModelError::Json {
                path: path.clone(),
                source,
            })?;
        if document.version != VERSION {
            let reason = format!(
                "its version is {}, this program's {VERSION}",
                document.version
            );
            return Err(ModelError::DamagedCheckpoint { path, reason });
        }
        document.identity.check(identity, &path)?;
        document.with_tensors(directory).map(Some)
    }
}

impl Document {
    fn with_tensors(self, directory: &Path) -> Result<Checkpoint, ModelError> {
        let path = directory.join(&self.weights);
        let damaged = |reason: &str| ModelError::DamagedCheckpoint {
            path: path.clone(),
            reason: reason.to_owned(),
        };
        let is_plain = Path::new(&self.weights).file_name() == Some(self.weights.as_ref());
        let bytes = if is_plain { files::read(&path)? } else { None };
        let bytes = bytes.ok_or_else(|| damaged("the file is missing"))?;
        if blake3::hash(&bytes).to_hex().as_str() != self.weights_blake3 {
            return Err(damaged("its content is not what was written"));
        }
        let epochs = 1..=self.history.len();
        if self
            .best_epoch
            .is_some_and(|epoch| !epochs.contains(&epoch))
        {
            return Err(damaged("its best epoch is not in its history"));
        }
        let mut parts = tensors::decode(&bytes, &path)?;
        let mut part = |name: &str| parts.remove(name).unwrap_or_default();
        Ok(Checkpoint {
            network: part("network"),
            optimizer: OptimizerState {
                n_steps: self.optimizer_steps,
                tensors: part("optimizer"),
            },
            average: self.average_updates.map(|n_updates| SavedAverage {
                n_updates,
                tensors: part("average"),
            }),
            best: self.best_epoch.map(|epoch| (epoch, part("best"))),
            history: self.history,
        })
    }
}

#[cfg(test)]
mod tests;
