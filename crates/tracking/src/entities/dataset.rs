//! Data sets that runs read.

use serde::{Deserialize, Serialize};

use super::{ExperimentId, Tag};

/// A data set, identified within its experiment by name and digest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dataset {
    /// What people call it.
    pub name: String,
    /// A short hash of its content.
    pub digest: String,
    /// The kind of source, such as `local`.
    #[serde(default)]
    pub source_type: String,
    /// Where it came from, as JSON of the source's kind.
    #[serde(default)]
    pub source: String,
    /// Its columns, as JSON.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schema: Option<String>,
    /// Its size and other figures, as JSON.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub profile: Option<String>,
}

/// A data set in the part it plays in a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DatasetInput {
    /// Tags of this use; `mlflow.data.context` says whether it trained or tested.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<Tag>,
    /// The data set.
    pub dataset: Dataset,
}

/// A data set that some run of an experiment reads, in one of the parts it plays.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct DatasetSummary {
    /// The experiment.
    pub experiment_id: ExperimentId,
    /// What people call it.
    pub name: String,
    /// A short hash of its content.
    pub digest: String,
    /// Whether it trained or tested, if that was said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub context: Option<String>,
}
