//! Versions of registered models in the database.

use rusqlite::{Connection, OptionalExtension, Row, params};

use super::SqliteStore;
use super::registered_models::number_of;
use super::run_data::pair;
use super::sql_filter::{SqlFilter, page_of};
use super::version_source;
use crate::check;
use crate::entities::ready;
use crate::entities::{LoggedModelId, ModelVersion, RunId, Stage, Tag};
use crate::error::{Result, TrackingError};
use crate::requests::{CreateModelVersion, Page, Search, now};
use crate::search::{MODEL_VERSIONS, Order, PageWindow};

const COLUMNS: &str = "m.name, v.version, v.creation_time, v.last_update_time, v.description, \
                       v.stage, v.source, v.run_id, v.run_link, v.model_id, v.model";
const FROM: &str = "FROM model_versions v JOIN registered_models m ON m.id = v.model";

/// The most versions on one page.
const MAX_VERSIONS: i64 = 200_000;

impl SqliteStore {
    pub(super) fn register_version(&self, request: &CreateModelVersion) -> Result<ModelVersion> {
        for tag in &request.tags {
            check::registry_tag(tag)?;
        }
        self.write(|db| {
            let model = number_of(db, &request.name)?;
            let now = now();
            let origin = version_source::origin(db, request)?;
            let version: u32 = db.query_row(
                "SELECT coalesce(max(version), 0) + 1 FROM model_versions WHERE model = ?1",
                [model],
                |row| row.get(0),
            )?;
            db.execute(
                "INSERT INTO model_versions
                     (model, version, creation_time, last_update_time, description, stage, source,
                      storage_location, run_id, run_link, model_id)
                 VALUES (?1, ?2, ?3, ?3, ?4, 'None', ?5, ?6, ?7, ?8, ?9)",
                params![
                    model,
                    version,
                    now,
                    request.description,
                    origin.source,
                    origin.location,
                    origin.run.as_ref().map(RunId::as_str),
                    request.run_link,
                    origin.model.as_ref().map(LoggedModelId::as_str),
                ],
            )?;
            touch_model(db, model, now)?;
            for tag in &request.tags {
                put_tag(db, model, version, tag)?;
            }
            find(db, model, &request.name, version)
        })
    }

    pub(super) fn version(&self, name: &str, version: u32) -> Result<ModelVersion> {
        self.read(|db| find(db, known_model(db, name, version)?, name, version))
    }

    pub(super) fn change_version(
        &self,
        name: &str,
        version: u32,
        description: Option<&str>,
    ) -> Result<ModelVersion> {
        self.write(|db| {
            let model = known_model(db, name, version)?;
            find(db, model, name, version)?;
            db.execute(
                "UPDATE model_versions SET description = ?3, last_update_time = ?4
                 WHERE model = ?1 AND version = ?2",
                params![model, version, description, now()],
            )?;
            find(db, model, name, version)
        })
    }

    pub(super) fn move_to_stage(
        &self,
        name: &str,
        version: u32,
        stage: Stage,
        archive_existing: bool,
    ) -> Result<ModelVersion> {
        if archive_existing && !matches!(stage, Stage::Staging | Stage::Production) {
            return Err(TrackingError::invalid(format!(
                "Model version transition cannot archive existing model versions because \
                 '{stage}' is not an Active stage. Valid stages are ['Staging', 'Production']"
            )));
        }
        self.write(|db| {
            let model = known_model(db, name, version)?;
            find(db, model, name, version)?;
            let now = now();
            if archive_existing {
                db.execute(
                    "UPDATE model_versions SET stage = 'Archived', last_update_time = ?4
                     WHERE model = ?1 AND version <> ?2 AND stage = ?3 AND NOT is_deleted",
                    params![model, version, stage.as_str(), now],
                )?;
            }
            db.execute(
                "UPDATE model_versions SET stage = ?3, last_update_time = ?4
                 WHERE model = ?1 AND version = ?2",
                params![model, version, stage.as_str(), now],
            )?;
            touch_model(db, model, now)?;
            find(db, model, name, version)
        })
    }

