//! A CSV file that lists recordings becomes a data set.
//!
//! Columns: `path`, `label`, and at will `group`, `fold` and `split`, in any
//! order; others are ignored, and remembered if they are spelled almost like one of
//! these. Paths are seen from the manifest's folder. Folders without a manifest are read
//! by [`crate::scan`].

use std::collections::HashMap;
use std::path::{Component, Path, PathBuf};

use crate::error::DatasetError;
use crate::recording::{Dataset, Part, Recording, Skipped};

/// The columns that have a meaning here, those first that must be there.
const COLUMNS: [&str; 5] = ["path", "label", "group", "fold", "split"];

/// Reads a manifest: a CSV file with the columns `path,label[,group][,fold][,split]`.
///
/// A file that is listed and not there stays in the data set: the audit reports
/// it with all the others that cannot be read.
///
/// # Errors
///
/// When the manifest cannot be read, lacks a column, repeats a path, has a value
/// that means nothing, or lists nothing; line and column are named.
pub fn read_manifest(manifest: &Path) -> Result<Dataset, DatasetError> {
    let bytes = std::fs::read(manifest).map_err(|source| DatasetError::ReadManifest {
        path: manifest.to_path_buf(),
        source,
    })?;
    let root = match manifest.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let dataset = parse(&bytes, manifest, root)?;
    if dataset.recordings.is_empty() {
        let path = manifest.to_path_buf();
        return Err(DatasetError::EmptyManifest { path });
    }
    Ok(dataset)
}

fn parse(bytes: &[u8], manifest: &Path, root: &Path) -> Result<Dataset, DatasetError> {
    // Spreadsheets like to begin UTF-8 with a byte-order mark.
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let mut reader = csv::ReaderBuilder::new()
        .delimiter(delimiter(bytes))
        .trim(csv::Trim::All)
        .from_reader(bytes);
    let header = reader
        .headers()
        .map_err(|error| bad_line(manifest, error))?;
    let columns = Columns::find(header, manifest)?;
    let skipped = Skipped {
        almost_columns: columns.almost(header),
        ..Skipped::default()
    };

    let places = Places::of(root);
    let mut recordings = Vec::new();
    let mut first_lines = HashMap::new();
    for row in reader.records() {
        let row = row.map_err(|error| bad_line(manifest, error))?;
        let line = row.position().map_or(0, csv::Position::line);
        let row = Row {
            row: &row,
            line,
            columns: &columns,
            manifest,
        };
        let recording = row.recording(root)?;
        if let Some(first) = first_lines.insert(places.of_file(&recording), line) {
            return Err(DatasetError::DuplicatePath {
                path: manifest.to_path_buf(),
                line,
                recording: row.required("path")?.to_owned(),
                first,
            });
        }
        recordings.push(recording);
    }
    recordings.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(Dataset {
        root: root.to_path_buf(),
        recordings,
        skipped,
    })
}

/// Where the manifest is, as a path from the top of the file system, by which a file is
/// known however its line spells it.
struct Places {
    /// The folder in which relative paths are seen.
    working: PathBuf,
    root: PathBuf,
    /// The same, links followed.
    real_root: Option<PathBuf>,
}

impl Places {
    fn of(root: &Path) -> Self {
        let absolute = |path: &Path| std::path::absolute(path).unwrap_or_else(|_| path.into());
        Self {
            working: absolute(Path::new(".")),
            root: normalize(&absolute(root)),
            real_root: root.canonicalize().ok(),
        }
    }

    /// Links within the folder are not followed: two of them are two recordings, of which
    /// the audit says that they are copies.
    fn of_file(&self, recording: &Recording) -> PathBuf {
        let path = normalize(&self.working.join(&recording.path));
        let real_root = self.real_root.as_ref();
        match real_root.and_then(|root| path.strip_prefix(root).ok()) {
            Some(rest) => self.root.join(rest),
            None => path,
        }
    }
}

/// The separator of the header line: a comma, or what spreadsheets put in its
/// place where the comma is the decimal sign.
fn delimiter(bytes: &[u8]) -> u8 {
    let header = bytes.split(|&byte| byte == b'\n').next().unwrap_or(bytes);
    let has = |separator: u8| header.contains(&separator);
    match () {
        () if has(b',') => b',',
        () if has(b';') => b';',
        () if has(b'\t') => b'\t',
        () => b',',
    }
}

fn bad_line(manifest: &Path, error: csv::Error) -> DatasetError {
    let line = error.position().map_or(1, csv::Position::line);
    let reason = match error.kind() {
        csv::ErrorKind::UnequalLengths {
            expected_len, len, ..
        } => format!("{len} fields, where the header has {expected_len}"),
        csv::ErrorKind::Utf8 { .. } => "not UTF-8; save the file as `CSV UTF-8`".to_owned(),
        _ => error.to_string(),
    };
    DatasetError::BadLine {
        path: manifest.to_path_buf(),
        line,
        reason,
    }
}

