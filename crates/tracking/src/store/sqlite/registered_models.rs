//! Registered models and their aliases in the database.

use rusqlite::{Connection, OptionalExtension, Row, params};

use super::SqliteStore;
use super::model_versions::{self, latest_versions};
use super::run_data::pair;
use super::sql_filter::{SqlFilter, page_of};
use crate::check;
use crate::entities::{Alias, ModelVersion, RegisteredModel, Stage, Tag};
use crate::error::{Result, TrackingError};
use crate::requests::{CreateRegisteredModel, Page, Search, now};
use crate::search::{Order, PageWindow, REGISTERED_MODELS};

const COLUMNS: &str = "m.id, m.name, m.creation_time, m.last_update_time, m.description";

/// The most registered models on one page.
const MAX_MODELS: i64 = 1000;

/// How many are on a page unless it is said.
const DEFAULT_MODELS: i64 = 100;

impl SqliteStore {
    pub(super) fn register_model(
        &self,
        request: &CreateRegisteredModel,
    ) -> Result<RegisteredModel> {
        check::model_name(&request.name)?;
        for tag in &request.tags {
            check::registry_tag(tag)?;
        }
        self.write(|db| {
            let inserted = db.execute(
                "INSERT INTO registered_models (name, creation_time, last_update_time, description)
                 VALUES (?1, ?2, ?2, ?3) ON CONFLICT DO NOTHING",
                params![request.name, now(), request.description],
            )?;
            if inserted == 0 {
                return Err(already_exists(&request.name));
            }
            let number = db.last_insert_rowid();
            for tag in &request.tags {
                put_tag(db, number, tag)?;
            }
            whole_model(db, &request.name)
        })
    }

    pub(super) fn registered_model(&self, name: &str) -> Result<RegisteredModel> {
        check::model_name(name)?;
        self.read(|db| whole_model(db, name))
    }

    pub(super) fn change_registered_model(
        &self,
        name: &str,
        description: Option<&str>,
    ) -> Result<RegisteredModel> {
        self.write(|db| {
            let number = number_of(db, name)?;
            db.execute(
                "UPDATE registered_models SET description = ?2, last_update_time = ?3
                 WHERE id = ?1",
                params![number, description, now()],
            )?;
            whole_model(db, name)
        })
    }

    pub(super) fn change_model_name(&self, name: &str, new_name: &str) -> Result<RegisteredModel> {
        check::model_name(new_name)?;
        self.write(|db| {
            let number = number_of(db, name)?;
            let now = now();
            let renamed = db.execute(
                "UPDATE OR IGNORE registered_models SET name = ?2, last_update_time = ?3
                 WHERE id = ?1",
                params![number, new_name, now],
            )?;
            if renamed == 0 {
                return Err(already_exists(new_name));
            }
            db.execute(
                "UPDATE model_versions SET last_update_time = ?2 WHERE model = ?1",
                params![number, now],
            )?;
            whole_model(db, new_name)
        })
    }

    pub(super) fn remove_registered_model(&self, name: &str) -> Result<()> {
        self.write(|db| {
            let number = number_of(db, name)?;
            db.execute("DELETE FROM registered_models WHERE id = ?1", [number])?;
            Ok(())
        })
    }

    pub(super) fn find_registered_models(&self, search: &Search) -> Result<Page<RegisteredModel>> {
        let clauses = REGISTERED_MODELS.parse_filter(&search.filter)?;
        let order = REGISTERED_MODELS.parse_order(&search.order_by)?;
        let max_results = Some(search.max_results.unwrap_or(DEFAULT_MODELS));
        let window = PageWindow::new(max_results, search.page_token.as_deref(), MAX_MODELS)?;
        let mut filter = SqlFilter::default();
        filter.registered_model_clauses(&clauses)?;
        self.read(|db| {
            let mut statement = db.prepare(&format!(
                "SELECT m.name FROM registered_models m WHERE {} ORDER BY {} {}",
                filter.conditions(),
                order_by(&order),
                window.limit_sql()
            ))?;
            let rows = statement.query_map(rusqlite::params_from_iter(filter.values()), |row| {
                row.get(0)
            })?;
            let page: Page<String> = page_of(rows, &window)?;
            Ok(Page {
                items: page
                    .items
                    .iter()
                    .map(|name| whole_model(db, name))
                    .collect::<Result<_>>()?,
                next_page_token: page.next_page_token,
            })
        })
    }

    pub(super) fn put_registered_model_tag(&self, name: &str, tag: &Tag) -> Result<()> {
        check::registry_tag(tag)?;
        self.write(|db| put_tag(db, number_of(db, name)?, tag))
    }

    pub(super) fn remove_registered_model_tag(&self, name: &str, key: &str) -> Result<()> {
        check::name(key, "key")?;
        self.write(|db| {
            db.execute(
                "DELETE FROM registered_model_tags WHERE model = ?1 AND key = ?2",
                params![number_of(db, name)?, key],
            )?;
            Ok(())
        })
    }

