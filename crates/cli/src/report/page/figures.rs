//! What the evaluation says, written out: headline, classes, calibration,
//! thresholds, and honest against naive.

use biophony_model::Evaluation;
use biophony_model::bootstrap::ResamplingUnit;
use biophony_model::calibrate::threshold::{OperatingPoint, ThresholdSearch};

use crate::report::confusion::most_frequent_mistake;
use crate::report::intervals::IntervalMark;
use crate::report::wording::{count, difference, interval, percent, share, share_or_dash};
use crate::report::{NaiveComparison, WantedPrecision};

/// Where interval drawings begin and end, in their own units (`viewBox`).
const MARKS: [f64; 2] = [4.0, 116.0];

/// A figure with its interval.
pub(super) struct FigureRow {
    pub(super) name: &'static str,
    pub(super) value: String,
    pub(super) interval: String,
    pub(super) mark: Option<IntervalMark>,
}

pub(super) struct ClassRow {
    pub(super) label: String,
    pub(super) n_clips: String,
    pub(super) precision: String,
    pub(super) recall: String,
    pub(super) f1: String,
    pub(super) f1_interval: String,
    pub(super) mark: IntervalMark,
    pub(super) average_precision: String,
    pub(super) roc_auc: String,
    pub(super) mistaken_for: String,
}

pub(super) struct CalibrationRow {
    pub(super) name: &'static str,
    pub(super) before: String,
    pub(super) after: String,
}

pub(super) struct ThresholdRow {
    pub(super) wanted: String,
    pub(super) is_reached: bool,
    pub(super) threshold: String,
    pub(super) precision: String,
    pub(super) coverage: String,
    pub(super) n_accepted: String,
}

pub(super) struct ComparisonRow {
    pub(super) name: &'static str,
    pub(super) honest: String,
    pub(super) honest_interval: String,
    pub(super) honest_mark: IntervalMark,
    pub(super) naive: String,
    pub(super) naive_interval: String,
    pub(super) naive_mark: IntervalMark,
    pub(super) difference: String,
}

pub(super) fn headline(evaluation: &Evaluation) -> Vec<FigureRow> {
    let figure = |name, key: &str, value: Option<f64>| {
        let found = evaluation.intervals.get(key);
        FigureRow {
            name,
            value: share_or_dash(value),
            interval: interval(found),
            mark: value.map(|value| IntervalMark::new(value, found, MARKS)),
        }
    };
    let error = evaluation.expected_calibration_error;
    let calibration = FigureRow {
        name: "Calibration error",
        value: share(error),
        interval: String::new(),
        mark: None,
    };
    vec![
        figure("Accuracy", "accuracy", Some(evaluation.accuracy)),
        figure("Macro-F1", "macro_f1", Some(evaluation.macro_f1)),
        figure(
            "Balanced accuracy",
            "balanced_accuracy",
            Some(evaluation.balanced_accuracy),
        ),
        figure(
            "Mean avg. precision",
            "macro_average_precision",
            evaluation.macro_average_precision,
        ),
        figure("Mean ROC-AUC", "macro_roc_auc", evaluation.macro_roc_auc),
        calibration,
    ]
}

/// How the intervals came about, as a sentence.
pub(super) fn resampling(evaluation: &Evaluation) -> String {
    let Some(resampling) = &evaluation.resampling else {
        return String::new();
    };
    let n_units = count(resampling.n_units as u64);
    let unit = match resampling.unit {
        ResamplingUnit::Clip => format!("the {n_units} clips"),
        ResamplingUnit::Group => {
            format!("the {n_units} groups, because clips of one group stand or fall together")
        }
    };
    format!(
        "Ranges are {} % percentile bootstrap intervals from {} resamples of {unit}.",
        percent(resampling.config.confidence),
        count(resampling.config.n_resamples as u64),
    )
}

pub(super) fn range_heading(evaluation: &Evaluation) -> String {
    let confidence = evaluation
        .resampling
        .as_ref()
        .map(|resampling| resampling.config.confidence);
    confidence.map_or_else(String::new, |confidence| {
        format!("{} % range", percent(confidence))
    })
}

pub(super) fn class_rows(evaluation: &Evaluation) -> Vec<ClassRow> {
    let classes = evaluation.per_class.iter().enumerate();
    let row = |(index, class): (usize, &biophony_model::evaluate::ClassEvaluation)| {
        let found = class.intervals.get("f1");
        ClassRow {
            label: class.label.clone(),
            n_clips: count(class.support),
            precision: share(class.precision),
            recall: share(class.recall),
            f1: share(class.f1),
            f1_interval: interval(found),
            mark: IntervalMark::new(class.f1, found, MARKS),
            average_precision: share_or_dash(class.average_precision),
            roc_auc: share_or_dash(class.roc_auc),
            mistaken_for: most_frequent_mistake(evaluation, index)
                .unwrap_or_else(|| "–".to_owned()),
        }
    };
    classes.map(row).collect()
}

