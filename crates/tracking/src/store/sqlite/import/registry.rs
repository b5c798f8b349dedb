//! Reading registered models, their versions and aliases.

use std::collections::HashMap;

use rusqlite::{Connection, OptionalExtension, params};

use super::{Imported, Source};
use crate::error::Result;

impl Source {
    /// Joins registered models by name and adds versions that are not here.
    pub(super) fn registry(&self, db: &Connection, imported: &mut Imported) -> Result<()> {
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
             WHERE model = ?1 AND creation_time = ?2 AND run_id IS ?4 AND NOT is_deleted
               AND source IN
                   (?3, (SELECT here FROM temp.imported_places WHERE there = ?3))
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
        let logged = self.logged_model(db)?;
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

    /// The logged model that it came from. Versions do not name it there, but their
    /// source or their place does.
    fn logged_model(&self, db: &Connection) -> Result<Option<String>> {
        let reference = self.source.strip_prefix("models:/");
        let named = reference.filter(|id| id.starts_with("m-") && !id.contains('/'));
        if let Some(named) = named {
            return Ok(Some(named.to_owned()));
        }
        let by_place = db.query_row(
            "SELECT model_id FROM main.logged_models WHERE artifact_location = ?1",
            [&self.storage_location],
            |row| row.get(0),
        );
        Ok(by_place.optional()?)
    }
}
