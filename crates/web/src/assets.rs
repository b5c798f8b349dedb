//! Scripts, styles, fonts and pictures, embedded in the program.
//!
//! The folder `assets/` is what the build of `client/` leaves; see its README. The
//! address of an asset holds a digest of all of them, so that browsers may keep them
//! for ever and still never mix old and new ones: `/assets/1a2b3c4d5e6f/app.js`.

use std::borrow::Cow;
use std::collections::HashMap;
use std::io::Write;
use std::sync::{Mutex, OnceLock, PoisonError};

use axum::Router;
use axum::body::Bytes;
use axum::extract::Path;
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use flate2::Compression;
use flate2::write::GzEncoder;
use rust_embed::{EmbeddedFile, RustEmbed};

use crate::error::ApiError;
use crate::state::WebState;

#[derive(RustEmbed)]
#[folder = "assets/"]
struct Assets;

pub(crate) fn router() -> Router<WebState> {
    Router::new()
        .route("/assets/{version}/{*name}", get(asset))
        .route("/favicon.ico", get(icon))
}

/// The address of an asset, for templates: `{{ crate::assets::url("app.css") }}`.
pub(crate) fn url(name: &str) -> String {
    format!("/assets/{}/{name}", version())
}

/// Names this set of assets.
fn version() -> &'static str {
    static VERSION: OnceLock<String> = OnceLock::new();
    VERSION.get_or_init(|| {
        let mut names: Vec<Cow<str>> = Assets::iter().collect();
        names.sort();
        let mut hasher = blake3::Hasher::new();
        for name in names {
            hasher.update(name.as_bytes());
            if let Some(file) = Assets::get(&name) {
                hasher.update(&file.metadata.sha256_hash());
            }
        }
        hasher.finalize().to_hex()[..12].to_owned()
    })
}

async fn asset(Path((asked, name)): Path<(String, String)>, headers: HeaderMap) -> Response {
    let Some(file) = Assets::get(&name) else {
        return ApiError::NotFound(format!("there is no asset `{name}`")).into_response();
    };
    // A page of an older program may still ask; what it gets must not be kept as if
    // it were the old one.
    let keep = match asked == version() {
        true => "public, max-age=31536000, immutable",
        false => "no-cache",
    };
    send(&name, file, keep, &headers)
}

async fn icon(headers: HeaderMap) -> Response {
    match Assets::get("icon.svg") {
        Some(file) => send("icon.svg", file, "public, max-age=86400", &headers),
        None => ApiError::NotFound("there is no icon".to_owned()).into_response(),
    }
}

fn send(name: &str, file: EmbeddedFile, keep: &'static str, asked: &HeaderMap) -> Response {
    let mut headers = HeaderMap::new();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static(kind_of(name)),
    );
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(keep));
    headers.insert(header::VARY, HeaderValue::from_static("accept-encoding"));
    if takes_gzip(asked) && is_text(name) {
        headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        return (headers, packed(name, &file.data)).into_response();
    }
    (headers, file.data).into_response()
}

/// The file as gzip, packed once.
fn packed(name: &str, data: &[u8]) -> Bytes {
    static PACKED: OnceLock<Mutex<HashMap<String, Bytes>>> = OnceLock::new();
    let packed = PACKED.get_or_init(Mutex::default);
    let mut packed = packed.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(found) = packed.get(name) {
        return found.clone();
    }
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    let bytes = encoder
        .write_all(data)
        .and_then(|()| encoder.finish())
        .expect("writing to memory does not fail");
    let bytes = Bytes::from(bytes);
    packed.insert(name.to_owned(), bytes.clone());
    bytes
}

fn takes_gzip(headers: &HeaderMap) -> bool {
    let accepted = headers
        .get(header::ACCEPT_ENCODING)
        .and_then(|value| value.to_str().ok());
    accepted.is_some_and(|accepted| {
        accepted
            .split(',')
            .any(|one| matches!(one.trim(), "gzip" | "*") || one.trim().starts_with("gzip;q=1"))
    })
}

fn is_text(name: &str) -> bool {
    kind_of(name).contains("charset") || name.ends_with(".svg")
}

fn kind_of(name: &str) -> &'static str {
    let ending = name.rsplit_once('.').map_or("", |(_, ending)| ending);
    match ending {
        "js" | "mjs" => "text/javascript; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "json" | "map" => "application/json; charset=utf-8",
        "webmanifest" => "application/manifest+json; charset=utf-8",
        "txt" => "text/plain; charset=utf-8",
        "svg" => "image/svg+xml",
        "png" => "image/png",
        "woff2" => "font/woff2",
        "wasm" => "application/wasm",
        "wav" => "audio/wav",
        _ => "application/octet-stream",
    }
}
