//! One run of a pipeline: its picture, its steps with the reasons, its log.

use std::collections::BTreeMap;

use biophony_pipeline::{
    Change, Explanation, LogLine, OutputRecord, RunId, RunRecord, StepRecord, StepState, Store,
};
use biophony_tracking::{Search, TrackingStore, ViewType};
use serde::Serialize;
use utoipa::ToSchema;

use super::PipelineHead;
use crate::error::ApiError;
use crate::pages::figures::{Moment, Size, Span};
use crate::pages::query::Query;
use crate::pages::runs::Experiments;
use crate::pages::runs::detail::{PIPELINE_RUN, Pair};

/// The most lines of a log that a page shows: the last ones.
const MAX_LINES: usize = 500;

/// A run of a pipeline.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub(crate) struct PipelinePage {
    #[serde(flatten)]
    pub(crate) head: PipelineHead,
    /// Files and folders from outside.
    pub(crate) sources: Vec<Pair>,
    /// The steps, in the order of the pipeline.
    pub(crate) steps: Vec<Step>,
    /// The last lines of the log.
    pub(crate) log: Vec<Line>,
    /// How many lines there are in all.
    pub(crate) n_lines: usize,
    /// The runs in the tracking store that were recorded meanwhile.
    pub(crate) tracked: Vec<Tracked>,
    /// What the run was asked for.
    #[schema(value_type = Object)]
    pub(crate) config: serde_json::Value,
    /// The picture.
    #[serde(skip)]
    pub(crate) picture: String,
    /// The step whose log is shown; all of them if there is none.
    #[serde(skip)]
    pub(crate) log_of: Option<String>,
}

/// One step.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub(crate) struct Step {
    pub(crate) step: String,
    /// `running`, `ran`, `cached`, `failed`, `skipped`, or `waiting` before its turn.
    pub(crate) state: String,
    /// Why it ran or did not, in a sentence.
    pub(crate) reason: String,
    /// The run with which it was compared to say what changed.
    pub(crate) compared_with: Option<String>,
    /// What it depends on and is not as it was in that run.
    pub(crate) changes: Vec<ChangedIngredient>,
    pub(crate) started_ms: Option<Moment>,
    pub(crate) duration_ms: Option<Span>,
    pub(crate) peak_memory_bytes: Option<Size>,
    pub(crate) n_attempts: u32,
    pub(crate) error: Option<String>,
    /// Its parameters.
    pub(crate) params: Vec<Pair>,
    pub(crate) inputs: Vec<Content>,
    pub(crate) outputs: Vec<StepOutput>,
}

/// Something that a step depends on and that changed.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub(crate) struct ChangedIngredient {
    pub(crate) ingredient: String,
    pub(crate) old: Option<String>,
    pub(crate) new: Option<String>,
}

/// Something that was read, by the hash of its bytes.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub(crate) struct Content {
    pub(crate) name: String,
    /// BLAKE3, in hexadecimal.
    pub(crate) content: String,
}

/// Something that a step made.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub(crate) struct StepOutput {
    pub(crate) name: String,
    /// BLAKE3, in hexadecimal.
    pub(crate) content: String,
    pub(crate) type_name: String,
    pub(crate) size_bytes: Size,
    /// Counts, shapes, metrics.
    pub(crate) metadata: Vec<Pair>,
}

/// A line of the log.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub(crate) struct Line {
    pub(crate) step: String,
    pub(crate) at_ms: Moment,
    /// `debug`, `info`, `warn` or `error`.
    pub(crate) level: String,
    pub(crate) text: String,
}

/// A run in the tracking store.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub(crate) struct Tracked {
    pub(crate) run_id: String,
    pub(crate) name: String,
}

impl PipelinePage {
    /// What to call a tracked run here, where this run's own name is known.
    pub(crate) fn short<'a>(&self, tracked: &'a str) -> &'a str {
        match tracked.strip_prefix(self.head.run.as_str()) {
            Some("") => "the whole",
            Some(part) => part.trim_start(),
            None => tracked,
        }
    }

    /// Reads a run, with the log of one step if the address names it.
    ///
    /// # Errors
    ///
    /// When there is no such run, or a store fails.
    pub(crate) fn load(
        store: Option<&Store>,
        tracking: &dyn TrackingStore,
        run: &str,
        query: &Query,
    ) -> Result<Self, ApiError> {
        let missing = || ApiError::NotFound(format!("there is no run `{run}`"));
        let store = store.ok_or_else(missing)?;
        let id: RunId = run.parse().map_err(|_| missing())?;
        let record = store.run(&id)?;
        let log_of = query
            .one("step")
            .filter(|step| record.graph.step(step).is_some());
        let lines = store.logs(&id, log_of)?;
        let skipped = lines.len().saturating_sub(MAX_LINES);
        let steps = record.graph.steps.iter().map(|spec| {
            let explanation = store.explain(&id, &spec.name).ok();
            Step::new(
                &spec.name,
                &spec.params,
                record.step(&spec.name),
                explanation,
            )
        });
        Ok(Self {
            head: PipelineHead::new(&record.summary),
            sources: record
                .graph
                .sources
                .iter()
                .map(|source| Pair {
                    key: source.name.clone(),
                    value: source.path.clone(),
                })
                .collect(),
            steps: steps.collect(),
            n_lines: lines.len(),
            log: lines.into_iter().skip(skipped).map(Line::new).collect(),
            tracked: tracked(tracking, run),
            picture: picture(&record),
            log_of: log_of.map(str::to_owned),
            config: record.summary.config,
        })
    }

    /// Whether recordings were audited.
    pub(crate) fn has_audit(&self) -> bool {
        let mut outputs = self
            .steps
            .iter()
            .filter(|s| s.step == "ingest")
            .flat_map(|s| &s.outputs);
        outputs.any(|output| output.name == "collection")
    }

    /// The settings as text.
    pub(crate) fn config_text(&self) -> String {
        serde_json::to_string_pretty(&self.config).unwrap_or_default()
    }
}

