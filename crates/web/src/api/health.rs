//! `/ready`: whether this process can do its work. `/health`, whether it is alive, is
//! tracking's, since MLflow's clients ask for it.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde_json::json;

use crate::state::WebState;

pub(super) fn router() -> Router<WebState> {
    Router::new().route("/ready", get(ready))
}

/// 200 while the server takes requests; 503 once it is stopping. A server without a
/// model is ready, too: it shows runs and says how to make a model.
async fn ready(State(state): State<WebState>) -> Response {
    let is_stopping = state.is_stopping();
    let status = match is_stopping {
        true => StatusCode::SERVICE_UNAVAILABLE,
        false => StatusCode::OK,
    };
    let body = json!({ "ready": !is_stopping, "model": state.models().current().is_some() });
    (status, Json(body)).into_response()
}
