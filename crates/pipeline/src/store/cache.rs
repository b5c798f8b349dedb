//! Executions and the cache that leads from a key to one.

use rusqlite::{Connection, OptionalExtension, Row, params};

use crate::cache_key::Ingredients;
use crate::error::{PipelineError, Result};
use crate::execute::Kept;
use crate::hash::ContentHash;
use crate::input::SourceEntry;
use crate::run::{InputRecord, OutputRecord, RunId, StepState, now_ms};
use crate::store::{StepEnd, Store, records};

/// One time that a step's code runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Execution(pub(crate) i64);

/// Up to which run one looks back.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Until<'a> {
    /// Only at runs before this one.
    Before(&'a RunId),
    /// At what an interrupted part of this run did, too.
    With(&'a RunId),
}

/// A step that was begun, or cached, in an earlier run.
pub(crate) struct Begun {
    pub(crate) run: RunId,
    pub(crate) state: StepState,
    pub(crate) ingredients: Ingredients,
}

/// A result that is there already.
pub(crate) struct Hit {
    pub(crate) execution: Execution,
    /// The run that made it.
    pub(crate) run: String,
    pub(crate) outputs: Vec<OutputRecord>,
}

impl Store {
    /// The result of this key, if a step has had it.
    pub(crate) fn lookup(&self, key: ContentHash) -> Result<Option<Hit>> {
        self.read(|db| {
            let found = db
                .prepare_cached(
                    "SELECT id, run FROM cache JOIN executions ON id = execution WHERE cache.key = ?1",
                )?
                .query_row([key], |row| Ok((row.get(0)?, row.get(1)?)))
                .optional()?;
            let Some((id, run)) = found else {
                return Ok(None);
            };
            let (execution, outputs) = (Execution(id), outputs_of(db, id)?);
            Ok(Some(Hit { execution, run, outputs }))
        })
    }

    /// Notes that a step's code begins to run.
    pub(crate) fn begin_execution(
        &self,
        run: &RunId,
        position: usize,
        reason: &str,
        ingredients: &Ingredients,
    ) -> Result<Execution> {
        self.write(|db| {
            db.prepare_cached(
                "INSERT INTO executions (key, ingredients, step, program, run, git_commit)
                 SELECT ?1, ?2, ?3, ?4, ?5, (SELECT git_commit FROM runs WHERE id = ?5)",
            )?
            .execute(params![
                ingredients.key(),
                ingredients.text(),
                ingredients.step,
                ingredients.program,
                run.as_str()
            ])?;
            let id = db.last_insert_rowid();
            let mut insert = db.prepare_cached(
                "INSERT INTO inputs (execution, position, name, content) VALUES (?1, ?2, ?3, ?4)",
            )?;
            for (position, (name, content)) in ingredients.inputs.iter().enumerate() {
                insert.execute(params![id, number(position), name, content])?;
            }
            let end = StepEnd::running(reason, Execution(id), now_ms());
            records::put_step(db, run, &ingredients.step, position, &end)?;
            Ok(Execution(id))
        })
    }

    /// Notes what the step made and how it ended, and remembers it under its key
    /// unless it is for this run only.
    pub(crate) fn finish_execution(
        &self,
        run: &RunId,
        position: usize,
        ingredients: &Ingredients,
        kept: &Kept,
        end: &StepEnd,
    ) -> Result<()> {
        let Execution(id) = end.execution.expect("a step that ran has an execution");
        self.write(|db| {
            let mut insert = db.prepare_cached(
                "INSERT INTO outputs (execution, position, name, content, type_name, format,
                 n_bytes, metadata) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
            )?;
            for (position, output) in kept.outputs.iter().enumerate() {
                insert.execute(params![
                    id,
                    number(position),
                    output.name,
                    output.content,
                    output.type_name,
                    json_text(&output.format),
                    output.n_bytes.cast_signed(),
                    json_text(&output.metadata)
                ])?;
            }
            if !kept.for_this_run_only {
                db.prepare_cached("INSERT OR REPLACE INTO cache (key, execution) VALUES (?1, ?2)")?
                    .execute(params![ingredients.key(), id])?;
            }
            records::put_step(db, run, &ingredients.step, position, end)
        })
    }

    /// The latest run of the pipeline in which this step was begun or cached.
    pub(crate) fn last_begun(
        &self,
        pipeline: &str,
        step: &str,
        until: Until<'_>,
    ) -> Result<Option<Begun>> {
        let (run, with) = match until {
            Until::Before(run) => (run, false),
            Until::With(run) => (run, true),
        };
        let found: Option<(RunId, StepState, String)> = self.read(|db| {
            db.prepare_cached(
                "SELECT runs.id, step_runs.state, executions.ingredients FROM runs
                 JOIN step_runs ON step_runs.run = runs.id AND step_runs.step = ?2
                 JOIN executions ON executions.id = step_runs.execution
                 WHERE runs.pipeline = ?1
                     AND runs.rowid < (SELECT rowid + ?4 FROM runs WHERE id = ?3)
                 ORDER BY runs.rowid DESC LIMIT 1",
            )?
            .query_row(params![pipeline, step, run.as_str(), with], |row| {
                let state = records::state_column(row, 1, StepState::from_name)?;
                Ok((records::id_column(row, 0)?, state, row.get(2)?))
            })
            .optional()
        })?;
        let parse = |(run, state, text): (RunId, StepState, String)| {
            let ingredients = parse_ingredients(&text)?;
            Ok(Begun {
                run,
                state,
                ingredients,
            })
        };
        found.map(parse).transpose()
    }

    /// Notes where a source lies, and which files a folder has.
    pub(crate) fn note_source(
        &self,
        content: ContentHash,
        path: &str,
        entries: &[SourceEntry],
    ) -> Result<()> {
        const KNOWN: &str = "SELECT 1 FROM source_paths WHERE content = ?1 AND path = ?2";
        if self.read(|db| db.prepare_cached(KNOWN)?.exists(params![content, path]))? {
            return Ok(());
        }
        self.write(|db| {
            let mut insert = db.prepare_cached(
                "INSERT OR IGNORE INTO members (folder, path, content) VALUES (?1, ?2, ?3)",
            )?;
            for entry in entries {
                insert.execute(params![
                    content,
                    entry.path.to_string_lossy(),
                    entry.content
                ])?;
            }
            db.execute(
                "INSERT OR IGNORE INTO source_paths (content, path) VALUES (?1, ?2)",
                params![content, path],
            )?;
            Ok(())
        })
    }
}

