//! Versions of registered models over HTTP.

use serde_json::{Value, json};

use crate::artifacts::check_model_source;
use crate::entities::{LoggedModelId, ModelVersion, Tag, value_of};
use crate::error::{Result, TrackingError};
use crate::requests::CreateModelVersion;
use crate::server::Service;
use crate::server::params::Params;
use crate::server::reply::{Body, body, nothing};

/// The most versions on one page, and how many there are unless it is said.
const MAX_VERSIONS: i64 = 200_000;
const DEFAULT_VERSIONS: i64 = 10_000;

/// The tag of a logged model that lists its registered versions.
const MODEL_VERSIONS: &str = "mlflow.modelVersions";

/// The tag that tells prompts from models.
const IS_PROMPT: &str = "mlflow.prompt.is_prompt";

/// What stands for the source of a prompt.
const PROMPT_SOURCES: [&str; 2] = ["dummy-source", "prompt-template"];

pub(super) fn create(service: &Service, params: &Params) -> Result<Body> {
    let request = CreateModelVersion {
        name: params.required("name")?.to_owned(),
        source: params.required("source")?.to_owned(),
        run_id: params.filled("run_id")?.map(Into::into),
        run_link: Some(params.text("run_link")?.unwrap_or_default().to_owned()),
        model_id: params.filled("model_id")?.map(Into::into),
        description: Some(params.text("description")?.unwrap_or_default().to_owned()),
        tags: params.list("tags")?,
    };
    if is_prompt(&request.tags) {
        check_prompt_source(&request.source)?;
    } else {
        check_model_source(
            service.store.as_ref(),
            &request.source,
            request.run_id.as_ref(),
            request.model_id.as_ref(),
        )?;
    }
    let is_model_given = request.model_id.is_some();
    let version = service.store.create_model_version(request)?;
    if let Some(model) = &version.model_id {
        match note_version(service, model, &version) {
            // It came with another version, and was deleted since that was registered.
            Err(TrackingError::LoggedModelNotFound(_)) if !is_model_given => {}
            noted => noted?,
        }
    }
    body(&json!({ "model_version": version }))
}

pub(super) fn get(service: &Service, params: &Params) -> Result<Body> {
    let name = params.required("name")?;
    let version = service.store.get_model_version(name, params.version()?)?;
    body(&json!({ "model_version": version }))
}

pub(super) fn update(service: &Service, params: &Params) -> Result<Body> {
    let name = params.required("name")?;
    let description = params.text("description")?;
    let version = service
        .store
        .update_model_version(name, params.version()?, description)?;
    body(&json!({ "model_version": version }))
}

pub(super) fn delete(service: &Service, params: &Params) -> Result<Body> {
    let name = params.required("name")?;
    service
        .store
        .delete_model_version(name, params.version()?)?;
    nothing()
}

pub(super) fn search(service: &Service, params: &Params) -> Result<Body> {
    let search = params.search(Some(DEFAULT_VERSIONS), MAX_VERSIONS)?;
    let mut page = service.store.search_model_versions(&search)?;
    // MLflow tells them only of a version that is asked for by itself.
    for version in &mut page.items {
        version.aliases.clear();
    }
    super::page("model_versions", &page.items, page.next_page_token)
}

pub(super) fn download_uri(service: &Service, params: &Params) -> Result<Body> {
    let name = params.required("name")?;
    let uri = service
        .store
        .model_version_download_uri(name, params.version()?)?;
    body(&json!({ "artifact_uri": uri }))
}

pub(super) fn transition_stage(service: &Service, params: &Params) -> Result<Body> {
    let name = params.required("name")?;
    let version = params.version()?;
    let stage = params.required("stage")?.parse()?;
    let archive = params.flag("archive_existing_versions")?;
    let version = service
        .store
        .transition_model_version_stage(name, version, stage, archive)?;
    body(&json!({ "model_version": version }))
}

pub(super) fn set_tag(service: &Service, params: &Params) -> Result<Body> {
    let name = params.required("name")?;
    let tag = Tag::new(
        params.required("key")?,
        params.text("value")?.unwrap_or_default(),
    );
    service
        .store
        .set_model_version_tag(name, params.version()?, &tag)?;
    nothing()
}

pub(super) fn delete_tag(service: &Service, params: &Params) -> Result<Body> {
    let name = params.required("name")?;
    let key = params.required("key")?;
    service
        .store
        .delete_model_version_tag(name, params.version()?, key)?;
    nothing()
}

/// Whether a version is a prompt, whose text is in its tags and which has no files. Of
/// two tags with one key the last counts.
fn is_prompt(tags: &[Tag]) -> bool {
    let mut said = tags.iter().rev().filter(|tag| tag.key == IS_PROMPT);
    said.next()
        .is_some_and(|tag| tag.value.eq_ignore_ascii_case("true"))
}

/// A source must be there, so clients write one of two words that lead nowhere.
fn check_prompt_source(source: &str) -> Result<()> {
    if PROMPT_SOURCES.contains(&source) {
        return Ok(());
    }
    Err(TrackingError::invalid(format!(
        "Invalid prompt source: '{source}'. Prompt sources must use an MLflow placeholder."
    )))
}

/// Notes on a logged model that it was registered.
fn note_version(service: &Service, model: &LoggedModelId, version: &ModelVersion) -> Result<()> {
    let tags = service.store.get_logged_model(model)?.info.tags;
    let mut versions: Vec<Value> = value_of(&tags, MODEL_VERSIONS)
        .and_then(|text| serde_json::from_str(text).ok())
        .unwrap_or_default();
    let this = json!({ "name": version.name, "version": version.version });
    if !versions.contains(&this) {
        versions.push(this);
    }
    let tag = Tag::new(MODEL_VERSIONS, Value::from(versions).to_string());
    service.store.set_logged_model_tags(model, &[tag])
}
