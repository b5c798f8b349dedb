//! Putting a version into use and taking it back, each in one transaction.

use rusqlite::{Connection, params};

use super::SqliteStore;
use super::model_versions::{find, put_tag};
use super::registered_models::{aliased, number_of, set_alias};
use crate::entities::{AliasMove, ModelVersion, Tag};
use crate::error::{Result, TrackingError};
use crate::requests::now;
use crate::store::{CHAMPION, PREVIOUS};

impl SqliteStore {
    pub(super) fn make_champion(&self, name: &str, version: u32) -> Result<ModelVersion> {
        self.write(|db| promote(db, name, version, |_| true).map(|(version, _)| version))
    }

    /// As [`TrackingStore::promote`](crate::TrackingStore::promote), but only in the
    /// place of the version that is expected to be the [`CHAMPION`]; `None` if it is
    /// another one by now.
    ///
    /// # Errors
    ///
    /// When there is no such version.
    pub fn promote_over(
        &self,
        name: &str,
        version: u32,
        expected: Option<u32>,
    ) -> Result<Option<ModelVersion>> {
        self.write(|db| {
            let (version, is_champion) =
                promote(db, name, version, |champion| champion == expected)?;
            Ok(is_champion.then_some(version))
        })
    }

    pub(super) fn restore_previous(&self, name: &str) -> Result<ModelVersion> {
        self.write(|db| {
            let model = number_of(db, name)?;
            let previous = aliased(db, model, PREVIOUS)?
                .ok_or_else(|| TrackingError::NothingToRollBack(name.to_owned()))?;
            let champion = aliased(db, model, CHAMPION)?;
            set_alias(db, model, CHAMPION, previous)?;
            match champion {
                Some(champion) => set_alias(db, model, PREVIOUS, champion)?,
                None => {
                    db.execute(
                        "DELETE FROM model_aliases WHERE model = ?1 AND alias = ?2",
                        params![model, PREVIOUS],
                    )?;
                }
            }
            record(db, model, "rollback", champion, previous)?;
            find(db, model, name, previous)
        })
    }

    pub(super) fn moves(&self, name: &str) -> Result<Vec<AliasMove>> {
        self.read(|db| {
            let mut statement = db.prepare_cached(
                "SELECT timestamp, action, from_version, to_version FROM alias_moves
                 WHERE model = ?1 ORDER BY id",
            )?;
            let rows = statement.query_map([number_of(db, name)?], |row| {
                Ok(AliasMove {
                    timestamp: row.get(0)?,
                    action: row.get(1)?,
                    from_version: row.get(2)?,
                    to_version: row.get(3)?,
                })
            })?;
            Ok(rows.collect::<rusqlite::Result<_>>()?)
        })
    }
}

/// Makes a version the champion in the place of one that is `replaceable`; returns it,
/// and whether it is the champion now.
fn promote(
    db: &Connection,
    name: &str,
    version: u32,
    replaceable: impl FnOnce(Option<u32>) -> bool,
) -> Result<(ModelVersion, bool)> {
    let model = number_of(db, name)?;
    let promoted = find(db, model, name, version)?;
    let champion = aliased(db, model, CHAMPION)?;
    if champion == Some(version) {
        return Ok((promoted, true));
    }
    if !replaceable(champion) {
        return Ok((promoted, false));
    }
    if let Some(champion) = champion {
        set_alias(db, model, PREVIOUS, champion)?;
    }
    set_alias(db, model, CHAMPION, version)?;
    record(db, model, "promote", champion, version)?;
    Ok((find(db, model, name, version)?, true))
}

/// Writes a move into the history and, for those who look with MLflow's tools, onto
/// the version as a tag.
fn record(db: &Connection, model: i64, action: &str, from: Option<u32>, to: u32) -> Result<()> {
    let now = now();
    db.execute(
        "INSERT INTO alias_moves (model, timestamp, action, from_version, to_version)
         VALUES (?1, ?2, ?3, ?4, ?5)",
        params![model, now, action, from, to],
    )?;
    put_tag(
        db,
        model,
        to,
        &Tag::new(format!("biophony.{action}"), now.to_string()),
    )?;
    db.execute(
        "UPDATE registered_models SET last_update_time = ?2 WHERE id = ?1",
        params![model, now],
    )?;
    Ok(())
}
