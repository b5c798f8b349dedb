//! The tables, and how an older file becomes a newer one.
//!
//! `PRAGMA user_version` counts the migrations that a file has seen. A migration
//! that was released is never changed; a change is a new one at the end.

use rusqlite::{Connection, TransactionBehavior};

use super::points::{Place, Point, PointWriter};
use crate::error::{Result, TrackingError};
use crate::requests::now;

const MIGRATIONS: [Migration; 4] = [
    Migration::Sql(FIRST),
    Migration::Sql(IDENTITY),
    Migration::Sql(BLOCKS),
    Migration::Code(pack_points),
];

/// One step from a schema to the next.
enum Migration {
    Sql(&'static str),
    Code(fn(&Connection) -> Result<()>),
}

/// Brings a database up to date, in one transaction.
pub(super) fn migrate(connection: &mut Connection) -> Result<()> {
    let known = MIGRATIONS.len() as u32;
    if version(connection)? == known {
        return Ok(());
    }
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    // Another process may have been faster.
    let found = version(&transaction)?;
    if found > known {
        return Err(TrackingError::NewerSchema { found, known });
    }
    for migration in &MIGRATIONS[found as usize..] {
        match migration {
            Migration::Sql(sql) => transaction.execute_batch(sql)?,
            Migration::Code(run) => run(&transaction)?,
        }
    }
    if found == 0 {
        let now = now();
        transaction.execute(
            "INSERT INTO experiments
                 (id, name, artifact_location, lifecycle, creation_time, last_update_time)
             VALUES (0, 'Default', 'mlflow-artifacts:/0', 'active', ?1, ?1)",
            [now],
        )?;
    }
    transaction.pragma_update(None, "user_version", known)?;
    transaction.commit()?;
    Ok(())
}

fn version(connection: &Connection) -> rusqlite::Result<u32> {
    connection.pragma_query_value(None, "user_version", |row| row.get(0))
}

// Runs have a number of their own inside the database: it is shorter than their
// identifier, and millions of metrics repeat it. For the same reason the keys of
// metrics are kept once and metrics refer to them by number. Tables without rowid
// keep the points of one metric of one run side by side.
const FIRST: &str = "
CREATE TABLE experiments (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    artifact_location TEXT NOT NULL,
    lifecycle TEXT NOT NULL,
    creation_time INTEGER NOT NULL,
    last_update_time INTEGER NOT NULL
) STRICT;
CREATE TABLE experiment_tags (
    experiment INTEGER NOT NULL REFERENCES experiments (id),
    key TEXT NOT NULL,
    value TEXT NOT NULL,
    PRIMARY KEY (experiment, key)
) STRICT, WITHOUT ROWID;

CREATE TABLE runs (
    id INTEGER PRIMARY KEY,
    run_id TEXT NOT NULL UNIQUE,
    experiment INTEGER NOT NULL REFERENCES experiments (id),
    name TEXT NOT NULL,
    user_id TEXT NOT NULL,
    status TEXT NOT NULL,
    start_time INTEGER NOT NULL,
    end_time INTEGER,
    lifecycle TEXT NOT NULL,
    deleted_time INTEGER,
    artifact_uri TEXT NOT NULL
) STRICT;
-- The order in which runs are searched unless somebody asks for another.
CREATE INDEX runs_in_order ON runs (experiment, lifecycle, start_time DESC, run_id);

CREATE TABLE metric_keys (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE
) STRICT;
CREATE TABLE metrics (
    run INTEGER NOT NULL,
    key INTEGER NOT NULL,
    step INTEGER NOT NULL,
    timestamp INTEGER NOT NULL,
    value REAL NOT NULL,
    is_nan INTEGER NOT NULL,
    PRIMARY KEY (run, key, step, timestamp, value, is_nan)
) STRICT, WITHOUT ROWID;
CREATE TABLE latest_metrics (
    run INTEGER NOT NULL,
    key INTEGER NOT NULL,
    step INTEGER NOT NULL,
    timestamp INTEGER NOT NULL,
    value REAL NOT NULL,
    is_nan INTEGER NOT NULL,
    PRIMARY KEY (run, key)
) STRICT, WITHOUT ROWID;
CREATE TABLE params (
    run INTEGER NOT NULL,
    key TEXT NOT NULL,
    value TEXT NOT NULL,
    PRIMARY KEY (run, key)
) STRICT, WITHOUT ROWID;
CREATE TABLE tags (
    run INTEGER NOT NULL,
    key TEXT NOT NULL,
    value TEXT NOT NULL,
    PRIMARY KEY (run, key)
) STRICT, WITHOUT ROWID;

CREATE TABLE datasets (
    id INTEGER PRIMARY KEY,
    experiment INTEGER NOT NULL REFERENCES experiments (id),
    name TEXT NOT NULL,
    digest TEXT NOT NULL,
    source_type TEXT NOT NULL,
    source TEXT NOT NULL,
    schema TEXT,
    profile TEXT,
    UNIQUE (experiment, name, digest)
) STRICT;
CREATE TABLE run_datasets (
    run INTEGER NOT NULL,
    dataset INTEGER NOT NULL REFERENCES datasets (id),
    PRIMARY KEY (run, dataset)
) STRICT, WITHOUT ROWID;
CREATE TABLE run_dataset_tags (
    run INTEGER NOT NULL,
    dataset INTEGER NOT NULL,
    key TEXT NOT NULL,
    value TEXT NOT NULL,
    PRIMARY KEY (run, dataset, key)
) STRICT, WITHOUT ROWID;
CREATE TABLE run_models (
    run INTEGER NOT NULL,
    is_output INTEGER NOT NULL,
    model_id TEXT NOT NULL,
    step INTEGER NOT NULL,
    PRIMARY KEY (run, is_output, model_id)
) STRICT, WITHOUT ROWID;

CREATE TABLE logged_models (
    model_id TEXT PRIMARY KEY,
    experiment INTEGER NOT NULL REFERENCES experiments (id),
    name TEXT NOT NULL,
    creation_time INTEGER NOT NULL,
    last_update_time INTEGER NOT NULL,
    artifact_location TEXT NOT NULL,
    status INTEGER NOT NULL,
    model_type TEXT,
    source_run_id TEXT,
    lifecycle TEXT NOT NULL
) STRICT;
CREATE INDEX logged_models_in_order ON logged_models (experiment, lifecycle, creation_time DESC);
CREATE INDEX logged_models_of_run ON logged_models (source_run_id);
CREATE TABLE logged_model_tags (
    model_id TEXT NOT NULL REFERENCES logged_models (model_id),
    key TEXT NOT NULL,
    value TEXT NOT NULL,
    PRIMARY KEY (model_id, key)
) STRICT, WITHOUT ROWID;
CREATE TABLE logged_model_params (
    model_id TEXT NOT NULL REFERENCES logged_models (model_id),
    key TEXT NOT NULL,
    value TEXT NOT NULL,
    PRIMARY KEY (model_id, key)
) STRICT, WITHOUT ROWID;
CREATE TABLE logged_model_metrics (
    model_id TEXT NOT NULL REFERENCES logged_models (model_id),
    key TEXT NOT NULL,
    timestamp INTEGER NOT NULL,
    step INTEGER NOT NULL,
    run_id TEXT NOT NULL,
    value REAL NOT NULL,
    is_nan INTEGER NOT NULL,
    dataset_name TEXT NOT NULL,
    dataset_digest TEXT NOT NULL,
    PRIMARY KEY (model_id, key, timestamp, step, run_id)
) STRICT, WITHOUT ROWID;

CREATE TABLE registered_models (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    creation_time INTEGER NOT NULL,
    last_update_time INTEGER NOT NULL,
    description TEXT
) STRICT;
CREATE TABLE registered_model_tags (
    model INTEGER NOT NULL REFERENCES registered_models (id) ON DELETE CASCADE,
    key TEXT NOT NULL,
    value TEXT NOT NULL,
    PRIMARY KEY (model, key)
) STRICT, WITHOUT ROWID;
-- A deleted version keeps its row, so that its number is not given again.
CREATE TABLE model_versions (
    model INTEGER NOT NULL REFERENCES registered_models (id) ON DELETE CASCADE,
    version INTEGER NOT NULL,
    creation_time INTEGER NOT NULL,
    last_update_time INTEGER NOT NULL,
    description TEXT,
    stage TEXT NOT NULL,
    source TEXT NOT NULL,
    storage_location TEXT NOT NULL,
    run_id TEXT,
    run_link TEXT,
    model_id TEXT,
    is_deleted INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (model, version)
) STRICT, WITHOUT ROWID;
CREATE INDEX model_versions_of_run ON model_versions (run_id);
CREATE TABLE model_version_tags (
    model INTEGER NOT NULL REFERENCES registered_models (id) ON DELETE CASCADE,
    version INTEGER NOT NULL,
    key TEXT NOT NULL,
    value TEXT NOT NULL,
    PRIMARY KEY (model, version, key)
) STRICT, WITHOUT ROWID;
CREATE TABLE model_aliases (
    model INTEGER NOT NULL REFERENCES registered_models (id) ON DELETE CASCADE,
    alias TEXT NOT NULL,
    version INTEGER NOT NULL,
    PRIMARY KEY (model, alias)
) STRICT, WITHOUT ROWID;
CREATE TABLE alias_moves (
    id INTEGER PRIMARY KEY,
    model INTEGER NOT NULL REFERENCES registered_models (id) ON DELETE CASCADE,
    timestamp INTEGER NOT NULL,
    action TEXT NOT NULL,
    from_version INTEGER,
    to_version INTEGER NOT NULL
) STRICT;
";

// What tells this store from all others, whatever its file or address is called.
const IDENTITY: &str = "
CREATE TABLE identity (id TEXT NOT NULL) STRICT;
INSERT INTO identity SELECT lower(hex(randomblob(16)));
";

// A training logs many metrics at once, step after step. With the points of each metric
// side by side all the way, such a batch would touch a page for every metric; a block
// holds the points of all metrics over some steps, so that it touches few. Within a block
// the points of a metric are side by side, and its history is read block by block.
// The shift is by `BLOCK_BITS` of `points.rs`.
const BLOCKS: &str = "
CREATE TABLE metrics_in_blocks (
    run INTEGER NOT NULL,
    block INTEGER NOT NULL,
    key INTEGER NOT NULL,
    step INTEGER NOT NULL,
    timestamp INTEGER NOT NULL,
    value REAL NOT NULL,
    is_nan INTEGER NOT NULL,
    PRIMARY KEY (run, block, key, step, timestamp, value, is_nan)
) STRICT, WITHOUT ROWID;
INSERT INTO metrics_in_blocks
    SELECT run, step >> 5, key, step, timestamp, value, is_nan FROM metrics ORDER BY 1, 2, 3, 4;
DROP TABLE metrics;
ALTER TABLE metrics_in_blocks RENAME TO metrics;
";

// A row for each point takes a microsecond to write and repeats where it belongs; most of
// a batch's points come with others of their metric and block.
const PACKED: &str = "
ALTER TABLE metrics RENAME TO single_points;
CREATE TABLE metrics (
    run INTEGER NOT NULL,
    block INTEGER NOT NULL,
    key INTEGER NOT NULL,
    points BLOB NOT NULL,
    PRIMARY KEY (run, block, key, points)
) STRICT, WITHOUT ROWID;
";

fn pack_points(db: &Connection) -> Result<()> {
    db.execute_batch(PACKED)?;
    let mut writer = PointWriter::new(db)?;
    let mut points = db.prepare(
        "SELECT run, block, key, step, timestamp, value, is_nan FROM single_points
         ORDER BY run, block, key, step, timestamp, value, is_nan",
    )?;
    let mut rows = points.query([])?;
    while let Some(row) = rows.next()? {
        writer.add(Place::read(row)?, Point::read(row, 3)?)?;
    }
    writer.finish()?;
    drop(rows);
    drop(points);
    db.execute_batch("DROP TABLE single_points")?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::points::points_at;
    use super::*;

    #[test]
    fn a_file_of_a_newer_program_is_refused() {
        let mut connection = Connection::open_in_memory().expect("memory");
        connection
            .pragma_update(None, "user_version", 99)
            .expect("sets the version");
        let refused = migrate(&mut connection);
        assert!(matches!(
            refused,
            Err(TrackingError::NewerSchema { found: 99, .. })
        ));
    }

    #[test]
    fn migrating_twice_changes_nothing() {
        let mut connection = Connection::open_in_memory().expect("memory");
        migrate(&mut connection).expect("migrates");
        migrate(&mut connection).expect("migrates again");
        let experiments: i64 = connection
            .query_row("SELECT count(*) FROM experiments", [], |row| row.get(0))
            .expect("counts");
        assert_eq!(experiments, 1);
    }

    /// A database as a program left it that knew the first `version` migrations.
    fn of_version(version: usize) -> Connection {
        let connection = Connection::open_in_memory().expect("memory");
        for sql in &[FIRST, IDENTITY, BLOCKS][..version] {
            connection.execute_batch(sql).expect("creates");
        }
        connection
            .pragma_update(None, "user_version", version as u32)
            .expect("sets the version");
        connection
    }

    #[test]
    fn no_point_of_an_older_file_is_lost() {
        let mut points = Vec::new();
        for step in [-33, -32, -1, 0, 31, 32, i64::MAX, i64::MIN] {
            for timestamp in [3, -3, i64::MAX, i64::MIN] {
                for value in [0.5, f64::NAN, f64::MAX, f64::MIN, 0.0] {
                    points.push(Point::new(step, timestamp, value));
                }
            }
        }
        // Many in one step, more than a row takes.
        points.extend((0..500).map(|i| Point::new(7, 5, f64::from(i) / 7.0)));
        points.sort_by(Point::by_step);
        for version in 1..=3 {
            let mut connection = of_version(version);
            let block = if version == 3 { "step >> 5, " } else { "" };
            let sql = format!(
                "INSERT INTO metrics SELECT run, {block}key, step, timestamp, value, is_nan
                 FROM (SELECT ?1 AS run, ?2 AS key, ?3 AS step, ?4 AS timestamp, ?5 AS value,
                              ?6 AS is_nan)"
            );
            for (run, key) in [(1, 2), (1, 3), (2, 2)] {
                for p in &points {
                    connection
                        .execute(&sql, (run, key, p.step, p.timestamp, p.value, p.is_nan))
                        .expect("adds");
                }
            }
            migrate(&mut connection).expect("migrates");
            for (run, key) in [(1, 2), (1, 3), (2, 2)] {
                let mut found = Vec::new();
                let mut blocks: Vec<i64> = points.iter().map(Point::block).collect();
                blocks.dedup();
                for block in blocks {
                    found.extend(points_at(&connection, Place { run, block, key }).expect("reads"));
                }
                assert_eq!(found, points, "version {version}, run {run}, key {key}");
            }
            let (n_rows, longest): (i64, i64) = connection
                .query_row(
                    "SELECT count(*), max(length(points)) FROM metrics",
                    [],
                    |row| Ok((row.get(0)?, row.get(1)?)),
                )
                .expect("counts");
            // 7 blocks of few points, and 540 points more in block 0.
            assert!(
                n_rows < 3 * 20 && longest < 2000,
                "{n_rows} rows, {longest}"
            );
        }
    }

    #[test]
    fn a_file_of_the_first_schema_is_given_an_identity_and_keeps_it() {
        let mut connection = of_version(1);
        let identity = |connection: &Connection| -> String {
            connection
                .query_row("SELECT id FROM identity", [], |row| row.get(0))
                .expect("there is one")
        };
        migrate(&mut connection).expect("migrates");
        let first = identity(&connection);
        assert_eq!(first.len(), 32);
        migrate(&mut connection).expect("migrates again");
        assert_eq!(identity(&connection), first);
    }
}
