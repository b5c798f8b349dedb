//! `weights.safetensors`: the network's tensors under PyTorch's names, in
//! PyTorch's layout.
//!
//! The layers they belong to are noted in the file's metadata under `network`,
//! so that the file can be understood alone.

use std::collections::HashMap;
use std::path::Path;

use biophony_nn::{NamedTensor, Network, NetworkSpec};
use safetensors::tensor::{Dtype, SafeTensors, TensorView};

use crate::error::ModelError;

/// The content of the file.
pub(crate) fn encode(network: &Network, path: &Path) -> Result<Vec<u8>, ModelError> {
    let unwritable = |source| ModelError::Weights {
        path: path.into(),
        source,
    };
    let tensors = network.tensors();
    let bytes: Vec<Vec<u8>> = tensors
        .iter()
        .map(|tensor| {
            tensor
                .values
                .iter()
                .flat_map(|value| value.to_le_bytes())
                .collect()
        })
        .collect();
    let mut views = Vec::with_capacity(tensors.len());
    for (tensor, bytes) in tensors.iter().zip(&bytes) {
        let view = TensorView::new(Dtype::F32, tensor.shape.clone(), bytes).map_err(unwritable)?;
        views.push((tensor.name.as_str(), view));
    }
    let spec = serde_json::to_string(network.spec()).map_err(|source| ModelError::Json {
        path: path.into(),
        source,
    })?;
    // One entry only: the order of several is not fixed, and equal networks
    // should give equal files.
    let metadata = HashMap::from([("network".to_owned(), spec)]);
    safetensors::serialize(views, Some(metadata)).map_err(unwritable)
}

/// The network with the tensors of the file.
pub(crate) fn decode(spec: &NetworkSpec, bytes: &[u8], path: &Path) -> Result<Network, ModelError> {
    let file = SafeTensors::deserialize(bytes).map_err(|source| ModelError::Weights {
        path: path.into(),
        source,
    })?;
    let mut tensors = Vec::with_capacity(file.len());
    for (name, view) in file.iter() {
        tensors.push(tensor(name, &view, path)?);
    }
    let mut network = Network::new(spec, 0)?;
    network.load_tensors(&tensors)?;
    Ok(network)
}

fn tensor(name: &str, view: &TensorView<'_>, path: &Path) -> Result<NamedTensor, ModelError> {
    let refused = |reason: String| ModelError::BundleField {
        path: path.into(),
        field: name.into(),
        reason,
    };
    if view.dtype() != Dtype::F32 {
        return Err(refused(format!(
            "its type is {}, expected F32",
            view.dtype()
        )));
    }
    let values: Vec<f32> = view
        .data()
        .chunks_exact(4)
        .map(|bytes| f32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
        .collect();
    if let Some(value) = values.iter().find(|value| !value.is_finite()) {
        return Err(refused(format!("it holds {value}")));
    }
    Ok(NamedTensor {
        name: name.into(),
        shape: view.shape().into(),
        values,
        trainable: true,
    })
}
