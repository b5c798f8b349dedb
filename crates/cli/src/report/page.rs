//! The page as the template wants it: every figure written out, every drawing
//! laid out. The template (`templates/report.html`) only places them.

use askama::Template;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use biophony_model::Evaluation;
use biophony_model::bootstrap::{Interval, ResamplingUnit};
use biophony_model::calibrate::threshold::{OperatingPoint, ThresholdSearch};

use super::confusion::{ConfusionTable, most_frequent_mistake};
use super::curves::{self, CurvePanel, panels};
use super::intervals::IntervalMark;
use super::reliability::{self, ReliabilityDiagram};
use super::wording::{count, difference, duration, interval, percent, share, share_or_dash};
use super::{
    AuditSummary, Fold, Mistake, NaiveComparison, NetworkSummary, Report, WantedPrecision,
};

/// Where interval drawings begin and end, in their own units (`viewBox`).
const MARKS: [f64; 2] = [4.0, 116.0];

/// The whole page.
#[derive(Template)]
#[template(path = "report.html")]
pub(super) struct Page<'a> {
    report: &'a Report,
    headline: Vec<FigureRow>,
    resampling: String,
    /// The heading of columns with intervals.
    range: String,
    /// `k` and the accuracy when the `k` best classes count.
    top_k: Vec<(usize, String)>,
    curves: Vec<CurvePanel>,
    confusion: ConfusionTable,
    classes: Vec<ClassRow>,
    averages: Vec<ClassRow>,
    reliability: ReliabilityDiagram,
    calibration: Vec<CalibrationRow>,
    temperature: String,
    thresholds: Vec<ThresholdRow>,
    naive: Vec<ComparisonRow>,
    naive_leak: String,
    folds: Vec<FoldRow>,
    mistakes: Vec<MistakeCard<'a>>,
    n_mistakes: String,
    audit: Option<AuditView<'a>>,
    network: Option<NetworkView<'a>>,
}

/// A figure with its interval.
struct FigureRow {
    name: &'static str,
    value: String,
    interval: String,
    mark: Option<IntervalMark>,
}

struct ClassRow {
    label: String,
    n_clips: String,
    precision: String,
    recall: String,
    f1: String,
    f1_interval: String,
    mark: IntervalMark,
    average_precision: String,
    roc_auc: String,
    mistaken_for: String,
}

struct CalibrationRow {
    name: &'static str,
    before: String,
    after: String,
}

struct ThresholdRow {
    wanted: String,
    is_reached: bool,
    threshold: String,
    precision: String,
    coverage: String,
    n_accepted: String,
}

struct ComparisonRow {
    name: &'static str,
    honest: String,
    honest_interval: String,
    honest_mark: IntervalMark,
    naive: String,
    naive_interval: String,
    naive_mark: IntervalMark,
    difference: String,
}

struct FoldRow {
    name: String,
    n_training: String,
    n_test: String,
    accuracy: String,
    balanced_accuracy: String,
    macro_f1: String,
    best_epoch: String,
}

struct MistakeCard<'a> {
    mistake: &'a Mistake,
    probability: String,
    truth_probability: String,
    picture: Option<String>,
}

struct AuditView<'a> {
    audit: &'a AuditSummary,
    n_clips: String,
    n_groups: String,
    duration: String,
    classes: Vec<ClassBar<'a>>,
}

struct ClassBar<'a> {
    label: &'a str,
    n_clips: String,
    duration: String,
    /// Its length in percent of the longest.
    percent: String,
}

struct NetworkView<'a> {
    architecture: &'a str,
    layers: Vec<LayerRow<'a>>,
    parameters: String,
    macs: String,
}

struct LayerRow<'a> {
    name: &'a str,
    kind: &'a str,
    output: String,
    parameters: String,
    macs: String,
}

impl<'a> Page<'a> {
    /// Writes every figure out.
    pub(super) fn of(report: &'a Report) -> Self {
        let evaluation = &report.evaluation;
        let n_right = evaluation
            .confusion_matrix
            .rows()
            .iter()
            .enumerate()
            .map(|(class, row)| row[class]);
        Self {
            headline: headline(evaluation),
            resampling: resampling(evaluation),
            range: range_heading(evaluation),
            top_k: evaluation
                .top_k
                .iter()
                .map(|top| (top.k, format!("{:.1} %", 100.0 * top.accuracy)))
                .collect(),
            curves: panels(&report.training),
            confusion: ConfusionTable::of(evaluation),
            classes: class_rows(evaluation),
            averages: average_rows(evaluation),
            reliability: ReliabilityDiagram::of(&evaluation.calibration),
            calibration: calibration_rows(evaluation),
            temperature: evaluation
                .calibration
                .temperature
                .map_or_else(String::new, share),
            thresholds: report.thresholds.iter().map(threshold_row).collect(),
            naive: report
                .naive
                .as_ref()
                .map_or_else(Vec::new, |naive| comparison_rows(evaluation, naive)),
            naive_leak: report
                .naive
                .as_ref()
                .map_or_else(String::new, leak_sentence),
            folds: fold_rows(&report.folds),
            mistakes: report.mistakes.iter().map(mistake_card).collect(),
            n_mistakes: count(evaluation.confusion_matrix.total() - n_right.sum::<u64>()),
            audit: report.audit.as_ref().map(audit_view),
            network: report.network.as_ref().map(network_view),
            report,
        }
    }
}

