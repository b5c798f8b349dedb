//! What can go wrong while building, running or asking about pipelines.

use std::path::PathBuf;
use std::time::Duration;

use crate::hash::ContentHash;
use crate::run::RunId;

/// Any error, as a step or a custom artifact may return it.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// A pipeline that cannot be run, a run that failed, or a store that cannot be
/// read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PipelineError {
    /// A name is empty or has a character that the references need.
    #[error("`{name}` is no name for a step, a source or an output: {reason}")]
    BadName {
        /// The name.
        name: String,
        /// What is wrong with it.
        reason: &'static str,
    },

    /// Two steps or sources have one name.
    #[error("two steps or sources are named `{name}`")]
    DuplicateName {
        /// The name.
        name: String,
    },

    /// A step reads something that nothing in the pipeline makes.
    #[error("step `{step}` reads `{input}`, which nothing in the pipeline makes")]
    UnknownInput {
        /// The step that reads.
        step: String,
        /// What it would read.
        input: String,
    },

    /// A step reads something as another type than it is.
    #[error("step `{step}` reads `{input}` as {expected}, but it is {found}")]
    TypeMismatch {
        /// The step that reads.
        step: String,
        /// What it reads.
        input: String,
        /// The type that it expects.
        expected: String,
        /// The type that is made.
        found: String,
    },

    /// Steps wait for each other.
    #[error("these steps wait for each other: {}", steps.join(" → "))]
    Cycle {
        /// The steps in the order in which each waits for the next; the first is
        /// repeated at the end.
        steps: Vec<String>,
    },

    /// A step names more or fewer outputs than it returns, or one twice.
    #[error("step `{step}` returns {n_outputs} output(s), but names them {names:?}")]
    OutputNames {
        /// The step.
        step: String,
        /// Outputs it returns.
        n_outputs: usize,
        /// Names given.
        names: Vec<String>,
    },

    /// A step's parameters are not JSON.
    #[error("the parameters of step `{step}` cannot be written as JSON: {reason}")]
    Parameters {
        /// The step.
        step: String,
        /// What serde said.
        reason: String,
    },

    /// A file or a folder from outside cannot be read.
    #[error("cannot read the source `{path}`")]
    ReadSource {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },

    /// A source is neither a file nor a folder, or is not what was declared.
    #[error("the source `{path}` is not a {expected}")]
    NotASource {
        /// The path.
        path: PathBuf,
        /// `file` or `folder`.
        expected: &'static str,
    },

    /// A source was written to while a step read it.
    #[error("the source `{path}` changed while step `{step}` was reading it; run again")]
    SourceChanged {
        /// The step.
        step: String,
        /// The file.
        path: PathBuf,
    },

    /// The store's files cannot be read or written.
    #[error("cannot {action} `{path}`")]
    Io {
        /// What was tried, as `write` or `lock`.
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },

    /// The database cannot be read or written.
    #[error("the pipeline database `{path}` cannot be used")]
    Database {
        /// The database.
        path: PathBuf,
        /// What SQLite said.
        source: rusqlite::Error,
    },

    /// The database was written by a newer program.
    #[error("`{path}` has schema {found}, this program knows up to {known}; use a newer program")]
    NewerSchema {
        /// The database.
        path: PathBuf,
        /// Its schema's version.
        found: i64,
        /// The newest known version.
        known: i64,
    },

    /// A record in the database is not what this program writes.
    #[error("the pipeline database holds a damaged record: {what}")]
    DamagedRecord {
        /// Which, and what is wrong.
        what: String,
    },

    /// An artifact's file is gone.
    #[error("artifact {} is missing: there is no `{path}`", content.short())]
    MissingArtifact {
        /// What it should hold.
        content: ContentHash,
        /// Where it should be.
        path: PathBuf,
    },

    /// An artifact's bytes are not those that were written.
    #[error("artifact {} is damaged: the bytes of `{path}` have another hash", content.short())]
    DamagedArtifact {
        /// What it should hold.
        content: ContentHash,
        /// Where it is.
        path: PathBuf,
    },

    /// An artifact is intact, but its type cannot read it.
    #[error("cannot read artifact `{name}` as {type_name}")]
    LoadArtifact {
        /// The input's or output's name.
        name: String,
        /// The type that was to be read.
        type_name: String,
        /// What the type said.
        source: BoxError,
    },

    /// An output cannot be written.
    #[error("cannot save output `{name}` at `{path}`")]
    SaveArtifact {
        /// The output's name.
        name: String,
        /// Where it was being written.
        path: PathBuf,
        /// What the type said.
        source: BoxError,
    },

    /// A step failed, and the run with it. The run can be resumed.
    #[error("step `{step}` of run {run} failed")]
    StepFailed {
        /// The run.
        run: RunId,
        /// The step.
        step: String,
        /// What the step said.
        source: BoxError,
    },

    /// Every step has its outputs, and what had to be done with them failed. The run
    /// can be resumed.
    #[error("run {run} made all that it should, but what follows failed")]
    NotConcluded {
        /// The run.
        run: RunId,
        /// What failed.
        source: BoxError,
    },

    /// A step was still going when its time was up, or ended itself because of it.
    #[error("the step took longer than its limit of {} s", limit.as_secs_f64())]
    TimedOut {
        /// The limit.
        limit: Duration,
    },

    /// A step's code panicked.
    #[error("the step's code panicked: {message}")]
    Panicked {
        /// What it said.
        message: String,
    },

    /// There is no such run.
    #[error("there is no run `{run}`")]
    RunNotFound {
        /// The run asked for.
        run: String,
    },

    /// The run has no such step.
    #[error("run {run} has no step `{step}`; it has {}", steps.join(", "))]
    StepNotFound {
        /// The run.
        run: RunId,
        /// The step asked for.
        step: String,
        /// The steps that it has.
        steps: Vec<String>,
    },

    /// The run is being carried out at this moment.
    #[error("run {run} is still going on (process {pid} on {host})")]
    RunBusy {
        /// The run.
        run: RunId,
        /// The process that carries it out.
        pid: u32,
        /// Where.
        host: String,
    },

    /// A run cannot be continued by this pipeline.
    #[error("run {run} cannot be resumed: {reason}")]
    CannotResume {
        /// The run.
        run: RunId,
        /// Why.
        reason: String,
    },

    /// Neither an artifact nor a source file has this content.
    #[error("nothing with content {content} is known")]
    ContentNotFound {
        /// The content asked for.
        content: String,
    },

    /// A hook's address cannot be used.
    #[error("the webhook `{url}` cannot be used: {reason}")]
    BadWebhook {
        /// The address.
        url: String,
        /// Why.
        reason: String,
    },
}

/// This crate's result.
pub(crate) type Result<T, E = PipelineError> = std::result::Result<T, E>;
