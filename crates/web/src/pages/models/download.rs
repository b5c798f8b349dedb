//! A version's files as one zip, made while it is sent: nothing of it is kept, on
//! disk or in memory.

use std::fs::File;
use std::io::{self, Read, Write};
use std::mem::take;
use std::sync::{Arc, Mutex, PoisonError};
use std::vec;

use axum::body::{Body, Bytes};
use axum::http::header::{CONTENT_DISPOSITION, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use biophony_tracking::{ArtifactPath, ArtifactStore};
use zip::ZipWriter;
use zip::write::{SimpleFileOptions, StreamWriter};

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
    let written = Written::default();
    let mut packing = Packing {
        artifacts: artifacts.clone(),
        folder: files.folder.clone(),
        name,
        left: listed.into_iter(),
        open: None,
        zip: Some(ZipWriter::new_stream(written.clone())),
        written,
    };
    let body = stream::of_pieces(move || packing.next());
    Ok((headers, Body::from_stream(body)).into_response())
}

/// A zip that is being made.
struct Packing {
    artifacts: ArtifactStore,
    folder: ArtifactPath,
    /// The folder that all files lie in.
    name: String,
    left: vec::IntoIter<Listed>,
    /// The file that is being packed.
    open: Option<File>,
    /// Nothing when all is written.
    zip: Option<ZipWriter<StreamWriter<Written>>>,
    written: Written,
}

impl Packing {
    /// What is to be sent next.
    fn next(&mut self) -> io::Result<Option<Bytes>> {
        while self.zip.is_some() {
            self.step()?;
            let piece = self.written.take();
            if !piece.is_empty() {
                return Ok(Some(piece.into()));
            }
        }
        Ok(None)
    }

    /// Writes a little more.
    fn step(&mut self) -> io::Result<()> {
        let Some(zip) = &mut self.zip else {
            return Ok(());
        };
        if let Some(file) = &mut self.open {
            let copied = io::copy(&mut file.take(stream::PIECE_BYTES), zip)?;
            if copied < stream::PIECE_BYTES {
                self.open = None;
            }
        } else if let Some(file) = self.left.next() {
            let path = self.folder.join(&file.path).map_err(io::Error::other)?;
            let (content, size) = self.artifacts.read(&path).map_err(io::Error::other)?;
            // Weights do not get smaller, and the time of day is nobody's business.
            let options = SimpleFileOptions::default()
                .compression_method(zip::CompressionMethod::Stored)
                .last_modified_time(zip::DateTime::default())
                .large_file(size >= u64::from(u32::MAX));
            zip.start_file(format!("{}/{}", self.name, file.path), options)?;
            self.open = Some(content);
        } else if let Some(zip) = self.zip.take() {
            zip.finish()?;
        }
        Ok(())
    }
}

/// What has been written and not yet sent.
#[derive(Clone, Default)]
struct Written(Arc<Mutex<Vec<u8>>>);

impl Written {
    fn take(&self) -> Vec<u8> {
        take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Write for Written {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut written = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        written.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
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
