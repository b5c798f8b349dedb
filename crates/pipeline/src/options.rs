//! What a run is told beside its pipeline, and who hears of it.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use serde_json::Value;

use crate::hooks::Hook;
use crate::parallel;
use crate::run::{LogLine, RunId, RunRecord, StepRecord};

/// How to carry out a run.
#[derive(Clone)]
pub struct RunOptions {
    /// How many steps may run at once; also the threads of
    /// [`StepContext::memo`](crate::StepContext::memo).
    pub workers: usize,
    /// The version of the program, a part of every cache key: see
    /// [`Ingredients`](crate::Ingredients).
    pub program: String,
    /// The folder whose git commit is written down, if it is a git repository.
    pub project: Option<PathBuf>,
    /// Anything to keep beside the run, as the settings that built the pipeline.
    pub config: Value,
    /// Whether results of earlier runs may be used.
    pub reuse: Reuse,
    /// What to do when the run has finished.
    pub on_success: Vec<Hook>,
    /// What to do when the run has failed.
    pub on_failure: Vec<Hook>,
    /// Once true, no failed step is tried again, and nobody waits to do so: for
    /// whoever wants the run to end soon. If it ends without all its outputs then, it
    /// was interrupted and has not failed.
    pub hurry: Arc<AtomicBool>,
    /// Who hears of the run.
    pub observer: Arc<dyn RunObserver>,
}

/// Whether results of earlier runs may be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reuse {
    /// A step whose ingredients are as they were is not run.
    Cache,
    /// Every step runs; results are remembered for later. What the run itself
    /// finished before it was interrupted is not made twice.
    Nothing,
}

impl RunOptions {
    /// As many workers as the machine runs threads, the cache in use, no hooks.
    pub fn new(program: &str) -> Self {
        Self {
            workers: parallel::available_threads(),
            program: program.to_owned(),
            project: None,
            config: Value::Null,
            reuse: Reuse::Cache,
            on_success: Vec::new(),
            on_failure: Vec::new(),
            hurry: Arc::default(),
            observer: Arc::new(Silent),
        }
    }
}

/// Hears of a run while it goes on, from several threads. Every method has an
/// empty default.
pub trait RunObserver: Send + Sync {
    /// A run begins or is resumed.
    fn run_started(&self, _run: &RunId, _pipeline: &str, _n_steps: usize) {}

    /// A step's code begins to run. Cached steps are not announced.
    fn step_started(&self, _run: &RunId, _step: &str, _reason: &str) {}

    /// A step says something.
    fn line_logged(&self, _run: &RunId, _line: &LogLine) {}

    /// A step ran, was cached or failed.
    fn step_finished(&self, _run: &RunId, _step: &StepRecord) {}

    /// The run has ended. The hooks have not been called yet.
    fn run_finished(&self, _run: &RunRecord) {}
}

/// An observer that does nothing.
#[derive(Debug, Clone, Copy)]
pub struct Silent;

impl RunObserver for Silent {}
