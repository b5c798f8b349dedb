//! Recordings that people have reviewed in the browser, as more to train on.
//!
//! What is kept of a review, and where, is the business of `biophony-web`: a folder
//! with a table `reviewed.csv` in it. How these recordings are kept out of what judges
//! a model lives in `stages/split.rs`.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use biophony_dataset::{Dataset, Recording};
use serde::Deserialize;

use crate::commands::plural;
use crate::progress::note;

/// The reviewed recordings of a data set, by the names that it gives them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Reviewed {
    names: BTreeSet<String>,
}

/// What is needed of a row.
#[derive(Deserialize)]
struct Row {
    path: PathBuf,
    label: String,
}

impl Reviewed {
    /// Adds the reviewed recordings in `folder` to a data set, those of its classes.
    /// There need not be any.
    ///
    /// # Errors
    ///
    /// When the table is damaged.
    pub(crate) fn add(dataset: &mut Dataset, folder: &Path) -> Result<Self> {
        let table = folder.join("reviewed.csv");
        if !table.is_file() {
            note("no recording has been reviewed yet");
            return Ok(Self::default());
        }
        let damaged = || format!("cannot read `{}`", table.display());
        let folder = std::path::absolute(folder).with_context(damaged)?;
        let mut reader = csv::Reader::from_path(&table).with_context(damaged)?;
        let classes = dataset.labels();
        let mut reviewed = Self::default();
        let mut n_unknown = 0;
        for row in reader.deserialize() {
            let Row { path, label } = row.with_context(damaged)?;
            if !classes.contains(&label) {
                n_unknown += 1;
                continue;
            }
            let recording = Recording::new(folder.join(path), label);
            reviewed.names.insert(dataset.name_of(&recording));
            dataset.recordings.push(recording);
        }
        dataset.recordings.sort_by(|a, b| a.path.cmp(&b.path));
        if n_unknown > 0 {
            note(&format!(
                "{} of other classes than the collection's left out",
                plural(n_unknown, "reviewed recording", "reviewed recordings")
            ));
        }
        Ok(reviewed)
    }

    /// Whether the recording of this name was reviewed.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.names.contains(name)
    }

    /// How many there are.
    pub(crate) fn count(&self) -> usize {
        self.names.len()
    }
}
