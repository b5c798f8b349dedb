//! Sources of a run: what the files from outside hold, and whether they still
//! do after a step has read them.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::error::{PipelineError, Result};
use crate::fingerprint::{Fingerprint, Stamp, hash_tree, list_files};
use crate::hash::ContentHash;
use crate::input::SourceEntry;
use crate::pipeline::Source;
use crate::store::Store;

/// A source as it was when the run began.
pub(crate) struct FoundSource {
    pub(crate) path: PathBuf,
    pub(crate) content: ContentHash,
    /// The files of a folder; empty for a file.
    pub(crate) entries: Arc<Vec<SourceEntry>>,
    /// All files with their metadata at that time.
    stamps: Vec<(PathBuf, Stamp)>,
    whole_folder: bool,
}

impl FoundSource {
    /// Reads, or recognizes, all files of a source.
    pub(crate) fn find(store: &Store, source: &Source) -> Result<Self> {
        let found = match source {
            Source::File(path) => Self::find_file(store, absolute(path)?)?,
            Source::Folder(folder) => {
                let folder = absolute(folder)?;
                require_folder(&folder)?;
                let files = list_files(&folder).map_err(|e| read_error(&folder, e))?;
                Self::find_folder(store, folder, &files, true)?
            }
            Source::Files(folder, files) => {
                let folder = absolute(folder)?;
                require_folder(&folder)?;
                let mut files = files.clone();
                files.sort();
                files.dedup();
                Self::find_folder(store, folder, &files, false)?
            }
        };
        store.note_source(found.content, &found.path.to_string_lossy(), &found.entries)?;
        Ok(found)
    }

    /// The first file that is not as it was: changed, new or gone.
    pub(crate) fn changed(&self) -> Option<PathBuf> {
        let differs = |(path, stamp): &&(PathBuf, Stamp)| Stamp::of(path).ok() != Some(*stamp);
        if let Some((path, _)) = self.stamps.iter().find(differs) {
            return Some(path.clone());
        }
        if !self.whole_folder {
            return None;
        }
        let now = list_files(&self.path).unwrap_or_default();
        let same = now.iter().eq(self.entries.iter().map(|entry| &entry.path));
        (!same).then(|| self.path.clone())
    }

    fn find_file(store: &Store, path: PathBuf) -> Result<Self> {
        if path.is_dir() {
            let expected = "file";
            return Err(PipelineError::NotASource { path, expected });
        }
        let found = store.fingerprints(std::slice::from_ref(&path))?;
        let Fingerprint { content, stamp } = found[0];
        Ok(Self {
            stamps: vec![(path.clone(), stamp)],
            path,
            content,
            entries: Arc::default(),
            whole_folder: false,
        })
    }

    fn find_folder(
        store: &Store,
        path: PathBuf,
        files: &[PathBuf],
        whole_folder: bool,
    ) -> Result<Self> {
        let paths: Vec<PathBuf> = files.iter().map(|file| path.join(file)).collect();
        let found = store.fingerprints(&paths)?;
        let entry = |(file, fingerprint): (&PathBuf, &Fingerprint)| SourceEntry {
            path: file.clone(),
            content: fingerprint.content,
            n_bytes: fingerprint.stamp.n_bytes,
        };
        let entries: Vec<SourceEntry> = files.iter().zip(&found).map(entry).collect();
        let content = hash_tree(entries.iter().map(|e| (e.path.as_path(), e.content)));
        let stamps = paths.into_iter().zip(found.into_iter().map(|f| f.stamp));
        Ok(Self {
            path,
            content,
            entries: Arc::new(entries),
            stamps: stamps.collect(),
            whole_folder,
        })
    }
}

fn require_folder(path: &Path) -> Result<()> {
    let metadata = fs::metadata(path).map_err(|source| read_error(path, source))?;
    if metadata.is_dir() {
        return Ok(());
    }
    Err(PipelineError::NotASource {
        path: path.to_path_buf(),
        expected: "folder",
    })
}

fn absolute(path: &Path) -> Result<PathBuf> {
    std::path::absolute(path).map_err(|source| read_error(path, source))
}

fn read_error(path: &Path, source: std::io::Error) -> PipelineError {
    PipelineError::ReadSource {
        path: path.to_path_buf(),
        source,
    }
}
