//! What can go wrong while reading a data set or splitting it.
//!
//! A recording that cannot be decoded is no error here: it is a
//! [`crate::Finding`] of the audit.

use std::path::PathBuf;

/// A data set that cannot be read, or a split that cannot be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DatasetError {
    /// The folder is not there.
    #[error("there is no folder `{path}`")]
    FolderMissing {
        /// The folder.
        path: PathBuf,
    },

    /// The path is of a file.
    #[error("`{path}` is not a folder; give the folder that holds one subfolder per class")]
    NotAFolder {
        /// The path.
        path: PathBuf,
    },

    /// The folder cannot be listed.
    #[error("cannot list the folder `{path}`")]
    ReadFolder {
        /// The folder.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },

    /// No subfolder holds a recording.
    #[error(
        "`{path}` has no subfolder with recordings in it ({n_loose} lie beside the subfolders); \
         put each class in a subfolder of its own, named after the class"
    )]
    NoClasses {
        /// The folder.
        path: PathBuf,
        /// Recordings that lie directly in the folder.
        n_loose: usize,
    },

    /// The manifest cannot be opened or read.
    #[error("cannot read the manifest `{path}`")]
    ReadManifest {
        /// The manifest.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },

    /// The manifest has a header and nothing else, or nothing at all.
    #[error("the manifest `{path}` lists no recordings")]
    EmptyManifest {
        /// The manifest.
        path: PathBuf,
    },

    /// The header lacks a column.
    #[error("manifest `{path}`, line 1: no column `{column}`{hint}")]
    MissingColumn {
        /// The manifest.
        path: PathBuf,
        /// The column that must be there.
        column: &'static str,
        /// What the header has instead, as the end of a sentence.
        hint: String,
    },

    /// The header has a column twice, or one that looks like a slip of the pen.
    #[error("manifest `{path}`, line 1: column `{column}`: {reason}")]
    BadColumn {
        /// The manifest.
        path: PathBuf,
        /// The column as written.
        column: String,
        /// What is wrong with it.
        reason: String,
    },

    /// A field has no usable value.
    #[error("manifest `{path}`, line {line}, column `{column}`: {reason}")]
    BadField {
        /// The manifest.
        path: PathBuf,
        /// The line, counted from 1.
        line: u64,
        /// The column.
        column: &'static str,
        /// What is wrong with the value.
        reason: String,
    },

    /// A line is not CSV.
    #[error("manifest `{path}`, line {line}: {reason}")]
    BadLine {
        /// The manifest.
        path: PathBuf,
        /// The line, counted from 1.
        line: u64,
        /// What is wrong with it.
        reason: String,
    },

    /// A recording is listed twice.
    #[error("manifest `{path}`, line {line}: `{recording}` was listed before, in line {first}")]
    DuplicatePath {
        /// The manifest.
        path: PathBuf,
        /// The second line that lists it.
        line: u64,
        /// The recording as written.
        recording: String,
        /// The first line that lists it.
        first: u64,
    },

    /// A fraction is negative, not a number, or leaves nothing for training.
    #[error(
        "fractions of {validation} for validation and {test} for test: each must be at least 0, \
         and their sum less than 1"
    )]
    BadFractions {
        /// The fraction for validation.
        validation: f64,
        /// The fraction for test.
        test: f64,
    },

    /// Fewer than two folds, or more than there are groups.
    #[error(
        "{k} folds of {n_groups} independent recordings (copies count as one): there can be from 2 \
         to {n_groups}"
    )]
    BadFoldCount {
        /// Folds asked for.
        k: usize,
        /// Groups there are.
        n_groups: usize,
    },

    /// A class cannot be in every part of the split.
    #[error(
        "class {class} has {n_groups} independent group(s) of recordings, and {needed} parts must \
         each have one; add recordings, leave the class out, or split into fewer parts"
    )]
    TooFewGroups {
        /// The class.
        class: String,
        /// Its groups: recordings that are copies of each other count as one.
        n_groups: usize,
        /// The parts of the split.
        needed: usize,
    },

    /// Labels and groups were given for different numbers of recordings.
    #[error("{n_labels} labels and {n_groups} groups: there must be one of each per recording")]
    LengthMismatch {
        /// Labels given.
        n_labels: usize,
        /// Groups given.
        n_groups: usize,
    },

    /// The manifest gives a fold or a part to some recordings only, or to none.
    #[error("the manifest has no `{column}` for `{recording}` ({n_without} in all)")]
    Unassigned {
        /// `fold` or `split`.
        column: &'static str,
        /// The first recording without one.
        recording: String,
        /// How many are without.
        n_without: usize,
    },

    /// The manifest's own assignment leaves a part empty.
    #[error("the manifest assigns no readable recording to `{part}`")]
    EmptyPart {
        /// The part.
        part: String,
    },
}
