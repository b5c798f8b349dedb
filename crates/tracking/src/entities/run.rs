//! Runs: one training, evaluation or other computation each.

use std::fmt;
use std::str::FromStr;

use serde::ser::SerializeStruct;
use serde::{Deserialize, Serialize, Serializer};

use super::{
    DatasetInput, ExperimentId, LoggedModelId, Metric, Param, RunId, Tag, UnixMillis, is_zero,
};

/// A run with everything recorded about it, histories of metrics aside.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Run {
    /// Who, when, in which state.
    pub info: RunInfo,
    /// What was logged.
    #[serde(default)]
    pub data: RunData,
    /// What it read.
    #[serde(default)]
    pub inputs: RunInputs,
    /// What it made.
    #[serde(default, skip_serializing_if = "RunOutputs::is_empty")]
    pub outputs: RunOutputs,
}

/// What identifies a run and says how it stands.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct RunInfo {
    /// Given by the store.
    pub run_id: RunId,
    /// The experiment it belongs to.
    pub experiment_id: ExperimentId,
    /// A name for people; also the tag `mlflow.runName`.
    #[serde(default)]
    pub run_name: String,
    /// Who started it.
    #[serde(default)]
    pub user_id: String,
    /// How it stands.
    #[serde(default)]
    pub status: RunStatus,
    /// When it started.
    #[serde(default)]
    pub start_time: UnixMillis,
    /// When it ended, unless it still runs.
    #[serde(default)]
    pub end_time: Option<UnixMillis>,
    /// Under which URI its artifacts lie.
    #[serde(default)]
    pub artifact_uri: String,
    /// Whether it is deleted.
    pub lifecycle_stage: LifecycleStage,
}

impl Serialize for RunInfo {
    /// Writes the identifier twice: old clients read `run_uuid`.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut fields = serializer.serialize_struct("RunInfo", 10)?;
        fields.serialize_field("run_uuid", &self.run_id)?;
        fields.serialize_field("experiment_id", &self.experiment_id)?;
        fields.serialize_field("run_name", &self.run_name)?;
        fields.serialize_field("user_id", &self.user_id)?;
        fields.serialize_field("status", &self.status)?;
        fields.serialize_field("start_time", &self.start_time)?;
        // As protobuf has it, an end at 0 is none.
        match &self.end_time {
            Some(0) | None => fields.skip_field("end_time")?,
            Some(end_time) => fields.serialize_field("end_time", end_time)?,
        }
        fields.serialize_field("artifact_uri", &self.artifact_uri)?;
        fields.serialize_field("lifecycle_stage", &self.lifecycle_stage)?;
        fields.serialize_field("run_id", &self.run_id)?;
        fields.end()
    }
}

/// What a run logged.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct RunData {
    /// The latest point of each metric, sorted by key.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub metrics: Vec<Metric>,
    /// Sorted by key.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub params: Vec<Param>,
    /// Sorted by key.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<Tag>,
}

/// What a run read.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct RunInputs {
    /// Data sets.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub dataset_inputs: Vec<DatasetInput>,
    /// Logged models.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub model_inputs: Vec<ModelInput>,
}

/// What a run made.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct RunOutputs {
    /// Logged models.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub model_outputs: Vec<ModelOutput>,
}

impl RunOutputs {
    fn is_empty(&self) -> bool {
        self.model_outputs.is_empty()
    }
}

/// A logged model that a run read.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ModelInput {
    /// The model.
    pub model_id: LoggedModelId,
}

/// A logged model that a run made.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ModelOutput {
    /// The model.
    pub model_id: LoggedModelId,
    /// The step at which it was made.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub step: i64,
}

/// How a run stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum RunStatus {
    /// It is under way.
    #[default]
    Running,
    /// It waits for its turn.
    Scheduled,
    /// It ended well.
    Finished,
    /// It ended with an error.
    Failed,
    /// Somebody ended it.
    Killed,
}

impl RunStatus {
    const ALL: [Self; 5] = [
        Self::Running,
        Self::Scheduled,
        Self::Finished,
        Self::Failed,
        Self::Killed,
    ];

    /// The status that protobuf knows by this number.
    #[cfg(feature = "server")]
    pub(crate) fn of_number(number: i64) -> Option<Self> {
        let index = usize::try_from(number).ok()?.checked_sub(1)?;
        // They are counted from 1, in this order.
        Self::ALL.get(index).copied()
    }

    /// The status as MLflow writes it, such as `FINISHED`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Running => "RUNNING",
            Self::Scheduled => "SCHEDULED",
            Self::Finished => "FINISHED",
            Self::Failed => "FAILED",
            Self::Killed => "KILLED",
        }
    }
}

impl FromStr for RunStatus {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        Self::ALL
            .into_iter()
            .find(|status| status.as_str() == text)
            .ok_or(())
    }
}

/// Whether something is deleted. What is deleted is kept and can be restored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LifecycleStage {
    /// In use.
    #[default]
    Active,
    /// Deleted.
    Deleted,
}

impl LifecycleStage {
    /// The stage as MLflow writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Deleted => "deleted",
        }
    }
}

impl fmt::Display for LifecycleStage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
