//! What a run gets when it has come to its end: final figures, files, the model.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result};
use biophony_model::{EpochRecord, Evaluation, StopReason, TrainingConfig};
use biophony_tracking::{
    ArtifactPath, CreateLoggedModel, DatasetInput, LoggedModel, LoggedModelStatus, Metric,
    ModelOutput, Param, RunId, RunInfo, Tag, TrackingStore, UnixMillis, now,
};
use serde_json::Value;

use super::datasets::Datasets;
use super::epochs::{ensemble_metrics, metrics_of};
use super::{Recorder, Tracking, bundle_digest, params, tag};
use crate::stages::{Deployment, Judged, TrainingHistory};

/// What came of a run of the pipeline.
pub(crate) struct Results<'a> {
    pub(crate) judged: &'a Judged,
    pub(crate) deployment: &'a Deployment,
    /// The folder of the report.
    pub(crate) report: &'a Path,
    /// The folder of the bundle.
    pub(crate) model: &'a Path,
}

impl Recorder {
    /// Records what came of a run, and its model.
    ///
    /// # Errors
    ///
    /// When the model cannot be recorded.
    pub(crate) fn results(&self, results: &Results<'_>) -> Result<LoggedModel> {
        let run = self
            .run()
            .context("the run was not recorded, so its model cannot be")?;
        self.training_is_over();
        let model = self.log_model(&run, results.model)?;
        self.histories(results);
        self.figures(&run, results, &model);
        self.log_files(&run, results.report)?;
        self.scribe.catch_up();
        Ok(model)
    }

    /// Fills in the epochs that were not seen now: of networks from the cache, and
    /// of trainings that went on.
    fn histories(&self, results: &Results<'_>) {
        for history in TrainingHistory::read(results.report).unwrap_or_default() {
            let Some(run) = self.run_of(&history.division) else {
                continue;
            };
            let seen = self.scribe.at_once(|store| {
                let points = store.metric_history(&run.run_id, "loss", None, None)?;
                Ok(points
                    .items
                    .iter()
                    .map(|point| point.step)
                    .collect::<Vec<_>>())
            });
            let seen = seen.unwrap_or_default();
            let now = now();
            let is_unseen = |record: &&EpochRecord| !seen.contains(&(record.epoch as i64 - 1));
            let epochs = history.epochs.iter().filter(is_unseen);
            let mut metrics: Vec<Metric> = epochs
                .flat_map(|record| metrics_of(record, "", now))
                .collect();
            let last = |step: usize| step.saturating_sub(1) as f64;
            let stopped = history.epochs.last().map_or(0, |record| record.epoch);
            metrics.push(Metric::new("stopped_epoch", last(stopped), now, 0));
            // Where networks keep different epochs, there is none to name.
            if let Some(kept) = history.kept_epochs.common() {
                metrics.push(Metric::new("restored_epoch", last(kept), now, 0));
            }
            if let Some(scores) = &history.validation
                && history.kept_epochs.as_slice().len() > 1
            {
                metrics.extend(ensemble_metrics(scores, now));
            }
            if history.stopped == StopReason::Stalled && self.training.members == 1 {
                metrics.extend(restored(&history, &self.training, now));
            }
            self.metrics(&run.run_id, &metrics);
        }
    }

    /// Records what was read and what came of it on the recordings set aside.
    fn figures(&self, run: &RunInfo, results: &Results<'_>, model: &LoggedModel) {
        let judged = results.judged;
        let datasets = Datasets::new(judged, &self.data);
        let mut metrics = test_metrics(&judged.evaluation);
        let latency = results.deployment.latency_ms;
        metrics.extend(latency.map(|ms| Metric::new("ms_per_window", ms, now(), 0)));
        let metrics: Vec<Metric> = metrics
            .into_iter()
            .map(|metric| Metric {
                model_id: Some(model.info.model_id.clone()),
                dataset_name: Some(datasets.name()),
                dataset_digest: Some(datasets.tested_on()),
                ..metric
            })
            .collect();
        self.metrics(&run.run_id, &metrics);
        let digest = judged.metrics["data_digest"].as_str().unwrap_or_default();
        let tags = [
            Tag::new(tag::DATA_DIGEST, digest),
            Tag::new(tag::MODE, "testing"),
            Tag::new(tag::CACHED, self.is_cached().to_string()),
            Tag::new(tag::REPORT, "report.html"),
            Tag::new(
                tag::GATE,
                serde_json::to_string(results.deployment).unwrap_or_default(),
            ),
        ];
        self.scribe.tags(&run.run_id, &tags);
        for fold in judged.metrics["folds"].as_array().into_iter().flatten() {
            let division = fold["name"].as_str().unwrap_or_default();
            let Some(own) = self.run_of(division) else {
                continue;
            };
            self.scribe.params(&own.run_id, &counts(fold));
            self.inputs(&own.run_id, &datasets.of_fold(fold));
            if own.run_id != run.run_id {
                self.metrics(&own.run_id, &fold_metrics(fold));
                self.scribe.tags(&own.run_id, &tags[..2]);
                self.inputs(&run.run_id, &[datasets.whole()]);
            }
        }
    }

    fn inputs(&self, run: &RunId, datasets: &[DatasetInput]) {
        self.scribe
            .at_once(|store| store.log_inputs(run, datasets, &[]));
    }