fn headline(evaluation: &Evaluation) -> Vec<FigureRow> {
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
fn resampling(evaluation: &Evaluation) -> String {
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

fn range_heading(evaluation: &Evaluation) -> String {
    let confidence = evaluation
        .resampling
        .as_ref()
        .map(|resampling| resampling.config.confidence);
    confidence.map_or_else(String::new, |confidence| {
        format!("{} % range", percent(confidence))
    })
}

fn class_rows(evaluation: &Evaluation) -> Vec<ClassRow> {
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

fn average_rows(evaluation: &Evaluation) -> Vec<ClassRow> {
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

fn calibration_rows(evaluation: &Evaluation) -> Vec<CalibrationRow> {
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

fn threshold_row(wanted: &WantedPrecision) -> ThresholdRow {
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

fn comparison_rows(honest: &Evaluation, naive: &NaiveComparison) -> Vec<ComparisonRow> {
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

fn leak_sentence(naive: &NaiveComparison) -> String {
    let n_clips = naive.evaluation.n_clips;
    naive.n_leaked.map_or_else(String::new, |n_leaked| {
        format!(
            "There, {} of {} clips are tested by a network that was trained on another clip of their group.",
            count(n_leaked as u64),
            count(n_clips as u64),
        )
    })
}

/// The folds, and their mean and standard deviation below them.
fn fold_rows(folds: &[Fold]) -> Vec<FoldRow> {
    let mut rows: Vec<FoldRow> = folds
        .iter()
        .map(|fold| FoldRow {
            name: fold.name.clone(),
            n_training: count(fold.n_training as u64),
            n_test: count(fold.n_test as u64),
            accuracy: share(fold.accuracy),
            balanced_accuracy: share(fold.balanced_accuracy),
            macro_f1: share(fold.macro_f1),
            best_epoch: fold.best_epoch.to_string(),
        })
        .collect();
    if folds.len() > 1 {
        rows.push(FoldRow {
            name: "Mean ± SD".to_owned(),
            n_training: String::new(),
            n_test: String::new(),
            accuracy: mean_and_deviation(folds, |fold| fold.accuracy),
            balanced_accuracy: mean_and_deviation(folds, |fold| fold.balanced_accuracy),
            macro_f1: mean_and_deviation(folds, |fold| fold.macro_f1),
            best_epoch: String::new(),
        });
    }
    rows
}

fn mean_and_deviation(folds: &[Fold], of: fn(&Fold) -> f64) -> String {
    let n = folds.len() as f64;
    let mean = folds.iter().map(of).sum::<f64>() / n;
    let squares: f64 = folds.iter().map(|fold| (of(fold) - mean).powi(2)).sum();
    format!("{} ± {}", share(mean), share((squares / (n - 1.0)).sqrt()))
}

fn mistake_card(mistake: &Mistake) -> MistakeCard<'_> {
    MistakeCard {
        mistake,
        probability: share(mistake.probability),
        truth_probability: share(mistake.truth_probability),
        picture: mistake
            .picture_png
            .as_ref()
            .map(|png| format!("data:image/png;base64,{}", STANDARD.encode(png))),
    }
}

fn audit_view(audit: &AuditSummary) -> AuditView<'_> {
    let most = audit
        .classes
        .iter()
        .map(|class| class.n_clips)
        .max()
        .unwrap_or(0)
        .max(1);
    let bar = |class: &'_ super::ClassAudit| {
        (
            count(class.n_clips as u64),
            100.0 * class.n_clips as f64 / most as f64,
        )
    };
    AuditView {
        audit,
        n_clips: count(audit.n_clips as u64),
        n_groups: count(audit.n_groups as u64),
        duration: duration(audit.duration_seconds),
        classes: audit
            .classes
            .iter()
            .map(|class| ClassBar {
                label: &class.label,
                n_clips: bar(class).0,
                duration: duration(class.duration_seconds),
                percent: format!("{:.1}", bar(class).1),
            })
            .collect(),
    }
}

fn network_view(network: &NetworkSummary) -> NetworkView<'_> {
    let layers = &network.layers;
    NetworkView {
        architecture: &network.architecture,
        parameters: count(layers.iter().map(|layer| layer.parameters as u64).sum()),
        macs: count(layers.iter().map(|layer| layer.macs).sum()),
        layers: layers
            .iter()
            .map(|layer| LayerRow {
                name: &layer.name,
                kind: &layer.kind,
                output: format!(
                    "{} × {} × {}",
                    layer.output.height, layer.output.width, layer.output.channels
                ),
                parameters: count(layer.parameters as u64),
                macs: count(layer.macs),
            })
            .collect(),
    }
}
