//! Learning curves: a run's metrics over its steps, those that belong together in
//! one chart.

use std::collections::BTreeMap;

use biophony_tracking::{Metric, Run, TrackingStore};
use serde::Serialize;
use utoipa::ToSchema;

use crate::error::ApiError;
use crate::pages::chart::{Chart, Series};

/// The most points of one line; more would not be seen.
const MAX_POINTS: usize = 400;

/// The most metrics whose history is read for one page.
const MAX_METRICS: usize = 60;

/// The curves of a run.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub(crate) struct Curves {
    /// Whether more is to come: ask again.
    pub(crate) is_live: bool,
    /// What the run says of its learning.
    pub(crate) charts: Vec<Chart>,
    /// What the machine did meanwhile.
    pub(crate) system: Vec<Chart>,
}

impl Curves {
    /// Reads the histories of a run's metrics.
    ///
    /// # Errors
    ///
    /// When the store fails.
    pub(crate) fn load(store: &dyn TrackingStore, run: &Run) -> Result<Self, ApiError> {
        let mut charts: BTreeMap<String, Vec<(String, Vec<Metric>)>> = BTreeMap::new();
        for metric in run.data.metrics.iter().take(MAX_METRICS) {
            let points =
                store.sampled_metric_history(&run.info.run_id, &metric.key, None, MAX_POINTS)?;
            if points.len() > 1 {
                let together = charts.entry(subject(&metric.key).to_owned()).or_default();
                together.push((metric.key.clone(), points));
            }
        }
        let (system, learning): (Vec<_>, Vec<_>) = charts
            .into_iter()
            .partition(|(subject, _)| subject.starts_with("system/"));
        let chart = |(title, lines): (String, Vec<(String, Vec<Metric>)>)| Chart {
            x: if title.starts_with("system/") {
                "sample"
            } else {
                "epoch"
            }
            .to_owned(),
            series: lines
                .into_iter()
                .map(|(name, points)| series(name, &points))
                .collect(),
            title,
        };
        let mut learning: Vec<Chart> = learning.into_iter().map(chart).collect();
        learning.sort_by_key(|chart| rank(&chart.title));
        Ok(Self {
            is_live: run.info.status == biophony_tracking::RunStatus::Running,
            charts: learning,
            system: system.into_iter().map(chart).collect(),
        })
    }
}

/// What people look at first comes first, how fast it went last.
pub(crate) fn rank(title: &str) -> usize {
    const FIRST: [&str; 4] = ["loss", "accuracy", "macro_f1", "balanced_accuracy"];
    const LAST: [&str; 3] = ["learning_rate", "epoch_seconds", "examples_per_second"];
    let place = |of: &[&str]| of.iter().position(|name| *name == subject(title));
    match (place(&FIRST), place(&LAST)) {
        (Some(place), _) => place,
        (None, None) => FIRST.len(),
        (None, Some(place)) => FIRST.len() + 1 + place,
    }
}

/// A metric's points as a line, in the order of steps.
pub(crate) fn series(name: String, points: &[Metric]) -> Series {
    let mut points: Vec<(f64, f64)> = points
        .iter()
        .map(|point| (point.step as f64, point.value))
        .collect();
    points.sort_by(|a, b| a.0.total_cmp(&b.0));
    Series { name, points }
}

/// What a metric measures, whichever part it was measured on: `loss` for `val_loss`.
fn subject(key: &str) -> &str {
    // A member of an ensemble: `member_2/loss`.
    let key = match key.split_once("/") {
        Some((member, of)) if member.starts_with("member_") => of,
        _ => key,
    };
    let parts = ["val_", "validation_", "train_", "training_"];
    parts
        .iter()
        .find_map(|part| key.strip_prefix(part))
        .unwrap_or(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn training_and_validation_share_a_chart() {
        assert_eq!(subject("val_loss"), subject("loss"));
        assert_eq!(subject("train_accuracy"), "accuracy");
        assert_eq!(subject("value"), "value");
    }
}
