//! What steps said.

use rusqlite::params;

use crate::error::Result;
use crate::run::{Level, LogLine, RunId};
use crate::store::Store;
use crate::store::records::state_column;

impl Store {
    /// Writes a line at once: a process that is killed afterwards has kept it.
    pub(crate) fn log(&self, run: &RunId, line: &LogLine) -> Result<()> {
        self.write(|db| {
            db.prepare_cached(
                "INSERT INTO logs (run, step, at_ms, level, text) VALUES (?1, ?2, ?3, ?4, ?5)",
            )?
            .execute(params![
                run.as_str(),
                line.step,
                line.at_ms,
                line.level.as_str(),
                line.text
            ])?;
            Ok(())
        })
    }

    /// What a step of a run said, or, without a step, the whole run, in the order
    /// in which it was said. A resumed run has the lines of all its parts.
    ///
    /// # Errors
    ///
    /// When there is no such run, or the database cannot be read.
    pub fn logs(&self, run: &RunId, step: Option<&str>) -> Result<Vec<LogLine>> {
        self.run_summary(run)?;
        self.read(|db| {
            db.prepare_cached(
                "SELECT step, at_ms, level, text FROM logs
                 WHERE run = ?1 AND (?2 IS NULL OR step = ?2) ORDER BY id",
            )?
            .query_map(params![run.as_str(), step], |row| {
                Ok(LogLine {
                    step: row.get(0)?,
                    at_ms: row.get(1)?,
                    level: state_column(row, 2, Level::from_name)?,
                    text: row.get(3)?,
                })
            })?
            .collect()
        })
    }
}
