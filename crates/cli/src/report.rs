//! The report of a training run: one HTML page that needs nothing else, and the
//! figures behind it as JSON and CSV.
//!
//! What a report says is plain data ([`Report`]), gathered by the commands; how
//! it says it lives here: the page in [`page`] and `templates/report.html`, the
//! drawings in [`curves`], [`reliability`] and [`intervals`], the confusion
//! matrix in [`confusion`], drawings that stand alone in [`drawings`], and the
//! tables beside the page in [`exports`].

use std::path::Path;

use anyhow::Context;
use askama::Template;
use biophony_model::calibrate::threshold::ThresholdSearch;
use biophony_model::{Evaluation, KeptEpochs, ValidationScores};
use biophony_nn::LayerSummary;

pub(crate) use drawings::write_drawings;
pub(crate) use exports::{
    PredictionRow, metrics_json, write_atomically, write_confusion_csv, write_confusion_json,
    write_metrics_json, write_per_class_csv, write_predictions_csv,
};

pub(crate) use wording::figure_lines;

mod chart;
mod confusion;
mod curves;
mod drawings;
mod exports;
mod intervals;
mod page;
mod reliability;
#[cfg(test)]
mod sample;
mod wording;

/// Everything that the page shows. Sections without data are left out.
#[derive(Debug, Clone)]
pub(crate) struct Report {
    /// The heading, such as the collection's name.
    pub(crate) title: String,
    /// One line below it: how much data, which network.
    pub(crate) subtitle: String,
    /// Which clips the figures are about, as a sentence without its full stop:
    /// "137 clips of the test part, in groups of which none was trained on".
    pub(crate) evaluated_on: String,
    /// What a reader must know before believing a figure, one sentence each.
    pub(crate) notes: Vec<String>,
    /// The figures.
    pub(crate) evaluation: Evaluation,
    /// The same on a random split, to show what leakage would have told.
    pub(crate) naive: Option<NaiveComparison>,
    /// The folds of a cross-validation.
    pub(crate) folds: Vec<Fold>,
    /// One per training run (one, or one per fold).
    pub(crate) training: Vec<TrainingCurves>,
    /// Thresholds for wanted precisions, worked out where the network was calibrated.
    pub(crate) thresholds: Vec<WantedPrecision>,
    /// The most confident mistakes, worst first.
    pub(crate) mistakes: Vec<Mistake>,
    /// What the pictures of the mistakes show: duration, bands, scale.
    pub(crate) pictures_show: String,
    /// What the audit found in the data.
    pub(crate) audit: Option<AuditSummary>,
    /// The network, layer by layer.
    pub(crate) network: Option<NetworkSummary>,
    /// Every setting by its name in a settings file.
    pub(crate) settings: Vec<Entry>,
    /// Program version, seed, digest of the data, date and the like.
    pub(crate) provenance: Vec<Entry>,
}

/// A name and its value.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) name: String,
    pub(crate) value: String,
}

impl Entry {
    /// A name and anything that can be written.
    pub(crate) fn new(name: impl Into<String>, value: impl ToString) -> Self {
        Self {
            name: name.into(),
            value: value.to_string(),
        }
    }
}

/// The same model judged on a split that ignores copies and groups.
#[derive(Debug, Clone)]
pub(crate) struct NaiveComparison {
    /// What the random split would have reported.
    pub(crate) evaluation: Evaluation,
    /// How many of its test clips have a copy or relative in its training part.
    pub(crate) n_leaked: Option<usize>,
}

/// One fold of a cross-validation.
#[derive(Debug, Clone)]
pub(crate) struct Fold {
    pub(crate) name: String,
    pub(crate) n_training: usize,
    pub(crate) n_test: usize,
    pub(crate) accuracy: f64,
    pub(crate) balanced_accuracy: f64,
    pub(crate) macro_f1: f64,
    pub(crate) kept_epochs: KeptEpochs,
}

/// How a training run went.
#[derive(Debug, Clone)]
pub(crate) struct TrainingCurves {
    /// What tells this run from the others, such as "fold 2".
    pub(crate) name: String,
    /// What was watched on the validation part, such as "macro-F1".
    pub(crate) metric: String,
    /// The epochs in order, the first being epoch 1; of several networks the means.
    pub(crate) epochs: Vec<EpochFigures>,
    /// The epochs whose weights were kept, one for each network of the run.
    pub(crate) kept_epochs: KeptEpochs,
    /// What these weights reach on the validation part, all networks as one.
    pub(crate) validation: Option<ValidationScores>,
}

/// What was measured after one epoch.
#[derive(Debug, Clone, Copy)]
pub(crate) struct EpochFigures {
    pub(crate) training_loss: f64,
    pub(crate) validation_loss: Option<f64>,
    pub(crate) validation_metric: Option<f64>,
}

/// A precision that was asked for and what came of it.
#[derive(Debug, Clone)]
pub(crate) struct WantedPrecision {
    pub(crate) wanted: f64,
    pub(crate) found: ThresholdSearch,
}

/// A clip that was taken for something else.
#[derive(Debug, Clone)]
pub(crate) struct Mistake {
    pub(crate) path: String,
    pub(crate) truth: String,
    pub(crate) predicted: String,
    /// The probability of the predicted class.
    pub(crate) probability: f64,
    /// The probability of the true class.
    pub(crate) truth_probability: f64,
    /// Its spectrogram as a PNG file, axes and all left out.
    pub(crate) picture_png: Option<Vec<u8>>,
}

