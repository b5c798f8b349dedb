//! Reading a database of MLflow's: what is in it joins what is here.
//!
//! Both the schema that [`super::export`] writes and that of MLflow 3.17 are known;
//! of others, the columns that are needed decide.
//!
//! Importing again adds only what is new: runs and logged models keep their
//! identifiers, experiments and registered models their names, and a version is told
//! by when, from where and by which run it was registered. What is here already is
//! not changed, with one exception: a run that was under way takes the end that it
//! has there.

use std::collections::HashMap;
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
}

impl SqliteStore {
    /// Adds what is in a database that MLflow or [`SqliteStore::export_mlflow`]
    /// wrote. All of it is added, or none.
    ///
    /// # Errors
    ///
    /// When the file is not there, is no such database, or cannot be read.
    pub fn import_mlflow(&self, file: &Path) -> Result<Imported> {
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
        let imported = check(db, file).and_then(|source| source.import(db));
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
    fn import(&self, db: &Connection) -> Result<Imported> {
        let transaction = db.unchecked_transaction()?;
        let mut imported = Imported::default();
        self.experiments(db, &mut imported)?;
        import_runs(db, &mut imported)?;
        import_datasets(db, &mut imported)?;
        if self.has_logged_models {
            imported.logged_models = import_logged_models(db)?;
        }
        self.registry(db, &mut imported)?;
        db.execute_batch("DROP TABLE temp.imported_experiments; DROP TABLE temp.imported_runs;")?;
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
        db.execute_batch(
            "CREATE TEMP TABLE imported_experiments (there INTEGER PRIMARY KEY, here INTEGER);
             CREATE TEMP TABLE imported_runs (run_id TEXT PRIMARY KEY, run INTEGER);",
        )?;
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

    /// Joins registered models by name and adds versions that are not here.
    fn registry(&self, db: &Connection, imported: &mut Imported) -> Result<()> {
        let workspace = self.of_workspace();
        imported.registered_models = db.execute(
            &format!(
                "INSERT INTO main.registered_models
                     (name, creation_time, last_update_time, description)
                 SELECT name, coalesce(creation_time, 0),
                        coalesce(last_updated_time, creation_time, 0), description
                 FROM mlflow.registered_models WHERE {workspace}
                 ON CONFLICT DO NOTHING"
            ),
            [],
        )?;
        db.execute(
            &format!(
                "INSERT OR IGNORE INTO main.registered_model_tags
                 SELECT m.id, t.key, coalesce(t.value, '')
                 FROM mlflow.registered_model_tags t
                 JOIN main.registered_models m ON m.name = t.name WHERE t.{workspace}"
            )
            .replace("t.true", "true"),
            [],
        )?;
        let numbers = self.versions(db, imported)?;
        let mut statement = db.prepare(&format!(
            "SELECT name, version, alias FROM mlflow.registered_model_aliases WHERE {workspace}"
        ))?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let version: (String, u32) = (row.get(0)?, row.get(1)?);
            let Some(&number) = numbers.get(&version) else {
                continue;
            };
            imported.aliases += db.execute(
                "INSERT OR IGNORE INTO main.model_aliases
                 SELECT id, ?2, ?3 FROM main.registered_models WHERE name = ?1",
                params![version.0, row.get::<_, String>(2)?, number],
            )?;
        }
        Ok(())
    }

    /// Adds versions; returns which number each has here.
    fn versions(
        &self,
        db: &Connection,
        imported: &mut Imported,
    ) -> Result<HashMap<(String, u32), u32>> {
        let workspace = self.of_workspace();
        let mut statement = db.prepare(&format!(
            "SELECT name, version, coalesce(creation_time, 0),
                    coalesce(last_updated_time, creation_time, 0), description,
                    coalesce(current_stage, 'None'), coalesce(source, ''),
                    coalesce(storage_location, source, ''), run_id, run_link
             FROM mlflow.model_versions WHERE {workspace} ORDER BY name, version"
        ))?;
        let mut numbers = HashMap::new();
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let found = FoundVersion::of(row)?;
            let model: i64 = db.query_row(
                "SELECT id FROM main.registered_models WHERE name = ?1",
                [&found.name],
                |row| row.get(0),
            )?;
            let number = match found.here(db, model)? {
                Some(number) => number,
                None => {
                    imported.versions += usize::from(!found.is_deleted);
                    found.add(db, model)?
                }
            };
            db.execute(
                &format!(
                    "INSERT OR IGNORE INTO main.model_version_tags
                     SELECT ?1, ?2, key, coalesce(value, '') FROM mlflow.model_version_tags
                     WHERE name = ?3 AND version = ?4 AND {workspace}"
                ),
                params![model, number, found.name, found.version],
            )?;
            if !found.is_deleted {
                numbers.insert((found.name, found.version), number);
            }
        }
        Ok(numbers)
    }
}

