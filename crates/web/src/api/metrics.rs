//! `GET /metrics`: how busy the server is, in Prometheus' text format.

use std::fmt::Write;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;

use crate::state::WebState;

pub(super) fn router() -> Router<WebState> {
    Router::new().route("/metrics", get(metrics))
}

async fn metrics(State(state): State<WebState>) -> Response {
    let (waiting, busy) = state.pool().load();
    let has_model = u8::from(state.models().current().is_some());
    let mut text = String::new();
    for (name, meaning, value) in [
        (
            "biophony_classify_waiting",
            "Files that wait to be classified.",
            waiting as u64,
        ),
        (
            "biophony_classify_busy",
            "Workers that are classifying.",
            busy as u64,
        ),
        (
            "biophony_upload_free_bytes",
            "Memory that uploads may still take.",
            state.budget().free_bytes(),
        ),
        (
            "biophony_model_loaded",
            "Whether a model is in use.",
            u64::from(has_model),
        ),
    ] {
        // Writing to a string does not fail.
        let _ = writeln!(
            text,
            "# HELP {name} {meaning}\n# TYPE {name} gauge\n{name} {value}"
        );
    }
    let kind = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    ([(header::CONTENT_TYPE, kind)], text).into_response()
}