/// Where each known column is.
struct Columns(HashMap<&'static str, usize>);

impl Columns {
    fn find(header: &csv::StringRecord, manifest: &Path) -> Result<Self, DatasetError> {
        let path = manifest.to_path_buf();
        let bad = |column: &str, reason: String| DatasetError::BadColumn {
            path: path.clone(),
            column: column.to_owned(),
            reason,
        };
        let mut found = HashMap::new();
        for (index, name) in header.iter().enumerate() {
            let lower = name.to_ascii_lowercase();
            if let Some(column) = COLUMNS.iter().find(|&&column| column == lower)
                && found.insert(*column, index).is_some()
            {
                return Err(bad(name, "appears twice".to_owned()));
            }
        }
        for column in ["path", "label"] {
            if found.contains_key(column) {
                continue;
            }
            let is_near = |name: &&str| distance_to(column, name) <= 2 && name.len() >= 3;
            if let Some(name) = header.iter().find(is_near) {
                return Err(bad(name, format!("unknown; did you mean `{column}`?")));
            }
            let hint = format!(
                "; the header is `{}`",
                header.iter().collect::<Vec<_>>().join(",")
            );
            return Err(DatasetError::MissingColumn { path, column, hint });
        }
        Ok(Self(found))
    }

    /// The columns of the header that have no meaning, but a letter more, less or other
    /// than one that is not there. Such a name need not be a slip of the pen: `gold` is a
    /// word.
    fn almost(&self, header: &csv::StringRecord) -> Vec<(String, String)> {
        let meant = |name: &str| {
            COLUMNS
                .into_iter()
                .filter(|column| !self.0.contains_key(column))
                .find(|column| distance_to(column, name) == 1 && name.len() >= 4)
        };
        header
            .iter()
            .filter_map(|name| Some((name.to_owned(), meant(name)?.to_owned())))
            .collect()
    }
}

/// How many letters are more, less, other or changed places with the next.
fn distance_to(column: &str, name: &str) -> usize {
    strsim::damerau_levenshtein(&name.to_ascii_lowercase(), column)
}

/// One line of the manifest.
struct Row<'a> {
    row: &'a csv::StringRecord,
    line: u64,
    columns: &'a Columns,
    manifest: &'a Path,
}

impl Row<'_> {
    fn recording(&self, root: &Path) -> Result<Recording, DatasetError> {
        Ok(Recording {
            path: normalize(&root.join(self.required("path")?)),
            label: self.required("label")?.to_owned(),
            group: self.optional("group").map(str::to_owned),
            fold: self.optional("fold").map(str::to_owned),
            split: self.optional("split").map(|v| self.part(v)).transpose()?,
        })
    }

    /// The field, `None` when it is empty or the column is not there.
    fn optional(&self, column: &'static str) -> Option<&str> {
        let index = self.columns.0.get(column)?;
        self.row.get(*index).filter(|value| !value.is_empty())
    }

    fn required(&self, column: &'static str) -> Result<&str, DatasetError> {
        self.optional(column)
            .ok_or_else(|| self.bad_field(column, "empty".to_owned()))
    }

    fn part(&self, value: &str) -> Result<Part, DatasetError> {
        match value.to_ascii_lowercase().as_str() {
            "train" | "training" => Ok(Part::Train),
            "validation" | "valid" | "val" | "dev" => Ok(Part::Validation),
            "test" | "testing" => Ok(Part::Test),
            _ => Err(self.bad_field(
                "split",
                format!("`{value}` is none of `train`, `validation` and `test`"),
            )),
        }
    }

    fn bad_field(&self, column: &'static str, reason: String) -> DatasetError {
        DatasetError::BadField {
            path: self.manifest.to_path_buf(),
            line: self.line,
            column,
            reason,
        }
    }
}

