//! Where experiments, runs and registered models are kept.
//!
//! [`TrackingStore`] is the seam: training, pipeline and server know it, and not
//! what is behind it. [`SqliteStore`] is the embedded store, in a file or in
//! memory; [`RemoteStore`] is a server elsewhere.
//!
//! What all stores refuse alike, such as bad names, lives in [`crate::check`]; the
//! language of filters in [`crate::search`].

#[cfg(feature = "remote")]
mod remote;
mod sqlite;

#[cfg(feature = "remote")]
pub use remote::RemoteStore;
pub use sqlite::{Imported, SqliteStore};

use crate::entities::{
    AliasMove, DatasetInput, DatasetSummary, Experiment, ExperimentId, LoggedModel, LoggedModelId,
    LoggedModelStatus, Metric, ModelInput, ModelOutput, ModelVersion, Param, RegisteredModel, Run,
    RunId, RunInfo, RunStatus, Stage, Tag, UnixMillis,
};
use crate::error::{Result, TrackingError};
use crate::requests::{
    CreateExperiment, CreateLoggedModel, CreateModelVersion, CreateRegisteredModel, CreateRun,
    LogBatch, Page, Search, SearchLoggedModels, UpdateRun, ViewType,
};

/// The alias of the version in use.
pub const CHAMPION: &str = "champion";

/// The alias of the version that was in use before.
pub const PREVIOUS: &str = "previous";

/// Where experiments, runs and registered models are kept.
///
/// # Guarantees
///
/// - Each method does all of its work or none of it.
/// - What a method returned `Ok` for survives the death of this process.
/// - A store may be used from many threads at once.
///
/// # Errors
///
/// Every method fails with [`TrackingError`]: a `…NotFound` when what is named is
/// not there, [`TrackingError::InvalidParameter`] when a value is refused, and
/// [`TrackingError::Database`] when the store itself fails.
pub trait TrackingStore: Send + Sync {
    /// What tells this store from all others: what was sent where is remembered by it.
    /// It may be part of a tag's key.
    fn identity(&self) -> Result<String>;

    /// Creates an experiment.
    fn create_experiment(&self, request: CreateExperiment) -> Result<ExperimentId>;

    /// The experiment, deleted or not.
    fn get_experiment(&self, id: &ExperimentId) -> Result<Experiment>;

    /// The experiment of this name, deleted or not, if there is one.
    fn get_experiment_by_name(&self, name: &str) -> Result<Option<Experiment>>;

    /// The experiments that match, newest first unless ordered otherwise.
    fn search_experiments(&self, search: &Search, view: ViewType) -> Result<Page<Experiment>>;

    /// Gives an experiment another name.
    fn rename_experiment(&self, id: &ExperimentId, new_name: &str) -> Result<()>;

    /// Deletes an experiment and its runs. All are kept and can be restored.
    fn delete_experiment(&self, id: &ExperimentId) -> Result<()>;

    /// Restores a deleted experiment and its runs.
    fn restore_experiment(&self, id: &ExperimentId) -> Result<()>;

    /// Sets a tag, over an old one of the same key.
    fn set_experiment_tag(&self, id: &ExperimentId, tag: &Tag) -> Result<()>;

    /// Removes a tag.
    fn delete_experiment_tag(&self, id: &ExperimentId, key: &str) -> Result<()>;

    /// Starts a run.
    fn create_run(&self, request: CreateRun) -> Result<Run>;

    /// The run, deleted or not.
    fn get_run(&self, id: &RunId) -> Result<Run>;

    /// Changes how a run stands.
    fn update_run(&self, id: &RunId, update: &UpdateRun) -> Result<RunInfo>;

    /// Deletes a run. It is kept and can be restored.
    fn delete_run(&self, id: &RunId) -> Result<()>;

    /// Restores a deleted run; nothing happens to one that is not deleted.
    fn restore_run(&self, id: &RunId) -> Result<()>;

    /// The runs of these experiments that match, latest start first unless ordered
    /// otherwise.
    fn search_runs(
        &self,
        experiments: &[ExperimentId],
        search: &Search,
        view: ViewType,
    ) -> Result<Page<Run>>;

    /// Records metrics, parameters and tags together: all of them or none.
    ///
    /// A point of a metric that is there already is not stored twice, so a batch
    /// may be sent again.
    fn log_batch(&self, run: &RunId, batch: &LogBatch) -> Result<()>;

