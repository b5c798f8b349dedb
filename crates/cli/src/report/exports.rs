//! The figures behind the report, for programs: `metrics.json`,
//! `per_class.csv`, `confusion.csv` and `predictions.csv`.
//!
//! Every file appears whole or not at all: it is written beside its place and
//! then renamed into it.

use std::io::Write;
use std::path::Path;

use anyhow::Context;
use biophony_model::Evaluation;
use biophony_model::bootstrap::Interval;
use serde::Serialize;
use serde_json::Value;

use crate::home::to_stay;

/// A clip's prediction, as a line of `predictions.csv`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct PredictionRow {
    pub(crate) path: String,
    /// The best class, whether accepted or not.
    pub(crate) label: String,
    /// Its calibrated probability.
    pub(crate) probability: f32,
    /// Whether that clears the threshold.
    pub(crate) accepted: bool,
    /// The class that it is.
    pub(crate) truth: String,
    /// The part of the split: `test`, `validation` or `train`.
    pub(crate) part: Option<String>,
    /// The fold in which it was tested.
    pub(crate) fold: Option<String>,
}

/// The evaluation with more entries beside its own, all at the top level.
///
/// An entry never replaces a figure of the evaluation: a name that is taken is
/// an error.
pub(crate) fn metrics_json(
    evaluation: &Evaluation,
    more: &[(&str, Value)],
) -> anyhow::Result<Value> {
    let mut value =
        serde_json::to_value(evaluation).context("cannot write the evaluation as JSON")?;
    let entries = value
        .as_object_mut()
        .context("an evaluation is not a JSON object")?;
    for (name, entry) in more {
        let before = entries.insert((*name).to_owned(), entry.clone());
        anyhow::ensure!(
            before.is_none(),
            "`{name}` is already a figure of the evaluation"
        );
    }
    Ok(value)
}

/// Writes `metrics.json`.
pub(crate) fn write_metrics_json(path: &Path, metrics: &Value) -> anyhow::Result<()> {
    let mut text =
        serde_json::to_vec_pretty(metrics).context("cannot write the metrics as JSON")?;
    text.push(b'\n');
    write_atomically(path, &text)
}

/// Writes `per_class.csv`: a line per class, intervals in columns of their own.
pub(crate) fn write_per_class_csv(path: &Path, evaluation: &Evaluation) -> anyhow::Result<()> {
    let mut table = csv::Writer::from_writer(Vec::new());
    table.write_record([
        "label",
        "support",
        "predicted",
        "precision",
        "precision_low",
        "precision_high",
        "recall",
        "recall_low",
        "recall_high",
        "f1",
        "f1_low",
        "f1_high",
        "average_precision",
        "roc_auc",
    ])?;
    for class in &evaluation.per_class {
        let mut record = vec![
            class.label.clone(),
            class.support.to_string(),
            class.predicted.to_string(),
        ];
        for (name, figure) in [
            ("precision", class.precision),
            ("recall", class.recall),
            ("f1", class.f1),
        ] {
            record.push(figure.to_string());
            record.extend(ends(class.intervals.get(name)));
        }
        record.push(number_or_empty(class.average_precision));
        record.push(number_or_empty(class.roc_auc));
        table.write_record(record)?;
    }
    finish(path, table)
}

/// Writes `confusion.csv`: a line per true class, a column per predicted one.
pub(crate) fn write_confusion_csv(path: &Path, evaluation: &Evaluation) -> anyhow::Result<()> {
    let mut table = csv::Writer::from_writer(Vec::new());
    let heading = std::iter::once("truth").chain(evaluation.classes.iter().map(String::as_str));
    table.write_record(heading)?;
    for (label, row) in evaluation
        .classes
        .iter()
        .zip(evaluation.confusion_matrix.rows())
    {
        table.write_record(std::iter::once(label.clone()).chain(row.iter().map(u64::to_string)))?;
    }
    finish(path, table)
}

/// Writes `confusion.json`: the classes, and a row of counts for each of them.
pub(crate) fn write_confusion_json(path: &Path, evaluation: &Evaluation) -> anyhow::Result<()> {
    let table = serde_json::json!({
        "classes": evaluation.classes,
        "truth_by_prediction": evaluation.confusion_matrix.rows(),
    });
    let mut text = serde_json::to_vec_pretty(&table)?;
    text.push(b'\n');
    write_atomically(path, &text)
}

/// Writes `predictions.csv`.
pub(crate) fn write_predictions_csv(path: &Path, rows: &[PredictionRow]) -> anyhow::Result<()> {
    // The heading is written by hand, so that it is there without rows, too.
    let mut table = csv::WriterBuilder::new()
        .has_headers(false)
        .from_writer(Vec::new());
    table.write_record([
        "path",
        "label",
        "probability",
        "accepted",
        "truth",
        "part",
        "fold",
    ])?;
    for row in rows {
        table.serialize(row)?;
    }
    finish(path, table)
}

