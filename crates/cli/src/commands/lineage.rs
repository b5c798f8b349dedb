//! `biophony lineage`: where a model or artifact comes from, and where a
//! recording went.

use std::path::Path;

use anyhow::{Context, Result};
use biophony_pipeline::{ContentHash, Lineage, LineageStep, Store};
use serde_json::json;

use super::{load_settings, print};
use crate::Outcome;
use crate::arguments::{Common, LineageArguments};
use crate::home::Home;
use crate::settings::TrackingSettings;
use crate::tracking::{bundle_digest, find_model};

pub(crate) fn run(common: &Common, arguments: &LineageArguments) -> Result<Outcome> {
    let home = Home::at(&common.home);
    let store = home.pipelines()?;
    let settings = load_settings(common, Vec::new())?.tracking;
    let content = find(&store, &home, &settings, &arguments.what)?;
    let (upstream, downstream) = (store.upstream(content)?, store.downstream(content)?);
    if arguments.json {
        let both = json!({ "upstream": upstream, "downstream": downstream });
        print(&format!("{}\n", serde_json::to_string_pretty(&both)?))?;
        return Ok(Outcome::Complete);
    }
    let mut text = format!("{content}\n");
    text.push_str(&origin(&upstream, arguments.files));
    text.push_str(&fate(&downstream));
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
        return Ok(store.content_of(path)?);
    }
    let wanted = Some(what).filter(|&what| what != "champion");
    if let Ok(model) = find_model(home, settings, wanted) {
        return bundle(store, &model);
    }
    store.find_content(what).with_context(|| {
        format!("`{what}` is no file, no model, and not the beginning of an artifact's hash")
    })
}

/// The artifact that a model was copied from.
fn bundle(store: &Store, model: &Path) -> Result<ContentHash> {
    let digest = bundle_digest(model)?;
    for run in store.runs()? {
        for step in store.run(&run.id)?.steps {
            for output in step.outputs.iter().filter(|output| output.name == "model") {
                let there = store.artifact_path(output.content);
                if there.is_ok_and(|path| bundle_digest(&path).is_ok_and(|d| d == digest)) {
                    return Ok(output.content);
                }
            }
        }
    }
    anyhow::bail!("no run that is kept made the model `{}`", model.display())
}

fn origin(lineage: &Lineage, all_files: bool) -> String {
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
    }
    text.push_str(&format!("  {} files\n", lineage.sources.len()));
    let shown = if all_files { lineage.sources.len() } else { 5 };
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

fn fate(lineage: &Lineage) -> String {
    if lineage.steps.is_empty() {
        return String::new();
    }
    let mut text = String::from("\nwent into\n");
    for step in &lineage.steps {
        text.push_str(&line(step));
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
