//! The words for labelled recordings: a recording, a part of a split, and the
//! whole data set with what was left out of it.
//!
//! Where they come from is in [`crate::scan`] and [`crate::manifest`].

use std::fmt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::finding::Finding;

/// A sound file and what is known about it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recording {
    /// Where the file is, ready to be opened.
    pub path: PathBuf,
    /// Its class.
    pub label: String,
    /// Recordings with the same group stay on one side of every split.
    pub group: Option<String>,
    /// The manifest's own fold.
    pub fold: Option<String>,
    /// The manifest's own part.
    pub split: Option<Part>,
}

impl Recording {
    /// A recording of which nothing but the class is known.
    pub fn new(path: PathBuf, label: String) -> Self {
        Self {
            path,
            label,
            group: None,
            fold: None,
            split: None,
        }
    }
}

/// What a recording is used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Part {
    /// Weights are fitted to it.
    Train,
    /// Decides when to stop and where thresholds lie.
    Validation,
    /// Looked at once, for the figures that are reported.
    Test,
}

impl Part {
    /// All parts, in the order of a model's life.
    pub const ALL: [Part; 3] = [Part::Train, Part::Validation, Part::Test];

    /// The word used in manifests and reports.
    pub fn name(self) -> &'static str {
        match self {
            Part::Train => "train",
            Part::Validation => "validation",
            Part::Test => "test",
        }
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Labelled recordings in the order of their paths.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dataset {
    /// The folder that was scanned, or that of the manifest.
    pub root: PathBuf,
    /// The recordings, sorted by path.
    pub recordings: Vec<Recording>,
    /// What was found and left out.
    pub skipped: Skipped,
}

impl Dataset {
    /// The classes, sorted and without repetition.
    pub fn labels(&self) -> Vec<String> {
        let mut labels: Vec<_> = self.recordings.iter().map(|r| r.label.clone()).collect();
        labels.sort_unstable();
        labels.dedup();
        labels
    }

    /// The recording's path from the root, with forward slashes: its name in
    /// audits and reports, the same on every machine.
    pub fn name_of(&self, recording: &Recording) -> String {
        relative_name(&self.root, &recording.path)
    }
}

/// What a scan found and left out.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Skipped {
    /// Hidden files and folders (their names begin with a dot); a folder counts
    /// as one.
    pub hidden: Vec<String>,
    /// Files that are not audio.
    pub not_audio: Vec<String>,
    /// Recordings beside the class folders, which have no label.
    pub unlabelled: Vec<String>,
    /// Links that lead back to a folder that was being scanned.
    pub loops: Vec<String>,
    /// Folders that could not be listed, and files and folders whose names are not Unicode.
    pub unlistable: Vec<String>,
    /// Class folders without a recording.
    pub empty_classes: Vec<String>,
    /// Columns of a manifest that were ignored, each with the column that it is spelled
    /// almost like.
    pub almost_columns: Vec<(String, String)>,
}

impl Skipped {
    /// Files and folders that were left out, empty class folders aside.
    pub fn count(&self) -> usize {
        self.hidden.len()
            + self.not_audio.len()
            + self.unlabelled.len()
            + self.loops.len()
            + self.unlistable.len()
    }

    /// What to say of columns that may be misspelled.
    pub fn almost_columns(&self) -> impl Iterator<Item = Finding> {
        let finding = |(column, meant): &(String, String)| Finding::AlmostColumn {
            column: column.clone(),
            meant: meant.clone(),
        };
        self.almost_columns.iter().map(finding)
    }
}

/// `path` as seen from `root`, with forward slashes.
pub(crate) fn relative_name(root: &Path, path: &Path) -> String {
    let relative = path.strip_prefix(root).unwrap_or(path);
    if relative.is_absolute() {
        return relative.to_string_lossy().into_owned();
    }
    let parts: Vec<_> = relative
        .components()
        .map(|part| part.as_os_str().to_string_lossy())
        .collect();
    parts.join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_sorted_and_unique() {
        let of = |label: &str| Recording::new(PathBuf::from("x.wav"), label.to_owned());
        let dataset = Dataset {
            root: PathBuf::from("root"),
            recordings: vec![of("owl"), of("frog"), of("owl")],
            skipped: Skipped::default(),
        };
        assert_eq!(dataset.labels(), ["frog", "owl"]);
    }

    #[test]
    fn a_name_is_the_path_from_the_root() {
        let name = |path: &str| relative_name(Path::new("data/animals"), Path::new(path));
        assert_eq!(name("data/animals/cat/deep/1.wav"), "cat/deep/1.wav");
        assert_eq!(name("/elsewhere/1.wav"), "/elsewhere/1.wav");
    }
}
