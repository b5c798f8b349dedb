//! The embedded store: one SQLite file, or a database in memory.
//!
//! One connection writes, a few read at the same time; write-ahead logging lets
//! readers and the writer go on beside each other, in this process and in others.
//!
//! # Durability
//!
//! A write is acknowledged after its transaction is in the write-ahead log, with
//! `synchronous = NORMAL`: it survives the death of the process, `kill -9`
//! included, and the file stays whole even when the machine loses power, although
//! the last moments before that may then be lost. Waiting for the disk at each
//! write would make single metrics a hundred times slower.
//!
//! # Where things are
//!
//! The tables are in `schema.rs`, how a metric's points lie in theirs in `points.rs`;
//! each other file here has the methods of one kind of entity.

mod experiments;
mod export;
mod import;
mod logged_models;
mod logging;
mod metric_history;
mod model_versions;
mod points;
mod promotion;
mod registered_models;
mod run_data;
mod runs;
mod schema;
mod search_runs;
mod sql_filter;
mod store_impl;
mod version_source;

pub use import::Imported;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OpenFlags, Transaction, TransactionBehavior};

use crate::error::{Result, TrackingError};

/// How long a write waits for another process's write to end.
const BUSY_TIMEOUT: Duration = Duration::from_secs(20);

/// Readers that are kept open between reads.
const MAX_IDLE_READERS: usize = 4;

/// Compiled statements that a connection keeps.
const CACHED_STATEMENTS: usize = 128;

/// A tracking store in one SQLite database.
///
/// ```
/// use biophony_tracking::{
///     CreateRun, ExperimentId, Metric, RunStatus, SqliteStore, TrackingStore,
/// };
/// let store = SqliteStore::in_memory()?;
/// let run = store.create_run(CreateRun::new(ExperimentId::default_experiment()))?;
/// let id = &run.info.run_id;
/// store.log_metric(id, Metric::new("loss", 0.25, 1_700_000_000_000, 0))?;
/// store.finish_run(id, RunStatus::Finished, 1_700_000_060_000)?;
/// assert_eq!(store.get_run(id)?.data.metrics[0].value, 0.25);
/// # Ok::<(), biophony_tracking::TrackingError>(())
/// ```
#[derive(Debug)]
pub struct SqliteStore {
    writer: Mutex<Writer>,
    readers: Mutex<Vec<Connection>>,
    /// `None` for a database in memory, which only its own connection can see.
    path: Option<PathBuf>,
}

/// The connection that writes, and what it has learnt.
#[derive(Debug)]
struct Writer {
    connection: Connection,
    /// The numbers of metric keys, of committed ones only.
    metric_keys: HashMap<String, i64>,
}

impl SqliteStore {
    /// Opens the database at `path`, creating it or bringing it up to date first.
    ///
    /// # Errors
    ///
    /// When the file cannot be opened, is no SQLite database, or was written by a
    /// newer program.
    pub fn open(path: impl Into<PathBuf>) -> Result<Self> {
        let path = path.into();
        let mut connection = Self::connect(&path)?;
        schema::migrate(&mut connection)?;
        Ok(Self::with_writer(connection, Some(path)))
    }

    /// A store that lives as long as this value.
    ///
    /// # Errors
    ///
    /// When there is no memory left for it.
    pub fn in_memory() -> Result<Self> {
        let mut connection = Connection::open_in_memory()?;
        prepare(&connection)?;
        schema::migrate(&mut connection)?;
        Ok(Self::with_writer(connection, None))
    }

    /// Checks the whole database and returns what is wrong with it: nothing, if
    /// all is well.
    ///
    /// # Errors
    ///
    /// When the check itself fails.
    pub fn check_integrity(&self) -> Result<Vec<String>> {
        self.read(|connection| {
            let mut statement = connection.prepare("PRAGMA integrity_check")?;
            let lines = statement.query_map([], |row| row.get::<_, String>(0))?;
            let lines: Vec<String> = lines.collect::<rusqlite::Result<_>>()?;
            Ok(lines.into_iter().filter(|line| line != "ok").collect())
        })
    }

    fn with_writer(connection: Connection, path: Option<PathBuf>) -> Self {
        Self {
            writer: Mutex::new(Writer {
                connection,
                metric_keys: HashMap::new(),
            }),
            readers: Mutex::new(Vec::new()),
            path,
        }
    }

    fn connect(path: &Path) -> Result<Connection> {
        let open = || {
            let connection = Connection::open_with_flags(
                path,
                OpenFlags::SQLITE_OPEN_READ_WRITE
                    | OpenFlags::SQLITE_OPEN_CREATE
                    | OpenFlags::SQLITE_OPEN_NO_MUTEX,
            )?;
            prepare_patiently(&connection)?;
            Ok(connection)
        };
        open().map_err(|source| TrackingError::Open {
            path: path.to_owned(),
            source,
        })
    }

    /// Runs `work` in a transaction that is kept only if `work` succeeds.
    fn write<T>(&self, work: impl FnOnce(&Transaction<'_>) -> Result<T>) -> Result<T> {
        let mut writer = lock(&self.writer);
        let transaction = writer
            .connection
            .transaction_with_behavior(TransactionBehavior::Immediate)?;
        let done = work(&transaction)?;
        transaction.commit()?;
        Ok(done)
    }

    /// Runs `work` on a consistent view of the database.
    fn read<T>(&self, work: impl FnOnce(&Connection) -> Result<T>) -> Result<T> {
        let Some(path) = &self.path else {
            return work(&lock(&self.writer).connection);
        };
        let idle = lock(&self.readers).pop();
        let reader = match idle {
            Some(reader) => reader,
            None => Self::connect(path)?,
        };
        let done = {
            // Several statements must see one state.
            let transaction = reader.unchecked_transaction()?;
            work(&transaction)
        };
        let mut readers = lock(&self.readers);
        if readers.len() < MAX_IDLE_READERS {
            readers.push(reader);
        }
        done
    }
}

/// A panic inside a transaction rolls it back, so the state behind a poisoned lock
/// is whole.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Sets up a connection to a file that others may be making at this moment.
///
/// SQLite turns a connection away at once, whatever its timeout, when it wants to
/// switch a new file to write-ahead logging while another one does.
fn prepare_patiently(connection: &Connection) -> rusqlite::Result<()> {
    let began = Instant::now();
    loop {
        match prepare(connection) {
            Err(error)
                if error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy)
                    && began.elapsed() < BUSY_TIMEOUT =>
            {
                std::thread::sleep(Duration::from_millis(2));
            }
            outcome => return outcome,
        }
    }
}

/// Sets up a fresh connection.
fn prepare(connection: &Connection) -> rusqlite::Result<()> {
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.set_prepared_statement_cache_capacity(CACHED_STATEMENTS);
    // Otherwise SQLite compiles a statement anew for each value bound to it, in case
    // the value would change the plan: ours hold for all values, and compiling takes
    // longer than most of them run.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    // Pages twice as large as usual halve the writes that a batch takes; a file keeps the
    // size that it was made with. MLflow's LIKE minds the case; its ILIKE does not.
    connection.execute_batch(
        "PRAGMA page_size = 8192;
         PRAGMA journal_mode = WAL;
         PRAGMA synchronous = NORMAL;
         PRAGMA foreign_keys = ON;
         PRAGMA case_sensitive_like = ON;
         PRAGMA temp_store = MEMORY;",
    )
}
