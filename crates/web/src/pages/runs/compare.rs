//! Runs beside each other: what differs, curves over each other, and confusion
//! matrices side by side.

use std::collections::{BTreeMap, BTreeSet};

use biophony_tracking::{ArtifactStore, Run, TrackingStore};
use serde::Serialize;
use utoipa::ToSchema;

use super::curves::{rank, series};
use super::detail::confusion_of;
use super::{Experiments, RunHead, find, is_interval_end, latest, pairs};
use crate::error::ApiError;
use crate::pages::chart::Chart;
use crate::pages::confusion::Confusion;
use crate::pages::figures::Figure;

/// The most runs that can be told apart on one page.
const MAX_RUNS: usize = 6;

/// The most charts of one comparison.
const MAX_CHARTS: usize = 24;

/// The most points of one line.
const MAX_POINTS: usize = 400;

/// Runs beside each other.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub(crate) struct ComparePage {
    /// The runs, in the order in which they were asked for.
    pub(crate) runs: Vec<RunHead>,
    /// Parameters by key, with a value for each run.
    pub(crate) params: Vec<Row>,
    /// Metrics by key, with the latest value for each run.
    pub(crate) metrics: Vec<MetricRow>,
    /// The data set that each run learnt from: its name and digest.
    pub(crate) datasets: Row,
    /// A chart for each metric with a history, with a line for each run.
    pub(crate) charts: Vec<Chart>,
    /// The confusion matrix of each run, if it has one.
    pub(crate) confusions: Vec<Option<Confusion>>,
}

/// One parameter of all runs.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub(crate) struct Row {
    pub(crate) key: String,
    /// A value for each run; `null` where the run has none.
    pub(crate) values: Vec<Option<String>>,
    /// Whether not all are the same.
    pub(crate) differs: bool,
}

/// One metric of all runs.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub(crate) struct MetricRow {
    pub(crate) key: String,
    pub(crate) values: Vec<Option<Figure>>,
    /// Whether not all are the same.
    pub(crate) differs: bool,
}

impl ComparePage {
    /// Reads the runs.
    ///
    /// # Errors
    ///
    /// When there are fewer than two or too many, or one of them does not exist.
    pub(crate) fn load(
        store: &dyn TrackingStore,
        artifacts: &ArtifactStore,
        run_ids: &[&str],
    ) -> Result<Self, ApiError> {
        let mut seen = BTreeSet::new();
        let run_ids: Vec<&str> = run_ids
            .iter()
            .copied()
            .filter(|id| seen.insert(*id))
            .collect();
        if run_ids.len() < 2 || run_ids.len() > MAX_RUNS {
            return Err(ApiError::BadRequest(format!(
                "choose between 2 and {MAX_RUNS} runs to compare: {} asked for",
                match run_ids.len() {
                    1 => "1 was".to_owned(),
                    n => format!("{n} were"),
                }
            )));
        }
        let runs: Vec<Run> = run_ids
            .iter()
            .map(|id| find(store, id))
            .collect::<Result<_, _>>()?;
        let experiments = Experiments::load(store)?;
        let heads: Vec<RunHead> = runs
            .iter()
            .map(|run| RunHead::new(run, &experiments))
            .collect();
        let metrics: Vec<_> = runs.iter().map(|run| latest(&run.data.metrics)).collect();
        let params: Vec<_> = runs.iter().map(|run| pairs(&run.data.params)).collect();
        Ok(Self {
            params: rows(&params)
                .into_iter()
                .map(|(key, values, differs)| Row {
                    key,
                    values,
                    differs,
                })
                .collect(),
            metrics: rows(&metrics)
                .into_iter()
                .map(|(key, values, differs)| MetricRow {
                    key,
                    values,
                    differs,
                })
                .collect(),
            datasets: datasets(&runs),
            charts: charts(store, &runs, &heads)?,
            confusions: runs
                .iter()
                .map(|run| confusion_of(artifacts, run))
                .collect(),
            runs: heads,
        })
    }

    /// The parameters that differ, or those that do not.
    pub(crate) fn params_that_differ(&self, differ: bool) -> Vec<&Row> {
        self.params
            .iter()
            .filter(|row| row.differs == differ)
            .collect()
    }

    /// The metrics that are shown: the machine's and the ends of intervals are in the
    /// twin alone.
    pub(crate) fn figures(&self) -> Vec<&MetricRow> {
        let keys: BTreeSet<&str> = self.metrics.iter().map(|row| row.key.as_str()).collect();
        let is_shown =
            |row: &&MetricRow| !row.key.starts_with("system/") && !is_interval_end(&row.key, &keys);
        self.metrics.iter().filter(is_shown).collect()
    }

    /// Whether there is a confusion matrix at all.
    pub(crate) fn has_confusions(&self) -> bool {
        self.confusions.iter().any(Option::is_some)
    }

    /// The runs with their matrices.
    pub(crate) fn confusions_by_run(&self) -> impl Iterator<Item = (&RunHead, &Option<Confusion>)> {
        self.runs.iter().zip(&self.confusions)
    }

    /// The address of the curves, for the browser's module.
    pub(crate) fn question(&self) -> String {
        let runs = self.runs.iter().map(|run| format!("run={}", run.run_id));
        runs.collect::<Vec<_>>().join("&")
    }
}

/// Every key with the value of each run, and whether they differ.
fn rows<T: Clone + PartialEq>(
    of_runs: &[BTreeMap<String, T>],
) -> Vec<(String, Vec<Option<T>>, bool)> {
    let keys: BTreeSet<&String> = of_runs.iter().flat_map(BTreeMap::keys).collect();
    let row = |key: &String| {
        let values: Vec<Option<T>> = of_runs.iter().map(|of| of.get(key).cloned()).collect();
        let differs = values.iter().any(|value| *value != values[0]);
        (key.clone(), values, differs)
    };
    keys.into_iter().map(row).collect()
}

fn datasets(runs: &[Run]) -> Row {
    let told = |run: &Run| {
        let mut names: Vec<String> = run
            .inputs
            .dataset_inputs
            .iter()
            .map(|input| format!("{} ({})", input.dataset.name, input.dataset.digest))
            .collect();
        names.dedup();
        (!names.is_empty()).then(|| names.join(", "))
    };
    let values: Vec<Option<String>> = runs.iter().map(told).collect();
    let differs = values.iter().any(|value| *value != values[0]);
    Row {
        key: "data set".to_owned(),
        values,
        differs,
    }
}

/// A chart for each metric of learning that has a history in one of the runs.
fn charts(
    store: &dyn TrackingStore,
    runs: &[Run],
    heads: &[RunHead],
) -> Result<Vec<Chart>, ApiError> {
    let keys: BTreeSet<&str> = runs
        .iter()
        .flat_map(|run| run.data.metrics.iter().map(|metric| metric.key.as_str()))
        .filter(|key| !key.starts_with("system/"))
        .collect();
    let mut keys: Vec<&str> = keys.into_iter().collect();
    keys.sort_by_key(|key| rank(key));
    let mut charts = Vec::new();
    for key in keys {
        let mut chart = Chart {
            title: key.to_owned(),
            x: "epoch".to_owned(),
            series: Vec::new(),
        };
        for (run, head) in runs.iter().zip(heads) {
            if run.data.metrics.iter().any(|metric| metric.key == key) {
                let points =
                    store.sampled_metric_history(&run.info.run_id, key, None, MAX_POINTS)?;
                chart.series.push(series(head.name.clone(), &points));
            }
        }
        if chart.is_curve() {
            charts.push(chart);
        }
        if charts.len() == MAX_CHARTS {
            break;
        }
    }
    Ok(charts)
}
