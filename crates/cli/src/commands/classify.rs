//! `biophony classify`: which animal is heard in sound files.
//!
//! Files are read and classified in parallel, in batches, and printed in the
//! order given. What speaks against trusting an answer (a damaged file, silence) is said
//! beside it; a file that cannot be read is reported at the end.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use biophony_audio::{DecodeLimits, decode_file};
use biophony_dataset::{AuditConfig, doubts};
use biophony_model::{Prediction, Predictor};
use rayon::prelude::*;
use serde_json::json;

use super::{load_settings, print, print_exactly, report_failures};
use crate::Outcome;
use crate::arguments::{ClassifyArguments, Common};
use crate::home::Home;
use crate::progress::note;
use crate::tracking::find_model;

/// How many files are decoded at once; bounds the memory that waveforms take.
const BATCH: usize = 32;

pub(crate) fn run(common: &Common, arguments: &ClassifyArguments) -> Result<Outcome> {
    let settings = load_settings(common, Vec::new())?;
    let home = Home::at(&common.home);
    let folder = find_model(&home, &settings.tracking, arguments.model.as_deref())?;
    let mut predictor = Predictor::open(&folder)
        .with_context(|| format!("cannot open the model `{}`", folder.display()))?;
    if let Some(threshold) = arguments.threshold {
        predictor.set_threshold(Some(threshold));
    }

    let mut writer = Writer::new(arguments, predictor.labels().names())?;
    let mut failures = Vec::new();
    for batch in arguments.files.chunks(BATCH) {
        let answers: Vec<Result<Answer, String>> = batch
            .par_iter()
            .map(|path| classify(&predictor, path, &settings.audit))
            .collect();
        for (path, answer) in batch.iter().zip(answers) {
            match answer {
                Ok(answer) => writer.write(path, &answer)?,
                Err(reason) => failures.push((path.clone(), reason)),
            }
        }
    }
    writer.finish(&failures)?;
    report_failures(&failures);
    Ok(if failures.is_empty() {
        Outcome::Complete
    } else {
        Outcome::Partial
    })
}

/// What is heard in a file, and what speaks against trusting that.
struct Answer {
    prediction: Prediction,
    /// Whether the best class reaches the threshold and there is enough to hear.
    accepted: bool,
    warnings: Vec<String>,
}

fn classify(predictor: &Predictor, path: &Path, audit: &AuditConfig) -> Result<Answer, String> {
    let describe = |error: &dyn std::error::Error| super::chain(error);
    let decoded = decode_file(path, &DecodeLimits::default()).map_err(|error| describe(&error))?;
    let prediction = predictor
        .predict(&decoded.clip)
        .map_err(|error| describe(&error))?;
    let doubts = doubts(&decoded.clip, audit);
    Ok(Answer {
        accepted: prediction.accepted && doubts.is_empty(),
        prediction,
        warnings: [decoded.warnings, doubts].concat(),
    })
}

/// Prints answers in one of three forms.
enum Writer<'a> {
    Text { top: usize },
    Csv { labels: &'a [String] },
    Json { rows: Vec<serde_json::Value> },
}

impl<'a> Writer<'a> {
    fn new(arguments: &ClassifyArguments, labels: &'a [String]) -> Result<Self> {
        if arguments.format.json {
            return Ok(Self::Json { rows: Vec::new() });
        }
        if arguments.format.csv {
            print_exactly(&csv_line(columns(labels).into_iter())?)?;
            return Ok(Self::Csv { labels });
        }
        Ok(Self::Text {
            top: arguments.top.max(1),
        })
    }

    fn write(&mut self, path: &Path, answer: &Answer) -> Result<()> {
        let Answer {
            prediction,
            accepted,
            warnings,
        } = answer;
        let best = &prediction.ranked[0];
        if !matches!(self, Self::Json { .. }) {
            for warning in warnings {
                note(&format!("warning: `{}`: {warning}", path.display()));
            }
        }
        match self {
            Self::Text { top } => {
                let ranked: Vec<String> = prediction
                    .ranked
                    .iter()
                    .take(*top)
                    .map(|one| format!("{} {:.1} %", one.label, 100.0 * one.probability))
                    .collect();
                let verdict = if *accepted { "" } else { "unknown; " };
                print(&format!(
                    "{}: {verdict}{}\n",
                    path.display(),
                    ranked.join(", ")
                ))
            }
            Self::Csv { labels } => {
                let fixed = [
                    path.display().to_string(),
                    best.label.clone(),
                    best.probability.to_string(),
                    accepted.to_string(),
                ];
                let each = labels
                    .iter()
                    .map(|label| prediction.probability_of(label).to_string());
                let last = warnings.join("; ");
                print_exactly(&csv_line(fixed.into_iter().chain(each).chain([last]))?)
            }
            Self::Json { rows } => {
                rows.push(json!({
                    "path": path.display().to_string(),
                    "label": best.label,
                    "probability": best.probability,
                    "accepted": accepted,
                    "predictions": prediction.ranked,
                    "windows": prediction.windows,
                    "warnings": warnings,
                }));
                Ok(())
            }
        }
    }

    fn finish(self, failures: &[(PathBuf, String)]) -> Result<()> {
        let Self::Json { mut rows } = self else {
            return Ok(());
        };
        for (path, reason) in failures {
            rows.push(json!({ "path": path.display().to_string(), "error": reason }));
        }
        print(&format!("{}\n", serde_json::to_string_pretty(&rows)?))
    }
}

/// The heading of the table: what is said of each file, and the classes between.
fn columns(labels: &[String]) -> Vec<String> {
    let own = ["path", "label", "probability", "accepted", "warnings"];
    let of_class = |label: &String| {
        let mut column = label.clone();
        // A class may be called as a column is: no two columns share a name.
        while own.contains(&column.as_str()) || (column != *label && labels.contains(&column)) {
            column = format!("p({column})");
        }
        column
    };
    let [first @ .., last] = own.map(str::to_owned);
    let classes = labels.iter().map(of_class);
    first.into_iter().chain(classes).chain([last]).collect()
}

fn csv_line(fields: impl Iterator<Item = String>) -> Result<String> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record(fields)?;
    Ok(String::from_utf8(writer.into_inner()?)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_columns(labels: &[&str], expected: &str) {
        let labels: Vec<String> = labels.iter().map(|&label| label.to_owned()).collect();
        assert_eq!(columns(&labels).join(","), expected);
    }

    #[test]
    fn no_two_columns_share_a_name_whatever_classes_are_called() {
        check_columns(
            &["frog", "p(owl)", "owl"],
            "path,label,probability,accepted,frog,p(owl),owl,warnings",
        );
        check_columns(
            &["label", "p(path)", "path", "warnings"],
            "path,label,probability,accepted,p(label),p(path),p(p(path)),p(warnings),warnings",
        );
    }
}
