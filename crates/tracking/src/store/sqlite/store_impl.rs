//! The trait, method by method; each leads to the file of its kind of entity.

use super::SqliteStore;
use crate::check::Phrasing;
use crate::entities::{
    AliasMove, DatasetInput, DatasetSummary, Experiment, ExperimentId, LifecycleStage, LoggedModel,
    LoggedModelId, LoggedModelStatus, Metric, ModelInput, ModelOutput, ModelVersion, Param,
    RegisteredModel, Run, RunId, RunInfo, Stage, Tag,
};
use crate::error::Result;
use crate::requests::{
    CreateExperiment, CreateLoggedModel, CreateModelVersion, CreateRegisteredModel, CreateRun,
    LogBatch, Page, Search, SearchLoggedModels, UpdateRun, ViewType,
};
use crate::store::TrackingStore;

impl TrackingStore for SqliteStore {
    fn identity(&self) -> Result<String> {
        self.read(|db| Ok(db.query_row("SELECT id FROM identity", [], |row| row.get(0))?))
    }

    fn create_experiment(&self, request: CreateExperiment) -> Result<ExperimentId> {
        self.create_experiment_row(&request)
    }

    fn get_experiment(&self, id: &ExperimentId) -> Result<Experiment> {
        self.experiment(id)
    }

    fn get_experiment_by_name(&self, name: &str) -> Result<Option<Experiment>> {
        self.experiment_by_name(name)
    }

    fn search_experiments(&self, search: &Search, view: ViewType) -> Result<Page<Experiment>> {
        self.find_experiments(search, view)
    }

    fn rename_experiment(&self, id: &ExperimentId, new_name: &str) -> Result<()> {
        self.change_experiment_name(id, new_name)
    }

    fn delete_experiment(&self, id: &ExperimentId) -> Result<()> {
        self.move_experiment(id, LifecycleStage::Deleted)
    }

    fn restore_experiment(&self, id: &ExperimentId) -> Result<()> {
        self.move_experiment(id, LifecycleStage::Active)
    }

    fn set_experiment_tag(&self, id: &ExperimentId, tag: &Tag) -> Result<()> {
        self.put_experiment_tag(id, tag)
    }

    fn delete_experiment_tag(&self, id: &ExperimentId, key: &str) -> Result<()> {
        self.remove_experiment_tag(id, key)
    }

    fn create_run(&self, request: CreateRun) -> Result<Run> {
        self.start_run(&request)
    }

    fn get_run(&self, id: &RunId) -> Result<Run> {
        self.run(id)
    }

    fn update_run(&self, id: &RunId, update: &UpdateRun) -> Result<RunInfo> {
        self.change_run(id, update)
    }

    fn delete_run(&self, id: &RunId) -> Result<()> {
        self.move_run(id, LifecycleStage::Deleted)
    }

    fn restore_run(&self, id: &RunId) -> Result<()> {
        self.move_run(id, LifecycleStage::Active)
    }

    fn search_runs(
        &self,
        experiments: &[ExperimentId],
        search: &Search,
        view: ViewType,
    ) -> Result<Page<Run>> {
        self.find_runs(experiments, search, view)
    }

    fn log_batch(&self, run: &RunId, batch: &LogBatch) -> Result<()> {
        self.log(run, batch, Phrasing::Batch)
    }

    fn log_metric(&self, run: &RunId, metric: Metric) -> Result<()> {
        self.log(
            run,
            &single(|batch| batch.metrics.push(metric)),
            Phrasing::Single,
        )
    }

    fn log_param(&self, run: &RunId, param: Param) -> Result<()> {
        self.log(
            run,
            &single(|batch| batch.params.push(param)),
            Phrasing::Single,
        )
    }

    fn set_tag(&self, run: &RunId, tag: Tag) -> Result<()> {
        self.log(run, &single(|batch| batch.tags.push(tag)), Phrasing::Single)
    }

    fn delete_tag(&self, run: &RunId, key: &str) -> Result<()> {
        self.remove_tag(run, key)
    }

    fn log_inputs(
        &self,
        run: &RunId,
        datasets: &[DatasetInput],
        models: &[ModelInput],
    ) -> Result<()> {
        self.put_inputs(run, datasets, models)
    }

    fn search_datasets(&self, experiments: &[ExperimentId]) -> Result<Vec<DatasetSummary>> {
        self.find_datasets(experiments)
    }

    fn log_outputs(&self, run: &RunId, models: &[ModelOutput]) -> Result<()> {
        self.put_outputs(run, models)
    }

    fn metric_history(
        &self,
        run: &RunId,
        key: &str,
        max_results: Option<i64>,
        page_token: Option<&str>,
    ) -> Result<Page<Metric>> {
        self.history(run, key, max_results, page_token)
    }

    fn sampled_metric_history(
        &self,
        run: &RunId,
        key: &str,
        steps: Option<(i64, i64)>,
        max_points: usize,
    ) -> Result<Vec<Metric>> {
        self.sampled_history(run, key, steps, max_points)
    }

