//! Experiments: what runs are grouped by.

use serde::{Deserialize, Serialize};

use super::{ExperimentId, LifecycleStage, Tag, UnixMillis};

/// A named group of runs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Experiment {
    /// Given by the store.
    pub experiment_id: ExperimentId,
    /// Unique among all experiments, the deleted ones too.
    pub name: String,
    /// Under which URI the artifacts of new runs are put.
    #[serde(default)]
    pub artifact_location: String,
    /// Whether it is deleted.
    pub lifecycle_stage: LifecycleStage,
    /// When it was last renamed, deleted or restored.
    #[serde(default)]
    pub last_update_time: UnixMillis,
    /// When it was created.
    #[serde(default)]
    pub creation_time: UnixMillis,
    /// Sorted by key.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<Tag>,
}
