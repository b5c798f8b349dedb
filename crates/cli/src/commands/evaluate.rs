//! `biophony evaluate`: a trained model judged on labelled recordings.
//!
//! Recordings that the model was trained on are told apart by their content and
//! pointed out, since figures that include them are too good.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use biophony_audio::{DecodeLimits, decode_bytes, decode_file, read_file};
use biophony_dataset::{Dataset, Recording};
use biophony_model::bootstrap::BootstrapConfig;
use biophony_model::{
    Bundle, Evaluation, EvaluationOptions, Prediction, Predictor, Preparer, evaluate,
};
use rayon::prelude::*;
use serde_json::json;

use super::{chain, load_settings, plural, print, report_failures};
use crate::Outcome;
use crate::arguments::{Common, EvaluateArguments};
use crate::collection::list;
use crate::home::Home;
use crate::progress::Bar;
use crate::report::{self, Entry, Mistake, PredictionRow, Report, WantedPrecision};
use crate::settings::Settings;
use crate::stages::recordings_of;
use crate::tracking::find_model;

pub(crate) fn run(common: &Common, arguments: &EvaluateArguments) -> Result<Outcome> {
    let settings = load_settings(common, Vec::new())?;
    let home = Home::at(&common.home);
    let folder = find_model(&home, &settings.tracking, arguments.model.as_deref())?;
    let bundle = Bundle::load(&folder)
        .with_context(|| format!("cannot open the model `{}`", folder.display()))?;
    let seen = recordings_of(&bundle, |part| part == "train");
    let predictor = Predictor::new(bundle)?;
    let dataset = list(&arguments.collection)?;

    let judged = judge(&predictor, &dataset, &settings)?;
    let n_seen = judged
        .heard
        .iter()
        .filter(|heard| seen.contains(&heard.hash))
        .count();
    if n_seen > 0 {
        eprintln!(
            "warning: the model was trained on {n_seen} of these {}; the figures are too good",
            plural(judged.heard.len(), "recording", "recordings")
        );
    }
    let more = [("model", json!(folder)), ("n_trained_on", json!(n_seen))];
    let metrics = report::metrics_json(&judged.evaluation, &more)?;
    if let Some(out) = &arguments.out {
        write(out, &judged, &metrics)?;
        let report = describe(&predictor, &judged, &dataset, n_seen)?;
        report::write_html(&out.join("report.html"), &report)?;
    }
    if arguments.json {
        print(&format!("{}\n", serde_json::to_string_pretty(&metrics)?))?;
    } else {
        print(&summary(&judged.evaluation))?;
    }
    report_failures(&judged.failures);
    Ok(if judged.failures.is_empty() {
        Outcome::Complete
    } else {
        Outcome::Partial
    })
}

/// What the model made of the recordings.
struct Judged {
    evaluation: Evaluation,
    heard: Vec<Heard>,
    failures: Vec<(PathBuf, String)>,
}

/// One recording and the model's answer.
struct Heard {
    name: String,
    path: PathBuf,
    truth: usize,
    hash: String,
    prediction: Prediction,
}

fn judge(predictor: &Predictor, dataset: &Dataset, settings: &Settings) -> Result<Judged> {
    let labels = predictor.labels();
    let unknown: BTreeSet<String> = dataset
        .labels()
        .into_iter()
        .filter(|label| labels.index_of(label).is_none())
        .collect();
    let bar = Bar::new("evaluate", dataset.recordings.len());
    let outcomes: Vec<Result<Heard, (PathBuf, String)>> = dataset
        .recordings
        .par_iter()
        .map(|recording| {
            let heard = hear(predictor, dataset, recording);
            bar.advance();
            heard.map_err(|reason| (recording.path.clone(), reason))
        })
        .collect();
    bar.finish();

    let (mut heard, mut failures) = (Vec::new(), Vec::new());
    for outcome in outcomes {
        match outcome {
            Ok(one) => heard.push(one),
            Err(failure) => failures.push(failure),
        }
    }
    if heard.is_empty() {
        report_failures(&failures);
        let classes: Vec<_> = unknown.into_iter().collect();
        bail!(
            "no recording could be judged; the model knows {}, the collection holds {}",
            labels.names().join(", "),
            classes.join(", ")
        );
    }
    let truth: Vec<usize> = heard.iter().map(|heard| heard.truth).collect();
    let probabilities: Vec<Vec<f32>> = heard
        .iter()
        .map(|heard| probabilities(labels.names(), &heard.prediction))
        .collect();
    let n_resamples = settings.evaluate.bootstrap;
    let options = EvaluationOptions {
        temperature: Some(predictor.bundle().calibration.temperature),
        bootstrap: (n_resamples > 0).then(|| BootstrapConfig {
            n_resamples,
            seed: settings.split.seed,
            ..BootstrapConfig::default()
        }),
        ..EvaluationOptions::default()
    };
    let evaluation = evaluate(labels, &truth, &probabilities, &options)?;
    Ok(Judged {
        evaluation,
        heard,
        failures,
    })
}

