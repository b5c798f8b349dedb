//! What is kept of a run: its state, its steps, their logs.

use std::fmt;
use std::str::FromStr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::artifact::Metadata;
use crate::error::PipelineError;
use crate::format::Format;
use crate::graph::Graph;
use crate::hash::ContentHash;

/// Names a run: its start in UTC and six digits that tell apart those of one
/// second, as `20260801-093015-4f0c2a`. Sorted as text, runs are sorted by time.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RunId(String);

impl RunId {
    /// A name that no other run has.
    pub(crate) fn fresh(now_ms: i64) -> Self {
        static N_RUNS: AtomicU64 = AtomicU64::new(0);
        let nanos = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |d| d.as_nanos());
        let n_before = N_RUNS.fetch_add(1, Ordering::Relaxed);
        let salt = format!("{nanos} {} {n_before}", std::process::id());
        let digits = &ContentHash::of(salt.as_bytes()).to_string()[..6];
        Self(format!("{}-{digits}", utc_digits(now_ms / 1000)))
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for RunId {
    type Err = PipelineError;

    fn from_str(text: &str) -> Result<Self, PipelineError> {
        let fine = |c: char| c.is_ascii_alphanumeric() || c == '-';
        if text.is_empty() || !text.chars().all(fine) {
            return Err(PipelineError::RunNotFound {
                run: text.to_owned(),
            });
        }
        Ok(Self(text.to_owned()))
    }
}

/// `20260801-093015` for a second since 1970, after Howard Hinnant's
/// `civil_from_days`.
fn utc_digits(seconds: i64) -> String {
    let (days, second) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    let days = days + 719_468; // since the first of March of year 0
    let (era, day_of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * day_of_year + 2) / 153; // 0 is March
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = era * 400 + year_of_era + i64::from(month <= 2);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!("{year:04}{month:02}{day:02}-{hour:02}{minute:02}{second:02}")
}

/// How far a run has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RunState {
    /// A process is at work on it.
    Running,
    /// Every step has its outputs.
    Finished,
    /// A step failed, or what follows the steps; it can be resumed.
    Failed,
    /// Its process died, or it was told to hurry and ended early; it can be resumed.
    Interrupted,
}

/// How a step of a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StepState {
    /// Its code is running, or was when the process died.
    Running,
    /// Its code ran.
    Ran,
    /// Its outputs were there already.
    Cached,
    /// Its code failed.
    Failed,
    /// It was not reached.
    Skipped,
}

macro_rules! state_names {
    ($state:ident { $($variant:ident = $name:literal),+ }) => {
        impl $state {
            /// The state in one word.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $name),+ }
            }

            pub(crate) fn from_name(name: &str) -> Option<Self> {
                match name { $($name => Some(Self::$variant),)+ _ => None }
            }
        }

        impl fmt::Display for $state {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.as_str())
            }
        }
    };
}

state_names!(RunState {
    Running = "running",
    Finished = "finished",
    Failed = "failed",
    Interrupted = "interrupted"
});
state_names!(StepState {
    Running = "running",
    Ran = "ran",
    Cached = "cached",
    Failed = "failed",
    Skipped = "skipped"
});

/// A run without its steps.
#[derive(Debug, Clone, Serialize)]
pub struct RunSummary {
    /// Its name.
    pub id: RunId,
    /// The pipeline's name.
    pub pipeline: String,
    /// How far it has come.
    pub state: RunState,
    /// When it began, in milliseconds since 1970.
    pub started_ms: i64,
    /// When it ended, in milliseconds since 1970.
    pub finished_ms: Option<i64>,
    /// The version of the program.
    pub program: String,
    /// The commit of the project folder.
    pub git_commit: Option<String>,
    /// The machine.
    pub host: String,
    /// The process.
    pub pid: u32,
    /// Why it failed.
    pub error: Option<String>,
    /// What the caller wanted to keep beside it, as its settings.
    pub config: Value,
}

/// A run with its pipeline and its steps.
#[derive(Debug, Clone, Serialize)]
pub struct RunRecord {
    /// Its name, state and circumstances.
    #[serde(flatten)]
    pub summary: RunSummary,
    /// The pipeline as it was.
    pub graph: Graph,
    /// The steps, in the order of the pipeline.
    pub steps: Vec<StepRecord>,
}

impl RunRecord {
    /// The step of this name.
    pub fn step(&self, name: &str) -> Option<&StepRecord> {
        self.steps.iter().find(|step| step.step == name)
    }

    pub(crate) fn step_names(&self) -> Vec<String> {
        self.steps.iter().map(|step| step.step.clone()).collect()
    }
}

/// One step of one run.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct StepRecord {
    /// The step's name.
    pub step: String,
    /// How it ended.
    pub state: StepState,
    /// Why it ran or did not, in a sentence.
    pub reason: String,
    /// When it began, in milliseconds since 1970; `None` if it was skipped.
    pub started_ms: Option<i64>,
    /// How long it took, all attempts together, in milliseconds.
    pub duration_ms: Option<f64>,
    /// The most memory that the process had while the step ran, in bytes; steps
    /// that ran beside it count in. Linux only.
    pub peak_memory_bytes: Option<u64>,
    /// How often it was tried; 0 if it was cached or skipped.
    pub n_attempts: u32,
    /// Why it failed.
    pub error: Option<String>,
    /// The key that its result has in the cache.
    pub key: Option<ContentHash>,
    /// What it read.
    pub inputs: Vec<InputRecord>,
    /// What it made.
    pub outputs: Vec<OutputRecord>,
}

/// What a step read.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct InputRecord {
    /// `step`, `step.output` or the source's name.
    pub name: String,
    /// What it held.
    pub content: ContentHash,
}

/// What a step made.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct OutputRecord {
    /// Its name within the step.
    pub name: String,
    /// What it holds.
    pub content: ContentHash,
    /// Its type.
    pub type_name: String,
    /// How it is written.
    pub format: Format,
    /// How long it is, all files together.
    pub n_bytes: u64,
    /// Counts, shapes, metrics.
    pub metadata: Metadata,
}

/// How serious a line of a log is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// For finding faults.
    Debug,
    /// What happens.
    Info,
    /// What somebody should look at.
    Warn,
    /// What went wrong.
    Error,
}

state_names!(Level {
    Debug = "debug",
    Info = "info",
    Warn = "warn",
    Error = "error"
});

/// A line of a step's log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LogLine {
    /// The step; empty for the run itself.
    pub step: String,
    /// When, in milliseconds since 1970.
    pub at_ms: i64,
    /// How serious.
    pub level: Level,
    /// The text.
    pub text: String,
}

/// Milliseconds since 1970.
pub(crate) fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |d| i64::try_from(d.as_millis()).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_has_its_date() {
        assert_eq!(utc_digits(0), "19700101-000000");
        assert_eq!(utc_digits(951_782_400), "20000229-000000");
        assert_eq!(utc_digits(1_785_576_615), "20260801-093015");
    }

    #[test]
    fn runs_have_names_of_their_own() {
        assert_ne!(RunId::fresh(0), RunId::fresh(0));
        assert!("../x".parse::<RunId>().is_err());
    }
}
