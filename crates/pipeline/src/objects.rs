//! The artifacts themselves: files and folders named by their content.
//!
//! `artifacts/ab/abcd…` holds what has the BLAKE3 `abcd…`. Content appears there
//! by a rename, whole or not at all, and is never written to again.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::error::{PipelineError, Result};
use crate::fingerprint::{hash_file, hash_tree, list_files};
use crate::hash::ContentHash;
use crate::parallel;

/// The folder of artifacts.
pub(crate) struct Objects {
    folder: PathBuf,
}

/// Whether content has to outlive a power failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Durability {
    /// It is on the disk before anything refers to it.
    Synced,
    /// It may be lost, and is then made again: for what took less time to make than
    /// waiting for the disk, and for the many small items of a step. All of it is
    /// verified whenever it is read.
    Cached,
}

/// What took less time to make is made again as quickly as it is synced.
const CHEAP: Duration = Duration::from_millis(50);

impl Durability {
    /// That of something that took so long to make.
    pub(crate) fn for_work_of(time: Duration) -> Self {
        if time < CHEAP {
            Self::Cached
        } else {
            Self::Synced
        }
    }
}

/// Content that has joined the store.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Placed {
    pub(crate) content: ContentHash,
    pub(crate) n_bytes: u64,
}

impl Objects {
    pub(crate) fn new(folder: PathBuf) -> Self {
        Self { folder }
    }

    /// Where this content lies, if it is there.
    pub(crate) fn path(&self, content: ContentHash) -> PathBuf {
        let name = content.to_string();
        self.folder.join(&name[..2]).join(name)
    }

    /// The top folder.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Moves a staged file or folder to its place. What is there already and
    /// intact stays; what is damaged is replaced.
    pub(crate) fn place(&self, staged: &Path, durability: Durability) -> Result<Placed> {
        let write_error = |source| PipelineError::Io {
            action: "write",
            path: staged.to_path_buf(),
            source,
        };
        let placed = measure(staged).map_err(write_error)?;
        let path = self.path(placed.content);
        if path.symlink_metadata().is_ok() {
            if measure(&path).is_ok_and(|found| found.content == placed.content) {
                remove(staged).map_err(write_error)?;
                return Ok(placed);
            }
            self.remove(placed.content)?;
        }
        if durability == Durability::Synced {
            sync(staged).map_err(write_error)?;
        }
        let parent = path.parent().expect("objects lie in a folder");
        let moved = fs::create_dir_all(parent).and_then(|()| fs::rename(staged, &path));
        match moved {
            Ok(()) => Ok(placed),
            // Another process was first with the same folder; its is as good.
            Err(_) if path.is_dir() && self.verify(placed.content).is_ok() => Ok(placed),
            Err(source) => Err(PipelineError::Io {
                action: "write",
                path,
                source,
            }),
        }
    }

    /// Hashes the content in full.
    ///
    /// # Errors
    ///
    /// When it is missing, damaged or cannot be read.
    pub(crate) fn verify(&self, content: ContentHash) -> Result<PathBuf> {
        let path = self.path(content);
        match measure(&path) {
            Ok(found) if found.content == content => Ok(path),
            Ok(_) => Err(PipelineError::DamagedArtifact { content, path }),
            Err(error) => Err(unreadable(content, path, error)),
        }
    }

    /// Reads a file's content and verifies it on the way.
    pub(crate) fn read(&self, content: ContentHash) -> Result<Vec<u8>> {
        let path = self.path(content);
        match fs::read(&path) {
            Ok(bytes) if ContentHash::of(&bytes) == content => Ok(bytes),
            Ok(_) => Err(PipelineError::DamagedArtifact { content, path }),
            Err(error) => Err(unreadable(content, path, error)),
        }
    }

    /// Takes the content away, if it is there.
    pub(crate) fn remove(&self, content: ContentHash) -> Result<()> {
        let path = self.path(content);
        match remove(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(source) => Err(PipelineError::Io {
                action: "remove",
                path,
                source,
            }),
            Ok(()) => Ok(()),
        }
    }

