//! What a step's closure is given beside its inputs.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::artifact::Metadata;
use crate::error::{PipelineError, Result};
use crate::hash::ContentHash;
use crate::options::{Reuse, RunObserver};
use crate::run::{Level, LogLine, RunId, now_ms};
use crate::store::{Execution, Store};

/// A step's view of its run: its log, its scratch folder, its time, and a memory
/// for its items ([`StepContext::memo`]).
pub struct StepContext {
    pub(crate) store: Store,
    pub(crate) observer: Arc<dyn RunObserver>,
    pub(crate) run: RunId,
    pub(crate) step: String,
    pub(crate) version: u32,
    pub(crate) program: String,
    pub(crate) execution: Execution,
    pub(crate) key: ContentHash,
    pub(crate) params: Value,
    pub(crate) for_this_run_only: AtomicBool,
    pub(crate) attempt: u32,
    pub(crate) workers: usize,
    pub(crate) reuse: Reuse,
    /// Where this attempt writes; removed after it.
    pub(crate) folder: PathBuf,
    /// How long the attempt may take, and when that ends.
    pub(crate) limit: Option<Duration>,
    pub(crate) deadline: Option<Instant>,
    pub(crate) attached: Mutex<BTreeMap<String, Metadata>>,
}

impl StepContext {
    /// The run that this step belongs to.
    pub fn run(&self) -> &RunId {
        &self.run
    }

    /// The step's name.
    pub fn step(&self) -> &str {
        &self.step
    }

    /// How often the step was tried, this time included.
    pub fn attempt(&self) -> u32 {
        self.attempt
    }

    /// How many threads the step may use.
    pub fn workers(&self) -> usize {
        self.workers
    }

    /// Says what happens.
    pub fn info(&self, text: impl Into<String>) {
        self.log(Level::Info, text);
    }

    /// Says what somebody should look at.
    pub fn warn(&self, text: impl Into<String>) {
        self.log(Level::Warn, text);
    }

    /// Adds a line to the step's log. It is written at once, so that a killed run
    /// has kept it.
    pub fn log(&self, level: Level, text: impl Into<String>) {
        if self.is_cancelled() {
            return;
        }
        let line = LogLine {
            step: self.step.clone(),
            at_ms: now_ms(),
            level,
            text: text.into(),
        };
        // A step does not fail because its log cannot be kept: if the store is
        // broken, writing its outputs will tell.
        let _ = self.store.log(&self.run, &line);
        self.observer.line_logged(&self.run, &line);
    }

    /// Attaches a count, a shape or a metric to an output; with a single, unnamed
    /// output its name is [`OutputSpec::ONLY`](crate::OutputSpec::ONLY).
    pub fn attach(&self, output: &str, name: &str, value: impl Into<Value>) {
        let mut attached = self.attached.lock().unwrap_or_else(PoisonError::into_inner);
        let metadata = attached.entry(output.to_owned()).or_default();
        metadata.insert(name.to_owned(), value.into());
    }

    /// An empty folder for this attempt, on the store's file system: what is
    /// written there and returned as a [`SavedFile`](crate::SavedFile) or a
    /// [`Folder`](crate::Folder) is moved into the store, not copied. It is
    /// removed afterwards.
    ///
    /// # Errors
    ///
    /// When it cannot be made.
    pub fn scratch(&self) -> Result<PathBuf> {
        let path = self.folder.join("scratch");
        match fs::create_dir_all(&path) {
            Ok(()) => Ok(path),
            Err(source) => Err(PipelineError::Io {
                action: "make the folder",
                path,
                source,
            }),
        }
    }

    /// The key under which the step's outputs will be found again: the same for
    /// equal [`crate::Ingredients`], in whatever run.
    pub fn key(&self) -> ContentHash {
        self.key
    }

    /// The step's parameters, those found late among them.
    pub fn params(&self) -> &Value {
        &self.params
    }

    /// Says that what the step makes now is good for this run only, such as what
    /// a user stopped early. Later runs will not be given it.
    pub fn do_not_cache(&self) {
        self.for_this_run_only.store(true, Ordering::Relaxed);
    }

    /// Whether the step's time is up. Long loops should ask, and end.
    pub fn is_cancelled(&self) -> bool {
        self.deadline
            .is_some_and(|deadline| Instant::now() >= deadline)
    }

    /// An error once the step's time is up: `context.check()?` in a loop ends it.
    ///
    /// # Errors
    ///
    /// [`PipelineError::TimedOut`], once [`StepContext::is_cancelled`].
    pub fn check(&self) -> Result<()> {
        match self.limit {
            Some(limit) if self.is_cancelled() => Err(PipelineError::TimedOut { limit }),
            _ => Ok(()),
        }
    }

    /// How much of the step's time is left; `None` if it has no limit.
    pub fn remaining(&self) -> Option<Duration> {
        let deadline = self.deadline?;
        Some(deadline.saturating_duration_since(Instant::now()))
    }
}
