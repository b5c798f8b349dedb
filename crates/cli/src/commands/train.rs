//! `biophony train`: a folder of labelled recordings becomes a model and a
//! report, by the pipeline of [`crate::stages`] with the defaults for all that
//! the command line does not say.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::Result;
use biophony_pipeline::RunId;
use serde_json::json;

use super::{load_settings, print, report_failures};
use crate::arguments::{Common, TrainArguments};
use crate::home::Home;
use crate::launch::{Finished, launch, resumable, unfinished};
use crate::settings::{SETTINGS, lookup};
use crate::stages::{Request, absolute};
use crate::{Outcome, UsageError};

pub(crate) fn run(common: &Common, arguments: &TrainArguments) -> Result<Outcome> {
    let mut request = Request {
        collection: arguments.collection.clone(),
        settings: load_settings(common, own_flags(arguments))?,
        folds: arguments.folds,
        compare_naive: arguments.compare_naive,
        synthetic: false,
        fresh: false,
    };
    let home = Home::at(&common.home);
    let resumed = match &arguments.resume {
        Some(name) => resumable(&home, name)?,
        None => None,
    };
    if let Some(run) = &resumed {
        let (_, begun) = unfinished(&home, run.as_str())?;
        require_the_same(run, &begun, &request)?;
        request.fresh = begun.fresh;
    }
    let finished = launch(&home, &request, resumed)?;
    tell(&finished, arguments.json)
}

/// A run that is gone on with stays what it was: what it has recorded of its settings
/// could not be changed any more.
///
/// # Errors
///
/// When something is asked for that its results depend on, and differently than before.
fn require_the_same(run: &RunId, begun: &Request, now: &Request) -> Result<(), UsageError> {
    let (before, after) = (ingredients(begun), ingredients(now));
    let mut differences = before
        .iter()
        .filter(|(key, value)| after.get(*key) != Some(value))
        .map(|(key, value)| {
            let now = after.get(key).map_or("none", String::as_str);
            format!("{key} was {value} and is {now} now")
        });
    match differences.next() {
        None => Ok(()),
        Some(first) => Err(UsageError(format!(
            "run {run} was begun with other settings: {first}. `biophony run --resume {run}` goes \
             on with those; without `--resume` a new run begins"
        ))),
    }
}

/// What the results of a run depend on, and how it is judged.
fn ingredients(request: &Request) -> BTreeMap<String, String> {
    let mut table = request.settings.to_table();
    for section in ["run", "tracking"] {
        table.remove(section);
    }
    // Where the recordings are is said below, wherever it was said.
    let is_place = |key: &str| matches!(key, "data.folder" | "data.manifest");
    let mut found: BTreeMap<String, String> = SETTINGS
        .iter()
        .filter(|setting| !is_place(setting.key))
        .filter_map(|setting| Some((setting.key.to_owned(), lookup(&table, setting.key)?)))
        .map(|(key, value)| (key, value.to_string()))
        .collect();
    let path = |path: &Option<PathBuf>| match absolute(path) {
        Some(path) => path.display().to_string(),
        None => "none".to_owned(),
    };
    let folds = request
        .folds
        .map_or("none".to_owned(), |folds| folds.to_string());
    found.extend([
        ("the folder".to_owned(), path(&request.collection.folder)),
        (
            "the manifest".to_owned(),
            path(&request.collection.manifest),
        ),
        ("--folds".to_owned(), folds),
        (
            "--compare-naive".to_owned(),
            request.compare_naive.to_string(),
        ),
    ]);
    found
}

/// Prints what came of a run, and says how it ended.
pub(crate) fn tell(finished: &Finished, as_json: bool) -> Result<Outcome> {
    if as_json {
        let mut figures = finished.judged.metrics.clone();
        figures["run"] = json!(finished.folder);
        figures["report"] = json!(finished.folder.join("report.html"));
        figures["model"] = json!(finished.deployed);
        figures["deployment"] = json!(finished.deployment);
        figures["left_out"] = json!(finished.left_out);
        print(&format!("{}\n", serde_json::to_string_pretty(&figures)?))?;
    } else {
        print(&finished.summary())?;
    }
    let unreadable: &[(PathBuf, String)] = &finished.judged.unreadable;
    report_failures(unreadable);
    let complete = unreadable.is_empty() && finished.judged.stopped.is_none();
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
