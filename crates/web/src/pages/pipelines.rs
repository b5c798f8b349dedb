//! Pipelines: what ran, how it ended, why each step ran or did not, and what came of
//! what.
//!
//! | page | twin | file |
//! |---|---|---|
//! | `/pipelines` | `/api/v1/pipelines` | here |
//! | `/pipelines/{run}` | `/api/v1/pipelines/{run}` | `pipelines/detail.rs` |
//! | `/pipelines/lineage/{content}` | `/api/v1/pipelines/lineage/{content}` | `pipelines/lineage.rs` |

pub(crate) mod detail;
pub(crate) mod lineage;
pub(crate) mod routes;

use biophony_pipeline::{RunRecord, RunState, RunSummary, StepState, Store};
use serde::Serialize;
use utoipa::ToSchema;

use super::figures::{Moment, Span, counted};
use crate::error::ApiError;

/// How many runs a page has.
const PER_PAGE: usize = 40;

/// Runs of pipelines, the newest first.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub(crate) struct PipelinesPage {
    pub(crate) runs: Vec<PipelineRow>,
    /// Counted from 1.
    pub(crate) page: usize,
    pub(crate) n_pages: usize,
    pub(crate) n_runs: usize,
}

/// One run in the table.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub(crate) struct PipelineRow {
    #[serde(flatten)]
    pub(crate) head: PipelineHead,
    /// How many steps ended how.
    pub(crate) steps: Steps,
}

/// What every page says of a run.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub(crate) struct PipelineHead {
    pub(crate) run: String,
    /// The pipeline's name.
    pub(crate) pipeline: String,
    /// `running`, `finished`, `failed` or `interrupted`.
    pub(crate) state: String,
    /// When it began, in milliseconds since 1970.
    pub(crate) started_ms: Moment,
    /// How long it took, in milliseconds.
    pub(crate) duration_ms: Option<Span>,
    /// Why it failed.
    pub(crate) error: Option<String>,
    /// The version of the program.
    pub(crate) program: String,
    /// The commit of the project folder.
    pub(crate) git_commit: Option<String>,
    pub(crate) host: String,
    /// What the run is about, where its settings name recordings.
    pub(crate) subject: Option<String>,
}

/// Steps by state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, ToSchema)]
pub(crate) struct Steps {
    pub(crate) ran: usize,
    pub(crate) cached: usize,
    pub(crate) failed: usize,
    pub(crate) running: usize,
    pub(crate) skipped: usize,
}

impl PipelinesPage {
    /// Reads one page of runs.
    ///
    /// # Errors
    ///
    /// When the store fails.
    pub(crate) fn load(store: Option<&Store>, page: usize) -> Result<Self, ApiError> {
        let mut all = store.map(Store::runs).transpose()?.unwrap_or_default();
        all.sort_by(|a, b| (b.started_ms, &b.id).cmp(&(a.started_ms, &a.id)));
        let n_pages = all.len().div_ceil(PER_PAGE).max(1);
        let page = page.clamp(1, n_pages);
        let mut runs = Vec::new();
        for summary in all.iter().skip((page - 1) * PER_PAGE).take(PER_PAGE) {
            let record = store.map(|store| store.run(&summary.id)).transpose()?;
            runs.push(PipelineRow {
                head: PipelineHead::new(summary),
                steps: record.as_ref().map(Steps::of).unwrap_or_default(),
            });
        }
        Ok(Self {
            runs,
            page,
            n_pages,
            n_runs: all.len(),
        })
    }

    /// Whether a run of the page is under way.
    pub(crate) fn is_live(&self) -> bool {
        self.runs.iter().any(|row| row.head.is_live())
    }
}

impl PipelineHead {
    pub(crate) fn new(summary: &RunSummary) -> Self {
        let started_ms = Moment(summary.started_ms);
        let is_running = summary.state == RunState::Running;
        let end = summary
            .finished_ms
            .or_else(|| is_running.then(biophony_tracking::now));
        let folder = ["folder", "manifest"]
            .iter()
            .find_map(|key| summary.config[key].as_str());
        Self {
            run: summary.id.to_string(),
            pipeline: summary.pipeline.clone(),
            state: summary.state.to_string(),
            started_ms,
            duration_ms: end.and_then(|end| Span::between(started_ms, Moment(end))),
            error: summary.error.clone(),
            program: summary.program.clone(),
            git_commit: summary.git_commit.clone(),
            host: summary.host.clone(),
            subject: folder.map(str::to_owned),
        }
    }

    pub(crate) fn is_live(&self) -> bool {
        self.state == "running"
    }
}

impl Steps {
    fn of(record: &RunRecord) -> Self {
        let mut steps = Self::default();
        for step in &record.steps {
            *match step.state {
                StepState::Ran => &mut steps.ran,
                StepState::Cached => &mut steps.cached,
                StepState::Failed => &mut steps.failed,
                StepState::Running => &mut steps.running,
                StepState::Skipped => &mut steps.skipped,
            } += 1;
        }
        steps
    }

    /// `3 ran, 2 cached`.
    pub(crate) fn words(&self) -> String {
        let parts = [
            (self.running, "running"),
            (self.failed, "failed"),
            (self.ran, "ran"),
            (self.cached, "cached"),
            (self.skipped, "skipped"),
        ];
        let told: Vec<String> = parts
            .iter()
            .filter(|(n, _)| *n > 0)
            .map(|(n, state)| counted(*n, state, state))
            .collect();
        match told.is_empty() {
            true => "none yet".to_owned(),
            false => told.join(", "),
        }
    }
}
