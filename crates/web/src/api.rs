//! `/api/v1`: JSON for the pages and for scripts.
//!
//! | route | file |
//! |---|---|
//! | `POST classify` | `classify.rs` |
//! | `GET live` | `live.rs` |
//! | `POST feedback` | `feedback.rs` |
//! | `GET model` | `model.rs` |
//! | `GET examples` | `examples.rs` |
//! | `GET`, `POST demo` | `demo.rs` |
//! | `/metrics` | `metrics.rs` |
//! | `/health`, `/ready` | `health.rs`, and tracking's |
//!
//! The JSON twins of pages live beside them in [`crate::pages`].

mod classify;
mod demo;
mod examples;
mod feedback;
mod health;
mod live;
mod metrics;
mod model;

use axum::Router;

use crate::state::WebState;

/// The routes of this folder.
pub(crate) fn router() -> Router<WebState> {
    Router::new()
        .merge(classify::router())
        .merge(model::router())
        .merge(live::router())
        .merge(feedback::router())
        .merge(demo::router())
        .merge(examples::router())
        .merge(health::router())
        .merge(metrics::router())
}
