//! `/api/v1`: JSON for the pages and for scripts.
//!
//! | route | file |
//! |---|---|
//! | `POST classify` | `classify.rs` |
//! | `GET model` | `model.rs` |
//! | `GET examples` | `examples.rs` |
//! | `/metrics` | `metrics.rs` |
//! | `/health`, `/ready` | `health.rs`, and tracking's |
//!
//! The JSON twins of pages live beside them in [`crate::pages`].

mod classify;
mod examples;
mod health;
mod metrics;
mod model;

use axum::Router;

use crate::state::WebState;

/// The routes of this folder.
pub(crate) fn router() -> Router<WebState> {
    Router::new()
        .merge(classify::router())
        .merge(model::router())
        .merge(examples::router())
        .merge(health::router())
        .merge(metrics::router())
}
