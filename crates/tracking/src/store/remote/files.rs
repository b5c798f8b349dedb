//! Files of runs and models, by way of a remote server that takes them itself.

use std::fs::File;
use std::time::Duration;

use super::RemoteStore;
use super::connection::encoded;
use crate::artifacts::{ArtifactPath, FileInfo};
use crate::error::Result;

/// The route below which files lie.
const ROUTE: &str = "/api/2.0/mlflow-artifacts/artifacts";

/// How long one file may take: an upload over a slow line takes its time.
const TIMEOUT: Duration = Duration::from_secs(3600);

impl RemoteStore {
    /// Whether files at this URI go through the server, not past it to a store of
    /// files that only the server's users have keys to.
    pub fn takes_files_at(uri: &str) -> bool {
        ArtifactPath::of_uri(uri).is_ok()
    }

    /// What is in the folder `below` an artifact URI.
    ///
    /// # Errors
    ///
    /// When the server cannot be reached or refuses.
    pub fn list_files(&self, uri: &str, below: &str) -> Result<Vec<FileInfo>> {
        let folder = ArtifactPath::of_uri(uri)?.join(below)?;
        let answer = self.get(ROUTE, &[("path", folder.as_str())])?;
        answer.page("files").map(|page| page.items)
    }

    /// Sends a file to `path` below an artifact URI, over an old one.
    ///
    /// # Errors
    ///
    /// When the server cannot be reached or refuses.
    pub fn send_file(&self, uri: &str, path: &str, file: File) -> Result<()> {
        let place = ArtifactPath::of_uri(uri)?.join(path)?;
        let parts: Vec<String> = place.as_str().split('/').map(encoded).collect();
        self.put_file(&format!("{ROUTE}/{}", parts.join("/")), file, TIMEOUT)
    }
}
