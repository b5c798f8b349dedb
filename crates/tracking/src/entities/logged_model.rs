//! Logged models: a model's files with what is known about them, before anybody
//! registers it.

use serde::{Deserialize, Serialize};

use super::{ExperimentId, LoggedModelId, Metric, Param, RunId, Tag, UnixMillis};

/// A model that a run logged.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LoggedModel {
    /// What identifies it and how it stands.
    pub info: LoggedModelInfo,
    /// What was recorded about it.
    #[serde(default)]
    pub data: LoggedModelData,
}

/// What identifies a logged model and says how it stands.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LoggedModelInfo {
    /// Given by the store.
    pub model_id: LoggedModelId,
    /// The experiment it belongs to.
    pub experiment_id: ExperimentId,
    /// A name for people.
    #[serde(default)]
    pub name: String,
    /// When it was created.
    #[serde(default)]
    pub creation_timestamp_ms: UnixMillis,
    /// When its state last changed.
    #[serde(default)]
    pub last_updated_timestamp_ms: UnixMillis,
    /// Under which URI its files lie.
    #[serde(default)]
    pub artifact_uri: String,
    /// Whether its files are complete.
    #[serde(default)]
    pub status: LoggedModelStatus,
    /// What kind of model it is, if that was said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model_type: Option<String>,
    /// The run that made it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source_run_id: Option<RunId>,
    /// Sorted by key.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<Tag>,
}

/// What was recorded about a logged model.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct LoggedModelData {
    /// Sorted by key.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub params: Vec<Param>,
    /// Every point, in the order of key, time and step.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub metrics: Vec<Metric>,
}

/// Whether a logged model's files are complete.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum LoggedModelStatus {
    /// Nobody said.
    #[serde(rename = "LOGGED_MODEL_STATUS_UNSPECIFIED")]
    Unspecified,
    /// They are being uploaded.
    #[default]
    #[serde(rename = "LOGGED_MODEL_PENDING")]
    Pending,
    /// They are complete.
    #[serde(rename = "LOGGED_MODEL_READY")]
    Ready,
    /// The upload failed.
    #[serde(rename = "LOGGED_MODEL_UPLOAD_FAILED")]
    UploadFailed,
}

impl LoggedModelStatus {
    /// MLflow's number for the status, which its filters compare with.
    pub fn number(self) -> i64 {
        match self {
            Self::Unspecified => 0,
            Self::Pending => 1,
            Self::Ready => 2,
            Self::UploadFailed => 3,
        }
    }

    /// The status of MLflow's number.
    pub(crate) fn of_number(number: i64) -> Self {
        match number {
            1 => Self::Pending,
            2 => Self::Ready,
            3 => Self::UploadFailed,
            _ => Self::Unspecified,
        }
    }
}