/// The path without `.` and without `x/..`, so that one file has one spelling.
fn normalize(path: &Path) -> PathBuf {
    let mut parts: Vec<Component> = Vec::new();
    for part in path.components() {
        match (part, parts.last()) {
            (Component::CurDir, Some(_)) => {}
            (Component::ParentDir, Some(Component::Normal(_))) => {
                parts.pop();
            }
            _ => parts.push(part),
        }
    }
    parts.iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(content: &[u8]) -> Result<Dataset, DatasetError> {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("list.csv");
        std::fs::write(&path, content).expect("writes the manifest");
        read_manifest(&path)
    }

    #[track_caller]
    fn check_error(content: &str, expected: &str) {
        let message = read(content.as_bytes())
            .expect_err("must not be read")
            .to_string();
        let (_, message) = message.split_once("list.csv`").expect("names the manifest");
        assert_eq!(message, expected);
    }

    #[test]
    fn all_columns_are_read_in_any_order() {
        let content = "label,path,split,fold,group,note\n\
                       owl,b/2.wav,val,2,night,hello\n\
                       frog,./a/../a/1.wav,,,,\n";
        let dataset = read(content.as_bytes()).expect("reads");
        let [frog, owl] = dataset.recordings.as_slice() else {
            panic!("two recordings expected");
        };
        assert_eq!(dataset.name_of(frog), "a/1.wav");
        assert_eq!((&frog.group, &frog.fold, frog.split), (&None, &None, None));
        assert_eq!(owl.split, Some(Part::Validation));
        assert_eq!(owl.fold.as_deref(), Some("2"));
        assert_eq!(owl.group.as_deref(), Some("night"));
    }

    #[test]
    fn a_byte_order_mark_and_semicolons_do_not_hurt() {
        let dataset = read(b"\xef\xbb\xbfpath;label\r\n1.wav;a\r\n2.wav;b\r\n").expect("reads");
        assert_eq!(dataset.labels(), ["a", "b"]);
    }

    #[test]
    fn a_quoted_path_may_hold_commas() {
        let dataset = read(b"path,label\n\"a, b.wav\",x\nc.wav,y\n").expect("reads");
        assert_eq!(dataset.name_of(&dataset.recordings[0]), "a, b.wav");
    }

    #[test]
    fn a_misspelled_column_is_named_with_the_right_one() {
        check_error(
            "pth,label\n1.wav,a\n",
            ", line 1: column `pth`: unknown; did you mean `path`?",
        );
        check_error(
            "filename,label\n1.wav,a\n",
            ", line 1: no column `path`; the header is `filename,label`",
        );
        check_error(
            "file,label\n1.wav,a\n",
            ", line 1: no column `path`; the header is `file,label`",
        );
        check_error(
            "path,label,path\n",
            ", line 1: column `path`: appears twice",
        );
    }

    #[track_caller]
    fn check_almost(header: &str, expected: &[(&str, &str)]) {
        let dataset = read(format!("{header}\n1.wav,a,x\n").as_bytes()).expect("reads");
        let found = dataset.skipped.almost_columns.iter();
        let found: Vec<_> = found.map(|(a, b)| (a.as_str(), b.as_str())).collect();
        assert_eq!(found, expected, "{header}");
    }

    #[test]
    fn columns_of_ones_own_are_ignored_and_slips_of_the_pen_remembered() {
        for own in ["plot", "folder", "old", "spl", "crop", "drop", "group_id"] {
            check_almost(&format!("path,label,{own}"), &[]);
        }
        for (slip, meant) in [
            ("gruop", "group"),
            ("Folds", "fold"),
            ("gold", "fold"),
            ("splt", "split"),
        ] {
            check_almost(&format!("path,label,{slip}"), &[(slip, meant)]);
        }
        // With a fold nobody misses one.
        let both = read(b"path,label,gold,fold\n1.wav,a,x,1\n").expect("reads");
        assert_eq!(both.skipped, Skipped::default());
    }

    #[test]
    fn an_error_names_line_and_column() {
        check_error(
            "path,label\n1.wav,a\n2.wav,\n",
            ", line 3, column `label`: empty",
        );
        check_error(
            "path,label,split\n1.wav,a,tain\n",
            ", line 2, column `split`: `tain` is none of `train`, `validation` and `test`",
        );
        check_error(
            "path,label\n1.wav\n",
            ", line 2: 1 fields, where the header has 2",
        );
    }

    #[test]
    fn a_repeated_path_is_an_error_however_it_is_spelled() {
        check_error(
            "path,label\na/1.wav,a\nb.wav,b\n./a/./1.wav,a\n",
            ", line 4: `./a/./1.wav` was listed before, in line 2",
        );
    }

    #[test]
    fn a_path_from_the_top_repeats_one_from_the_folder() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let real = folder.path().canonicalize().expect("it is there");
        for place in [folder.path(), &real] {
            let path = folder.path().join("list.csv");
            let listed = place.join("a/../1.wav").display().to_string();
            let content = format!("path,label\n\"{listed}\",a\n1.wav,b\n");
            std::fs::write(&path, content).expect("writes the manifest");
            let error = read_manifest(&path).expect_err("it is listed twice");
            let message = error.to_string();
            assert!(
                message.ends_with(", line 3: `1.wav` was listed before, in line 2"),
                "{message}"
            );
        }
    }

    #[test]
    fn an_empty_manifest_is_an_error() {
        check_error("path,label\n", " lists no recordings");
        check_error("", ", line 1: no column `path`; the header is ``");
    }
}
