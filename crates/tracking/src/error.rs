//! What can go wrong while tracking.
//!
//! The messages of refusals are MLflow's own, word for word, because people search
//! for them and some clients match them. [`TrackingError::code`] gives MLflow's
//! error code; the HTTP form of an error lives in [`crate::server`].

use std::path::PathBuf;

use crate::entities::{ExperimentId, LoggedModelId, RunId};

/// The result of everything in this crate.
pub type Result<T> = std::result::Result<T, TrackingError>;

/// A request that the store refuses, or a store that fails.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TrackingError {
    /// No experiment has this identifier.
    #[error("No Experiment with id={0} exists")]
    ExperimentNotFound(ExperimentId),

    /// No experiment has this name.
    #[error("Could not find experiment with name '{0}'")]
    ExperimentNameNotFound(String),

    /// No run has this identifier.
    #[error("Run with id={0} not found")]
    RunNotFound(RunId),

    /// No logged model has this identifier.
    #[error("Logged model with ID '{0}' not found.")]
    LoggedModelNotFound(LoggedModelId),

    /// No registered model has this name.
    #[error("Registered Model with name={0} not found")]
    RegisteredModelNotFound(String),

    /// The registered model has no such version.
    #[error("Model Version (name={name}, version={version}) not found")]
    ModelVersionNotFound {
        /// The registered model.
        name: String,
        /// The version asked for, which may be a number that no version has.
        version: i64,
    },

    /// The registered model has no such alias. MLflow counts this as an invalid
    /// parameter, not as a missing resource.
    #[error("Registered model alias {0} not found.")]
    AliasNotFound(String),

    /// The registered model has no versions, so none of them is the latest.
    #[error("Latest version not found for model {0}.")]
    LatestVersionNotFound(String),

    /// An entity has no tag of this key.
    #[error("{0}")]
    TagNotFound(String),

    /// There is no such file or folder among the artifacts.
    #[error("No such artifact: '{0}'")]
    ArtifactNotFound(String),

    /// The name is taken.
    #[error("{0}")]
    AlreadyExists(String),

    /// A value, name, filter or page token that makes no sense.
    #[error("{0}")]
    InvalidParameter(String),

    /// The request makes sense, but not in the state the entity is in.
    #[error("{0}")]
    InvalidState(String),

    /// Nothing was deployed before, so there is nothing to go back to.
    #[error("Registered Model with name={0} has no alias 'previous' to roll back to")]
    NothingToRollBack(String),

    /// The caller's role does not allow this.
    #[error("{0}")]
    PermissionDenied(String),

    /// The caller has not said who they are.
    #[error("{0}")]
    Unauthenticated(String),

    /// A request of another form than the route takes, a metric of a logged model that is
    /// not there, or one that would change what a logged model has.
    #[error("{0}")]
    BadRequest(String),

    /// The request is larger than the server takes.
    #[error("{0}")]
    TooLarge(String),

    /// A part of MLflow that is not here.
    #[error("{0}")]
    NotImplemented(String),

    /// The database file cannot be opened, or is no tracking database.
    #[error("cannot open the tracking database `{path}`")]
    Open {
        /// The file.
        path: PathBuf,
        /// What SQLite said.
        source: rusqlite::Error,
    },

    /// The database was written by a newer program.
    #[error(
        "the tracking database has schema {found}, this program knows up to {known}; \
         use the newer program that wrote it"
    )]
    NewerSchema {
        /// The schema of the file.
        found: u32,
        /// The newest schema known here.
        known: u32,
    },

    /// Something that the database holds is not what was written.
    #[error(
        "the tracking database is damaged: in its table `metrics`, a row with run = {run}, \
         block = {block} and key = {key} holds no points that can be read"
    )]
    DamagedPoints {
        /// The column `run`.
        run: i64,
        /// The column `block`.
        block: i64,
        /// The column `key`.
        key: i64,
    },

    /// The database failed while it was in use.
    #[error("the tracking database failed: {0}")]
    Database(#[from] rusqlite::Error),

    /// The remote server refused.
    #[error("{message}")]
    Remote {
        /// Its code.
        code: ErrorCode,
        /// Its words.
        message: String,
    },

    /// The remote server cannot be reached, or what answers is no MLflow server.
    #[error("the tracking server at {uri} cannot be reached: {reason}")]
    Unreachable {
        /// Where it should be.
        uri: String,
        /// What went wrong.
        reason: String,
    },

    /// Where runs should be copied to is where they come from.
    #[error("the server serves this very store: what is recorded here is there already")]
    SameStore,

    /// A fault in this program.
    #[error("the request failed inside the server")]
    Panicked,

    /// A file of the artifact store cannot be read or written.
    #[error("cannot {doing} `{path}`")]
    ArtifactIo {
        /// What was being done, such as `write`.
        doing: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
}

/// MLflow's error codes, as far as they occur here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum ErrorCode {
    ResourceDoesNotExist,
    ResourceAlreadyExists,
    InvalidParameterValue,
    InvalidState,
    PermissionDenied,
    Unauthenticated,
    BadRequest,
    NotImplemented,
    TemporarilyUnavailable,
    InternalError,
}

