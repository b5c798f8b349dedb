//! What a training run leaves behind: figures, tables, the report, the bundle.
//!
//! The report's pages and files are laid out in [`crate::report`]; here they
//! are filled.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use biophony_dataset::{Part, Usable};
use biophony_model::bootstrap::BootstrapConfig;
use biophony_model::{Bundle, Evaluation, EvaluationOptions, Existing, Provenance, evaluate};
use biophony_nn::LayerSummary;
use serde_json::{Value, json};

use super::divide::Plan;
use super::fit::{Fit, Tested, Workbench};
use super::{CHECKPOINTS, Fits, Request};
use crate::collection::Collection;
use crate::report::{self, NaiveComparison, PredictionRow};

mod describe;

/// What a run was about, for everything that is written about it.
pub(crate) struct Session<'a> {
    pub(crate) request: &'a Request<'a>,
    pub(crate) collection: &'a Collection,
    pub(crate) usable: &'a Usable<'a>,
    pub(crate) bench: &'a Workbench<'a>,
    pub(crate) plan: &'a Plan,
    pub(crate) run: &'a Path,
    /// The BLAKE3 of each usable recording's file.
    pub(crate) hashes: Vec<String>,
    pub(crate) interrupted: bool,
}

/// A run that came to its end, and where things are.
pub(crate) struct Finished {
    pub(crate) run: PathBuf,
    pub(crate) model: PathBuf,
    pub(crate) evaluation: Evaluation,
    pub(crate) naive: Option<NaiveComparison>,
    pub(crate) unreadable: Vec<(PathBuf, String)>,
    pub(crate) interrupted: bool,
    metrics: Value,
}

