//! What files hold: their BLAKE3, without reading again what has not changed.
//!
//! # What is guaranteed
//!
//! A file's hash is remembered together with its size, modification time, change
//! time, inode and device, and the moment at which hashing began. It is read
//! again unless all five are the same *and* both times lie at least [`RACY`]
//! before that moment.
//!
//! - Setting the modification time back (`touch -d`, `cp -p`, `tar`) does not
//!   hide a change: that sets the change time, which no program can choose.
//! - A file that was written just before or while it was hashed is not trusted
//!   either, because a second write within one tick of the file system's clock
//!   would leave the same times. Git calls such files "racily clean".
//! - What would go unseen: a write below the file system (to the disk itself), one
//!   after the machine's clock was set back to the very nanosecond, or one of a program
//!   that keeps the file mapped into its memory, of which file systems note the time
//!   late or, for a page that they have not written out yet, not at all.
//!
//! Artifacts are looked at in this way when a step is answered from the cache;
//! before one is read by a step, it is hashed in full.

use std::fs::{self, File};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rusqlite::{OptionalExtension, params};

use crate::error::{PipelineError, Result};
use crate::hash::ContentHash;
use crate::parallel;
use crate::store::Store;

/// How old a change must be to be trusted: the coarsest clock of a file system
/// still in use, that of FAT.
const RACY: Duration = Duration::from_secs(2);

/// Deeper folders are taken for a loop of symbolic links.
const MAX_DEPTH: usize = 64;

/// What a file holds, and by what it is recognized as unchanged.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Fingerprint {
    pub(crate) content: ContentHash,
    pub(crate) stamp: Stamp,
}

/// Everything of a file's metadata that a change of its bytes would change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stamp {
    pub(crate) n_bytes: u64,
    mtime_ns: i64,
    ctime_ns: i64,
    inode: u64,
    device: u64,
}

impl Stamp {
    pub(crate) fn of(path: &Path) -> io::Result<Self> {
        let metadata = fs::metadata(path)?;
        if !metadata.is_file() {
            return Err(io::Error::other("it is not a regular file"));
        }
        let nanos = |seconds: i64, nanos: i64| seconds.wrapping_mul(1_000_000_000) + nanos;
        Ok(Self {
            n_bytes: metadata.len(),
            mtime_ns: nanos(metadata.mtime(), metadata.mtime_nsec()),
            ctime_ns: nanos(metadata.ctime(), metadata.ctime_nsec()),
            inode: metadata.ino(),
            device: metadata.dev(),
        })
    }
}

impl Store {
    /// What these files hold. Only those that may have changed are read.
    pub(crate) fn fingerprints(&self, paths: &[PathBuf]) -> Result<Vec<Fingerprint>> {
        let n_threads = parallel::available_threads();
        let read_error = |path: &Path, source| PipelineError::ReadSource {
            path: path.to_path_buf(),
            source,
        };
        let mut found = self.remembered(paths, read_error)?;
        let stale: Vec<usize> = (0..paths.len()).filter(|&i| found[i].is_none()).collect();
        if !stale.is_empty() {
            let hashed_at_ns = now_ns();
            let fresh = parallel::try_map(n_threads, &stale, |&index| {
                hash_stable(&paths[index]).map_err(|source| read_error(&paths[index], source))
            })?;
            for (&index, fingerprint) in stale.iter().zip(&fresh) {
                found[index] = Some(*fingerprint);
            }
            let fresh = stale.iter().map(|&index| &paths[index]).zip(fresh);
            self.remember(fresh, hashed_at_ns)?;
        }
        let found = found
            .into_iter()
            .map(|f| f.expect("stale files were hashed"));
        Ok(found.collect())
    }

    fn remembered(
        &self,
        paths: &[PathBuf],
        read_error: impl Fn(&Path, io::Error) -> PipelineError,
    ) -> Result<Vec<Option<Fingerprint>>> {
        let stamps = paths
            .iter()
            .map(|path| Stamp::of(path).map_err(|source| read_error(path, source)));
        let stamps: Vec<Stamp> = stamps.collect::<Result<_>>()?;
        self.read(|db| {
            let mut query = db.prepare_cached(
                "SELECT content FROM stats WHERE path = ?1 AND n_bytes = ?2 AND mtime_ns = ?3
                 AND ctime_ns = ?4 AND inode = ?5 AND device = ?6
                 AND max(mtime_ns, ctime_ns) + ?7 < hashed_at_ns",
            )?;
            let racy = i64::try_from(RACY.as_nanos()).expect("seconds fit");
            paths
                .iter()
                .zip(&stamps)
                .map(|(path, stamp)| {
                    let known = query
                        .query_row(
                            params![
                                path.as_os_str().as_bytes(),
                                stamp.n_bytes.cast_signed(),
                                stamp.mtime_ns,
                                stamp.ctime_ns,
                                stamp.inode.cast_signed(),
                                stamp.device.cast_signed(),
                                racy
                            ],
                            |row| row.get(0),
                        )
                        .optional()?;
                    let stamp = *stamp;
                    Ok(known.map(|content| Fingerprint { content, stamp }))
                })
                .collect()
        })
    }

    fn remember<'a>(
        &self,
        fresh: impl Iterator<Item = (&'a PathBuf, Fingerprint)>,
        hashed_at_ns: i64,
    ) -> Result<()> {
        self.write(|db| {
            let mut insert = db.prepare_cached(
                "INSERT OR REPLACE INTO stats (path, n_bytes, mtime_ns, ctime_ns, inode, device,
                 hashed_at_ns, content) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
            )?;
            for (path, Fingerprint { content, stamp }) in fresh {
                insert.execute(params![
                    path.as_os_str().as_bytes(),
                    stamp.n_bytes.cast_signed(),
                    stamp.mtime_ns,
                    stamp.ctime_ns,
                    stamp.inode.cast_signed(),
                    stamp.device.cast_signed(),
                    hashed_at_ns,
                    content
                ])?;
            }
            Ok(())
        })
    }
}