    pub(super) fn remove_version(&self, name: &str, version: u32) -> Result<()> {
        self.write(|db| {
            let model = known_model(db, name, version)?;
            find(db, model, name, version)?;
            let now = now();
            db.execute(
                "UPDATE model_versions
                 SET is_deleted = 1, description = NULL, source = '', storage_location = '',
                     run_id = NULL, run_link = NULL, model_id = NULL, last_update_time = ?3
                 WHERE model = ?1 AND version = ?2",
                params![model, version, now],
            )?;
            for table in ["model_aliases", "model_version_tags"] {
                db.execute(
                    &format!("DELETE FROM {table} WHERE model = ?1 AND version = ?2"),
                    params![model, version],
                )?;
            }
            touch_model(db, model, now)
        })
    }

    pub(super) fn find_versions(&self, search: &Search) -> Result<Page<ModelVersion>> {
        let clauses = MODEL_VERSIONS.parse_filter(&search.filter)?;
        let order = MODEL_VERSIONS.parse_order(&search.order_by)?;
        let window = PageWindow::of(search, MAX_VERSIONS)?;
        let mut filter = SqlFilter::default();
        filter.push("NOT v.is_deleted");
        filter.model_version_clauses(&clauses)?;
        self.read(|db| {
            let mut statement = db.prepare(&format!(
                "SELECT {COLUMNS} {FROM} WHERE {} ORDER BY {} {}",
                filter.conditions(),
                order_by(&order),
                window.limit_sql()
            ))?;
            let rows =
                statement.query_map(rusqlite::params_from_iter(filter.values()), from_row)?;
            let page = page_of(rows, &window)?;
            Ok(Page {
                items: page
                    .items
                    .into_iter()
                    .map(|row| complete(db, row))
                    .collect::<Result<_>>()?,
                next_page_token: page.next_page_token,
            })
        })
    }

    pub(super) fn put_version_tag(&self, name: &str, version: u32, tag: &Tag) -> Result<()> {
        check::registry_tag(tag)?;
        self.write(|db| {
            let model = known_model(db, name, version)?;
            find(db, model, name, version)?;
            put_tag(db, model, version, tag)
        })
    }

    pub(super) fn remove_version_tag(&self, name: &str, version: u32, key: &str) -> Result<()> {
        check::name(key, "key")?;
        self.write(|db| {
            let model = known_model(db, name, version)?;
            find(db, model, name, version)?;
            db.execute(
                "DELETE FROM model_version_tags WHERE model = ?1 AND version = ?2 AND key = ?3",
                params![model, version, key],
            )?;
            Ok(())
        })
    }

    pub(super) fn download_uri(&self, name: &str, version: u32) -> Result<String> {
        self.read(|db| {
            let model = known_model(db, name, version)?;
            find(db, model, name, version)?;
            Ok(db.query_row(
                "SELECT storage_location FROM model_versions WHERE model = ?1 AND version = ?2",
                params![model, version],
                |row| row.get(0),
            )?)
        })
    }
}

/// The model's number. A model that is not there has no versions either, and that
/// is what MLflow says.
pub(super) fn known_model(db: &Connection, name: &str, version: u32) -> Result<i64> {
    number_of(db, name).map_err(|error| match error {
        TrackingError::RegisteredModelNotFound(name) => TrackingError::ModelVersionNotFound {
            name,
            version: version.into(),
        },
        other => other,
    })
}

/// The version, unless it is deleted.
pub(super) fn find(db: &Connection, model: i64, name: &str, version: u32) -> Result<ModelVersion> {
    let row = db
        .prepare_cached(&format!(
            "SELECT {COLUMNS} {FROM} WHERE v.model = ?1 AND v.version = ?2 AND NOT v.is_deleted"
        ))?
        .query_row(params![model, version], from_row)
        .optional()?
        .ok_or_else(|| TrackingError::ModelVersionNotFound {
            name: name.to_owned(),
            version: version.into(),
        })?;
    complete(db, row)
}

