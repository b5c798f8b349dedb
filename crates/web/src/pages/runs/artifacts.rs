//! A run's files: listed, looked at and downloaded.
//!
//! They are other people's files. What a browser would execute is shown without
//! rights: each file is answered with a policy that allows no script, no request and
//! no form, in a sandbox of its own; see [`answer`].

use std::fs::File;

use axum::body::Body;
use axum::http::HeaderValue;
use axum::http::header::{
    CONTENT_DISPOSITION, CONTENT_LENGTH, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderMap,
};
use axum::response::{IntoResponse, Response};
use biophony_tracking::{ArtifactPath, ArtifactStore, FileInfo, Run};
use serde::Serialize;
use utoipa::ToSchema;

use crate::error::ApiError;
use crate::pages::figures::Size;
use crate::pages::query::{path_part, path_tail};
use crate::pages::stream;

/// What a page among the artifacts may do: look like itself, and nothing else.
const SANDBOX: &str = "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:; \
                       font-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'self'";

/// The most of a text file that is shown; the rest is there to download.
const MAX_SHOWN_BYTES: u64 = 4 << 20;

/// A folder among a run's artifacts.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub(crate) struct Folder {
    /// Its path below the run's artifacts; empty for all of them.
    pub(crate) path: String,
    /// What is in it, folders first.
    pub(crate) entries: Vec<Entry>,
}

/// A file or folder among a run's artifacts.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub(crate) struct Entry {
    pub(crate) name: String,
    /// Its path below the run's artifacts.
    pub(crate) path: String,
    pub(crate) is_folder: bool,
    pub(crate) size_bytes: Option<Size>,
    /// Where it is shown: a page, or the file itself.
    pub(crate) href: String,
    /// Where it is downloaded from, if it is a file.
    pub(crate) download: Option<String>,
}

impl Folder {
    /// Lists a folder of a run's artifacts.
    ///
    /// # Errors
    ///
    /// When the path leads elsewhere, or the artifacts are not kept here.
    pub(crate) fn load(artifacts: &ArtifactStore, run: &Run, path: &str) -> Result<Self, ApiError> {
        let below = ArtifactPath::new(path)?;
        let listed = artifacts.list(&root(run)?.join(path)?)?;
        if listed.is_empty() && !below.is_root() {
            return Err(ApiError::NotFound(format!(
                "there is no folder `{path}` in this run"
            )));
        }
        let run_id = path_part(run.info.run_id.as_str());
        let entry = |info: FileInfo| {
            let path = match below.is_root() {
                true => info.path.clone(),
                false => format!("{}/{}", below.as_str(), info.path),
            };
            let file = format!("/runs/{run_id}/files/{}", path_tail(&path));
            Entry {
                href: match info.is_dir {
                    true => format!("/runs/{run_id}/artifacts?path={}", path_part(&path)),
                    false => file.clone(),
                },
                download: (!info.is_dir).then(|| format!("{file}?download=1")),
                name: info.path,
                path,
                is_folder: info.is_dir,
                size_bytes: info.file_size.map(Size),
            }
        };
        let mut entries: Vec<Entry> = listed.into_iter().map(entry).collect();
        entries.sort_by(|a, b| (!a.is_folder, &a.name).cmp(&(!b.is_folder, &b.name)));
        Ok(Self {
            path: below.as_str().to_owned(),
            entries,
        })
    }

    /// The address of the same as JSON.
    pub(crate) fn twin(&self, run_id: &str) -> String {
        let all = format!("/api/v1/runs/{}/artifacts", path_part(run_id));
        match self.path.as_str() {
            "" => all,
            path => format!("{all}?path={}", path_part(path)),
        }
    }

    /// The folders above this one, from the outermost, with their addresses.
    pub(crate) fn above(&self, run_id: &str) -> Vec<(String, String)> {
        let parts: Vec<&str> = self
            .path
            .split('/')
            .filter(|part| !part.is_empty())
            .collect();
        let above = |n: usize| {
            let path = path_part(&parts[..=n].join("/"));
            let href = format!("/runs/{}/artifacts?path={path}", path_part(run_id));
            (parts[n].to_owned(), href)
        };
        (0..parts.len()).map(above).collect()
    }
}

/// Where a run's artifacts begin.
fn root(run: &Run) -> Result<ArtifactPath, ApiError> {
    Ok(ArtifactPath::of_uri(&run.info.artifact_uri)?)
}

/// Opens a file of a run.
///
/// # Errors
///
/// When there is none, the path leads elsewhere, or the artifacts are not kept here.
pub(crate) fn open(
    artifacts: &ArtifactStore,
    run: &Run,
    path: &str,
) -> Result<(File, u64), ApiError> {
    Ok(artifacts.read(&root(run)?.join(path)?)?)
}

/// Reads a small file of a run whole; nothing when there is none.
pub(crate) fn read_small(artifacts: &ArtifactStore, run: &Run, path: &str) -> Option<Vec<u8>> {
    let (file, size) = open(artifacts, run, path).ok()?;
    if size > MAX_SHOWN_BYTES {
        return None;
    }
    let mut bytes = Vec::new();
    std::io::Read::read_to_end(&mut std::io::Read::take(file, MAX_SHOWN_BYTES), &mut bytes).ok()?;
    Some(bytes)
}

/// Answers with a file: shown if it can be shown safely, otherwise, or if that is
/// wished, as a download.
pub(crate) fn answer(path: &str, file: File, size: u64, is_download: bool) -> Response {
    let name = path.rsplit('/').next().unwrap_or_default();
    let shown = shown_type(name).filter(|_| !is_download && size <= MAX_SHOWN_BYTES);
    let disposition = match shown {
        Some(_) => "inline".to_owned(),
        // As RFC 6266 and 8187 have it, so that a name may be in any script.
        None => format!("attachment; filename*=UTF-8''{}", path_part(name)),
    };
    let mut headers = HeaderMap::new();
    let mut set = |name, value: &str| {
        if let Ok(value) = HeaderValue::from_str(value) {
            headers.insert(name, value);
        }
    };
    set(CONTENT_TYPE, shown.unwrap_or("application/octet-stream"));
    set(CONTENT_DISPOSITION, &disposition);
    set(CONTENT_SECURITY_POLICY, SANDBOX);
    set(CONTENT_LENGTH, &size.to_string());
    (headers, Body::from_stream(stream::of_file(file))).into_response()
}

/// How a file is shown; nothing for what is only downloaded.
fn shown_type(name: &str) -> Option<&'static str> {
    let ending = name
        .rsplit_once('.')
        .map(|(_, ending)| ending.to_ascii_lowercase());
    let is_plain = |name: &str| matches!(name, "MLmodel" | "README" | "LICENSE");
    match ending.as_deref() {
        Some("html" | "htm") => Some("text/html; charset=utf-8"),
        Some("png") => Some("image/png"),
        Some("jpg" | "jpeg") => Some("image/jpeg"),
        Some("svg") => Some("image/svg+xml"),
        Some("json") => Some("application/json"),
        Some("txt" | "csv" | "tsv" | "toml" | "yaml" | "yml" | "md" | "log") => {
            Some("text/plain; charset=utf-8")
        }
        _ if is_plain(name) => Some("text/plain; charset=utf-8"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_known_is_shown() {
        for (name, is_shown) in [
            ("report.html", true),
            ("picture.PNG", true),
            ("MLmodel", true),
            ("weights.safetensors", false),
            ("page.xhtml", false),
            ("html", false),
        ] {
            assert_eq!(shown_type(name).is_some(), is_shown, "{name}");
        }
    }
}
