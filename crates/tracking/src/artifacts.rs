//! Files of runs and models: a folder that nothing gets out of.
//!
//! An artifact URI such as `mlflow-artifacts:/3/<run>/artifacts/model` names the
//! folder `3/<run>/artifacts/model` below the root. The same URI works for a
//! training run that writes files itself and for a client of the server, which
//! goes through [`crate::server`].
//!
//! What counts as a path inside the root lives in `artifacts/path.rs`, uploads in
//! parts in `artifacts/parts.rs`, which URIs name a host in `artifacts/hosts.rs`, and
//! which model sources a registry accepts in `artifacts/source.rs`.

mod hosts;
#[cfg(feature = "server")]
mod parts;
mod path;
#[cfg(feature = "server")]
mod source;

pub(crate) use hosts::check_no_host;
#[cfg(feature = "server")]
pub(crate) use parts::{MAX_PARTS, Part, UploadId};
pub use path::ArtifactPath;
#[cfg(feature = "server")]
pub(crate) use source::check_model_source;

use std::fs;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

use crate::entities::ModelVersion;
use crate::error::{Result, TrackingError};
use crate::store::TrackingStore;

/// Uploads that are under way lie here; no artifact path leads to it.
pub(crate) const UPLOADS: &str = ".uploads";

/// The scheme of URIs below the root.
pub(crate) const SCHEME: &str = "mlflow-artifacts:";

/// How long an upload is kept that nobody goes on with.
const KEPT: Duration = Duration::from_secs(7 * 24 * 3600);

/// A folder of artifacts.
///
/// # Guarantees
///
/// - Nothing outside the folder is read, written or deleted, whatever the path
///   says: see [`ArtifactPath`]; links inside the folder are not followed.
/// - A file is there in full or not at all: it is written elsewhere, flushed to
///   disk and then moved to its place.
/// - Files pass through in pieces and are never whole in memory.
#[derive(Debug, Clone)]
pub struct ArtifactStore {
    root: PathBuf,
}

/// A file or folder among artifacts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileInfo {
    /// Its name, or its path from where the listing began.
    pub path: String,
    /// Whether it is a folder.
    #[serde(default)]
    pub is_dir: bool,
    /// Its size in bytes, of a file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file_size: Option<u64>,
}

impl ArtifactStore {
    /// Opens the folder, creating it if need be.
    ///
    /// # Errors
    ///
    /// When it cannot be created.
    pub fn open(root: impl AsRef<Path>) -> Result<Self> {
        let root = root.as_ref();
        fs::create_dir_all(root).map_err(failed("create", root))?;
        let root = fs::canonicalize(root).map_err(failed("find", root))?;
        let store = Self { root };
        store.forget_old_uploads();
        Ok(store)
    }

    /// The folder on this machine that an artifact URI of a run or model names.
    ///
    /// # Errors
    ///
    /// When the URI is of another scheme or leads out of the root.
    pub fn local_path(&self, uri: &str) -> Result<PathBuf> {
        Ok(self.root.join(ArtifactPath::of_uri(uri)?.as_str()))
    }

    /// The folder on this machine that holds the files of a version, whatever it was
    /// registered from: `models:/m-…` and `runs:/…` lead there as well.
    ///
    /// # Errors
    ///
    /// When there is no such version, or its files are kept elsewhere.
    pub fn version_folder(
        &self,
        store: &dyn TrackingStore,
        version: &ModelVersion,
    ) -> Result<PathBuf> {
        self.local_path(&store.model_version_download_uri(&version.name, version.version)?)
    }

    /// Writes a file, over an old one of the same path; returns its size in bytes.
    ///
    /// # Errors
    ///
    /// When `content` cannot be read or the file not be written.
    pub fn write(&self, path: &ArtifactPath, content: &mut impl Read) -> Result<u64> {
        let (staged, mut file) = self.stage()?;
        let written = io::copy(content, &mut file)
            .and_then(|size| file.flush().map(|()| size))
            .map_err(failed("write", &staged));
        match written {
            Ok(size) => self.publish(&staged, &file, path).map(|()| size),
            Err(error) => {
                self.discard(&staged);
                Err(error)
            }
        }
    }

    /// Adds a copy of a file of this machine, over an old one of the same path;
    /// returns its size in bytes. A link would spare the disk, but then damage to one
    /// name would be damage to all.
    ///
    /// # Errors
    ///
    /// When it cannot be read or the artifact not be written.
    pub fn add(&self, path: &ArtifactPath, file: &Path) -> Result<u64> {
        let mut content = fs::File::open(file).map_err(failed("open", file))?;
        self.write(path, &mut content)
    }

