//! Which run a checkpoint belongs to: its settings and its data.

use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::error::ModelError;
use crate::labels::LabelSet;
use crate::prepare::{Example, FrontEnd};
use crate::train::config::TrainingConfig;

/// Equal identities train the same weights.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Identity {
    /// Training settings, front end and labels, as they are written.
    settings: Value,
    /// The BLAKE3 of names, labels and features of the training part.
    train: String,
    /// The same of the validation part.
    validation: String,
}

impl Identity {
    pub(crate) fn of(
        config: &TrainingConfig,
        front: &FrontEnd,
        labels: &LabelSet,
        train: &[Example],
        validation: &[Example],
    ) -> Self {
        Self {
            settings: serde_json::json!({
                "training": config,
                "front_end": front,
                "labels": labels,
            }),
            train: digest(train),
            validation: digest(validation),
        }
    }

    /// Refuses a checkpoint, read from `path`, of a run that is not `current`.
    pub(super) fn check(&self, current: &Self, path: &Path) -> Result<(), ModelError> {
        let differs = |what: String, then: String, now: String| ModelError::OtherCheckpoint {
            path: path.into(),
            what,
            then,
            now,
        };
        // What this run has went through a file too, so that a number means the
        // same on both sides.
        let current_settings = round_trip(&current.settings);
        if let Some((what, then, now)) = difference(&self.settings, &current_settings) {
            return Err(differs(format!("`{what}`"), then, now));
        }
        for (what, then, now) in [
            ("the training clips", &self.train, &current.train),
            (
                "the validation clips",
                &self.validation,
                &current.validation,
            ),
        ] {
            if then != now {
                return Err(differs(what.to_owned(), short(then), short(now)));
            }
        }
        Ok(())
    }
}

fn round_trip(value: &Value) -> Value {
    serde_json::from_str(&value.to_string()).unwrap_or_else(|_| value.clone())
}

/// The first setting that differs, with both its values.
fn difference(then: &Value, now: &Value) -> Option<(String, String, String)> {
    let (Value::Object(old), Value::Object(new)) = (then, now) else {
        let differs = then != now;
        return differs.then(|| (String::new(), then.to_string(), now.to_string()));
    };
    let keys = old
        .keys()
        .chain(new.keys().filter(|key| !old.contains_key(*key)));
    for key in keys {
        let (old, new) = (old.get(key), new.get(key));
        let found = difference(old.unwrap_or(&Value::Null), new.unwrap_or(&Value::Null));
        if let Some((inner, then, now)) = found {
            let what = if inner.is_empty() {
                key.clone()
            } else {
                format!("{key}.{inner}")
            };
            return Some((what, then, now));
        }
    }
    None
}

/// The beginning of a digest: enough for people to tell two apart.
fn short(digest: &str) -> String {
    digest.chars().take(12).collect()
}

fn digest(examples: &[Example]) -> String {
    let mut hasher = blake3::Hasher::new();
    let mut bytes = Vec::new();
    for example in examples {
        let features = &example.features;
        for number in [
            example.name.len(),
            example.label,
            features.n_bands,
            features.n_frames,
        ] {
            hasher.update(&(number as u64).to_le_bytes());
        }
        hasher.update(example.name.as_bytes());
        bytes.clear();
        bytes.extend(
            features
                .values()
                .iter()
                .flat_map(|value| value.to_le_bytes()),
        );
        hasher.update(&bytes);
    }
    hasher.finalize().to_hex().to_string()
}