    fn create_logged_model(&self, request: CreateLoggedModel) -> Result<LoggedModel> {
        self.start_logged_model(&request)
    }

    fn get_logged_model(&self, id: &LoggedModelId) -> Result<LoggedModel> {
        self.logged_model(id)
    }

    fn finalize_logged_model(
        &self,
        id: &LoggedModelId,
        status: LoggedModelStatus,
    ) -> Result<LoggedModel> {
        self.end_logged_model(id, status)
    }

    fn delete_logged_model(&self, id: &LoggedModelId) -> Result<()> {
        self.remove_logged_model(id)
    }

    fn set_logged_model_tags(&self, id: &LoggedModelId, tags: &[Tag]) -> Result<()> {
        self.put_logged_model_tags(id, tags)
    }

    fn delete_logged_model_tag(&self, id: &LoggedModelId, key: &str) -> Result<()> {
        self.remove_logged_model_tag(id, key)
    }

    fn log_logged_model_params(&self, id: &LoggedModelId, params: &[Param]) -> Result<()> {
        self.put_logged_model_params(id, params)
    }

    fn search_logged_models(&self, search: &SearchLoggedModels) -> Result<Page<LoggedModel>> {
        self.find_logged_models(search)
    }

    fn create_registered_model(&self, request: CreateRegisteredModel) -> Result<RegisteredModel> {
        self.register_model(&request)
    }

    fn get_registered_model(&self, name: &str) -> Result<RegisteredModel> {
        self.registered_model(name)
    }

    fn update_registered_model(
        &self,
        name: &str,
        description: Option<&str>,
    ) -> Result<RegisteredModel> {
        self.change_registered_model(name, description)
    }

    fn rename_registered_model(&self, name: &str, new_name: &str) -> Result<RegisteredModel> {
        self.change_model_name(name, new_name)
    }

    fn delete_registered_model(&self, name: &str) -> Result<()> {
        self.remove_registered_model(name)
    }

    fn search_registered_models(&self, search: &Search) -> Result<Page<RegisteredModel>> {
        self.find_registered_models(search)
    }

    fn set_registered_model_tag(&self, name: &str, tag: &Tag) -> Result<()> {
        self.put_registered_model_tag(name, tag)
    }

    fn delete_registered_model_tag(&self, name: &str, key: &str) -> Result<()> {
        self.remove_registered_model_tag(name, key)
    }

    fn get_latest_versions(&self, name: &str, stages: &[Stage]) -> Result<Vec<ModelVersion>> {
        self.newest_versions(name, stages)
    }

    fn create_model_version(&self, request: CreateModelVersion) -> Result<ModelVersion> {
        self.register_version(&request)
    }

    fn get_model_version(&self, name: &str, version: u32) -> Result<ModelVersion> {
        self.version(name, version)
    }

    fn update_model_version(
        &self,
        name: &str,
        version: u32,
        description: Option<&str>,
    ) -> Result<ModelVersion> {
        self.change_version(name, version, description)
    }

    fn transition_model_version_stage(
        &self,
        name: &str,
        version: u32,
        stage: Stage,
        archive_existing: bool,
    ) -> Result<ModelVersion> {
        self.move_to_stage(name, version, stage, archive_existing)
    }

    fn delete_model_version(&self, name: &str, version: u32) -> Result<()> {
        self.remove_version(name, version)
    }

    fn search_model_versions(&self, search: &Search) -> Result<Page<ModelVersion>> {
        self.find_versions(search)
    }

    fn set_model_version_tag(&self, name: &str, version: u32, tag: &Tag) -> Result<()> {
        self.put_version_tag(name, version, tag)
    }

    fn delete_model_version_tag(&self, name: &str, version: u32, key: &str) -> Result<()> {
        self.remove_version_tag(name, version, key)
    }

    fn model_version_download_uri(&self, name: &str, version: u32) -> Result<String> {
        self.download_uri(name, version)
    }

    fn set_registered_model_alias(&self, name: &str, alias: &str, version: u32) -> Result<()> {
        self.put_alias(name, alias, version)
    }

    fn delete_registered_model_alias(&self, name: &str, alias: &str) -> Result<()> {
        self.remove_alias(name, alias)
    }

    fn get_model_version_by_alias(&self, name: &str, alias: &str) -> Result<ModelVersion> {
        self.version_by_alias(name, alias)
    }

    fn promote(&self, name: &str, version: u32) -> Result<ModelVersion> {
        self.make_champion(name, version)
    }

    fn rollback(&self, name: &str) -> Result<ModelVersion> {
        self.restore_previous(name)
    }

    fn alias_history(&self, name: &str) -> Result<Vec<AliasMove>> {
        self.moves(name)
    }
}

/// A batch of one thing.
fn single(put: impl FnOnce(&mut LogBatch)) -> LogBatch {
    let mut batch = LogBatch::default();
    put(&mut batch);
    batch
}
