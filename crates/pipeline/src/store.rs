//! Where runs and artifacts are kept: a folder with a database and content.
//!
//! ```text
//! pipeline.db   runs, cache, lineage, logs (SQLite, write-ahead log)
//! artifacts/    content-addressed files and folders
//! staging/      what running steps are writing
//! locks/        one file per thing that only one process may do at a time
//! ```
//!
//! # What survives a crash
//!
//! The database is in WAL mode with `synchronous=NORMAL`: a killed process loses
//! nothing that was committed, and a power failure may lose the last
//! transactions, but never leaves half of one. An artifact is written and
//! fsynced before the row that names it is committed, so no row that survives
//! names bytes that did not; only what was made in less time than syncing takes
//! is not waited for. Should it be lost with the power, or a file system break its
//! promise, the artifact's hash tells, and its step runs again.

mod cache;
mod explain;
mod gc;
mod items;
mod lineage;
mod logs;
mod recognize;
mod records;
mod schema;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, TransactionBehavior};

use crate::error::{PipelineError, Result};
use crate::locks::Locks;
use crate::objects::Objects;

pub(crate) use cache::{Execution, Hit, Until};
pub use explain::{Comparison, Difference, Explanation, FileChanges};
pub use gc::{Collected, Pin};
pub(crate) use items::ItemRow;
pub use lineage::{Lineage, LineageStep, SourceOrigin};
pub(crate) use records::StepEnd;

/// How long to wait for another process's transaction.
const BUSY_TIMEOUT: Duration = Duration::from_secs(30);

/// A place for runs and artifacts, shared by any number of processes.
///
/// Cheap to clone; clones share one database connection.
#[derive(Clone)]
pub struct Store {
    inner: Arc<Inner>,
}

struct Inner {
    db_path: PathBuf,
    db: Mutex<Connection>,
    objects: Objects,
    locks: Locks,
    staging: PathBuf,
}

impl Store {
    /// Opens the store in this folder, and makes it if there is none.
    ///
    /// # Errors
    ///
    /// When the folder cannot be written to, or the database is damaged or of a
    /// newer program.
    pub fn open(home: &Path) -> Result<Self> {
        let home = std::path::absolute(home).unwrap_or_else(|_| home.to_path_buf());
        let [artifacts, staging, locks] = ["artifacts", "staging", "locks"].map(|n| home.join(n));
        for folder in [&artifacts, &staging, &locks] {
            fs::create_dir_all(folder).map_err(|source| PipelineError::Io {
                action: "make the folder",
                path: folder.clone(),
                source,
            })?;
        }
        let db_path = home.join("pipeline.db");
        let locks = Locks::new(locks);
        let opening = locks.opening()?;
        let db = open_database(&db_path)?;
        drop(opening);
        Ok(Self {
            inner: Arc::new(Inner {
                db_path,
                db: Mutex::new(db),
                objects: Objects::new(artifacts),
                locks,
                staging,
            }),
        })
    }

    pub(crate) fn objects(&self) -> &Objects {
        &self.inner.objects
    }

    pub(crate) fn locks(&self) -> &Locks {
        &self.inner.locks
    }

    pub(crate) fn staging(&self) -> &Path {
        &self.inner.staging
    }

    /// Reads from the database.
    pub(crate) fn read<T>(&self, f: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> Result<T> {
        f(&self.connection()).map_err(|source| self.database_error(source))
    }

    /// Writes to the database: all of `f` or nothing.
    pub(crate) fn write<T>(&self, f: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> Result<T> {
        let mut db = self.connection();
        let write = |db: &mut Connection| {
            let transaction = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let value = f(&transaction)?;
            transaction.commit()?;
            Ok(value)
        };
        write(&mut db).map_err(|source| self.database_error(source))
    }

    /// A thread that panicked left its transaction rolled back, so the connection
    /// is as good as before.
    fn connection(&self) -> MutexGuard<'_, Connection> {
        self.inner.db.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn database_error(&self, source: rusqlite::Error) -> PipelineError {
        PipelineError::Database {
            path: self.inner.db_path.clone(),
            source,
        }
    }
}

fn open_database(path: &Path) -> Result<Connection> {
    let open = || {
        let mut db = Connection::open(path)?;
        db.busy_timeout(BUSY_TIMEOUT)?;
        db.pragma_update(None, "journal_mode", "WAL")?;
        db.pragma_update(None, "synchronous", "NORMAL")?;
        // The last process to close the database would otherwise move the log
        // into it and fsync both, which takes longer than a cached run.
        db.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
        db.set_prepared_statement_cache_capacity(64);
        let migrated = schema::migrate(&mut db)?;
        Ok((db, migrated))
    };
    let (db, migrated) = open().map_err(|source| PipelineError::Database {
        path: path.to_path_buf(),
        source,
    })?;
    match migrated {
        Ok(()) => Ok(db),
        Err(found) => Err(PipelineError::NewerSchema {
            path: path.to_path_buf(),
            found,
            known: schema::NEWEST,
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_no_database_is_an_error() {
        let home = tempfile::tempdir().expect("a folder");
        fs::write(home.path().join("pipeline.db"), [7; 4096]).expect("writes");
        let error = Store::open(home.path()).err().expect("is refused");
        assert!(matches!(error, PipelineError::Database { .. }), "{error}");
    }

    #[test]
    fn a_database_of_a_newer_program_is_left_alone() {
        let home = tempfile::tempdir().expect("a folder");
        let store = Store::open(home.path()).expect("opens");
        store
            .write(|db| db.pragma_update(None, "user_version", 99))
            .expect("writes");
        let error = Store::open(home.path()).err().expect("is refused");
        assert!(matches!(
            error,
            PipelineError::NewerSchema { found: 99, .. }
        ));
    }
}
