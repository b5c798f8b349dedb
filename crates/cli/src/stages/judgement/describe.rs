//! Fills the report: what each section shows, in words where words are needed.

use std::collections::BTreeMap;

use anyhow::Result;
use biophony_dataset::Part;
use biophony_model::{Evaluation, ValidationScores};

use super::{Fits, Session, judge};
use crate::commands::plural;
use crate::report::{
    AuditSummary, ClassAudit, Entry, EpochFigures, Finding, Fold, Mistake, NaiveComparison,
    NetworkSummary, Report, TrainingCurves, WantedPrecision,
};
use crate::stages::fit::{Fit, Tested};
use crate::stages::split::count_leaks;

/// How many mistakes the report shows.
const N_MISTAKES: usize = 12;

/// Width and height of a mistake's picture, in pixels.
const PICTURE: [u32; 2] = [360, 128];

impl Session<'_> {
    pub(super) fn describe(
        &self,
        fits: &Fits,
        evaluation: &Evaluation,
        naive: Option<&NaiveComparison>,
    ) -> Result<Report> {
        let model = fits.deployed.as_ref().unwrap_or(&fits.judged[0]);
        Ok(Report {
            title: self.collection.name.clone(),
            subtitle: format!(
                "{}, {}; network {}",
                plural(self.usable.names.len(), "recording", "recordings"),
                plural(self.bench.labels.len(), "class", "classes"),
                self.bench.settings.train.architecture.name(),
            ),
            evaluated_on: self.evaluated_on(fits),
            notes: self.notes(fits),
            evaluation: evaluation.clone(),
            naive: naive.cloned(),
            folds: self.folds(fits)?,
            training: fits.judged.iter().map(|fit| self.curves(fit)).collect(),
            thresholds: thresholds(model),
            mistakes: self.mistakes(&fits.judged),
            pictures_show: self.pictures_show(),
            audit: Some(self.audit_summary()),
            network: Some(NetworkSummary {
                architecture: self.bench.settings.train.architecture.name().to_owned(),
                members: model.trained.n_members(),
                n_parameters: model.trained.n_parameters,
                layers: model.trained.network.spec().summary()?,
            }),
            settings: self.settings(),
            provenance: self.provenance_entries(),
        })
    }

    fn evaluated_on(&self, fits: &Fits) -> String {
        let n: usize = fits.judged.iter().map(|fit| fit.test.len()).sum();
        let clips = plural(n, "recording", "recordings");
        let divisions = fits.judged.iter().map(|fit| &fit.division);
        let n_torn = count_leaks(divisions, &self.usable.groups);
        let related = related(n_torn);
        match (fits.judged.len(), self.plan.judged.len()) {
            (_, 1) => format!("{clips} of the test part, {related}"),
            (judged, all) if judged < all => {
                format!("{clips}, {related}, tested in {judged} of {all} folds")
            }
            (_, all) => format!("{clips}, {related}, each tested in one of {all} folds"),
        }
    }

    fn notes(&self, fits: &Fits) -> Vec<String> {
        let mut notes = self.plan.warnings.clone();
        if let Some(stopped) = &self.stopped {
            notes.push(format!(
                "{stopped}; the figures are of the weights until then."
            ));
        }
        match (&fits.deployed, &fits.judged[..]) {
            (None, [first, ..]) if self.plan.deployed.is_some() => notes.push(format!(
                "The model in the bundle is that of {}, for want of one that was trained on all recordings.",
                first.division.name
            )),
            _ => {}
        }
        if let Some(deployed) = &self.plan.deployed
            && self.stopped.is_none()
        {
            let but = match deployed.parts.contains(&Part::Validation) {
                true => " but a validation part",
                false => "",
            };
            notes.push(format!(
                "The model in the bundle was trained on all recordings{but}; the figures are those of the folds."
            ));
        }
        notes
    }

    fn folds(&self, fits: &Fits) -> Result<Vec<Fold>> {
        if self.plan.judged.len() == 1 {
            return Ok(Vec::new());
        }
        let describe = |fit: &Fit| {
            let alone = judge(self.bench, std::slice::from_ref(fit), None)?;
            let is_training = |part: &&Part| **part == Part::Train;
            Ok(Fold {
                name: fit.division.name.clone(),
                n_training: fit.division.parts.iter().filter(is_training).count(),
                n_test: fit.test.len(),
                accuracy: alone.accuracy,
                balanced_accuracy: alone.balanced_accuracy,
                macro_f1: alone.macro_f1,
                kept_epochs: fit.trained.kept_epochs.clone(),
            })
        };
        fits.judged.iter().map(describe).collect()
    }

    fn curves(&self, fit: &Fit) -> TrainingCurves {
        let figures = fit.trained.history.iter().map(|record| {
            let validation: Option<&ValidationScores> = record.validation.as_ref();
            EpochFigures {
                training_loss: f64::from(record.train_loss),
                validation_loss: validation.map(|scores| scores.loss),
                validation_metric: validation.map(|scores| scores.macro_f1),
            }
        });
        TrainingCurves {
            name: fit.division.name.clone(),
            metric: "macro-F1".to_owned(),
            epochs: figures.collect(),
            kept_epochs: fit.trained.kept_epochs.clone(),
            validation: fit.trained.validation,
        }
    }

    /// The mistakes that were made with most confidence.
    fn mistakes(&self, fits: &[Fit]) -> Vec<Mistake> {
        let mut wrong: Vec<&Tested> = fits
            .iter()
            .flat_map(|fit| &fit.test)
            .filter(|tested| tested.best() != self.bench.examples[tested.recording].label)
            .collect();
        let confidence = |tested: &Tested| tested.probabilities[tested.best()];
        wrong.sort_by(|a, b| confidence(b).total_cmp(&confidence(a)));
        let labels = self.bench.labels.names();
        let describe = |tested: &&Tested| {
            let example = &self.bench.examples[tested.recording];
            let [width, height] = PICTURE;
            let picture =
                biophony_audio::bare_spectrogram_png(&example.features, width, height, None);
            Mistake {
                path: example.name.clone(),
                truth: labels[example.label].clone(),
                predicted: labels[tested.best()].clone(),
                probability: f64::from(confidence(tested)),
                truth_probability: f64::from(tested.probabilities[example.label]),
                picture_png: Some(picture),
            }
        };
        wrong.iter().take(N_MISTAKES).map(describe).collect()
    }

    fn pictures_show(&self) -> String {
        let features = &self.bench.front_end.features;
        format!(
            "The whole recording from left to right, {} mel bands from {:.0} Hz (bottom) to {:.0} Hz (top), as the network sees it; brighter is louder.",
            features.n_mels(),
            features.fmin(),
            features.fmax()
        )
    }

    fn audit_summary(&self) -> AuditSummary {
        let audit = &self.collection.audit;
        let classes: Vec<ClassAudit> = audit
            .classes
            .iter()
            .map(|class| ClassAudit {
                label: class.label.clone(),
                n_clips: class.n_readable,
                duration_seconds: class.total_seconds,
            })
            .collect();
        // One line per kind of finding; the audit's own page has each of them.
        let mut kinds: BTreeMap<&str, (usize, &str)> = BTreeMap::new();
        for finding in &audit.findings {
            kinds
                .entry(finding.title())
                .or_insert((0, finding.advice()))
                .0 += 1;
        }
        let mut groups = self.usable.groups.clone();
        groups.sort_unstable();
        groups.dedup();
        AuditSummary {
            n_clips: self.usable.names.len(),
            n_groups: groups.len(),
            duration_seconds: classes.iter().map(|class| class.duration_seconds).sum(),
            classes,
            findings: kinds
                .into_iter()
                .map(|(what, (n_clips, advice))| Finding {
                    what: what.to_owned(),
                    n_clips,
                    meaning: advice.to_owned(),
                })
                .collect(),
        }
    }

    fn settings(&self) -> Vec<Entry> {
        let table = self.bench.settings.of_model();
        crate::settings::SETTINGS
            .iter()
            .filter_map(|setting| {
                let value = crate::settings::lookup(&table, setting.key)?;
                Some(Entry::new(setting.key, value))
            })
            .collect()
    }

    fn provenance_entries(&self) -> Vec<Entry> {
        vec![
            Entry::new("program", concat!("biophony ", env!("CARGO_PKG_VERSION"))),
            Entry::new("collection", &self.collection.name),
            Entry::new("data digest (BLAKE3)", self.data_digest()),
            Entry::new("training seed", self.bench.settings.train.seed),
            Entry::new("split seed", self.bench.settings.split.seed),
        ]
    }
}

/// How many of the tested recordings their networks know, in a way.
fn related(n_torn: usize) -> String {
    match n_torn {
        0 => "none of which has a copy or a relative among those that its network was trained on"
            .to_owned(),
        1 => "one of which has a copy or a relative among those that its network was trained on"
            .to_owned(),
        n => format!(
            "{n} of which have a copy or a relative among those that their network was trained on"
        ),
    }
}

fn thresholds(fit: &Fit) -> Vec<WantedPrecision> {
    fit.calibration
        .thresholds
        .iter()
        .map(|one| WantedPrecision {
            wanted: one.wanted_precision,
            found: one.search,
        })
        .collect()
}