/// Hashes a file that is not written to meanwhile.
fn hash_stable(path: &Path) -> io::Result<Fingerprint> {
    for _ in 0..3 {
        let stamp = Stamp::of(path)?;
        let content = hash_file(path)?;
        if Stamp::of(path)? == stamp {
            return Ok(Fingerprint { content, stamp });
        }
    }
    Err(io::Error::other("it keeps changing while it is read"))
}

/// The BLAKE3 of a file's bytes.
pub(crate) fn hash_file(path: &Path) -> io::Result<ContentHash> {
    let mut hasher = blake3::Hasher::new();
    hasher.update_reader(File::open(path)?)?;
    Ok(hasher.finalize().into())
}

/// The BLAKE3 of a folder: of each file's path below it and content, sorted by
/// path. Empty folders leave no trace, nor do permissions and times.
pub(crate) fn hash_tree<'a>(files: impl Iterator<Item = (&'a Path, ContentHash)>) -> ContentHash {
    let mut hasher = blake3::Hasher::new();
    hasher.update(b"biophony folder 1\n");
    for (path, content) in files {
        let path = path.as_os_str().as_bytes();
        hasher.update(&(path.len() as u64).to_le_bytes());
        hasher.update(path);
        hasher.update(content.as_bytes());
    }
    hasher.finalize().into()
}

/// All files below a folder, as paths relative to it, sorted.
pub(crate) fn list_files(root: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    list_into(root, Path::new(""), 0, &mut files)?;
    files.sort();
    Ok(files)
}

fn list_into(root: &Path, below: &Path, depth: usize, files: &mut Vec<PathBuf>) -> io::Result<()> {
    if depth > MAX_DEPTH {
        return Err(io::Error::other(
            "it is nested too deeply, or links to itself",
        ));
    }
    for entry in fs::read_dir(root.join(below))? {
        let entry = entry?;
        let path = below.join(entry.file_name());
        let mut kind = entry.file_type()?;
        if kind.is_symlink() {
            kind = fs::metadata(entry.path())?.file_type();
        }
        if kind.is_dir() {
            list_into(root, &path, depth + 1, files)?;
        } else {
            files.push(path);
        }
    }
    Ok(())
}

fn now_ns() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |d| i64::try_from(d.as_nanos()).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A store, and a file that was remembered long enough after its last change.
    fn remembered() -> (tempfile::TempDir, Store, PathBuf) {
        let folder = tempfile::tempdir().expect("a folder");
        let store = Store::open(&folder.path().join("home")).expect("opens");
        let path = folder.path().join("clip.wav");
        fs::write(&path, "song").expect("writes");
        let fingerprint = hash_stable(&path).expect("hashes");
        let later = fingerprint.stamp.ctime_ns + 3_000_000_000;
        store
            .remember([(&path, fingerprint)].into_iter(), later)
            .expect("remembers");
        (folder, store, path)
    }

    fn is_remembered(store: &Store, path: &Path) -> bool {
        let error = |_: &Path, source| panic!("{source}");
        let found = store
            .remembered(&[path.to_path_buf()], error)
            .expect("asks");
        found[0].is_some()
    }

    #[test]
    fn an_unchanged_file_is_not_read_again() {
        let (_folder, store, path) = remembered();
        assert!(is_remembered(&store, &path));
    }

    #[test]
    fn a_changed_file_is_read_again_even_with_its_old_size_and_time() {
        let (_folder, store, path) = remembered();
        let before = fs::metadata(&path)
            .expect("is there")
            .modified()
            .expect("has a time");
        fs::write(&path, "gnos").expect("writes");
        let file = File::options().write(true).open(&path).expect("opens");
        file.set_modified(before).expect("sets the time back");
        let stamp = Stamp::of(&path).expect("is there");
        assert_eq!(stamp.n_bytes, 4);
        assert!(!is_remembered(&store, &path));
        let found = store
            .fingerprints(std::slice::from_ref(&path))
            .expect("reads");
        assert_eq!(found[0].content, ContentHash::of(b"gnos"));
    }

    #[test]
    fn a_file_hashed_within_two_seconds_of_its_change_is_not_trusted() {
        let (_folder, store, path) = remembered();
        let fingerprint = hash_stable(&path).expect("hashes");
        let soon = fingerprint.stamp.ctime_ns + 1_000_000_000;
        store
            .remember([(&path, fingerprint)].into_iter(), soon)
            .expect("remembers");
        assert!(!is_remembered(&store, &path));
    }

    #[test]
    fn a_folder_is_its_paths_and_contents() {
        let folder = tempfile::tempdir().expect("a folder");
        let root = folder.path();
        fs::create_dir(root.join("owl")).expect("makes");
        fs::write(root.join("owl/1.wav"), "a").expect("writes");
        fs::write(root.join("0.wav"), "b").expect("writes");
        let files = list_files(root).expect("lists");
        assert_eq!(files, [Path::new("0.wav"), Path::new("owl/1.wav")]);
        let hash = |names: [&str; 2], contents: [&[u8]; 2]| {
            let contents = contents.map(ContentHash::of);
            hash_tree(names.iter().map(Path::new).zip(contents))
        };
        let one = hash(["a", "b"], [b"1", b"2"]);
        assert_eq!(one, hash(["a", "b"], [b"1", b"2"]));
        assert_ne!(one, hash(["a", "b"], [b"2", b"1"]));
        assert_ne!(one, hash(["a", "c"], [b"1", b"2"]));
    }
}
