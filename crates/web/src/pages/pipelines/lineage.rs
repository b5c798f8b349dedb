//! Where an artifact comes from, back to the files, and what was made of it.

use biophony_pipeline::{ContentHash, Lineage, LineageStep, SourceOrigin, Store};
use serde::Serialize;
use utoipa::ToSchema;

use super::detail::{Content, StepOutput};
use crate::error::ApiError;

/// The most files from outside that a page names.
const MAX_SOURCES: usize = 200;

/// Both ways from one artifact or file.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub(crate) struct LineagePage {
    /// What is asked about: BLAKE3, in hexadecimal.
    pub(crate) content: String,
    /// The steps that led to it, the nearest first.
    pub(crate) upstream: Vec<LineagePart>,
    /// The files from outside at the beginning.
    pub(crate) sources: Vec<Content>,
    /// How many there are in all.
    pub(crate) n_sources: usize,
    /// The steps that read it or what came of it.
    pub(crate) downstream: Vec<LineagePart>,
}

/// A step on the way.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub(crate) struct LineagePart {
    pub(crate) step: String,
    /// The run in which its code ran. It may have been removed since.
    pub(crate) run: String,
    /// The version of the program.
    pub(crate) program: String,
    /// The commit of the project folder.
    pub(crate) git_commit: Option<String>,
    /// All runs that have this very result.
    pub(crate) runs: Vec<String>,
    pub(crate) inputs: Vec<Content>,
    pub(crate) outputs: Vec<StepOutput>,
}

impl LineagePage {
    /// Walks both ways from the content that begins with these digits.
    ///
    /// # Errors
    ///
    /// When none is known, or the store fails.
    pub(crate) fn load(store: Option<&Store>, digits: &str) -> Result<Self, ApiError> {
        let missing = || {
            ApiError::NotFound(format!(
                "nothing with content `{digits}` is known; a step's outputs lead here"
            ))
        };
        let store = store.ok_or_else(missing)?;
        let content: ContentHash = store.find_content(digits).map_err(|error| match error {
            biophony_pipeline::PipelineError::ContentNotFound { .. } => missing(),
            error => error.into(),
        })?;
        let Lineage { steps, sources, .. } = store.upstream(content)?;
        let downstream = store.downstream(content)?;
        let file = |source: &SourceOrigin| Content {
            name: source.path.display().to_string(),
            content: source.content.to_string(),
        };
        Ok(Self {
            content: content.to_string(),
            upstream: steps.iter().map(LineagePart::new).collect(),
            n_sources: sources.len(),
            sources: sources.iter().take(MAX_SOURCES).map(file).collect(),
            downstream: downstream.steps.iter().map(LineagePart::new).collect(),
        })
    }
}

impl LineagePage {
    /// The first digits, which tell it from others.
    pub(crate) fn short(&self) -> &str {
        &self.content[..self.content.len().min(12)]
    }

    /// Both ways: heading, anchor, steps, and what is said when there are none.
    pub(crate) fn ways(&self) -> [(&'static str, &'static str, &[LineagePart], &'static str); 2] {
        [
            (
                "What led to it",
                "upstream",
                &self.upstream,
                "It came from outside: no step made it.",
            ),
            (
                "What came of it",
                "downstream",
                &self.downstream,
                "No step has read it.",
            ),
        ]
    }
}

impl LineagePart {
    fn new(step: &LineageStep) -> Self {
        Self {
            step: step.ingredients.step.clone(),
            run: step.run.clone(),
            program: step.ingredients.program.clone(),
            git_commit: step.git_commit.clone(),
            runs: step.runs.clone(),
            inputs: step
                .inputs
                .iter()
                .map(|input| Content {
                    name: input.name.clone(),
                    content: input.content.to_string(),
                })
                .collect(),
            outputs: step.outputs.iter().map(StepOutput::new).collect(),
        }
    }

    /// Whether the run is still kept.
    pub(crate) fn is_kept(&self) -> bool {
        self.runs.contains(&self.run)
    }
}
