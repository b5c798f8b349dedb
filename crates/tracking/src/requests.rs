//! What is asked of a store.
//!
//! Each request with three or more settings is a struct with a `Default`; what
//! comes back lives in [`crate::entities`].

use serde::{Deserialize, Serialize};

use crate::entities::{
    ExperimentId, LoggedModelId, Metric, Param, RunId, RunStatus, Tag, UnixMillis,
};
use crate::error::{Result, TrackingError};

/// A new experiment.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct CreateExperiment {
    /// Must be new, even among deleted experiments.
    pub name: String,
    /// Where artifacts go; the server's own place if there is none.
    pub artifact_location: Option<String>,
    /// Its first tags.
    pub tags: Vec<Tag>,
}

/// A new run.
#[derive(Debug, Clone, PartialEq)]
pub struct CreateRun {
    /// The experiment it belongs to.
    pub experiment_id: ExperimentId,
    /// Who starts it.
    pub user_id: String,
    /// When it starts.
    pub start_time: UnixMillis,
    /// A name for people; without one the run gets a random one.
    pub run_name: Option<String>,
    /// Its first tags.
    pub tags: Vec<Tag>,
}

impl CreateRun {
    /// A run that starts now, without a name or tags.
    pub fn new(experiment_id: ExperimentId) -> Self {
        Self {
            experiment_id,
            user_id: String::new(),
            start_time: now(),
            run_name: None,
            tags: Vec::new(),
        }
    }
}

/// What changes about a run; what is `None` stays.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct UpdateRun {
    /// How it stands.
    pub status: Option<RunStatus>,
    /// When it ended.
    pub end_time: Option<UnixMillis>,
    /// Its name.
    pub run_name: Option<String>,
}

/// Metrics, parameters and tags that are recorded together: all of them or none.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct LogBatch {
    /// At most 1000.
    #[serde(default)]
    pub metrics: Vec<Metric>,
    /// At most 100, each key once.
    #[serde(default)]
    pub params: Vec<Param>,
    /// At most 100; of two with one key the last counts.
    #[serde(default)]
    pub tags: Vec<Tag>,
}

/// Which lifecycle stages a search looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum ViewType {
    /// What is not deleted.
    #[default]
    ActiveOnly,
    /// What is deleted.
    DeletedOnly,
    /// Everything.
    All,
}

/// What every search has in common.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Search {
    /// Clauses joined by `AND`, in MLflow's language; empty for everything.
    pub filter: String,
    /// Keys with an optional `ASC` or `DESC`, the most important first.
    pub order_by: Vec<String>,
    /// The most results on one page; `None` for the store's own limit.
    pub max_results: Option<i64>,
    /// Where the page begins, from [`Page::next_page_token`].
    pub page_token: Option<String>,
}

impl Search {
    /// Everything that `filter` lets through, in the default order.
    pub fn matching(filter: impl Into<String>) -> Self {
        Self {
            filter: filter.into(),
            ..Self::default()
        }
    }
}

impl Search {
    /// The versions of a registered model.
    ///
    /// # Errors
    ///
    /// When the name has both kinds of quotes in it: the language cannot write it.
    pub fn versions_of(model: &str) -> Result<Self> {
        let quote = match (model.contains('\''), model.contains('"')) {
            (false, _) => '\'',
            (true, false) => '"',
            (true, true) => {
                return Err(TrackingError::invalid(format!(
                    "the name {model:?} has both kinds of quotes in it, so its versions cannot be \
                     searched for"
                )));
            }
        };
        Ok(Self::matching(format!("name = {quote}{model}{quote}")))
    }
}

/// One page of a search's results.
#[derive(Debug, Clone, PartialEq)]
pub struct Page<T> {
    /// The results.
    pub items: Vec<T>,
    /// What to ask for to get the next page, if there is one.
    pub next_page_token: Option<String>,
}

/// A new logged model.
#[derive(Debug, Clone, PartialEq)]
pub struct CreateLoggedModel {
    /// The experiment it belongs to.
    pub experiment_id: ExperimentId,
    /// A name for people; without one it gets a random one.
    pub name: Option<String>,
    /// What kind of model it is.
    pub model_type: Option<String>,
    /// The run that makes it.
    pub source_run_id: Option<RunId>,
    /// Its first parameters.
    pub params: Vec<Param>,
    /// Its first tags.
    pub tags: Vec<Tag>,
}

/// A key to sort logged models by.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoggedModelOrder {
    /// An attribute, or `metrics.` and a metric's key.
    pub field_name: String,
    /// Whether the smallest comes first.
    #[serde(default = "ascending")]
    pub ascending: bool,
    /// For a metric: only points on this data set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dataset_name: Option<String>,
    /// For a metric: only points on the data set of this digest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dataset_digest: Option<String>,
}

fn ascending() -> bool {
    true
}

/// A data set that a logged model must have been measured on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DatasetFilter {
    /// Its name.
    pub dataset_name: String,
    /// Its digest, if any one will not do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dataset_digest: Option<String>,
}

/// A search for logged models.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SearchLoggedModels {
    /// The experiments to look in.
    pub experiment_ids: Vec<ExperimentId>,
    /// Clauses joined by `AND`; empty for everything.
    pub filter: String,
    /// Data sets that metrics must have been measured on.
    pub datasets: Vec<DatasetFilter>,
    /// The most important key first.
    pub order_by: Vec<LoggedModelOrder>,
    /// The most results on one page.
    pub max_results: Option<i64>,
    /// Where the page begins.
    pub page_token: Option<String>,
}

/// A new registered model.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct CreateRegisteredModel {
    /// Must be new.
    pub name: String,
    /// What people should know of it.
    pub description: Option<String>,
    /// Its first tags.
    pub tags: Vec<Tag>,
}

/// A new version of a registered model.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct CreateModelVersion {
    /// The registered model, which must exist.
    pub name: String,
    /// The URI of the model's files.
    pub source: String,
    /// The run that made it.
    pub run_id: Option<RunId>,
    /// A link to the run elsewhere.
    pub run_link: Option<String>,
    /// The logged model it is registered from.
    pub model_id: Option<LoggedModelId>,
    /// What people should know of it.
    pub description: Option<String>,
    /// Its first tags, such as the data's digest and the pipeline's run.
    pub tags: Vec<Tag>,
}

/// The clock, in MLflow's unit.
pub fn now() -> UnixMillis {
    let since_epoch = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap_or_default();
    i64::try_from(since_epoch.as_millis()).unwrap_or(i64::MAX)
}
