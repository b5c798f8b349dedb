//! Garbage: artifacts that no run and no pin refers to.
//!
//! Runs are never removed here, only by [`Store::remove_run`]; a failed or
//! interrupted run keeps what it has made, so that it can be resumed.

use std::collections::HashSet;
use std::fs;
use std::os::unix::ffi::OsStrExt;

use rusqlite::{Connection, params};
use serde::Serialize;

use crate::error::{PipelineError, Result};
use crate::hash::ContentHash;
use crate::objects::measure;
use crate::store::Store;

/// What a collection took away.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Collected {
    /// Artifacts, items of steps included.
    pub n_artifacts: usize,
    /// Their length.
    pub n_bytes: u64,
}

/// A claim that keeps an artifact from being collected.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Pin {
    /// What is kept.
    pub content: ContentHash,
    /// On whose behalf, as `model owls version 3`.
    pub owner: String,
}

impl Store {
    /// Keeps an artifact, and the record of how it was made, for as long as this
    /// owner's pin stands, whatever happens to its run.
    ///
    /// # Errors
    ///
    /// When there is no such artifact.
    pub fn pin(&self, content: ContentHash, owner: &str) -> Result<()> {
        let _kept = self.locks().keep()?;
        if !self.objects().path(content).exists() {
            let content = content.to_string();
            return Err(PipelineError::ContentNotFound { content });
        }
        self.write(|db| {
            let insert = "INSERT OR IGNORE INTO pins (content, owner) VALUES (?1, ?2)";
            db.execute(insert, params![content, owner]).map(drop)
        })
    }

    /// Gives up all pins of an owner; returns how many there were.
    ///
    /// # Errors
    ///
    /// When the database cannot be written.
    pub fn unpin(&self, owner: &str) -> Result<usize> {
        self.write(|db| db.execute("DELETE FROM pins WHERE owner = ?1", [owner]))
    }

    /// All pins.
    ///
    /// # Errors
    ///
    /// When the database cannot be read.
    pub fn pins(&self) -> Result<Vec<Pin>> {
        self.read(|db| {
            db.prepare("SELECT content, owner FROM pins ORDER BY owner, content")?
                .query_map([], |row| {
                    let (content, owner) = (row.get(0)?, row.get(1)?);
                    Ok(Pin { content, owner })
                })?
                .collect()
        })
    }

    /// Removes what neither a run nor a pin refers to, and what dead processes left
    /// behind half written.
    ///
    /// Runs that are going on in this or other processes are safe: they wait for
    /// the moment that this takes when they add to the store.
    ///
    /// # Errors
    ///
    /// When the store cannot be read or written.
    pub fn collect_garbage(&self) -> Result<Collected> {
        let _alone = self.locks().collect()?;
        let live = self.write(|db| {
            forget_unreferenced(db)?;
            live_content(db)
        })?;
        let mut collected = Collected::default();
        for content in self.objects().list()? {
            if live.contains(&content) {
                continue;
            }
            let path = self.objects().path(content);
            collected.n_bytes += measure(&path).map_or(0, |placed| placed.n_bytes);
            collected.n_artifacts += 1;
            self.objects().remove(content)?;
        }
        self.forget_missing_artifacts()?;
        self.clear_staging()?;
        Ok(collected)
    }

    /// Drops remembered metadata of artifacts that are gone.
    fn forget_missing_artifacts(&self) -> Result<()> {
        let below = self.objects().folder().to_path_buf();
        self.write(|db| {
            let paths: Vec<Vec<u8>> = db
                .prepare("SELECT path FROM stats")?
                .query_map([], |row| row.get(0))?
                .collect::<rusqlite::Result<_>>()?;
            let mut forget = db.prepare("DELETE FROM stats WHERE path = ?1")?;
            for bytes in paths {
                let path = std::path::Path::new(std::ffi::OsStr::from_bytes(&bytes));
                if path.starts_with(&below) && !path.exists() {
                    forget.execute([&bytes])?;
                }
            }
            Ok(())
        })
    }

    /// Removes the staging folders of runs that nobody carries out any more.
    fn clear_staging(&self) -> Result<()> {
        let staging = self.staging();
        let list_error = |source| PipelineError::Io {
            action: "list",
            path: staging.to_path_buf(),
            source,
        };
        for entry in fs::read_dir(staging).map_err(list_error)? {
            let path = entry.map_err(list_error)?.path();
            let name = path
                .file_name()
                .and_then(|name| name.to_str())
                .unwrap_or_default();
            let Ok(run) = name.parse() else { continue };
            if let Some(_lock) = self.locks().run(&run)? {
                // What cannot be removed now is tried again next time.
                let _ = fs::remove_dir_all(&path);
            }
        }
        Ok(())
    }
}

/// Executions that made a pinned artifact, or what that was made from.
const PINNED: &str = "
WITH RECURSIVE pinned (execution) AS (
    SELECT execution FROM outputs WHERE content IN (SELECT content FROM pins)
    UNION SELECT outputs.execution FROM pinned
    JOIN inputs ON inputs.execution = pinned.execution
    JOIN outputs ON outputs.content = inputs.content)";

/// Drops executions that no run has and no pin goes back to.
fn forget_unreferenced(db: &Connection) -> rusqlite::Result<()> {
    db.execute_batch(&format!(
        "CREATE TEMP TABLE kept (id INTEGER PRIMARY KEY);
         INSERT OR IGNORE INTO kept
             SELECT execution FROM step_runs WHERE execution IS NOT NULL;
         DELETE FROM cache WHERE execution NOT IN (SELECT id FROM kept);
         INSERT OR IGNORE INTO kept {PINNED} SELECT execution FROM pinned;
         DELETE FROM executions WHERE id NOT IN (SELECT id FROM kept);
         DELETE FROM inputs WHERE execution NOT IN (SELECT id FROM kept);
         DELETE FROM outputs WHERE execution NOT IN (SELECT id FROM kept);
         DELETE FROM item_uses WHERE execution NOT IN (SELECT id FROM kept);
         DELETE FROM items WHERE id NOT IN (SELECT item FROM item_uses);
         DELETE FROM members WHERE folder NOT IN (SELECT content FROM inputs);
         DELETE FROM source_paths WHERE content NOT IN (SELECT content FROM inputs);
         DROP TABLE kept;"
    ))
}

/// What runs made, what their steps' items are, and what is pinned.
fn live_content(db: &Connection) -> rusqlite::Result<HashSet<ContentHash>> {
    db.prepare(
        "WITH used (execution) AS
             (SELECT execution FROM step_runs WHERE execution IS NOT NULL)
         SELECT content FROM outputs WHERE execution IN (SELECT execution FROM used)
         UNION SELECT output FROM items JOIN item_uses ON item = id
             WHERE execution IN (SELECT execution FROM used)
         UNION SELECT content FROM pins",
    )?
    .query_map([], |row| row.get(0))?
    .collect()
}
