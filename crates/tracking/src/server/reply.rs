//! Answers, and errors in MLflow's form.

use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderValue, Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::json;

use crate::error::{ErrorCode, Result, TrackingError};

/// The body of a good answer.
pub(super) type Body = Vec<u8>;

/// Writes an answer's body.
pub(super) fn body(answer: &impl Serialize) -> Result<Body> {
    serde_json::to_vec(answer)
        .map_err(|error| TrackingError::invalid(format!("the answer is no JSON: {error}")))
}

/// The body of an answer that says nothing.
pub(super) fn nothing() -> Result<Body> {
    Ok(b"{}".to_vec())
}

/// A good answer, or an error in MLflow's form.
pub(super) fn respond(result: Result<Body>) -> Response {
    match result {
        Ok(body) => {
            let json = HeaderValue::from_static("application/json");
            ([(CONTENT_TYPE, json)], body).into_response()
        }
        Err(failure) => error(&failure),
    }
}

/// An error in MLflow's form.
pub(super) fn error(error: &TrackingError) -> Response {
    let code = error.code();
    let status = match (error, code) {
        (TrackingError::TooLarge(_), _) => StatusCode::PAYLOAD_TOO_LARGE,
        (_, ErrorCode::ResourceDoesNotExist) => StatusCode::NOT_FOUND,
        (
            _,
            ErrorCode::ResourceAlreadyExists
            | ErrorCode::InvalidParameterValue
            | ErrorCode::BadRequest,
        ) => StatusCode::BAD_REQUEST,
        (_, ErrorCode::PermissionDenied) => StatusCode::FORBIDDEN,
        (_, ErrorCode::Unauthenticated) => StatusCode::UNAUTHORIZED,
        (_, ErrorCode::NotImplemented) => StatusCode::NOT_IMPLEMENTED,
        (_, ErrorCode::TemporarilyUnavailable) => StatusCode::SERVICE_UNAVAILABLE,
        (_, ErrorCode::InvalidState | ErrorCode::InternalError) => {
            StatusCode::INTERNAL_SERVER_ERROR
        }
    };
    let class = match code {
        ErrorCode::ResourceDoesNotExist => "RESOURCE_NOT_FOUND",
        ErrorCode::BadRequest => "INVALID_PARAMETER_VALUE",
        code => code.as_str(),
    };
    // What failed inside is for the operator, not for whoever asked: it names paths.
    let message = match code {
        ErrorCode::InternalError => {
            eprintln!("tracking server: {}", with_causes(error));
            "an internal error occurred; the server's log says more".to_owned()
        }
        _ => error.to_string(),
    };
    let body = json!({
        "error_code": code.as_str(),
        "message": message,
        "sqlstate": "KAM00",
        "error_class": class,
    });
    let json = HeaderValue::from_static("application/json");
    (status, [(CONTENT_TYPE, json)], body.to_string()).into_response()
}

fn with_causes(error: &TrackingError) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(source) = cause {
        text.push_str(&format!(": {source}"));
        cause = source.source();
    }
    text
}

/// What is not here: a part of MLflow that we leave out, or no route at all.
pub async fn unknown_route(method: Method, uri: Uri) -> Response {
    let path = uri.path();
    if path.starts_with("/api/") || path.starts_with("/ajax-api/") || path == "/graphql" {
        return error(&TrackingError::NotImplemented(format!(
            "{method} {path} is not part of this server, which has MLflow's classic tracking and \
             registry routes"
        )));
    }
    html(
        StatusCode::NOT_FOUND,
        "Not Found",
        "The requested URL was not found on the server.",
    )
}

/// A route that is here, but not with this method.
pub(super) async fn wrong_method() -> Response {
    html(
        StatusCode::METHOD_NOT_ALLOWED,
        "Method Not Allowed",
        "The method is not allowed for the requested URL.",
    )
}

fn html(status: StatusCode, title: &str, text: &str) -> Response {
    let code = status.as_u16();
    let page = format!(
        "<!doctype html>\n<html lang=en>\n<title>{code} {title}</title>\n<h1>{title}</h1>\n\
         <p>{text}</p>\n"
    );
    let kind = HeaderValue::from_static("text/html; charset=utf-8");
    (status, [(CONTENT_TYPE, kind)], page).into_response()
}
