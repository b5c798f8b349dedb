//! A version's files as one zip, made while it is sent: nothing of it is kept, on
//! disk or in memory.

use std::io;

use axum::body::Body;
use axum::http::header::{CONTENT_DISPOSITION, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use biophony_tracking::{ArtifactPath, ArtifactStore};
use zip::ZipWriter;
use zip::write::SimpleFileOptions;

use super::version::Files;
use crate::error::ApiError;
use crate::pages::stream;

/// The most files of a model; a model is a handful.
const MAX_FILES: usize = 10_000;

/// Answers with the files of a version.
///
/// # Errors
///
/// When they cannot be listed, or there is none.
pub(crate) fn answer(artifacts: &ArtifactStore, files: &Files) -> Result<Response, ApiError> {
    let listed = list(artifacts, &files.folder)?;
    if listed.is_empty() {
        return Err(ApiError::NotFound(
            "the files of this version are not there".to_owned(),
        ));
    }
    let name = files.name.display().to_string();
    let headers = [
        (CONTENT_TYPE, "application/zip".to_owned()),
        (
            CONTENT_DISPOSITION,
            format!("attachment; filename=\"{name}.zip\""),
        ),
    ];
    let (artifacts, folder) = (artifacts.clone(), files.folder.clone());
    let body = stream::of_writer(move |sink| {
        let mut zip = ZipWriter::new_stream(sink);
        // Weights do not get smaller, and the time of day is nobody's business.
        let options = SimpleFileOptions::default()
            .compression_method(zip::CompressionMethod::Stored)
            .last_modified_time(zip::DateTime::default());
        for file in listed {
            let path = folder.join(&file.path).map_err(io::Error::other)?;
            let (mut content, size) = artifacts.read(&path).map_err(io::Error::other)?;
            let options = options.large_file(size >= u64::from(u32::MAX));
            zip.start_file(format!("{name}/{}", file.path), options)?;
            io::copy(&mut content, &mut zip)?;
        }
        zip.finish()?;
        Ok(())
    });
    Ok((headers, Body::from_stream(body)).into_response())
}

/// How large all files below a folder are together.
///
/// # Errors
///
/// When they cannot be listed.
pub(crate) fn size_of(artifacts: &ArtifactStore, folder: &ArtifactPath) -> Result<u64, ApiError> {
    Ok(list(artifacts, folder)?
        .iter()
        .map(|file| file.n_bytes)
        .sum())
}

/// A file with its path below the folder that was listed.
struct Listed {
    path: String,
    n_bytes: u64,
}

fn list(artifacts: &ArtifactStore, folder: &ArtifactPath) -> Result<Vec<Listed>, ApiError> {
    let mut files = Vec::new();
    let mut waiting = vec![String::new()];
    while let Some(below) = waiting.pop() {
        for info in artifacts.list(&folder.join(&below)?)? {
            let path = match below.as_str() {
                "" => info.path,
                below => format!("{below}/{}", info.path),
            };
            match info.is_dir {
                true => waiting.push(path),
                false => files.push(Listed {
                    path,
                    n_bytes: info.file_size.unwrap_or(0),
                }),
            }
            if files.len() + waiting.len() > MAX_FILES {
                return Err(ApiError::BadRequest(format!(
                    "the version has more than {MAX_FILES} files; fetch them one by one"
                )));
            }
        }
    }
    files.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(files)
}
