//! Everything that is said about a model's scores on clips it was not trained
//! on, in one structure that is written to `metrics.json` and shown in reports.
//!
//! The single figures are defined in [`crate::metrics`] and
//! [`crate::calibrate`], the intervals in [`crate::bootstrap`]. Which clips are
//! evaluated (a test part, the joined folds of a cross-validation) and whether
//! they were split honestly is the caller's business.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::bootstrap::{BootstrapConfig, Interval, ResamplingUnit, Units, intervals};
use crate::calibrate::{Reliability, reliability};
use crate::error::ModelError;
use crate::labels::LabelSet;
use crate::metrics::ConfusionMatrix;
use figures::{ClassFigures, Figures, Scorings};

mod figures;

/// What to evaluate besides the scores themselves.
#[derive(Debug, Clone)]
pub struct EvaluationOptions<'a> {
    /// The group of each clip; clips of one group are no independent evidence.
    pub groups: Option<&'a [usize]>,
    /// The scores before temperature scaling, for the comparison.
    pub uncalibrated: Option<&'a [Vec<f32>]>,
    /// The temperature that was used; only recorded.
    pub temperature: Option<f64>,
    /// For which `k` to count a clip as right when its class is among the `k`
    /// best; those that every prediction satisfies are left out.
    pub top_k: Vec<usize>,
    /// How many reliability bins.
    pub n_bins: usize,
    /// How to draw intervals; `None` for none.
    pub bootstrap: Option<BootstrapConfig>,
}

impl Default for EvaluationOptions<'_> {
    fn default() -> Self {
        Self {
            groups: None,
            uncalibrated: None,
            temperature: None,
            top_k: vec![2, 3, 5],
            n_bins: 15,
            bootstrap: Some(BootstrapConfig::default()),
        }
    }
}

/// How a model fared. Figures are shares between 0 and 1 unless said otherwise.
///
/// Definitions and edge cases are scikit-learn's (see [`crate::metrics`]), but
/// for figures that are not defined because a class is absent: those are
/// `None` (`null`), and macro averages leave them out.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Evaluation {
    /// How many clips were evaluated.
    pub n_clips: usize,
    /// How many groups they belong to, where groups are known.
    pub n_groups: Option<usize>,
    /// The share of clips that was recognized.
    pub accuracy: f64,
    /// The mean recall of the classes that occur.
    pub balanced_accuracy: f64,
    /// Mean precision of the classes.
    pub macro_precision: f64,
    /// Mean recall of the classes.
    pub macro_recall: f64,
    /// Mean F1 of the classes.
    pub macro_f1: f64,
    /// Mean precision, weighted by each class's clips.
    pub weighted_precision: f64,
    /// Mean recall, weighted by each class's clips; the same as accuracy.
    pub weighted_recall: f64,
    /// Mean F1, weighted by each class's clips.
    pub weighted_f1: f64,
    /// Mean average precision of the classes against the rest.
    pub macro_average_precision: Option<f64>,
    /// Mean area under the ROC curve of the classes against the rest.
    pub macro_roc_auc: Option<f64>,
    /// Mean cross-entropy in nats.
    pub log_loss: f64,
    /// Expected calibration error of the probabilities.
    pub expected_calibration_error: f64,
    /// Accuracy when the `k` best classes count.
    pub top_k: Vec<TopK>,
    /// The figures' intervals, by the figures' names above.
    pub intervals: BTreeMap<String, Interval>,
    /// How the intervals were drawn, if they were.
    pub resampling: Option<Resampling>,
    /// Class names, in the order of the confusion matrix.
    pub classes: Vec<String>,
    /// How each class fared.
    pub per_class: Vec<ClassEvaluation>,
    /// Rows are the truth, columns the prediction.
    pub confusion_matrix: ConfusionMatrix,
    /// Whether the probabilities keep their word.
    pub calibration: CalibrationReport,
}

