//! Training the demo model while people wait: whether it runs, and its last words.
//!
//! How it is trained is the business of whoever embeds the server ([`DemoTrainer`]).

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::Serialize;

use crate::error::ApiError;
use crate::hooks::{DemoProgress, DemoTrainer};
use crate::state::WebState;

/// Lines that are kept.
const MAX_LINES: usize = 30;

/// The one demo training of this server.
#[derive(Clone, Default)]
pub(crate) struct Demo {
    state: Arc<Mutex<DemoState>>,
}

/// How the demo training stands.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub(crate) struct DemoState {
    /// Whether there is a way to train one.
    pub(crate) offered: bool,
    pub(crate) phase: Phase,
    /// What it said, the last lines.
    pub(crate) lines: VecDeque<String>,
    /// Why it failed.
    pub(crate) error: Option<String>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Phase {
    #[default]
    Idle,
    Running,
    Done,
    Failed,
}

impl Demo {
    pub(crate) fn state(&self, offered: bool) -> DemoState {
        DemoState {
            offered,
            ..self.lock().clone()
        }
    }

    /// Starts the training on a thread of its own, unless it runs or there is a model: a
    /// demo must not take the place of anybody's own.
    ///
    /// # Errors
    ///
    /// [`ApiError::Conflict`] then.
    pub(crate) fn start(
        &self,
        trainer: Arc<dyn DemoTrainer>,
        server: WebState,
    ) -> Result<(), ApiError> {
        let mut state = self.lock();
        let in_the_way = if state.phase == Phase::Running {
            Some("the demo model is being trained already")
        } else if server.models().current().is_some() {
            Some("there is a model in use already, whose place a demo must not take")
        } else {
            None
        };
        if let Some(reason) = in_the_way {
            return Err(ApiError::Conflict(reason.to_owned()));
        }
        let demo = self.clone();
        std::thread::Builder::new()
            .name("demo".to_owned())
            .spawn(move || demo.train(&*trainer, &server))
            .map_err(|error| ApiError::Internal(format!("cannot start a thread: {error}")))?;
        *state = DemoState {
            phase: Phase::Running,
            ..DemoState::default()
        };
        Ok(())
    }

    fn train(&self, trainer: &dyn DemoTrainer, server: &WebState) {
        let say = |line: &str| {
            let mut state = self.lock();
            if state.lines.len() == MAX_LINES {
                state.lines.pop_front();
            }
            state.lines.push_back(line.to_owned());
        };
        let stopped = || server.is_stopping();
        let progress = DemoProgress {
            say: &say,
            stopped: &stopped,
        };
        // Whoever waits must hear of the end, whatever it is.
        let ended = catch_unwind(AssertUnwindSafe(|| trainer.train(&progress)));
        let ended = ended.unwrap_or_else(|_| Err("the training panicked".to_owned()));
        let mut state = self.lock();
        state.phase = match ended {
            Ok(()) => Phase::Done,
            Err(_) => Phase::Failed,
        };
        state.error = ended.err();
    }

    fn lock(&self) -> MutexGuard<'_, DemoState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
