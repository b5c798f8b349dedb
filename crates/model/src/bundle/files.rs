//! Files and directories: bounded reads, digests, and writes that happen
//! entirely or not at all.
//!
//! What the files mean is [`super`]'s business.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use super::DOCUMENT;
use crate::error::ModelError;

/// What to do when there is something where a bundle is to be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Existing {
    /// Leave it and fail.
    Refuse,
    /// Put the new bundle in its place, if it is a bundle or an empty directory.
    Replace,
}

/// Reads a whole file that may not be larger than `limit`.
pub(crate) fn read(path: &Path, limit: u64) -> Result<Vec<u8>, ModelError> {
    let mut bytes = Vec::new();
    let copied = open(path, limit)?.read_to_end(&mut bytes);
    copied.map_err(|source| ModelError::Read {
        path: path.into(),
        source,
    })?;
    Ok(bytes)
}

/// The BLAKE3 of a file that may not be larger than `limit`.
pub(super) fn digest(path: &Path, limit: u64) -> Result<blake3::Hash, ModelError> {
    let mut hasher = blake3::Hasher::new();
    let hashed = hasher.update_reader(open(path, limit)?);
    hashed.map_err(|source| ModelError::Read {
        path: path.into(),
        source,
    })?;
    Ok(hasher.finalize())
}

/// Compares a file's digest with the one that was noted when it was written.
pub(super) fn check_digest(
    path: &Path,
    found: blake3::Hash,
    expected: &str,
) -> Result<(), ModelError> {
    let found = found.to_hex();
    if found.as_str() == expected {
        return Ok(());
    }
    Err(ModelError::DamagedFile {
        path: path.into(),
        expected: expected.into(),
        found: found.as_str().into(),
    })
}

/// Opens a regular file of bounded size. Should it grow meanwhile, reading
/// stops at the bound all the same.
fn open(path: &Path, limit: u64) -> Result<io::Take<File>, ModelError> {
    let failed = |source| ModelError::Read {
        path: path.into(),
        source,
    };
    let metadata = fs::metadata(path).map_err(failed)?;
    if !metadata.is_file() {
        return Err(failed(io::Error::other("it is not a regular file")));
    }
    if metadata.len() > limit {
        return Err(ModelError::FileTooLarge {
            path: path.into(),
            n_bytes: metadata.len(),
            limit,
        });
    }
    Ok(File::open(path).map_err(failed)?.take(limit))
}

/// Creates `target` with these files, all of them or nothing.
pub(crate) fn write_directory(
    target: &Path,
    files: &[(&str, Vec<u8>)],
    existing: Existing,
) -> Result<(), ModelError> {
    let failed = |path: &Path, source| ModelError::Write {
        path: path.into(),
        source,
    };
    let parent = match target.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    };
    let found = fs::symlink_metadata(target).is_ok();
    if found {
        check_replaceable(target, existing)?;
    }
    fs::create_dir_all(parent).map_err(|source| failed(parent, source))?;
    let scratch = Scratch::beside(target, parent).map_err(|source| failed(target, source))?;
    for (name, bytes) in files {
        let path = scratch.0.join(name);
        write_durably(&path, bytes).map_err(|source| failed(&path, source))?;
    }
    sync_directory(&scratch.0).map_err(|source| failed(&scratch.0, source))?;
    let moved = if found {
        exchange(&scratch.0, target)
    } else {
        place(&scratch.0, target)
    };
    moved.map_err(|source| match source.kind() {
        io::ErrorKind::AlreadyExists => ModelError::BundleExists {
            path: target.into(),
        },
        _ => failed(target, source),
    })?;
    sync_directory(parent).map_err(|source| failed(parent, source))
    // What was exchanged, if anything, now is the scratch directory and goes with it.
}

/// Only bundles and empty directories may be replaced: whoever names the wrong
/// directory should not lose it.
fn check_replaceable(target: &Path, existing: Existing) -> Result<(), ModelError> {
    if existing == Existing::Refuse {
        return Err(ModelError::BundleExists {
            path: target.into(),
        });
    }
    let is_bundle = target.join(DOCUMENT).is_file();
    let is_empty = || fs::read_dir(target).is_ok_and(|mut entries| entries.next().is_none());
    if is_bundle || is_empty() {
        return Ok(());
    }
    Err(ModelError::NotABundle {
        path: target.into(),
    })
}

/// A directory that is removed when it goes out of scope.
struct Scratch(PathBuf);

impl Scratch {
    /// A new, hidden directory on the same file system as `target`.
    fn beside(target: &Path, parent: &Path) -> io::Result<Self> {
        static COUNTER: AtomicU32 = AtomicU32::new(0);
        let name = target.file_name().ok_or(io::ErrorKind::InvalidInput)?;
        let name = name.to_string_lossy();
        loop {
            let number = COUNTER.fetch_add(1, Ordering::Relaxed);
            let path = parent.join(format!(".{name}.new-{}-{number}", std::process::id()));
            match fs::create_dir(&path) {
                Ok(()) => return Ok(Self(path)),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
            }
        }
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // Nothing can be done about a failure here, and a hidden directory that
        // stays behind does no harm.
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn write_durably(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = File::create_new(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

/// Makes a directory's entries survive a power cut.
fn sync_directory(path: &Path) -> io::Result<()> {
    if cfg!(unix) {
        File::open(path)?.sync_all()
    } else {
        Ok(())
    }
}

/// Moves a directory to a place where nothing may be.
fn place(scratch: &Path, target: &Path) -> io::Result<()> {
    #[cfg(any(target_os = "linux", target_os = "macos"))]
    {
        use rustix::fs::{CWD, RenameFlags, renameat_with};
        match renameat_with(CWD, scratch, CWD, target, RenameFlags::NOREPLACE) {
            Err(error) if is_unsupported(error) => {}
            result => return Ok(result?),
        }
    }
    fs::rename(scratch, target)
}

/// Lets two directories change places, in one step where the system can.
fn exchange(scratch: &Path, target: &Path) -> io::Result<()> {
    #[cfg(any(target_os = "linux", target_os = "macos"))]
    {
        use rustix::fs::{CWD, RenameFlags, renameat_with};
        match renameat_with(CWD, scratch, CWD, target, RenameFlags::EXCHANGE) {
            Err(error) if is_unsupported(error) => {}
            result => return Ok(result?),
        }
    }
    let aside = scratch.with_extension("old");
    fs::rename(target, &aside)?;
    if let Err(error) = fs::rename(scratch, target) {
        fs::rename(&aside, target)?;
        return Err(error);
    }
    fs::rename(&aside, scratch)
}

/// Whether a file system has no renaming with flags.
#[cfg(any(target_os = "linux", target_os = "macos"))]
fn is_unsupported(error: rustix::io::Errno) -> bool {
    use rustix::io::Errno;
    [Errno::INVAL, Errno::NOSYS, Errno::NOTSUP].contains(&error)
}
