//! Recordings whose class a person has confirmed or corrected.
//!
//! ```text
//! HOME/reviewed/LABEL/<blake3>.wav   the recording, as it was uploaded
//! HOME/reviewed/reviewed.csv         path,label,predicted,correct,model_version,filename
//! ```
//!
//! The folder is a collection like any other: `biophony train` can be pointed at it,
//! or told to add it to another one (`data.reviewed`). A recording is in it once; who
//! reviews it again moves it.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use biophony_audio::Container;
use serde::{Deserialize, Serialize};

use crate::error::ApiError;

/// The table, beside the folders of classes.
const TABLE: &str = "reviewed.csv";

/// The longest name of a class.
const MAX_LABEL_CHARS: usize = 80;

/// The folder of reviewed recordings.
pub(crate) struct Reviewed {
    folder: PathBuf,
    /// One review at a time: the table is written anew.
    writing: Mutex<()>,
}

/// A name of a class that can be a folder's name. Holding one means it was checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Label(String);

/// One row of the table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Review {
    /// Below the folder, with forward slashes.
    pub(crate) path: String,
    pub(crate) label: String,
    /// What the model said.
    pub(crate) predicted: String,
    /// Whether that was right.
    pub(crate) correct: bool,
    pub(crate) model_version: String,
    /// What the file was called where it came from.
    pub(crate) filename: String,
}

impl TryFrom<&str> for Label {
    type Error = ApiError;

    fn try_from(text: &str) -> Result<Self, ApiError> {
        let text = text.trim();
        let refuse = |reason: &str| {
            let reason = format!("`{text}` is no name for a class: {reason}");
            Err(ApiError::BadRequest(reason))
        };
        if text.is_empty() {
            return refuse("it is empty");
        }
        if text.chars().count() > MAX_LABEL_CHARS {
            return refuse("it is longer than 80 characters");
        }
        // It becomes a folder, which must be one below ours on every system, and one
        // that a scan of the collection does not pass over.
        if text.starts_with('.') || text.ends_with('.') {
            return refuse("it begins or ends with a dot");
        }
        if text == TABLE {
            return refuse("the table of reviews is called so");
        }
        let is_bad = |c: char| c.is_control() || "/\\:*?\"<>|".contains(c);
        if text.contains(is_bad) {
            return refuse("it has a character that file names cannot have");
        }
        Ok(Self(text.to_owned()))
    }
}

