//! Typed steps in a graph, cached by content, with lineage.
//!
//! A [`Pipeline`] is built from steps that read each other's [`Output`]s, and is
//! checked before anything runs. A [`Store`] keeps what they make, under the
//! BLAKE3 of its bytes, and knows of each result what it was made from. A step
//! runs only when one of its [`Ingredients`] changed.
//!
//! ```
//! use biophony_pipeline::{Json, Pipeline, RunOptions, SourceFile, StepState, Store};
//! # let folder = tempfile::tempdir()?;
//! # let folder = folder.path();
//! # std::fs::write(folder.join("notes.txt"), "owl\nowl\nwren\n")?;
//! let mut pipeline = Pipeline::new("count");
//! let notes = pipeline.file("notes", folder.join("notes.txt"));
//! let words = pipeline.step("split").run(&notes, |_, notes: SourceFile| {
//!     let text = std::fs::read_to_string(notes.path)?;
//!     std::io::Result::Ok(Json(text.lines().map(str::to_owned).collect::<Vec<_>>()))
//! });
//! // Fan-out over a parameter, fan-in afterwards.
//! let counts: Vec<_> = ["owl", "wren"]
//!     .map(|bird| {
//!         let step = pipeline.step(&format!("count-{bird}")).params(&bird);
//!         step.run(&words, move |context, Json(words)| {
//!             context.info(format!("counting {bird}s"));
//!             std::io::Result::Ok(Json(words.iter().filter(|word| *word == bird).count()))
//!         })
//!     })
//!     .into();
//! let most = pipeline.step("most").run(&counts, |_, counts: Vec<Json<usize>>| {
//!     let most = counts.into_iter().map(|Json(count)| count).max();
//!     most.map(Json).ok_or("nothing to count")
//! });
//!
//! let store = Store::open(&folder.join(".pipeline"))?;
//! let options = RunOptions::new(env!("CARGO_PKG_VERSION"));
//! let first = pipeline.run(&store, &options)?;
//! assert_eq!(first.load(&most)?, Json(2));
//! let second = pipeline.run(&store, &options)?;
//! assert!(second.record.steps.iter().all(|step| step.state == StepState::Cached));
//! # Ok::<(), Box<dyn std::error::Error + Send + Sync>>(())
//! ```
//!
//! # What is promised
//!
//! - Equal [`Ingredients`], equal result: what is not an ingredient cannot make a
//!   step run, and what is one cannot change without making it run. Files from
//!   outside count by their bytes, however old they claim to be.
//! - An artifact that is missing or damaged is made again, and the run says so. No
//!   damaged artifact is ever given to a step.
//! - A process may be killed at any instant. [`Pipeline::resume`] continues; what
//!   had finished is not run again.
//! - Any number of processes may use one store at once. Two that want the same
//!   result make it once.
//!
//! # What the crate does not do
//!
//! It knows nothing of sound, models or experiments: the concrete steps live in
//! the binary, and reach the outside through a [`RunObserver`]. It does not stop
//! a step's code that does not want to stop ([`StepBuilder::timeout`]), and runs
//! on one machine.

mod artifact;
mod cache_key;
mod canonical;
mod context;
mod error;
mod execute;
mod fingerprint;
mod finished;
mod format;
mod graph;
mod hash;
mod hooks;
mod input;
mod locks;
mod machine;
mod memo;
mod objects;
mod options;
mod outputs;
mod parallel;
mod picture;
mod pipeline;
mod run;
mod sources;
mod store;

pub use artifact::{
    Artifact, Bytes, CsvFile, Folder, Json, Metadata, NpyFile, ParquetFile, SafetensorsFile,
    SavedFile,
};
pub use cache_key::{Change, Ingredients};
pub use context::StepContext;
pub use error::{BoxError, PipelineError};
pub use execute::Conclusion;
pub use finished::FinishedRun;
pub use format::Format;
pub use graph::{Graph, InputSpec, OutputSpec, SourceSpec, StepSpec};
pub use hash::{ContentHash, NotAHash};
pub use hooks::{Hook, Webhook};
pub use input::{
    Found, FoundInputs, Input, InputReader, Inputs, Output, SourceEntry, SourceFile, SourceFolder,
};
pub use memo::MemoValue;
pub use options::{Reuse, RunObserver, RunOptions, Silent};
pub use outputs::{Outputs, Staging};
pub use pipeline::{Pipeline, StepBuilder};
pub use run::{
    InputRecord, Level, LogLine, OutputRecord, RunId, RunRecord, RunState, RunSummary, StepRecord,
    StepState,
};
pub use store::{
    Collected, Comparison, Difference, Explanation, FileChanges, Lineage, LineageStep, Pin,
    SourceOrigin, Store,
};
