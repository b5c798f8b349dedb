//! Runs in the database: creating, changing, deleting, and what they read and make.
//!
//! What they log is in `logging.rs`, how they are searched in `search_runs.rs`.

use rusqlite::{Connection, OptionalExtension, Row, params};

use super::SqliteStore;
use super::experiments::{experiment_number, find_active, lifecycle_of};
use super::run_data::RunReader;
use crate::check;
use crate::entities::{
    DatasetInput, ExperimentId, LifecycleStage, ModelInput, ModelOutput, Run, RunId, RunInfo,
    RunStatus, Tag, value_of,
};
use crate::error::{Result, TrackingError};
use crate::names::random_name;
use crate::requests::{CreateRun, UpdateRun, now};

/// The tag that holds a run's name.
pub(super) const RUN_NAME: &str = "mlflow.runName";

/// The columns that [`from_row`] reads.
pub(super) const COLUMNS: &str = "r.id, r.run_id, r.experiment, r.name, r.user_id, r.status, \
                                  r.start_time, r.end_time, r.lifecycle, r.artifact_uri";

/// A run and its number in the database.
pub(super) struct NumberedRun {
    pub(super) number: i64,
    pub(super) info: RunInfo,
}

impl SqliteStore {
    pub(super) fn start_run(&self, request: &CreateRun) -> Result<Run> {
        let experiment_number = experiment_number(&request.experiment_id)?;
        let name_tag = value_of(&request.tags, RUN_NAME).filter(|name| !name.is_empty());
        let name = request.run_name.as_deref().filter(|name| !name.is_empty());
        if let (Some(name), Some(tag)) = (name, name_tag)
            && name != tag
        {
            return Err(TrackingError::invalid(format!(
                "Both 'run_name' argument and 'mlflow.runName' tag are specified, but with \
                 different values (run_name='{name}', mlflow.runName='{tag}')."
            )));
        }
        let name = name.or(name_tag).map_or_else(random_name, str::to_owned);
        let mut tags = request.tags.clone();
        if name_tag.is_none() {
            tags.push(Tag::new(RUN_NAME, &name));
        }
        let id = RunId::random();
        self.write(|db| {
            let experiment = find_active(db, experiment_number)?;
            let artifact_uri = format!(
                "{}/{id}/artifacts",
                experiment.artifact_location.trim_end_matches('/')
            );
            db.prepare_cached(
                "INSERT INTO runs (run_id, experiment, name, user_id, status, start_time,
                                   lifecycle, artifact_uri)
                 VALUES (?1, ?2, ?3, ?4, 'RUNNING', ?5, 'active', ?6)",
            )?
            .execute(params![
                id.as_str(),
                experiment_number,
                name,
                request.user_id,
                request.start_time,
                artifact_uri
            ])?;
            let number = db.last_insert_rowid();
            for tag in &tags {
                put_tag(db, number, tag)?;
            }
            RunReader::new(db)?.whole(find(db, &id)?)
        })
    }

    pub(super) fn run(&self, id: &RunId) -> Result<Run> {
        self.read(|db| RunReader::new(db)?.whole(find(db, id)?))
    }

    pub(super) fn change_run(&self, id: &RunId, update: &UpdateRun) -> Result<RunInfo> {
        self.write(|db| {
            let run = find_writable(db, id)?;
            let name = update.run_name.as_deref().filter(|name| !name.is_empty());
            db.prepare_cached(
                "UPDATE runs SET status = coalesce(?2, status), end_time = coalesce(?3, end_time),
                                 name = coalesce(?4, name)
                 WHERE id = ?1",
            )?
            .execute(params![
                run.number,
                update.status.map(RunStatus::as_str),
                update.end_time,
                name
            ])?;
            if let Some(name) = name {
                put_tag(db, run.number, &Tag::new(RUN_NAME, name))?;
            }
            Ok(find(db, id)?.info)
        })
    }

    /// Deletes or restores a run.
    pub(super) fn move_run(&self, id: &RunId, to: LifecycleStage) -> Result<()> {
        let deleted_time = (to == LifecycleStage::Deleted).then(now);
        self.write(|db| {
            let moved = db.execute(
                "UPDATE runs SET lifecycle = ?2, deleted_time = ?3 WHERE run_id = ?1",
                params![id.as_str(), to.as_str(), deleted_time],
            )?;
            match moved {
                0 => Err(TrackingError::RunNotFound(id.clone())),
                _ => Ok(()),
            }
        })
    }

    pub(super) fn remove_tag(&self, id: &RunId, key: &str) -> Result<()> {
        self.write(|db| {
            let run = find_writable(db, id)?;
            let removed = db.execute(
                "DELETE FROM tags WHERE run = ?1 AND key = ?2",
                params![run.number, key],
            )?;
            match removed {
                0 => Err(TrackingError::TagNotFound(format!(
                    "No tag with name: {key} in run with id {id}"
                ))),
                _ => Ok(()),
            }
        })
    }

    pub(super) fn put_inputs(
        &self,
        id: &RunId,
        inputs: &[DatasetInput],
        models: &[ModelInput],
    ) -> Result<()> {
        check::dataset_inputs(inputs)?;
        self.write(|db| {
            let run = find_writable(db, id)?;
            let experiment = experiment_number(&run.info.experiment_id)?;
            for input in inputs {
                put_dataset(db, run.number, experiment, input)?;
            }
            for model in models {
                put_model(db, run.number, false, model.model_id.as_str(), 0)?;
            }
            Ok(())
        })
    }

    pub(super) fn put_outputs(&self, id: &RunId, models: &[ModelOutput]) -> Result<()> {
        self.write(|db| {
            let run = find_writable(db, id)?;
            for model in models {
                put_model(db, run.number, true, model.model_id.as_str(), model.step)?;
            }
            Ok(())
        })
    }
}