/// Accuracy when the `k` best classes count.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TopK {
    /// How many classes count.
    pub k: usize,
    /// The share of clips whose class is among them.
    pub accuracy: f64,
    /// Its interval.
    pub interval: Option<Interval>,
}

/// How intervals were drawn.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Resampling {
    /// Resamples, confidence and seed.
    #[serde(flatten)]
    pub config: BootstrapConfig,
    /// Whether clips or whole groups were drawn.
    pub unit: ResamplingUnit,
    /// How many of them there are.
    pub n_units: usize,
}

/// How one class fared against the rest.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ClassEvaluation {
    /// The class.
    pub label: String,
    /// Clips of this class.
    pub support: u64,
    /// Clips taken for this class.
    pub predicted: u64,
    /// Of the clips taken for this class, the share that is of it.
    pub precision: f64,
    /// Of the clips of this class, the share that was recognized.
    pub recall: f64,
    /// The harmonic mean of both.
    pub f1: f64,
    /// Average precision; `None` without clips of this class.
    pub average_precision: Option<f64>,
    /// Area under the ROC curve; `None` without clips of this or other classes.
    pub roc_auc: Option<f64>,
    /// The figures' intervals by name, over resamples that hold the class.
    pub intervals: BTreeMap<String, Interval>,
}

/// Calibration before and after temperature scaling.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CalibrationReport {
    /// The temperature, where a single one was used.
    pub temperature: Option<f64>,
    /// Of the scores as the network gives them, where they were passed in.
    pub before: Option<Reliability>,
    /// Of the probabilities that were evaluated.
    pub after: Reliability,
}

/// Evaluates the probabilities of clips whose class is known.
///
/// `truth` holds indices into `labels`, `probabilities` one row per clip with
/// one entry per class.
///
/// # Errors
///
/// When there are no clips, lengths disagree, a truth is no class, or a
/// probability is not a finite number.
pub fn evaluate(
    labels: &LabelSet,
    truth: &[usize],
    probabilities: &[Vec<f32>],
    options: &EvaluationOptions,
) -> Result<Evaluation, ModelError> {
    check_lengths(truth.len(), options)?;
    let scorings = Scorings::new(labels, truth, probabilities, &options.top_k)?;
    if let Some(scores) = options.uncalibrated {
        Scorings::new(labels, truth, scores, &[])?;
    }
    let figures = scorings.figures(&vec![1; truth.len()]);
    let calibration = CalibrationReport {
        temperature: options.temperature,
        before: options
            .uncalibrated
            .map(|scores| reliability(truth, scores, options.n_bins)),
        after: reliability(truth, probabilities, options.n_bins),
    };
    let mut evaluation = assemble(labels, scorings.top_k(), figures, calibration);
    if let Some(config) = &options.bootstrap {
        add_intervals(&mut evaluation, &scorings, options.groups, config);
    }
    evaluation.n_groups = options.groups.map(|groups| Units::groups(groups).len());
    Ok(evaluation)
}

fn check_lengths(n_clips: usize, options: &EvaluationOptions) -> Result<(), ModelError> {
    let lengths = [
        ("groups", options.groups.map(<[usize]>::len)),
        (
            "rows of uncalibrated scores",
            options.uncalibrated.map(<[Vec<f32>]>::len),
        ),
    ];
    for (what, length) in lengths {
        match length {
            Some(n) if n != n_clips => {
                return Err(ModelError::UnevenEvaluation { what, n, n_clips });
            }
            _ => {}
        }
    }
    Ok(())
}

