//! `GET /api/v1/model`: the model in use, and what it may be given.

use axum::extract::State;
use axum::routing::get;
use axum::{Json, Router};
use serde_json::{Value, json};

use crate::state::WebState;

pub(super) fn router() -> Router<WebState> {
    Router::new().route("/api/v1/model", get(model))
}

/// `{"model":{…}|null,"problem":null|"…"}`: without a model, and when another one
/// should be in use, `problem` says why. Beside them, `limits`.
async fn model(State(state): State<WebState>) -> Json<Value> {
    let model = state.models().current().map(|served| served.describe());
    let (problem, limits) = (state.models().problem(), state.limits().told());
    Json(json!({ "model": model, "problem": problem, "limits": limits }))
}
