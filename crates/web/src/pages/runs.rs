//! Runs: the table that is searched, one run, and runs beside each other.
//!
//! | page | twin | file |
//! |---|---|---|
//! | `/runs` | `/api/v1/runs` | `runs/table.rs` |
//! | `/runs/{run_id}` | `/api/v1/runs/{run_id}` | `runs/detail.rs` |
//! | curves on it | `/api/v1/runs/{run_id}/curves` | `runs/curves.rs` |
//! | `/runs/{run_id}/artifacts` | `/api/v1/runs/{run_id}/artifacts` | `runs/artifacts.rs` |
//! | `/runs/compare` | `/api/v1/runs/compare` | `runs/compare.rs` |

pub(crate) mod artifacts;
pub(crate) mod compare;
pub(crate) mod curves;
pub(crate) mod detail;
pub(crate) mod routes;
pub(crate) mod table;

use std::collections::{BTreeMap, BTreeSet};

use biophony_tracking::{
    Experiment, ExperimentId, KeyValue, LifecycleStage, Metric, Run, RunId, RunStatus, Search,
    TrackingStore, ViewType, now,
};
use serde::Serialize;
use utoipa::ToSchema;

use super::figures::{Figure, Moment, Span};
use crate::error::ApiError;

/// The tag by which MLflow nests runs.
pub(crate) const PARENT: &str = "mlflow.parentRunId";

/// What every page says of a run.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub(crate) struct RunHead {
    /// Given by the store.
    pub(crate) run_id: String,
    /// A name for people.
    pub(crate) name: String,
    /// `running`, `scheduled`, `finished`, `failed` or `killed`.
    pub(crate) status: String,
    /// Whether it is deleted, and can be restored.
    pub(crate) is_deleted: bool,
    /// The experiment's identifier.
    pub(crate) experiment_id: String,
    /// The experiment's name.
    pub(crate) experiment: String,
    /// Who started it.
    pub(crate) user: String,
    /// When it started, in milliseconds since 1970.
    pub(crate) started_ms: Moment,
    /// How long it took or takes until now, in milliseconds.
    pub(crate) duration_ms: Option<Span>,
}

impl RunHead {
    pub(crate) fn new(run: &Run, experiments: &Experiments) -> Self {
        let info = &run.info;
        let started_ms = Moment(info.start_time);
        let is_open = matches!(info.status, RunStatus::Running | RunStatus::Scheduled);
        let end = info.end_time.or_else(|| is_open.then(now));
        let run_id = info.run_id.to_string();
        Self {
            name: match info.run_name.as_str() {
                "" => run_id.clone(),
                name => name.to_owned(),
            },
            run_id,
            status: info.status.as_str().to_ascii_lowercase(),
            is_deleted: info.lifecycle_stage == LifecycleStage::Deleted,
            experiment_id: info.experiment_id.to_string(),
            experiment: experiments.name(&info.experiment_id),
            user: info.user_id.clone(),
            started_ms,
            duration_ms: end.and_then(|end| Span::between(started_ms, Moment(end))),
        }
    }

    /// Whether more is to come.
    pub(crate) fn is_live(&self) -> bool {
        self.status == "running"
    }
}

/// The experiments by identifier.
pub(crate) struct Experiments(Vec<Experiment>);

impl Experiments {
    /// All of them, by name.
    pub(crate) fn load(store: &dyn TrackingStore) -> Result<Self, ApiError> {
        let mut all = Vec::new();
        let mut search = Search::default();
        loop {
            let page = store.search_experiments(&search, ViewType::All)?;
            all.extend(page.items);
            search.page_token = page.next_page_token;
            if search.page_token.is_none() {
                break;
            }
        }
        all.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(Self(all))
    }

    pub(crate) fn active(&self) -> impl Iterator<Item = &Experiment> {
        let is_active = |e: &&Experiment| e.lifecycle_stage == LifecycleStage::Active;
        self.0.iter().filter(is_active)
    }

    fn name(&self, id: &ExperimentId) -> String {
        let found = self
            .0
            .iter()
            .find(|experiment| experiment.experiment_id == *id);
        found.map_or_else(|| id.to_string(), |experiment| experiment.name.clone())
    }
}

/// The run of this identifier.
pub(crate) fn find(store: &dyn TrackingStore, run_id: &str) -> Result<Run, ApiError> {
    Ok(store.get_run(&RunId::from(run_id))?)
}

/// The latest value of each metric.
pub(crate) fn latest(metrics: &[Metric]) -> BTreeMap<String, Figure> {
    let pair = |metric: &Metric| (metric.key.clone(), Figure(metric.value));
    metrics.iter().map(pair).collect()
}

pub(crate) fn pairs(pairs: &[KeyValue]) -> BTreeMap<String, String> {
    let pair = |pair: &KeyValue| (pair.key.clone(), pair.value.clone());
    pairs.iter().map(pair).collect()
}

/// Whether a metric is one end of another one's interval: `test_accuracy_low`.
pub(crate) fn is_interval_end(key: &str, keys: &BTreeSet<&str>) -> bool {
    let of = ["_low", "_high"]
        .iter()
        .find_map(|end| key.strip_suffix(end));
    of.is_some_and(|of| keys.contains(of))
}
