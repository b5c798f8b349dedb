//! A trained model on disk: one directory that other programs can read.
//!
//! | file | what it holds | who reads it |
//! |---|---|---|
//! | `bundle.json` | labels, feature configuration, calibration, metrics, provenance | this crate, people |
//! | `weights.safetensors` | the network's tensors in PyTorch's layout | this crate, PyTorch |
//! | `model.onnx` | the whole way from waveform to probabilities | onnxruntime and others |
//! | `MLmodel` and its companions | how MLflow loads `model.onnx` | MLflow |
//!
//! # Reading a bundle without this program
//!
//! `model.onnx` takes a waveform in mono at the rate that its metadata names and
//! gives calibrated probabilities; nothing has to be computed beside it:
//!
//! ```python
//! import json, onnxruntime, soundfile
//!
//! session = onnxruntime.InferenceSession("bundle/model.onnx")
//! metadata = session.get_modelmeta().custom_metadata_map
//! labels, rate = json.loads(metadata["labels"]), int(metadata["sample_rate"])
//!
//! samples, found = soundfile.read("clip.wav", dtype="float32", always_2d=True)
//! assert found == rate, "resample first"
//! waveform = samples.mean(axis=1)[None, :]                    # [batch, samples]
//! [probabilities] = session.run(None, {"waveform": waveform})  # [batch, classes]
//! print(labels[probabilities[0].argmax()], probabilities[0].max())
//! ```
//!
//! With MLflow, `mlflow.pyfunc.load_model("bundle").predict(waveform)` gives
//! `{"probabilities": …}`. The weights alone come with
//! `safetensors.torch.load_file("bundle/weights.safetensors")`; the layers they
//! belong to are in `bundle.json` under `network`.
//!
//! How the ONNX graph is made lives in [`crate::onnx`], what MLflow is told in
//! `crate::mlmodel`; using a bundle is the business of [`crate::predict`].

mod check;
pub(crate) mod files;
pub(crate) mod weights;

use std::collections::BTreeMap;
use std::path::Path;

use biophony_nn::{Network, NetworkSpec};
use serde::{Deserialize, Serialize};

pub use files::Existing;

use crate::calibrate::threshold::ThresholdSearch;
use crate::error::ModelError;
use crate::labels::LabelSet;
use crate::normalize::Normalizer;
use crate::prepare::FrontEnd;
use crate::{mlmodel, onnx};

/// The version of the directory's layout that this program writes. Directories
/// of a higher version are refused, so that nothing in them is misread.
pub const FORMAT_VERSION: u32 = 1;

pub(crate) const DOCUMENT: &str = "bundle.json";
pub(crate) const WEIGHTS: &str = "weights.safetensors";
pub(crate) const ONNX: &str = "model.onnx";

const MAX_DOCUMENT_BYTES: u64 = 64 << 20;
const MAX_WEIGHTS_BYTES: u64 = 1 << 30;
/// Protocol buffers hold no more.
const MAX_ONNX_BYTES: u64 = (1 << 31) - 1;

/// A trained model with all that is needed to use and to judge it.
#[derive(Debug, Clone)]
pub struct Bundle {
    /// The classes, in the order of the network's outputs.
    pub labels: LabelSet,
    /// How a waveform becomes the network's input.
    pub front_end: FrontEnd,
    /// The mean and spread of each band on the training part.
    pub normalizer: Normalizer,
    /// The network with its weights.
    pub network: Network,
    /// How scores become probabilities, and which of them are accepted.
    pub calibration: Calibration,
    /// What the evaluation found, in whatever shape it has.
    pub metrics: serde_json::Value,
    /// Where the model comes from.
    pub provenance: Provenance,
}

/// How scores become probabilities, and from which probability on a label is
/// accepted.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Calibration {
    /// What the logarithms of the scores are divided by; 1 changes nothing.
    pub temperature: f64,
    /// Clips whose best probability is below this are called unknown. None
    /// until someone sets it.
    pub threshold: Option<f32>,
    /// The threshold for each wanted precision, worked out on the validation part or,
    /// where the folds of a cross-validation have none, on all folds.
    pub thresholds: Vec<PrecisionThreshold>,
}

impl Default for Calibration {
    fn default() -> Self {
        Self {
            temperature: 1.0,
            threshold: None,
            thresholds: Vec::new(),
        }
    }
}

/// What it takes for accepted labels to be right this often.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PrecisionThreshold {
    /// The share of accepted clips that should be recognized.
    pub wanted_precision: f64,
    /// The threshold that does it, or the best there is.
    pub search: ThresholdSearch,
}

/// Where a model comes from. Filled in by whoever trained it: this crate reads
/// neither clock nor environment, and no time is part of it: equal runs write equal
/// bundles.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Provenance {
    /// The program and its version, such as `biophony 0.1.0`.
    pub program: String,
    /// What it was trained on: a name, a path, a content digest.
    pub dataset: serde_json::Value,
    /// The settings of the run.
    pub settings: serde_json::Value,
}

