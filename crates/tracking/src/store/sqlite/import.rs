//! Reading a database of MLflow's: what is in it joins what is here.
//!
//! Both the schema that [`super::export`] writes and that of MLflow 3.17 are known;
//! of others, the columns that are needed decide.
//!
//! Importing again adds only what is new: runs and logged models keep their
//! identifiers, experiments and registered models their names, and a version is told
//! by when, from where and by which run it was registered. What is here already is
//! not changed, with two exceptions: a run that was under way takes the end that it
//! has there, and what lay in a folder that is taken in as well is found here.
//!
//! What is read in which order lives here; how, in the files of `import/`.

mod places;
mod registry;
mod runs;

use std::path::Path;

use rusqlite::{Connection, OptionalExtension, params};

use super::{SqliteStore, lock};
use crate::error::{Result, TrackingError};

/// How much an import has added, by what it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize)]
pub struct Imported {
    /// Experiments.
    pub experiments: usize,
    /// Runs.
    pub runs: usize,
    /// Points of metrics.
    pub metrics: usize,
    /// Parameters of runs.
    pub params: usize,
    /// Tags of runs.
    pub tags: usize,
    /// Data sets.
    pub datasets: usize,
    /// Logged models.
    pub logged_models: usize,
    /// Registered models.
    pub registered_models: usize,
    /// Versions of registered models.
    pub versions: usize,
    /// Aliases of versions.
    pub aliases: usize,
    /// Experiments of other workspaces than the default one, which are left out.
    pub left_out: usize,
    /// Runs in that database whose files lie where nothing is read here: in a folder
    /// that was not taken in, or with a service.
    pub files_elsewhere: usize,
}

impl SqliteStore {
    /// Adds what is in a database that MLflow or [`SqliteStore::export_mlflow`]
    /// wrote. All of it is added, or none.
    ///
    /// `artifacts` is the folder that its files lie in, if they are copied as well, each
    /// to the same path below the root of artifacts here: URIs that lead into that folder
    /// lead there then.
    ///
    /// # Errors
    ///
    /// When the file is not there, is no such database, or cannot be read.
    pub fn import_mlflow(&self, file: &Path, artifacts: Option<&Path>) -> Result<Imported> {
        if !file.is_file() {
            return Err(TrackingError::invalid(format!(
                "there is no file `{}`",
                file.display()
            )));
        }
        let writer = lock(&self.writer);
        let db = &writer.connection;
        db.execute("ATTACH DATABASE ?1 AS mlflow", [file.to_string_lossy()])
            .map_err(|error| unreadable(error, file))?;
        let imported = check(db, file).and_then(|source| source.import(db, artifacts));
        let detached = db.execute_batch("DETACH DATABASE mlflow");
        let imported = imported?;
        detached?;
        Ok(imported)
    }
}

/// What the attached database has.
struct Source {
    has_workspaces: bool,
    has_logged_models: bool,
}

/// The tables that are needed, each with a column that came late.
const NEEDED: [(&str, &str); 14] = [
    ("experiments", "last_update_time"),
    ("experiment_tags", "value"),
    ("runs", "deleted_time"),
    ("metrics", "is_nan"),
    ("latest_metrics", "is_nan"),
    ("params", "value"),
    ("tags", "value"),
    ("datasets", "dataset_profile"),
    ("inputs", "destination_id"),
    ("input_tags", "value"),
    ("registered_models", "description"),
    ("registered_model_aliases", "alias"),
    ("model_versions", "storage_location"),
    ("model_version_tags", "value"),
];

fn check(db: &Connection, file: &Path) -> Result<Source> {
    if has_column(db, "metric_keys", "name")? && has_column(db, "runs", "artifact_uri")? {
        return Err(TrackingError::invalid(format!(
            "`{0}` is a tracking store of biophony's own, not a database of MLflow's. With its \
             folder as home folder it is used as it is; `biophony export mlflow-sqlite` makes a \
             database of it that can be read here.",
            file.display()
        )));
    }
    for (table, column) in NEEDED {
        if !has_column(db, table, column)? {
            return Err(TrackingError::invalid(format!(
                "`{}` is no database of MLflow's that can be read here: its table `{table}` is \
                 missing or has no column `{column}`. `mlflow db upgrade` brings an older one up \
                 to date.",
                file.display()
            )));
        }
    }
    Ok(Source {
        has_workspaces: has_column(db, "experiments", "workspace")?,
        has_logged_models: has_column(db, "logged_models", "model_id")?,
    })
}

