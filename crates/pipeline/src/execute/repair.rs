//! The inputs of a step that is about to run: verified, and made again where an
//! artifact is missing or damaged.

use crate::cache_key::Ingredients;
use crate::error::{PipelineError, Result};
use crate::execute::{Progress, Runner};
use crate::hash::ContentHash;
use crate::input::Found;

/// An input that was read from another step and is not whole.
pub(super) struct BadInput {
    producer: usize,
    content: ContentHash,
    error: PipelineError,
}

impl Runner<'_> {
    /// The inputs as files, each verified in full.
    pub(super) fn find_inputs(
        &self,
        step: usize,
        ingredients: &Ingredients,
    ) -> Result<Result<Vec<Found>, BadInput>> {
        let mut found = Vec::new();
        let specs = &self.pipeline.graph.steps[step].inputs;
        for (spec, (name, content)) in specs.iter().zip(&ingredients.inputs) {
            let (name, content) = (name.clone(), *content);
            let graph = &self.pipeline.graph;
            if let Some(source) = graph.sources.iter().position(|s| s.name == spec.from) {
                let source = &self.sources[source];
                let (path, entries) = (source.path.clone(), source.entries.clone());
                found.push(Found {
                    name,
                    path,
                    content,
                    entries,
                });
                continue;
            }
            match self.store.objects().verify(content) {
                Ok(path) => {
                    let entries = Default::default();
                    found.push(Found {
                        name,
                        path,
                        content,
                        entries,
                    });
                }
                Err(error) => {
                    let producer = graph.steps.iter().position(|s| s.name == spec.from);
                    let producer = producer.expect("was checked");
                    return Ok(Err(BadInput {
                        producer,
                        content,
                        error,
                    }));
                }
            }
        }
        Ok(Ok(found))
    }

    /// Has the step run again that made a damaged artifact.
    pub(super) fn make_again(&self, reader: usize, bad: &BadInput) -> Result<()> {
        let _alone = self.repair.lock();
        if self.store.objects().verify(bad.content).is_ok() {
            return Ok(());
        }
        self.make_again_locked(reader, bad)
    }

    /// As [`Runner::make_again`], for who holds the lock already: the step that is
    /// made again may itself find its inputs damaged.
    pub(super) fn make_again_locked(&self, reader: usize, bad: &BadInput) -> Result<()> {
        let reader = &self.pipeline.graph.steps[reader].name;
        let reason = format!("step `{reader}` needs its output, but {}", bad.error);
        let outputs = self
            .obtain_because(bad.producer, Some(&reason))
            .map_err(|error| self.blame(bad.producer, error))?;
        self.board().progress[bad.producer] = Progress::Done(outputs);
        Ok(())
    }
}
