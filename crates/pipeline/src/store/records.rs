//! Runs and their steps: written while they go on, read afterwards.

use rusqlite::{Connection, OptionalExtension, Row, params};
use serde_json::Value;

use crate::error::{PipelineError, Result};
use crate::graph::Graph;
use crate::run::{RunId, RunRecord, RunState, RunSummary, StepRecord, StepState};
use crate::store::Store;
use crate::store::cache::{Execution, inputs_of, json_text, number, outputs_of, parse_column};

/// How a step of a run stands, as it is written down.
#[derive(Debug, Clone)]
pub(crate) struct StepEnd {
    pub(crate) state: StepState,
    pub(crate) reason: String,
    pub(crate) execution: Option<Execution>,
    pub(crate) started_ms: Option<i64>,
    pub(crate) duration_ms: Option<f64>,
    pub(crate) peak_memory_bytes: Option<u64>,
    pub(crate) n_attempts: u32,
    pub(crate) error: Option<String>,
}

impl StepEnd {
    pub(crate) fn running(reason: &str, execution: Execution, started_ms: i64) -> Self {
        Self {
            state: StepState::Running,
            reason: reason.to_owned(),
            execution: Some(execution),
            started_ms: Some(started_ms),
            duration_ms: None,
            peak_memory_bytes: None,
            n_attempts: 0,
            error: None,
        }
    }

    pub(crate) fn skipped(reason: &str) -> Self {
        Self {
            state: StepState::Skipped,
            reason: reason.to_owned(),
            execution: None,
            started_ms: None,
            duration_ms: None,
            peak_memory_bytes: None,
            n_attempts: 0,
            error: None,
        }
    }
}

impl Store {
    /// Writes down that a run begins, or, under a known name, that it goes on.
    pub(crate) fn begin_run(&self, run: &RunSummary, graph: &Graph) -> Result<()> {
        self.write(|db| {
            db.prepare_cached(
                "INSERT INTO runs (id, pipeline, state, graph, config, program, git_commit, host,
                 pid, started_ms) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)
                 ON CONFLICT (id) DO UPDATE SET state = ?3, graph = ?4, config = ?5, program = ?6,
                 git_commit = ?7, host = ?8, pid = ?9, finished_ms = NULL, error = NULL",
            )?
            .execute(params![
                run.id.as_str(),
                run.pipeline,
                run.state.as_str(),
                json_text(graph),
                json_text(&run.config),
                run.program,
                run.git_commit,
                run.host,
                run.pid,
                run.started_ms
            ])?;
            // What an earlier part of the run finished stays written down: it keeps
            // the garbage collector from taking it away before this part asks.
            db.prepare_cached(
                "UPDATE step_runs SET state = 'skipped', reason = 'not reached again yet'
                 WHERE run = ?1 AND state IN ('running', 'failed')",
            )?
            .execute([run.id.as_str()])?;
            Ok(())
        })
    }

    /// Writes down how a run ended, and the steps that it did not reach.
    pub(crate) fn end_run(&self, run: &RunSummary, skipped: &[(usize, &str)]) -> Result<()> {
        self.write(|db| {
            let known = "SELECT 1 FROM step_runs WHERE run = ?1 AND step = ?2";
            for &(position, step) in skipped {
                if !db
                    .prepare_cached(known)?
                    .exists(params![run.id.as_str(), step])?
                {
                    let end = StepEnd::skipped("another step failed first");
                    put_step(db, &run.id, step, position, &end)?;
                }
            }
            db.prepare_cached(
                "UPDATE runs SET state = ?2, finished_ms = ?3, error = ?4 WHERE id = ?1",
            )?
            .execute(params![
                run.id.as_str(),
                run.state.as_str(),
                run.finished_ms,
                run.error
            ])?;
            Ok(())
        })
    }

    /// Writes down how a step ended that made nothing new.
    pub(crate) fn put_step(
        &self,
        run: &RunId,
        step: &str,
        position: usize,
        end: &StepEnd,
    ) -> Result<()> {
        self.write(|db| put_step(db, run, step, position, end))
    }

    /// All runs, the latest first.
    ///
    /// # Errors
    ///
    /// When the database cannot be read.
    pub fn runs(&self) -> Result<Vec<RunSummary>> {
        let query = format!("SELECT {SUMMARY} FROM runs ORDER BY rowid DESC");
        let runs: Vec<RunSummary> =
            self.read(|db| db.prepare_cached(&query)?.query_map([], summary)?.collect())?;
        runs.into_iter()
            .map(|run| self.with_true_state(run))
            .collect()
    }

    /// One run with its pipeline and its steps.
    ///
    /// # Errors
    ///
    /// When there is no such run, or the database cannot be read.
    pub fn run(&self, id: &RunId) -> Result<RunRecord> {
        let summary = self.run_summary(id)?;
        self.read(|db| {
            let graph = db
                .prepare_cached("SELECT graph FROM runs WHERE id = ?1")?
                .query_row([id.as_str()], |row| parse_column(row, 0))?;
            let steps = db
                .prepare_cached(
                    "SELECT step, state, reason, execution, started_ms, duration_ms, peak_memory,
                     n_attempts, error FROM step_runs WHERE run = ?1 ORDER BY position",
                )?
                .query_map([id.as_str()], |row| step_record(db, row))?
                .collect::<rusqlite::Result<_>>()?;
            Ok(RunRecord {
                summary,
                graph,
                steps,
            })
        })
    }

    /// Takes a run, its steps and its log out of the store. Artifacts stay until
    /// the next [`Store::collect_garbage`].
    ///
    /// # Errors
    ///
    /// When there is no such run, or it is still going on.
    pub fn remove_run(&self, id: &RunId) -> Result<()> {
        let run = self.run_summary(id)?;
        let Some(_lock) = self.locks().run(id)? else {
            return Err(PipelineError::RunBusy {
                run: id.clone(),
                pid: run.pid,
                host: run.host,
            });
        };
        self.write(|db| {
            for table in ["logs", "step_runs"] {
                db.execute(
                    &format!("DELETE FROM {table} WHERE run = ?1"),
                    [id.as_str()],
                )?;
            }
            db.execute("DELETE FROM runs WHERE id = ?1", [id.as_str()])?;
            Ok(())
        })
    }

    pub(crate) fn run_summary(&self, id: &RunId) -> Result<RunSummary> {
        let query = format!("SELECT {SUMMARY} FROM runs WHERE id = ?1");
        let found = self.read(|db| {
            db.prepare_cached(&query)?
                .query_row([id.as_str()], summary)
                .optional()
        })?;
        let missing = || PipelineError::RunNotFound {
            run: id.to_string(),
        };
        self.with_true_state(found.ok_or_else(missing)?)
    }

    /// A run that nobody holds the lock of is not running, whatever its dead
    /// process last wrote.
    fn with_true_state(&self, mut run: RunSummary) -> Result<RunSummary> {
        if run.state == RunState::Running && !self.locks().is_going_on(&run.id)? {
            run.state = RunState::Interrupted;
        }
        Ok(run)
    }
}

