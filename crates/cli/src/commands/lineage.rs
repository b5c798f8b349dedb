//! `biophony lineage`: where a model or artifact comes from, and where a
//! recording went.

use std::collections::HashSet;
use std::path::Path;

use anyhow::{Context, Result};
use biophony_pipeline::{ContentHash, Lineage, LineageStep, Store};
use serde::Serialize;
use serde_json::{Value, json};

use super::{load_settings, plural, print, runs};
use crate::Outcome;
use crate::arguments::{Common, LineageArguments};
use crate::home::Home;
use crate::progress::note;
use crate::settings::TrackingSettings;
use crate::tracking::{bundle_digest, find_model};

/// The output that is a bundle.
const MODEL: &str = "model";

pub(crate) fn run(common: &Common, arguments: &LineageArguments) -> Result<Outcome> {
    let home = Home::at(&common.home);
    let none = || format!("nothing ran in `{}` yet", home.path().display());
    let store = home.existing_pipelines()?.with_context(none)?;
    let settings = load_settings(common, Vec::new())?.tracking;
    let content = find(&store, &home, &settings, &arguments.what)?;
    let (upstream, downstream) = (store.upstream(content)?, store.downstream(content)?);
    let models = models(&store, &downstream);
    if arguments.json {
        let all = json!({ "upstream": upstream, "downstream": downstream, "models": models });
        print(&format!("{}\n", serde_json::to_string_pretty(&all)?))?;
        return Ok(Outcome::Complete);
    }
    let mut text = format!("{content}\n");
    text.push_str(&origin(&upstream, arguments));
    text.push_str(&fate(&downstream, &models));
    print(&text)?;
    Ok(Outcome::Complete)
}

/// The content that a user means by a file, a model, or the beginning of a hash.
fn find(
    store: &Store,
    home: &Home,
    settings: &TrackingSettings,
    what: &str,
) -> Result<ContentHash> {
    let path = Path::new(what);
    if path.is_file() {
        let content = store.content_of(path)?;
        let before = match store.knows(content)? {
            true => None,
            false => store.last_content_of(path)?,
        };
        if before.is_some() {
            note(&format!(
                "`{what}` has changed since a run last read it; this is the lineage of what it held then"
            ));
        }
        return Ok(before.unwrap_or(content));
    }
    let wanted = Some(what).filter(|&what| what != "champion");
    if let Ok(model) = find_model(home, settings, wanted) {
        return bundle(store, &model);
    }
    if let Ok(run) = runs::named(store, what)
        && let Ok(record) = store.run(&run)
    {
        let mut outputs = record.steps.into_iter().flat_map(|step| step.outputs);
        return outputs
            .find(|output| output.name == MODEL)
            .map(|model| model.content)
            .with_context(|| format!("run `{run}` has not come as far as to make a model"));
    }
    if let Some(content) = store.last_content_of(path)? {
        note(&format!(
            "`{what}` is gone; this is the lineage of what it held when a run last read it"
        ));
        return Ok(content);
    }
    store.find_content(what).with_context(|| {
        format!("`{what}` is no file, no model, and not the beginning of an artifact's hash")
    })
}

/// The artifact that a model was copied from.
fn bundle(store: &Store, model: &Path) -> Result<ContentHash> {
    let digest = bundle_digest(model)?;
    let is_it = |content: &ContentHash| {
        let there = store.artifact_path(*content);
        there.is_ok_and(|path| bundle_digest(&path).is_ok_and(|found| found == digest))
    };
    // Registered models first: they are few, and may outlive their runs.
    let mut pinned = store.pins()?.into_iter().map(|pin| pin.content);
    if let Some(content) = pinned.find(is_it) {
        return Ok(content);
    }
    let mut seen = HashSet::new();
    for run in store.runs()? {
        for step in store.run(&run.id)?.steps {
            let models = step.outputs.iter().filter(|output| output.name == MODEL);
            let mut unseen = models
                .map(|model| model.content)
                .filter(|&content| seen.insert(content));
            if let Some(content) = unseen.find(is_it) {
                return Ok(content);
            }
        }
    }
    anyhow::bail!("no run that is kept made the model `{}`", model.display())
}