    pub(super) fn newest_versions(
        &self,
        name: &str,
        stages: &[Stage],
    ) -> Result<Vec<ModelVersion>> {
        self.read(|db| {
            let versions = latest_versions(db, number_of(db, name)?, name)?;
            Ok(versions
                .into_iter()
                .filter(|version| stages.is_empty() || stages.contains(&version.current_stage))
                .collect())
        })
    }

    pub(super) fn put_alias(&self, name: &str, alias: &str, version: u32) -> Result<()> {
        check::alias(alias)?;
        check::alias_is_free(alias)?;
        self.write(|db| {
            let model = model_versions::known_model(db, name, version)?;
            model_versions::find(db, model, name, version)?;
            set_alias(db, model, alias, version)
        })
    }

    pub(super) fn remove_alias(&self, name: &str, alias: &str) -> Result<()> {
        check::alias(alias)?;
        self.write(|db| {
            db.execute(
                "DELETE FROM model_aliases WHERE model = ?1 AND alias = ?2",
                params![number_of(db, name)?, alias],
            )?;
            Ok(())
        })
    }

    pub(super) fn version_by_alias(&self, name: &str, alias: &str) -> Result<ModelVersion> {
        check::alias(alias)?;
        self.read(|db| {
            let model = number_of(db, name)?;
            let version = meant(db, model, name, alias)?;
            model_versions::find(db, model, name, version)
        })
    }
}

fn already_exists(name: &str) -> TrackingError {
    TrackingError::AlreadyExists(format!("Registered Model (name={name}) already exists."))
}

/// The number of a registered model in the database.
pub(super) fn number_of(db: &Connection, name: &str) -> Result<i64> {
    check::model_name(name)?;
    db.prepare_cached("SELECT id FROM registered_models WHERE name = ?1")?
        .query_row([name], |row| row.get(0))
        .optional()?
        .ok_or_else(|| TrackingError::RegisteredModelNotFound(name.to_owned()))
}

/// The version that an alias means; `latest`, which nobody can set, the newest.
pub(super) fn meant(db: &Connection, model: i64, name: &str, alias: &str) -> Result<u32> {
    if alias.eq_ignore_ascii_case("latest") {
        return model_versions::latest(db, model, name);
    }
    aliased(db, model, alias)?.ok_or_else(|| TrackingError::AliasNotFound(alias.to_owned()))
}

/// The version that an alias was set to.
pub(super) fn aliased(db: &Connection, model: i64, alias: &str) -> Result<Option<u32>> {
    Ok(db
        .prepare_cached("SELECT version FROM model_aliases WHERE model = ?1 AND alias = ?2")?
        .query_row(params![model, alias], |row| row.get(0))
        .optional()?)
}

/// Lets an alias mean a version.
pub(super) fn set_alias(db: &Connection, model: i64, alias: &str, version: u32) -> Result<()> {
    db.prepare_cached(
        "INSERT INTO model_aliases (model, alias, version) VALUES (?1, ?2, ?3)
         ON CONFLICT DO UPDATE SET version = excluded.version",
    )?
    .execute(params![model, alias, version])?;
    Ok(())
}

fn whole_model(db: &Connection, name: &str) -> Result<RegisteredModel> {
    let (number, mut model) = db
        .prepare_cached(&format!(
            "SELECT {COLUMNS} FROM registered_models m WHERE name = ?1"
        ))?
        .query_row([name], from_row)
        .optional()?
        .ok_or_else(|| TrackingError::RegisteredModelNotFound(name.to_owned()))?;
    model.tags = db
        .prepare_cached(
            "SELECT key, value FROM registered_model_tags WHERE model = ?1 ORDER BY key",
        )?
        .query_map([number], pair)?
        .collect::<rusqlite::Result<_>>()?;
    model.aliases = db
        .prepare_cached("SELECT alias, version FROM model_aliases WHERE model = ?1 ORDER BY alias")?
        .query_map([number], |row| {
            Ok(Alias {
                alias: row.get(0)?,
                version: row.get(1)?,
            })
        })?
        .collect::<rusqlite::Result<_>>()?;
    model.latest_versions = latest_versions(db, number, name)?;
    Ok(model)
}

fn from_row(row: &Row<'_>) -> rusqlite::Result<(i64, RegisteredModel)> {
    Ok((
        row.get(0)?,
        RegisteredModel {
            name: row.get(1)?,
            creation_timestamp: row.get(2)?,
            last_updated_timestamp: row.get(3)?,
            description: row.get(4)?,
            latest_versions: Vec::new(),
            tags: Vec::new(),
            aliases: Vec::new(),
        },
    ))
}

fn put_tag(db: &Connection, model: i64, tag: &Tag) -> Result<()> {
    db.prepare_cached(
        "INSERT INTO registered_model_tags (model, key, value) VALUES (?1, ?2, ?3)
         ON CONFLICT DO UPDATE SET value = excluded.value",
    )?
    .execute(params![model, tag.key, tag.value])?;
    Ok(())
}

fn order_by(order: &[Order]) -> String {
    let mut keys: Vec<String> = order
        .iter()
        .map(|order| {
            let column = match order.key.as_str() {
                "name" => "m.name",
                _ => "m.last_update_time",
            };
            format!("{column} {}", order.direction())
        })
        .collect();
    keys.push("m.name ASC".to_owned());
    keys.join(", ")
}
