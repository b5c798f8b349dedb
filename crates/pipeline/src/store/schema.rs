//! The tables, and how an older database becomes one of today.

use rusqlite::{Connection, TransactionBehavior};

/// What brings a database from version `i` to `i + 1`. Never edited once
/// released: a change is a new entry at the end.
const MIGRATIONS: [&str; 2] = [FIRST, COMMIT_OF_EXECUTIONS];

/// The version that [`migrate`] leaves behind.
pub(crate) const NEWEST: i64 = MIGRATIONS.len() as i64;

/// An *execution* is one time that a step's code ran; a *step run* is a step's
/// place in a run, which refers to the execution that made its outputs, be it of
/// this run or, when cached, of an earlier one.
const FIRST: &str = "
CREATE TABLE runs (
    id TEXT PRIMARY KEY, pipeline TEXT NOT NULL, state TEXT NOT NULL,
    graph TEXT NOT NULL, config TEXT NOT NULL, program TEXT NOT NULL,
    git_commit TEXT, host TEXT NOT NULL, pid INTEGER NOT NULL,
    started_ms INTEGER NOT NULL, finished_ms INTEGER, error TEXT);
CREATE INDEX runs_by_pipeline ON runs (pipeline, started_ms);
CREATE TABLE executions (
    id INTEGER PRIMARY KEY, key BLOB NOT NULL, ingredients TEXT NOT NULL,
    step TEXT NOT NULL, program TEXT NOT NULL, run TEXT NOT NULL);
CREATE TABLE cache (key BLOB PRIMARY KEY, execution INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE inputs (
    execution INTEGER NOT NULL, position INTEGER NOT NULL, name TEXT NOT NULL,
    content BLOB NOT NULL, PRIMARY KEY (execution, position)) WITHOUT ROWID;
CREATE INDEX inputs_by_content ON inputs (content);
CREATE TABLE outputs (
    execution INTEGER NOT NULL, position INTEGER NOT NULL, name TEXT NOT NULL,
    content BLOB NOT NULL, type_name TEXT NOT NULL, format TEXT NOT NULL,
    n_bytes INTEGER NOT NULL, metadata TEXT NOT NULL,
    PRIMARY KEY (execution, position)) WITHOUT ROWID;
CREATE INDEX outputs_by_content ON outputs (content);
CREATE TABLE step_runs (
    run TEXT NOT NULL, step TEXT NOT NULL, position INTEGER NOT NULL,
    state TEXT NOT NULL, reason TEXT NOT NULL, execution INTEGER,
    started_ms INTEGER, duration_ms REAL, peak_memory INTEGER,
    n_attempts INTEGER NOT NULL, error TEXT,
    PRIMARY KEY (run, step)) WITHOUT ROWID;
CREATE INDEX step_runs_by_execution ON step_runs (execution);
CREATE TABLE logs (
    id INTEGER PRIMARY KEY, run TEXT NOT NULL, step TEXT NOT NULL,
    at_ms INTEGER NOT NULL, level TEXT NOT NULL, text TEXT NOT NULL);
CREATE INDEX logs_by_step ON logs (run, step);
CREATE TABLE items (
    id INTEGER PRIMARY KEY, key BLOB NOT NULL UNIQUE, input BLOB NOT NULL,
    output BLOB NOT NULL, n_bytes INTEGER NOT NULL);
CREATE INDEX items_by_input ON items (input);
CREATE INDEX items_by_output ON items (output);
CREATE TABLE item_uses (
    execution INTEGER NOT NULL, item INTEGER NOT NULL,
    PRIMARY KEY (execution, item)) WITHOUT ROWID;
CREATE INDEX item_uses_by_item ON item_uses (item);
CREATE TABLE members (
    folder BLOB NOT NULL, path TEXT NOT NULL, content BLOB NOT NULL,
    PRIMARY KEY (folder, path)) WITHOUT ROWID;
CREATE INDEX members_by_content ON members (content);
CREATE TABLE source_paths (
    content BLOB NOT NULL, path TEXT NOT NULL,
    PRIMARY KEY (content, path)) WITHOUT ROWID;
CREATE TABLE pins (
    content BLOB NOT NULL, owner TEXT NOT NULL,
    PRIMARY KEY (content, owner)) WITHOUT ROWID;
CREATE TABLE stats (
    path BLOB PRIMARY KEY, n_bytes INTEGER NOT NULL, mtime_ns INTEGER NOT NULL,
    ctime_ns INTEGER NOT NULL, inode INTEGER NOT NULL, device INTEGER NOT NULL,
    hashed_at_ns INTEGER NOT NULL, content BLOB NOT NULL) WITHOUT ROWID;
";

/// What was made outlives the run that made it, and so does the commit of its code.
const COMMIT_OF_EXECUTIONS: &str = "
ALTER TABLE executions ADD COLUMN git_commit TEXT;
UPDATE executions SET git_commit = (SELECT git_commit FROM runs WHERE runs.id = run);
";

/// Brings the database up to date; returns the version it had if that is newer
/// than this program knows.
pub(crate) fn migrate(db: &mut Connection) -> rusqlite::Result<Result<(), i64>> {
    if version(db)? == NEWEST {
        return Ok(Ok(()));
    }
    // Another process may be doing the same: who gets the lock second finds the
    // work done.
    let transaction = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let found = version(&transaction)?;
    if found > NEWEST {
        return Ok(Err(found));
    }
    for migration in &MIGRATIONS[usize::try_from(found).unwrap_or(0)..] {
        transaction.execute_batch(migration)?;
    }
    transaction.pragma_update(None, "user_version", NEWEST)?;
    transaction.commit()?;
    Ok(Ok(()))
}

fn version(db: &Connection) -> rusqlite::Result<i64> {
    db.pragma_query_value(None, "user_version", |row| row.get(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn executions_of_an_older_database_keep_the_commits_of_their_runs() {
        let mut db = Connection::open_in_memory().expect("opens");
        db.execute_batch(FIRST).expect("makes the tables");
        db.execute_batch(
            "INSERT INTO runs (id, pipeline, state, graph, config, program, git_commit, host, pid,
                               started_ms)
             VALUES ('a', 'p', 'completed', '', '', '', 'c0ffee', 'h', 1, 0);
             INSERT INTO executions (key, ingredients, step, program, run)
             VALUES (x'00', '{}', 's', '', 'a'), (x'01', '{}', 's', '', 'removed');
             PRAGMA user_version = 1;",
        )
        .expect("fills them");
        assert_eq!(migrate(&mut db), Ok(Ok(())));
        let commits: Vec<Option<String>> = db
            .prepare("SELECT git_commit FROM executions ORDER BY id")
            .expect("prepares")
            .query_map([], |row| row.get(0))
            .expect("asks")
            .collect::<rusqlite::Result<_>>()
            .expect("reads");
        assert_eq!(commits, [Some("c0ffee".to_owned()), None]);
        assert_eq!(version(&db), Ok(NEWEST));
    }
}
