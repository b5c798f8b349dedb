//! A network with its weights.
//!
//! A [`Network`] is weights and nothing else: what running it needs lives in an
//! [`crate::Inference`] or a [`crate::Training`] workspace.

use std::collections::{HashMap, HashSet};
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};

use rayon::prelude::*;

use crate::error::{NnError, Result};
use crate::graph::{BatchNorm, Graph, ParameterId};
use crate::kernels::Kernels;
use crate::layers::norm::NormParameters;
use crate::parameters::{Parameter, Role};
use crate::{Inference, NetworkSpec, Shape};

/// A checked [`NetworkSpec`] and the values of its parameters.
#[derive(Debug, Clone)]
pub struct Network {
    spec: NetworkSpec,
    pub(crate) graph: Graph,
    learned: Vec<f32>,
    running: Vec<f32>,
    revision: Revision,
}

/// An array with its name and its shape, in PyTorch's layout.
#[derive(Debug, Clone, PartialEq)]
pub struct NamedTensor {
    /// The layer's place and PyTorch's word, such as `layers.3.body.0.weight`.
    pub name: String,
    /// Convolutions are `[output, input, row, column]`, dense layers `[output, input]`.
    pub shape: Vec<usize>,
    /// The values, last axis fastest.
    pub values: Vec<f32>,
    /// Whether an optimizer changes it; running statistics are not trainable.
    pub trainable: bool,
}

/// Names one state of one network's weights; no two states share one.
///
/// Workspaces keep weights in other forms and learn from it when these are stale.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Revision(u64);

impl Revision {
    fn next() -> Self {
        static COUNTER: AtomicU64 = AtomicU64::new(0);
        Self(COUNTER.fetch_add(1, Ordering::Relaxed))
    }
}

impl Network {
    /// A network with random weights: He's for convolutions, PyTorch's for dense layers.
    ///
    /// # Errors
    ///
    /// An [`NnError`] naming the first layer that does not fit.
    pub fn new(spec: &NetworkSpec, seed: u64) -> Result<Self> {
        let graph = Graph::lower(spec)?;
        let (learned, running) = graph.parameters.initial_values(seed);
        Ok(Self {
            spec: spec.clone(),
            graph,
            learned,
            running,
            revision: Revision::next(),
        })
    }

    /// What the network is made of.
    pub fn spec(&self) -> &NetworkSpec {
        &self.spec
    }

    /// The shape of one example's result; for a classifier 1 × 1 × classes.
    pub fn output(&self) -> Shape {
        self.graph.values[self.graph.output]
    }

    /// The number of learned values.
    pub fn n_parameters(&self) -> usize {
        self.learned.len()
    }

