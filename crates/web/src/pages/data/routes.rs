//! The routes of data.

use askama::Template;
use axum::Router;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tokio::sync::Semaphore;

use super::DataPage;
use super::clips::ClipsPage;
use super::sound::Heard;
use crate::error::ApiError;
use crate::openapi::ErrorBody;
use crate::pages::query::Query;
use crate::pages::{Frame, answer};
use crate::state::WebState;

/// How many recordings are decoded at the same time: a page asks for many.
static TURNS: Semaphore = Semaphore::const_new(4);

pub(crate) fn router() -> Router<WebState> {
    Router::new()
        .route("/data", get(data_page))
        .route("/data/clips", get(clips_page))
        .route("/api/v1/data", get(data))
        .route("/api/v1/data/clips", get(clips))
        .route("/api/v1/data/audio", get(audio))
        .route("/api/v1/data/picture", get(picture))
}

#[derive(Template)]
#[template(path = "data.html")]
struct DataTemplate {
    frame: Frame,
    page: DataPage,
}

#[derive(Template)]
#[template(path = "clips.html")]
struct ClipsTemplate {
    frame: Frame,
    page: ClipsPage,
}

async fn data_page(State(state): State<WebState>, query: Query) -> Response {
    let load = move |state: &WebState| DataPage::load(state.pipelines(), &query);
    answer::page(&state, load, |page| DataTemplate {
        frame: Frame::new("Data", "data"),
        page,
    })
    .await
}

/// The audited collection: classes, findings, near copies
#[utoipa::path(get, path = "/api/v1/data", tag = "data",
    params(
        ("run" = Option<String>, Query, description = "The run of the pipeline whose audit is meant; the newest if there is none"),
        ("page" = Option<usize>, Query, description = "The page of near copies, counted from 1"),
    ),
    responses((status = 200, body = DataPage), (status = 404, body = ErrorBody))
)]
pub(crate) async fn data(State(state): State<WebState>, query: Query) -> Response {
    answer::json(&state, move |state| {
        DataPage::load(state.pipelines(), &query)
    })
    .await
}

async fn clips_page(State(state): State<WebState>, query: Query) -> Response {
    let load = move |state: &WebState| ClipsPage::load(state.pipelines(), query);
    answer::page(&state, load, |page| ClipsTemplate {
        frame: Frame::new("Recordings", "data"),
        page,
    })
    .await
}

/// The recordings of the collection
#[utoipa::path(get, path = "/api/v1/data/clips", tag = "data",
    params(
        ("run" = Option<String>, Query, description = "The run of the pipeline whose audit is meant; the newest if there is none"),
        ("class" = Option<String>, Query, description = "Those of this class alone"),
        ("contains" = Option<String>, Query, description = "Those whose path has this in it"),
        ("page" = Option<usize>, Query, description = "Counted from 1"),
    ),
    responses((status = 200, body = ClipsPage), (status = 404, body = ErrorBody))
)]
pub(crate) async fn clips(State(state): State<WebState>, query: Query) -> Response {
    answer::json(&state, move |state| {
        ClipsPage::load(state.pipelines(), query)
    })
    .await
}

/// An audited recording as WAV
#[utoipa::path(get, path = "/api/v1/data/audio", tag = "data",
    params(
        ("run" = Option<String>, Query, description = "The run of the pipeline whose audit is meant; the newest if there is none"),
        ("path" = String, Query, description = "The recording's path in the audit"),
    ),
    responses((status = 200, content_type = "audio/wav", body = Vec<u8>), (status = 206, description = "The part that the header `Range` asks for"), (status = 400, body = ErrorBody, description = "A parameter is missing or makes no sense"), (status = 404, body = ErrorBody))
)]
pub(crate) async fn audio(
    State(state): State<WebState>,
    headers: HeaderMap,
    query: Query,
) -> Response {
    // It is never closed, so there is always a turn.
    let _turn = TURNS.acquire().await;
    let load = move |state: &WebState| Ok(heard(state, &query)?.audio(&headers));
    answer::file(&state, load, IntoResponse::into_response).await
}

/// The spectrogram of an audited recording as PNG
#[utoipa::path(get, path = "/api/v1/data/picture", tag = "data",
    params(
        ("run" = Option<String>, Query, description = "The run of the pipeline whose audit is meant; the newest if there is none"),
        ("path" = String, Query, description = "The recording's path in the audit"),
    ),
    responses((status = 200, content_type = "image/png", body = Vec<u8>), (status = 400, body = ErrorBody, description = "A parameter is missing or makes no sense"), (status = 404, body = ErrorBody))
)]
pub(crate) async fn picture(State(state): State<WebState>, query: Query) -> Response {
    let _turn = TURNS.acquire().await;
    let load = move |state: &WebState| heard(state, &query)?.picture();
    answer::file(&state, load, IntoResponse::into_response).await
}

fn heard(state: &WebState, query: &Query) -> Result<Heard, ApiError> {
    Heard::load(state.pipelines(), query, &state.limits().decode())
}
