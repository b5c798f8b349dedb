//! A collection made ready to learn from: scanned, audited, grouped, and turned
//! into features.
//!
//! This joins `dataset`, which knows recordings, with `model`, which knows
//! examples. How the collection is then divided lives in
//! [`crate::commands::train`].

use std::collections::HashMap;
use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use biophony_audio::{DecodeLimits, decode_file};
use biophony_dataset::{Audit, Dataset, Usable, audit, read_manifest, scan};
use biophony_model::{Example, FrontEnd, LabelSet, Preparer};
use rayon::prelude::*;

use crate::arguments::CollectionArguments;
use crate::progress::Bar;
use crate::settings::Settings;

/// Labelled recordings and what the audit found out about them.
pub(crate) struct Collection {
    pub(crate) dataset: Dataset,
    pub(crate) audit: Audit,
}

impl Collection {
    /// Lists the recordings and audits them.
    pub(crate) fn open(arguments: &CollectionArguments, settings: &Settings) -> Result<Self> {
        let dataset = list(arguments)?;
        let bar = Bar::new("audit", dataset.recordings.len());
        let audit = audit(&dataset, &settings.audit, &|done, _| bar.set(done));
        bar.finish();
        Ok(Self { dataset, audit })
    }

    /// What the collection is called in reports.
    pub(crate) fn name(&self) -> String {
        let root = &self.dataset.root;
        let absolute = std::path::absolute(root).unwrap_or_else(|_| root.clone());
        absolute.file_name().map_or_else(
            || absolute.display().to_string(),
            |name| name.to_string_lossy().into_owned(),
        )
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
                self.dataset.root.display(),
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

/// The recordings that the command line names.
pub(crate) fn list(arguments: &CollectionArguments) -> Result<Dataset> {
    match (&arguments.folder, &arguments.manifest) {
        (Some(folder), _) => Ok(scan(folder)?),
        (None, Some(manifest)) => Ok(read_manifest(manifest)?),
        (None, None) => bail!("name a folder, or a table with `--manifest`"),
    }
}

/// Decodes and transforms every usable recording, in parallel and in order.
pub(crate) fn examples(
    usable: &Usable,
    labels: &LabelSet,
    front_end: &FrontEnd,
) -> Result<Vec<Example>> {
    let preparer = Preparer::new(front_end)?;
    let bar = Bar::new("features", usable.recordings.len());
    let examples = usable
        .recordings
        .par_iter()
        .zip(&usable.names)
        .map(|(recording, name)| {
            let decoded = decode_file(&recording.path, &DecodeLimits::default())?;
            let features = preparer
                .prepare(&decoded.clip)
                .with_context(|| format!("cannot prepare `{}`", recording.path.display()))?;
            bar.advance();
            let label = labels.index_of(&recording.label).with_context(|| {
                format!("the model does not know the class `{}`", recording.label)
            })?;
            Ok(Example {
                name: name.clone(),
                label,
                features,
            })
        })
        .collect();
    bar.finish();
    examples
}
