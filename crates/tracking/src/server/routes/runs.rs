//! Runs over HTTP.

use serde_json::{Value, json};

use crate::artifacts::{ArtifactPath, FileInfo};
use crate::check::python_repr;
use crate::entities::{ExperimentId, Metric, Param, RunId, RunStatus, Tag, value_of};
use crate::error::{Result, TrackingError};
use crate::requests::{CreateRun, LogBatch, UpdateRun};
use crate::server::Service;
use crate::server::params::{Params, missing, wrong_type};
use crate::server::reply::{Body, body, nothing};

/// The most runs on one page, and how many there are unless it is said.
const MAX_RUNS: i64 = 50_000;
const DEFAULT_RUNS: i64 = 1000;

/// The tag that lists the models of a run, for clients before MLflow 3.
const LOGGED_MODELS: &str = "mlflow.log-model.history";

pub(super) fn create(service: &Service, params: &Params) -> Result<Body> {
    // A request of the wrong form to MLflow too, which finds out from its database.
    let experiment_id = params
        .filled("experiment_id")?
        .ok_or_else(|| TrackingError::BadRequest(missing("experiment_id").to_string()))?;
    let run = service.store.create_run(CreateRun {
        experiment_id: ExperimentId::from(experiment_id),
        user_id: params.text("user_id")?.unwrap_or_default().to_owned(),
        start_time: params.int("start_time")?.unwrap_or_default(),
        run_name: params.filled("run_name")?,
        tags: params.list("tags")?,
    })?;
    body(&json!({ "run": run }))
}

pub(super) fn get(service: &Service, params: &Params) -> Result<Body> {
    let run = service.store.get_run(&params.run_id()?)?;
    body(&json!({ "run": run }))
}

pub(super) fn update(service: &Service, params: &Params) -> Result<Body> {
    let update = UpdateRun {
        status: status(params)?,
        end_time: params.int("end_time")?,
        run_name: params.filled("run_name")?,
    };
    let info = service.store.update_run(&params.run_id()?, &update)?;
    body(&json!({ "run_info": info }))
}

/// A status by its name or its number. A name that is unknown is ignored, as protobuf
/// does, and a number that is unknown refused, as MLflow does.
fn status(params: &Params) -> Result<Option<RunStatus>> {
    let Ok(value) = params.value("status") else {
        return Ok(None);
    };
    let number = match value {
        Value::String(text) => match text.parse() {
            Ok(number) => return Ok(RunStatus::of_number(number)),
            Err(_) => return Ok(text.parse().ok()),
        },
        Value::Number(_) => params.int("status")?,
        Value::Bool(flag) => Some(i64::from(*flag)),
        _ => None,
    };
    let status = number.and_then(RunStatus::of_number);
    status.map(Some).ok_or_else(|| wrong_type("status", value))
}

pub(super) fn delete(service: &Service, params: &Params) -> Result<Body> {
    service.store.delete_run(&params.run_id()?)?;
    nothing()
}

pub(super) fn restore(service: &Service, params: &Params) -> Result<Body> {
    service.store.restore_run(&params.run_id()?)?;
    nothing()
}

pub(super) fn search(service: &Service, params: &Params) -> Result<Body> {
    let experiments = params.experiment_ids()?;
    let search = params.search(Some(DEFAULT_RUNS), MAX_RUNS)?;
    let view = params.view_type("run_view_type")?;
    let page = service.store.search_runs(&experiments, &search, view)?;
    super::page("runs", &page.items, page.next_page_token)
}

pub(super) fn log_metric(service: &Service, params: &Params) -> Result<Body> {
    let run = params.run_id()?;
    let key = params.required("key")?;
    let value = params.float("value")?;
    params.value("timestamp")?;
    let metric = Metric {
        model_id: params.filled("model_id")?.map(Into::into),
        dataset_name: params.filled("dataset_name")?,
        dataset_digest: params.filled("dataset_digest")?,
        ..Metric::new(
            key,
            value,
            params.int("timestamp")?.unwrap_or_default(),
            params.int("step")?.unwrap_or_default(),
        )
    };
    service.store.log_metric(&run, metric)?;
    nothing()
}

pub(super) fn log_param(service: &Service, params: &Params) -> Result<Body> {
    let run = params.run_id()?;
    let key = params.required("key")?;
    let value = params.text("value")?.unwrap_or_default();
    service.store.log_param(&run, Param::new(key, value))?;
    nothing()
}

