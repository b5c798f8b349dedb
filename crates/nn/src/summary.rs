//! A network layer by layer, like Keras's `model.summary()`.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::error::Result;
use crate::graph::{Graph, Operation};
use crate::{NetworkSpec, Shape};

/// One line of a network's summary.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LayerSummary {
    /// The layer's place, such as `layers.3.body.0`; its tensors begin with it.
    pub name: String,
    /// What it does, in the words of settings files.
    pub kind: String,
    /// The shape of what it gives for one example.
    pub output: Shape,
    /// The number of learned values.
    pub parameters: usize,
    /// Multiplications of weights per example.
    pub macs: u64,
}

impl NetworkSpec {
    /// Checks the specification and says what each layer gives and costs.
    ///
    /// Layers of residual branches come before the line of the addition.
    ///
    /// # Errors
    ///
    /// An [`crate::NnError`] naming the first layer that does not fit.
    ///
    /// ```
    /// # use biophony_nn::{Layer, NetworkSpec, Shape};
    /// let spec = NetworkSpec {
    ///     input: Shape { height: 4, width: 4, channels: 1 },
    ///     layers: vec![Layer::Flatten, Layer::Dense { outputs: 3 }],
    /// };
    /// let summary = spec.summary()?;
    /// assert_eq!(summary[1].parameters, 16 * 3 + 3);
    /// assert_eq!(summary[1].macs, 48);
    /// # Ok::<(), biophony_nn::NnError>(())
    /// ```
    pub fn summary(&self) -> Result<Vec<LayerSummary>> {
        let graph = Graph::lower(self)?;
        let learned = |id: usize| graph.parameters.range(id).len();
        let lines = graph.nodes.iter().map(|node| {
            let (parameters, macs) = match &node.operation {
                Operation::Conv {
                    geometry,
                    weight,
                    bias,
                } => (learned(*weight) + bias.map_or(0, learned), geometry.macs()),
                Operation::BatchNorm(norm) => (learned(norm.weight) + learned(norm.bias), 0),
                _ => (0, 0),
            };
            LayerSummary {
                name: node.name.clone(),
                kind: node.kind.to_owned(),
                output: graph.values[node.output],
                parameters,
                macs,
            }
        });
        Ok(lines.collect())
    }
}

impl fmt::Display for LayerSummary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            name,
            kind,
            output,
            parameters,
            macs,
        } = self;
        let output = output.to_string();
        write!(
            f,
            "{name:<24} {kind:<12} {output:>14} {parameters:>10} {macs:>13}"
        )
    }
}
