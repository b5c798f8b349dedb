//! Carrying out a run: sources first, then every step as soon as what it reads
//! is there.
//!
//! What happens to one step lives in [`step`], one call of its closure in
//! [`attempt`], and what is done about damaged inputs in [`repair`].

mod attempt;
mod repair;
mod step;
mod tell;

pub(crate) use step::Kept;

use std::collections::BTreeSet;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::Ordering;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

use crate::error::{BoxError, PipelineError, Result};
use crate::finished::FinishedRun;
use crate::machine;
use crate::options::RunOptions;
use crate::pipeline::Pipeline;
use crate::run::{OutputRecord, RunId, RunRecord, RunState, RunSummary, now_ms};
use crate::sources::FoundSource;
use crate::store::Store;

/// How it ended what was left to do with a run whose steps have all been done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Conclusion<T> {
    /// It is done, and the run has finished.
    Done(T),
    /// What the steps rest on has changed meanwhile. The run is left as if its
    /// process had died, for the caller to resume at once; no hook is called.
    Anew,
}

impl Pipeline {
    /// Checks the pipeline and runs it: every step whose ingredients changed,
    /// independent ones side by side.
    ///
    /// # Errors
    ///
    /// The first fault of the pipeline, before anything runs; or
    /// [`PipelineError::StepFailed`]. The failed run stays in the store and can be
    /// resumed.
    pub fn run(&self, store: &Store, options: &RunOptions) -> Result<FinishedRun> {
        let done = |_: &FinishedRun| Ok(Conclusion::Done(()));
        Ok(self.run_then(store, options, done)?.0)
    }

    /// As [`Pipeline::run`], with something to do when every step has its outputs
    /// and before the run counts as finished and hooks are called. A process that
    /// dies meanwhile leaves a run that can be resumed, so `conclude` must bear
    /// being done twice.
    ///
    /// # Errors
    ///
    /// As [`Pipeline::run`]; also [`PipelineError::NotConcluded`].
    pub fn run_then<T>(
        &self,
        store: &Store,
        options: &RunOptions,
        conclude: impl FnOnce(&FinishedRun) -> Result<Conclusion<T>, BoxError>,
    ) -> Result<(FinishedRun, Conclusion<T>)> {
        self.check()?;
        let begun = (RunId::fresh(now_ms()), now_ms());
        self.carry_out(store, options, begun, conclude)
    }

    /// Continues a run that failed or was killed. Steps that had finished are
    /// answered from the cache, unless something they depend on has changed.
    ///
    /// # Errors
    ///
    /// As [`Pipeline::run`]; also when there is no such run, it is going on, has
    /// finished, or is of a pipeline with other steps.
    pub fn resume(&self, store: &Store, run: &RunId, options: &RunOptions) -> Result<FinishedRun> {
        let done = |_: &FinishedRun| Ok(Conclusion::Done(()));
        Ok(self.resume_then(store, run, options, done)?.0)
    }

    /// As [`Pipeline::resume`], with something to do at the end: see
    /// [`Pipeline::run_then`].
    ///
    /// # Errors
    ///
    /// As [`Pipeline::resume`]; also [`PipelineError::NotConcluded`].
    pub fn resume_then<T>(
        &self,
        store: &Store,
        run: &RunId,
        options: &RunOptions,
        conclude: impl FnOnce(&FinishedRun) -> Result<Conclusion<T>, BoxError>,
    ) -> Result<(FinishedRun, Conclusion<T>)> {
        self.check()?;
        let before = store.run(run)?;
        let refuse = |reason: &str| PipelineError::CannotResume {
            run: run.clone(),
            reason: reason.to_owned(),
        };
        if before.summary.pipeline != self.graph.pipeline {
            let reason = format!("it is of the pipeline `{}`", before.summary.pipeline);
            return Err(refuse(&reason));
        }
        if before.summary.state == RunState::Finished {
            return Err(refuse("it has finished"));
        }
        let [old, new] = [&before.graph, &self.graph].map(|graph| {
            graph
                .steps
                .iter()
                .map(|step| &step.name)
                .collect::<BTreeSet<_>>()
        });
        if old != new {
            return Err(refuse("its pipeline had other steps"));
        }
        let begun = (run.clone(), before.summary.started_ms);
        self.carry_out(store, options, begun, conclude)
    }