    /// Records one point of a metric.
    fn log_metric(&self, run: &RunId, metric: Metric) -> Result<()> {
        self.log_batch(
            run,
            &LogBatch {
                metrics: vec![metric],
                ..LogBatch::default()
            },
        )
    }

    /// Records one parameter. Its value cannot be changed later.
    fn log_param(&self, run: &RunId, param: Param) -> Result<()> {
        self.log_batch(
            run,
            &LogBatch {
                params: vec![param],
                ..LogBatch::default()
            },
        )
    }

    /// Sets a tag, over an old one of the same key.
    fn set_tag(&self, run: &RunId, tag: Tag) -> Result<()> {
        self.log_batch(
            run,
            &LogBatch {
                tags: vec![tag],
                ..LogBatch::default()
            },
        )
    }

    /// Removes a tag.
    fn delete_tag(&self, run: &RunId, key: &str) -> Result<()>;

    /// Records what a run reads.
    fn log_inputs(
        &self,
        run: &RunId,
        datasets: &[DatasetInput],
        models: &[ModelInput],
    ) -> Result<()>;

    /// The data sets that runs of these experiments read, each once for each part it
    /// plays.
    fn search_datasets(&self, experiments: &[ExperimentId]) -> Result<Vec<DatasetSummary>>;

    /// Records the models that a run makes.
    fn log_outputs(&self, run: &RunId, models: &[ModelOutput]) -> Result<()>;

    /// Every point of a metric, in the order of time, step and value. A run or
    /// metric that is not there has none.
    fn metric_history(
        &self,
        run: &RunId,
        key: &str,
        max_results: Option<i64>,
        page_token: Option<&str>,
    ) -> Result<Page<Metric>>;

    /// At most `max_points` points of a metric, evenly spread over its steps, the
    /// first and the last among them; only those of `steps` when it is given.
    fn sampled_metric_history(
        &self,
        run: &RunId,
        key: &str,
        steps: Option<(i64, i64)>,
        max_points: usize,
    ) -> Result<Vec<Metric>>;

    /// Ends a run.
    fn finish_run(&self, id: &RunId, status: RunStatus, end_time: UnixMillis) -> Result<RunInfo> {
        self.update_run(
            id,
            &UpdateRun {
                status: Some(status),
                end_time: Some(end_time),
                run_name: None,
            },
        )
    }

    /// Creates a logged model, whose files are then uploaded.
    fn create_logged_model(&self, request: CreateLoggedModel) -> Result<LoggedModel>;

    /// The logged model, unless it is deleted.
    fn get_logged_model(&self, id: &LoggedModelId) -> Result<LoggedModel>;

    /// Says whether the files are complete.
    fn finalize_logged_model(
        &self,
        id: &LoggedModelId,
        status: LoggedModelStatus,
    ) -> Result<LoggedModel>;

    /// Deletes a logged model, which may be deleted already; its files stay.
    fn delete_logged_model(&self, id: &LoggedModelId) -> Result<()>;

    /// Sets tags, over old ones of the same keys.
    fn set_logged_model_tags(&self, id: &LoggedModelId, tags: &[Tag]) -> Result<()>;

    /// Removes a tag.
    fn delete_logged_model_tag(&self, id: &LoggedModelId, key: &str) -> Result<()>;

    /// Records parameters, which must be new.
    fn log_logged_model_params(&self, id: &LoggedModelId, params: &[Param]) -> Result<()>;

    /// The logged models that match, newest first unless ordered otherwise.
    fn search_logged_models(&self, search: &SearchLoggedModels) -> Result<Page<LoggedModel>>;

    /// Registers a name for models.
    fn create_registered_model(&self, request: CreateRegisteredModel) -> Result<RegisteredModel>;

    /// The registered model.
    fn get_registered_model(&self, name: &str) -> Result<RegisteredModel>;

    /// Changes the description.
    fn update_registered_model(
        &self,
        name: &str,
        description: Option<&str>,
    ) -> Result<RegisteredModel>;

    /// Gives a registered model another name.
    fn rename_registered_model(&self, name: &str, new_name: &str) -> Result<RegisteredModel>;

    /// Deletes a registered model with its versions, for good.
    fn delete_registered_model(&self, name: &str) -> Result<()>;

    /// The registered models that match, by name unless ordered otherwise.
    fn search_registered_models(&self, search: &Search) -> Result<Page<RegisteredModel>>;

