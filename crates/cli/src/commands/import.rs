//! `biophony import`: what other programs tracked joins what is tracked here.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use biophony_tracking::ArtifactPath;

use super::{load_settings, plural, print};
use crate::Outcome;
use crate::arguments::{Common, ImportArguments, ImportCommand};
use crate::home::Home;
use crate::tracking::Tracking;

pub(crate) fn run(common: &Common, arguments: &ImportArguments) -> Result<Outcome> {
    match &arguments.command {
        ImportCommand::MlflowSqlite {
            file,
            artifacts,
            json,
        } => mlflow_sqlite(common, file, artifacts.as_deref(), *json),
    }
}

fn mlflow_sqlite(
    common: &Common,
    file: &Path,
    artifacts: Option<&Path>,
    as_json: bool,
) -> Result<Outcome> {
    let settings = load_settings(common, Vec::new())?.tracking;
    let tracking = Tracking::open(&Home::at(&common.home), &settings)?;
    let imported = tracking.store.import_mlflow(file, artifacts)?;
    let n_files = match artifacts {
        Some(folder) => copy_files(&tracking, folder)?,
        None => 0,
    };
    if as_json {
        let mut told = serde_json::to_value(imported)?;
        told["files"] = n_files.into();
        print(&format!("{}\n", serde_json::to_string_pretty(&told)?))?;
        return Ok(Outcome::Complete);
    }
    let counts = [
        (imported.experiments, "experiment", "experiments"),
        (imported.runs, "run", "runs"),
        (imported.metrics, "point", "points of metrics"),
        (imported.params, "parameter", "parameters"),
        (imported.tags, "tag", "tags"),
        (imported.datasets, "data set", "data sets"),
        (imported.logged_models, "logged model", "logged models"),
        (
            imported.registered_models,
            "registered model",
            "registered models",
        ),
        (imported.versions, "version", "versions"),
        (imported.aliases, "alias", "aliases"),
        (n_files, "file", "files"),
    ];
    let added: Vec<String> = counts
        .into_iter()
        .filter(|(n, _, _)| *n > 0)
        .map(|(n, one, many)| plural(n, one, many))
        .collect();
    let added = match added.is_empty() {
        true => "nothing; all of it is here already".to_owned(),
        false => added.join(", "),
    };
    print(&format!("added {added}\n"))?;
    if imported.left_out > 0 {
        eprintln!(
            "left out {} of other workspaces than `default`",
            plural(imported.left_out, "experiment", "experiments")
        );
    }
    if imported.files_elsewhere > 0 {
        eprintln!(
            "the files of {} lie elsewhere and are not taken in; `--artifacts DIR` takes in those \
             of a folder",
            plural(imported.files_elsewhere, "run", "runs")
        );
    }
    Ok(Outcome::Complete)
}

/// Copies the files of a server's artifact folder that are not here.
fn copy_files(tracking: &Tracking, folder: &Path) -> Result<usize> {
    let mut n_copied = 0;
    let mut folders = vec![PathBuf::new()];
    while let Some(below) = folders.pop() {
        let listed = folder.join(&below);
        let entries = std::fs::read_dir(&listed)
            .with_context(|| format!("cannot list `{}`", listed.display()))?;
        for entry in entries {
            let entry = entry?;
            let path = below.join(entry.file_name());
            let kind = entry.file_type()?;
            if kind.is_dir() {
                folders.push(path);
                continue;
            }
            // Links could lead anywhere, and names that are no text have no URI.
            let (true, Some(name)) = (kind.is_file(), path.to_str()) else {
                continue;
            };
            // Neither can a half of an upload be asked for.
            let Ok(target) = ArtifactPath::new(name) else {
                continue;
            };
            if tracking.artifacts.read(&target).is_ok() {
                continue;
            }
            let mut file = std::fs::File::open(entry.path())
                .with_context(|| format!("cannot read `{}`", entry.path().display()))?;
            tracking.artifacts.write(&target, &mut file)?;
            n_copied += 1;
        }
    }
    Ok(n_copied)
}