    /// Opens a file; returns it with its size in bytes.
    ///
    /// # Errors
    ///
    /// [`TrackingError::ArtifactNotFound`] when there is no such file, and
    /// [`TrackingError::InvalidParameter`] when it is a folder.
    pub fn read(&self, path: &ArtifactPath) -> Result<(fs::File, u64)> {
        let missing = || TrackingError::ArtifactNotFound(path.as_str().to_owned());
        let place = self.existing(path)?.ok_or_else(missing)?;
        if place.is_dir() {
            return Err(TrackingError::invalid(format!(
                "Artifact path refers to a directory, not a file: '{path}'",
                path = path.as_str()
            )));
        }
        let file = fs::File::open(&place).map_err(failed("open", &place))?;
        let metadata = file.metadata().map_err(failed("look at", &place))?;
        if !metadata.is_file() {
            return Err(missing());
        }
        Ok((file, metadata.len()))
    }

    /// What is in a folder, sorted by name; of a folder that is not there, nothing.
    ///
    /// # Errors
    ///
    /// When the folder cannot be read.
    pub fn list(&self, path: &ArtifactPath) -> Result<Vec<FileInfo>> {
        let Some(folder) = self.existing(path)?.filter(|place| place.is_dir()) else {
            return Ok(Vec::new());
        };
        let mut found = Vec::new();
        for entry in fs::read_dir(&folder).map_err(failed("list", &folder))? {
            let entry = entry.map_err(failed("list", &folder))?;
            let kind = entry
                .file_type()
                .map_err(failed("look at", &entry.path()))?;
            // What cannot be asked for by name, or is a link, is not shown either.
            let Ok(name) = entry.file_name().into_string() else {
                continue;
            };
            if kind.is_symlink() || (path.is_root() && name == UPLOADS) {
                continue;
            }
            let file_size = match kind.is_file() {
                true => entry.metadata().ok().map(|metadata| metadata.len()),
                false => None,
            };
            found.push(FileInfo {
                path: name,
                is_dir: kind.is_dir(),
                file_size,
            });
        }
        found.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(found)
    }

    /// Deletes a file, or a folder with all that is in it; nothing happens when
    /// there is none.
    ///
    /// # Errors
    ///
    /// When it cannot be deleted.
    pub fn delete(&self, path: &ArtifactPath) -> Result<()> {
        if path.is_root() {
            return Err(TrackingError::invalid("Invalid path"));
        }
        let Some(place) = self.existing(path)? else {
            return Ok(());
        };
        let deleted = if place.is_dir() {
            fs::remove_dir_all(&place)
        } else {
            fs::remove_file(&place)
        };
        deleted.map_err(failed("delete", &place))
    }

    /// A new file for an upload, to be given to [`ArtifactStore::publish`].
    pub(crate) fn stage(&self) -> Result<(PathBuf, fs::File)> {
        let folder = self.root.join(UPLOADS);
        fs::create_dir_all(&folder).map_err(failed("create", &folder))?;
        let staged = folder.join(format!("{:032x}", rand::random::<u128>()));
        let file = fs::File::create_new(&staged).map_err(failed("create", &staged))?;
        Ok((staged, file))
    }

    /// Moves a finished upload to its place.
    pub(crate) fn publish(
        &self,
        staged: &Path,
        file: &fs::File,
        path: &ArtifactPath,
    ) -> Result<()> {
        let place = self.root.join(path.as_str());
        let moved = self
            .make_parents(path)
            .and_then(|()| file.sync_data().map_err(failed("flush", staged)))
            .and_then(|()| fs::rename(staged, &place).map_err(failed("write", &place)));
        if moved.is_err() {
            self.discard(staged);
        }
        moved
    }

    /// Forgets an upload.
    pub(crate) fn discard(&self, staged: &Path) {
        // The folder of uploads may keep a stray file; nothing refers to it.
        let _ = fs::remove_file(staged);
    }

    /// Deletes uploads that broke off long ago.
    fn forget_old_uploads(&self) {
        let Ok(entries) = fs::read_dir(self.root.join(UPLOADS)) else {
            return; // There never were any.
        };
        for entry in entries.flatten() {
            let changed = entry.metadata().and_then(|metadata| metadata.modified());
            let is_old = changed.is_ok_and(|at| {
                SystemTime::now()
                    .duration_since(at)
                    .is_ok_and(|age| age > KEPT)
            });
            if is_old {
                // Another process may be at it, too; what stays is tried again.
                let _ = fs::remove_file(entry.path());
                let _ = fs::remove_dir_all(entry.path());
            }
        }
    }

    /// Where the path leads, if there is something and no link on the way.
    fn existing(&self, path: &ArtifactPath) -> Result<Option<PathBuf>> {
        let mut place = self.root.clone();
        for part in path.parts() {
            place.push(part);
            match fs::symlink_metadata(&place) {
                Ok(metadata) if metadata.is_symlink() => return Ok(None),
                Ok(_) => {}
                Err(error)
                    if matches!(
                        error.kind(),
                        io::ErrorKind::NotFound
                            | io::ErrorKind::NotADirectory
                            | io::ErrorKind::InvalidFilename
                    ) =>
                {
                    return Ok(None);
                }
                Err(error) => return Err(failed("look at", &place)(error)),
            }
        }
        Ok(Some(place))
    }