fn ends(interval: Option<&Interval>) -> [String; 2] {
    interval.map_or_else(Default::default, |interval| {
        [interval.low.to_string(), interval.high.to_string()]
    })
}

fn number_or_empty(value: Option<f64>) -> String {
    value.map_or_else(String::new, |value| value.to_string())
}

fn finish(path: &Path, table: csv::Writer<Vec<u8>>) -> anyhow::Result<()> {
    let bytes = table
        .into_inner()
        .with_context(|| format!("cannot lay out `{}`", path.display()))?;
    write_atomically(path, &bytes)
}

/// Writes a file so that it is there whole or, after a crash, as it was before.
pub(crate) fn write_atomically(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let cannot_write = || format!("cannot write `{}`", path.display());
    let made = to_stay(0o666).tempfile_in(folder);
    let mut file = made.with_context(cannot_write)?;
    file.write_all(bytes).with_context(cannot_write)?;
    file.as_file().sync_all().with_context(cannot_write)?;
    file.persist(path).with_context(cannot_write)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::sample;
    use super::*;

    /// What a writer writes.
    fn written(write: impl Fn(&Path) -> anyhow::Result<()>) -> String {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        write(&path).unwrap();
        std::fs::read_to_string(path).unwrap()
    }

    #[cfg(unix)]
    #[test]
    fn a_file_may_be_read_by_whom_the_umask_lets() {
        use std::os::unix::fs::PermissionsExt;

        let folder = tempfile::tempdir().unwrap();
        let [ours, usual] = ["ours", "usual"].map(|name| folder.path().join(name));
        write_atomically(&ours, b"figures").unwrap();
        std::fs::write(&usual, b"figures").unwrap();
        let mode = |path: &Path| path.metadata().unwrap().permissions().mode();
        assert_eq!(mode(&ours), mode(&usual));
    }

    #[test]
    fn metrics_have_the_figures_and_what_was_added_at_the_top() {
        let json = metrics_json(&sample::evaluation(), &[("seed", Value::from(7))]).unwrap();
        assert!(json["accuracy"].is_f64() && json["macro_f1"].is_f64());
        assert_eq!(json["seed"], 7);
    }

    #[test]
    fn an_addition_never_replaces_a_figure() {
        let error =
            metrics_json(&sample::evaluation(), &[("accuracy", Value::from(1))]).unwrap_err();
        assert!(error.to_string().contains("`accuracy`"));
    }

    #[test]
    fn the_confusion_table_adds_up_to_the_clips() {
        let evaluation = sample::evaluation();
        let text = written(|path| write_confusion_csv(path, &evaluation));
        let mut table = csv::Reader::from_reader(text.as_bytes());
        assert_eq!(
            table.headers().unwrap().get(1),
            Some(evaluation.classes[0].as_str())
        );
        let counts = table.records().flat_map(|record| {
            record
                .unwrap()
                .iter()
                .skip(1)
                .map(|n| n.parse::<usize>().unwrap())
                .collect::<Vec<_>>()
        });
        assert_eq!(counts.sum::<usize>(), evaluation.n_clips);
    }

    #[test]
    fn each_class_has_a_line_with_its_intervals() {
        let evaluation = sample::evaluation();
        let text = written(|path| write_per_class_csv(path, &evaluation));
        let mut table = csv::Reader::from_reader(text.as_bytes());
        let records: Vec<csv::StringRecord> = table.records().map(Result::unwrap).collect();
        assert_eq!(records.len(), evaluation.classes.len());
        let f1 = |column: usize| records[0][column].parse::<f64>().unwrap();
        assert!(f1(10) <= f1(9) && f1(9) <= f1(11));
    }

    #[test]
    fn predictions_quote_what_needs_quoting_and_keep_their_heading_without_rows() {
        let row = PredictionRow {
            path: "a, \"b\".wav".to_owned(),
            label: "owl".to_owned(),
            probability: 0.75,
            accepted: true,
            truth: "wren".to_owned(),
            part: Some("test".to_owned()),
            fold: None,
        };
        let heading = "path,label,probability,accepted,truth,part,fold\n";
        assert_eq!(
            written(|path| write_predictions_csv(path, std::slice::from_ref(&row))),
            format!("{heading}\"a, \"\"b\"\".wav\",owl,0.75,true,wren,test,\n")
        );
        assert_eq!(written(|path| write_predictions_csv(path, &[])), heading);
    }
}
