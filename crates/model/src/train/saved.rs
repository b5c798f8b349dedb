//! What training gave, kept as files until it is judged.
//!
//! This is not yet a model for others: calibration and figures are missing.
//! [`crate::bundle`] adds them.

use std::path::Path;

use biophony_nn::NetworkSpec;
use serde::{Deserialize, Serialize};

use super::kept::KeptEpochs;
use super::{StopReason, Trained};
use crate::bundle::{files, weights};
use crate::error::ModelError;
use crate::normalize::Normalizer;
use crate::train::observer::{EpochRecord, ValidationScores};

const DOCUMENT: &str = "trained.json";
const WEIGHTS: &str = "weights.safetensors";

const MAX_DOCUMENT_BYTES: u64 = 64 << 20;
const MAX_WEIGHTS_BYTES: u64 = 1 << 30;

/// `trained.json`.
#[derive(Serialize, Deserialize)]
struct Document {
    network: NetworkSpec,
    n_parameters: usize,
    normalizer: Normalizer,
    history: Vec<EpochRecord>,
    kept_epochs: KeptEpochs,
    validation: Option<ValidationScores>,
    stopped: StopReason,
}

impl Trained {
    /// Writes `trained.json` and `weights.safetensors` into a new folder.
    ///
    /// # Errors
    ///
    /// When the folder exists, or cannot be written.
    pub fn save(&self, folder: &Path) -> Result<(), ModelError> {
        let path = folder.join(DOCUMENT);
        let document = Document {
            network: self.network.spec().clone(),
            n_parameters: self.n_parameters,
            normalizer: self.normalizer.clone(),
            history: self.history.clone(),
            kept_epochs: self.kept_epochs.clone(),
            validation: self.validation,
            stopped: self.stopped,
        };
        let json =
            serde_json::to_vec(&document).map_err(|source| ModelError::Json { path, source })?;
        let weights = weights::encode(&self.network, &folder.join(WEIGHTS))?;
        let all = [(DOCUMENT, json), (WEIGHTS, weights)];
        files::write_directory(folder, &all, files::Existing::Refuse)
    }

    /// Reads what [`Trained::save`] wrote.
    ///
    /// # Errors
    ///
    /// Names the file that is missing or damaged.
    pub fn load(folder: &Path) -> Result<Self, ModelError> {
        let path = folder.join(DOCUMENT);
        let json = files::read(&path, MAX_DOCUMENT_BYTES)?;
        let document: Document =
            serde_json::from_slice(&json).map_err(|source| ModelError::Json { path, source })?;
        let path = folder.join(WEIGHTS);
        let weights = files::read(&path, MAX_WEIGHTS_BYTES)?;
        Ok(Self {
            network: weights::decode(&document.network, &weights, &path)?,
            n_parameters: document.n_parameters,
            normalizer: document.normalizer,
            history: document.history,
            kept_epochs: document.kept_epochs,
            validation: document.validation,
            stopped: document.stopped,
        })
    }
}