impl Step {
    fn new(
        name: &str,
        params: &serde_json::Value,
        record: Option<&StepRecord>,
        explanation: Option<Explanation>,
    ) -> Self {
        let change = |change: Change| ChangedIngredient {
            ingredient: change.ingredient,
            old: change.old,
            new: change.new,
        };
        let (compared_with, changes) = match explanation {
            Some(explanation) => (
                explanation.compared_with.map(|run| run.to_string()),
                explanation.changes.into_iter().map(change).collect(),
            ),
            None => (None, Vec::new()),
        };
        Self {
            step: name.to_owned(),
            state: record
                .map_or("waiting", |record| record.state.as_str())
                .to_owned(),
            reason: record
                .map(|record| record.reason.clone())
                .unwrap_or_default(),
            compared_with,
            changes,
            started_ms: record.and_then(|record| record.started_ms).map(Moment),
            duration_ms: record.and_then(|record| record.duration_ms).map(Span),
            peak_memory_bytes: record
                .filter(|record| record.state == StepState::Ran)
                .and_then(|record| record.peak_memory_bytes)
                .map(Size),
            n_attempts: record.map_or(0, |record| record.n_attempts),
            error: record.and_then(|record| record.error.clone()),
            params: flat(params),
            inputs: record
                .iter()
                .flat_map(|record| &record.inputs)
                .map(|input| Content {
                    name: input.name.clone(),
                    content: input.content.to_string(),
                })
                .collect(),
            outputs: record
                .iter()
                .flat_map(|record| &record.outputs)
                .map(StepOutput::new)
                .collect(),
        }
    }
}

impl StepOutput {
    pub(super) fn new(output: &OutputRecord) -> Self {
        let pair = |(key, value): (&String, &serde_json::Value)| Pair {
            key: key.clone(),
            value: brief(value),
        };
        Self {
            name: output.name.clone(),
            content: output.content.to_string(),
            type_name: output.type_name.clone(),
            size_bytes: Size(output.n_bytes),
            metadata: output.metadata.iter().map(pair).collect(),
        }
    }

    /// The first digits, which tell it from others.
    pub(crate) fn short(&self) -> &str {
        &self.content[..self.content.len().min(10)]
    }
}

impl Content {
    /// The first digits, which tell it from others.
    pub(crate) fn short(&self) -> &str {
        &self.content[..self.content.len().min(10)]
    }
}

impl Line {
    fn new(line: LogLine) -> Self {
        Self {
            step: line.step,
            at_ms: Moment(line.at_ms),
            level: line.level.to_string(),
            text: line.text,
        }
    }
}

/// Parameters as lines: `train.epochs` and its value.
pub(super) fn flat(params: &serde_json::Value) -> Vec<Pair> {
    fn walk(path: &str, value: &serde_json::Value, found: &mut BTreeMap<String, String>) {
        match value {
            serde_json::Value::Object(entries) if !entries.is_empty() => {
                for (key, value) in entries {
                    let path = if path.is_empty() {
                        key.clone()
                    } else {
                        format!("{path}.{key}")
                    };
                    walk(&path, value, found);
                }
            }
            serde_json::Value::Null => {}
            value => {
                found.insert(path.to_owned(), brief(value));
            }
        }
    }
    let mut found = BTreeMap::new();
    walk("", params, &mut found);
    found
        .into_iter()
        .map(|(key, value)| Pair { key, value })
        .collect()
}

/// A value in one line.
fn brief(value: &serde_json::Value) -> String {
    match value {
        serde_json::Value::String(text) => text.clone(),
        serde_json::Value::Number(number) if number.is_f64() => {
            crate::pages::figures::Figure(number.as_f64().unwrap_or(f64::NAN)).to_string()
        }
        value => value.to_string(),
    }
}

/// The runs that name this one in a tag. None of them may be there, and a server
/// elsewhere may not answer: the page does without.
fn tracked(tracking: &dyn TrackingStore, run: &str) -> Vec<Tracked> {
    let Ok(experiments) = Experiments::load(tracking) else {
        return Vec::new();
    };
    let ids: Vec<_> = experiments
        .active()
        .map(|e| e.experiment_id.clone())
        .collect();
    let search = Search {
        max_results: Some(10),
        order_by: vec!["attributes.start_time ASC".to_owned()],
        ..Search::matching(format!("tags.`{PIPELINE_RUN}` = '{run}'"))
    };
    let found = tracking.search_runs(&ids, &search, ViewType::ActiveOnly);
    let link = |run: &biophony_tracking::Run| Tracked {
        run_id: run.info.run_id.to_string(),
        name: run.info.run_name.clone(),
    };
    found
        .map(|page| page.items.iter().map(link).collect())
        .unwrap_or_default()
}

/// The picture; each of its steps leads to what is said of it below.
fn picture(record: &RunRecord) -> String {
    let link = |step: &str| Some(format!("#step-{step}"));
    record.graph.to_page_svg(Some(record), link)
}
