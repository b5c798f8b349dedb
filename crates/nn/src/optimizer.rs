//! Gradient descent: SGD with momentum, Adam and AdamW, with PyTorch's semantics.
//!
//! What a step does to one weight is written in `crate::kernels`; here it is decided
//! what is the same for all weights, and shared out.

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::error::Result;
use crate::kernels::{AdamRule, Kernels, SQUARE_SUMS, SgdRule};
use crate::network::match_tensors;
use crate::parameters::{Parameter, Role};
use crate::{NamedTensor, Network, Training};

/// Which optimizer, and its settings. The learning rate is an argument of each step.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(tag = "optimizer", rename_all = "snake_case", deny_unknown_fields)]
pub enum OptimizerConfig {
    /// `torch.optim.Adam`; weight decay is added to the gradient.
    Adam {
        /// Decay of the two moments.
        #[serde(default = "default_betas")]
        betas: [f32; 2],
        /// Added to the root of the second moment.
        #[serde(default = "default_epsilon")]
        epsilon: f32,
        /// How strongly weights are drawn to zero.
        #[serde(default)]
        weight_decay: f32,
    },
    /// `torch.optim.AdamW`; weight decay is applied to the weights (Loshchilov and Hutter, 2019).
    AdamW {
        /// Decay of the two moments.
        #[serde(default = "default_betas")]
        betas: [f32; 2],
        /// Added to the root of the second moment.
        #[serde(default = "default_epsilon")]
        epsilon: f32,
        /// How strongly weights are drawn to zero.
        #[serde(default = "default_decay")]
        weight_decay: f32,
    },
    /// `torch.optim.SGD`.
    Sgd {
        /// Decay of the velocity; 0 for none.
        #[serde(default)]
        momentum: f32,
        /// Whether the gradient is taken as if the velocity had already been followed.
        #[serde(default)]
        nesterov: bool,
        /// How strongly weights are drawn to zero.
        #[serde(default)]
        weight_decay: f32,
    },
}

impl Default for OptimizerConfig {
    fn default() -> Self {
        Self::Adam {
            betas: default_betas(),
            epsilon: default_epsilon(),
            weight_decay: 0.0,
        }
    }
}

/// An optimizer's memory of earlier steps.
#[derive(Debug, Clone)]
pub struct Optimizer {
    config: OptimizerConfig,
    n_steps: u64,
    /// Velocity of SGD, first moment of Adam.
    first: Vec<f32>,
    /// Second moment of Adam.
    second: Vec<f32>,
}

/// What a checkpoint has to keep of an [`Optimizer`].
#[derive(Debug, Clone, PartialEq)]
pub struct OptimizerState {
    /// Steps taken so far.
    pub n_steps: u64,
    /// The moments of each learned parameter, named after it with `first.` or `second.` before.
    pub tensors: Vec<NamedTensor>,
}

impl Optimizer {
    /// An optimizer that has taken no step yet.
    pub fn new(config: OptimizerConfig, network: &Network) -> Self {
        let n = network.n_parameters();
        let second = match config {
            OptimizerConfig::Adam { .. } | OptimizerConfig::AdamW { .. } => vec![0.0; n],
            OptimizerConfig::Sgd { .. } => Vec::new(),
        };
        Self {
            config,
            n_steps: 0,
            first: vec![0.0; n],
            second,
        }
    }

    /// Changes the network's weights by the gradients of the last backward pass,
    /// and returns the global norm that these gradients had.
    ///
    /// With a `max_gradient_norm`, gradients of a larger norm are scaled down to
    /// it first, as by `torch.nn.utils.clip_grad_norm_`.
    pub fn step(
        &mut self,
        network: &mut Network,
        training: &Training,
        learning_rate: f32,
        max_gradient_norm: Option<f32>,
    ) -> f32 {
        let (kernels, gradients) = (training.kernels(), training.gradient_values());
        let norm = global_norm(kernels, gradients);
        let gradient_scale =
            max_gradient_norm.map_or(1.0, |max_norm| (max_norm / (norm + 1e-6)).min(1.0));
        self.n_steps += 1;
        let rule = self.rule(learning_rate, gradient_scale);
        let values = network
            .learned_mut()
            .par_chunks_mut(CHUNK)
            .zip(gradients.par_chunks(CHUNK))
            .zip(self.first.par_chunks_mut(CHUNK));
        match &rule {
            Rule::Adam(rule) => {
                let seconds = self.second.par_chunks_mut(CHUNK);
                values
                    .zip(seconds)
                    .for_each(|(((weights, gradients), first), second)| {
                        kernels.adam(rule, gradients, weights, first, second);
                    });
            }
            Rule::Sgd(rule) => values.for_each(|((weights, gradients), velocity)| {
                kernels.sgd(rule, gradients, weights, velocity);
            }),
        }
        norm
    }

