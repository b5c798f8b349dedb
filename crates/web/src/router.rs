//! The table of routes.
//!
//! Each file of [`crate::api`] and [`crate::pages`] offers its own; MLflow's come from
//! tracking. One guard stands before all of them.

use axum::Router;
use axum::extract::Request;
use axum::middleware;
use axum::response::{IntoResponse, Response};
use biophony_tracking::server::{self as tracking, Service};

use crate::error::ApiError;
use crate::guard::{Speech, guard};
use crate::state::WebState;
use crate::{api, assets, openapi, pages};

/// Every route, and what stands before them.
pub fn app(state: WebState) -> Router {
    let mlflow = tracking::routes(Service::new(
        state.tracking().clone(),
        state.artifacts().clone(),
        state.access().clone(),
    ));
    Router::new()
        .merge(api::router())
        .merge(pages::router())
        .merge(assets::router())
        .merge(openapi::router())
        .method_not_allowed_fallback(wrong_method)
        .with_state(state.clone())
        .merge(mlflow)
        .fallback(unknown_route)
        .layer(middleware::from_fn_with_state(state, guard))
}

async fn unknown_route(request: Request) -> Response {
    let (method, uri) = (request.method().clone(), request.uri().clone());
    let missing = || ApiError::NotFound(format!("there is nothing at {}", uri.path()));
    match Speech::of(&uri) {
        Speech::Mlflow => tracking::unknown_route(method, uri).await,
        Speech::Api => missing().into_response(),
        Speech::Page => pages::error_page(&missing()),
    }
}

async fn wrong_method(request: Request) -> Response {
    let (method, uri) = (request.method(), request.uri());
    let error = ApiError::WrongMethod(format!("{} does not take {method}", uri.path()));
    match Speech::of(uri) {
        Speech::Page => pages::error_page(&error),
        _ => error.into_response(),
    }
}
