//! `ingest`: every recording decoded, examined and turned into features. What
//! was made of a recording in an earlier run is not made again.

use std::collections::HashMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Result;
use biophony_audio::{
    Clip, DecodeLimits, Spectrogram, decode_file, read_spectrogram_npy, write_spectrogram_npy,
};
use biophony_dataset::{Dataset, Examination, examine, relate};
use biophony_model::prepare::{read_examples, write_examples};
use biophony_model::{Example, FrontEnd, LabelSet, Preparer};
use biophony_pipeline::{
    Artifact, BoxError, ContentHash, Format, Json, MemoValue, Output, Pipeline, SourceFolder,
    StepContext,
};
use serde_json::json;

use super::watch::Interrupt;
use crate::collection::Collection;
use crate::settings::Settings;

/// The usable recordings as the network sees them, in the collection's order.
pub(crate) struct Examples {
    pub(crate) labels: LabelSet,
    pub(crate) examples: Vec<Example>,
}

/// What the step takes beside the files.
pub(super) struct Ingest {
    /// The collection's name.
    pub(super) name: String,
    /// The recordings, listed and not yet opened.
    pub(super) dataset: Dataset,
    pub(super) settings: Arc<Settings>,
    pub(super) front_end: Arc<FrontEnd>,
    pub(super) interrupt: Interrupt,
}

/// Adds the step; it gives the audited collection and its features.
pub(super) fn add(
    pipeline: &mut Pipeline,
    recordings: &Output<SourceFolder>,
    ingest: Ingest,
) -> (Output<Json<Collection>>, Output<Examples>) {
    let params = json!({
        "name": ingest.name,
        // Labels, groups and folds: a manifest can change them without touching a file.
        "listing": ingest.listing(),
        "audit": ingest.settings.audit,
        "front_end": *ingest.front_end,
    });
    super::step(pipeline, "ingest", &ingest.settings.run)
        .params(&params)
        .outputs(["collection", "features"])
        .run(recordings, move |context, files: SourceFolder| {
            ingest.run(context, &files)
        })
}

/// The recordings that can be opened, by their names; what the others lack is
/// found out and told by the step.
pub(super) fn openable(dataset: &Dataset) -> Vec<PathBuf> {
    let is_openable = |path: &Path| {
        path.metadata().is_ok_and(|metadata| metadata.is_file()) && File::open(path).is_ok()
    };
    dataset
        .recordings
        .iter()
        .filter(|recording| is_openable(&recording.path))
        .map(|recording| PathBuf::from(dataset.name_of(recording)))
        .collect()
}

impl Ingest {
    fn run(
        &self,
        context: &StepContext,
        files: &SourceFolder,
    ) -> Result<(Json<Collection>, Examples), BoxError> {
        let content = self.contents(files);
        let recordings: Vec<usize> = (0..self.dataset.recordings.len()).collect();
        let path = |&i: &usize| self.dataset.recordings[i].path.as_path();

        let audit = &self.settings.audit;
        let examined: Vec<Json<Examination>> = context.memo(
            "examined",
            audit,
            &recordings,
            |&i| content[i],
            |i| {
                self.interrupt.check()?;
                anyhow::Ok(Json(examine(path(i), audit)))
            },
        )?;
        let mut examined: Vec<Examination> = examined.into_iter().map(|Json(one)| one).collect();

        let usable = |&i: &usize| examined[i].is_usable();
        let readable: Vec<usize> = recordings.iter().copied().filter(usable).collect();
        let preparer = Preparer::new(&self.front_end)?;
        let prepared: Vec<Prepared> = context.memo(
            "features",
            &*self.front_end,
            &readable,
            |&i| content[i],
            |i| {
                self.interrupt.check()?;
                let decoded = decode_file(path(i), &DecodeLimits::default())?;
                anyhow::Ok(Prepared::by(&preparer, &decoded.clip))
            },
        )?;
        let mut features = HashMap::new();
        for (&i, prepared) in readable.iter().zip(prepared) {
            match prepared {
                Prepared::Features(spectrogram) => _ = features.insert(i, spectrogram),
                // Known only now, and told like a file that cannot be read.
                Prepared::Refused(reason) => examined[i] = Examination::unusable(reason),
            }
        }
        let collection = Collection {
            name: self.name.clone(),
            audit: relate(&self.dataset, audit, examined),
            dataset: self.portable(),
        };
        for (path, reason) in collection.unreadable() {
            context.warn(format!("{}: {reason}", path.display()));
        }
        let usable = collection.usable()?;
        context.attach("collection", "recordings", usable.recordings.len());
        context.attach("collection", "classes", usable.classes.len());
        context.attach("collection", "independent", usable.n_groups());
        context.attach("collection", "unreadable", collection.unreadable().len());
        context.info(format!(
            "{}: {} recordings of {} classes, {} of them independent",
            self.name,
            usable.recordings.len(),
            usable.classes.len(),
            usable.n_groups()
        ));

        let index_of: HashMap<String, usize> = recordings
            .iter()
            .map(|&i| (self.dataset.name_of(&self.dataset.recordings[i]), i))
            .collect();
        let examples = usable.names.iter().zip(&usable.labels);
        let examples = Examples {
            labels: LabelSet::new(usable.classes.clone())?,
            examples: examples
                .map(|(name, &label)| Example {
                    name: name.clone(),
                    label,
                    features: features
                        .remove(&index_of[name])
                        .expect("what is usable has features"),
                })
                .collect(),
        };
        Ok((Json(collection), examples))
    }