fn assemble(
    labels: &LabelSet,
    top_k: &[usize],
    figures: Figures,
    calibration: CalibrationReport,
) -> Evaluation {
    let per_class = labels.names().iter().zip(&figures.per_class);
    Evaluation {
        n_clips: figures.confusion_matrix.total() as usize,
        n_groups: None,
        accuracy: figures.accuracy,
        balanced_accuracy: figures.balanced_accuracy,
        macro_precision: figures.macro_average.precision,
        macro_recall: figures.macro_average.recall,
        macro_f1: figures.macro_average.f1,
        weighted_precision: figures.weighted_average.precision,
        weighted_recall: figures.weighted_average.recall,
        weighted_f1: figures.weighted_average.f1,
        macro_average_precision: figures.macro_average_precision,
        macro_roc_auc: figures.macro_roc_auc,
        log_loss: figures.log_loss,
        expected_calibration_error: calibration.after.expected_calibration_error,
        top_k: top_k
            .iter()
            .zip(&figures.top_k)
            .map(|(&k, &accuracy)| TopK {
                k,
                accuracy,
                interval: None,
            })
            .collect(),
        intervals: BTreeMap::new(),
        resampling: None,
        classes: labels.names().to_vec(),
        per_class: per_class
            .map(|(label, class)| class_evaluation(label, class))
            .collect(),
        confusion_matrix: figures.confusion_matrix,
        calibration,
    }
}

fn class_evaluation(label: &str, class: &ClassFigures) -> ClassEvaluation {
    ClassEvaluation {
        label: label.to_owned(),
        support: class.counted.support,
        predicted: class.counted.predicted,
        precision: class.counted.precision,
        recall: class.counted.recall,
        f1: class.counted.f1,
        average_precision: class.ranked.average_precision,
        roc_auc: class.ranked.roc_auc,
        intervals: BTreeMap::new(),
    }
}

