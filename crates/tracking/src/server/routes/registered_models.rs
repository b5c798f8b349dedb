//! Registered models and their aliases over HTTP.

use serde_json::json;

use crate::entities::{Stage, Tag};
use crate::error::Result;
use crate::requests::CreateRegisteredModel;
use crate::server::Service;
use crate::server::params::Params;
use crate::server::reply::{Body, body, nothing};

/// The most registered models on one page, and how many there are unless it is said.
const MAX_MODELS: i64 = 1000;
const DEFAULT_MODELS: i64 = 100;

pub(super) fn create(service: &Service, params: &Params) -> Result<Body> {
    let model = service
        .store
        .create_registered_model(CreateRegisteredModel {
            name: params.required("name")?.to_owned(),
            description: params.filled("description")?,
            tags: params.list("tags")?,
        })?;
    body(&json!({ "registered_model": model }))
}

pub(super) fn get(service: &Service, params: &Params) -> Result<Body> {
    let model = service
        .store
        .get_registered_model(params.required("name")?)?;
    body(&json!({ "registered_model": model }))
}

pub(super) fn update(service: &Service, params: &Params) -> Result<Body> {
    let name = params.required("name")?;
    let description = params.text("description")?;
    let model = service.store.update_registered_model(name, description)?;
    body(&json!({ "registered_model": model }))
}

pub(super) fn rename(service: &Service, params: &Params) -> Result<Body> {
    let name = params.required("name")?;
    let new_name = params.required("new_name")?;
    let model = service.store.rename_registered_model(name, new_name)?;
    body(&json!({ "registered_model": model }))
}

pub(super) fn delete(service: &Service, params: &Params) -> Result<Body> {
    service
        .store
        .delete_registered_model(params.required("name")?)?;
    nothing()
}

pub(super) fn search(service: &Service, params: &Params) -> Result<Body> {
    let search = params.search(Some(DEFAULT_MODELS), MAX_MODELS)?;
    let page = service.store.search_registered_models(&search)?;
    super::page("registered_models", &page.items, page.next_page_token)
}

pub(super) fn get_latest_versions(service: &Service, params: &Params) -> Result<Body> {
    let name = params.required("name")?;
    let stages = params
        .list::<String>("stages")?
        .iter()
        .map(|stage| stage.parse())
        .collect::<Result<Vec<Stage>>>()?;
    let versions = service.store.get_latest_versions(name, &stages)?;
    super::page("model_versions", &versions, None)
}

pub(super) fn set_tag(service: &Service, params: &Params) -> Result<Body> {
    let name = params.required("name")?;
    let tag = Tag::new(
        params.required("key")?,
        params.text("value")?.unwrap_or_default(),
    );
    service.store.set_registered_model_tag(name, &tag)?;
    nothing()
}

pub(super) fn delete_tag(service: &Service, params: &Params) -> Result<Body> {
    let name = params.required("name")?;
    service
        .store
        .delete_registered_model_tag(name, params.required("key")?)?;
    nothing()
}

pub(super) fn get_by_alias(service: &Service, params: &Params) -> Result<Body> {
    let name = params.required("name")?;
    let version = service
        .store
        .get_model_version_by_alias(name, params.required("alias")?)?;
    body(&json!({ "model_version": version }))
}

pub(super) fn set_alias(service: &Service, params: &Params) -> Result<Body> {
    let name = params.required("name")?;
    let alias = params.required("alias")?;
    service
        .store
        .set_registered_model_alias(name, alias, params.version()?)?;
    nothing()
}

pub(super) fn delete_alias(service: &Service, params: &Params) -> Result<Body> {
    let name = params.required("name")?;
    service
        .store
        .delete_registered_model_alias(name, params.required("alias")?)?;
    nothing()
}