/// A model that something went into.
#[derive(Debug, Serialize)]
struct Reached {
    /// The bundle.
    content: ContentHash,
    /// The runs that gave it and are kept.
    runs: Vec<String>,
    /// What a recording was to it, as its bundle says: `train`, `validation` or
    /// `test`. None for what is no recording.
    part: Option<String>,
}

fn models(store: &Store, downstream: &Lineage) -> Vec<Reached> {
    let reached = |step: &LineageStep| {
        let model = step.outputs.iter().find(|output| output.name == MODEL)?;
        Some(Reached {
            content: model.content,
            runs: step.runs.clone(),
            part: part_of(store, model.content, downstream.content),
        })
    };
    downstream.steps.iter().filter_map(reached).collect()
}

/// What a recording was to a model; also none if the bundle cannot be read, which
/// takes nothing from what else is known.
fn part_of(store: &Store, model: ContentHash, recording: ContentHash) -> Option<String> {
    let bundle = store.artifact_path(model).ok()?.join("bundle.json");
    let bundle: Value = serde_json::from_slice(&std::fs::read(bundle).ok()?).ok()?;
    let recordings = bundle["provenance"]["dataset"]["recordings"].as_array()?;
    let recording = recording.to_string();
    let found = recordings
        .iter()
        .find(|entry| entry["blake3"] == recording.as_str())?;
    Some(found["part"].as_str()?.to_owned())
}

fn origin(lineage: &Lineage, arguments: &LineageArguments) -> String {
    if lineage.steps.is_empty() && lineage.sources.is_empty() {
        return String::new();
    }
    let mut text = String::from("\ncomes from\n");
    for step in &lineage.steps {
        text.push_str(&line(step));
        text.push_str(&format!(
            "      program {}{}\n",
            step.ingredients.program,
            step.git_commit
                .as_ref()
                .map_or_else(String::new, |commit| format!(", commit {commit}"))
        ));
        if arguments.settings {
            text.push_str(&format!("      settings {}\n", step.ingredients.params));
        }
    }
    let n_files = lineage.sources.len();
    text.push_str(&format!("  {}\n", plural(n_files, "file", "files")));
    let shown = match arguments.files {
        true => lineage.sources.len(),
        false => 5,
    };
    for source in lineage.sources.iter().take(shown) {
        text.push_str(&format!(
            "    {}  {}\n",
            source.content.short(),
            source.path.display()
        ));
    }
    if shown < lineage.sources.len() {
        text.push_str("    … (`--files` shows all)\n");
    }
    text
}

fn fate(lineage: &Lineage, models: &[Reached]) -> String {
    if lineage.steps.is_empty() {
        return String::new();
    }
    let mut text = String::from("\nwent into\n");
    for step in &lineage.steps {
        text.push_str(&line(step));
    }
    if !models.is_empty() {
        text.push_str("\nreached the models\n");
    }
    for model in models {
        let part = match model.part.as_deref() {
            Some("train") => ", trained on it",
            Some("validation") => ", calibrated with it",
            Some("test") => ", tested on it",
            _ => "",
        };
        let (content, runs) = (model.content.short(), model.runs.join(", "));
        text.push_str(&format!("  {content}  of run {runs}{part}\n"));
    }
    text
}

fn line(step: &LineageStep) -> String {
    let made: Vec<String> = step
        .outputs
        .iter()
        .map(|output| format!("{} {}", output.name, output.content.short()))
        .collect();
    format!(
        "  {:>15}  run {}  made {}\n",
        step.ingredients.step,
        step.run,
        made.join(", ")
    )
}