    /// Logits `[n, outputs]` for a batch `[n, height, width, channels]`.
    ///
    /// # Panics
    ///
    /// If `workspace` was made for another architecture or for fewer than `n`
    /// examples, or if `batch` does not hold `n` examples.
    pub fn forward<'w>(&self, workspace: &'w mut Inference, batch: &[f32], n: usize) -> &'w [f32] {
        workspace.forward(self, batch, n)
    }

    /// Every parameter, learned or running, in the order of the layers.
    pub fn tensors(&self) -> Vec<NamedTensor> {
        self.graph
            .parameters
            .iter()
            .map(|parameter| self.tensor(parameter))
            .collect()
    }

    fn tensor(&self, parameter: &Parameter) -> NamedTensor {
        let (values, trainable) = match parameter.role {
            Role::Learned => (&self.learned, true),
            Role::Running => (&self.running, false),
        };
        parameter.named(&values[parameter.range.clone()], trainable)
    }

    /// Takes over all parameters from tensors in any order.
    ///
    /// # Errors
    ///
    /// If a tensor is missing, unknown, repeated or of another shape; the network is then unchanged.
    pub fn load_tensors(&mut self, tensors: &[NamedTensor]) -> Result<()> {
        let found = match_tensors(tensors, self.graph.parameters.iter())?;
        for (parameter, tensor) in self.graph.parameters.iter().zip(found) {
            let values = match parameter.role {
                Role::Learned => &mut self.learned,
                Role::Running => &mut self.running,
            };
            let ours = &mut values[parameter.range.clone()];
            parameter.layout.copy_from_torch(&tensor.values, ours);
        }
        self.revision = Revision::next();
        Ok(())
    }

    /// Moves every parameter towards that of another network of the same architecture,
    /// by a share of their distance: a moving average of the other's steps.
    ///
    /// # Panics
    ///
    /// If the other network has another architecture.
    pub fn approach(&mut self, other: &Network, share: f32) {
        assert_eq!(
            (self.learned.len(), self.running.len()),
            (other.learned.len(), other.running.len()),
            "a network of the same architecture"
        );
        let kernels = Kernels::best();
        for (ours, theirs) in [
            (&mut self.learned, &other.learned),
            (&mut self.running, &other.running),
        ] {
            let chunks = ours.par_chunks_mut(CHUNK).zip(theirs.par_chunks(CHUNK));
            chunks.for_each(|(ours, theirs)| kernels.approach(theirs, share, ours));
        }
        self.revision = Revision::next();
    }

    /// The values of a learned parameter.
    pub(crate) fn learned_of(&self, id: ParameterId) -> &[f32] {
        &self.learned[self.range_of(id)]
    }

    /// Where a parameter lies in the array of its role.
    pub(crate) fn range_of(&self, id: ParameterId) -> Range<usize> {
        self.graph.parameters.range(id)
    }

    /// The learned values, to be changed.
    pub(crate) fn learned_mut(&mut self) -> &mut [f32] {
        self.revision = Revision::next();
        &mut self.learned
    }

    /// The values of a running statistic.
    pub(crate) fn running_of(&self, id: ParameterId) -> &[f32] {
        &self.running[self.range_of(id)]
    }

    /// A batch-norm's weight and bias, and its running mean and variance to be changed.
    pub(crate) fn norm_parameters(&mut self, norm: &BatchNorm) -> NormParameters<'_> {
        self.revision = Revision::next();
        let (mean, var) = (
            self.range_of(norm.running_mean),
            self.range_of(norm.running_var),
        );
        let (weight, bias) = (self.range_of(norm.weight), self.range_of(norm.bias));
        // The variance is declared after the mean.
        let (before, after) = self.running.split_at_mut(var.start);
        NormParameters {
            weight: &self.learned[weight],
            bias: &self.learned[bias],
            running_mean: &mut before[mean],
            running_var: &mut after[..var.len()],
        }
    }

    pub(crate) fn revision(&self) -> Revision {
        self.revision
    }
}

/// Parameters that one task moves.
const CHUNK: usize = 32 * 1024;

impl Parameter {
    /// Values of ours as a tensor for a file.
    pub(crate) fn named(&self, ours: &[f32], trainable: bool) -> NamedTensor {
        NamedTensor {
            name: self.name.clone(),
            shape: self.layout.torch_shape(),
            values: self.layout.to_torch(ours),
            trainable,
        }
    }
}

/// Finds the tensor of each parameter and checks that none is left over.
pub(crate) fn match_tensors<'t, 'p>(
    tensors: &'t [NamedTensor],
    parameters: impl Iterator<Item = &'p Parameter>,
) -> Result<Vec<&'t NamedTensor>> {
    let mut by_name = HashMap::with_capacity(tensors.len());
    for tensor in tensors {
        if by_name.insert(tensor.name.as_str(), tensor).is_some() {
            let name = tensor.name.clone();
            return Err(NnError::RepeatedTensor { name });
        }
    }
    let mut known = HashSet::new();
    let mut found = Vec::new();
    for parameter in parameters {
        let name = parameter.name.as_str();
        let tensor = *by_name.get(name).ok_or_else(|| NnError::MissingTensor {
            name: name.to_owned(),
        })?;
        let expected = parameter.layout.torch_shape();
        if tensor.shape != expected || tensor.values.len() != parameter.range.len() {
            return Err(NnError::TensorShape {
                name: name.to_owned(),
                expected,
                found: tensor.shape.clone(),
                n_values: tensor.values.len(),
            });
        }
        known.insert(name);
        found.push(tensor);
    }
    match tensors
        .iter()
        .find(|tensor| !known.contains(tensor.name.as_str()))
    {
        Some(tensor) => Err(NnError::UnknownTensor {
            name: tensor.name.clone(),
        }),
        None => Ok(found),
    }
}
