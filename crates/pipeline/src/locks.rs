//! Locks between processes: files that the system unlocks when their process
//! ends, however it ends.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use crate::error::{PipelineError, Result};
use crate::hash::ContentHash;
use crate::run::RunId;

/// How long somebody may hold a run's lock who only asks whether it is going on.
const PATIENCE: Duration = Duration::from_millis(500);

/// The folder of lock files.
pub(crate) struct Locks {
    folder: PathBuf,
}

/// Held until dropped.
pub(crate) struct Lock {
    file: File,
    path: PathBuf,
    /// Whether the file is to be removed: it is ours, and made for this one use.
    removes_file: bool,
}

impl Locks {
    pub(crate) fn new(folder: PathBuf) -> Self {
        Self { folder }
    }

    /// Waits until no other thread or process carries out this key's step.
    pub(crate) fn key(&self, key: ContentHash) -> Result<Lock> {
        let path = self.folder.join(format!("key-{key}"));
        loop {
            let mut lock = Lock::open(&path)?;
            lock.file
                .lock()
                .map_err(|source| lock_error(&path, source))?;
            if lock.is_current() {
                lock.removes_file = true;
                return Ok(lock);
            }
        }
    }

    /// Marks the run as going on; `None` if it already is.
    pub(crate) fn run(&self, run: &RunId) -> Result<Option<Lock>> {
        let path = self.run_path(run);
        let begun = Instant::now();
        loop {
            let mut lock = Lock::open(&path)?;
            match lock.file.try_lock() {
                Ok(()) if lock.is_current() => {
                    lock.removes_file = true;
                    return Ok(Some(lock));
                }
                Ok(()) => {}
                // It may only be somebody who asks, for an instant.
                Err(TryLockError::WouldBlock) if begun.elapsed() < PATIENCE => {
                    thread::sleep(Duration::from_millis(2));
                }
                Err(TryLockError::WouldBlock) => return Ok(None),
                Err(TryLockError::Error(source)) => return Err(lock_error(&path, source)),
            }
        }
    }

    /// Whether the run is going on, in this or another process.
    pub(crate) fn is_going_on(&self, run: &RunId) -> Result<bool> {
        let path = self.run_path(run);
        let file = match File::open(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(false),
            opened => opened.map_err(|source| lock_error(&path, source))?,
        };
        match file.try_lock_shared() {
            Ok(()) => Ok(false),
            Err(TryLockError::WouldBlock) => Ok(true),
            Err(TryLockError::Error(source)) => Err(lock_error(&path, source)),
        }
    }

    fn run_path(&self, run: &RunId) -> PathBuf {
        self.folder.join(format!("run-{run}"))
    }

    /// Keeps the garbage collector out, together with others who do.
    pub(crate) fn keep(&self) -> Result<Lock> {
        let lock = Lock::open(&self.folder.join("collector"))?;
        let locked = lock.file.lock_shared();
        locked.map_err(|source| lock_error(&lock.path, source))?;
        Ok(lock)
    }

    /// Keeps everybody out who adds to the store or takes from it.
    pub(crate) fn collect(&self) -> Result<Lock> {
        self.alone("collector")
    }

    /// Keeps others from opening the database: SQLite does not wait for another
    /// process that switches a new database to a write-ahead log, but gives up.
    pub(crate) fn opening(&self) -> Result<Lock> {
        self.alone("opening")
    }

    fn alone(&self, name: &str) -> Result<Lock> {
        let lock = Lock::open(&self.folder.join(name))?;
        let locked = lock.file.lock();
        locked.map_err(|source| lock_error(&lock.path, source))?;
        Ok(lock)
    }
}

impl Lock {
    fn open(path: &Path) -> Result<Self> {
        let mut options = OpenOptions::new();
        let opened = options.create(true).truncate(false).write(true).open(path);
        Ok(Self {
            file: opened.map_err(|source| lock_error(path, source))?,
            path: path.to_path_buf(),
            removes_file: false,
        })
    }

    /// False if the holder before us removed the file: then a third may have made
    /// and locked a new one, and ours guards nothing.
    fn is_current(&self) -> bool {
        use std::os::unix::fs::MetadataExt;
        let [ours, theirs] = [self.file.metadata(), fs::metadata(&self.path)];
        match (ours, theirs) {
            (Ok(ours), Ok(theirs)) => (ours.dev(), ours.ino()) == (theirs.dev(), theirs.ino()),
            _ => false,
        }
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        if self.removes_file {
            // Still locked, so that nobody can hold a lock on what is removed. Left
            // behind, the file would only take up a name.
            let _ = fs::remove_file(&self.path);
        }
    }
}

fn lock_error(path: &Path, source: std::io::Error) -> PipelineError {
    PipelineError::Io {
        action: "lock",
        path: path.to_path_buf(),
        source,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_is_carried_out_once_at_a_time() {
        let folder = tempfile::tempdir().expect("a folder");
        let locks = Locks::new(folder.path().to_path_buf());
        let run = RunId::fresh(0);
        let first = locks.run(&run).expect("locks");
        assert!(first.is_some());
        assert!(locks.run(&run).expect("asks").is_none());
        assert!(locks.is_going_on(&run).expect("asks"));
        drop(first);
        assert!(!locks.is_going_on(&run).expect("asks"));
        assert!(locks.run(&run).expect("locks").is_some());
        let left = fs::read_dir(folder.path()).expect("lists").count();
        assert_eq!(left, 0, "no lock file is left");
    }
}