    /// What this step does to each weight.
    fn rule(&self, learning_rate: f32, gradient_scale: f32) -> Rule {
        let adam = |betas: [f32; 2], epsilon, decay, shrink| {
            let correction = betas.map(|beta| 1.0 - f64::from(beta).powf(self.n_steps as f64));
            Rule::Adam(AdamRule {
                gradient_scale,
                decay,
                shrink,
                betas,
                step_size: (f64::from(learning_rate) / correction[0]) as f32,
                second_scale: correction[1].sqrt() as f32,
                epsilon,
            })
        };
        match self.config {
            OptimizerConfig::Adam {
                betas,
                epsilon,
                weight_decay,
            } => adam(betas, epsilon, weight_decay, 0.0),
            OptimizerConfig::AdamW {
                betas,
                epsilon,
                weight_decay,
            } => adam(betas, epsilon, 0.0, learning_rate * weight_decay),
            OptimizerConfig::Sgd {
                momentum,
                nesterov,
                weight_decay,
            } => Rule::Sgd(SgdRule {
                gradient_scale,
                decay: weight_decay,
                momentum,
                nesterov,
                learning_rate,
            }),
        }
    }

    /// What is needed to go on later as if never interrupted.
    pub fn state(&self, network: &Network) -> OptimizerState {
        let tensors = self
            .moments()
            .flat_map(|(prefix, moment)| {
                prefixed(network, prefix)
                    .into_iter()
                    .map(move |parameter| parameter.named(&moment[parameter.range.clone()], false))
            })
            .collect();
        OptimizerState {
            n_steps: self.n_steps,
            tensors,
        }
    }

    /// Goes on from an earlier [`Optimizer::state`].
    ///
    /// # Errors
    ///
    /// If a tensor is missing, unknown, repeated or of another shape; the optimizer is then unchanged.
    pub fn load_state(&mut self, network: &Network, state: &OptimizerState) -> Result<()> {
        let parameters: Vec<Parameter> = self
            .moments()
            .flat_map(|(prefix, _)| prefixed(network, prefix))
            .collect();
        let found = match_tensors(&state.tensors, parameters.iter())?;
        for (parameter, tensor) in parameters.iter().zip(found) {
            let moment = if parameter.name.starts_with("first.") {
                &mut self.first
            } else {
                &mut self.second
            };
            let ours = &mut moment[parameter.range.clone()];
            parameter.layout.copy_from_torch(&tensor.values, ours);
        }
        self.n_steps = state.n_steps;
        Ok(())
    }

    fn moments(&self) -> impl Iterator<Item = (&'static str, &[f32])> {
        [
            ("first", self.first.as_slice()),
            ("second", self.second.as_slice()),
        ]
        .into_iter()
        .filter(|(_, moment)| !moment.is_empty())
    }
}

/// The learned parameters, renamed.
fn prefixed(network: &Network, prefix: &str) -> Vec<Parameter> {
    let learned = network
        .graph
        .parameters
        .iter()
        .filter(|parameter| parameter.role == Role::Learned);
    learned
        .map(|parameter| Parameter {
            name: format!("{prefix}.{}", parameter.name),
            ..parameter.clone()
        })
        .collect()
}

/// What a step does to each weight, with everything that is the same for all worked out.
enum Rule {
    Adam(AdamRule),
    Sgd(SgdRule),
}

/// Values that one task works on: few enough for its arrays to stay in the cache.
const CHUNK: usize = 16 * 1024;

/// The Euclidean norm of all gradients together: sums of chunks, added in their order.
fn global_norm(kernels: &Kernels, gradients: &[f32]) -> f32 {
    let chunks = gradients.par_chunks(CHUNK).map(|gradients| {
        let mut sums = [0.0; SQUARE_SUMS];
        kernels.add_squares(gradients, &mut sums);
        sums.iter().sum::<f64>()
    });
    let sums: Vec<f64> = chunks.collect();
    sums.iter().sum::<f64>().sqrt() as f32
}

fn default_betas() -> [f32; 2] {
    [0.9, 0.999]
}

fn default_epsilon() -> f32 {
    1e-8
}

fn default_decay() -> f32 {
    1e-2
}
