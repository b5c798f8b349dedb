//! `biophony run`: the whole pipeline as the settings file describes it; steps
//! whose ingredients did not change are answered from the cache.

use std::path::PathBuf;

use anyhow::Result;

use super::{load_settings, train};
use crate::arguments::{CollectionArguments, Common, RunArguments};
use crate::home::Home;
use crate::launch::{launch, unfinished};
use crate::stages::Request;
use crate::{Outcome, UsageError};

pub(crate) fn run(common: &Common, arguments: &RunArguments) -> Result<Outcome> {
    let home = Home::at(&common.home);
    if let Some(name) = &arguments.resume {
        // A run is gone on with as it was asked for, whatever the settings say now;
        // only how it is carried out may change, of which its results know nothing.
        require_run_settings(&common.set)?;
        let (run, mut request) = unfinished(&home, name)?;
        request.settings.run = load_settings(common, Vec::new())?.run;
        let finished = launch(&home, &request, Some(run))?;
        return train::tell(&finished, arguments.json);
    }
    let mut flags = Vec::new();
    if let Some(folder) = &arguments.data {
        flags.push(format!("data.folder={}", quoted(folder)));
        flags.push("data.manifest=\"\"".to_owned());
    }
    if let Some(manifest) = &arguments.manifest {
        flags.push(format!("data.manifest={}", quoted(manifest)));
    }
    let settings = load_settings(common, flags)?;
    let given = |path: &PathBuf| (!path.as_os_str().is_empty()).then(|| path.clone());
    let manifest = given(&settings.data.manifest);
    let folder = given(&settings.data.folder).filter(|_| manifest.is_none());
    if folder.is_none() && manifest.is_none() {
        return Err(UsageError(
            "name the recordings: `--data DIR`, or `folder` in the section [data] of biophony.toml (`biophony init` writes one)".to_owned(),
        )
        .into());
    }
    let request = Request {
        collection: CollectionArguments { folder, manifest },
        settings,
        folds: arguments.folds,
        compare_naive: arguments.compare_naive,
        synthetic: false,
        fresh: arguments.fresh,
    };
    let finished = launch(&home, &request, None)?;
    train::tell(&finished, arguments.json)
}

/// # Errors
///
/// When one of the `--set` flags is about anything but the section `[run]`.
fn require_run_settings(flags: &[String]) -> Result<(), UsageError> {
    let other = flags
        .iter()
        .find(|flag| !flag.trim_start().starts_with("run."));
    match other {
        None => Ok(()),
        Some(flag) => Err(UsageError(format!(
            "`--set {flag}`: a run is gone on with as it was asked for; only settings of the section [run] may change"
        ))),
    }
}

/// A path as a TOML string.
fn quoted(path: &std::path::Path) -> String {
    toml::Value::from(path.to_string_lossy().into_owned()).to_string()
}