pub(super) fn log_batch(service: &Service, params: &Params) -> Result<Body> {
    if let Some(request) = params.whole::<Batch>()
        && request.is_complete()
    {
        let batch = LogBatch {
            metrics: request.metrics,
            params: request.params,
            tags: request.tags,
        };
        service.store.log_batch(&request.run_id, &batch)?;
        return nothing();
    }
    let run = RunId::from(params.required("run_id")?);
    params.require_fields("metrics", &["key", "value", "timestamp"])?;
    params.require_fields("params", &["key"])?;
    params.require_fields("tags", &["key"])?;
    let batch = LogBatch {
        metrics: params.list("metrics")?,
        params: params.list("params")?,
        tags: params.list("tags")?,
    };
    service.store.log_batch(&run, &batch)?;
    nothing()
}

/// A batch as it nearly always comes. Reading it at once takes a fraction of the time
/// that reading it field by field takes, which is left for what is not quite right.
#[derive(serde::Deserialize)]
struct Batch {
    run_id: RunId,
    #[serde(default)]
    metrics: Vec<Metric>,
    #[serde(default)]
    params: Vec<Param>,
    #[serde(default)]
    tags: Vec<Tag>,
}

impl Batch {
    fn is_complete(&self) -> bool {
        let pairs = self.params.iter().chain(&self.tags);
        !self.run_id.as_str().is_empty()
            && self.metrics.iter().all(|metric| !metric.key.is_empty())
            && pairs.into_iter().all(|pair| !pair.key.is_empty())
    }
}

pub(super) fn set_tag(service: &Service, params: &Params) -> Result<Body> {
    let run = params.run_id()?;
    let key = params.required("key")?;
    let value = params.text("value")?.unwrap_or_default();
    service.store.set_tag(&run, Tag::new(key, value))?;
    nothing()
}

pub(super) fn delete_tag(service: &Service, params: &Params) -> Result<Body> {
    service
        .store
        .delete_tag(&params.run_id()?, params.required("key")?)?;
    nothing()
}

pub(super) fn log_inputs(service: &Service, params: &Params) -> Result<Body> {
    let datasets: Vec<_> = params.list("datasets")?;
    let models: Vec<_> = params.list("models")?;
    service
        .store
        .log_inputs(&params.run_id()?, &datasets, &models)?;
    nothing()
}

pub(super) fn log_outputs(service: &Service, params: &Params) -> Result<Body> {
    params.value("models")?;
    let models: Vec<_> = params.list("models")?;
    service.store.log_outputs(&params.run_id()?, &models)?;
    nothing()
}

/// Appends to the list of models that clients before MLflow 3 keep in a tag.
pub(super) fn log_model(service: &Service, params: &Params) -> Result<Body> {
    let run = params.run_id()?;
    let text = params.required("model_json")?;
    let model: Value = serde_json::from_str(text).map_err(|_| {
        TrackingError::invalid(format!(
            "Malformed model info. \n {text} \n is not a valid JSON."
        ))
    })?;
    let missing: Vec<String> = ["artifact_path", "flavors", "run_id", "utc_time_created"]
        .into_iter()
        .filter(|field| model.get(field).is_none())
        .map(python_repr)
        .collect();
    if !missing.is_empty() {
        return Err(TrackingError::invalid(format!(
            "Model json is missing mandatory fields: {{{}}}",
            missing.join(", ")
        )));
    }
    let tags = service.store.get_run(&run)?.data.tags;
    let mut history: Vec<Value> = value_of(&tags, LOGGED_MODELS)
        .and_then(|text| serde_json::from_str(text).ok())
        .unwrap_or_default();
    history.push(model);
    let tag = Tag::new(LOGGED_MODELS, Value::from(history).to_string());
    service.store.set_tag(&run, tag)?;
    nothing()
}

pub(super) fn list_artifacts(service: &Service, params: &Params) -> Result<Body> {
    let below = ArtifactPath::new(params.text("path")?.unwrap_or_default())?;
    let root_uri = service.store.get_run(&params.run_id()?)?.info.artifact_uri;
    let files = list_below(service, &root_uri, &below)?;
    let mut answer = json!({ "root_uri": root_uri });
    if !files.is_empty() {
        answer["files"] = json!(files);
    }
    body(&answer)
}

/// What is in a folder of a run or model, with paths that begin at `root_uri`.
pub(super) fn list_below(
    service: &Service,
    root_uri: &str,
    below: &ArtifactPath,
) -> Result<Vec<FileInfo>> {
    let folder = ArtifactPath::of_uri(root_uri)?.join(below.as_str())?;
    let mut files = service.artifacts.list(&folder)?;
    if !below.is_root() {
        for file in &mut files {
            file.path = format!("{}/{}", below.as_str(), file.path);
        }
    }
    Ok(files)
}
