//! What the tests share: a folder with a store in it, and small steps.

#![allow(dead_code, reason = "each test file uses some of it")]

use std::fs;
use std::path::PathBuf;

use biophony_pipeline::{
    FinishedRun, Json, Output, Pipeline, PipelineError, RunOptions, RunRecord, Store,
};

/// A fresh folder, with a store in `home`.
pub(crate) struct Bench {
    folder: tempfile::TempDir,
}

impl Bench {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        Self { folder }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().expect("has a parent")).expect("makes the folder");
        fs::write(path, text).expect("writes");
    }

    /// The store, opened anew as by another process.
    pub(crate) fn store(&self) -> Store {
        Store::open(&self.path("home")).expect("opens")
    }

    pub(crate) fn options(&self) -> RunOptions {
        let mut options = RunOptions::new("1");
        options.workers = 2;
        options
    }
}

/// The run that failed, and what its error says with all causes.
pub(crate) fn failure(outcome: Result<FinishedRun, PipelineError>) -> (String, String) {
    let error = outcome.err().expect("fails");
    let PipelineError::StepFailed { run, source, .. } = &error else {
        panic!("{error}")
    };
    (run.to_string(), format!("{error}: {source}"))
}

/// A step that makes a number.
pub(crate) fn constant_step(pipeline: &mut Pipeline, name: &str, value: i64) -> Output<Json<i64>> {
    let step = pipeline.step(name).params(&value);
    step.run((), move |_, ()| Ok::<_, PipelineError>(Json(value)))
}

/// A step that makes a number of a number.
pub(crate) fn number_step(
    pipeline: &mut Pipeline,
    name: &str,
    input: &Output<Json<i64>>,
    f: impl Fn(i64) -> i64 + Send + Sync + 'static,
) -> Output<Json<i64>> {
    let step = pipeline.step(name);
    step.run(input, move |_, Json(n)| Ok::<_, PipelineError>(Json(f(n))))
}

/// Compares the steps' states with a list as `read ran, double cached`.
#[track_caller]
pub(crate) fn check_states(run: &RunRecord, expected: &str) {
    let states: Vec<String> = run
        .steps
        .iter()
        .map(|step| format!("{} {}", step.step, step.state))
        .collect();
    assert_eq!(states.join(", "), expected);
}
