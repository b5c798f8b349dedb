//! One run: its figures, what it was given, what it read and what it made.

use std::collections::BTreeSet;

use biophony_pipeline::Store;
use biophony_tracking::{
    ArtifactStore, DatasetInput, ModelVersion, Run, Search, TrackingStore, ViewType, value_of,
};
use serde::Serialize;
use utoipa::ToSchema;

use super::artifacts::{self, Folder};
use super::{Experiments, PARENT, RunHead, find, is_interval_end};
use crate::error::ApiError;
use crate::pages::confusion::Confusion;
use crate::pages::figures::Figure;
use crate::pages::models::version::{Decision, GATE};
use crate::pages::query::path_part;

/// The tag that names the run of the pipeline.
pub(crate) const PIPELINE_RUN: &str = "biophony.pipeline_run";

/// The tag that says why a run failed.
const ERROR: &str = "biophony.error";

/// The figures that are shown large, as far as the run has them: key and name.
const HEADLINE: [(&str, &str); 5] = [
    ("test_accuracy", "accuracy"),
    ("test_balanced_accuracy", "balanced accuracy"),
    ("test_macro_f1", "macro-F1"),
    ("test_calibration_error", "calibration error"),
    ("test_n_clips", "recordings tested"),
];

/// Where a run's confusion matrix may lie among its artifacts.
const CONFUSION: [&str; 2] = ["confusion.csv", "report/confusion.csv"];

/// The most nested runs that a page names.
const MAX_NESTED: i64 = 100;

/// Where a run's report may lie among its artifacts.
const REPORT: [&str; 2] = ["report.html", "report/report.html"];

/// Everything recorded about a run, histories of metrics aside.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub(crate) struct RunPage {
    #[serde(flatten)]
    pub(crate) head: RunHead,
    /// What people wrote about it.
    pub(crate) note: Option<String>,
    /// The latest value of each metric.
    pub(crate) metrics: Vec<MetricValue>,
    /// What it was given.
    pub(crate) params: Vec<Pair>,
    /// Its tags.
    pub(crate) tags: Vec<Pair>,
    /// The data sets that it read.
    pub(crate) datasets: Vec<DatasetUse>,
    /// The versions of registered models that it made.
    pub(crate) versions: Vec<VersionLink>,
    /// The pipeline's run that it was recorded in.
    pub(crate) pipeline_run: Option<String>,
    /// Why it failed, as far as that was recorded.
    pub(crate) error: Option<String>,
    /// The run that this one is a part of.
    pub(crate) parent: Option<RunLink>,
    /// The runs that are parts of this one.
    pub(crate) nested: Vec<RunLink>,
    /// Whether its model may be used, and why.
    pub(crate) decision: Option<Decision>,
    /// What was taken for what.
    pub(crate) confusion: Option<Confusion>,
    /// Where its report is shown.
    pub(crate) report: Option<String>,
    /// Where its artifacts lie.
    pub(crate) artifact_uri: String,
    /// The outermost folder of its artifacts, if they are kept here.
    pub(crate) artifacts: Option<Folder>,
}

/// A key with its value.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub(crate) struct Pair {
    pub(crate) key: String,
    pub(crate) value: String,
}

/// The latest value of a metric.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub(crate) struct MetricValue {
    pub(crate) key: String,
    pub(crate) value: Figure,
    pub(crate) step: i64,
}

/// A data set in the part that it plays.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub(crate) struct DatasetUse {
    pub(crate) name: String,
    /// A short hash of its content.
    pub(crate) digest: String,
    /// `train`, `eval` or `test`, where that was said.
    pub(crate) context: Option<String>,
    /// Where it came from.
    pub(crate) source: String,
    /// Its size and other figures.
    pub(crate) profile: Vec<Pair>,
}

/// Another run.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub(crate) struct RunLink {
    pub(crate) run_id: String,
    pub(crate) name: String,
    pub(crate) status: String,
}

/// A figure that is shown large, with its interval.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Headline {
    pub(crate) name: &'static str,
    pub(crate) value: Figure,
    pub(crate) range: Option<String>,
}

/// A version of a registered model.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub(crate) struct VersionLink {
    pub(crate) name: String,
    pub(crate) version: u32,
    pub(crate) aliases: Vec<String>,
    pub(crate) href: String,
}

impl VersionLink {
    pub(crate) fn new(version: &ModelVersion) -> Self {
        Self {
            href: format!("/models/{}/{}", path_part(&version.name), version.version),
            name: version.name.clone(),
            version: version.version,
            aliases: version.aliases.clone(),
        }
    }
}

impl RunPage {
    /// Reads a run.
    ///
    /// # Errors
    ///
    /// When there is no such run, or the store fails.
    pub(crate) fn load(
        store: &dyn TrackingStore,
        artifacts: &ArtifactStore,
        pipelines: Option<&Store>,
        run_id: &str,
    ) -> Result<Self, ApiError> {
        let run = find(store, run_id)?;
        let head = RunHead::new(&run, &Experiments::load(store)?);
        let data = &run.data;
        let run_part = path_part(&head.run_id);
        let found = REPORT
            .iter()
            .find(|path| artifacts::open(artifacts, &run, path).is_ok());
        let pair = |(key, value): (&String, &String)| Pair {
            key: key.clone(),
            value: value.clone(),
        };
        Ok(Self {
            note: value_of(&data.tags, "mlflow.note.content").map(str::to_owned),
            metrics: data
                .metrics
                .iter()
                .map(|metric| MetricValue {
                    key: metric.key.clone(),
                    value: Figure(metric.value),
                    step: metric.step,
                })
                .collect(),
            params: data
                .params
                .iter()
                .map(|p| pair((&p.key, &p.value)))
                .collect(),
            tags: data
                .tags
                .iter()
                .filter(|tag| tag.key != GATE)
                .map(|tag| pair((&tag.key, &tag.value)))
                .collect(),
            datasets: run
                .inputs
                .dataset_inputs
                .iter()
                .map(DatasetUse::new)
                .collect(),
            versions: versions_of(store, &run)?,
            pipeline_run: pipeline_run_of(&run, pipelines),
            error: value_of(&data.tags, ERROR).map(str::to_owned),
            decision: Decision::of_tags(&data.tags),
            parent: parent_of(store, &run),
            nested: nested_in(store, &run)?,
            confusion: confusion_of(artifacts, &run),
            report: found.map(|path| format!("/runs/{run_part}/files/{path}")),
            artifact_uri: run.info.artifact_uri.clone(),
            artifacts: Folder::load(artifacts, &run, "").ok(),
            head,
        })
    }

