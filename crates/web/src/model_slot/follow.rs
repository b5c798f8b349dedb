//! Finding out which model should be in use, and loading it beside the one that is.
//!
//! A thread looks several times a second: the registry may be changed by this
//! server, by a training in another process, or on a server elsewhere. Looking costs
//! one indexed read. A model is loaded, and all of it checked, before it takes the
//! place of the old one; one that cannot be loaded leaves the old one in place.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant, SystemTime};

use biophony_model::{ModelError, Predictor};
use biophony_pipeline::RunId as PipelineRunId;
use biophony_tracking::{ArtifactStore, ErrorCode, ModelVersion, Search, TrackingStore, ViewType};

use super::{Identity, ModelChoice, ModelSlot, Served, Slot};
use crate::error::{WebError, with_causes};
use crate::pages::runs::{Experiments, PARENT, detail};
use crate::state::Config;

/// How long a change of the registry may go unnoticed.
const EVERY: Duration = Duration::from_millis(250);

/// How long a model that could not be loaded is left alone.
const RETRY: Duration = Duration::from_secs(5);

/// Keeps a slot filled with the model that should be in it.
pub(crate) struct Follower {
    choice: ModelChoice,
    tracking: Arc<dyn TrackingStore>,
    artifacts: ArtifactStore,
    registered_model: String,
    /// The run that made the model of a folder, if that is known.
    run_of_folder: Option<String>,
    /// What the slot holds, so that the same is not loaded twice.
    loaded: Option<Wanted>,
    failed: Option<(Wanted, Instant)>,
}

/// A bundle on this machine that should be in use.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Wanted {
    folder: PathBuf,
    name: String,
    version: Option<u32>,
    alias: Option<String>,
    run_id: Option<String>,
    /// When `bundle.json` was written, and its size: another bundle may have taken
    /// the folder's place.
    stamp: Option<(SystemTime, u64)>,
}

impl Follower {
    pub(crate) fn new(config: &Config) -> Self {
        Self {
            run_of_folder: match &config.model {
                ModelChoice::Folder(folder) => run_of_folder(config, folder),
                ModelChoice::Alias(_) | ModelChoice::Version(_) => None,
            },
            choice: config.model.clone(),
            tracking: Arc::clone(&config.tracking),
            artifacts: config.artifacts.clone(),
            registered_model: config.registered_model.clone(),
            loaded: None,
            failed: None,
        }
    }

    /// Fills a slot, and keeps it filled for as long as somebody has it.
    pub(crate) fn start(mut self) -> Result<ModelSlot, WebError> {
        let slot = ModelSlot::default();
        match &self.choice {
            // Named by the user: better said now than on a page later.
            ModelChoice::Folder(folder) => {
                let wanted = self.bare(folder);
                let served = load(&wanted).map_err(|source| WebError::Model {
                    path: folder.clone(),
                    source,
                })?;
                slot.replace(Some(Arc::new(served)));
                self.loaded = Some(wanted);
            }
            ModelChoice::Alias(_) | ModelChoice::Version(_) => self.look(&slot),
        }
        let watched = Arc::downgrade(&slot.inner);
        std::thread::Builder::new()
            .name("model-follower".to_owned())
            .spawn(move || self.follow(&watched))
            .map_err(|source| WebError::System {
                doing: "start a thread",
                source,
            })?;
        Ok(slot)
    }

    fn follow(&mut self, watched: &Weak<Slot>) {
        loop {
            std::thread::sleep(EVERY);
            let Some(inner) = watched.upgrade() else {
                return;
            };
            let slot = ModelSlot { inner };
            let before = in_words(&slot);
            self.look(&slot);
            let now = in_words(&slot);
            if now != before {
                eprintln!("{now}");
            }
        }
    }

    /// Looks once, and swaps the model if another one should be in use.
    fn look(&mut self, slot: &ModelSlot) {
        let wanted = match self.wanted() {
            Ok(Some(wanted)) => wanted,
            Ok(None) => {
                if self.loaded.take().is_some() {
                    slot.replace(None);
                }
                slot.complain(None);
                return;
            }
            // What is in use stays: a registry that cannot be asked is no reason to
            // stop answering.
            Err(problem) => return slot.complain(Some(problem)),
        };
        if self.loaded.as_ref() == Some(&wanted) {
            return slot.complain(None);
        }
        let left_alone =
            |(failed, at): &(Wanted, Instant)| *failed == wanted && at.elapsed() < RETRY;
        if self.failed.as_ref().is_some_and(left_alone) {
            return;
        }
        match load(&wanted) {
            Ok(served) => {
                slot.replace(Some(Arc::new(served)));
                slot.complain(None);
                self.loaded = Some(wanted);
                self.failed = None;
            }
            Err(error) => {
                slot.complain(Some(format!(
                    "the model in `{}` cannot be used: {}",
                    wanted.folder.display(),
                    with_causes(&error)
                )));
                self.failed = Some((wanted, Instant::now()));
            }
        }
    }

