//! How a request becomes a page or its JSON twin.
//!
//! What is asked of stores waits for disks, so it is done on threads for that; see
//! [`WebState::blocking`].

use askama::Template;
use axum::Json;
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use super::{error_page, render};
use crate::error::ApiError;
use crate::state::WebState;

/// A page made of what `load` finds.
pub(crate) async fn page<T: Send + 'static, P: Template>(
    state: &WebState,
    load: impl FnOnce(&WebState) -> Result<T, ApiError> + Send + 'static,
    lay_out: impl FnOnce(T) -> P,
) -> Response {
    match state.blocking(load).await {
        Ok(found) => render(&lay_out(found)),
        Err(error) => error_page(&error),
    }
}

/// The same as JSON.
pub(crate) async fn json<T: Serialize + Send + 'static>(
    state: &WebState,
    load: impl FnOnce(&WebState) -> Result<T, ApiError> + Send + 'static,
) -> Response {
    match state.blocking(load).await {
        Ok(found) => Json(found).into_response(),
        Err(error) => error.into_response(),
    }
}

/// An answer of another kind, such as a file.
pub(crate) async fn file(
    state: &WebState,
    load: impl FnOnce(&WebState) -> Result<Response, ApiError> + Send + 'static,
    refuse: impl FnOnce(ApiError) -> Response,
) -> Response {
    state.blocking(load).await.unwrap_or_else(refuse)
}
