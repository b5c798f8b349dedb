//! Prepared clips as one file, so that they need not be prepared again.
//!
//! The file is in the safetensors format: one tensor `[bands, frames]` per clip,
//! numbered in order, and their names and classes in the metadata.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufWriter, Read, Write};
use std::path::Path;

use biophony_audio::Spectrogram;
use safetensors::tensor::{Dtype, SafeTensors};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::Example;
use crate::error::ModelError;
use crate::labels::LabelSet;

/// The entry of the metadata that names clips and classes.
const INDEX: &str = "index";

/// Names and classes of the clips in a file.
#[derive(Serialize, Deserialize)]
struct Index {
    classes: LabelSet,
    clips: Vec<(String, usize)>,
}

/// Writes prepared clips into a new file.
///
/// # Errors
///
/// When the file exists or cannot be written.
pub fn write_examples(
    path: &Path,
    classes: &LabelSet,
    examples: &[Example],
) -> Result<(), ModelError> {
    let unwritable = |source| ModelError::Write {
        path: path.into(),
        source,
    };
    let header = header(classes, examples).map_err(|source| ModelError::Json {
        path: path.into(),
        source,
    })?;
    let file = File::create_new(path).map_err(unwritable)?;
    let mut file = BufWriter::new(file);
    let mut write = || {
        // Value by value: the tensors as bytes would take their memory once more.
        file.write_all(&(header.len() as u64).to_le_bytes())?;
        file.write_all(&header)?;
        for value in examples
            .iter()
            .flat_map(|example| example.features.values())
        {
            file.write_all(&value.to_le_bytes())?;
        }
        file.flush()
    };
    write().map_err(unwritable)
}

/// The header of the format: a JSON object, padded with spaces to eight bytes.
fn header(classes: &LabelSet, examples: &[Example]) -> serde_json::Result<Vec<u8>> {
    let index = Index {
        classes: classes.clone(),
        clips: examples
            .iter()
            .map(|example| (example.name.clone(), example.label))
            .collect(),
    };
    let mut entries = serde_json::Map::new();
    let metadata = json!({ INDEX: serde_json::to_string(&index)? });
    entries.insert("__metadata__".to_owned(), metadata);
    let mut begin = 0;
    for (number, Example { features, .. }) in examples.iter().enumerate() {
        let end = begin + 4 * features.values().len();
        let entry = json!({
            "dtype": "F32",
            "shape": [features.n_bands, features.n_frames],
            "data_offsets": [begin, end],
        });
        entries.insert(tensor_name(number), entry);
        begin = end;
    }
    let mut header = serde_json::to_vec(&Value::Object(entries))?;
    header.resize(header.len().next_multiple_of(8), b' ');
    Ok(header)
}

fn tensor_name(number: usize) -> String {
    format!("{number:06}")
}

/// Reads what [`write_examples`] wrote.
///
/// # Errors
///
/// When the file cannot be read, or is not of this kind.
pub fn read_examples(path: &Path) -> Result<(LabelSet, Vec<Example>), ModelError> {
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|mut file| file.read_to_end(&mut bytes))
        .map_err(|source| ModelError::Read {
            path: path.into(),
            source,
        })?;
    let unreadable = |source| ModelError::Weights {
        path: path.into(),
        source,
    };
    let refused = |field: &str, reason: &str| ModelError::BundleField {
        path: path.into(),
        field: field.into(),
        reason: reason.into(),
    };
    let (_, metadata) = SafeTensors::read_metadata(&bytes).map_err(unreadable)?;
    let index = metadata
        .metadata()
        .as_ref()
        .and_then(|entries: &HashMap<String, String>| entries.get(INDEX))
        .ok_or_else(|| refused(INDEX, "it is missing"))?;
    let Index { classes, clips } =
        serde_json::from_str(index).map_err(|source| ModelError::Json {
            path: path.into(),
            source,
        })?;
    let tensors = SafeTensors::deserialize(&bytes).map_err(unreadable)?;
    let mut examples = Vec::with_capacity(clips.len());
    for (number, (name, label)) in clips.into_iter().enumerate() {
        let tensor = tensors.tensor(&tensor_name(number)).map_err(unreadable)?;
        let (&[n_bands, n_frames], Dtype::F32) = (tensor.shape(), tensor.dtype()) else {
            return Err(refused(&name, "it is no spectrogram"));
        };
        if label >= classes.len() {
            return Err(refused(&name, "its class is none of those in the file"));
        }
        let (values, _) = tensor.data().as_chunks::<4>();
        let values = values.iter().map(|&value| f32::from_le_bytes(value));
        examples.push(Example {
            name,
            label,
            features: Spectrogram::new(n_bands, n_frames, values.collect()),
        });
    }
    Ok((classes, examples))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn examples() -> (LabelSet, Vec<Example>) {
        let example = |number: usize| Example {
            name: format!("owl/{number} \"é\".wav"),
            label: number % 2,
            features: Spectrogram::new(2, number, vec![number as f32 - 0.5; 2 * number]),
        };
        let classes = LabelSet::new(["owl", "wren"]).unwrap();
        (classes, (1..5).map(example).collect())
    }

    #[test]
    fn examples_come_back_as_they_were() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("examples");
        let (classes, examples) = examples();
        write_examples(&path, &classes, &examples).unwrap();
        assert_eq!(read_examples(&path).unwrap(), (classes, examples));
    }

    #[test]
    fn a_damaged_file_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("examples");
        let (classes, examples) = examples();
        write_examples(&path, &classes, &examples).unwrap();
        let bytes = std::fs::read(&path).unwrap();
        for n in (0..bytes.len()).step_by(7) {
            std::fs::write(&path, &bytes[..n]).unwrap();
            assert!(read_examples(&path).is_err(), "{n} bytes");
        }
    }
}
