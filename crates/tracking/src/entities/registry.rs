//! The model registry: models by name, their versions, and the aliases that say
//! which version is in use.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::{LoggedModelId, RunId, Tag, UnixMillis};
use crate::error::TrackingError;

/// A model by name.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RegisteredModel {
    /// Unique among registered models.
    pub name: String,
    /// When it was registered.
    #[serde(default)]
    pub creation_timestamp: UnixMillis,
    /// When it or a version of it last changed.
    #[serde(default)]
    pub last_updated_timestamp: UnixMillis,
    /// What people should know of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// The newest version of each stage.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub latest_versions: Vec<ModelVersion>,
    /// Sorted by key.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<Tag>,
    /// Sorted by name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub aliases: Vec<Alias>,
}

/// A name for one version of a model, such as `champion`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Alias {
    /// The name.
    pub alias: String,
    /// The version.
    #[serde(with = "version_text")]
    pub version: u32,
}

/// One version of a registered model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ModelVersion {
    /// The registered model.
    pub name: String,
    /// Counted from 1.
    #[serde(with = "version_text")]
    pub version: u32,
    /// When it was created.
    #[serde(default)]
    pub creation_timestamp: UnixMillis,
    /// When it last changed.
    #[serde(default)]
    pub last_updated_timestamp: UnixMillis,
    /// Who registered it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_id: Option<String>,
    /// The stage, where people use stages instead of aliases.
    #[serde(default)]
    pub current_stage: Stage,
    /// What people should know of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// The URI it was registered from.
    #[serde(default)]
    pub source: String,
    /// The run that made it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run_id: Option<RunId>,
    /// Whether it can be used; here it always can.
    #[serde(default = "ready")]
    pub status: String,
    /// A link to the run elsewhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run_link: Option<String>,
    /// The logged model it was registered from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model_id: Option<LoggedModelId>,
    /// Sorted by key.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<Tag>,
    /// Its names, sorted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub aliases: Vec<String>,
}

pub(crate) fn ready() -> String {
    "READY".to_owned()
}

/// One move of the alias `champion`, as it is kept in the history.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AliasMove {
    /// When.
    pub timestamp: UnixMillis,
    /// `promote` or `rollback`.
    pub action: String,
    /// The version that was `champion` before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from_version: Option<u32>,
    /// The version that is `champion` since.
    pub to_version: u32,
}

/// How far a version has come, where people use stages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub enum Stage {
    /// No stage.
    #[default]
    None,
    /// Being tried.
    Staging,
    /// In use.
    Production,
    /// Out of use.
    Archived,
}

impl Stage {
    /// All stages in MLflow's order.
    pub const ALL: [Self; 4] = [Self::None, Self::Staging, Self::Production, Self::Archived];

    /// The stage as MLflow writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "None",
            Self::Staging => "Staging",
            Self::Production => "Production",
            Self::Archived => "Archived",
        }
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Stage {
    type Err = TrackingError;

    /// Reads a stage in any case, as MLflow does.
    fn from_str(text: &str) -> Result<Self, TrackingError> {
        Self::ALL
            .into_iter()
            .find(|stage| stage.as_str().eq_ignore_ascii_case(text))
            .ok_or_else(|| {
                TrackingError::invalid(format!(
                    "Invalid Model Version stage: {text}. Value must be one of None, Staging, \
                     Production, Archived."
                ))
            })
    }
}

/// MLflow sends a version's number as a string.
mod version_text {
    use serde::de::{Deserializer, Error};
    use serde::{Deserialize, Serializer};

    pub(super) fn serialize<S: Serializer>(
        version: &u32,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_str(version)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Version {
            Number(u32),
            Text(String),
        }
        match Version::deserialize(deserializer)? {
            Version::Number(number) => Ok(number),
            Version::Text(text) => text.parse().map_err(D::Error::custom),
        }
    }
}