    fn wanted(&self) -> Result<Option<Wanted>, String> {
        match &self.choice {
            ModelChoice::Folder(folder) => Ok(Some(self.bare(folder))),
            ModelChoice::Alias(alias) => {
                let tracking = &self.tracking;
                let found = tracking.get_model_version_by_alias(&self.registered_model, alias);
                self.registered(found, Some(alias))
            }
            ModelChoice::Version(number) => {
                let found = self
                    .tracking
                    .get_model_version(&self.registered_model, *number);
                self.registered(found, None)
            }
        }
    }

    /// A bundle that no registry was asked about.
    fn bare(&self, folder: &Path) -> Wanted {
        let absolute = std::path::absolute(folder).unwrap_or_else(|_| folder.to_owned());
        let name = absolute.file_name().unwrap_or(absolute.as_os_str());
        Wanted {
            stamp: stamp(folder),
            name: name.to_string_lossy().into_owned(),
            folder: folder.to_owned(),
            version: None,
            alias: None,
            run_id: self.run_of_folder.clone(),
        }
    }

    /// The bundle of a version that was looked for, by an alias or by its number.
    fn registered(
        &self,
        found: biophony_tracking::Result<ModelVersion>,
        alias: Option<&str>,
    ) -> Result<Option<Wanted>, String> {
        let name = &self.registered_model;
        let version = match found {
            Ok(version) => version,
            Err(error) if is_absence(error.code()) => return Ok(None),
            Err(error) => return Err(with_causes(&error)),
        };
        let folder = self
            .artifacts
            .version_folder(&*self.tracking, &version)
            .map_err(|error| {
                format!(
                    "version {} of `{name}` is not on this machine ({error}); serve it with \
                     `--model FOLDER`",
                    version.version
                )
            })?;
        Ok(Some(Wanted {
            stamp: stamp(&folder),
            folder,
            name: version.name,
            version: Some(version.version),
            alias: alias.map(str::to_owned),
            run_id: version.run_id.map(|run| run.to_string()),
        }))
    }
}

/// What a slot holds, for the server's log.
fn in_words(slot: &ModelSlot) -> String {
    match (slot.current(), slot.problem()) {
        (Some(served), None) => format!("model: {}", served.identity),
        (Some(served), Some(problem)) => format!("model: {}, still: {problem}", served.identity),
        (None, Some(problem)) => format!("no model: {problem}"),
        (None, None) => "no model".to_owned(),
    }
}

/// Whether a registry says by this that there is no such model, or no such alias.
fn is_absence(code: ErrorCode) -> bool {
    matches!(
        code,
        ErrorCode::ResourceDoesNotExist | ErrorCode::InvalidParameterValue
    )
}

/// The run that made the model in a folder, where the folder is one of this home:
/// `models/NAME` and `runs/NAME` are of the pipeline's run NAME.
fn run_of_folder(config: &Config, folder: &Path) -> Option<String> {
    let home = config.home.canonicalize().ok()?;
    let folder = folder.canonicalize().ok()?;
    let mut parts = folder.strip_prefix(&home).ok()?.iter();
    parts
        .next()
        .filter(|place| *place == "models" || *place == "runs")?;
    let name: PipelineRunId = parts.next()?.to_str()?.parse().ok()?;
    let experiments = Experiments::load(&*config.tracking).ok()?;
    let experiments: Vec<_> = experiments
        .active()
        .map(|experiment| experiment.experiment_id.clone())
        .collect();
    let search = Search {
        max_results: Some(1),
        ..Search::matching(format!(
            "tags.`{}` = '{name}' AND tags.`{}` IS NULL",
            detail::PIPELINE_RUN,
            PARENT
        ))
    };
    let found = config
        .tracking
        .search_runs(&experiments, &search, ViewType::ActiveOnly)
        .ok()?;
    found.items.first().map(|run| run.info.run_id.to_string())
}

fn stamp(folder: &Path) -> Option<(SystemTime, u64)> {
    let metadata = std::fs::metadata(folder.join("bundle.json")).ok()?;
    Some((metadata.modified().ok()?, metadata.len()))
}

fn load(wanted: &Wanted) -> Result<Served, ModelError> {
    let predictor = Predictor::open(&wanted.folder)?;
    let document = std::fs::read(wanted.folder.join("bundle.json")).unwrap_or_default();
    let digest = blake3::hash(&document).to_hex();
    Ok(Served {
        predictor,
        identity: Identity {
            name: wanted.name.clone(),
            version: wanted.version,
            alias: wanted.alias.clone(),
            run_id: wanted.run_id.clone(),
            digest: digest[..16].to_owned(),
        },
    })
}