pub(super) fn outputs_of(db: &Connection, execution: i64) -> rusqlite::Result<Vec<OutputRecord>> {
    db.prepare_cached(
        "SELECT name, content, type_name, format, n_bytes, metadata FROM outputs
         WHERE execution = ?1 ORDER BY position",
    )?
    .query_map([execution], output_record)?
    .collect()
}

pub(super) fn inputs_of(db: &Connection, execution: i64) -> rusqlite::Result<Vec<InputRecord>> {
    db.prepare_cached("SELECT name, content FROM inputs WHERE execution = ?1 ORDER BY position")?
        .query_map([execution], |row| {
            Ok(InputRecord {
                name: row.get(0)?,
                content: row.get(1)?,
            })
        })?
        .collect()
}

pub(super) fn output_record(row: &Row<'_>) -> rusqlite::Result<OutputRecord> {
    Ok(OutputRecord {
        name: row.get(0)?,
        content: row.get(1)?,
        type_name: row.get(2)?,
        format: parse_column(row, 3)?,
        n_bytes: row.get::<_, i64>(4)?.cast_unsigned(),
        metadata: parse_column(row, 5)?,
    })
}

/// A count as SQLite keeps it.
pub(super) fn number(count: usize) -> i64 {
    i64::try_from(count).expect("counts of things in memory fit")
}

/// A column that holds JSON.
pub(super) fn parse_column<T: serde::de::DeserializeOwned>(
    row: &Row<'_>,
    column: usize,
) -> rusqlite::Result<T> {
    let text: String = row.get(column)?;
    serde_json::from_str(&text).map_err(|error| {
        let kind = rusqlite::types::Type::Text;
        rusqlite::Error::FromSqlConversionFailure(column, kind, error.into())
    })
}

pub(super) fn json_text(value: &impl serde::Serialize) -> String {
    serde_json::to_string(value).expect("records are JSON")
}

pub(super) fn parse_ingredients(text: &str) -> Result<Ingredients> {
    serde_json::from_str(text).map_err(|error| PipelineError::DamagedRecord {
        what: format!("the ingredients of a step: {error}"),
    })
}
