//! A remote MLflow server as a store: MLflow's own or ours.
//!
//! `connection.rs` speaks HTTP; here each method becomes one or a few requests.
//! What is not of a store, files, is in `files.rs`.
//!
//! Our own server says which store it serves; MLflow's is told by its address.
//!
//! # What is weaker than in the embedded store
//!
//! MLflow has no request that moves two aliases, so [`TrackingStore::promote`] and
//! [`TrackingStore::rollback`] are several: `previous` is set before `champion`
//! moves, so that a broken connection never leaves a champion without a way back.
//! The history of moves is a tag of the registered model.

mod connection;
mod files;

pub use connection::RemoteStore;

use serde_json::{Value, json};

use crate::entities::{
    AliasMove, DatasetInput, DatasetSummary, Experiment, ExperimentId, LoggedModel, LoggedModelId,
    LoggedModelStatus, Metric, ModelInput, ModelOutput, ModelVersion, Param, RegisteredModel, Run,
    RunId, RunInfo, Stage, Tag, value_of,
};
use crate::error::{ErrorCode, Result, TrackingError};
use crate::requests::{
    CreateExperiment, CreateLoggedModel, CreateModelVersion, CreateRegisteredModel, CreateRun,
    LogBatch, Page, Search, SearchLoggedModels, UpdateRun, ViewType, now,
};
use crate::store::{CHAMPION, PREVIOUS, TrackingStore};

/// The tag of a registered model that holds the moves of its champion.
const MOVES: &str = "biophony.champion.history";

/// How many experiments are asked for unless it is said: the server has no default.
const DEFAULT_EXPERIMENTS: i64 = 1000;

impl TrackingStore for RemoteStore {
    fn identity(&self) -> Result<String> {
        self.known_identity(|| match self.get("/api/3.0/mlflow/server-info", &[]) {
            Ok(mut answer) => Ok(answer.take("store_id").ok()),
            // MLflow before 3.
            Err(error)
                if matches!(
                    error.code(),
                    ErrorCode::ResourceDoesNotExist | ErrorCode::NotImplemented
                ) =>
            {
                Ok(None)
            }
            Err(error) => Err(error),
        })
    }

    fn create_experiment(&self, request: CreateExperiment) -> Result<ExperimentId> {
        let body = json!({
            "name": request.name,
            "artifact_location": request.artifact_location,
            "tags": request.tags,
        });
        self.post("experiments/create", &body)?
            .take("experiment_id")
    }

    fn get_experiment(&self, id: &ExperimentId) -> Result<Experiment> {
        self.get("experiments/get", &[("experiment_id", id.as_str())])?
            .take("experiment")
    }

