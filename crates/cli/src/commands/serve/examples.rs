//! Sounds to try the model with: recordings of its own test part, or else some that it
//! learned from, where they can still be read; otherwise the demo's voices.
//!
//! A bundle says of its test recordings what they are called and the digest of their
//! bytes, not where they lie; the folders of earlier runs are looked through, and a
//! file counts when it has the digest.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use biophony_model::Bundle;
use biophony_pipeline::Store;
use biophony_web::{ExampleClip, ExampleClips};

use crate::demo::{Voice, fresh_clip, wav_bytes};
use crate::stages::PIPELINE;

/// The largest recording that is offered.
const MAX_BYTES: u64 = 4_000_000;

/// The most examples, and the most folders that are looked through.
const MAX_EXAMPLES: usize = 12;
const MAX_FOLDERS: usize = 4;

/// The demo's own seed is 1: these calls are in no collection that it writes.
const SEED: u64 = 2;

pub(super) struct Examples {
    pipelines: Store,
}

impl Examples {
    pub(super) fn new(pipelines: Store) -> Self {
        Self { pipelines }
    }

    /// One recording of each class, as `(clip, file)`: of the test part, if there is one.
    fn recordings(&self, bundle: &Bundle) -> Vec<(ExampleClip, PathBuf)> {
        let tested = self.of_part(bundle, "test", "a recording that the model was tested on");
        match tested.is_empty() {
            false => tested,
            // A model that came of a cross-validation has learned from all of them.
            true => self.of_part(bundle, "train", "a recording that the model learned from"),
        }
    }

    /// One recording of each class in this part.
    fn of_part(&self, bundle: &Bundle, part: &str, told: &str) -> Vec<(ExampleClip, PathBuf)> {
        let recordings = bundle.provenance.dataset["recordings"].as_array();
        let text = |value: &serde_json::Value| value.as_str().map(str::to_owned);
        let folders = self.folders();
        let mut found: Vec<(ExampleClip, PathBuf)> = Vec::new();
        for recording in recordings.into_iter().flatten() {
            let (Some(path), Some(label), Some(digest)) = (
                text(&recording["path"]),
                text(&recording["label"]),
                text(&recording["blake3"]),
            ) else {
                continue;
            };
            let is_new = found.iter().all(|(clip, _)| clip.label != label);
            if recording["part"] != part || !is_new || found.len() == MAX_EXAMPLES {
                continue;
            }
            let files = folders.iter().map(|folder| folder.join(&path));
            let Some(file) = files.into_iter().find(|file| has_digest(file, &digest)) else {
                continue;
            };
            let ending = file.extension().unwrap_or_default().to_string_lossy();
            let clip = ExampleClip {
                name: format!("{label}.{ending}"),
                source: format!("{path}, {told}"),
                label,
                synthetic: false,
            };
            found.push((clip, file));
        }
        found
    }

    /// Where the recordings of the last runs lay.
    fn folders(&self) -> Vec<PathBuf> {
        let mut runs = self.pipelines.runs().unwrap_or_default();
        runs.retain(|run| run.pipeline == PIPELINE);
        runs.sort_by_key(|run| std::cmp::Reverse(run.started_ms));
        let mut seen = BTreeSet::new();
        runs.iter()
            .filter_map(|run| {
                let folder = run.config["folder"].as_str().map(PathBuf::from);
                let manifest = run.config["manifest"].as_str().map(Path::new);
                folder.or_else(|| Some(manifest?.parent()?.to_owned()))
            })
            .filter(|folder| seen.insert(folder.clone()))
            .take(MAX_FOLDERS)
            .collect()
    }
}

impl ExampleClips for Examples {
    fn list(&self, model: Option<&Bundle>) -> Vec<ExampleClip> {
        let found = model
            .map(|bundle| self.recordings(bundle))
            .unwrap_or_default();
        if !found.is_empty() {
            return found.into_iter().map(|(clip, _)| clip).collect();
        }
        voices(model).into_iter().map(of_voice).collect()
    }

    fn read(&self, model: Option<&Bundle>, name: &str) -> Option<Vec<u8>> {
        let found = model
            .map(|bundle| self.recordings(bundle))
            .unwrap_or_default();
        if let Some((_, file)) = found.iter().find(|(clip, _)| clip.name == name) {
            return std::fs::read(file).ok();
        }
        let voice = voices(model)
            .into_iter()
            .find(|&voice| of_voice(voice).name == name)?;
        wav_bytes(&fresh_clip(voice, SEED)).ok()
    }
}

/// The voices that the model knows; all of them where there is no model.
fn voices(model: Option<&Bundle>) -> Vec<Voice> {
    let knows =
        |voice: &Voice| model.is_none_or(|bundle| bundle.labels.index_of(voice.name()).is_some());
    Voice::ALL.into_iter().filter(knows).collect()
}

fn of_voice(voice: Voice) -> ExampleClip {
    ExampleClip {
        name: format!("{}.wav", voice.name()),
        label: voice.name().to_owned(),
        source: "synthesized by this program; not recorded from an animal".to_owned(),
        synthetic: true,
    }
}

fn has_digest(file: &Path, digest: &str) -> bool {
    let is_small = file
        .metadata()
        .is_ok_and(|file| file.is_file() && file.len() <= MAX_BYTES);
    is_small
        && std::fs::read(file).is_ok_and(|bytes| blake3::hash(&bytes).to_hex().as_str() == digest)
}