    fn carry_out<T>(
        &self,
        store: &Store,
        options: &RunOptions,
        (id, started_ms): (RunId, i64),
        conclude: impl FnOnce(&FinishedRun) -> Result<Conclusion<T>, BoxError>,
    ) -> Result<(FinishedRun, Conclusion<T>)> {
        let Some(_lock) = store.locks().run(&id)? else {
            let run = store.run_summary(&id)?;
            return Err(PipelineError::RunBusy {
                run: id,
                pid: run.pid,
                host: run.host,
            });
        };
        let mut summary = RunSummary {
            id: id.clone(),
            pipeline: self.graph.pipeline.clone(),
            state: RunState::Running,
            started_ms,
            finished_ms: None,
            program: options.program.clone(),
            git_commit: options.project.as_deref().and_then(machine::git_commit),
            host: machine::host(),
            pid: std::process::id(),
            error: None,
            config: options.config.clone(),
        };
        store.begin_run(&summary, &self.graph)?;
        options
            .observer
            .run_started(&id, &summary.pipeline, self.steps.len());
        let outcome = Runner::run(self, store, options, &id);
        let _ = fs::remove_dir_all(store.staging().join(id.as_str()));
        let outcome = outcome.and_then(|()| {
            let store = store.clone();
            let record = store.run(&id)?;
            let run = FinishedRun { store, record };
            match conclude(&run) {
                Ok(conclusion) => Ok((run, conclusion)),
                Err(source) => Err(PipelineError::NotConcluded {
                    run: id.clone(),
                    source,
                }),
            }
        });
        if let Ok((_, Conclusion::Anew)) = outcome {
            return outcome;
        }

        summary.finished_ms = Some(now_ms());
        match &outcome {
            Ok(_) => summary.state = RunState::Finished,
            Err(error) => {
                // Who wanted the run to end soon broke it off.
                summary.state = match options.hurry.load(Ordering::Relaxed) {
                    true => RunState::Interrupted,
                    false => RunState::Failed,
                };
                summary.error = Some(chain(error));
            }
        }
        let names = self
            .graph
            .steps
            .iter()
            .map(|step| step.name.as_str())
            .enumerate();
        let ended = store.end_run(&summary, &names.collect::<Vec<_>>());
        // Why the run failed matters more than that it could not be written down.
        let (mut run, conclusion) = match outcome.and_then(|run| ended.map(|()| run)) {
            Ok(done) => done,
            Err(error) => {
                if let Ok(record) = store.run(&id) {
                    self.announce(store, options, &record);
                }
                return Err(error);
            }
        };
        run.record = store.run(&id)?;
        self.announce(store, options, &run.record);
        Ok((run, conclusion))
    }

    fn announce(&self, store: &Store, options: &RunOptions, record: &RunRecord) {
        options.observer.run_finished(record);
        crate::hooks::call(store, options, record);
    }
}

/// What the workers of a run share.
struct Runner<'a> {
    pipeline: &'a Pipeline,
    store: &'a Store,
    options: &'a RunOptions,
    run: &'a RunId,
    sources: Vec<FoundSource>,
    needs: Vec<BTreeSet<usize>>,
    board: Mutex<Board>,
    changed: Condvar,
    /// Held while a damaged artifact is made again, so that two steps that read it
    /// do not both have it made.
    repair: Mutex<()>,
}

/// How far each step has come.
struct Board {
    progress: Vec<Progress>,
    failure: Option<PipelineError>,
}

enum Progress {
    Waiting,
    Running,
    Done(Vec<OutputRecord>),
}

impl<'a> Runner<'a> {
    fn run(
        pipeline: &'a Pipeline,
        store: &'a Store,
        options: &'a RunOptions,
        run: &'a RunId,
    ) -> Result<()> {
        let sources = pipeline
            .sources
            .iter()
            .map(|source| FoundSource::find(store, source));
        let runner = Runner {
            pipeline,
            store,
            options,
            run,
            sources: sources.collect::<Result<_>>()?,
            needs: pipeline.graph.needs(),
            board: Mutex::new(Board {
                progress: pipeline.steps.iter().map(|_| Progress::Waiting).collect(),
                failure: None,
            }),
            changed: Condvar::new(),
            repair: Mutex::new(()),
        };
        let n_workers = options.workers.min(pipeline.steps.len());
        thread::scope(|scope| {
            for _ in 1..n_workers {
                scope.spawn(|| runner.work());
            }
            runner.work();
        });
        let board = runner
            .board
            .into_inner()
            .unwrap_or_else(PoisonError::into_inner);
        board.failure.map_or(Ok(()), Err)
    }

    /// Takes one ready step after the other until none is left or one failed.
    fn work(&self) {
        while let Some(step) = self.next_step() {
            // A panic of an observer must not leave the other workers waiting.
            let outcome = catch_unwind(AssertUnwindSafe(|| self.obtain(step)));
            let outcome =
                outcome.unwrap_or_else(|panic| Err(self.blame(step, attempt::panicked(&*panic))));
            let mut board = self.board();
            match outcome {
                Ok(outputs) => board.progress[step] = Progress::Done(outputs),
                Err(error) => {
                    board.failure.get_or_insert(error);
                }
            }
            drop(board);
            self.changed.notify_all();
        }
    }

    fn next_step(&self) -> Option<usize> {
        let mut board = self.board();
        loop {
            if board.failure.is_some() {
                return None;
            }
            let is_done = |step: &usize| matches!(board.progress[*step], Progress::Done(_));
            let is_ready = |step: &usize| {
                matches!(board.progress[*step], Progress::Waiting)
                    && self.needs[*step].iter().all(is_done)
            };
            let n_steps = board.progress.len();
            if let Some(step) = (0..n_steps).find(is_ready) {
                board.progress[step] = Progress::Running;
                return Some(step);
            }
            // With nothing waiting there is nothing more to take; with something
            // waiting, something it needs is running.
            if !board
                .progress
                .iter()
                .any(|p| matches!(p, Progress::Waiting))
            {
                return None;
            }
            board = self
                .changed
                .wait(board)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn board(&self) -> MutexGuard<'_, Board> {
        self.board.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An error with everything that caused it, in one line.
pub(crate) fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