/// Runs and what they logged.
fn import_runs(db: &Connection, imported: &mut Imported) -> Result<()> {
    imported.runs = db.execute(
        "INSERT INTO main.runs
             (run_id, experiment, name, user_id, status, start_time, end_time, lifecycle,
              deleted_time, artifact_uri)
         SELECT r.run_uuid, e.here, coalesce(r.name, ''), coalesce(r.user_id, ''),
                coalesce(r.status, 'RUNNING'), coalesce(r.start_time, 0), r.end_time,
                coalesce(r.lifecycle_stage, 'active'), r.deleted_time,
                coalesce(r.artifact_uri, '')
         FROM mlflow.runs r JOIN temp.imported_experiments e ON e.there = r.experiment_id
         WHERE true
         ON CONFLICT DO NOTHING",
        [],
    )?;
    db.execute_batch(
        "INSERT INTO temp.imported_runs
             SELECT r.run_id, r.id FROM main.runs r
             JOIN mlflow.runs t ON t.run_uuid = r.run_id
             JOIN temp.imported_experiments e ON e.there = t.experiment_id;
         UPDATE main.runs SET status = t.status, end_time = t.end_time
             FROM mlflow.runs t
             WHERE t.run_uuid = main.runs.run_id AND main.runs.status = 'RUNNING'
               AND t.status <> 'RUNNING';
         INSERT OR IGNORE INTO main.metric_keys (name) SELECT DISTINCT key FROM mlflow.metrics;",
    )?;
    imported.metrics = db.execute(
        "INSERT INTO main.metrics
         SELECT i.run, k.id, m.step, m.timestamp, m.value, m.is_nan
         FROM mlflow.metrics m JOIN temp.imported_runs i ON i.run_id = m.run_uuid
                               JOIN main.metric_keys k ON k.name = m.key
         WHERE true
         ON CONFLICT DO NOTHING",
        [],
    )?;
    db.execute(
        "INSERT INTO main.latest_metrics
         SELECT i.run, k.id, m.step, coalesce(m.timestamp, 0), m.value, m.is_nan
         FROM mlflow.latest_metrics m JOIN temp.imported_runs i ON i.run_id = m.run_uuid
                                      JOIN main.metric_keys k ON k.name = m.key
         WHERE true
         ON CONFLICT DO UPDATE SET step = excluded.step, timestamp = excluded.timestamp,
                                   value = excluded.value, is_nan = excluded.is_nan
         WHERE (excluded.step, excluded.timestamp, excluded.value) > (step, timestamp, value)",
        [],
    )?;
    for (table, added) in [
        ("params", &mut imported.params),
        ("tags", &mut imported.tags),
    ] {
        *added = db.execute(
            &format!(
                "INSERT INTO main.{table}
                 SELECT i.run, t.key, coalesce(t.value, '')
                 FROM mlflow.{table} t JOIN temp.imported_runs i ON i.run_id = t.run_uuid
                 WHERE true
                 ON CONFLICT DO NOTHING"
            ),
            [],
        )?;
    }
    Ok(())
}

/// Data sets and which runs read them.
fn import_datasets(db: &Connection, imported: &mut Imported) -> Result<()> {
    imported.datasets = db.execute(
        "INSERT INTO main.datasets
             (experiment, name, digest, source_type, source, schema, profile)
         SELECT e.here, d.name, d.digest, d.dataset_source_type, d.dataset_source,
                d.dataset_schema, d.dataset_profile
         FROM mlflow.datasets d JOIN temp.imported_experiments e ON e.there = d.experiment_id
         WHERE true
         ON CONFLICT DO NOTHING",
        [],
    )?;
    const USES: &str = "
        FROM mlflow.inputs u
        JOIN mlflow.datasets d ON d.dataset_uuid = u.source_id
        JOIN temp.imported_experiments e ON e.there = d.experiment_id
        JOIN main.datasets h
            ON h.experiment = e.here AND h.name = d.name AND h.digest = d.digest
        JOIN temp.imported_runs i ON i.run_id = u.destination_id";
    const ARE_DATASETS: &str = "u.source_type = 'DATASET' AND u.destination_type = 'RUN'";
    db.execute(
        &format!(
            "INSERT OR IGNORE INTO main.run_datasets SELECT i.run, h.id {USES}
             WHERE {ARE_DATASETS}"
        ),
        [],
    )?;
    db.execute(
        &format!(
            "INSERT OR IGNORE INTO main.run_dataset_tags SELECT i.run, h.id, t.name, t.value {USES}
             JOIN mlflow.input_tags t ON t.input_uuid = u.input_uuid
             WHERE {ARE_DATASETS}"
        ),
        [],
    )?;
    Ok(())
}

