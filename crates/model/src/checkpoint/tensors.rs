//! Several lists of tensors in one safetensors file, told apart by a prefix.

use std::collections::BTreeMap;
use std::path::Path;

use biophony_nn::NamedTensor;
use safetensors::tensor::{Dtype, SafeTensors, TensorView};

use crate::error::ModelError;

/// Writes each part's tensors under `part/name`.
pub(super) fn encode(
    parts: &[(&'static str, &[NamedTensor])],
    path: &Path,
) -> Result<Vec<u8>, ModelError> {
    let tensors = parts
        .iter()
        .flat_map(|(part, tensors)| tensors.iter().map(move |tensor| (part, tensor)));
    let named: Vec<(String, &NamedTensor, Vec<u8>)> = tensors
        .map(|(part, tensor)| {
            let bytes = tensor.values.iter().flat_map(|value| value.to_le_bytes());
            (format!("{part}/{}", tensor.name), tensor, bytes.collect())
        })
        .collect();
    let views = named.iter().map(|(name, tensor, bytes)| {
        TensorView::new(Dtype::F32, tensor.shape.clone(), bytes).map(|view| (name, view))
    });
    views
        .collect::<Result<Vec<_>, _>>()
        .and_then(|views| safetensors::serialize(views, None))
        .map_err(|error| damaged(path, error.to_string()))
}

/// Reads the parts back, each sorted by name.
pub(super) fn decode(
    bytes: &[u8],
    path: &Path,
) -> Result<BTreeMap<String, Vec<NamedTensor>>, ModelError> {
    let file = SafeTensors::deserialize(bytes).map_err(|error| damaged(path, error.to_string()))?;
    let mut parts: BTreeMap<String, Vec<NamedTensor>> = BTreeMap::new();
    for (full_name, view) in file.iter() {
        let (part, name) = full_name
            .split_once('/')
            .ok_or_else(|| damaged(path, format!("tensor `{full_name}` is of no part")))?;
        if view.dtype() != Dtype::F32 {
            return Err(damaged(
                path,
                format!("tensor `{full_name}` is not of type F32"),
            ));
        }
        let words = view.data().chunks_exact(4);
        let values = words.map(|word| f32::from_le_bytes([word[0], word[1], word[2], word[3]]));
        parts.entry(part.to_owned()).or_default().push(NamedTensor {
            name: name.to_owned(),
            shape: view.shape().to_vec(),
            values: values.collect(),
            trainable: false,
        });
    }
    // The file's own order is arbitrary.
    for tensors in parts.values_mut() {
        tensors.sort_by(|a, b| a.name.cmp(&b.name));
    }
    Ok(parts)
}

fn damaged(path: &Path, reason: String) -> ModelError {
    ModelError::DamagedCheckpoint {
        path: path.into(),
        reason,
    }
}
