//! Several networks of one kind as a single network whose logits are the mean of theirs.
//!
//! The members lie side by side: each convolution has the channels of all of
//! them, in groups that do not see each other, and each normalization their
//! statistics. Channels come member after member everywhere, also in the vectors
//! that flattening and global pooling give. The last dense layer sees all of them,
//! with weights and bias divided by their number.
//!
//! The result is an ordinary network: it costs what its members cost together, and
//! nothing that reads, runs or exports networks has to know of members.

use crate::error::{NnError, Result};
use crate::{Layer, NamedTensor, Network, NetworkSpec, Padding};

/// The network that computes the mean of the members' logits. One member gives itself.
///
/// ```
/// # use biophony_nn::{merge, Inference, Layer, Network, NetworkSpec, Shape};
/// let spec = NetworkSpec {
///     input: Shape { height: 1, width: 1, channels: 2 },
///     layers: vec![Layer::Dense { outputs: 4 }, Layer::Relu, Layer::Dense { outputs: 1 }],
/// };
/// let members = [Network::new(&spec, 1)?, Network::new(&spec, 2)?];
/// let logit = |network: &Network| {
///     network.forward(&mut Inference::new(network, 1), &[0.5, -2.0], 1)[0]
/// };
/// let mean = (logit(&members[0]) + logit(&members[1])) / 2.0;
/// assert!((logit(&merge(&members)?) - mean).abs() < 1e-6);
/// # Ok::<(), biophony_nn::NnError>(())
/// ```
///
/// # Errors
///
/// If there are no members, if they are not all made of the same layers, or if
/// there is a layer that cannot hold several members: the last one has to be
/// `dense`, and until the first convolution or dense layer all of them see the
/// same values, which they cannot normalize or add to on their own.
pub fn merge(members: &[Network]) -> Result<Network> {
    let first = members.first().ok_or(NnError::NoMembers)?;
    let differs = |member: &Network| member.spec() != first.spec();
    if let Some(member) = members.iter().position(differs) {
        return Err(NnError::MembersDiffer { member });
    }
    if members.len() == 1 {
        return Ok(first.clone());
    }
    let mut merged = Network::new(&merged_spec(first.spec(), members.len())?, 0)?;
    let tensors: Vec<Vec<NamedTensor>> = members.iter().map(Network::tensors).collect();
    let joined: Vec<NamedTensor> = merged
        .tensors()
        .into_iter()
        .enumerate()
        .map(|(index, target)| {
            let parts: Vec<&NamedTensor> = tensors.iter().map(|member| &member[index]).collect();
            join(target, &parts)
        })
        .collect();
    merged.load_tensors(&joined)?;
    Ok(merged)
}

/// What the members see at some place in the network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sight {
    /// All of them the same values: the input, perhaps pooled.
    Shared,
    /// Each its own channels.
    Apart,
}

/// Layers for several members. Every parameter keeps its name and its place.
struct Merger {
    n_members: usize,
}

fn merged_spec(spec: &NetworkSpec, n_members: usize) -> Result<NetworkSpec> {
    let merger = Merger { n_members };
    let Some((last @ Layer::Dense { .. }, hidden)) = spec.layers.split_last() else {
        let kind = spec.layers.last().map_or("nothing", Layer::kind);
        let layer = format!("layers.{}", spec.layers.len().saturating_sub(1));
        return Err(cannot_merge(layer, kind, "the last layer has to be dense"));
    };
    let (mut layers, _) = merger.list("layers", hidden, Sight::Shared)?;
    layers.push(last.clone());
    let input = spec.input;
    Ok(NetworkSpec { input, layers })
}

impl Merger {
    fn list(&self, name: &str, layers: &[Layer], sight: Sight) -> Result<(Vec<Layer>, Sight)> {
        let mut merged = Vec::with_capacity(layers.len());
        let mut sight = sight;
        for (index, layer) in layers.iter().enumerate() {
            let (layer, next) = self.layer(format!("{name}.{index}"), layer, sight)?;
            merged.push(layer);
            sight = next;
        }
        Ok((merged, sight))
    }

