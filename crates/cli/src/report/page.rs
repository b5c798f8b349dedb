//! The page as the template wants it: every figure written out, every drawing
//! laid out. The template (`templates/report.html`) only places them.
//!
//! What the evaluation says is in [`figures`], what else a run says in [`run`].

use askama::Template;

use super::Report;
use super::confusion::ConfusionTable;
use super::curves::{CurvePanel, note, panels};
use super::reliability::ReliabilityDiagram;
use super::wording::{count, share};
use figures::{
    CalibrationRow, ClassRow, ComparisonRow, FigureRow, ThresholdRow, average_rows,
    calibration_rows, class_rows, comparison_rows, headline, leak_sentence, range_heading,
    resampling, threshold_row,
};
use run::{
    AuditView, FoldRow, MistakeCard, NetworkView, audit_view, fold_rows, mistake_card, network_view,
};

mod figures;
mod run;

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
    curves_note: String,
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
            curves_note: note(&report.training),
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