pub(super) fn average_rows(evaluation: &Evaluation) -> Vec<ClassRow> {
    let row =
        |label: &str, key: &str, [precision, recall, f1]: [f64; 3], ranked: [Option<f64>; 2]| {
            let found = evaluation.intervals.get(key);
            ClassRow {
                label: label.to_owned(),
                n_clips: count(evaluation.n_clips as u64),
                precision: share(precision),
                recall: share(recall),
                f1: share(f1),
                f1_interval: interval(found),
                mark: IntervalMark::new(f1, found, MARKS),
                average_precision: ranked[0].map_or_else(String::new, share),
                roc_auc: ranked[1].map_or_else(String::new, share),
                mistaken_for: String::new(),
            }
        };
    let unweighted = [
        evaluation.macro_precision,
        evaluation.macro_recall,
        evaluation.macro_f1,
    ];
    let weighted = [
        evaluation.weighted_precision,
        evaluation.weighted_recall,
        evaluation.weighted_f1,
    ];
    let ranked = [evaluation.macro_average_precision, evaluation.macro_roc_auc];
    vec![
        row("Mean of classes", "macro_f1", unweighted, ranked),
        row("Weighted by clips", "weighted_f1", weighted, [None, None]),
    ]
}

pub(super) fn calibration_rows(evaluation: &Evaluation) -> Vec<CalibrationRow> {
    let (before, after) = (
        &evaluation.calibration.before,
        &evaluation.calibration.after,
    );
    let row = |name, of: fn(&biophony_model::calibrate::Reliability) -> f64| CalibrationRow {
        name,
        before: share_or_dash(before.as_ref().map(of)),
        after: share(of(after)),
    };
    vec![
        row("Expected calibration error", |bins| {
            bins.expected_calibration_error
        }),
        row("Log loss (nats)", |bins| bins.log_loss),
    ]
}

pub(super) fn threshold_row(wanted: &WantedPrecision) -> ThresholdRow {
    let (is_reached, point) = match wanted.found {
        ThresholdSearch::Reached(point) => (true, Some(point)),
        ThresholdSearch::OutOfReach { best } => (false, best),
    };
    let write = |of: fn(&OperatingPoint) -> f64| share_or_dash(point.as_ref().map(of));
    ThresholdRow {
        wanted: share(wanted.wanted),
        is_reached,
        threshold: write(|point| f64::from(point.threshold)),
        precision: write(|point| point.precision),
        coverage: write(|point| point.coverage),
        n_accepted: point.map_or_else(|| "–".to_owned(), |point| count(point.n_accepted as u64)),
    }
}

pub(super) fn comparison_rows(honest: &Evaluation, naive: &NaiveComparison) -> Vec<ComparisonRow> {
    let naive = &naive.evaluation;
    let row = |name, key: &str, of: fn(&Evaluation) -> Option<f64>| {
        let (ours, theirs) = (of(honest)?, of(naive)?);
        let (our_interval, their_interval) = (honest.intervals.get(key), naive.intervals.get(key));
        Some(ComparisonRow {
            name,
            honest: share(ours),
            honest_interval: interval(our_interval),
            honest_mark: IntervalMark::new(ours, our_interval, MARKS),
            naive: share(theirs),
            naive_interval: interval(their_interval),
            naive_mark: IntervalMark::new(theirs, their_interval, MARKS),
            difference: difference(theirs - ours),
        })
    };
    let rows = [
        row("Accuracy", "accuracy", |e| Some(e.accuracy)),
        row("Macro-F1", "macro_f1", |e| Some(e.macro_f1)),
        row("Balanced accuracy", "balanced_accuracy", |e| {
            Some(e.balanced_accuracy)
        }),
        row("Mean avg. precision", "macro_average_precision", |e| {
            e.macro_average_precision
        }),
    ];
    rows.into_iter().flatten().collect()
}

pub(super) fn leak_sentence(naive: &NaiveComparison) -> String {
    let n_clips = naive.evaluation.n_clips;
    naive.n_leaked.map_or_else(String::new, |n_leaked| {
        format!(
            "There, {} of {} clips are tested by a network that was trained on another clip of their group.",
            count(n_leaked as u64),
            count(n_clips as u64),
        )
    })
}
