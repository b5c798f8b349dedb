//! What is written about a run's networks: figures, tables, the report.
//!
//! The report's pages and files are laid out in [`crate::report`]; here they
//! are filled.

use std::collections::HashSet;
use std::path::Path;

use anyhow::Result;
use biophony_dataset::{Part, Usable};
use biophony_model::bootstrap::BootstrapConfig;
use biophony_model::{
    Bundle, EpochRecord, Evaluation, EvaluationOptions, KeptEpochs, Provenance, StopReason,
    Trained, ValidationScores, evaluate,
};
use biophony_nn::LayerSummary;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::evaluate::TestedRecording;
use super::fit::{Fit, Tested, Workbench};
use super::split::{Division, Plan};
use crate::collection::Collection;
use crate::report::{self, NaiveComparison, PredictionRow};

mod describe;

/// How one network was trained, as `history.json` keeps it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct TrainingHistory {
    /// The division that it was trained on.
    pub(crate) division: String,
    /// The epochs whose weights were kept.
    pub(crate) kept_epochs: KeptEpochs,
    /// What the kept weights reach on the validation part, all networks as one.
    pub(crate) validation: Option<ValidationScores>,
    /// Why training ended.
    pub(crate) stopped: StopReason,
    /// What each epoch reached; of an ensemble the means of its members, one that was
    /// stopped before counting with the epoch that it keeps.
    pub(crate) epochs: Vec<EpochRecord>,
}

impl TrainingHistory {
    const FILE: &str = "history.json";

    /// Reads what the step `evaluate` wrote into the folder of a report.
    ///
    /// # Errors
    ///
    /// When it is not there or not of this program.
    pub(crate) fn read(report: &Path) -> Result<Vec<Self>> {
        Ok(serde_json::from_slice(&std::fs::read(
            report.join(Self::FILE),
        )?)?)
    }

    fn of(fit: &Fit) -> Self {
        Self {
            division: fit.division.name.clone(),
            kept_epochs: fit.trained.kept_epochs.clone(),
            validation: fit.trained.validation,
            stopped: fit.trained.stopped,
            epochs: fit.trained.history.clone(),
        }
    }
}

/// Everything that was trained for the figures and for the bundle.
pub(super) struct Fits {
    pub(super) judged: Vec<Fit>,
    /// Where the bundle's model is not the one judged.
    pub(super) deployed: Option<Fit>,
}

impl Fits {
    /// Whether a training was stopped early, or before there was anything to judge.
    pub(super) fn interrupted(&self, plan: &Plan) -> bool {
        let mut all = self.judged.iter().chain(&self.deployed);
        all.any(|fit| fit.trained.stopped == StopReason::Interrupted)
            || self.judged.len() < plan.judged.len()
            || self.deployed.is_none() && plan.deployed.is_some()
    }

    /// Whether the figures are those of the bundle's model although a training was
    /// stopped early: figures of folds say nothing of a model that was not trained to
    /// its end.
    pub(super) fn figures_stand(&self, plan: &Plan) -> bool {
        !self.interrupted(plan) || plan.deployed.is_none()
    }
}

/// What a run was about, for everything that is written about it.
pub(super) struct Session<'a> {
    pub(super) collection: &'a Collection,
    pub(super) usable: &'a Usable<'a>,
    pub(super) bench: &'a Workbench<'a>,
    pub(super) plan: &'a Plan,
    /// The BLAKE3 of each usable recording's file.
    pub(super) hashes: Vec<String>,
    /// How far the networks were trained, if one was stopped early.
    pub(super) stopped: Option<String>,
}

