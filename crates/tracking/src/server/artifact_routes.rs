//! Files over HTTP, streamed both ways.
//!
//! Paths are checked by [`ArtifactPath`]; what is uploaded appears in full or not
//! at all.

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{DefaultBodyLimit, Path, State};
use axum::http::header::{CONTENT_DISPOSITION, CONTENT_LENGTH, CONTENT_TYPE};
use axum::http::{HeaderValue, Method, Response, Uri};
use axum::response::IntoResponse;
use axum::routing::{MethodRouter, get, post};
use futures_util::StreamExt;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::params::Params;
use super::{Service, reply};
use crate::artifacts::{ArtifactPath, ArtifactStore};
use crate::entities::RunId;
use crate::error::{Result, TrackingError};

/// Bytes that are read from a file at once.
const CHUNK_BYTES: usize = 256 << 10;

/// The routes of artifacts.
pub(super) fn router() -> Router<Service> {
    let mut router = Router::new()
        .route("/get-artifact", get(of_run))
        .route("/model-versions/get-artifact", get(of_version));
    for prefix in ["/api", "/ajax-api"] {
        let base = format!("{prefix}/2.0/mlflow-artifacts");
        router = router
            .route(&format!("{base}/artifacts"), get(list))
            .route(&format!("{base}/artifacts/{{*path}}"), one_file())
            .route(&format!("{base}/presigned/{{*path}}"), get(not_presigned));
        for step in ["create", "complete", "abort"] {
            let path = format!("{base}/mpu/{step}/{{*path}}");
            router = router.route(&path, post(no_parts));
        }
    }
    router
}

fn one_file() -> MethodRouter<Service> {
    get(download)
        .put(upload)
        .delete(delete)
        // Files may be of any size: they are streamed.
        .layer(DefaultBodyLimit::disable())
}

async fn list(State(service): State<Service>, uri: Uri) -> Response<Body> {
    let params = Params::of_query(uri.query().unwrap_or_default(), &[]);
    let listed = blocking(move || {
        let path = ArtifactPath::new(params.text("path")?.unwrap_or_default())?;
        let files = service.artifacts.list(&path)?;
        match files.is_empty() {
            true => reply::nothing(),
            false => reply::body(&json!({ "files": files })),
        }
    });
    reply::respond(listed.await)
}

async fn download(State(service): State<Service>, Path(path): Path<String>) -> Response<Body> {
    let path = ArtifactPath::new(&path);
    send(&service.artifacts, path).await
}

async fn upload(
    State(service): State<Service>,
    Path(path): Path<String>,
    body: Body,
) -> Response<Body> {
    match receive(service.artifacts, &path, body).await {
        Ok(()) => ().into_response(),
        Err(error) => reply::error(&error),
    }
}

async fn delete(State(service): State<Service>, Path(path): Path<String>) -> Response<Body> {
    let deleted = blocking(move || {
        service.artifacts.delete(&ArtifactPath::new(&path)?)?;
        reply::nothing()
    });
    reply::respond(deleted.await)
}

/// A file of a run, as MLflow's pages ask for it.
async fn of_run(State(service): State<Service>, uri: Uri) -> Response<Body> {
    let params = Params::of_query(uri.query().unwrap_or_default(), &[]);
    let artifacts = service.artifacts.clone();
    let path = blocking(move || {
        let below = ArtifactPath::new(params.required("path")?)?;
        let run: RunId = params.run_id()?;
        let root = service.store.get_run(&run)?.info.artifact_uri;
        ArtifactPath::of_uri(&root)?.join(below.as_str())
    });
    send(&artifacts, path.await).await
}

/// A file of a registered version, as MLflow's pages ask for it.
async fn of_version(State(service): State<Service>, uri: Uri) -> Response<Body> {
    let params = Params::of_query(uri.query().unwrap_or_default(), &[]);
    let artifacts = service.artifacts.clone();
    let path = blocking(move || {
        let below = ArtifactPath::new(params.required("path")?)?;
        let name = params.required("name")?;
        let root = service
            .store
            .model_version_download_uri(name, params.version()?)?;
        ArtifactPath::of_uri(&root)?.join(below.as_str())
    });
    send(&artifacts, path.await).await
}