    /// Sets a tag, over an old one of the same key.
    fn set_registered_model_tag(&self, name: &str, tag: &Tag) -> Result<()>;

    /// Removes a tag; nothing happens when there is none.
    fn delete_registered_model_tag(&self, name: &str, key: &str) -> Result<()>;

    /// The newest version of each of these stages, of all stages when none is given.
    fn get_latest_versions(&self, name: &str, stages: &[Stage]) -> Result<Vec<ModelVersion>>;

    /// Registers a version; its number is one more than the highest so far. One whose
    /// source is another version comes from the same run and logged model.
    fn create_model_version(&self, request: CreateModelVersion) -> Result<ModelVersion>;

    /// The version.
    fn get_model_version(&self, name: &str, version: u32) -> Result<ModelVersion>;

    /// Changes the description.
    fn update_model_version(
        &self,
        name: &str,
        version: u32,
        description: Option<&str>,
    ) -> Result<ModelVersion>;

    /// Moves a version to another stage; `archive_existing` archives the others
    /// that are there.
    fn transition_model_version_stage(
        &self,
        name: &str,
        version: u32,
        stage: Stage,
        archive_existing: bool,
    ) -> Result<ModelVersion>;

    /// Deletes a version and its aliases, for good. Its number is not used again.
    fn delete_model_version(&self, name: &str, version: u32) -> Result<()>;

    /// The versions that match, last changed first unless ordered otherwise.
    fn search_model_versions(&self, search: &Search) -> Result<Page<ModelVersion>>;

    /// Sets a tag, over an old one of the same key.
    fn set_model_version_tag(&self, name: &str, version: u32, tag: &Tag) -> Result<()>;

    /// Removes a tag; nothing happens when there is none.
    fn delete_model_version_tag(&self, name: &str, version: u32, key: &str) -> Result<()>;

    /// The URI to load a version's files from.
    fn model_version_download_uri(&self, name: &str, version: u32) -> Result<String>;

    /// Lets `alias` mean this version, and no longer the one it meant.
    fn set_registered_model_alias(&self, name: &str, alias: &str, version: u32) -> Result<()>;

    /// Removes an alias; nothing happens when there is none.
    fn delete_registered_model_alias(&self, name: &str, alias: &str) -> Result<()>;

    /// The version that `alias` means; `latest`, in any case, means the newest.
    fn get_model_version_by_alias(&self, name: &str, alias: &str) -> Result<ModelVersion>;

    /// Makes a version the [`CHAMPION`] and the one it replaces the [`PREVIOUS`],
    /// in one step, and records the move. Promoting the champion changes nothing.
    fn promote(&self, name: &str, version: u32) -> Result<ModelVersion>;

    /// Makes the [`PREVIOUS`] version the [`CHAMPION`] again, in one step, and
    /// records the move. The one it replaces becomes [`PREVIOUS`], so a second
    /// rollback undoes the first.
    ///
    /// # Errors
    ///
    /// [`TrackingError::NothingToRollBack`] when there is no previous version.
    fn rollback(&self, name: &str) -> Result<ModelVersion>;

    /// Every [`TrackingStore::promote`] and [`TrackingStore::rollback`], the oldest
    /// first.
    fn alias_history(&self, name: &str) -> Result<Vec<AliasMove>>;
}

/// The experiment of this name, created if there is none.
///
/// # Errors
///
/// When the store fails, or the experiment is deleted.
pub fn experiment_named(store: &dyn TrackingStore, name: &str) -> Result<ExperimentId> {
    let experiment = match store.get_experiment_by_name(name)? {
        Some(experiment) => experiment,
        None => match store.create_experiment(CreateExperiment {
            name: name.to_owned(),
            ..CreateExperiment::default()
        }) {
            Ok(id) => return Ok(id),
            // Another process was faster.
            Err(TrackingError::AlreadyExists(_)) => store
                .get_experiment_by_name(name)?
                .ok_or_else(|| TrackingError::ExperimentNameNotFound(name.to_owned()))?,
            Err(error) => return Err(error),
        },
    };
    if experiment.lifecycle_stage == crate::entities::LifecycleStage::Deleted {
        return Err(TrackingError::invalid(format!(
            "Cannot set a deleted experiment '{name}' as the active experiment. You can restore \
             the experiment, or permanently delete the experiment to create a new one."
        )));
    }
    Ok(experiment.experiment_id)
}
