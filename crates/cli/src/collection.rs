//! A collection made ready to learn from: scanned, audited and grouped.
//!
//! How it becomes features and is divided lives in [`crate::stages`].

use std::collections::{BTreeSet, HashMap};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use biophony_dataset::{
    Audit, Dataset, DatasetError, Part, Recording, SplitConfig, Usable, audit, read_manifest, scan,
};
use serde::{Deserialize, Serialize};

use crate::UsageError;
use crate::arguments::{CollectionArguments, FoldsArgument};
use crate::commands::chain;
use crate::progress::{Bar, note};
use crate::settings::Settings;

/// Labelled recordings and what the audit found out about them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Collection {
    /// What it is called in reports.
    pub(crate) name: String,
    pub(crate) dataset: Dataset,
    pub(crate) audit: Audit,
}

impl Collection {
    /// Lists the recordings and audits them.
    pub(crate) fn open(arguments: &CollectionArguments, settings: &Settings) -> Result<Self> {
        let dataset = read(arguments)?;
        let bar = Bar::new("audit", dataset.recordings.len());
        let audit = audit(&dataset, &settings.audit, &|done, _| bar.set(done));
        bar.finish();
        Ok(Self {
            name: name_of(&dataset.root),
            dataset,
            audit,
        })
    }

    /// The recordings that can be learnt from.
    ///
    /// # Errors
    ///
    /// When fewer than two classes are left.
    pub(crate) fn usable(&self) -> Result<Usable<'_>> {
        let usable = self.audit.usable(&self.dataset);
        if usable.classes.len() < 2 {
            bail!(
                "`{}` has readable recordings of {} only; a classifier needs at least two classes",
                self.name,
                match &usable.classes[..] {
                    [] => "no class".to_owned(),
                    classes => format!("`{}`", classes.join("`, `")),
                }
            );
        }
        Ok(usable)
    }

    /// The BLAKE3 of each usable recording's file, in hexadecimal.
    pub(crate) fn hashes(&self, usable: &Usable) -> Vec<String> {
        let of: HashMap<&str, &str> = self
            .audit
            .clips
            .iter()
            .filter_map(|clip| {
                Some((
                    clip.path.as_str(),
                    clip.measurements.as_ref()?.file_hash.as_str(),
                ))
            })
            .collect();
        usable
            .names
            .iter()
            .map(|name| {
                of.get(name.as_str())
                    .copied()
                    .unwrap_or_default()
                    .to_owned()
            })
            .collect()
    }

    /// The files that cannot be read, with the reason.
    pub(crate) fn unreadable(&self) -> Vec<(PathBuf, String)> {
        self.audit
            .unreadable()
            .map(|(name, reason)| (PathBuf::from(name), reason.to_owned()))
            .collect()
    }
}

/// What the collection in this folder is called.
pub(crate) fn name_of(root: &Path) -> String {
    let absolute = std::path::absolute(root).unwrap_or_else(|_| root.to_owned());
    absolute.file_name().map_or_else(
        || absolute.display().to_string(),
        |name| name.to_string_lossy().into_owned(),
    )
}

/// Makes sure that there is something to tell apart, before hours of work are done.
///
/// # Errors
///
/// A [`UsageError`] names the class, if all recordings are of one.
pub(crate) fn require_classes(
    arguments: &CollectionArguments,
    dataset: &Dataset,
) -> Result<(), UsageError> {
    let [label] = &dataset.labels()[..] else {
        return Ok(());
    };
    let named = arguments.folder.as_ref().or(arguments.manifest.as_ref());
    Err(UsageError(format!(
        "`{}` has one class only, `{label}`; a classifier needs at least two",
        named.unwrap_or(&dataset.root).display()
    )))
}

/// Makes sure that the folds asked for can be made, before hours of work are done that
/// need them. How many recordings are copies of others is not known yet.
///
/// # Errors
///
/// A [`UsageError`] says how many folds there can be, or names the manifest and the
/// column to add or to fill in.
pub(crate) fn require_folds(
    arguments: &CollectionArguments,
    dataset: &Dataset,
    folds: FoldsArgument,
) -> Result<(), UsageError> {
    match folds {
        FoldsArgument::Manifest => require_manifest_folds(arguments, dataset),
        FoldsArgument::Count(k) if k > dataset.recordings.len() => Err(UsageError(format!(
            "`--folds {k}`: there are {} recordings, each tested in one fold, so that there can be at most as many folds",
            dataset.recordings.len()
        ))),
        FoldsArgument::Count(_) => Ok(()),
    }
}