fn hear(predictor: &Predictor, dataset: &Dataset, recording: &Recording) -> Result<Heard, String> {
    let truth = predictor
        .labels()
        .index_of(&recording.label)
        .ok_or_else(|| format!("the model does not know the class `{}`", recording.label))?;
    let limits = DecodeLimits::default();
    let bytes = read_file(&recording.path, &limits).map_err(|error| chain(&error))?;
    let hash = blake3::hash(&bytes).to_hex().to_string();
    let decoded = decode_bytes(bytes, &recording.path, &limits).map_err(|error| chain(&error))?;
    let prediction = predictor
        .predict(&decoded.clip)
        .map_err(|error| chain(&error))?;
    Ok(Heard {
        name: dataset.name_of(recording),
        path: recording.path.clone(),
        truth,
        hash,
        prediction,
    })
}

fn probabilities(labels: &[String], prediction: &Prediction) -> Vec<f32> {
    labels
        .iter()
        .map(|label| prediction.probability_of(label))
        .collect()
}

fn write(out: &Path, judged: &Judged, metrics: &serde_json::Value) -> Result<()> {
    std::fs::create_dir_all(out).with_context(|| format!("cannot create `{}`", out.display()))?;
    let rows: Vec<PredictionRow> = judged
        .heard
        .iter()
        .map(|heard| {
            let best = &heard.prediction.ranked[0];
            PredictionRow {
                path: heard.name.clone(),
                label: best.label.clone(),
                probability: best.probability,
                accepted: heard.prediction.accepted,
                truth: judged.evaluation.classes[heard.truth].clone(),
                part: None,
                fold: None,
            }
        })
        .collect();
    report::write_metrics_json(&out.join("metrics.json"), metrics)?;
    report::write_per_class_csv(&out.join("per_class.csv"), &judged.evaluation)?;
    report::write_confusion_csv(&out.join("confusion.csv"), &judged.evaluation)?;
    report::write_predictions_csv(&out.join("predictions.csv"), &rows)
}

/// How many mistakes the report shows, and how large their pictures are.
const N_MISTAKES: usize = 12;
const PICTURE: [u32; 2] = [360, 128];

fn describe(
    predictor: &Predictor,
    judged: &Judged,
    dataset: &Dataset,
    n_seen: usize,
) -> Result<Report> {
    let bundle = predictor.bundle();
    let n = plural(judged.heard.len(), "recording", "recordings");
    let mut notes = Vec::new();
    if n_seen > 0 {
        notes.push(format!(
            "The model was trained on {n_seen} of these {n}: the figures are too good."
        ));
    }
    let thresholds = bundle.calibration.thresholds.iter();
    Ok(Report {
        title: dataset.root.display().to_string(),
        subtitle: format!("{n}, judged by a trained model"),
        evaluated_on: format!("{n} of `{}`", dataset.root.display()),
        notes,
        evaluation: judged.evaluation.clone(),
        naive: None,
        folds: Vec::new(),
        training: Vec::new(),
        thresholds: thresholds
            .map(|one| WantedPrecision {
                wanted: one.wanted_precision,
                found: one.search,
            })
            .collect(),
        mistakes: mistakes(predictor, judged)?,
        pictures_show:
            "The whole recording from left to right, as the network sees it; brighter is louder."
                .to_owned(),
        audit: None,
        network: None,
        settings: Vec::new(),
        provenance: vec![
            Entry::new("judged by", concat!("biophony ", env!("CARGO_PKG_VERSION"))),
            Entry::new("model made by", &bundle.provenance.program),
        ],
    })
}

/// The mistakes that were made with most confidence.
fn mistakes(predictor: &Predictor, judged: &Judged) -> Result<Vec<Mistake>> {
    let labels = predictor.labels().names();
    let mut wrong: Vec<&Heard> = judged
        .heard
        .iter()
        .filter(|heard| heard.prediction.ranked[0].label != labels[heard.truth])
        .collect();
    let confidence = |heard: &Heard| heard.prediction.ranked[0].probability;
    wrong.sort_by(|a, b| confidence(b).total_cmp(&confidence(a)));
    let preparer = Preparer::new(&predictor.bundle().front_end)?;
    let describe = |heard: &&Heard| {
        let clip = decode_file(&heard.path, &DecodeLimits::default())?.clip;
        let [width, height] = PICTURE;
        let features = preparer.prepare(&clip)?;
        Ok(Mistake {
            path: heard.name.clone(),
            truth: labels[heard.truth].clone(),
            predicted: heard.prediction.ranked[0].label.clone(),
            probability: f64::from(confidence(heard)),
            truth_probability: f64::from(heard.prediction.probability_of(&labels[heard.truth])),
            picture_png: Some(biophony_audio::bare_spectrogram_png(
                &features, width, height, None,
            )),
        })
    };
    wrong.iter().take(N_MISTAKES).map(describe).collect()
}

fn summary(evaluation: &Evaluation) -> String {
    let mut text = format!(
        "{}\n\n{}\n  {:<20} {:>8} {:>9} {:>8} {:>8}\n",
        plural(evaluation.n_clips, "recording", "recordings"),
        report::figure_lines(evaluation),
        "class",
        "support",
        "precision",
        "recall",
        "F1"
    );
    for class in &evaluation.per_class {
        text.push_str(&format!(
            "  {:<20} {:>8} {:>9.3} {:>8.3} {:>8.3}\n",
            class.label, class.support, class.precision, class.recall, class.f1
        ));
    }
    text
}
