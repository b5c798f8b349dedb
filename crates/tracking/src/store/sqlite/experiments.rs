//! Experiments in the database.

use rusqlite::{Connection, OptionalExtension, Row, params};

use super::SqliteStore;
use super::sql_filter::{SqlFilter, page_of};
use crate::check;
use crate::entities::{Experiment, ExperimentId, LifecycleStage, Tag};
use crate::error::{Result, TrackingError};
use crate::requests::{CreateExperiment, Page, Search, ViewType, now};
use crate::search::{EXPERIMENTS, Order, PageWindow};

const COLUMNS: &str =
    "e.id, e.name, e.artifact_location, e.lifecycle, e.creation_time, e.last_update_time";

impl SqliteStore {
    pub(super) fn create_experiment_row(&self, request: &CreateExperiment) -> Result<ExperimentId> {
        check::experiment_name(&request.name)?;
        let location = request.artifact_location.as_deref().unwrap_or_default();
        check::artifact_location(location)?;
        for tag in &request.tags {
            check::experiment_tag(tag)?;
        }
        self.write(|db| {
            let now = now();
            let inserted = db
                .prepare_cached(
                    "INSERT INTO experiments
                         (name, artifact_location, lifecycle, creation_time, last_update_time)
                     VALUES (?1, ?2, 'active', ?3, ?3) ON CONFLICT (name) DO NOTHING",
                )?
                .execute(params![request.name, location, now])?;
            if inserted == 0 {
                return Err(TrackingError::AlreadyExists(format!(
                    "Experiment(name={}) already exists.",
                    request.name
                )));
            }
            let id = db.last_insert_rowid();
            if location.is_empty() {
                db.execute(
                    "UPDATE experiments SET artifact_location = 'mlflow-artifacts:/' || id
                     WHERE id = ?1",
                    [id],
                )?;
            }
            for tag in &request.tags {
                put_tag(db, id, tag)?;
            }
            Ok(ExperimentId::from(id.to_string()))
        })
    }

    pub(super) fn experiment(&self, id: &ExperimentId) -> Result<Experiment> {
        let number = experiment_number(id)?;
        self.read(|db| find(db, number))
    }

    pub(super) fn experiment_by_name(&self, name: &str) -> Result<Option<Experiment>> {
        self.read(|db| {
            let found: Option<i64> = db
                .prepare_cached("SELECT id FROM experiments WHERE name = ?1")?
                .query_row([name], |row| row.get(0))
                .optional()?;
            found.map(|id| find(db, id)).transpose()
        })
    }

    pub(super) fn find_experiments(
        &self,
        search: &Search,
        view: ViewType,
    ) -> Result<Page<Experiment>> {
        let clauses = EXPERIMENTS.parse_filter(&search.filter)?;
        let order = EXPERIMENTS.parse_order(&search.order_by)?;
        let window = PageWindow::of(search, 50_000)?;
        let mut filter = SqlFilter::default();
        filter.push(lifecycle_condition("e.lifecycle", view));
        for clause in &clauses {
            filter.experiment_clause(clause)?;
        }
        self.read(|db| {
            let sql = format!(
                "SELECT {COLUMNS} FROM experiments e WHERE {} ORDER BY {} {}",
                filter.conditions(),
                order_by(&order),
                window.limit_sql(),
            );
            let mut statement = db.prepare(&sql)?;
            let rows =
                statement.query_map(rusqlite::params_from_iter(filter.values()), from_row)?;
            let mut page = page_of(rows, &window)?;
            for experiment in &mut page.items {
                experiment.tags = tags(db, experiment_number(&experiment.experiment_id)?)?;
            }
            Ok(page)
        })
    }

    pub(super) fn change_experiment_name(&self, id: &ExperimentId, new_name: &str) -> Result<()> {
        check::experiment_name(new_name)?;
        let number = experiment_number(id)?;
        self.write(|db| {
            if find(db, number)?.lifecycle_stage != LifecycleStage::Active {
                return Err(TrackingError::InvalidState(
                    "Cannot rename a non-active experiment.".to_owned(),
                ));
            }
            let updated = db.execute(
                "UPDATE OR IGNORE experiments SET name = ?2, last_update_time = ?3 WHERE id = ?1",
                params![number, new_name, now()],
            )?;
            if updated == 0 {
                // MLflow's code for it, unlike where an experiment is made.
                return Err(TrackingError::BadRequest(format!(
                    "Experiment(name={new_name}) already exists."
                )));
            }
            Ok(())
        })
    }

    /// Deletes or restores an experiment with its runs.
    pub(super) fn move_experiment(&self, id: &ExperimentId, to: LifecycleStage) -> Result<()> {
        let number = experiment_number(id)?;
        self.write(|db| {
            let now = now();
            let moved = db.execute(
                "UPDATE experiments SET lifecycle = ?2, last_update_time = ?3
                 WHERE id = ?1 AND lifecycle <> ?2",
                params![number, to.as_str(), now],
            )?;
            if moved == 0 {
                return Err(TrackingError::ExperimentNotFound(id.clone()));
            }
            let deleted_time = (to == LifecycleStage::Deleted).then_some(now);
            db.execute(
                "UPDATE runs SET lifecycle = ?2, deleted_time = ?3 WHERE experiment = ?1",
                params![number, to.as_str(), deleted_time],
            )?;
            Ok(())
        })
    }