    /// A digest of all labels, groups, folds and of what was left out.
    fn listing(&self) -> ContentHash {
        let listing = serde_json::to_vec(&self.portable());
        ContentHash::of(&listing.expect("a data set is plain text"))
    }

    /// The data set with names in place of paths: the same wherever it lies.
    fn portable(&self) -> Dataset {
        let mut dataset = self.dataset.clone();
        for recording in &mut dataset.recordings {
            recording.path = PathBuf::from(self.dataset.name_of(recording));
        }
        dataset.root = PathBuf::new();
        dataset
    }

    /// What each recording's file holds, in the order of the recordings.
    fn contents(&self, files: &SourceFolder) -> Vec<ContentHash> {
        let found: HashMap<&Path, ContentHash> = files
            .entries
            .iter()
            .map(|entry| (entry.path.as_path(), entry.content))
            .collect();
        let recordings = self.dataset.recordings.iter();
        recordings
            .map(|recording| {
                let name = self.dataset.name_of(recording);
                let content = found.get(Path::new(&name)).copied();
                // Not among the files: it cannot be opened.
                content.unwrap_or_else(|| ContentHash::of(b"cannot be opened"))
            })
            .collect()
    }
}

/// What became of one recording, as it is remembered.
enum Prepared {
    Features(Spectrogram),
    /// It can be read and not be brought into the form that the network hears, as when
    /// its sample rate is too far from the model's: why.
    Refused(String),
}

/// What a remembered reason begins with; features begin as all of NumPy's files do.
const REFUSED: &[u8] = b"refused: ";

impl Prepared {
    fn by(preparer: &Preparer, clip: &Clip) -> Self {
        match preparer.prepare(clip) {
            Ok(features) => Self::Features(features),
            Err(error) => {
                let reason = anyhow::Error::new(error);
                Self::Refused(format!("cannot be prepared for the network: {reason:#}"))
            }
        }
    }
}

impl MemoValue for Prepared {
    fn encode(&self) -> Result<Vec<u8>, BoxError> {
        match self {
            Self::Features(features) => {
                let mut bytes = Vec::new();
                write_spectrogram_npy(&mut bytes, features)?;
                Ok(bytes)
            }
            Self::Refused(reason) => Ok([REFUSED, reason.as_bytes()].concat()),
        }
    }

    fn decode(bytes: Vec<u8>) -> Result<Self, BoxError> {
        match bytes.strip_prefix(REFUSED) {
            Some(reason) => Ok(Self::Refused(String::from_utf8(reason.to_vec())?)),
            None => Ok(Self::Features(read_spectrogram_npy(&bytes[..])?)),
        }
    }
}

impl Artifact for Examples {
    fn type_name() -> String {
        "Examples".to_owned()
    }

    fn format() -> Format {
        Format::Safetensors
    }

    fn save(&self, path: &Path) -> Result<(), BoxError> {
        Ok(write_examples(path, &self.labels, &self.examples)?)
    }

    fn load(path: &Path) -> Result<Self, BoxError> {
        let (labels, examples) = read_examples(path)?;
        Ok(Self { labels, examples })
    }
}
