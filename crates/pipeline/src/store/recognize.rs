//! Whether artifacts are still what they were, at the price of a look at their
//! metadata: see [`crate::fingerprint`] for what that guarantees.

use std::path::Path;

use crate::error::{PipelineError, Result};
use crate::fingerprint::{hash_tree, list_files};
use crate::format::Format;
use crate::hash::ContentHash;
use crate::run::OutputRecord;
use crate::store::Store;

impl Store {
    /// Whether an artifact is as it was written, by its files' metadata if they
    /// tell, otherwise by reading it.
    pub(crate) fn recognize(&self, output: &OutputRecord) -> Result<()> {
        let (content, path) = (output.content, self.objects().path(output.content));
        if !path.exists() {
            return Err(PipelineError::MissingArtifact { content, path });
        }
        let found = match output.format {
            Format::Folder => self.recognize_folder(&path),
            _ => self
                .fingerprints(std::slice::from_ref(&path))
                .map(|found| found[0].content),
        };
        if found.is_ok_and(|found| found == content) {
            return Ok(());
        }
        Err(PipelineError::DamagedArtifact { content, path })
    }

    fn recognize_folder(&self, path: &Path) -> Result<ContentHash> {
        let files = list_files(path).map_err(|source| PipelineError::ReadSource {
            path: path.to_path_buf(),
            source,
        })?;
        let paths: Vec<_> = files.iter().map(|file| path.join(file)).collect();
        let found = self.fingerprints(&paths)?;
        Ok(hash_tree(
            files
                .iter()
                .map(|f| f.as_path())
                .zip(found.iter().map(|f| f.content)),
        ))
    }
}