impl Session<'_> {
    /// Judges, writes and saves.
    pub(crate) fn finish(&self, fits: Fits, naive: Option<NaiveComparison>) -> Result<Finished> {
        let evaluation = judge(self.bench, &fits.judged, Some(&self.usable.groups))?;
        let name = self
            .run
            .file_name()
            .context("the run has a name")?
            .to_string_lossy();
        let model = self.request.home.model(&name);
        let metrics = self.metrics(&fits, &evaluation, naive.as_ref(), &model)?;

        let rows = self.predictions(&fits.judged);
        let report = self.describe(&fits, &evaluation, naive.as_ref())?;
        report::write_html(&self.run.join("report.html"), &report)?;
        report::write_per_class_csv(&self.run.join("per_class.csv"), &evaluation)?;
        report::write_confusion_csv(&self.run.join("confusion.csv"), &evaluation)?;
        report::write_predictions_csv(&self.run.join("predictions.csv"), &rows)?;
        self.write_details(&fits)?;
        self.write_bundle(fits, &metrics, &model)?;
        // Last, since its presence says that the run is complete.
        report::write_metrics_json(&self.run.join("metrics.json"), &metrics)?;
        if !self.interrupted {
            let checkpoints = self.run.join(CHECKPOINTS);
            std::fs::remove_dir_all(&checkpoints)
                .with_context(|| format!("cannot remove `{}`", checkpoints.display()))?;
        }
        Ok(Finished {
            run: self.run.to_owned(),
            model,
            evaluation,
            naive,
            unreadable: self.collection.unreadable(),
            interrupted: self.interrupted,
            metrics,
        })
    }

    fn metrics(
        &self,
        fits: &Fits,
        evaluation: &Evaluation,
        naive: Option<&NaiveComparison>,
        model: &Path,
    ) -> Result<Value> {
        let folds: Vec<Value> = fits
            .judged
            .iter()
            .map(|fit| self.fold(fit))
            .collect::<Result<_>>()?;
        let mut more = vec![
            ("run", json!(self.run)),
            ("model", json!(model)),
            ("report", json!(self.run.join("report.html"))),
            ("data_digest", json!(self.data_digest())),
            ("seed", json!(self.bench.settings.train.seed)),
            ("interrupted", json!(self.interrupted)),
            ("warnings", json!(self.plan.warnings)),
            ("folds", json!(folds)),
        ];
        if let Some(naive) = naive {
            let more_there = [("n_leaked", json!(naive.n_leaked))];
            more.push((
                "naive",
                report::metrics_json(&naive.evaluation, &more_there)?,
            ));
        }
        report::metrics_json(evaluation, &more)
    }

    fn fold(&self, fit: &Fit) -> Result<Value> {
        let alone = judge(self.bench, std::slice::from_ref(fit), None)?;
        let count = |part: Part| fit.division.parts.iter().filter(|p| **p == part).count();
        Ok(json!({
            "name": fit.division.name,
            "n_train": count(Part::Train),
            "n_validation": count(Part::Validation),
            "n_test": count(Part::Test),
            "accuracy": alone.accuracy,
            "balanced_accuracy": alone.balanced_accuracy,
            "macro_f1": alone.macro_f1,
            "best_epoch": fit.trained.best_epoch,
            "epochs": fit.trained.history.len(),
            "temperature": fit.calibration.temperature,
        }))
    }

    fn predictions(&self, fits: &[Fit]) -> Vec<PredictionRow> {
        let labels = self.bench.labels.names();
        let row = |fit: &Fit, tested: &Tested| {
            let best = tested.best();
            let probability = tested.probabilities[best];
            PredictionRow {
                path: self.usable.names[tested.recording].clone(),
                label: labels[best].clone(),
                probability,
                accepted: fit
                    .calibration
                    .threshold
                    .is_none_or(|least| probability >= least),
                truth: labels[self.bench.examples[tested.recording].label].clone(),
                part: Some(Part::Test.name().to_owned()),
                fold: Some(fit.division.name.clone()),
            }
        };
        fits.iter()
            .flat_map(|fit| fit.test.iter().map(move |tested| row(fit, tested)))
            .collect()
    }

    /// What the report only sums up: the audit, the network, the settings.
    fn write_details(&self, fits: &Fits) -> Result<()> {
        let audit = &self.collection.audit;
        let page = biophony_dataset::audit_page(audit, &self.collection.name());
        report::write_atomically(&self.run.join("audit.html"), page.as_bytes())?;
        let json = serde_json::to_vec_pretty(audit)?;
        report::write_atomically(&self.run.join("audit.json"), &json)?;
        let model = fits.deployed.as_ref().unwrap_or(&fits.judged[0]);
        let summary = network_table(&model.trained.network.spec().summary()?);
        report::write_atomically(&self.run.join("model_summary.txt"), summary.as_bytes())?;
        let settings = toml::to_string(&self.bench.settings.to_table())?;
        report::write_atomically(&self.run.join("settings.toml"), settings.as_bytes())
    }

    fn write_bundle(&self, fits: Fits, metrics: &Value, model: &Path) -> Result<()> {
        let Fits {
            mut judged,
            deployed,
        } = fits;
        let fit = deployed
            .or_else(|| judged.pop())
            .context("a run trains at least once")?;
        let bundle = Bundle {
            labels: self.bench.labels.clone(),
            front_end: self.bench.front_end.clone(),
            provenance: self.provenance(&fit),
            normalizer: fit.trained.normalizer,
            network: fit.trained.network,
            calibration: fit.calibration,
            metrics: metrics.clone(),
        };
        if let Some(models) = model.parent() {
            std::fs::create_dir_all(models)
                .with_context(|| format!("cannot create `{}`", models.display()))?;
        }
        bundle.save(model, Existing::Replace)?;
        let name = model
            .file_name()
            .context("the model has a name")?
            .to_string_lossy();
        self.request.home.set_newest_model(&name)
    }

    /// Where the model comes from, down to the content of each recording.
    fn provenance(&self, fit: &Fit) -> Provenance {
        let recordings: Vec<Value> = (0..self.usable.names.len())
            .map(|i| {
                json!({
                    "path": self.usable.names[i],
                    "label": self.usable.recordings[i].label,
                    "blake3": self.hashes[i],
                    "part": fit.division.parts[i].name(),
                })
            })
            .collect();
        Provenance {
            program: concat!("biophony ", env!("CARGO_PKG_VERSION")).to_owned(),
            created: Some(now()),
            dataset: json!({
                "name": self.collection.name(),
                "digest": self.data_digest(),
                "recordings": recordings,
            }),
            settings: serde_json::to_value(self.bench.settings.to_table())
                .expect("settings are plain tables, numbers and strings"),
        }
    }

    /// One digest of all labels and contents, whatever the files are called.
    fn data_digest(&self) -> String {
        let mut lines: Vec<String> = (0..self.usable.names.len())
            .map(|i| format!("{} {}\n", self.hashes[i], self.usable.recordings[i].label))
            .collect();
        lines.sort();
        blake3::hash(lines.concat().as_bytes()).to_hex().to_string()
    }
}

