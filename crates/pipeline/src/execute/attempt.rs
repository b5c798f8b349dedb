//! One call of a step's closure: in a thread of its own if its time is limited,
//! and never taking the run down with a panic.

use std::any::Any;
use std::collections::BTreeMap;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crate::cache_key::Ingredients;
use crate::context::StepContext;
use crate::error::{BoxError, PipelineError};
use crate::execute::Runner;
use crate::input::Found;
use crate::locks::Lock;
use crate::outputs::Staged;
use crate::pipeline::Action;
use crate::store::Execution;

/// One call of a step's closure, not made yet.
pub(super) struct Attempt {
    action: Arc<Action>,
    context: Arc<StepContext>,
    found: Arc<Vec<Found>>,
    /// Keeps others from carrying out the same, for as long as this one works.
    lock: Arc<Lock>,
    /// Where an attempt reports that went on when its time was up.
    late: Mutex<Option<Receiver<Outcome>>>,
}

type Outcome = Result<Vec<Staged>, BoxError>;

impl Attempt {
    pub(super) fn new(
        runner: &Runner<'_>,
        step: usize,
        (execution, ingredients): (Execution, &Ingredients),
        attempt: u32,
        (found, lock): (Arc<Vec<Found>>, Arc<Lock>),
    ) -> Self {
        let spec = &runner.pipeline.graph.steps[step];
        let Execution(id) = execution;
        let run_folder = runner.store.staging().join(runner.run.as_str());
        let step = &runner.pipeline.steps[step];
        let context = StepContext {
            store: runner.store.clone(),
            observer: runner.options.observer.clone(),
            run: runner.run.clone(),
            step: spec.name.clone(),
            version: spec.version,
            program: runner.options.program.clone(),
            execution,
            key: ingredients.key(),
            params: ingredients.params.clone(),
            for_this_run_only: AtomicBool::new(false),
            attempt,
            workers: runner.options.workers,
            reuse: runner.options.reuse,
            folder: run_folder.join(format!("{id}-{attempt}")),
            limit: step.policy.timeout,
            // A limit beyond the end of the clock is none.
            deadline: (step.policy.timeout).and_then(|limit| Instant::now().checked_add(limit)),
            attached: Mutex::new(BTreeMap::new()),
        };
        Self {
            action: step.action.clone(),
            context: Arc::new(context),
            found,
            lock,
            late: Mutex::new(None),
        }
    }

    /// Calls the closure, and returns what it wrote.
    pub(super) fn run(
        &self,
        timeout: Option<Duration>,
    ) -> Result<(Vec<Staged>, Arc<StepContext>), BoxError> {
        let folder = self.context.folder.clone();
        fs::create_dir_all(&folder).map_err(|source| PipelineError::Io {
            action: "make the folder",
            path: folder.clone(),
            source,
        })?;
        let staged = match timeout {
            None => call(&self.action, &self.context, &self.found, folder),
            Some(limit) => self.run_within(limit, folder),
        };
        Ok((staged?, self.context.clone()))
    }

    /// Removes what the attempt left behind. Of one that timed out, the thread may
    /// still write there; the collector removes what comes later.
    pub(super) fn clean_up(&self) {
        let _ = fs::remove_dir_all(&self.context.folder);
    }

    /// Whether the attempt has come to its end, if need be after so much time more.
    pub(super) fn has_ended_within(&self, patience: Duration) -> bool {
        let mut late = self.late.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(receiver) = &*late else { return true };
        if matches!(
            receiver.recv_timeout(patience),
            Err(RecvTimeoutError::Timeout)
        ) {
            return false;
        }
        *late = None;
        self.clean_up();
        true
    }

    fn run_within(&self, limit: Duration, folder: PathBuf) -> Outcome {
        let (sender, receiver) = channel();
        let (action, context) = (self.action.clone(), self.context.clone());
        let (found, lock) = (self.found.clone(), self.lock.clone());
        let thread = thread::Builder::new().name(context.step.clone());
        thread.spawn(move || {
            let outcome = call(&action, &context, &found, folder);
            // Who ends late has failed, also if nobody has looked at the clock yet.
            let outcome = context.check().map_err(BoxError::from).and(outcome);
            drop(lock);
            // Nobody may listen any more when the time is up.
            let _ = sender.send(outcome);
        })?;
        match receiver.recv_timeout(limit) {
            Ok(outcome) => outcome,
            Err(RecvTimeoutError::Timeout) => {
                *self.late.lock().unwrap_or_else(PoisonError::into_inner) = Some(receiver);
                Err(PipelineError::TimedOut { limit }.into())
            }
            Err(RecvTimeoutError::Disconnected) => Err(PipelineError::Panicked {
                message: "its thread ended without a result".to_owned(),
            }
            .into()),
        }
    }
}

fn call(action: &Arc<Action>, context: &StepContext, found: &[Found], folder: PathBuf) -> Outcome {
    // What the closure shares with others it must protect itself, as between
    // threads; the store's connection survives a panic.
    let called = catch_unwind(AssertUnwindSafe(|| action(context, found, &folder)));
    called.unwrap_or_else(|panic| Err(panicked(&*panic).into()))
}

/// What code of a step or an observer said when it panicked.
pub(super) fn panicked(panic: &(dyn Any + Send)) -> PipelineError {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
    let message = text.unwrap_or_else(|| "it did not say why".to_owned());
    PipelineError::Panicked { message }
}
