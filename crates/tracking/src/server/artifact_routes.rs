//! Files over HTTP, streamed both ways.
//!
//! Paths are checked by [`ArtifactPath`]; what is uploaded appears in full or not
//! at all.

use axum::body::{Body, Bytes};
use axum::extract::{DefaultBodyLimit, Path, Request, State};
use axum::http::header::{CONTENT_DISPOSITION, CONTENT_LENGTH, CONTENT_TYPE};
use axum::http::{HeaderValue, Response, Uri};
use axum::response::IntoResponse;
use axum::routing::{MethodRouter, get, post};
use axum::{RequestExt, Router};
use futures_util::StreamExt;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::connections::PIECE_WITHIN;
use super::params::Params;
use super::routes::blocking;
use super::{Service, reply};
use crate::artifacts::{ArtifactPath, ArtifactStore};
use crate::entities::{LoggedModelId, RunId};
use crate::error::{Result, TrackingError};

/// Bytes that are read from a file at once.
const CHUNK_BYTES: usize = 256 << 10;

/// The largest file that MLflow's pages upload.
const MAX_PAGE_UPLOAD_BYTES: usize = 10 << 20;

/// The routes of artifacts.
pub(super) fn router() -> Router<Service> {
    let mut router = Router::new()
        .route("/get-artifact", get(of_run))
        .route("/model-versions/get-artifact", get(of_version));
    for prefix in ["/api", "/ajax-api"] {
        let model = format!("{prefix}/2.0/mlflow/logged-models/{{model_id}}/artifacts/files");
        router = router.route(&model, get(of_model)).route(
            &format!("{prefix}/2.0/mlflow/upload-artifact"),
            post(upload_to_run).layer(DefaultBodyLimit::max(MAX_PAGE_UPLOAD_BYTES)),
        );
        let base = format!("{prefix}/2.0/mlflow-artifacts");
        router = router
            .route(&format!("{base}/artifacts"), get(list))
            .route(&format!("{base}/artifacts/{{*path}}"), one_file())
            .route(&format!("{base}/presigned/{{*path}}"), get(not_presigned));
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
    let received = async {
        let path = ArtifactPath::new(&path)?;
        receive(service.artifacts, body, move |artifacts, staged, file| {
            artifacts.publish(staged, file, &path)
        })
        .await
    };
    match received.await {
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
    let path = blocking(move || path_in_run(&service, &params));
    send(&artifacts, path.await).await
}

/// A file that MLflow's pages put beside a run, such as a picture in its notes.
async fn upload_to_run(State(service): State<Service>, request: Request) -> Response<Body> {
    let params = Params::of_query(request.uri().query().unwrap_or_default(), &[]);
    let body = request.into_limited_body();
    let received = async {
        let artifacts = service.artifacts.clone();
        let path = blocking(move || path_in_run(&service, &params)).await?;
        receive(artifacts, body, move |artifacts, staged, file| {
            artifacts.publish(staged, file, &path)
        })
        .await?;
        Ok(Vec::new())
    };
    reply::respond(received.await)
}

fn path_in_run(service: &Service, params: &Params) -> Result<ArtifactPath> {
    let below = ArtifactPath::new(params.required("path")?)?;
    let run: RunId = params.run_id()?;
    let root = service.store.get_run(&run)?.info.artifact_uri;
    ArtifactPath::of_uri(&root)?.join(below.as_str())
}

/// A file of a logged model, as MLflow's pages ask for it.
async fn of_model(
    State(service): State<Service>,
    Path(model): Path<String>,
    uri: Uri,
) -> Response<Body> {
    let params = Params::of_query(uri.query().unwrap_or_default(), &[]);
    let artifacts = service.artifacts.clone();
    let path = blocking(move || {
        let below = params.filled("artifact_file_path")?.ok_or_else(|| {
            TrackingError::BadRequest(
                "Request must include the \"artifact_file_path\" query parameter.".to_owned(),
            )
        })?;
        let model = service
            .store
            .get_logged_model(&LoggedModelId::from(model))?;
        ArtifactPath::of_uri(&model.info.artifact_uri)?.join(&below)
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

/// Writes a body to a file in pieces, and lets `finish` move it to its place.
pub(super) async fn receive<T: Send + 'static>(
    artifacts: ArtifactStore,
    body: Body,
    finish: impl FnOnce(&ArtifactStore, &std::path::Path, &std::fs::File) -> Result<T> + Send + 'static,
) -> Result<T> {
    let (artifacts, staged, file) = blocking(move || {
        let (staged, file) = artifacts.stage()?;
        Ok((artifacts, staged, file))
    })
    .await?;
    let written = write_all(tokio::fs::File::from_std(file), body, &staged).await;
    blocking(move || match written {
        Ok(file) => finish(&artifacts, &staged, &file),
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
    let ended_early = || TrackingError::invalid("the upload ended early or is too large");
    let mut pieces = body.into_data_stream();
    while let Some(piece) = tokio::time::timeout(PIECE_WITHIN, pieces.next())
        .await
        .map_err(|_| ended_early())?
    {
        let piece = piece.map_err(|_| ended_early())?;
        file.write_all(&piece).await.map_err(failed)?;
    }
    file.flush().await.map_err(failed)?;
    Ok(file.into_std().await)
}

/// The kind of content by the name's ending. Never one that a browser would run.
fn kind_of(path: &str) -> &'static str {
    let name = path.rsplit('/').next().unwrap_or(path);
    let ending = name.rsplit_once('.').map_or(name, |(_, ending)| ending);
    match ending.to_ascii_lowercase().as_str() {
        "json" => "application/json",
        "cfg" | "conf" | "csv" | "err" | "ini" | "log" | "md" | "mlmodel" | "mlproject" | "py"
        | "rst" | "toml" | "tsv" | "txt" | "yaml" | "yml" => "text/plain; charset=utf-8",
        "png" => "image/png",
        "jpg" | "jpeg" => "image/jpeg",
        "webp" => "image/webp",
        "wav" => "audio/wav",
        _ => "application/octet-stream",
    }
}