    /// Metrics of learning; those of the machine are drawn.
    pub(crate) fn figures(&self) -> Vec<&MetricValue> {
        let keys: BTreeSet<&str> = self.metrics.iter().map(|m| m.key.as_str()).collect();
        let is_shown = |metric: &&MetricValue| {
            !metric.key.starts_with("system/") && !is_interval_end(&metric.key, &keys)
        };
        self.metrics.iter().filter(is_shown).collect()
    }

    /// Where a metric lies in most resamples, if that was recorded.
    pub(crate) fn range_of(&self, key: &str) -> Option<String> {
        let value = |key: String| self.metrics.iter().find(|m| m.key == key).map(|m| m.value);
        let ends = value(format!("{key}_low")).zip(value(format!("{key}_high")));
        ends.map(|(low, high)| format!("{low} to {high}"))
    }

    /// Parameters under the names that training tools share, or the settings of this
    /// program, which have a section before the dot.
    pub(crate) fn params_of(&self, are_settings: bool) -> Vec<&Pair> {
        let of = |pair: &&Pair| pair.key.contains('.') == are_settings;
        self.params.iter().filter(of).collect()
    }

    /// The figures on the test part, with their intervals.
    pub(crate) fn headline(&self) -> Vec<Headline> {
        let value = |key: &str| self.metrics.iter().find(|m| m.key == key).map(|m| m.value);
        let figure = |&(key, name): &(&str, &'static str)| {
            Some(Headline {
                name,
                value: value(key)?,
                range: self.range_of(key),
            })
        };
        HEADLINE.iter().filter_map(figure).collect()
    }
}

impl DatasetUse {
    fn new(input: &DatasetInput) -> Self {
        let dataset = &input.dataset;
        Self {
            name: dataset.name.clone(),
            digest: dataset.digest.clone(),
            context: value_of(&input.tags, "mlflow.data.context").map(str::to_owned),
            source: source_of(&dataset.source),
            profile: dataset
                .profile
                .as_deref()
                .map(entries_of)
                .unwrap_or_default(),
        }
    }
}

/// What a source's JSON says in one line.
fn source_of(source: &str) -> String {
    let json: Option<serde_json::Value> = serde_json::from_str(source).ok();
    let place = json.as_ref().and_then(|json| {
        ["uri", "url", "path"]
            .iter()
            .find_map(|key| json[key].as_str())
    });
    place.unwrap_or(source).to_owned()
}

/// The entries of a JSON object, one level deep.
fn entries_of(text: &str) -> Vec<Pair> {
    match serde_json::from_str(text) {
        Ok(serde_json::Value::Object(entries)) => entries
            .into_iter()
            .map(|(key, value)| Pair {
                key,
                value: match value {
                    serde_json::Value::String(text) => text,
                    other => other.to_string(),
                },
            })
            .collect(),
        _ => Vec::new(),
    }
}

/// The registered versions that a run made.
fn versions_of(store: &dyn TrackingStore, run: &Run) -> Result<Vec<VersionLink>, ApiError> {
    let search = Search::matching(format!("run_id = '{}'", run.info.run_id));
    let found = store.search_model_versions(&search)?;
    Ok(found.items.iter().map(VersionLink::new).collect())
}

fn link(run: &Run) -> RunLink {
    RunLink {
        run_id: run.info.run_id.to_string(),
        name: run.info.run_name.clone(),
        status: run.info.status.as_str().to_ascii_lowercase(),
    }
}

fn parent_of(store: &dyn TrackingStore, run: &Run) -> Option<RunLink> {
    let parent = value_of(&run.data.tags, PARENT)?;
    // It may have been removed.
    find(store, parent).ok().as_ref().map(link)
}

fn nested_in(store: &dyn TrackingStore, run: &Run) -> Result<Vec<RunLink>, ApiError> {
    let search = Search {
        order_by: vec!["attributes.start_time ASC".to_owned()],
        max_results: Some(MAX_NESTED),
        ..Search::matching(format!("tags.`{PARENT}` = '{}'", run.info.run_id))
    };
    let experiment = std::slice::from_ref(&run.info.experiment_id);
    let found = store.search_runs(experiment, &search, ViewType::ActiveOnly)?;
    Ok(found.items.iter().map(link).collect())
}

/// The pipeline's run that a run was recorded in, if it is kept.
fn pipeline_run_of(run: &Run, pipelines: Option<&Store>) -> Option<String> {
    let name = value_of(&run.data.tags, PIPELINE_RUN)?;
    let id = name.parse().ok()?;
    pipelines?.run(&id).ok()?;
    Some(name.to_owned())
}

pub(crate) fn confusion_of(artifacts: &ArtifactStore, run: &Run) -> Option<Confusion> {
    let table = CONFUSION
        .iter()
        .find_map(|path| artifacts::read_small(artifacts, run, path))?;
    Confusion::parse(&table)
}