    fn get_experiment_by_name(&self, name: &str) -> Result<Option<Experiment>> {
        match self.get("experiments/get-by-name", &[("experiment_name", name)]) {
            Ok(mut answer) => answer.take("experiment").map(Some),
            Err(error) if error.code() == ErrorCode::ResourceDoesNotExist => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn search_experiments(&self, search: &Search, view: ViewType) -> Result<Page<Experiment>> {
        let mut body = search_body(search);
        body["view_type"] = json!(view);
        body["max_results"] = json!(search.max_results.unwrap_or(DEFAULT_EXPERIMENTS));
        self.post("experiments/search", &body)?.page("experiments")
    }

    fn rename_experiment(&self, id: &ExperimentId, new_name: &str) -> Result<()> {
        let body = json!({ "experiment_id": id, "new_name": new_name });
        self.post("experiments/update", &body)?.nothing()
    }

    fn delete_experiment(&self, id: &ExperimentId) -> Result<()> {
        let body = json!({ "experiment_id": id });
        self.post("experiments/delete", &body)?.nothing()
    }

    fn restore_experiment(&self, id: &ExperimentId) -> Result<()> {
        let body = json!({ "experiment_id": id });
        self.post("experiments/restore", &body)?.nothing()
    }

    fn set_experiment_tag(&self, id: &ExperimentId, tag: &Tag) -> Result<()> {
        let body = json!({ "experiment_id": id, "key": tag.key, "value": tag.value });
        self.post("experiments/set-experiment-tag", &body)?
            .nothing()
    }

    fn delete_experiment_tag(&self, id: &ExperimentId, key: &str) -> Result<()> {
        let body = json!({ "experiment_id": id, "key": key });
        self.post("experiments/delete-experiment-tag", &body)?
            .nothing()
    }

    fn create_run(&self, request: CreateRun) -> Result<Run> {
        let body = json!({
            "experiment_id": request.experiment_id,
            "user_id": request.user_id,
            "start_time": request.start_time,
            "run_name": request.run_name,
            "tags": request.tags,
        });
        self.post("runs/create", &body)?.take("run")
    }

    fn get_run(&self, id: &RunId) -> Result<Run> {
        self.get("runs/get", &[("run_id", id.as_str())])?
            .take("run")
    }

    fn update_run(&self, id: &RunId, update: &UpdateRun) -> Result<RunInfo> {
        let body = json!({
            "run_id": id,
            "run_uuid": id,
            "status": update.status,
            "end_time": update.end_time,
            "run_name": update.run_name,
        });
        self.post("runs/update", &body)?.take("run_info")
    }

    fn delete_run(&self, id: &RunId) -> Result<()> {
        self.post("runs/delete", &json!({ "run_id": id }))?
            .nothing()
    }

    fn restore_run(&self, id: &RunId) -> Result<()> {
        self.post("runs/restore", &json!({ "run_id": id }))?
            .nothing()
    }

    fn search_runs(
        &self,
        experiments: &[ExperimentId],
        search: &Search,
        view: ViewType,
    ) -> Result<Page<Run>> {
        let mut body = search_body(search);
        body["experiment_ids"] = json!(experiments);
        body["run_view_type"] = json!(view);
        self.post("runs/search", &body)?.page("runs")
    }

    fn log_batch(&self, run: &RunId, batch: &LogBatch) -> Result<()> {
        let mut body = json!(batch);
        body["run_id"] = json!(run);
        self.post("runs/log-batch", &body)?.nothing()
    }

    fn log_metric(&self, run: &RunId, metric: Metric) -> Result<()> {
        let mut body = json!(metric);
        body["run_id"] = json!(run);
        body["run_uuid"] = json!(run);
        self.post("runs/log-metric", &body)?.nothing()
    }

    fn log_param(&self, run: &RunId, param: Param) -> Result<()> {
        let body = json!({ "run_id": run, "key": param.key, "value": param.value });
        self.post("runs/log-parameter", &body)?.nothing()
    }

    fn set_tag(&self, run: &RunId, tag: Tag) -> Result<()> {
        let body = json!({ "run_id": run, "key": tag.key, "value": tag.value });
        self.post("runs/set-tag", &body)?.nothing()
    }

    fn delete_tag(&self, run: &RunId, key: &str) -> Result<()> {
        let body = json!({ "run_id": run, "key": key });
        self.post("runs/delete-tag", &body)?.nothing()
    }

    fn log_inputs(
        &self,
        run: &RunId,
        datasets: &[DatasetInput],
        models: &[ModelInput],
    ) -> Result<()> {
        let body = json!({ "run_id": run, "datasets": datasets, "models": models });
        self.post("runs/log-inputs", &body)?.nothing()
    }

    fn search_datasets(&self, experiments: &[ExperimentId]) -> Result<Vec<DatasetSummary>> {
        let body = json!({ "experiment_ids": experiments });
        // The one route that MLflow has for its pages alone.
        let answer = self.post("/ajax-api/2.0/mlflow/experiments/search-datasets", &body)?;
        answer.page("dataset_summaries").map(|page| page.items)
    }

    fn log_outputs(&self, run: &RunId, models: &[ModelOutput]) -> Result<()> {
        // A step of 0 is left out of an entity's JSON, which means the same.
        let body = json!({ "run_id": run, "models": models });
        self.post("runs/outputs", &body)?.nothing()
    }

    fn metric_history(
        &self,
        run: &RunId,
        key: &str,
        max_results: Option<i64>,
        page_token: Option<&str>,
    ) -> Result<Page<Metric>> {
        let limit = max_results.map(|limit| limit.to_string());
        let mut query = vec![("run_id", run.as_str()), ("metric_key", key)];
        query.extend(limit.as_deref().map(|limit| ("max_results", limit)));
        query.extend(page_token.map(|token| ("page_token", token)));
        self.get("metrics/get-history", &query)?.page("metrics")
    }

    fn sampled_metric_history(
        &self,
        run: &RunId,
        key: &str,
        steps: Option<(i64, i64)>,
        max_points: usize,
    ) -> Result<Vec<Metric>> {
        let limit = max_points.to_string();
        let ends = steps.map(|(first, last)| (first.to_string(), last.to_string()));
        let mut query = vec![
            ("run_ids", run.as_str()),
            ("metric_key", key),
            ("max_results", limit.as_str()),
        ];
        if let Some((first, last)) = &ends {
            query.extend([("start_step", first.as_str()), ("end_step", last.as_str())]);
        }
        let page: Page<Metric> = self
            .get("metrics/get-history-bulk-interval", &query)?
            .page("metrics")?;
        let without_run = |metric| Metric {
            run_id: None,
            ..metric
        };
        Ok(page.items.into_iter().map(without_run).collect())
    }

    fn create_logged_model(&self, request: CreateLoggedModel) -> Result<LoggedModel> {
        let body = json!({
            "experiment_id": request.experiment_id,
            "name": request.name,
            "model_type": request.model_type,
            "source_run_id": request.source_run_id,
            "params": request.params,
            "tags": request.tags,
        });
        self.post("logged-models", &body)?.take("model")
    }

    fn get_logged_model(&self, id: &LoggedModelId) -> Result<LoggedModel> {
        self.get(&format!("logged-models/{id}"), &[])?.take("model")
    }

    fn finalize_logged_model(
        &self,
        id: &LoggedModelId,
        status: LoggedModelStatus,
    ) -> Result<LoggedModel> {
        let body = json!({ "model_id": id, "status": status });
        self.patch(&format!("logged-models/{id}"), &body)?
            .take("model")
    }

    fn delete_logged_model(&self, id: &LoggedModelId) -> Result<()> {
        self.delete(&format!("logged-models/{id}"), &json!({}))?
            .nothing()
    }

    fn set_logged_model_tags(&self, id: &LoggedModelId, tags: &[Tag]) -> Result<()> {
        let body = json!({ "model_id": id, "tags": tags });
        self.patch(&format!("logged-models/{id}/tags"), &body)?
            .nothing()
    }

    fn delete_logged_model_tag(&self, id: &LoggedModelId, key: &str) -> Result<()> {
        let route = format!("logged-models/{id}/tags/{}", connection::encoded(key));
        self.delete(&route, &json!({}))?.nothing()
    }

    fn log_logged_model_params(&self, id: &LoggedModelId, params: &[Param]) -> Result<()> {
        let body = json!({ "model_id": id, "params": params });
        self.post(&format!("logged-models/{id}/params"), &body)?
            .nothing()
    }

    fn search_logged_models(&self, search: &SearchLoggedModels) -> Result<Page<LoggedModel>> {
        let body = json!({
            "experiment_ids": search.experiment_ids,
            "filter": search.filter,
            "datasets": search.datasets,
            "order_by": search.order_by,
            "max_results": search.max_results,
            "page_token": search.page_token,
        });
        self.post("logged-models/search", &body)?.page("models")
    }

    fn create_registered_model(&self, request: CreateRegisteredModel) -> Result<RegisteredModel> {
        let body = json!({
            "name": request.name,
            "description": request.description,
            "tags": request.tags,
        });
        self.post("registered-models/create", &body)?
            .take("registered_model")
    }

    fn get_registered_model(&self, name: &str) -> Result<RegisteredModel> {
        self.get("registered-models/get", &[("name", name)])?
            .take("registered_model")
    }

    fn update_registered_model(
        &self,
        name: &str,
        description: Option<&str>,
    ) -> Result<RegisteredModel> {
        let body = json!({ "name": name, "description": description });
        self.patch("registered-models/update", &body)?
            .take("registered_model")
    }

    fn rename_registered_model(&self, name: &str, new_name: &str) -> Result<RegisteredModel> {
        let body = json!({ "name": name, "new_name": new_name });
        self.post("registered-models/rename", &body)?
            .take("registered_model")
    }

    fn delete_registered_model(&self, name: &str) -> Result<()> {
        self.delete("registered-models/delete", &json!({ "name": name }))?
            .nothing()
    }

    fn search_registered_models(&self, search: &Search) -> Result<Page<RegisteredModel>> {
        let answer = self.get_search("registered-models/search", search)?;
        answer.page("registered_models")
    }

    fn set_registered_model_tag(&self, name: &str, tag: &Tag) -> Result<()> {
        let body = json!({ "name": name, "key": tag.key, "value": tag.value });
        self.post("registered-models/set-tag", &body)?.nothing()
    }

    fn delete_registered_model_tag(&self, name: &str, key: &str) -> Result<()> {
        let body = json!({ "name": name, "key": key });
        self.delete("registered-models/delete-tag", &body)?
            .nothing()
    }

    fn get_latest_versions(&self, name: &str, stages: &[Stage]) -> Result<Vec<ModelVersion>> {
        let body = json!({ "name": name, "stages": stages });
        let answer = self.post("registered-models/get-latest-versions", &body)?;
        answer.page("model_versions").map(|page| page.items)
    }

    fn create_model_version(&self, request: CreateModelVersion) -> Result<ModelVersion> {
        let body = json!({
            "name": request.name,
            "source": request.source,
            "run_id": request.run_id,
            "run_link": request.run_link,
            "model_id": request.model_id,
            "description": request.description,
            "tags": request.tags,
        });
        self.post("model-versions/create", &body)?
            .take("model_version")
    }

    fn get_model_version(&self, name: &str, version: u32) -> Result<ModelVersion> {
        let version = version.to_string();
        self.get(
            "model-versions/get",
            &[("name", name), ("version", &version)],
        )?
        .take("model_version")
    }

    fn update_model_version(
        &self,
        name: &str,
        version: u32,
        description: Option<&str>,
    ) -> Result<ModelVersion> {
        let mut body = version_body(name, version);
        body["description"] = json!(description);
        self.patch("model-versions/update", &body)?
            .take("model_version")
    }

    fn transition_model_version_stage(
        &self,
        name: &str,
        version: u32,
        stage: Stage,
        archive_existing: bool,
    ) -> Result<ModelVersion> {
        let mut body = version_body(name, version);
        body["stage"] = json!(stage);
        body["archive_existing_versions"] = json!(archive_existing);
        self.post("model-versions/transition-stage", &body)?
            .take("model_version")
    }

    fn delete_model_version(&self, name: &str, version: u32) -> Result<()> {
        self.delete("model-versions/delete", &version_body(name, version))?
            .nothing()
    }

    fn search_model_versions(&self, search: &Search) -> Result<Page<ModelVersion>> {
        let answer = self.get_search("model-versions/search", search)?;
        answer.page("model_versions")
    }

    fn set_model_version_tag(&self, name: &str, version: u32, tag: &Tag) -> Result<()> {
        let mut body = version_body(name, version);
        body["key"] = json!(tag.key);
        body["value"] = json!(tag.value);
        self.post("model-versions/set-tag", &body)?.nothing()
    }

    fn delete_model_version_tag(&self, name: &str, version: u32, key: &str) -> Result<()> {
        let mut body = version_body(name, version);
        body["key"] = json!(key);
        self.delete("model-versions/delete-tag", &body)?.nothing()
    }

    fn model_version_download_uri(&self, name: &str, version: u32) -> Result<String> {
        let version = version.to_string();
        let query = [("name", name), ("version", version.as_str())];
        self.get("model-versions/get-download-uri", &query)?
            .take("artifact_uri")
    }

    fn set_registered_model_alias(&self, name: &str, alias: &str, version: u32) -> Result<()> {
        let mut body = version_body(name, version);
        body["alias"] = json!(alias);
        self.post("registered-models/alias", &body)?.nothing()
    }

    fn delete_registered_model_alias(&self, name: &str, alias: &str) -> Result<()> {
        let body = json!({ "name": name, "alias": alias });
        self.delete("registered-models/alias", &body)?.nothing()
    }

    fn get_model_version_by_alias(&self, name: &str, alias: &str) -> Result<ModelVersion> {
        self.get(
            "registered-models/alias",
            &[("name", name), ("alias", alias)],
        )?
        .take("model_version")
    }

    fn promote(&self, name: &str, version: u32) -> Result<ModelVersion> {
        let promoted = self.get_model_version(name, version)?;
        let champion = alias_of(&self.get_registered_model(name)?, CHAMPION);
        if champion == Some(version) {
            return Ok(promoted);
        }
        if let Some(champion) = champion {
            self.set_registered_model_alias(name, PREVIOUS, champion)?;
        }
        self.set_registered_model_alias(name, CHAMPION, version)?;
        self.record_move(name, "promote", champion, version)?;
        self.get_model_version(name, version)
    }

    fn rollback(&self, name: &str) -> Result<ModelVersion> {
        let model = self.get_registered_model(name)?;
        let previous = alias_of(&model, PREVIOUS)
            .ok_or_else(|| TrackingError::NothingToRollBack(name.to_owned()))?;
        let champion = alias_of(&model, CHAMPION);
        self.set_registered_model_alias(name, CHAMPION, previous)?;
        match champion {
            Some(champion) => self.set_registered_model_alias(name, PREVIOUS, champion)?,
            None => self.delete_registered_model_alias(name, PREVIOUS)?,
        }
        self.record_move(name, "rollback", champion, previous)?;
        self.get_model_version(name, previous)
    }

    fn alias_history(&self, name: &str) -> Result<Vec<AliasMove>> {
        let tags = self.get_registered_model(name)?.tags;
        Ok(value_of(&tags, MOVES)
            .and_then(|text| serde_json::from_str(text).ok())
            .unwrap_or_default())
    }
}

impl RemoteStore {
    fn record_move(&self, name: &str, action: &str, from: Option<u32>, to: u32) -> Result<()> {
        let mut moves = self.alias_history(name)?;
        let timestamp = now();
        moves.push(AliasMove {
            timestamp,
            action: action.to_owned(),
            from_version: from,
            to_version: to,
        });
        self.set_registered_model_tag(name, &Tag::new(MOVES, json!(moves).to_string()))?;
        let tag = Tag::new(format!("biophony.{action}"), timestamp.to_string());
        self.set_model_version_tag(name, to, &tag)
    }

    fn get_search(&self, route: &str, search: &Search) -> Result<connection::Answer> {
        let limit = search.max_results.map(|limit| limit.to_string());
        let mut query = vec![("filter", search.filter.as_str())];
        query.extend(search.order_by.iter().map(|key| ("order_by", key.as_str())));
        query.extend(limit.as_deref().map(|limit| ("max_results", limit)));
        query.extend(
            search
                .page_token
                .as_deref()
                .map(|token| ("page_token", token)),
        );
        self.get(route, &query)
    }
}

fn alias_of(model: &RegisteredModel, alias: &str) -> Option<u32> {
    let found = model.aliases.iter().find(|known| known.alias == alias);
    found.map(|known| known.version)
}

fn search_body(search: &Search) -> Value {
    json!({
        "filter": search.filter,
        "order_by": search.order_by,
        "max_results": search.max_results,
        "page_token": search.page_token,
    })
}

fn version_body(name: &str, version: u32) -> Value {
    json!({ "name": name, "version": version.to_string() })
}