/// A manifest has to say of each recording which fold it is in.
fn require_manifest_folds(
    arguments: &CollectionArguments,
    dataset: &Dataset,
) -> Result<(), UsageError> {
    let (Some(manifest), None) = (&arguments.manifest, &arguments.folder) else {
        let reason = "`--folds manifest` goes with `--manifest FILE`, whose column `fold` says which fold each recording is in; `--folds 5` divides a folder";
        return Err(UsageError(reason.to_owned()));
    };
    let without = |recording: &&Recording| recording.fold.is_none();
    let n_without = dataset.recordings.iter().filter(without).count();
    let folds: BTreeSet<_> = dataset.recordings.iter().map(|one| &one.fold).collect();
    let problem = match dataset.recordings.iter().find(without) {
        Some(_) if n_without == dataset.recordings.len() => {
            "gives no recording a fold: add a column `fold` with the fold of each".to_owned()
        }
        Some(first) => format!(
            "has no `fold` for `{}` ({n_without} in all): fill in that column",
            dataset.name_of(first)
        ),
        None if folds.len() < 2 => {
            "has one fold only: its column `fold` must name at least two".to_owned()
        }
        None => return Ok(()),
    };
    Err(UsageError(format!(
        "`--folds manifest`: `{}` {problem}, or let `--folds 5` divide the recordings",
        manifest.display()
    )))
}

/// Makes sure that there will be something to learn from and something to judge by,
/// before hours of work are done, where there are no folds.
///
/// # Errors
///
/// A [`UsageError`] names the setting, or the manifest and the column to fill in.
pub(crate) fn require_parts(
    arguments: &CollectionArguments,
    dataset: &Dataset,
    split: &SplitConfig,
    compare_naive: bool,
) -> Result<(), UsageError> {
    let by_manifest = dataset.recordings.iter().any(|one| one.split.is_some());
    if by_manifest {
        require_manifest_split(arguments, dataset)?;
    }
    if split.test == 0.0 && (!by_manifest || compare_naive) {
        let reason = "`split.test` is 0, which leaves nothing to judge the model by: set it above 0, or let `--folds 5` test every recording once";
        return Err(UsageError(reason.to_owned()));
    }
    Ok(())
}

/// A manifest that puts some recordings into parts has to say it of each.
fn require_manifest_split(
    arguments: &CollectionArguments,
    dataset: &Dataset,
) -> Result<(), UsageError> {
    let without = |recording: &&Recording| recording.split.is_none();
    let n_without = dataset.recordings.iter().filter(without).count();
    let lacks = |part: &Part| {
        !dataset
            .recordings
            .iter()
            .any(|one| one.split == Some(*part))
    };
    let problem = if let Some(first) = dataset.recordings.iter().find(without) {
        format!(
            "has no `split` for `{}` ({n_without} in all): fill in that column",
            dataset.name_of(first)
        )
    } else if let Some(part) = [Part::Train, Part::Test].iter().find(|part| lacks(part)) {
        format!("puts no recording into `{part}`: its column `split` must name `train` and `test`")
    } else {
        return Ok(());
    };
    let manifest = arguments.manifest.as_ref().unwrap_or(&dataset.root);
    Err(UsageError(format!(
        "`{}` {problem}, or leave it out to have the recordings divided",
        manifest.display()
    )))
}

/// Makes sure that there will be a validation part, where an epoch is chosen by it: the
/// last would be kept otherwise, and training never end early.
///
/// # Errors
///
/// A [`UsageError`] names the setting, or the column to fill in.
pub(crate) fn require_validation(
    dataset: &Dataset,
    settings: &Settings,
    folds: Option<FoldsArgument>,
    compare_naive: bool,
) -> Result<(), UsageError> {
    let recordings = || dataset.recordings.iter();
    let by_manifest = folds.is_none() && recordings().any(|one| one.split.is_some());
    let is_validation = |one: &Recording| one.split == Some(Part::Validation);
    let problem = if by_manifest && !recordings().any(is_validation) {
        "the manifest puts no recording into one: let its column `split` name `validation`"
    } else if settings.split.validation == 0.0 && (!by_manifest || compare_naive) {
        "`split.validation` is 0: set it above 0"
    } else {
        return Ok(());
    };
    if !settings.train.chooses_epoch() {
        return Ok(());
    }
    Err(UsageError(format!(
        "`train.monitor` chooses an epoch by the validation part, and {problem}, or keep the last \
         epoch with `train.monitor=last` and `train.patience=0`"
    )))
}

/// The recordings that the command line names, and warnings about how they are named.
///
/// # Errors
///
/// A [`UsageError`] when what is named is not there or is not what it has to be; another
/// when it cannot be read.
pub(crate) fn list(arguments: &CollectionArguments) -> Result<Dataset> {
    let dataset = read(arguments)?;
    for finding in dataset.skipped.almost_columns() {
        note(&format!("warning: the manifest's {}", finding.message()));
    }
    Ok(dataset)
}

/// The same without a word: an audit has the warnings among its findings.
fn read(arguments: &CollectionArguments) -> Result<Dataset> {
    let listed = match (&arguments.folder, &arguments.manifest) {
        (Some(folder), _) => scan(folder),
        (None, Some(manifest)) if manifest.is_dir() => {
            let reason = "is a folder; a manifest is a CSV file with the columns path and label";
            return Err(UsageError(format!("`{}` {reason}", manifest.display())).into());
        }
        (None, Some(manifest)) => read_manifest(manifest),
        (None, None) => bail!("name a folder, or a table with `--manifest`"),
    };
    listed.map_err(|error| match &error {
        DatasetError::ReadFolder { .. } => error.into(),
        DatasetError::ReadManifest { source, .. } if source.kind() != ErrorKind::NotFound => {
            error.into()
        }
        _ => UsageError(chain(&error)).into(),
    })
}
