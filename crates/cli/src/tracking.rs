//! What is tracked: runs and models, in MLflow's terms, with no call by the user.
//!
//! Here the crates meet that must not know each other: `model` and `pipeline` tell
//! their observers how things go, and what is said here becomes runs, metrics and
//! versions of `biophony-tracking`. The embedded store below the home folder is
//! always written; a server elsewhere is told from there.
//!
//! | file | holds |
//! |---|---|
//! | [`recorder`] | the run of one pipeline run, from its start to its end |
//! | [`epochs`] | what is recorded while a network is trained |
//! | [`datasets`] | the recordings as data sets |
//! | [`params`] | settings under the names that MLflow's users know |
//! | [`results`] | what a run gets at its end: figures, files, the model |
//! | [`registry`] | versions, and which of them is in use |
//! | [`reference`](mod@reference) | what people call a version, as `--model` takes it |
//! | [`pins`] | what versions keep of the pipeline's artifacts |
//! | [`alive`] | runs whose process died |
//! | [`system`] | what the machine does meanwhile |
//! | [`scribe`] | the thread that writes, so that training does not wait |
//! | [`courier`], [`destination`] | telling a server elsewhere |

mod alive;
mod courier;
mod datasets;
pub(crate) mod destination;
mod epochs;
mod params;
pub(crate) mod pins;
mod recorder;
mod reference;
mod registry;
mod results;
mod scribe;
mod system;

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use biophony_tracking::{ArtifactStore, SqliteStore};

use crate::home::Home;
use crate::settings::TrackingSettings;

pub(crate) use epochs::EpochLog;
pub(crate) use recorder::{Both, Recorder};
pub(crate) use reference::{Which, find_folder, find_model};
pub(crate) use registry::{Candidate, Champion, Promotion, bundle_digest};
pub(crate) use results::Results;

/// How long a server may show a run as running whose process has died.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// The tags that are ours; MLflow's own begin with `mlflow.`, but for one.
pub(crate) mod tag {
    /// What MLflow's autologging of PyTorch says of a run: `training`, then `testing`.
    pub(crate) const MODE: &str = "Mode";
    /// The run of the pipeline.
    pub(crate) const PIPELINE_RUN: &str = "biophony.pipeline_run";
    /// The version of the program.
    pub(crate) const VERSION: &str = "biophony.version";
    /// The machine.
    pub(crate) const HOST: &str = "biophony.host";
    /// The process.
    pub(crate) const PID: &str = "biophony.pid";
    /// Where the recordings are.
    pub(crate) const DATA: &str = "biophony.data";
    /// What recordings they are: one digest of all contents and labels.
    pub(crate) const DATA_DIGEST: &str = "biophony.data_digest";
    /// Whether all training was answered from the cache.
    pub(crate) const CACHED: &str = "biophony.cached";
    /// Which of a run's divisions a nested run is about.
    pub(crate) const DIVISION: &str = "biophony.division";
    /// Why a run failed.
    pub(crate) const ERROR: &str = "biophony.error";
    /// The BLAKE3 of a bundle's `bundle.json`, which names the rest.
    pub(crate) const BUNDLE_DIGEST: &str = "biophony.bundle_digest";
    /// What was found for each criterion, as JSON.
    pub(crate) const GATE: &str = "biophony.gate";
    /// Where the report is, among the artifacts.
    pub(crate) const REPORT: &str = "biophony.report";
    /// That the model was trained on the demo's sounds.
    pub(crate) const SYNTHETIC: &str = "biophony.synthetic";
    /// The folder below the home's `models/`.
    pub(crate) const FOLDER: &str = "biophony.folder";
}

/// The tracking store of a home folder and the files of its runs and models.
#[derive(Clone)]
pub(crate) struct Tracking {
    pub(crate) store: Arc<SqliteStore>,
    pub(crate) artifacts: ArtifactStore,
    pub(crate) settings: TrackingSettings,
    home: Home,
}

impl Tracking {
    /// Opens the store, creating it if there is none. Runs whose process died are marked
    /// as killed: nobody else would.
    ///
    /// # Errors
    ///
    /// When it cannot be opened, or a newer program wrote it.
    pub(crate) fn open(home: &Home, settings: &TrackingSettings) -> Result<Self> {
        home.create()?;
        let artifacts = home.tracked_artifacts();
        let tracking = Self {
            store: Arc::new(SqliteStore::open(home.tracking_database())?),
            artifacts: ArtifactStore::open(&artifacts)
                .with_context(|| format!("cannot open `{}`", artifacts.display()))?,
            settings: settings.clone(),
            home: home.clone(),
        };
        tracking.mark_dead_runs()?;
        Ok(tracking)
    }

    /// The same, unless nothing was ever tracked in this home folder: commands that
    /// only look leave no files behind.
    pub(crate) fn open_existing(home: &Home, settings: &TrackingSettings) -> Result<Option<Self>> {
        match home.tracking_database().is_file() {
            true => Self::open(home, settings).map(Some),
            false => Ok(None),
        }
    }

    /// Marks runs as killed whose process died while it recorded them.
    fn mark_dead_runs(&self) -> Result<()> {
        alive::mark_dead(&self.store, &self.home.locks())
    }

    /// Goes on marking them, for as long as this process lives.
    ///
    /// # Errors
    ///
    /// When the system has no thread left.
    pub(crate) fn watch_for_dead_runs(&self) -> Result<()> {
        let tracking = self.clone();
        let watch = move || loop {
            std::thread::sleep(LOOK_EVERY);
            // What could not be marked now is looked at again.
            let _ = tracking.mark_dead_runs();
        };
        std::thread::Builder::new()
            .name("dead-runs".to_owned())
            .spawn(watch)
            .context("cannot start a thread")?;
        Ok(())
    }
}