/// Logged models, what was recorded about them, and which runs made or read them.
fn import_logged_models(db: &Connection) -> Result<usize> {
    let added = db.execute(
        "INSERT INTO main.logged_models
             (model_id, experiment, name, creation_time, last_update_time, artifact_location,
              status, model_type, source_run_id, lifecycle)
         SELECT m.model_id, e.here, m.name, m.creation_timestamp_ms, m.last_updated_timestamp_ms,
                m.artifact_location, m.status, m.model_type, m.source_run_id,
                coalesce(m.lifecycle_stage, 'active')
         FROM mlflow.logged_models m
         JOIN temp.imported_experiments e ON e.there = m.experiment_id
         WHERE true
         ON CONFLICT DO NOTHING",
        [],
    )?;
    // Only of models that are here: those of other workspaces are not.
    const HERE: &str = "WHERE t.model_id IN (SELECT model_id FROM main.logged_models)";
    for statement in [
        format!(
            "INSERT OR IGNORE INTO main.logged_model_tags
             SELECT model_id, tag_key, tag_value FROM mlflow.logged_model_tags t {HERE}"
        ),
        format!(
            "INSERT OR IGNORE INTO main.logged_model_params
             SELECT model_id, param_key, param_value FROM mlflow.logged_model_params t {HERE}"
        ),
        // There not-a-number is kept as nothing.
        format!(
            "INSERT OR IGNORE INTO main.logged_model_metrics
             SELECT model_id, metric_name, metric_timestamp_ms, metric_step, run_id,
                    coalesce(metric_value, 0), metric_value IS NULL,
                    coalesce(dataset_name, ''), coalesce(dataset_digest, '')
             FROM mlflow.logged_model_metrics t {HERE}"
        ),
        "INSERT OR IGNORE INTO main.run_models
         SELECT i.run, u.destination_type = 'MODEL_OUTPUT', u.destination_id, u.step
         FROM mlflow.inputs u JOIN temp.imported_runs i ON i.run_id = u.source_id
         WHERE u.destination_type IN ('MODEL_OUTPUT', 'MODEL_INPUT')"
            .to_owned(),
    ] {
        db.execute(&statement, [])?;
    }
    Ok(added)
}

/// A version in the other database.
struct FoundVersion {
    name: String,
    version: u32,
    creation_time: i64,
    last_update_time: i64,
    description: Option<String>,
    stage: String,
    source: String,
    storage_location: String,
    run_id: Option<String>,
    run_link: Option<String>,
    is_deleted: bool,
}

impl FoundVersion {
    fn of(row: &rusqlite::Row<'_>) -> rusqlite::Result<Self> {
        let stage: String = row.get(5)?;
        let is_deleted = stage == "Deleted_Internal";
        Ok(Self {
            name: row.get(0)?,
            version: row.get(1)?,
            creation_time: row.get(2)?,
            last_update_time: row.get(3)?,
            description: row.get(4)?,
            stage: match is_deleted {
                true => "None".to_owned(),
                false => stage,
            },
            source: row.get(6)?,
            storage_location: row.get(7)?,
            run_id: row.get(8)?,
            run_link: row.get(9)?,
            is_deleted,
        })
    }

    /// Its number here, if it is here.
    fn here(&self, db: &Connection, model: i64) -> Result<Option<u32>> {
        if self.is_deleted {
            // Nothing but its number is left of it, which is taken then.
            let taken = db.query_row(
                "SELECT version FROM main.model_versions WHERE model = ?1 AND version = ?2",
                params![model, self.version],
                |row| row.get(0),
            );
            return Ok(taken.optional()?);
        }
        let found = db.query_row(
            "SELECT version FROM main.model_versions
             WHERE model = ?1 AND creation_time = ?2 AND source = ?3 AND run_id IS ?4
               AND NOT is_deleted
             ORDER BY version <> ?5 LIMIT 1",
            params![
                model,
                self.creation_time,
                self.source,
                self.run_id,
                self.version
            ],
            |row| row.get(0),
        );
        Ok(found.optional()?)
    }

    /// Adds it under its own number or, if that is taken, under the next one.
    fn add(&self, db: &Connection, model: i64) -> Result<u32> {
        let number: u32 = db.query_row(
            "SELECT CASE WHEN EXISTS (SELECT 1 FROM main.model_versions
                                      WHERE model = ?1 AND version = ?2)
                         THEN (SELECT max(version) + 1 FROM main.model_versions WHERE model = ?1)
                         ELSE ?2 END",
            params![model, self.version],
            |row| row.get(0),
        )?;
        // Versions do not name their logged model there, but may have come from it.
        let logged = self
            .source
            .strip_prefix("models:/")
            .filter(|id| id.starts_with("m-") && !id.contains('/'));
        db.execute(
            "INSERT INTO main.model_versions
                 (model, version, creation_time, last_update_time, description, stage, source,
                  storage_location, run_id, run_link, model_id, is_deleted)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)",
            params![
                model,
                number,
                self.creation_time,
                self.last_update_time,
                self.description,
                self.stage,
                self.source,
                self.storage_location,
                self.run_id,
                self.run_link,
                logged,
                self.is_deleted
            ],
        )?;
        Ok(number)
    }
}
