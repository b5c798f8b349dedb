//! What every route can reach: stores, the model in use, limits.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use biophony_tracking::server::Access;
use biophony_tracking::{ArtifactStore, TrackingStore};
use tokio::sync::watch;

use crate::demo::Demo;
use crate::error::{ApiError, WebError};
use crate::hooks::{DemoTrainer, ExampleClips, NoExamples};
use crate::limits::Limits;
use crate::model_slot::{Follower, ModelChoice, ModelSlot};
use crate::pool::Pool;
use crate::reviewed::Reviewed;
use crate::stats::{LivePlace, Stats};
use crate::upload::Budget;

/// The program, as people call it.
pub(crate) const PROGRAM: &str = "biophony";

/// What is served, and to whom.
pub struct Config {
    /// The home folder.
    pub home: PathBuf,
    /// How a person calls the program on that home in a terminal: `biophony`, or
    /// `biophony --home DIR`.
    pub program: String,
    /// Experiments, runs and registered models.
    pub tracking: Arc<dyn TrackingStore>,
    /// The files of runs and models.
    pub artifacts: ArtifactStore,
    /// Runs of the pipeline, where there is a place for them.
    pub pipelines: Option<biophony_pipeline::Store>,
    /// Who may ask.
    pub access: Access,
    /// The name under which models are registered.
    pub registered_model: String,
    /// Which model is served.
    pub model: ModelChoice,
    /// What requests may cost.
    pub limits: Limits,
    /// Whether connections are encrypted here: cookies then are for such only.
    pub encrypted: bool,
    /// Trains the demo model.
    pub demo: Option<Arc<dyn DemoTrainer>>,
    /// Sounds to try the model with.
    pub examples: Arc<dyn ExampleClips>,
}

impl Config {
    /// Serves the champion of the model `biophony` to this machine, without the
    /// hooks of a program around it.
    pub fn new(home: PathBuf, tracking: Arc<dyn TrackingStore>, artifacts: ArtifactStore) -> Self {
        Self {
            home,
            program: PROGRAM.to_owned(),
            tracking,
            artifacts,
            pipelines: None,
            access: Access::default(),
            registered_model: "biophony".to_owned(),
            model: ModelChoice::Alias(biophony_tracking::CHAMPION.to_owned()),
            limits: Limits::default(),
            encrypted: false,
            demo: None,
            examples: Arc::new(NoExamples),
        }
    }
}

/// What every route can reach. Cheap to clone.
#[derive(Clone)]
pub struct WebState {
    inner: Arc<Inner>,
}

struct Inner {
    config: Config,
    access: Arc<Access>,
    program: Arc<str>,
    models: ModelSlot,
    pool: Pool,
    budget: Budget,
    stats: Stats,
    demo: Demo,
    reviewed: Reviewed,
    stopping: watch::Sender<bool>,
}

impl WebState {
    /// Opens the model, if there is one, and follows it from now on.
    ///
    /// # Errors
    ///
    /// When a model was named by its folder and cannot be used.
    pub fn new(config: Config) -> Result<Self, WebError> {
        let models = Follower::new(&config).start()?;
        Ok(Self {
            inner: Arc::new(Inner {
                access: Arc::new(config.access.clone()),
                program: config.program.as_str().into(),
                models,
                pool: Pool::new(config.limits.n_workers(), config.limits.queue)?,
                budget: Budget::new(&config.limits),
                stats: Stats::default(),
                demo: Demo::default(),
                reviewed: Reviewed::new(&config.home),
                stopping: watch::Sender::new(false),
                config,
            }),
        })
    }

    /// Experiments, runs and registered models.
    pub fn tracking(&self) -> &Arc<dyn TrackingStore> {
        &self.inner.config.tracking
    }

    /// The files of runs and models.
    pub fn artifacts(&self) -> &ArtifactStore {
        &self.inner.config.artifacts
    }

    /// Runs of the pipeline, where there is a place for them.
    pub fn pipelines(&self) -> Option<&biophony_pipeline::Store> {
        self.inner.config.pipelines.as_ref()
    }

    /// The home folder.
    pub fn home(&self) -> &Path {
        &self.inner.config.home
    }

    /// How a person calls the program on that home in a terminal.
    pub(crate) fn program(&self) -> &Arc<str> {
        &self.inner.program
    }

    /// The name under which models are registered.
    pub fn registered_model(&self) -> &str {
        &self.inner.config.registered_model
    }

    /// The model in use.
    pub fn models(&self) -> &ModelSlot {
        &self.inner.models
    }

    /// What requests may cost.
    pub fn limits(&self) -> &Limits {
        &self.inner.config.limits
    }

    /// Who may ask.
    pub fn access(&self) -> &Access {
        &self.inner.access
    }

    /// Sounds to try the model with.
    pub(crate) fn examples(&self) -> &dyn ExampleClips {
        &*self.inner.config.examples
    }

    /// Trains the demo model.
    pub(crate) fn demo_trainer(&self) -> Option<&Arc<dyn DemoTrainer>> {
        self.inner.config.demo.as_ref()
    }

    /// The training of the demo model.
    pub(crate) fn demo(&self) -> &Demo {
        &self.inner.demo
    }

    /// Recordings that people have reviewed.
    pub(crate) fn reviewed(&self) -> &Reviewed {
        &self.inner.reviewed
    }

    /// Whether connections are encrypted here.
    pub(crate) fn is_encrypted(&self) -> bool {
        self.inner.config.encrypted
    }

    /// What is counted.
    pub(crate) fn stats(&self) -> &Stats {
        &self.inner.stats
    }

    /// A place to listen live, if one is free.
    pub(crate) fn live_place(&self) -> Option<LivePlace> {
        self.stats().live_place(self.limits().live_sessions)
    }

    /// Where sounds are decoded and classified.
    pub(crate) fn pool(&self) -> &Pool {
        &self.inner.pool
    }

    /// The memory of uploads.
    pub(crate) fn budget(&self) -> &Budget {
        &self.inner.budget
    }

    /// Whether the server has been asked to stop.
    pub(crate) fn is_stopping(&self) -> bool {
        *self.inner.stopping.borrow()
    }

    /// Ends when the server is asked to stop.
    pub(crate) async fn stopped(&self) {
        let mut stopping = self.inner.stopping.subscribe();
        // The sender lives as long as this state.
        let _ = stopping.wait_for(|stopping| *stopping).await;
    }

    /// Asks everything that goes on for long to end.
    pub(crate) fn stop(&self) {
        self.inner.stopping.send_replace(true);
    }

    /// Runs what waits for disks, locks or another server where it holds nobody up.
    ///
    /// # Errors
    ///
    /// What `work` says, or [`ApiError::Internal`] when it panicked.
    pub async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Self) -> Result<T, ApiError> + Send + 'static,
    ) -> Result<T, ApiError> {
        let state = self.clone();
        match tokio::task::spawn_blocking(move || work(&state)).await {
            Ok(result) => result,
            Err(error) => Err(ApiError::Internal(format!("a request failed: {error}"))),
        }
    }
}
