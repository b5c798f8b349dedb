//! The things that are tracked, named and shaped as MLflow names and shapes them.
//!
//! Serialized, an entity is the JSON that MLflow's REST API uses for it, so the
//! server writes entities as they are and a client reads them back.
//!
//! What is asked of a store, such as [`crate::CreateRun`], lives in
//! [`crate::requests`].

mod dataset;
mod experiment;
mod ids;
mod logged_model;
mod metric;
mod registry;
mod run;

pub use dataset::{Dataset, DatasetInput, DatasetSummary};
pub use experiment::Experiment;
pub use ids::{ExperimentId, LoggedModelId, RunId};
pub use logged_model::{LoggedModel, LoggedModelData, LoggedModelInfo, LoggedModelStatus};
pub use metric::Metric;
use metric::is_zero;
#[cfg(feature = "server")]
pub(crate) use metric::parse_float;
pub(crate) use registry::ready;
pub use registry::{Alias, AliasMove, ModelVersion, RegisteredModel, Stage};
pub use run::{
    LifecycleStage, ModelInput, ModelOutput, Run, RunData, RunInfo, RunInputs, RunOutputs,
    RunStatus,
};

use serde::{Deserialize, Deserializer, Serialize};

/// Milliseconds since 1970-01-01 00:00 UTC.
pub type UnixMillis = i64;

/// A key and its value: a tag or a parameter of any entity.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct KeyValue {
    /// The key, unique within its entity.
    pub key: String,
    /// The value.
    #[serde(default, deserialize_with = "or_default")]
    pub value: String,
}

/// What a run was given: written once, never changed.
pub type Param = KeyValue;

/// A note on an entity, which may be overwritten.
pub type Tag = KeyValue;

impl KeyValue {
    /// A pair of two strings.
    pub fn new(key: impl Into<String>, value: impl Into<String>) -> Self {
        Self {
            key: key.into(),
            value: value.into(),
        }
    }
}

/// Takes `null` for a field that is left out, as protobuf does.
fn or_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de> + Default,
{
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

/// The value of `key` among `pairs`.
pub fn value_of<'a>(pairs: &'a [KeyValue], key: &str) -> Option<&'a str> {
    pairs
        .iter()
        .find(|pair| pair.key == key)
        .map(|pair| pair.value.as_str())
}