    fn layer(&self, name: String, layer: &Layer, sight: Sight) -> Result<(Layer, Sight)> {
        let n = self.n_members;
        let kind = layer.kind();
        let mut merged = layer.clone();
        let mut next = sight;
        match &mut merged {
            Layer::Conv2d {
                outputs, groups, ..
            } => {
                *outputs *= n;
                match sight {
                    Sight::Apart => *groups *= n,
                    // The results of each group would lie together, not those of each member.
                    Sight::Shared if *groups > 1 => {
                        return Err(cannot_merge(name, kind, "it divides the input into groups"));
                    }
                    Sight::Shared => {}
                }
                next = Sight::Apart;
            }
            Layer::BatchNorm { .. } if sight == Sight::Shared => {
                return Err(cannot_merge(name, kind, "it normalizes the input itself"));
            }
            Layer::Dense { outputs } => {
                merged = self.hidden_dense(*outputs, sight);
                next = Sight::Apart;
            }
            Layer::Residual { body, shortcut } => {
                let (long, short);
                (*body, long) = self.list(&format!("{name}.body"), body, sight)?;
                (*shortcut, short) = self.list(&format!("{name}.shortcut"), shortcut, sight)?;
                if long != short {
                    return Err(cannot_merge(name, kind, "it adds to the input itself"));
                }
                next = long;
            }
            Layer::BatchNorm { .. }
            | Layer::Relu
            | Layer::MaxPool { .. }
            | Layer::AveragePool { .. }
            | Layer::GlobalPool { .. }
            | Layer::Flatten
            | Layer::Dropout { .. } => {}
        }
        Ok((merged, next))
    }

    /// A dense layer whose members see different vectors is a convolution in groups:
    /// as a dense layer it would be mostly zeros.
    fn hidden_dense(&self, outputs: usize, sight: Sight) -> Layer {
        let outputs = outputs * self.n_members;
        match sight {
            Sight::Shared => Layer::Dense { outputs },
            Sight::Apart => Layer::Conv2d {
                outputs,
                kernel: [1, 1],
                stride: [1, 1],
                padding: Padding::Valid,
                groups: self.n_members,
                bias: true,
            },
        }
    }
}

fn cannot_merge(layer: String, kind: &'static str, reason: &'static str) -> NnError {
    NnError::CannotMerge {
        layer,
        kind,
        reason,
    }
}

/// Fills `target` with the members' parts of it.
///
/// Both are matrices of outputs and what each output sees. Along an axis of the
/// target that is longer than a part's the parts lie one after the other; where the
/// outputs are not multiplied, they are means over the members.
fn join(target: NamedTensor, parts: &[&NamedTensor]) -> NamedTensor {
    let n = parts.len();
    let [rows, columns] = matrix(parts[0]);
    let [all_rows, all_columns] = matrix(&target);
    let averaged = all_rows == rows;
    let mut values = vec![0.0_f64; target.values.len()];
    for (member, part) in parts.iter().enumerate() {
        let first_row = if averaged { 0 } else { member * rows };
        let first_column = if all_columns == columns {
            0
        } else {
            member * columns
        };
        for (row, part) in part.values.chunks_exact(columns).enumerate() {
            let to = (first_row + row) * all_columns + first_column;
            for (value, &part) in values[to..to + columns].iter_mut().zip(part) {
                *value += f64::from(part);
            }
        }
    }
    let divisor = if averaged { n as f64 } else { 1.0 };
    NamedTensor {
        values: values
            .iter()
            .map(|value| (value / divisor) as f32)
            .collect(),
        ..target
    }
}

/// The number of outputs, and of values that each has.
fn matrix(tensor: &NamedTensor) -> [usize; 2] {
    [tensor.shape[0], tensor.shape[1..].iter().product()]
}

#[cfg(test)]
#[path = "merge/tests.rs"]
mod tests;