impl TrackingError {
    /// MLflow's code for this error.
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::ExperimentNotFound(_)
            | Self::ExperimentNameNotFound(_)
            | Self::RunNotFound(_)
            | Self::LoggedModelNotFound(_)
            | Self::RegisteredModelNotFound(_)
            | Self::ModelVersionNotFound { .. }
            | Self::LatestVersionNotFound(_)
            | Self::TagNotFound(_)
            | Self::ArtifactNotFound(_) => ErrorCode::ResourceDoesNotExist,
            Self::AlreadyExists(_) => ErrorCode::ResourceAlreadyExists,
            Self::InvalidParameter(_) | Self::AliasNotFound(_) => ErrorCode::InvalidParameterValue,
            Self::InvalidState(_) | Self::NothingToRollBack(_) | Self::SameStore => {
                ErrorCode::InvalidState
            }
            Self::PermissionDenied(_) => ErrorCode::PermissionDenied,
            Self::Unauthenticated(_) => ErrorCode::Unauthenticated,
            Self::BadRequest(_) | Self::TooLarge(_) => ErrorCode::BadRequest,
            Self::NotImplemented(_) => ErrorCode::NotImplemented,
            Self::Remote { code, .. } => *code,
            Self::Unreachable { .. } => ErrorCode::TemporarilyUnavailable,
            Self::Open { .. }
            | Self::NewerSchema { .. }
            | Self::DamagedPoints { .. }
            | Self::Database(_)
            | Self::Panicked
            | Self::ArtifactIo { .. } => ErrorCode::InternalError,
        }
    }

    /// Shorthand for [`TrackingError::InvalidParameter`].
    pub(crate) fn invalid(message: impl Into<String>) -> Self {
        Self::InvalidParameter(message.into())
    }
}

impl ErrorCode {
    const ALL: [Self; 10] = [
        Self::ResourceDoesNotExist,
        Self::ResourceAlreadyExists,
        Self::InvalidParameterValue,
        Self::InvalidState,
        Self::PermissionDenied,
        Self::Unauthenticated,
        Self::BadRequest,
        Self::NotImplemented,
        Self::TemporarilyUnavailable,
        Self::InternalError,
    ];

    /// The code that is written so, if it occurs here.
    pub fn of_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|code| code.as_str() == name)
    }

    /// The code as it is written in an error body.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ResourceDoesNotExist => "RESOURCE_DOES_NOT_EXIST",
            Self::ResourceAlreadyExists => "RESOURCE_ALREADY_EXISTS",
            Self::InvalidParameterValue => "INVALID_PARAMETER_VALUE",
            Self::InvalidState => "INVALID_STATE",
            Self::PermissionDenied => "PERMISSION_DENIED",
            Self::Unauthenticated => "UNAUTHENTICATED",
            Self::BadRequest => "BAD_REQUEST",
            Self::NotImplemented => "NOT_IMPLEMENTED",
            Self::TemporarilyUnavailable => "TEMPORARILY_UNAVAILABLE",
            Self::InternalError => "INTERNAL_ERROR",
        }
    }
}
