//! Experiments, runs, metrics, artifacts and a model registry, with MLflow's
//! notions, names and formats.
//!
//! The way through the crate:
//!
//! 1. [`SqliteStore::open`] opens the embedded store; [`TrackingStore`] is what it
//!    and every other store can do.
//! 2. [`TrackingStore::create_run`] starts a run, [`TrackingStore::log_batch`]
//!    records metrics, parameters and tags, [`TrackingStore::finish_run`] ends it.
//! 3. [`TrackingStore::create_model_version`] registers a model,
//!    [`TrackingStore::promote`] puts a version into use and
//!    [`TrackingStore::rollback`] takes it back.
//! 4. [`RemoteStore`] is a server elsewhere; [`Mirror`] sends it what was recorded
//!    here, files and models included, at once or later.
//! 5. [`ArtifactStore`] keeps files; [`server`] offers all of it over HTTP, as
//!    MLflow's own server would.
//!
//! Nothing here knows sounds, networks or pipelines: the binary joins them.

#![forbid(unsafe_code)]

mod artifacts;
mod check;
mod entities;
mod error;
mod names;
mod requests;
mod search;
#[cfg(feature = "server")]
pub mod server;
mod store;
mod sync;

pub use artifacts::{ArtifactPath, ArtifactStore, FileInfo};
pub use entities::{
    Alias, AliasMove, Dataset, DatasetInput, DatasetSummary, Experiment, ExperimentId, KeyValue,
    LifecycleStage, LoggedModel, LoggedModelData, LoggedModelId, LoggedModelInfo,
    LoggedModelStatus, Metric, ModelInput, ModelOutput, ModelVersion, Param, RegisteredModel, Run,
    RunData, RunId, RunInfo, RunInputs, RunOutputs, RunStatus, Stage, Tag, UnixMillis, value_of,
};
pub use error::{ErrorCode, Result, TrackingError};
pub use requests::{
    CreateExperiment, CreateLoggedModel, CreateModelVersion, CreateRegisteredModel, CreateRun,
    DatasetFilter, LogBatch, LoggedModelOrder, Page, Search, SearchLoggedModels, UpdateRun,
    ViewType, now,
};
#[cfg(feature = "remote")]
pub use store::RemoteStore;
pub use store::{CHAMPION, Imported, PREVIOUS, SqliteStore, TrackingStore, experiment_named};
#[cfg(feature = "remote")]
pub use sync::{AliasConflict, AliasMoves, Mirror, Mirrored, Overwrite};
pub use sync::{
    COPY_OF, SEND_TO, copied_to, copy_pending, copy_run, forget_copies, is_copied, pending,
};