/// `bundle.json`.
#[derive(Serialize, Deserialize)]
struct Document {
    format_version: u32,
    labels: LabelSet,
    front_end: FrontEnd,
    normalizer: Normalizer,
    network: NetworkSpec,
    calibration: Calibration,
    metrics: serde_json::Value,
    provenance: Provenance,
    /// The BLAKE3 of the files that the model's answers depend on. `MLmodel`
    /// and its companions are left out: MLflow may rewrite them.
    files: BTreeMap<String, String>,
}

/// The part of `bundle.json` that every version of the format has.
#[derive(Deserialize)]
struct Version {
    format_version: u32,
}

impl Bundle {
    /// Writes the bundle as a directory, all of it or nothing: it is prepared
    /// beside `directory` and moved there when all files are safely on disk.
    ///
    /// # Errors
    ///
    /// When `directory` exists and is not to be replaced, or is something other
    /// than a bundle; when its parts do not fit together; when writing fails.
    pub fn save(&self, directory: &Path, existing: Existing) -> Result<(), ModelError> {
        let path = directory.join(DOCUMENT);
        check::parts(&self.parts(), &path)?;
        let weights = weights::encode(&self.network, &directory.join(WEIGHTS))?;
        let onnx = onnx::encode(self)?;
        let digests = [(WEIGHTS, &weights), (ONNX, &onnx)]
            .map(|(name, bytes)| (name.to_owned(), blake3::hash(bytes).to_hex().to_string()));
        let document = Document {
            format_version: FORMAT_VERSION,
            labels: self.labels.clone(),
            front_end: self.front_end.clone(),
            normalizer: self.normalizer.clone(),
            network: self.network.spec().clone(),
            calibration: self.calibration.clone(),
            metrics: self.metrics.clone(),
            provenance: self.provenance.clone(),
            files: BTreeMap::from(digests),
        };
        let json = serde_json::to_vec_pretty(&document)
            .map_err(|source| ModelError::Json { path, source })?;
        let mut all = vec![(DOCUMENT, json), (WEIGHTS, weights), (ONNX, onnx)];
        all.extend(mlmodel::files(self));
        files::write_directory(directory, &all, existing)
    }

    /// Reads a bundle and checks everything: digests, shapes, sizes.
    ///
    /// # Errors
    ///
    /// Names the file, and the field where there is one, that is missing,
    /// damaged, too large, of a newer format or at odds with another.
    pub fn load(directory: &Path) -> Result<Self, ModelError> {
        let path = directory.join(DOCUMENT);
        let document = read_document(&path)?;
        let weights = read_weights(directory, &document.files)?;
        let parts = check::Parts {
            labels: &document.labels,
            front_end: &document.front_end,
            normalizer: &document.normalizer,
            network: &document.network,
            calibration: &document.calibration,
        };
        check::parts(&parts, &path)?;
        check::fits_in(&document.network, weights.len(), &path)?;
        let network = weights::decode(&document.network, &weights, &directory.join(WEIGHTS))?;
        Ok(Self {
            labels: document.labels,
            front_end: document.front_end,
            normalizer: document.normalizer,
            network,
            calibration: document.calibration,
            metrics: document.metrics,
            provenance: document.provenance,
        })
    }

    /// Whether the files that [`Bundle::load`] reads are those that were saved, as far
    /// as `bundle.json` can tell; quicker than loading it.
    ///
    /// # Errors
    ///
    /// When one is missing, damaged or of a newer program.
    pub fn verify(directory: &Path) -> Result<(), ModelError> {
        let document = read_document(&directory.join(DOCUMENT))?;
        read_weights(directory, &document.files).map(drop)
    }

    fn parts(&self) -> check::Parts<'_> {
        check::Parts {
            labels: &self.labels,
            front_end: &self.front_end,
            normalizer: &self.normalizer,
            network: self.network.spec(),
            calibration: &self.calibration,
        }
    }
}

fn read_document(path: &Path) -> Result<Document, ModelError> {
    let json = files::read(path, MAX_DOCUMENT_BYTES)?;
    let invalid = |source| ModelError::Json {
        path: path.to_owned(),
        source,
    };
    // The version first: a newer document may have other fields.
    let Version { format_version } = serde_json::from_slice(&json).map_err(invalid)?;
    if format_version > FORMAT_VERSION {
        return Err(ModelError::NewerBundle {
            path: path.to_owned(),
            found: format_version,
            known: FORMAT_VERSION,
        });
    }
    serde_json::from_slice(&json).map_err(invalid)
}

/// Checks the digests of all files and returns the content of the one that is
/// used.
fn read_weights(
    directory: &Path,
    digests: &BTreeMap<String, String>,
) -> Result<Vec<u8>, ModelError> {
    let expected = |name: &str| {
        digests.get(name).ok_or_else(|| ModelError::BundleField {
            path: directory.join(DOCUMENT),
            field: "files".into(),
            reason: format!("there is no digest of `{name}`"),
        })
    };
    let path = directory.join(WEIGHTS);
    let weights = files::read(&path, MAX_WEIGHTS_BYTES)?;
    files::check_digest(&path, blake3::hash(&weights), expected(WEIGHTS)?)?;
    let path = directory.join(ONNX);
    files::check_digest(
        &path,
        files::digest(&path, MAX_ONNX_BYTES)?,
        expected(ONNX)?,
    )?;
    Ok(weights)
}

#[cfg(test)]
pub(crate) mod tests;
