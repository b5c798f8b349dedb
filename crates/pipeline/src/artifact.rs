//! What a step can return: [`Artifact`], and ready ones for JSON, bytes, files of
//! known formats and any other, and folders.
//!
//! What a format says of its files lives in [`crate::format`].
//! What a step can read, which includes sources, is [`crate::Input`]; where
//! artifacts are kept lives in [`crate::objects`].

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::canonical::canonical_json;
use crate::error::BoxError;
use crate::format::{self, Format};

/// Counts, shapes, metrics: what is shown of an artifact without opening it.
pub type Metadata = BTreeMap<String, Value>;

/// A value that a step returns and others read.
///
/// Equal values should be written as equal bytes: then they are one artifact,
/// and a step that returns what it returned before leaves the steps after it
/// cached.
pub trait Artifact: Sized + Send + 'static {
    /// The type's name: two ends of an arrow must agree on it.
    fn type_name() -> String;

    /// How it is written.
    fn format() -> Format;

    /// Writes the value as a new file or folder at `path`, where nothing is yet.
    ///
    /// # Errors
    ///
    /// When it cannot be written.
    fn save(&self, path: &Path) -> Result<(), BoxError>;

    /// Reads what [`Artifact::save`] wrote; the bytes are known to be the same.
    ///
    /// `path` is the store's own copy: it may be read, never written to.
    ///
    /// # Errors
    ///
    /// When it cannot be read.
    fn load(path: &Path) -> Result<Self, BoxError>;

    /// What to show of it. Asked before [`Artifact::save`].
    fn metadata(&self) -> Metadata {
        Metadata::new()
    }
}

/// Any value that serde knows, as canonical JSON.
///
/// JSON has no NaN and no infinities: serde writes them as `null`, which does
/// not come back as a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Json<T>(pub T);

impl<T: Serialize + DeserializeOwned + Send + 'static> Artifact for Json<T> {
    fn type_name() -> String {
        format!("Json<{}>", short_type_name::<T>())
    }

    fn format() -> Format {
        Format::Json
    }

    fn save(&self, path: &Path) -> Result<(), BoxError> {
        let text = canonical_json(&serde_json::to_value(&self.0)?);
        Ok(write_new(path, text.as_bytes())?)
    }

    fn load(path: &Path) -> Result<Self, BoxError> {
        Ok(Self(serde_json::from_slice(&fs::read(path)?)?))
    }
}

/// Plain bytes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Bytes(pub Vec<u8>);

impl Artifact for Bytes {
    fn type_name() -> String {
        "Bytes".to_owned()
    }

    fn format() -> Format {
        Format::Bytes
    }

    fn save(&self, path: &Path) -> Result<(), BoxError> {
        Ok(write_new(path, &self.0)?)
    }

    fn load(path: &Path) -> Result<Self, BoxError> {
        Ok(Self(fs::read(path)?))
    }
}

macro_rules! file_artifacts {
    ($($(#[$doc:meta])* $name:ident is $format:ident as $describe:ident;)+) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub struct $name {
            /// Where the file is.
            pub path: PathBuf,
        }

        impl Artifact for $name {
            fn type_name() -> String {
                stringify!($name).to_owned()
            }

            fn format() -> Format {
                Format::$format
            }

            fn save(&self, path: &Path) -> Result<(), BoxError> {
                if !self.path.is_file() {
                    return Err(format!("`{}` is not a file", self.path.display()).into());
                }
                format::$describe(&self.path)?;
                Ok(move_or_copy(&self.path, path)?)
            }

            fn load(path: &Path) -> Result<Self, BoxError> {
                let path = path.to_path_buf();
                Ok(Self { path })
            }

            fn metadata(&self) -> Metadata {
                // What is wrong with the file is told when it is saved.
                format::$describe(&self.path).unwrap_or_default()
            }
        }
    )+};
}

file_artifacts! {
    /// A file that a step wrote itself.
    ///
    /// Returned, the file is moved into the store if it lies in the step's
    /// [`scratch`](crate::StepContext::scratch) folder, or else copied. Read, the
    /// path is that of the store's copy.
    SavedFile is File as describe_any;

    /// A table with commas that a step wrote, with its rows and columns shown; one
    /// with torn rows is refused. Otherwise as [`SavedFile`].
    CsvFile is Csv as describe_csv;

    /// A table in columns that a step wrote; what does not begin and end as such a
    /// file is refused. Otherwise as [`SavedFile`].
    ParquetFile is Parquet as describe_parquet;

    /// Named tensors that a step wrote, with their number shown; a file that was
    /// cut off is refused. Otherwise as [`SavedFile`].
    SafetensorsFile is Safetensors as describe_safetensors;

    /// A tensor that a step wrote, with its shape shown; a file that was cut off is
    /// refused. Otherwise as [`SavedFile`].
    NpyFile is Npy as describe_npy;
}

/// A folder that a step filled itself; otherwise as [`SavedFile`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Folder {
    /// Where the folder is.
    pub path: PathBuf,
}

impl Artifact for Folder {
    fn type_name() -> String {
        "Folder".to_owned()
    }

    fn format() -> Format {
        Format::Folder
    }

    fn save(&self, path: &Path) -> Result<(), BoxError> {
        if !self.path.is_dir() {
            return Err(format!("`{}` is not a folder", self.path.display()).into());
        }
        Ok(move_or_copy(&self.path, path)?)
    }

    fn load(path: &Path) -> Result<Self, BoxError> {
        let path = path.to_path_buf();
        Ok(Self { path })
    }
}

/// The type's name without the modules that its parts live in.
fn short_type_name<T>() -> String {
    let full = std::any::type_name::<T>();
    let mut short = String::new();
    for part in full.split_inclusive(|c: char| !(c.is_alphanumeric() || c == '_' || c == ':')) {
        short.push_str(part.rsplit("::").next().unwrap_or(part));
    }
    short
}

fn write_new(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    File::create_new(path)?.write_all(bytes)
}

/// Moves what a step wrote into its scratch folder, and copies what lies
/// elsewhere: that is not ours to take away.
fn move_or_copy(from: &Path, to: &Path) -> std::io::Result<()> {
    // The staged outputs of a step lie beside its scratch folder.
    let attempt = to.parent().expect("outputs are staged in a folder");
    if from.starts_with(attempt) {
        return fs::rename(from, to);
    }
    if from.is_file() {
        return fs::copy(from, to).map(drop);
    }
    fs::create_dir(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        move_or_copy(&entry.path(), &to.join(entry.file_name()))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_type_is_named_without_its_modules() {
        assert_eq!(
            Json::<Vec<BTreeMap<String, f32>>>::type_name(),
            "Json<Vec<BTreeMap<String, f32>>>"
        );
    }

    #[test]
    fn json_comes_back_and_is_canonical() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("value");
        let value = Json(std::collections::HashMap::from([
            ("b".to_owned(), 0.1f32),
            ("a".to_owned(), 2.5),
        ]));
        value.save(&path).expect("saves");
        assert_eq!(Json::load(&path).expect("loads"), value);
        let text = fs::read_to_string(&path).expect("is text");
        assert!(text.starts_with(r#"{"a":2.5,"b":0.1"#), "{text}");
    }
}
