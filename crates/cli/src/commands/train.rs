//! `biophony train`: a folder of labelled recordings becomes a model and a
//! report, by the pipeline of [`crate::stages`] with the defaults for all that
//! the command line does not say.

use std::path::PathBuf;

use anyhow::Result;
use biophony_pipeline::Reuse;
use serde_json::json;

use super::{load_settings, print, report_failures};
use crate::Outcome;
use crate::arguments::{Common, TrainArguments};
use crate::home::Home;
use crate::launch::{Finished, Start, launch, resume};
use crate::stages::Request;

pub(crate) fn run(common: &Common, arguments: &TrainArguments) -> Result<Outcome> {
    let request = Request {
        collection: arguments.collection.clone(),
        settings: load_settings(common, own_flags(arguments))?,
        folds: arguments.folds,
        compare_naive: arguments.compare_naive,
    };
    let home = Home::at(&common.home);
    let start = match &arguments.resume {
        Some(name) => resume(&home, name)?,
        None => Start::Anew(Reuse::Cache),
    };
    let finished = launch(&home, &request, start)?;
    tell(&finished, arguments.json)
}

/// Prints what came of a run, and says how it ended.
pub(crate) fn tell(finished: &Finished, as_json: bool) -> Result<Outcome> {
    if as_json {
        let mut figures = finished.judged.metrics.clone();
        figures["run"] = json!(finished.folder);
        figures["report"] = json!(finished.folder.join("report.html"));
        figures["model"] = json!(finished.deployed);
        figures["deployment"] = json!(finished.deployment);
        print(&format!("{}\n", serde_json::to_string_pretty(&figures)?))?;
    } else {
        print(&finished.summary())?;
    }
    let unreadable: &[(PathBuf, String)] = &finished.judged.unreadable;
    report_failures(unreadable);
    let complete = unreadable.is_empty() && !finished.judged.interrupted;
    Ok(if complete {
        Outcome::Complete
    } else {
        Outcome::Partial
    })
}

/// The settings that the command's own flags stand for.
fn own_flags(arguments: &TrainArguments) -> Vec<String> {
    let mut flags = Vec::new();
    flags.extend(
        arguments
            .epochs
            .map(|epochs| format!("train.epochs={epochs}")),
    );
    flags.extend(
        arguments
            .architecture
            .as_ref()
            .map(|name| format!("train.architecture={name}")),
    );
    flags.extend(arguments.seed.map(seed_flags).into_iter().flatten());
    flags
}

/// The settings that one seed stands for.
pub(crate) fn seed_flags(seed: u64) -> [String; 2] {
    [format!("train.seed={seed}"), format!("split.seed={seed}")]
}
