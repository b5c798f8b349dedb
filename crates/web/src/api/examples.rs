//! `GET /api/v1/examples` and `/api/v1/examples/{name}`: sounds to try the model with.

use axum::extract::{Path, State};
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use biophony_audio::{Container, sniff};
use serde_json::{Value, json};

use crate::error::ApiError;
use crate::state::WebState;

pub(super) fn router() -> Router<WebState> {
    Router::new()
        .route("/api/v1/examples", get(list))
        .route("/api/v1/examples/{name}", get(file))
}

/// `{"examples":[{"name","label","source","synthetic"},…]}`.
async fn list(State(state): State<WebState>) -> Result<Json<Value>, ApiError> {
    let found = state.blocking(|state| {
        let served = state.models().current();
        let bundle = served.as_ref().map(|served| served.predictor.bundle());
        Ok(state.examples().list(bundle))
    });
    Ok(Json(json!({ "examples": found.await? })))
}

async fn file(
    State(state): State<WebState>,
    Path(name): Path<String>,
) -> Result<Response, ApiError> {
    let found = state.blocking(move |state| {
        let served = state.models().current();
        let bundle = served.as_ref().map(|served| served.predictor.bundle());
        let missing = || ApiError::NotFound(format!("there is no example `{name}`"));
        state.examples().read(bundle, &name).ok_or_else(missing)
    });
    let bytes = found.await?;
    let kind = HeaderValue::from_static(kind_of(&bytes));
    Ok(([(header::CONTENT_TYPE, kind)], bytes).into_response())
}

/// What a browser calls this kind of sound.
fn kind_of(bytes: &[u8]) -> &'static str {
    match sniff(bytes) {
        Some(Container::Wav) => "audio/wav",
        Some(Container::Flac) => "audio/flac",
        Some(Container::Mpeg) => "audio/mpeg",
        Some(Container::Ogg) => "audio/ogg",
        Some(Container::IsoMedia) => "audio/mp4",
        Some(Container::Adts) => "audio/aac",
        Some(Container::Aiff) => "audio/aiff",
        Some(Container::Other(_)) | None => "application/octet-stream",
    }
}