fn add_intervals(
    evaluation: &mut Evaluation,
    scorings: &Scorings,
    groups: Option<&[usize]>,
    config: &BootstrapConfig,
) {
    let (units, unit) = match groups {
        Some(groups) => (Units::groups(groups), ResamplingUnit::Group),
        None => (Units::clips(evaluation.n_clips), ResamplingUnit::Clip),
    };
    let found = intervals(&units, config, |multiplicity| {
        scorings.figures(multiplicity).flatten()
    });
    let mut found = found.into_iter();
    let mut named = |names: &[&str]| -> BTreeMap<String, Interval> {
        let pairs = names.iter().zip(found.by_ref());
        pairs
            .filter_map(|(name, interval)| Some(((*name).to_owned(), interval?)))
            .collect()
    };
    // In the order in which `Figures::flatten` lists them.
    evaluation.intervals = named(&Figures::NAMES);
    for class in &mut evaluation.per_class {
        class.intervals = named(&ClassFigures::NAMES);
    }
    for (top_k, interval) in evaluation.top_k.iter_mut().zip(found) {
        top_k.interval = interval;
    }
    evaluation.resampling = Some(Resampling {
        config: *config,
        unit,
        n_units: units.len(),
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRUTH: [usize; 6] = [0, 0, 1, 1, 2, 2];

    fn labels() -> LabelSet {
        LabelSet::new(["bear", "owl", "wren"]).unwrap()
    }

    /// Five of six right; the last wren is taken for an owl.
    fn probabilities() -> Vec<Vec<f32>> {
        let row = |best: usize| {
            (0..3)
                .map(|class| if class == best { 0.8 } else { 0.1 })
                .collect()
        };
        [0, 0, 1, 1, 2, 1].map(row).to_vec()
    }

    fn message(truth: &[usize], probabilities: &[Vec<f32>], options: &EvaluationOptions) -> String {
        evaluate(&labels(), truth, probabilities, options)
            .unwrap_err()
            .to_string()
    }

    #[test]
    fn one_mistake_shows_where_it_should() {
        let evaluation = evaluate(
            &labels(),
            &TRUTH,
            &probabilities(),
            &EvaluationOptions::default(),
        )
        .unwrap();
        assert_eq!(evaluation.confusion_matrix.rows()[2], [0, 1, 1]);
        assert!((evaluation.accuracy - 5.0 / 6.0).abs() < 1e-12);
        assert_eq!(evaluation.per_class[2].recall, 0.5);
        assert_eq!(
            evaluation.top_k.len(),
            1,
            "among three classes only top-2 says anything"
        );
        let interval = evaluation.intervals["accuracy"];
        assert!(interval.low < evaluation.accuracy && evaluation.accuracy < interval.high);
    }

    #[test]
    fn every_interval_holds_its_figure() {
        let evaluation = evaluate(
            &labels(),
            &TRUTH,
            &probabilities(),
            &EvaluationOptions::default(),
        )
        .unwrap();
        let json = serde_json::to_value(&evaluation).unwrap();
        assert_eq!(evaluation.intervals.len(), Figures::NAMES.len());
        for (name, interval) in &evaluation.intervals {
            let figure = json[name].as_f64().unwrap();
            assert!(
                interval.low <= figure && figure <= interval.high,
                "{name}: {figure} {interval:?}"
            );
        }
        for class in &evaluation.per_class {
            assert!(
                class.intervals["f1"].low <= class.f1 && class.f1 <= class.intervals["f1"].high
            );
        }
    }

    #[test]
    fn groups_are_drawn_whole_and_counted() {
        let groups = [0, 0, 1, 1, 2, 3];
        let options = EvaluationOptions {
            groups: Some(&groups),
            ..EvaluationOptions::default()
        };
        let evaluation = evaluate(&labels(), &TRUTH, &probabilities(), &options).unwrap();
        let resampling = evaluation.resampling.unwrap();
        assert_eq!(
            (resampling.unit, resampling.n_units),
            (ResamplingUnit::Group, 4)
        );
        assert_eq!(evaluation.n_groups, Some(4));
    }

    #[test]
    fn calibration_is_reported_before_and_after() {
        let before = probabilities();
        let after: Vec<Vec<f32>> = before
            .iter()
            .map(|row| crate::calibrate::calibrated(row, 3.0))
            .collect();
        let options = EvaluationOptions {
            uncalibrated: Some(&before),
            temperature: Some(3.0),
            ..EvaluationOptions::default()
        };
        let evaluation = evaluate(&labels(), &TRUTH, &after, &options).unwrap();
        let errors = (
            evaluation
                .calibration
                .before
                .unwrap()
                .expected_calibration_error,
            evaluation.expected_calibration_error,
        );
        assert!(errors.0 < 0.1 && errors.1 > 0.2, "{errors:?}");
    }

    #[test]
    fn an_evaluation_survives_json_and_has_its_figures_at_the_top() {
        let evaluation = evaluate(
            &labels(),
            &TRUTH,
            &probabilities(),
            &EvaluationOptions::default(),
        )
        .unwrap();
        let json = serde_json::to_string(&evaluation).unwrap();
        assert_eq!(
            serde_json::from_str::<Evaluation>(&json).unwrap(),
            evaluation
        );
        let value: serde_json::Value = serde_json::from_str(&json).unwrap();
        for name in [
            "accuracy",
            "balanced_accuracy",
            "macro_f1",
            "weighted_f1",
            "log_loss",
        ] {
            assert!(value[name].is_f64(), "{name}");
        }
    }

    #[test]
    fn what_does_not_fit_together_is_named() {
        let options = EvaluationOptions::default();
        assert!(message(&[], &[], &options).contains("no clips"));
        assert!(message(&TRUTH, &probabilities()[..5], &options).contains('5'));
        assert!(message(&[0, 0, 1, 1, 2, 3], &probabilities(), &options).contains("clip 5"));
        let mut rows = probabilities();
        rows[4][1] = f32::NAN;
        assert!(message(&TRUTH, &rows, &options).contains("clip 4"));
        rows[4] = vec![1.0];
        assert!(message(&TRUTH, &rows, &options).contains("clip 4"));
        let grouped = EvaluationOptions {
            groups: Some(&[1, 2]),
            ..EvaluationOptions::default()
        };
        assert!(message(&TRUTH, &probabilities(), &grouped).contains("groups"));
    }
}