/// The run, deleted or not.
pub(super) fn find(db: &Connection, id: &RunId) -> Result<NumberedRun> {
    db.prepare_cached(&format!("SELECT {COLUMNS} FROM runs r WHERE run_id = ?1"))?
        .query_row([id.as_str()], from_row)
        .optional()?
        .ok_or_else(|| TrackingError::RunNotFound(id.clone()))
}

/// The run, which must not be deleted.
pub(super) fn find_writable(db: &Connection, id: &RunId) -> Result<NumberedRun> {
    let run = find(db, id)?;
    if run.info.lifecycle_stage == LifecycleStage::Active {
        return Ok(run);
    }
    Err(TrackingError::invalid(format!(
        "The run {id} must be in the 'active' state. Current state is deleted."
    )))
}

pub(super) fn from_row(row: &Row<'_>) -> rusqlite::Result<NumberedRun> {
    Ok(NumberedRun {
        number: row.get(0)?,
        info: RunInfo {
            run_id: RunId::from(row.get::<_, String>(1)?),
            experiment_id: ExperimentId::from(row.get::<_, i64>(2)?.to_string()),
            run_name: row.get(3)?,
            user_id: row.get(4)?,
            status: row.get_ref(5)?.as_str()?.parse().unwrap_or_default(),
            start_time: row.get(6)?,
            end_time: row.get(7)?,
            lifecycle_stage: lifecycle_of(row, 8)?,
            artifact_uri: row.get(9)?,
        },
    })
}

/// Sets a tag; the one that holds the name also changes the name.
pub(super) fn put_tag(db: &Connection, run: i64, tag: &Tag) -> Result<()> {
    db.prepare_cached(
        "INSERT INTO tags (run, key, value) VALUES (?1, ?2, ?3)
         ON CONFLICT DO UPDATE SET value = excluded.value",
    )?
    .execute(params![run, tag.key, tag.value])?;
    if tag.key == RUN_NAME {
        db.prepare_cached("UPDATE runs SET name = ?2 WHERE id = ?1")?
            .execute(params![run, tag.value])?;
    }
    Ok(())
}

/// Records that a run reads a data set. Tags count the first time only.
fn put_dataset(db: &Connection, run: i64, experiment: i64, input: &DatasetInput) -> Result<()> {
    let set = &input.dataset;
    db.prepare_cached(
        "INSERT INTO datasets (experiment, name, digest, source_type, source, schema, profile)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) ON CONFLICT DO NOTHING",
    )?
    .execute(params![
        experiment,
        set.name,
        set.digest,
        set.source_type,
        set.source,
        set.schema,
        set.profile
    ])?;
    let dataset: i64 = db
        .prepare_cached(
            "SELECT id FROM datasets WHERE experiment = ?1 AND name = ?2 AND digest = ?3",
        )?
        .query_row(params![experiment, set.name, set.digest], |row| row.get(0))?;
    let is_new = db
        .prepare_cached(
            "INSERT INTO run_datasets (run, dataset) VALUES (?1, ?2) ON CONFLICT DO NOTHING",
        )?
        .execute([run, dataset])?;
    if is_new == 1 {
        for tag in &input.tags {
            db.prepare_cached(
                "INSERT OR REPLACE INTO run_dataset_tags (run, dataset, key, value)
                 VALUES (?1, ?2, ?3, ?4)",
            )?
            .execute(params![run, dataset, tag.key, tag.value])?;
        }
    }
    Ok(())
}

fn put_model(db: &Connection, run: i64, is_output: bool, model: &str, step: i64) -> Result<()> {
    db.prepare_cached(
        "INSERT OR REPLACE INTO run_models (run, is_output, model_id, step)
         VALUES (?1, ?2, ?3, ?4)",
    )?
    .execute(params![run, is_output, model, step])?;
    Ok(())
}