    fn log_files(&self, run: &RunInfo, folder: &Path) -> Result<()> {
        self.tracking.add_files(&run.artifact_uri, folder)
    }

    fn log_model(&self, run: &RunInfo, bundle: &Path) -> Result<LoggedModel> {
        self.tracking
            .log_model(&run.run_id, bundle)
            .context("cannot record the model")
    }
}

impl Tracking {
    /// Records a bundle as the model of a run.
    pub(super) fn log_model(&self, run: &RunId, bundle: &Path) -> Result<LoggedModel> {
        let experiment_id = self.store.get_run(run)?.info.experiment_id;
        let digest = bundle_digest(bundle)?;
        let model = self.store.create_logged_model(CreateLoggedModel {
            experiment_id,
            name: Some("model".to_owned()),
            model_type: Some("classifier".to_owned()),
            source_run_id: Some(run.clone()),
            params: Vec::new(),
            tags: vec![Tag::new(tag::BUNDLE_DIGEST, digest)],
        })?;
        let id = model.info.model_id.clone();
        let filled = self.add_files(&model.info.artifact_uri, bundle);
        let status = match filled {
            Ok(()) => LoggedModelStatus::Ready,
            Err(_) => LoggedModelStatus::UploadFailed,
        };
        let model = self.store.finalize_logged_model(&id, status)?;
        filled?;
        let step = 0;
        let output = ModelOutput { model_id: id, step };
        self.store.log_outputs(run, &[output])?;
        Ok(model)
    }

    /// Puts all files of a folder below an artifact URI.
    pub(super) fn add_files(&self, uri: &str, folder: &Path) -> Result<()> {
        let target = ArtifactPath::of_uri(uri)?;
        let entries = std::fs::read_dir(folder)
            .with_context(|| format!("cannot list `{}`", folder.display()))?;
        for entry in entries {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            self.artifacts.add(&target.join(&name)?, &entry.path())?;
        }
        Ok(())
    }
}

/// What is said of a training that ended early: the best score, how many epochs went by
/// without a better one, and once more what its epoch had reached, one step after the
/// last, as Keras' autologging has it.
fn restored(history: &TrainingHistory, train: &TrainingConfig, now: UnixMillis) -> Vec<Metric> {
    let mut epochs = history.epochs.iter();
    let (Some(best), Some(last)) = (
        epochs.find(|record| history.kept_epochs.common() == Some(record.epoch)),
        history.epochs.last(),
    ) else {
        return Vec::new();
    };
    let step = last.epoch as i64;
    let mut metrics = metrics_of(best, "", now);
    for metric in &mut metrics {
        metric.step = step;
    }
    let score = metrics
        .iter()
        .find(|metric| metric.key == params::monitor(train.monitor));
    let score = score.map(|metric| Metric::new("best_score", metric.value, now, 0));
    let waited = last.epoch.saturating_sub(best.epoch) as f64;
    metrics.extend(score);
    metrics.push(Metric::new("wait_count", waited, now, 0));
    metrics
}

/// The figures on the test part, with the ends of their intervals.
fn test_metrics(evaluation: &Evaluation) -> Vec<Metric> {
    let now = now();
    let mut figures: BTreeMap<String, f64> = BTreeMap::from([
        ("accuracy".to_owned(), evaluation.accuracy),
        ("balanced_accuracy".to_owned(), evaluation.balanced_accuracy),
        ("macro_precision".to_owned(), evaluation.macro_precision),
        ("macro_recall".to_owned(), evaluation.macro_recall),
        ("macro_f1".to_owned(), evaluation.macro_f1),
        ("weighted_f1".to_owned(), evaluation.weighted_f1),
        ("loss".to_owned(), evaluation.log_loss),
        (
            "calibration_error".to_owned(),
            evaluation.expected_calibration_error,
        ),
        ("n_clips".to_owned(), evaluation.n_clips as f64),
    ]);
    let optional = [
        (
            "macro_average_precision",
            evaluation.macro_average_precision,
        ),
        ("macro_roc_auc", evaluation.macro_roc_auc),
    ];
    for (name, value) in optional {
        figures.extend(value.map(|value| (name.to_owned(), value)));
    }
    for top in &evaluation.top_k {
        figures.insert(format!("top_{}_accuracy", top.k), top.accuracy);
    }
    for (name, interval) in &evaluation.intervals {
        let name = match name.as_str() {
            "log_loss" => "loss",
            "expected_calibration_error" => "calibration_error",
            name => name,
        };
        if figures.contains_key(name) {
            figures.insert(format!("{name}_low"), interval.low);
            figures.insert(format!("{name}_high"), interval.high);
        }
    }
    let figures = figures.into_iter();
    figures
        .map(|(name, value)| Metric::new(format!("test_{name}"), value, now, 0))
        .collect()
}

/// What is known of one fold alone.
fn fold_metrics(fold: &Value) -> Vec<Metric> {
    let now = now();
    ["accuracy", "balanced_accuracy", "macro_f1"]
        .into_iter()
        .filter_map(|name| {
            let value = fold[name].as_f64()?;
            Some(Metric::new(format!("test_{name}"), value, now, 0))
        })
        .collect()
}

/// How many recordings each part has.
fn counts(fold: &Value) -> Vec<Param> {
    ["n_train", "n_validation", "n_test"]
        .into_iter()
        .filter_map(|name| Some(Param::new(name, fold[name].as_u64()?.to_string())))
        .collect()
}