    /// All content there is, with its length.
    pub(crate) fn list(&self) -> Result<Vec<ContentHash>> {
        let list = || -> io::Result<Vec<ContentHash>> {
            let mut found = Vec::new();
            for shelf in fs::read_dir(&self.folder)? {
                for entry in fs::read_dir(shelf?.path())? {
                    let name = entry?.file_name();
                    found.extend(
                        name.to_str()
                            .and_then(|name| name.parse::<ContentHash>().ok()),
                    );
                }
            }
            Ok(found)
        };
        list().map_err(|source| PipelineError::Io {
            action: "list",
            path: self.folder.clone(),
            source,
        })
    }
}

/// Why content cannot be read: most often, it is not there.
fn unreadable(content: ContentHash, path: PathBuf, source: io::Error) -> PipelineError {
    match source.kind() {
        io::ErrorKind::NotFound => PipelineError::MissingArtifact { content, path },
        _ => PipelineError::Io {
            action: "read",
            path,
            source,
        },
    }
}

/// Hash and length of a file, or of a folder with all that is below it.
pub(crate) fn measure(path: &Path) -> io::Result<Placed> {
    let metadata = fs::metadata(path)?;
    if metadata.is_file() {
        return Ok(Placed {
            content: hash_file(path)?,
            n_bytes: metadata.len(),
        });
    }
    let files = list_files(path)?;
    let hashed = parallel::try_map(parallel::available_threads(), &files, |file| {
        let file = path.join(file);
        io::Result::Ok((hash_file(&file)?, fs::metadata(&file)?.len()))
    })?;
    let names = files.iter().map(PathBuf::as_path);
    Ok(Placed {
        content: hash_tree(names.zip(hashed.iter().map(|&(content, _)| content))),
        n_bytes: hashed.iter().map(|&(_, n_bytes)| n_bytes).sum(),
    })
}

/// Waits until a file, or all files of a folder, are on the disk.
///
/// The folder that will hold it is not synced: if the name is lost with the
/// power, the artifact is missing, which is noticed and repaired.
fn sync(path: &Path) -> io::Result<()> {
    if path.is_file() {
        return File::open(path)?.sync_all();
    }
    for file in list_files(path)? {
        File::open(path.join(file))?.sync_all()?;
    }
    File::open(path)?.sync_all()
}

fn remove(path: &Path) -> io::Result<()> {
    if path.symlink_metadata()?.is_dir() {
        return fs::remove_dir_all(path);
    }
    fs::remove_file(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn objects() -> (tempfile::TempDir, Objects) {
        let folder = tempfile::tempdir().expect("a folder");
        let objects = Objects::new(folder.path().join("artifacts"));
        fs::create_dir(objects.folder()).expect("makes");
        (folder, objects)
    }

    fn place(folder: &Path, objects: &Objects, bytes: &str) -> ContentHash {
        let staged = folder.join("staged");
        fs::write(&staged, bytes).expect("writes");
        let placed = objects.place(&staged, Durability::Synced).expect("places");
        assert!(!staged.exists());
        placed.content
    }

    #[test]
    fn damage_is_noticed_and_repaired_by_writing_again() {
        let (folder, objects) = objects();
        let content = place(folder.path(), &objects, "song");
        assert_eq!(objects.read(content).expect("reads"), b"song");
        fs::write(objects.path(content), "sons").expect("damages");
        assert!(matches!(
            objects.verify(content),
            Err(PipelineError::DamagedArtifact { .. })
        ));
        assert!(objects.read(content).is_err());
        assert_eq!(place(folder.path(), &objects, "song"), content);
        objects.verify(content).expect("is whole again");
        objects.remove(content).expect("removes");
        assert!(matches!(
            objects.verify(content),
            Err(PipelineError::MissingArtifact { .. })
        ));
    }

    #[test]
    fn a_folder_is_one_artifact() {
        let (folder, objects) = objects();
        let staged = folder.path().join("staged");
        for _ in 0..2 {
            fs::create_dir_all(staged.join("a")).expect("makes");
            fs::write(staged.join("a/b"), "1").expect("writes");
            let placed = objects.place(&staged, Durability::Synced).expect("places");
            let path = objects.verify(placed.content).expect("is intact");
            fs::write(path.join("more"), "2").expect("damages");
            assert!(objects.verify(placed.content).is_err());
            assert_eq!(objects.list().expect("lists"), [placed.content]);
        }
    }
}
