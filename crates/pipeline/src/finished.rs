//! A run that finished, and reading what runs made.

use std::path::PathBuf;
use std::sync::Arc;

use crate::error::{BoxError, PipelineError, Result};
use crate::graph::reference;
use crate::hash::ContentHash;
use crate::input::{Found, Input, Output};
use crate::run::{OutputRecord, RunId, RunRecord};
use crate::store::Store;

/// A run that finished, and the way to its outputs.
pub struct FinishedRun {
    pub(crate) store: Store,
    /// The run with all its steps.
    pub record: RunRecord,
}

impl FinishedRun {
    /// The run's name.
    pub fn id(&self) -> &RunId {
        &self.record.summary.id
    }

    /// What a step made: content, length, metadata.
    ///
    /// # Errors
    ///
    /// When the handle is of another pipeline, or of a source.
    pub fn output<T>(&self, output: &Output<T>) -> Result<&OutputRecord> {
        let missing = || PipelineError::StepNotFound {
            run: self.id().clone(),
            step: reference(&output.from, &output.output),
            steps: self.record.step_names(),
        };
        let step = self.record.step(&output.from).ok_or_else(missing)?;
        let found = step
            .outputs
            .iter()
            .find(|record| *record.name == *output.output);
        found.ok_or_else(missing)
    }

    /// Reads what a step made, verified.
    ///
    /// # Errors
    ///
    /// As [`FinishedRun::output`]; also when the artifact is missing, damaged or
    /// of another type.
    pub fn load<T: Input>(&self, output: &Output<T>) -> Result<T> {
        let record = self.output(output)?;
        self.store.load(record)
    }
}

impl Store {
    /// Reads an artifact as a value, verified.
    ///
    /// # Errors
    ///
    /// When it is missing, damaged, or of another type.
    pub fn load<T: Input>(&self, output: &OutputRecord) -> Result<T> {
        let error = |source: BoxError| PipelineError::LoadArtifact {
            name: output.name.clone(),
            type_name: T::type_name(),
            source,
        };
        if T::type_name() != output.type_name {
            return Err(error(format!("it is of type {}", output.type_name).into()));
        }
        let found = Found {
            name: output.name.clone(),
            path: self.objects().verify(output.content)?,
            content: output.content,
            entries: Arc::default(),
        };
        T::read(&found).map_err(error)
    }

    /// Where an artifact lies, verified: to be read, never written to.
    ///
    /// # Errors
    ///
    /// When it is missing or damaged.
    pub fn artifact_path(&self, content: ContentHash) -> Result<PathBuf> {
        self.objects().verify(content)
    }
}
