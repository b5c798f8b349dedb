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
    let served = state.models().current();
    let version = served.as_ref().and_then(|served| served.identity.version);
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
            u64::from(served.is_some()),
        ),
        (
            "biophony_model_version",
            "The version of the model in use, 0 for one that is not registered.",
            u64::from(version.unwrap_or(0)),
        ),
        (
            "process_resident_memory_bytes",
            "Resident memory size in bytes.",
            resident_bytes().unwrap_or(0),
        ),
    ] {
        // Writing to a string does not fail.
        let _ = writeln!(
            text,
            "# HELP {name} {meaning}\n# TYPE {name} gauge\n{name} {value}"
        );
    }
    state.stats().write(&mut text);
    let kind = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    ([(header::CONTENT_TYPE, kind)], text).into_response()
}

/// What the process holds, where the system tells.
fn resident_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kilobytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kilobytes * 1024)
}