impl Label {
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl Reviewed {
    pub(crate) fn new(home: &Path) -> Self {
        Self {
            folder: home.join("reviewed"),
            writing: Mutex::new(()),
        }
    }

    /// Keeps a recording under the class that a person gave it. `review` lacks the
    /// path, which is returned.
    ///
    /// # Errors
    ///
    /// When it cannot be written.
    pub(crate) fn keep(
        &self,
        bytes: &[u8],
        container: Container,
        label: &Label,
        mut review: Review,
    ) -> Result<String, ApiError> {
        let digest = blake3::hash(bytes).to_hex();
        let name = format!("{digest}.{}", ending(container));
        review.path = format!("{}/{name}", label.as_str());
        let _writing = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let mut reviews = self.read()?;
        let is_same = |known: &Review| known.path.rsplit('/').next() == Some(name.as_str());
        let before: Vec<String> = reviews
            .iter()
            .filter(|known| is_same(known))
            .map(|known| known.path.clone())
            .collect();
        reviews.retain(|known| !is_same(known));
        reviews.push(review.clone());
        write_whole(&self.folder.join(&review.path), bytes)?;
        write_whole(&self.table(), &in_csv(&reviews)?)?;
        for old in before.iter().filter(|old| **old != review.path) {
            // The table does not name it any more; a scan would still find it.
            let old = self.folder.join(old);
            fs::remove_file(&old).map_err(failed(&old))?;
            // A class whose last recording that was is none any more; others stay.
            let _ = old.parent().map(fs::remove_dir);
        }
        Ok(review.path)
    }

    /// All reviews, the oldest first.
    pub(crate) fn read(&self) -> Result<Vec<Review>, ApiError> {
        let table = self.table();
        if !table.exists() {
            return Ok(Vec::new());
        }
        let damaged = |error: csv::Error| {
            ApiError::Internal(format!("cannot read `{}`: {error}", table.display()))
        };
        let mut reader = csv::Reader::from_path(&table).map_err(damaged)?;
        let rows: Result<Vec<Review>, csv::Error> = reader.deserialize().collect();
        rows.map_err(damaged)
    }

    fn table(&self) -> PathBuf {
        self.folder.join(TABLE)
    }
}

fn in_csv(reviews: &[Review]) -> Result<Vec<u8>, ApiError> {
    let failed = |error: String| ApiError::Internal(format!("cannot write a table: {error}"));
    let mut writer = csv::Writer::from_writer(Vec::new());
    for review in reviews {
        writer
            .serialize(review)
            .map_err(|error| failed(error.to_string()))?;
    }
    writer
        .into_inner()
        .map_err(|error| failed(error.to_string()))
}

/// Writes a file that is there in full or not at all.
fn write_whole(path: &Path, bytes: &[u8]) -> Result<(), ApiError> {
    let folder = path.parent().unwrap_or(path);
    let write = || -> std::io::Result<()> {
        fs::create_dir_all(folder)?;
        let mut file = tempfile::Builder::new()
            .prefix(".being-written-")
            .tempfile_in(folder)?;
        file.write_all(bytes)?;
        file.as_file().sync_all()?;
        file.persist(path)?;
        Ok(())
    };
    write().map_err(failed(path))
}

fn failed(path: &Path) -> impl FnOnce(std::io::Error) -> ApiError {
    let path = path.display().to_string();
    move |error| ApiError::Internal(format!("cannot write `{path}`: {error}"))
}

/// What files of this kind are called.
fn ending(container: Container) -> &'static str {
    match container {
        Container::Wav => "wav",
        Container::Flac => "flac",
        Container::Mpeg => "mp3",
        Container::Ogg => "ogg",
        Container::IsoMedia => "m4a",
        Container::Adts => "aac",
        Container::Aiff => "aiff",
        Container::Other(_) => "bin",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn review(label: &str, correct: bool) -> Review {
        Review {
            path: String::new(),
            label: label.to_owned(),
            predicted: "frog".to_owned(),
            correct,
            model_version: "3".to_owned(),
            filename: "dawn, \"early\".wav".to_owned(),
        }
    }

    #[test]
    fn a_recording_is_kept_once_under_the_last_label() {
        let home = tempfile::tempdir().expect("a folder");
        let reviewed = Reviewed::new(home.path());
        let keep = |bytes: &[u8], label: &str| {
            let label = Label::try_from(label).expect("a name");
            let review = review(label.as_str(), label.as_str() == "frog");
            reviewed
                .keep(bytes, Container::Wav, &label, review)
                .expect("writes")
        };
        let first = keep(b"one", "frog");
        let other = keep(b"two", "owl");
        let moved = keep(b"one", "tawny owl");
        let folder = home.path().join("reviewed");
        assert!(!folder.join(&first).exists() && !folder.join("frog").exists());
        assert_eq!(fs::read(folder.join(&moved)).expect("is there"), b"one");
        let reviews = reviewed.read().expect("reads");
        let paths: Vec<&str> = reviews.iter().map(|review| review.path.as_str()).collect();
        assert_eq!(paths, [&other, &moved]);
        assert_eq!(reviews[1].filename, "dawn, \"early\".wav");
        assert_eq!(keep(b"one", "tawny owl"), moved);
        assert_eq!(reviewed.read().expect("reads").len(), 2);
    }

    #[test]
    fn labels_name_one_folder_below_ours() {
        for good in ["owl", "Strix aluco", "Grünspecht", "フクロウ", "a.b"] {
            assert!(Label::try_from(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            " ",
            "..",
            ".",
            ".owl",
            "a/b",
            "a\\b",
            "a\0b",
            "a\nb",
            "C:",
            "owl.",
            "reviewed.csv",
        ] {
            assert!(Label::try_from(bad).is_err(), "{bad:?}");
        }
        assert!(Label::try_from("x".repeat(81).as_str()).is_err());
    }
}