/// Writes the step's row, in place of an earlier one.
pub(super) fn put_step(
    db: &Connection,
    run: &RunId,
    step: &str,
    position: usize,
    end: &StepEnd,
) -> rusqlite::Result<()> {
    db.prepare_cached(
        "INSERT OR REPLACE INTO step_runs (run, step, position, state, reason, execution,
         started_ms, duration_ms, peak_memory, n_attempts, error)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
    )?
    .execute(params![
        run.as_str(),
        step,
        number(position),
        end.state.as_str(),
        end.reason,
        end.execution.map(|Execution(id)| id),
        end.started_ms,
        end.duration_ms,
        end.peak_memory_bytes.map(u64::cast_signed),
        end.n_attempts,
        end.error
    ])?;
    Ok(())
}

/// The columns that [`summary`] reads.
const SUMMARY: &str =
    "id, pipeline, state, started_ms, finished_ms, program, git_commit, host, pid, error, config";

fn summary(row: &Row<'_>) -> rusqlite::Result<RunSummary> {
    Ok(RunSummary {
        id: id_column(row, 0)?,
        pipeline: row.get(1)?,
        state: state_column(row, 2, RunState::from_name)?,
        started_ms: row.get(3)?,
        finished_ms: row.get(4)?,
        program: row.get(5)?,
        git_commit: row.get(6)?,
        host: row.get(7)?,
        pid: row.get(8)?,
        error: row.get(9)?,
        config: parse_column::<Value>(row, 10)?,
    })
}

fn step_record(db: &Connection, row: &Row<'_>) -> rusqlite::Result<StepRecord> {
    let execution: Option<i64> = row.get(3)?;
    let key = "SELECT key FROM executions WHERE id = ?1";
    let key = match execution {
        Some(id) => db
            .prepare_cached(key)?
            .query_row([id], |row| row.get(0))
            .optional()?,
        None => None,
    };
    Ok(StepRecord {
        step: row.get(0)?,
        state: state_column(row, 1, StepState::from_name)?,
        reason: row.get(2)?,
        started_ms: row.get(4)?,
        duration_ms: row.get(5)?,
        peak_memory_bytes: row.get::<_, Option<i64>>(6)?.map(i64::cast_unsigned),
        n_attempts: row.get(7)?,
        error: row.get(8)?,
        key,
        inputs: execution.map_or(Ok(Vec::new()), |id| inputs_of(db, id))?,
        outputs: execution.map_or(Ok(Vec::new()), |id| outputs_of(db, id))?,
    })
}

pub(super) fn id_column(row: &Row<'_>, column: usize) -> rusqlite::Result<RunId> {
    let text: String = row.get(column)?;
    text.parse().map_err(|error: PipelineError| {
        let kind = rusqlite::types::Type::Text;
        rusqlite::Error::FromSqlConversionFailure(column, kind, error.into())
    })
}

/// A column that holds the name of a state.
pub(super) fn state_column<T>(
    row: &Row<'_>,
    column: usize,
    from_name: impl Fn(&str) -> Option<T>,
) -> rusqlite::Result<T> {
    let name: String = row.get(column)?;
    from_name(&name).ok_or_else(|| {
        let kind = rusqlite::types::Type::Text;
        let error = format!("there is no state `{name}`");
        rusqlite::Error::FromSqlConversionFailure(column, kind, error.into())
    })
}