/// The client falls back to plain uploads when it hears this.
async fn no_parts(method: Method, uri: Uri) -> Response<Body> {
    reply::error(&TrackingError::NotImplemented(format!(
        "{method} {}: uploads in parts are not offered; a plain PUT takes a file of any size",
        uri.path()
    )))
}

async fn not_presigned() -> Response<Body> {
    reply::error(&TrackingError::NotImplemented(
        "presigned URLs are not offered; a plain GET gives the file".to_owned(),
    ))
}

/// Sends a file in pieces.
async fn send(artifacts: &ArtifactStore, path: Result<ArtifactPath>) -> Response<Body> {
    let artifacts = artifacts.clone();
    let opened = blocking(move || {
        let path = path?;
        let (file, size) = artifacts.read(&path)?;
        Ok((path, file, size))
    });
    let (path, file, size) = match opened.await {
        Ok(opened) => opened,
        Err(error) => return reply::error(&error),
    };
    // Not more than was promised, should the file grow meanwhile.
    let file = tokio::fs::File::from_std(file).take(size);
    let pieces = futures_util::stream::unfold(file, |mut file| async move {
        let mut piece = Vec::with_capacity(CHUNK_BYTES);
        match file.read_buf(&mut piece).await {
            Ok(0) => None,
            Ok(_) => Some((Ok(Bytes::from(piece)), file)),
            Err(error) => Some((Err(error), file)),
        }
    });
    let mut response = Body::from_stream(pieces).into_response();
    let headers = response.headers_mut();
    headers.insert(CONTENT_LENGTH, HeaderValue::from(size));
    headers.insert(
        CONTENT_TYPE,
        HeaderValue::from_static(kind_of(path.as_str())),
    );
    headers.insert(CONTENT_DISPOSITION, HeaderValue::from_static("attachment"));
    response
}

/// Writes a body to a file in pieces, and moves it to its place at the end.
async fn receive(artifacts: ArtifactStore, path: &str, body: Body) -> Result<()> {
    let path = ArtifactPath::new(path)?;
    let (staged, file) = {
        let artifacts = artifacts.clone();
        blocking(move || artifacts.stage()).await?
    };
    let written = write_all(tokio::fs::File::from_std(file), body, &staged).await;
    blocking(move || match written {
        Ok(file) => artifacts.publish(&staged, &file, &path),
        Err(error) => {
            artifacts.discard(&staged);
            Err(error)
        }
    })
    .await
}

async fn write_all(
    mut file: tokio::fs::File,
    body: Body,
    staged: &std::path::Path,
) -> Result<std::fs::File> {
    let failed = |source| TrackingError::ArtifactIo {
        doing: "write",
        path: staged.to_owned(),
        source,
    };
    let mut pieces = body.into_data_stream();
    while let Some(piece) = pieces.next().await {
        let piece = piece.map_err(|_| TrackingError::invalid("the upload ended early"))?;
        file.write_all(&piece).await.map_err(failed)?;
    }
    file.flush().await.map_err(failed)?;
    Ok(file.into_std().await)
}

/// The kind of content by the name's ending. Never one that a browser would run.
fn kind_of(path: &str) -> &'static str {
    let ending = path.rsplit_once('.').map_or("", |(_, ending)| ending);
    match ending.to_ascii_lowercase().as_str() {
        "json" => "application/json",
        "txt" | "log" | "yaml" | "yml" | "md" | "csv" | "py" => "text/plain; charset=utf-8",
        "png" => "image/png",
        "jpg" | "jpeg" => "image/jpeg",
        "webp" => "image/webp",
        "wav" => "audio/wav",
        _ => "application/octet-stream",
    }
}

/// Runs what waits for disks or locks where it holds nobody up.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(_) => Err(TrackingError::invalid(
            "the request failed inside the server",
        )),
    }
}