fn has_column(db: &Connection, table: &str, column: &str) -> Result<bool> {
    let found: i64 = db.query_row(
        "SELECT count(*) FROM pragma_table_info(?1, 'mlflow') WHERE name = ?2",
        [table, column],
        |row| row.get(0),
    )?;
    Ok(found > 0)
}

fn unreadable(error: rusqlite::Error, file: &Path) -> TrackingError {
    match error.sqlite_error_code() {
        Some(rusqlite::ErrorCode::NotADatabase) => {
            TrackingError::invalid(format!("`{}` is no SQLite database", file.display()))
        }
        _ => error.into(),
    }
}

impl Source {
    fn import(&self, db: &Connection, artifacts: Option<&Path>) -> Result<Imported> {
        let transaction = db.unchecked_transaction()?;
        // Takes the turn to write, for which it waits, before anything is read: what was
        // read before another one's turn could not be written by. An immediate transaction
        // would want to write into the other database as well.
        db.execute("UPDATE main.experiments SET id = id WHERE id < 0", [])?;
        db.execute_batch(
            "CREATE TEMP TABLE imported_experiments (there INTEGER PRIMARY KEY, here INTEGER);
             CREATE TEMP TABLE imported_runs (run_id TEXT PRIMARY KEY, run INTEGER);
             CREATE TEMP TABLE imported_places (there TEXT PRIMARY KEY, here TEXT NOT NULL);",
        )?;
        let mut imported = Imported::default();
        if let Some(folder) = artifacts {
            places::note(db, folder, self.has_logged_models)?;
        }
        self.experiments(db, &mut imported)?;
        runs::import_runs(db, &mut imported)?;
        runs::import_datasets(db, &mut imported)?;
        if self.has_logged_models {
            imported.logged_models = runs::import_logged_models(db)?;
        }
        self.registry(db, &mut imported)?;
        places::rewrite(db)?;
        imported.files_elsewhere = runs::files_elsewhere(db)?;
        db.execute_batch(
            "DROP TABLE temp.imported_experiments;
             DROP TABLE temp.imported_runs;
             DROP TABLE temp.imported_places;",
        )?;
        transaction.commit()?;
        Ok(imported)
    }

    /// Which rows of a table with workspaces are meant.
    fn of_workspace(&self) -> &'static str {
        match self.has_workspaces {
            true => "workspace = 'default'",
            false => "true",
        }
    }

    /// Joins experiments by name, and notes which became which.
    fn experiments(&self, db: &Connection, imported: &mut Imported) -> Result<()> {
        let mut statement = db.prepare(&format!(
            "SELECT experiment_id, name, coalesce(artifact_location, ''),
                    coalesce(lifecycle_stage, 'active'), coalesce(creation_time, 0),
                    coalesce(last_update_time, creation_time, 0)
             FROM mlflow.experiments WHERE {} ORDER BY experiment_id",
            self.of_workspace()
        ))?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let (there, name): (i64, String) = (row.get(0)?, row.get(1)?);
            let known = db
                .query_row(
                    "SELECT id FROM main.experiments WHERE name = ?1",
                    [&name],
                    |row| row.get(0),
                )
                .optional()?;
            let here: i64 = match known {
                Some(here) => here,
                None => {
                    // The same number where it is free: artifacts are named by it.
                    let is_free: bool = db.query_row(
                        "SELECT NOT EXISTS (SELECT 1 FROM main.experiments WHERE id = ?1)",
                        [there],
                        |row| row.get(0),
                    )?;
                    db.execute(
                        "INSERT INTO main.experiments
                             (id, name, artifact_location, lifecycle, creation_time,
                              last_update_time)
                         VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
                        params![
                            is_free.then_some(there),
                            name,
                            row.get::<_, String>(2)?,
                            row.get::<_, String>(3)?,
                            row.get::<_, i64>(4)?,
                            row.get::<_, i64>(5)?
                        ],
                    )?;
                    imported.experiments += 1;
                    db.last_insert_rowid()
                }
            };
            db.execute(
                "INSERT INTO temp.imported_experiments VALUES (?1, ?2)",
                [there, here],
            )?;
        }
        db.execute(
            "INSERT OR IGNORE INTO main.experiment_tags
             SELECT e.here, t.key, coalesce(t.value, '')
             FROM mlflow.experiment_tags t
             JOIN temp.imported_experiments e ON e.there = t.experiment_id",
            [],
        )?;
        let count = |table: &str| -> rusqlite::Result<i64> {
            db.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| {
                row.get(0)
            })
        };
        let left_out = count("mlflow.experiments")? - count("temp.imported_experiments")?;
        imported.left_out = usize::try_from(left_out).unwrap_or(0);
        Ok(())
    }
}
