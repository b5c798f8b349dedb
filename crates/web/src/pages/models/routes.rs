//! The routes of models. What changes something is a POST, which the guard lets
//! through for editors alone and from this server's own pages alone.

use askama::Template;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use tokio::sync::SemaphorePermit;

use super::download;
use super::parity::ONE_AT_A_TIME;
use super::version::{Files, VersionPage, version_number};
use super::{ModelsPage, VersionLink};
use crate::error::ApiError;
use crate::openapi::ErrorBody;
use crate::pages::query::{Query, path_part};
use crate::pages::{Frame, answer, error_page};
use crate::state::WebState;

pub(crate) fn router() -> Router<WebState> {
    Router::new()
        .route("/models", get(models_page))
        .route("/models/{name}/{version}", get(version_page))
        .route("/models/{name}/{version}/bundle.zip", get(bundle))
        .route("/models/{name}/{version}/promote", post(promote_here))
        .route("/models/{name}/rollback", post(roll_back_here))
        .route("/api/v1/models", get(models))
        .route("/api/v1/models/{name}/{version}", get(version))
        .route(
            "/api/v1/models/{name}/{version}/bundle.zip",
            get(bundle_of_version),
        )
        .route("/api/v1/models/{name}/{version}/promote", post(promote))
        .route("/api/v1/models/{name}/rollback", post(roll_back))
}

#[derive(Template)]
#[template(path = "models.html")]
struct ModelsTemplate {
    frame: Frame,
    page: ModelsPage,
}

#[derive(Template)]
#[template(path = "version.html")]
struct VersionTemplate {
    frame: Frame,
    page: VersionPage,
}

async fn models_page(State(state): State<WebState>) -> Response {
    answer::page(
        &state,
        |state| ModelsPage::load(&**state.tracking()),
        |page| ModelsTemplate {
            frame: Frame::new("Models", "models"),
            page,
        },
    )
    .await
}

/// All registered models with their versions
#[utoipa::path(get, path = "/api/v1/models", tag = "models",
    responses((status = 200, body = ModelsPage))
)]
pub(crate) async fn models(State(state): State<WebState>) -> Response {
    answer::json(&state, |state| ModelsPage::load(&**state.tracking())).await
}

async fn version_page(
    State(state): State<WebState>,
    Path((name, version)): Path<(String, String)>,
    query: Query,
) -> Response {
    let _turn = turn(&query).await;
    answer::page(
        &state,
        move |state| load(state, &name, &version, &query),
        |page| VersionTemplate {
            frame: Frame::new(format!("{} {}", page.name, page.version), "models"),
            page,
        },
    )
    .await
}

/// One version, with the gate's decision
#[utoipa::path(get, path = "/api/v1/models/{name}/{version}", tag = "models",
    params(
        ("name" = String, Path),
        ("version" = u32, Path),
        ("parity" = Option<u8>, Query, description = "1 to ask the bundle about recordings of the test part again"),
    ),
    responses((status = 200, body = VersionPage), (status = 404, body = ErrorBody))
)]
pub(crate) async fn version(
    State(state): State<WebState>,
    Path((name, version)): Path<(String, String)>,
    query: Query,
) -> Response {
    let _turn = turn(&query).await;
    answer::json(&state, move |state| load(state, &name, &version, &query)).await
}

/// Waits for the turn of those who ask for parity.
async fn turn(query: &Query) -> Option<SemaphorePermit<'static>> {
    query.one("parity")?;
    // It is never closed, so there is always a turn.
    ONE_AT_A_TIME.acquire().await.ok()
}

fn load(
    state: &WebState,
    name: &str,
    version: &str,
    query: &Query,
) -> Result<VersionPage, ApiError> {
    let parity = query.one("parity").map(|_| state.limits().decode());
    let version = version_number(version)?;
    VersionPage::load(
        &**state.tracking(),
        state.artifacts(),
        state.pipelines(),
        name,
        version,
        parity,
    )
}

async fn bundle(
    State(state): State<WebState>,
    Path((name, version)): Path<(String, String)>,
) -> Response {
    answer::file(
        &state,
        move |state| zipped(state, &name, &version),
        |e| error_page(&e),
    )
    .await
}

/// A version's files as one zip
#[utoipa::path(get, path = "/api/v1/models/{name}/{version}/bundle.zip", tag = "models",
    params(("name" = String, Path), ("version" = u32, Path)),
    responses((status = 200, content_type = "application/zip", body = Vec<u8>), (status = 404, body = ErrorBody))
)]
pub(crate) async fn bundle_of_version(
    State(state): State<WebState>,
    Path((name, version)): Path<(String, String)>,
) -> Response {
    let load = move |state: &WebState| zipped(state, &name, &version);
    answer::file(&state, load, IntoResponse::into_response).await
}

fn zipped(state: &WebState, name: &str, version: &str) -> Result<Response, ApiError> {
    let files = Files::find(&**state.tracking(), name, version_number(version)?)?;
    download::answer(state.artifacts(), &files)
}

async fn promote_here(
    State(state): State<WebState>,
    Path((name, version)): Path<(String, String)>,
) -> Response {
    let target = format!("/models/{}/{}", path_part(&name), path_part(&version));
    let change = move |state: &WebState| put_into_use(state, &name, &version);
    back_to(target, state.blocking(change).await)
}

/// Puts a version into use; the one that was in use becomes `previous`
#[utoipa::path(post, path = "/api/v1/models/{name}/{version}/promote", tag = "models",
    params(("name" = String, Path), ("version" = u32, Path)),
    responses((status = 200, body = VersionLink), (status = 403, body = ErrorBody), (status = 404, body = ErrorBody))
)]
pub(crate) async fn promote(
    State(state): State<WebState>,
    Path((name, version)): Path<(String, String)>,
) -> Response {
    changed(
        state
            .blocking(move |state| put_into_use(state, &name, &version))
            .await,
    )
}

fn put_into_use(state: &WebState, name: &str, version: &str) -> Result<VersionLink, ApiError> {
    let version = state.tracking().promote(name, version_number(version)?)?;
    Ok(VersionLink::new(&version))
}

async fn roll_back_here(State(state): State<WebState>, Path(name): Path<String>) -> Response {
    let change = move |state: &WebState| go_back(state, &name);
    back_to("/models".to_owned(), state.blocking(change).await)
}

/// Puts the previous version into use again
#[utoipa::path(post, path = "/api/v1/models/{name}/rollback", tag = "models",
    params(("name" = String, Path)),
    responses((status = 200, body = VersionLink), (status = 403, body = ErrorBody), (status = 404, body = ErrorBody, description = "There is no such model"), (status = 409, body = ErrorBody, description = "There is no previous version"))
)]
pub(crate) async fn roll_back(State(state): State<WebState>, Path(name): Path<String>) -> Response {
    changed(state.blocking(move |state| go_back(state, &name)).await)
}

fn go_back(state: &WebState, name: &str) -> Result<VersionLink, ApiError> {
    Ok(VersionLink::new(&state.tracking().rollback(name)?))
}

fn back_to(page: String, result: Result<VersionLink, ApiError>) -> Response {
    match result {
        Ok(_) => Redirect::to(&page).into_response(),
        Err(error) => error_page(&error),
    }
}

fn changed(result: Result<VersionLink, ApiError>) -> Response {
    match result {
        Ok(version) => Json(version).into_response(),
        Err(error) => error.into_response(),
    }
}