    pub(super) fn put_experiment_tag(&self, id: &ExperimentId, tag: &Tag) -> Result<()> {
        check::experiment_tag(tag)?;
        let number = experiment_number(id)?;
        self.write(|db| {
            find_active(db, number)?;
            put_tag(db, number, tag)
        })
    }

    pub(super) fn remove_experiment_tag(&self, id: &ExperimentId, key: &str) -> Result<()> {
        let number = experiment_number(id)?;
        self.write(|db| {
            find_active(db, number)?;
            let removed = db.execute(
                "DELETE FROM experiment_tags WHERE experiment = ?1 AND key = ?2",
                params![number, key],
            )?;
            if removed == 0 {
                return Err(TrackingError::TagNotFound(format!(
                    "No tag with name: {key} in experiment with id {id}"
                )));
            }
            Ok(())
        })
    }
}

/// The number of an experiment in the database.
pub(super) fn experiment_number(id: &ExperimentId) -> Result<i64> {
    id.as_str().trim().parse().map_err(|_| {
        TrackingError::invalid(format!(
            "Invalid experiment ID '{id}'. Experiment ID must be a valid integer."
        ))
    })
}

/// The experiment, which must not be deleted.
pub(super) fn find_active(db: &Connection, number: i64) -> Result<Experiment> {
    let experiment = find(db, number)?;
    if experiment.lifecycle_stage == LifecycleStage::Active {
        return Ok(experiment);
    }
    Err(TrackingError::invalid(format!(
        "The experiment {number} must be in the 'active' state. Current state is deleted."
    )))
}

fn find(db: &Connection, number: i64) -> Result<Experiment> {
    let mut experiment = db
        .prepare_cached(&format!(
            "SELECT {COLUMNS} FROM experiments e WHERE id = ?1"
        ))?
        .query_row([number], from_row)
        .optional()?
        .ok_or_else(|| TrackingError::ExperimentNotFound(ExperimentId::from(number.to_string())))?;
    experiment.tags = tags(db, number)?;
    Ok(experiment)
}

fn from_row(row: &Row<'_>) -> rusqlite::Result<Experiment> {
    Ok(Experiment {
        experiment_id: ExperimentId::from(row.get::<_, i64>(0)?.to_string()),
        name: row.get(1)?,
        artifact_location: row.get(2)?,
        lifecycle_stage: lifecycle_of(row, 3)?,
        creation_time: row.get(4)?,
        last_update_time: row.get(5)?,
        tags: Vec::new(),
    })
}

/// The lifecycle stage in a column.
pub(super) fn lifecycle_of(row: &Row<'_>, column: usize) -> rusqlite::Result<LifecycleStage> {
    let is_active = row.get_ref(column)?.as_str()? == LifecycleStage::Active.as_str();
    Ok(if is_active {
        LifecycleStage::Active
    } else {
        LifecycleStage::Deleted
    })
}

/// The SQL condition that a view puts on a lifecycle column.
pub(super) fn lifecycle_condition(column: &str, view: ViewType) -> String {
    match view {
        ViewType::ActiveOnly => format!("{column} = 'active'"),
        ViewType::DeletedOnly => format!("{column} = 'deleted'"),
        ViewType::All => "TRUE".to_owned(),
    }
}

fn tags(db: &Connection, number: i64) -> Result<Vec<Tag>> {
    let mut statement = db.prepare_cached(
        "SELECT key, value FROM experiment_tags WHERE experiment = ?1 ORDER BY key",
    )?;
    let rows = statement.query_map([number], |row| {
        Ok(Tag {
            key: row.get(0)?,
            value: row.get(1)?,
        })
    })?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

fn put_tag(db: &Connection, number: i64, tag: &Tag) -> Result<()> {
    db.prepare_cached(
        "INSERT INTO experiment_tags (experiment, key, value) VALUES (?1, ?2, ?3)
         ON CONFLICT DO UPDATE SET value = excluded.value",
    )?
    .execute(params![number, tag.key, tag.value])?;
    Ok(())
}

fn order_by(order: &[Order]) -> String {
    let column = |key: &str| match key {
        "name" => "e.name",
        "experiment_id" => "e.id",
        "creation_time" => "e.creation_time",
        _ => "e.last_update_time",
    };
    let mut keys: Vec<String> = order
        .iter()
        .map(|order| format!("{} {}", column(&order.key), order.direction()))
        .collect();
    if keys.is_empty() {
        keys.push("e.creation_time DESC".to_owned());
        keys.push("e.id ASC".to_owned());
    } else if !order.iter().any(|order| order.key == "experiment_id") {
        keys.push("e.id DESC".to_owned());
    }
    keys.join(", ")
}