/// The newest version, whatever its stage.
pub(super) fn latest(db: &Connection, model: i64, name: &str) -> Result<u32> {
    let newest: Option<u32> = db
        .prepare_cached(
            "SELECT max(version) FROM model_versions WHERE model = ?1 AND NOT is_deleted",
        )?
        .query_row([model], |row| row.get(0))?;
    newest.ok_or_else(|| TrackingError::LatestVersionNotFound(name.to_owned()))
}

/// The newest version of each stage.
pub(super) fn latest_versions(
    db: &Connection,
    model: i64,
    name: &str,
) -> Result<Vec<ModelVersion>> {
    let mut statement = db.prepare_cached(
        "SELECT max(version) FROM model_versions WHERE model = ?1 AND NOT is_deleted
         GROUP BY stage ORDER BY 1",
    )?;
    let newest: Vec<u32> = statement
        .query_map([model], |row| row.get(0))?
        .collect::<rusqlite::Result<_>>()?;
    newest
        .into_iter()
        .map(|version| find(db, model, name, version))
        .collect()
}

pub(super) fn put_tag(db: &Connection, model: i64, version: u32, tag: &Tag) -> Result<()> {
    db.prepare_cached(
        "INSERT INTO model_version_tags (model, version, key, value) VALUES (?1, ?2, ?3, ?4)
         ON CONFLICT DO UPDATE SET value = excluded.value",
    )?
    .execute(params![model, version, tag.key, tag.value])?;
    Ok(())
}

fn touch_model(db: &Connection, model: i64, now: i64) -> Result<()> {
    db.execute(
        "UPDATE registered_models SET last_update_time = ?2 WHERE id = ?1",
        params![model, now],
    )?;
    Ok(())
}

fn from_row(row: &Row<'_>) -> rusqlite::Result<(i64, ModelVersion)> {
    Ok((
        row.get(10)?,
        ModelVersion {
            name: row.get(0)?,
            version: row.get(1)?,
            creation_timestamp: row.get(2)?,
            last_updated_timestamp: row.get(3)?,
            user_id: None,
            description: row.get(4)?,
            current_stage: row.get_ref(5)?.as_str()?.parse().unwrap_or_default(),
            source: row.get(6)?,
            run_id: row.get::<_, Option<String>>(7)?.map(RunId::from),
            status: ready(),
            run_link: row.get(8)?,
            model_id: row.get::<_, Option<String>>(9)?.map(LoggedModelId::from),
            tags: Vec::new(),
            aliases: Vec::new(),
        },
    ))
}

/// Adds tags and aliases.
fn complete(db: &Connection, (model, mut version): (i64, ModelVersion)) -> Result<ModelVersion> {
    version.tags = db
        .prepare_cached(
            "SELECT key, value FROM model_version_tags WHERE model = ?1 AND version = ?2
             ORDER BY key",
        )?
        .query_map(params![model, version.version], pair)?
        .collect::<rusqlite::Result<_>>()?;
    version.aliases = db
        .prepare_cached(
            "SELECT alias FROM model_aliases WHERE model = ?1 AND version = ?2 ORDER BY alias",
        )?
        .query_map(params![model, version.version], |row| row.get(0))?
        .collect::<rusqlite::Result<_>>()?;
    Ok(version)
}

fn order_by(order: &[Order]) -> String {
    if order.is_empty() {
        return "v.last_update_time DESC, m.name ASC, v.version DESC".to_owned();
    }
    let mut keys: Vec<String> = order
        .iter()
        .map(|order| {
            let column = match order.key.as_str() {
                "name" => "m.name",
                "version_number" => "v.version",
                "creation_timestamp" => "v.creation_time",
                _ => "v.last_update_time",
            };
            format!("{column} {}", order.direction())
        })
        .collect();
    keys.push("m.name ASC".to_owned());
    keys.push("v.version DESC".to_owned());
    keys.join(", ")
}
