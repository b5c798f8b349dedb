//! Logged models over HTTP.

use serde_json::{Value, json};

use super::runs::list_below;
use crate::artifacts::ArtifactPath;
use crate::entities::{ExperimentId, LoggedModelId, LoggedModelStatus};
use crate::error::{Result, TrackingError};
use crate::requests::{CreateLoggedModel, SearchLoggedModels};
use crate::server::Service;
use crate::server::params::Params;
use crate::server::reply::{Body, body, nothing};

pub(super) fn create(service: &Service, params: &Params) -> Result<Body> {
    let model = service.store.create_logged_model(CreateLoggedModel {
        experiment_id: params.experiment_id()?,
        name: params.filled("name")?,
        model_type: params.filled("model_type")?,
        source_run_id: params.filled("source_run_id")?.map(Into::into),
        params: params.list("params")?,
        tags: params.list("tags")?,
    })?;
    body(&json!({ "model": model }))
}

pub(super) fn get(service: &Service, params: &Params) -> Result<Body> {
    let model = service.store.get_logged_model(&id(params)?)?;
    body(&json!({ "model": model }))
}

pub(super) fn finalize(service: &Service, params: &Params) -> Result<Body> {
    let status = match params.value("status")? {
        Value::Number(number) => number.as_i64().map(LoggedModelStatus::of_number),
        text => serde_json::from_value(text.clone()).ok(),
    };
    let status = status.ok_or_else(|| TrackingError::invalid("Invalid logged model status"))?;
    let model = service.store.finalize_logged_model(&id(params)?, status)?;
    body(&json!({ "model": model }))
}

pub(super) fn delete(service: &Service, params: &Params) -> Result<Body> {
    service.store.delete_logged_model(&id(params)?)?;
    nothing()
}

pub(super) fn log_params(service: &Service, params: &Params) -> Result<Body> {
    let logged: Vec<_> = params.list("params")?;
    service
        .store
        .log_logged_model_params(&id(params)?, &logged)?;
    nothing()
}

pub(super) fn set_tags(service: &Service, params: &Params) -> Result<Body> {
    let id = id(params)?;
    let tags: Vec<_> = params.list("tags")?;
    service.store.set_logged_model_tags(&id, &tags)?;
    nothing()
}

pub(super) fn delete_tag(service: &Service, params: &Params) -> Result<Body> {
    service
        .store
        .delete_logged_model_tag(&id(params)?, params.required("tag_key")?)?;
    nothing()
}

pub(super) fn search(service: &Service, params: &Params) -> Result<Body> {
    params.value("experiment_ids")?;
    let experiment_ids = params.texts("experiment_ids")?;
    let experiment_ids = experiment_ids.into_iter().map(ExperimentId::from).collect();
    let page = service.store.search_logged_models(&SearchLoggedModels {
        experiment_ids,
        filter: params.text("filter")?.unwrap_or_default().to_owned(),
        datasets: params.list("datasets")?,
        order_by: params.list("order_by")?,
        max_results: params.int("max_results")?.filter(|&wanted| wanted != 0),
        page_token: params.filled("page_token")?,
    })?;
    super::page("models", &page.items, page.next_page_token)
}

pub(super) fn list_artifacts(service: &Service, params: &Params) -> Result<Body> {
    let path = params.text("artifact_directory_path")?.unwrap_or_default();
    let below = ArtifactPath::new(path)?;
    let root_uri = service
        .store
        .get_logged_model(&id(params)?)?
        .info
        .artifact_uri;
    let files = list_below(service, &root_uri, &below)?;
    let mut answer = json!({ "root_uri": root_uri });
    if !files.is_empty() {
        answer["files"] = json!(files);
    }
    body(&answer)
}

fn id(params: &Params) -> Result<LoggedModelId> {
    params.required("model_id").map(LoggedModelId::from)
}