/// What the audit found, in short.
#[derive(Debug, Clone)]
pub(crate) struct AuditSummary {
    pub(crate) n_clips: usize,
    /// Groups of clips that are independent of each other.
    pub(crate) n_groups: usize,
    pub(crate) duration_seconds: f64,
    pub(crate) classes: Vec<ClassAudit>,
    pub(crate) findings: Vec<Finding>,
}

/// One class in the data.
#[derive(Debug, Clone)]
pub(crate) struct ClassAudit {
    pub(crate) label: String,
    pub(crate) n_clips: usize,
    pub(crate) duration_seconds: f64,
}

/// One kind of peculiarity.
#[derive(Debug, Clone)]
pub(crate) struct Finding {
    /// What it is: "near copies".
    pub(crate) what: String,
    /// How many clips it concerns.
    pub(crate) n_clips: usize,
    /// What it means and what was done about it.
    pub(crate) meaning: String,
}

/// The network, layer by layer.
#[derive(Debug, Clone)]
pub(crate) struct NetworkSummary {
    pub(crate) architecture: String,
    /// How many networks its layers hold side by side.
    pub(crate) members: usize,
    /// The learned parameters of each of them.
    pub(crate) n_parameters: usize,
    pub(crate) layers: Vec<LayerSummary>,
}

/// The page as HTML.
pub(crate) fn render(report: &Report) -> anyhow::Result<String> {
    page::Page::of(report)
        .render()
        .context("cannot lay out the report")
}

/// Writes the page.
pub(crate) fn write_html(path: &Path, report: &Report) -> anyhow::Result<()> {
    write_atomically(path, render(report)?.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The page's words, one run of text per line, without style and tags.
    fn words(html: &str) -> String {
        let body = html.split_once("</head>").expect("a page has a head").1;
        let mut lines = Vec::new();
        for piece in body.split('<').filter_map(|piece| piece.split_once('>')) {
            let text = piece.1.split_whitespace().collect::<Vec<_>>().join(" ");
            if !text.is_empty() {
                lines.push(text);
            }
        }
        lines.join("\n")
    }

    #[test]
    fn the_page_says_what_it_should() {
        insta::assert_snapshot!(words(&render(&sample::report()).unwrap()));
    }

    #[test]
    fn the_page_needs_nothing_else_and_runs_nothing() {
        let html = render(&sample::report()).unwrap();
        for foreign in [
            "<script",
            "<link",
            "<iframe",
            "<object",
            "://",
            "url(",
            "@import",
            "javascript:",
            " onclick",
            " onload",
            " onerror",
        ] {
            assert!(!html.contains(foreign), "the page contains `{foreign}`");
        }
        for source in html.split(" src=\"").skip(1) {
            assert!(source.starts_with("data:image/png;base64,"));
        }
    }

    #[test]
    fn labels_and_paths_cannot_become_markup() {
        let mut report = sample::report();
        report.title = "<b>\"calls\" & cries</b>".to_owned();
        report.mistakes[0].path = "\"><img src=x>.wav".to_owned();
        report.evaluation.classes[0] = "<i>bear".to_owned();
        let html = render(&report).unwrap();
        assert!(!html.contains("<b>") && !html.contains("<img src=x") && !html.contains("<i>bear"));
    }

    #[test]
    fn every_picture_has_words_and_every_link_a_place() {
        let html = render(&sample::report()).unwrap();
        let pictures = html.matches("<img ").count();
        assert_eq!(pictures, 3);
        assert_eq!(html.matches("alt=\"Spectrogram of ").count(), pictures);
        for link in html.split("href=\"#").skip(1) {
            let place = link.split('"').next().unwrap();
            assert_eq!(
                html.matches(&format!(" id=\"{place}\"")).count(),
                1,
                "{place}"
            );
        }
    }

    #[test]
    fn several_networks_are_told_with_the_size_of_one() {
        let mut report = sample::report();
        report.network.as_mut().unwrap().members = 3;
        let said =
            "layer by layer; 3 networks of 19,562 parameters side by side, which act as one.";
        assert!(render(&report).unwrap().contains(said));
        assert!(!render(&sample::report()).unwrap().contains("side by side"));
    }

    #[test]
    fn what_there_is_no_data_for_is_left_out() {
        let report = Report {
            naive: None,
            folds: Vec::new(),
            training: Vec::new(),
            thresholds: Vec::new(),
            mistakes: Vec::new(),
            audit: None,
            network: None,
            settings: Vec::new(),
            provenance: Vec::new(),
            ..sample::report()
        };
        let html = render(&report).unwrap();
        for place in [
            "honest",
            "folds",
            "training",
            "mistakes",
            "data",
            "network",
            "settings",
            "provenance",
        ] {
            assert!(!html.contains(&format!("id=\"{place}\"")), "{place}");
        }
        assert!(html.contains("id=\"confusion\""));
    }

    #[test]
    fn a_drawing_alone_in_its_row_is_no_larger_than_one_of_two() {
        let mut report = sample::report();
        for run in &mut report.training {
            for epoch in &mut run.epochs {
                epoch.validation_metric = None;
            }
        }
        let html = render(&report).unwrap();
        let (_, panels) = html.split_once("<div class=\"panels\">").unwrap();
        let (panels, _) = panels.split_once("</div>").unwrap();
        assert_eq!(panels.matches("<svg ").count(), 1);
        assert!(html.contains(".panels svg { max-width: 30rem; }"));
    }

    #[test]
    fn the_page_is_written_whole() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("report.html");
        write_html(&path, &sample::report()).unwrap();
        assert!(
            std::fs::read_to_string(path)
                .unwrap()
                .trim_end()
                .ends_with("</html>")
        );
    }
}