    /// Creates the folders above a path, and refuses to go through links.
    fn make_parents(&self, path: &ArtifactPath) -> Result<()> {
        if path.is_root() {
            return Err(TrackingError::invalid("Invalid path"));
        }
        let mut place = self.root.clone();
        let parts: Vec<&str> = path.parts().collect();
        for (index, part) in parts.iter().enumerate() {
            place.push(part);
            let is_last = index + 1 == parts.len();
            match fs::symlink_metadata(&place) {
                Ok(metadata) if metadata.is_symlink() || (is_last == metadata.is_dir()) => {
                    return Err(TrackingError::invalid(format!(
                        "Invalid path: '{}' is in the way",
                        parts[..=index].join("/")
                    )));
                }
                Ok(_) => {}
                Err(_) if is_last => {}
                Err(_) => match fs::create_dir(&place) {
                    Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                        return Err(failed("create", &place)(error));
                    }
                    _ => {}
                },
            }
        }
        Ok(())
    }
}

fn failed(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> TrackingError {
    let path = path.to_owned();
    move |source| TrackingError::ArtifactIo {
        doing,
        path,
        source,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn store() -> (tempfile::TempDir, ArtifactStore) {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let store = ArtifactStore::open(folder.path().join("artifacts")).expect("opens");
        (folder, store)
    }

    fn path(text: &str) -> ArtifactPath {
        ArtifactPath::new(text).expect("a good path")
    }

    #[test]
    fn what_is_written_can_be_read_listed_and_deleted() {
        let (_folder, store) = store();
        let size = store
            .write(&path("1/run/artifacts/a b.txt"), &mut &b"hello"[..])
            .expect("writes");
        assert_eq!(size, 5);
        let mut text = String::new();
        let (mut file, size) = store.read(&path("1/run/artifacts/a b.txt")).expect("reads");
        file.read_to_string(&mut text).expect("reads");
        assert_eq!((text.as_str(), size), ("hello", 5));
        let listed = store.list(&path("1/run/artifacts")).expect("lists");
        assert_eq!(listed[0].path, "a b.txt");
        assert_eq!(listed[0].file_size, Some(5));
        let root = store.list(&path("")).expect("lists");
        assert_eq!(
            root.len(),
            1,
            "the folder of uploads is not shown: {root:?}"
        );
        store.delete(&path("1/run")).expect("deletes");
        store
            .delete(&path("1/run"))
            .expect("deleting twice does nothing");
        assert!(store.read(&path("1/run/artifacts/a b.txt")).is_err());
        assert!(store.delete(&path("")).is_err());
    }

    #[test]
    fn a_file_is_not_written_over_a_folder_nor_below_a_file() {
        let (_folder, store) = store();
        store.write(&path("a/b"), &mut &b"x"[..]).expect("writes");
        assert!(store.write(&path("a"), &mut &b"x"[..]).is_err());
        assert!(store.write(&path("a/b/c"), &mut &b"x"[..]).is_err());
    }

    #[test]
    fn only_old_uploads_are_forgotten() {
        let (_folder, store) = store();
        let (old, file) = store.stage().expect("stages");
        file.set_modified(SystemTime::now() - KEPT * 2)
            .expect("sets the time");
        let (new, _) = store.stage().expect("stages");
        ArtifactStore::open(&store.root).expect("opens again");
        assert_eq!((old.exists(), new.exists()), (false, true));
    }

    #[test]
    fn a_file_that_is_added_takes_the_place_of_an_old_one_and_leaves_no_upload() {
        let (folder, store) = store();
        let file = folder.path().join("file");
        fs::write(&file, "new").expect("writes");
        store
            .write(&path("a/b"), &mut &b"older"[..])
            .expect("writes");
        for _ in 0..2 {
            assert_eq!(store.add(&path("a/b"), &file).expect("adds"), 3);
        }
        let (mut found, mut text) = (store.read(&path("a/b")).expect("reads").0, String::new());
        found.read_to_string(&mut text).expect("reads");
        assert_eq!(text, "new");
        let uploads = fs::read_dir(folder.path().join("artifacts").join(UPLOADS));
        assert_eq!(uploads.expect("lists").count(), 0);
        assert!(file.exists());
        assert!(store.add(&path("a/b/c"), &file).is_err(), "below a file");
    }

    #[cfg(unix)]
    #[test]
    fn links_are_not_followed() {
        let (folder, store) = store();
        let outside = folder.path().join("outside");
        fs::create_dir(&outside).expect("creates");
        fs::write(outside.join("secret"), "s").expect("writes");
        std::os::unix::fs::symlink(&outside, folder.path().join("artifacts/link")).expect("links");
        assert!(store.read(&path("link/secret")).is_err());
        assert!(store.write(&path("link/new"), &mut &b"x"[..]).is_err());
        assert_eq!(store.list(&path("link")).expect("lists"), []);
        assert_eq!(store.list(&path("")).expect("lists"), []);
        store.delete(&path("link/secret")).expect("does nothing");
        store.delete(&path("link")).expect("does nothing");
        assert!(outside.join("secret").exists());
    }
}
