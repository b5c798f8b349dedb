//! Uploads in parts over HTTP, in the steps that MLflow's client takes for large
//! files: `create` gives a URL for each part, each part is PUT there, `complete`
//! puts them together, `abort` forgets them.
//!
//! With MLflow, the URLs lead to an object store; here they lead to this server.
//! The client sends no token of its own to them, so `create` hands it the one that
//! it came with among the headers of each part.

use axum::Router;
use axum::body::Body;
use axum::extract::{DefaultBodyLimit, Path, State};
use axum::http::header::{AUTHORIZATION, ETAG, HOST};
use axum::http::{HeaderMap, HeaderValue, Response, StatusCode, Uri};
use axum::response::IntoResponse;
use axum::routing::{post, put};
use serde_json::{Value, json};

use super::artifact_routes::receive;
use super::params::Params;
use super::received::Received;
use super::routes::blocking;
use super::{Service, reply};
use crate::artifacts::{ArtifactPath, MAX_PARTS, Part, UploadId};
use crate::error::{Result, TrackingError};

const ROUTES: &str = "/2.0/mlflow-artifacts/mpu";

/// The routes of uploads in parts.
pub(super) fn router() -> Router<Service> {
    let mut router = Router::new();
    for prefix in ["/api", "/ajax-api"] {
        let base = format!("{prefix}{ROUTES}");
        router = router
            .route(&format!("{base}/create/{{*folder}}"), post(create))
            .route(&format!("{base}/complete/{{*folder}}"), post(complete))
            .route(&format!("{base}/abort/{{*folder}}"), post(abort))
            .route(
                &format!("{base}/part/{{upload_id}}/{{number}}"),
                // Parts may be of any size: they are streamed.
                put(upload).layer(DefaultBodyLimit::disable()),
            );
    }
    router
}

async fn create(
    State(service): State<Service>,
    uri: Uri,
    headers: HeaderMap,
    Received(params): Received,
) -> Response<Body> {
    let created = async {
        let params = params?;
        destination(&params)?;
        let n_parts = n_parts(&params)?;
        let id = blocking(move || service.artifacts.start_parts()).await?;
        let base = part_base(&uri, &headers)?;
        let pass: Value = match headers.get(AUTHORIZATION).and_then(|v| v.to_str().ok()) {
            Some(authorization) => json!({ "Authorization": authorization }),
            None => json!({}),
        };
        let credentials: Vec<Value> = (1..=n_parts)
            .map(|number| {
                json!({
                    "url": format!("{base}/{}/{number}", id.as_str()),
                    "part_number": number,
                    "headers": pass,
                })
            })
            .collect();
        reply::body(&json!({ "upload_id": id.as_str(), "credentials": credentials }))
    };
    reply::respond(created.await)
}

async fn upload(
    State(service): State<Service>,
    Path((id, number)): Path<(String, u32)>,
    body: Body,
) -> Response<Body> {
    let received = async {
        let id = UploadId::parse(&id)?;
        receive(service.artifacts, body, move |artifacts, staged, _| {
            artifacts.add_part(&id, number, staged)
        })
        .await
    };
    match received
        .await
        .map(|tag| HeaderValue::from_str(&format!("\"{tag}\"")))
    {
        Ok(Ok(tag)) => (StatusCode::OK, [(ETAG, tag)]).into_response(),
        Ok(Err(_)) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
        Err(error) => reply::error(&error),
    }
}

async fn complete(State(service): State<Service>, Received(params): Received) -> Response<Body> {
    let completed = async {
        let params = params?;
        let path = destination(&params)?;
        let id = UploadId::parse(params.text("upload_id")?.unwrap_or_default())?;
        params.value("parts")?;
        let parts: Vec<SentPart> = params.list("parts")?;
        let parts = parts.iter().map(SentPart::checked).collect::<Result<_>>()?;
        blocking(move || service.artifacts.join_parts(&id, parts, &path)).await?;
        reply::nothing()
    };
    reply::respond(completed.await)
}

async fn abort(State(service): State<Service>, Received(params): Received) -> Response<Body> {
    let aborted = async {
        let params = params?;
        destination(&params)?;
        let id = UploadId::parse(params.text("upload_id")?.unwrap_or_default())?;
        blocking(move || service.artifacts.drop_parts(&id)).await?;
        reply::nothing()
    };
    reply::respond(aborted.await)
}

/// A part as the client names it.
#[derive(serde::Deserialize)]
struct SentPart {
    part_number: u32,
    etag: String,
}

impl SentPart {
    fn checked(&self) -> Result<Part> {
        Part::new(self.part_number, &self.etag)
    }
}

/// Where the file goes: into the folder of the URL, under the last part of the path
/// that it has on the client's machine.
fn destination(params: &Params) -> Result<ArtifactPath> {
    let local = params.required("path")?;
    let name = local.rsplit(['/', '\\']).next().unwrap_or(local);
    ArtifactPath::new(params.required("folder")?)?.join(name)
}

fn n_parts(params: &Params) -> Result<u32> {
    let wanted = params.int("num_parts")?.unwrap_or(1);
    u32::try_from(wanted)
        .ok()
        .filter(|n_parts| (1..=MAX_PARTS).contains(n_parts))
        .ok_or_else(|| {
            TrackingError::invalid(format!(
                "Invalid value {wanted} for parameter 'num_parts' supplied. It must be between 1 \
                 and {MAX_PARTS}"
            ))
        })
}

/// The URL of parts, at the name under which the client knows this server.
fn part_base(uri: &Uri, headers: &HeaderMap) -> Result<String> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let host =
        text(HOST.as_str()).ok_or_else(|| TrackingError::invalid("the request names no host"))?;
    let scheme = match text("x-forwarded-proto") {
        Some("https") => "https",
        _ => "http",
    };
    let prefix = match uri.path().starts_with("/ajax-api/") {
        true => "/ajax-api",
        false => "/api",
    };
    Ok(format!("{scheme}://{host}{prefix}{ROUTES}/part"))
}