/// Evaluates the test parts of all fits together.
pub(crate) fn judge(
    bench: &Workbench,
    fits: &[Fit],
    groups: Option<&[usize]>,
) -> Result<Evaluation> {
    let tested: Vec<&Tested> = fits.iter().flat_map(|fit| &fit.test).collect();
    let truth: Vec<usize> = tested
        .iter()
        .map(|tested| bench.examples[tested.recording].label)
        .collect();
    let probabilities: Vec<Vec<f32>> = tested
        .iter()
        .map(|tested| tested.probabilities.clone())
        .collect();
    let scores: Vec<Vec<f32>> = tested.iter().map(|tested| tested.scores.clone()).collect();
    let groups: Option<Vec<usize>> = groups.map(|groups| {
        tested
            .iter()
            .map(|tested| groups[tested.recording])
            .collect()
    });
    let n_resamples = bench.settings.evaluate.bootstrap;
    let options = EvaluationOptions {
        groups: groups.as_deref(),
        uncalibrated: Some(&scores),
        temperature: match fits {
            [only] => Some(only.calibration.temperature),
            _ => None,
        },
        bootstrap: (n_resamples > 0).then(|| BootstrapConfig {
            n_resamples,
            seed: bench.settings.split.seed,
            ..BootstrapConfig::default()
        }),
        ..EvaluationOptions::default()
    };
    Ok(evaluate(bench.labels, &truth, &probabilities, &options)?)
}

/// A network layer by layer, as text.
fn network_table(layers: &[LayerSummary]) -> String {
    let mut text = format!(
        "{:<24} {:<12} {:>14} {:>10} {:>13}\n",
        "layer", "kind", "output", "parameters", "MACs"
    );
    for layer in layers {
        text.push_str(&format!("{layer}\n"));
    }
    let parameters: usize = layers.iter().map(|layer| layer.parameters).sum();
    let macs: u64 = layers.iter().map(|layer| layer.macs).sum();
    text.push_str(&format!("{:<52} {parameters:>10} {macs:>13}\n", "total"));
    text
}

/// The time as RFC 3339 in UTC.
fn now() -> String {
    humantime::format_rfc3339_seconds(std::time::SystemTime::now()).to_string()
}

impl Finished {
    /// The figures as `--json` prints them.
    pub(crate) fn as_json(&self) -> Result<Value> {
        let unreadable: Vec<Value> = self
            .unreadable
            .iter()
            .map(|(path, reason)| json!({ "path": path, "reason": reason }))
            .collect();
        let mut value = self.metrics.clone();
        let entries = value
            .as_object_mut()
            .context("the figures are a JSON object")?;
        entries.insert("unreadable".to_owned(), json!(unreadable));
        Ok(value)
    }

    /// The figures in a few lines.
    pub(crate) fn summary(&self) -> String {
        let figure = |name: &str, value: f64| {
            let interval = self.evaluation.intervals.get(name);
            interval.map_or_else(
                || format!("{value:.3}"),
                |interval| {
                    format!(
                        "{value:.3}  (95 %: {:.3} to {:.3})",
                        interval.low, interval.high
                    )
                },
            )
        };
        let mut text = format!(
            "\n  accuracy           {}\n  macro-F1           {}\n  balanced accuracy  {}\n",
            figure("accuracy", self.evaluation.accuracy),
            figure("macro_f1", self.evaluation.macro_f1),
            figure("balanced_accuracy", self.evaluation.balanced_accuracy),
        );
        if let Some(naive) = &self.naive {
            text.push_str(&format!(
                "\n  A random split, which lets copies leak, would have said accuracy {:.3}, macro-F1 {:.3}.\n",
                naive.evaluation.accuracy, naive.evaluation.macro_f1
            ));
        }
        if self.interrupted {
            text.push_str("\n  Stopped early; these are the best weights so far.\n");
        }
        text.push_str(&format!(
            "\n  report  {}\n  model   {}\n",
            self.run.join("report.html").display(),
            self.model.display()
        ));
        text
    }
}
