//! `/api/v1/demo`: `POST` trains the demo model, `GET` says how that stands.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::get;
use axum::{Json, Router};

use crate::demo::DemoState;
use crate::error::ApiError;
use crate::state::WebState;

pub(super) fn router() -> Router<WebState> {
    Router::new().route("/api/v1/demo", get(state).post(start))
}

/// `{"offered":true,"phase":"idle|running|done|failed","lines":[…],"error":null}`.
async fn state(State(state): State<WebState>) -> Json<DemoState> {
    Json(state.demo().state(state.demo_trainer().is_some()))
}

/// Starts it. A browser without scripts comes by a form, and is led back to the page.
async fn start(State(state): State<WebState>, headers: HeaderMap) -> Result<Response, ApiError> {
    let trainer = state.demo_trainer().ok_or_else(|| {
        ApiError::NotFound("this server has no demo; run `biophony demo`".to_owned())
    })?;
    let started = state.demo().start(Arc::clone(trainer), state.clone());
    let kind = headers.get(header::CONTENT_TYPE);
    let is_form = kind.is_some_and(|kind| kind.as_bytes().starts_with(b"application/x-www-form"));
    if is_form {
        return Ok(Redirect::to("/").into_response());
    }
    started?;
    let now = state.demo().state(true);
    Ok((StatusCode::ACCEPTED, Json(now)).into_response())
}
