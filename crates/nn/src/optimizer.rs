//! Gradient descent: SGD with momentum, Adam and AdamW, with PyTorch's semantics.

use serde::{Deserialize, Serialize};

use crate::error::Result;
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
        training: &mut Training,
        learning_rate: f32,
        max_gradient_norm: Option<f32>,
    ) -> f32 {
        let gradients = training.gradient_values_mut();
        let norm = global_norm(gradients);
        if let Some(max_norm) = max_gradient_norm {
            let scale = (max_norm / (norm + 1e-6)).min(1.0);
            if scale < 1.0 {
                gradients.iter_mut().for_each(|gradient| *gradient *= scale);
            }
        }
        self.n_steps += 1;
        let weights = network.learned_mut();
        match self.config {
            OptimizerConfig::Adam {
                betas,
                epsilon,
                weight_decay,
            } => {
                let adam = Adam::at(self.n_steps, betas, epsilon, learning_rate);
                adam.step(
                    weights,
                    gradients,
                    &mut self.first,
                    &mut self.second,
                    weight_decay,
                    0.0,
                );
            }
            OptimizerConfig::AdamW {
                betas,
                epsilon,
                weight_decay,
            } => {
                let adam = Adam::at(self.n_steps, betas, epsilon, learning_rate);
                let shrink = learning_rate * weight_decay;
                adam.step(
                    weights,
                    gradients,
                    &mut self.first,
                    &mut self.second,
                    0.0,
                    shrink,
                );
            }
            OptimizerConfig::Sgd {
                momentum,
                nesterov,
                weight_decay,
            } => {
                let sgd = Sgd {
                    momentum,
                    nesterov,
                    weight_decay,
                    learning_rate,
                };
                sgd.step(weights, gradients, &mut self.first);
            }
        }
        norm
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

/// The Euclidean norm of all gradients together.
fn global_norm(gradients: &[f32]) -> f32 {
    let sum: f64 = gradients
        .iter()
        .map(|&gradient| f64::from(gradient).powi(2))
        .sum();
    sum.sqrt() as f32
}

/// One step of Adam, with everything that is the same for all weights worked out.
struct Adam {
    betas: [f32; 2],
    epsilon: f32,
    step_size: f32,
    /// Root of the second moment's bias correction.
    second_scale: f32,
}

impl Adam {
    fn at(n_steps: u64, betas: [f32; 2], epsilon: f32, learning_rate: f32) -> Self {
        let correction = betas.map(|beta| 1.0 - f64::from(beta).powf(n_steps as f64));
        Self {
            betas,
            epsilon,
            step_size: (f64::from(learning_rate) / correction[0]) as f32,
            second_scale: correction[1].sqrt() as f32,
        }
    }

    fn step(
        &self,
        weights: &mut [f32],
        gradients: &[f32],
        first: &mut [f32],
        second: &mut [f32],
        decay: f32,
        shrink: f32,
    ) {
        let [beta1, beta2] = self.betas;
        let moments = first.iter_mut().zip(second);
        for ((weight, &gradient), (first, second)) in weights.iter_mut().zip(gradients).zip(moments)
        {
            *weight -= shrink * *weight;
            let gradient = gradient + decay * *weight;
            *first += (1.0 - beta1) * (gradient - *first);
            *second = beta2 * *second + (1.0 - beta2) * gradient * gradient;
            *weight -= self.step_size * *first / (second.sqrt() / self.second_scale + self.epsilon);
        }
    }
}

/// One step of gradient descent.
struct Sgd {
    momentum: f32,
    nesterov: bool,
    weight_decay: f32,
    learning_rate: f32,
}

impl Sgd {
    fn step(&self, weights: &mut [f32], gradients: &[f32], velocity: &mut [f32]) {
        for ((weight, &gradient), velocity) in weights.iter_mut().zip(gradients).zip(velocity) {
            let gradient = gradient + self.weight_decay * *weight;
            // The velocity starts at zero, so that the first step follows the gradient as PyTorch's does.
            *velocity = self.momentum * *velocity + gradient;
            let direction = if self.nesterov {
                gradient + self.momentum * *velocity
            } else {
                *velocity
            };
            *weight -= self.learning_rate * direction;
        }
    }
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
