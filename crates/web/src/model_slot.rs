//! The model in use: swapped whole, read by everybody.
//!
//! A request takes an [`Arc`] of the model it found and keeps it to its end, so that
//! no answer is ever of two models. Which model that is, and how changes are
//! noticed, lives in `model_slot/follow.rs`.

mod follow;

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use biophony_model::Predictor;
use serde::Serialize;
use serde_json::{Value, json};

pub(crate) use follow::Follower;

/// Which model is served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ModelChoice {
    /// The version of the registered model that this alias means at the time.
    Alias(String),
    /// This version of the registered model, whatever aliases mean.
    Version(u32),
    /// The bundle in this folder.
    Folder(PathBuf),
}

/// A model that answers, and what it is called.
pub struct Served {
    /// The model.
    pub predictor: Predictor,
    /// What it is called, and where it comes from.
    pub identity: Identity,
}

/// What a model is called, and where it comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Identity {
    /// The registered model, or the folder's name.
    pub name: String,
    /// Its version in the registry.
    pub version: Option<u32>,
    /// The alias by which it was found.
    pub alias: Option<String>,
    /// The run that made it.
    pub run_id: Option<String>,
    /// The beginning of the BLAKE3 of its `bundle.json`.
    pub digest: String,
}

impl std::fmt::Display for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.name)?;
        if let Some(version) = self.version {
            write!(f, ", version {version}")?;
        }
        match &self.alias {
            Some(alias) => write!(f, " ({alias})"),
            None => Ok(()),
        }
    }
}

impl Served {
    /// The model as answers and pages tell of it.
    pub fn describe(&self) -> Value {
        let bundle = self.predictor.bundle();
        let front = &bundle.front_end;
        json!({
            "name": self.identity.name,
            "version": self.identity.version,
            "alias": self.identity.alias,
            "run_id": self.identity.run_id,
            "digest": self.identity.digest,
            "labels": bundle.labels.names(),
            "threshold": bundle.calibration.threshold,
            "sample_rate_hz": front.rate().hertz(),
            "window_seconds": front.clip.clip_seconds,
        })
    }
}

/// The model in use, if there is one. Clones are the same slot.
#[derive(Clone, Default)]
pub struct ModelSlot {
    inner: Arc<Slot>,
}

#[derive(Default)]
struct Slot {
    current: RwLock<Option<Arc<Served>>>,
    /// Why the model that should be served is not.
    problem: Mutex<Option<String>>,
}

impl ModelSlot {
    /// The model in use at this moment.
    pub fn current(&self) -> Option<Arc<Served>> {
        let slot = self.inner.current.read();
        slot.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Why the model that should be in use is not, if that is so.
    pub fn problem(&self) -> Option<String> {
        let problem = self.inner.problem.lock();
        problem.unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn replace(&self, served: Option<Arc<Served>>) {
        let slot = self.inner.current.write();
        let before = std::mem::replace(&mut *slot.unwrap_or_else(PoisonError::into_inner), served);
        // Freed after the lock, and only when the last request is done with it.
        drop(before);
    }

    pub(crate) fn complain(&self, problem: Option<String>) {
        let slot = self.inner.problem.lock();
        *slot.unwrap_or_else(PoisonError::into_inner) = problem;
    }
}
