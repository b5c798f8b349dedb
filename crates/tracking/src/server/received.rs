//! Receiving a request: its body in full, within limits of size and time, and the
//! parameters in it.

use std::convert::Infallible;

use axum::body::Bytes;
use axum::extract::{FromRequest, FromRequestParts, RawPathParams, Request};
use axum::http::header::CONTENT_TYPE;
use axum::http::{Method, StatusCode, request};

use super::MAX_BODY_BYTES;
use super::connections::BODY_WITHIN;
use super::params::Params;
use crate::error::{Result, TrackingError};

/// The parameters of a request: from the URL when it asks, from the body otherwise;
/// those in the path in either case.
pub(super) struct Received(pub(super) Result<Params>);

impl<S: Send + Sync> FromRequest<S> for Received {
    type Rejection = Infallible;

    async fn from_request(request: Request, state: &S) -> std::result::Result<Self, Infallible> {
        let (mut parts, body) = request.into_parts();
        let path = path_params(&mut parts, state).await;
        let request = Request::from_parts(parts.clone(), body);
        let received = async {
            let body = whole_body(request).await?;
            params(&parts, path, body)
        };
        Ok(Self(received.await))
    }
}

async fn path_params<S: Send + Sync>(
    parts: &mut request::Parts,
    state: &S,
) -> Vec<(String, String)> {
    let params = RawPathParams::from_request_parts(parts, state).await;
    // A route without such parts has none.
    params.map_or_else(
        |_| Vec::new(),
        |params| {
            let owned = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
            params.iter().map(owned).collect()
        },
    )
}

async fn whole_body(request: Request) -> Result<Bytes> {
    match tokio::time::timeout(BODY_WITHIN, Bytes::from_request(request, &())).await {
        Ok(Ok(body)) => Ok(body),
        Ok(Err(rejection)) if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE => {
            Err(TrackingError::TooLarge(format!(
                "the body of the request is larger than {MAX_BODY_BYTES} bytes"
            )))
        }
        Ok(Err(_)) | Err(_) => Err(TrackingError::invalid(
            "the body of the request ended early",
        )),
    }
}

fn params(parts: &request::Parts, path: Vec<(String, String)>, body: Bytes) -> Result<Params> {
    let query = parts.uri.query();
    if parts.method == Method::GET || (body.is_empty() && query.is_some()) {
        return Ok(Params::of_query(query.unwrap_or_default(), &path));
    }
    let kind = parts
        .headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .map(|value| value.split(';').next().unwrap_or_default().trim());
    // Without a body there is nothing whose kind would matter.
    if !body.is_empty() && !kind.is_some_and(|kind| kind.eq_ignore_ascii_case("application/json")) {
        return Err(TrackingError::invalid(
            "Bad Request. Content-Type must be one of ['application/json'].",
        ));
    }
    Ok(Params::of_body(body, path))
}
