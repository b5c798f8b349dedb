//! What is said of a step: lines of its log, how it ended, which error it met.

use crate::cache_key::Ingredients;
use crate::error::{BoxError, PipelineError};
use crate::execute::Runner;
use crate::hash::ContentHash;
use crate::run::{InputRecord, Level, LogLine, OutputRecord, StepRecord, now_ms};
use crate::store::StepEnd;

impl Runner<'_> {
    pub(super) fn say(&self, step: usize, level: Level, text: String) {
        let line = LogLine {
            step: self.pipeline.graph.steps[step].name.clone(),
            at_ms: now_ms(),
            level,
            text,
        };
        // A broken store shows in the writes that matter.
        let _ = self.store.log(self.run, &line);
        self.options.observer.line_logged(self.run, &line);
    }

    pub(super) fn tell_finished(
        &self,
        ingredients: &Ingredients,
        outputs: &[OutputRecord],
        end: &StepEnd,
    ) {
        let input = |(name, content): &(String, ContentHash)| InputRecord {
            name: name.clone(),
            content: *content,
        };
        let record = StepRecord {
            step: ingredients.step.clone(),
            state: end.state,
            reason: end.reason.clone(),
            started_ms: end.started_ms,
            duration_ms: end.duration_ms,
            peak_memory_bytes: end.peak_memory_bytes,
            n_attempts: end.n_attempts,
            error: end.error.clone(),
            key: Some(ingredients.key()),
            inputs: ingredients.inputs.iter().map(input).collect(),
            outputs: outputs.to_vec(),
        };
        self.options.observer.step_finished(self.run, &record);
    }

    pub(super) fn step_failed(&self, step: &str, source: BoxError) -> PipelineError {
        PipelineError::StepFailed {
            run: self.run.clone(),
            step: step.to_owned(),
            source,
        }
    }

    /// Says which step an error of the store met.
    pub(super) fn blame(&self, step: usize, error: PipelineError) -> PipelineError {
        if matches!(error, PipelineError::StepFailed { .. }) {
            return error;
        }
        self.step_failed(&self.pipeline.graph.steps[step].name, error.into())
    }
}