impl Session<'_> {
    /// Writes the report and its tables.
    pub(super) fn write(
        &self,
        folder: &Path,
        fits: &Fits,
        evaluation: &Evaluation,
        naive: Option<&NaiveComparison>,
    ) -> Result<()> {
        let report = self.describe(fits, evaluation, naive)?;
        report::write_html(&folder.join("report.html"), &report)?;
        report::write_per_class_csv(&folder.join("per_class.csv"), evaluation)?;
        report::write_confusion_csv(&folder.join("confusion.csv"), evaluation)?;
        report::write_confusion_json(&folder.join("confusion.json"), evaluation)?;
        report::write_drawings(folder, &report)?;
        let rows = self.predictions(&fits.judged);
        report::write_predictions_csv(&folder.join("predictions.csv"), &rows)?;
        self.write_details(folder, fits)?;
        let trained = fits.judged.iter().chain(&fits.deployed);
        let histories: Vec<_> = trained.map(TrainingHistory::of).collect();
        let histories = serde_json::to_vec_pretty(&histories)?;
        report::write_atomically(&folder.join(TrainingHistory::FILE), &histories)?;
        let metrics = self.metrics(fits, evaluation, naive)?;
        report::write_metrics_json(&folder.join("metrics.json"), &metrics)
    }

    /// All figures in one object.
    pub(super) fn metrics(
        &self,
        fits: &Fits,
        evaluation: &Evaluation,
        naive: Option<&NaiveComparison>,
    ) -> Result<Value> {
        let folds: Vec<Value> = fits
            .judged
            .iter()
            .map(|fit| self.fold(fit))
            .collect::<Result<_>>()?;
        let unreadable: Vec<Value> = self
            .collection
            .unreadable()
            .iter()
            .map(|(path, reason)| json!({ "path": path, "reason": reason }))
            .collect();
        let mut more = vec![
            ("data_digest", json!(self.data_digest())),
            ("seed", json!(self.bench.settings.train.seed)),
            ("interrupted", json!(self.stopped.is_some())),
            ("stopped", json!(self.stopped)),
            ("warnings", json!(self.plan.warnings)),
            ("unreadable", json!(unreadable)),
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
            "kept_epochs": fit.trained.kept_epochs,
            "epochs": fit.trained.history.len(),
            "validation": fit.trained.validation,
            "temperature": fit.calibration.temperature,
            "digests": {
                "train": self.digest_of(&fit.division, Part::Train),
                "validation": self.digest_of(&fit.division, Part::Validation),
                "test": self.digest_of(&fit.division, Part::Test),
            },
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

    /// The tested recordings with what their networks say.
    pub(super) fn tested(&self, fits: &[Fit]) -> Vec<TestedRecording> {
        let describe = |tested: &Tested| TestedRecording {
            name: self.usable.names[tested.recording].clone(),
            content: self.hashes[tested.recording].clone(),
            truth: self.bench.examples[tested.recording].label,
            group: self.usable.groups[tested.recording],
            probabilities: tested.probabilities.clone(),
        };
        let tested = fits.iter().flat_map(|fit| &fit.test);
        tested.map(describe).collect()
    }

    /// What the report only sums up: the audit, the network, the settings.
    fn write_details(&self, folder: &Path, fits: &Fits) -> Result<()> {
        let audit = &self.collection.audit;
        let page = biophony_dataset::audit_page(audit, &self.collection.name);
        report::write_atomically(&folder.join("audit.html"), page.as_bytes())?;
        let json = serde_json::to_vec_pretty(audit)?;
        report::write_atomically(&folder.join("audit.json"), &json)?;
        let model = fits.deployed.as_ref().unwrap_or(&fits.judged[0]);
        let layers = model.trained.network.spec().summary()?;
        let summary = network_table(&layers, &model.trained);
        report::write_atomically(&folder.join("model_summary.txt"), summary.as_bytes())?;
        let settings = toml::to_string(&self.bench.settings.of_model())?;
        report::write_atomically(&folder.join("settings.toml"), settings.as_bytes())
    }

    /// The network to be used, with all that others need to use and judge it.
    pub(super) fn bundle(&self, fits: &Fits, metrics: &Value) -> Bundle {
        let fit = fits.deployed.as_ref().unwrap_or(&fits.judged[0]);
        Bundle {
            labels: self.bench.labels.clone(),
            front_end: self.bench.front_end.clone(),
            provenance: self.provenance(fit),
            normalizer: fit.trained.normalizer.clone(),
            network: fit.trained.network.clone(),
            calibration: fit.calibration.clone(),
            metrics: metrics.clone(),
        }
    }

    /// Where the model comes from, down to the content of each recording. The
    /// time is left to the run's record: equal inputs give equal bundles.
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
            dataset: json!({
                "name": self.collection.name,
                "digest": self.data_digest(),
                "recordings": recordings,
            }),
            settings: serde_json::to_value(self.bench.settings.of_model())
                .expect("settings are plain tables, numbers and strings"),
        }
    }

    /// One digest of all labels and contents, whatever the files are called.
    fn data_digest(&self) -> String {
        self.digest((0..self.usable.names.len()).collect())
    }

    /// The same of one part.
    fn digest_of(&self, division: &Division, wanted: Part) -> String {
        let parts = division.parts.iter().enumerate();
        self.digest(
            parts
                .filter(|(_, part)| **part == wanted)
                .map(|(i, _)| i)
                .collect(),
        )
    }

    fn digest(&self, recordings: Vec<usize>) -> String {
        let mut lines: Vec<String> = recordings
            .into_iter()
            .map(|i| format!("{} {}\n", self.hashes[i], self.usable.recordings[i].label))
            .collect();
        lines.sort();
        blake3::hash(lines.concat().as_bytes()).to_hex().to_string()
    }
}

/// The BLAKE3 of the recordings in some parts of the collection that a model
/// was made from, as its provenance says.
pub(crate) fn recordings_of(bundle: &Bundle, is_wanted: impl Fn(&str) -> bool) -> HashSet<String> {
    let recordings = bundle.provenance.dataset["recordings"].as_array();
    recordings
        .into_iter()
        .flatten()
        .filter(|recording| recording["part"].as_str().is_some_and(&is_wanted))
        .filter_map(|recording| Some(recording["blake3"].as_str()?.to_owned()))
        .collect()
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

/// A network layer by layer, as text, and how many it is made of.
fn network_table(layers: &[LayerSummary], trained: &Trained) -> String {
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
    let (members, each) = (trained.n_members(), trained.n_parameters);
    if members > 1 {
        text.push_str(&format!(
            "\n{members} networks of {each} parameters each, side by side, act as one\n"
        ));
    }
    text
}
