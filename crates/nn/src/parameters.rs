//! Where each parameter of a network lies, how it begins, and how its layout in
//! memory relates to PyTorch's.
//!
//! All learned values lie in one array and all running statistics in another, so
//! that an optimizer is one loop. Convolutions are kept as
//! `[row, column, input, output]` and dense layers as `[input, output]`, which is
//! what the kernels want; PyTorch keeps `[output, input, row, column]` and
//! `[output, input]`, which is what files want.

use std::ops::Range;

use crate::random::Random;

/// The parameters of a network, without their values.
#[derive(Debug, Clone, Default)]
pub(crate) struct Parameters {
    all: Vec<Parameter>,
    n_learned: usize,
    n_running: usize,
}

/// One array of parameters.
#[derive(Debug, Clone)]
pub(crate) struct Parameter {
    pub(crate) name: String,
    pub(crate) layout: Layout,
    pub(crate) role: Role,
    /// Where it lies in the array of its role.
    pub(crate) range: Range<usize>,
    pub(crate) initial: Initial,
}

/// Whether a parameter is changed by the optimizer or by batch-norm.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    Learned,
    Running,
}

/// The axes of a parameter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Layout {
    /// `inputs` counts those of one group.
    Conv {
        outputs: usize,
        inputs: usize,
        kernel: [usize; 2],
    },
    Dense {
        outputs: usize,
        inputs: usize,
    },
    Vector(usize),
}

/// The values that a parameter begins with.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Initial {
    /// Normal with variance `2 / fan_in`, which keeps the variance through a ReLU (He et al. 2015).
    HeNormal {
        fan_in: usize,
    },
    /// Uniform within `± 1 / sqrt(fan_in)`, as in `torch.nn.Linear`.
    Uniform {
        fan_in: usize,
    },
    Constant(f32),
}

impl Parameters {
    /// Adds a parameter that the optimizer changes, and returns its index.
    pub(crate) fn learned(&mut self, name: String, layout: Layout, initial: Initial) -> usize {
        let range = self.n_learned..self.n_learned + layout.n_values();
        self.n_learned = range.end;
        self.push(Parameter {
            name,
            layout,
            role: Role::Learned,
            range,
            initial,
        })
    }

    /// Adds a running statistic, and returns its index.
    pub(crate) fn running(&mut self, name: String, layout: Layout, value: f32) -> usize {
        let range = self.n_running..self.n_running + layout.n_values();
        self.n_running = range.end;
        let initial = Initial::Constant(value);
        self.push(Parameter {
            name,
            layout,
            role: Role::Running,
            range,
            initial,
        })
    }

    fn push(&mut self, parameter: Parameter) -> usize {
        self.all.push(parameter);
        self.all.len() - 1
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Parameter> {
        self.all.iter()
    }

    /// Where a parameter lies in the array of its role.
    pub(crate) fn range(&self, id: usize) -> Range<usize> {
        self.all[id].range.clone()
    }

    /// The arrays of learned values and running statistics that training starts from.
    pub(crate) fn initial_values(&self, seed: u64) -> (Vec<f32>, Vec<f32>) {
        let mut learned = vec![0.0; self.n_learned];
        let mut running = vec![0.0; self.n_running];
        for (index, parameter) in self.all.iter().enumerate() {
            let values = match parameter.role {
                Role::Learned => &mut learned[parameter.range.clone()],
                Role::Running => &mut running[parameter.range.clone()],
            };
            parameter
                .initial
                .fill(values, &mut Random::new(seed, index as u64));
        }
        (learned, running)
    }
}

impl Initial {
    fn fill(self, values: &mut [f32], random: &mut Random) {
        match self {
            Self::HeNormal { fan_in } => {
                let scale = (2.0 / fan_in as f64).sqrt();
                values.fill_with(|| (scale * random.normal()) as f32);
            }
            Self::Uniform { fan_in } => {
                let bound = 1.0 / (fan_in as f64).sqrt();
                values.fill_with(|| (bound * (2.0 * random.uniform() - 1.0)) as f32);
            }
            Self::Constant(value) => values.fill(value),
        }
    }
}

impl Layout {
    pub(crate) fn n_values(self) -> usize {
        self.torch_shape().iter().product()
    }

    /// The shape in a file.
    pub(crate) fn torch_shape(self) -> Vec<usize> {
        match self {
            Self::Conv {
                outputs,
                inputs,
                kernel: [kh, kw],
            } => vec![outputs, inputs, kh, kw],
            Self::Dense { outputs, inputs } => vec![outputs, inputs],
            Self::Vector(n) => vec![n],
        }
    }

    /// Copies our values into PyTorch's order.
    pub(crate) fn to_torch(self, ours: &[f32]) -> Vec<f32> {
        let mut torch = vec![0.0; ours.len()];
        for (index, &value) in ours.iter().enumerate() {
            torch[self.torch_index(index)] = value;
        }
        torch
    }

    /// Copies values in PyTorch's order into ours.
    pub(crate) fn copy_from_torch(self, torch: &[f32], ours: &mut [f32]) {
        for (index, value) in ours.iter_mut().enumerate() {
            *value = torch[self.torch_index(index)];
        }
    }

    /// Where PyTorch keeps the value that we keep at `index`.
    fn torch_index(self, index: usize) -> usize {
        match self {
            Self::Conv {
                outputs,
                inputs,
                kernel: [kh, kw],
            } => {
                let (index, output) = (index / outputs, index % outputs);
                let (tap, input) = (index / inputs, index % inputs);
                (output * inputs + input) * kh * kw + tap
            }
            Self::Dense { outputs, inputs } => {
                let (input, output) = (index / outputs, index % outputs);
                output * inputs + input
            }
            Self::Vector(_) => index,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_convolution_in_torch_order_has_the_kernel_fastest() {
        // [row, column, input, output] with 1 x 2 taps, 2 inputs and 2 outputs.
        let layout = Layout::Conv {
            outputs: 2,
            inputs: 2,
            kernel: [1, 2],
        };
        let ours = [0.0, 1.0, 10.0, 11.0, 100.0, 101.0, 110.0, 111.0];
        let torch = layout.to_torch(&ours);
        assert_eq!(torch, [0.0, 100.0, 10.0, 110.0, 1.0, 101.0, 11.0, 111.0]);
    }

    #[test]
    fn torch_order_and_back_is_the_identity() {
        for layout in [
            Layout::Conv {
                outputs: 3,
                inputs: 2,
                kernel: [2, 5],
            },
            Layout::Dense {
                outputs: 4,
                inputs: 7,
            },
            Layout::Vector(6),
        ] {
            let ours: Vec<f32> = (0..layout.n_values()).map(|i| i as f32).collect();
            let mut back = vec![0.0; ours.len()];
            layout.copy_from_torch(&layout.to_torch(&ours), &mut back);
            assert_eq!(back, ours);
        }
    }

    #[test]
    fn the_seed_decides_the_initial_values() {
        let mut parameters = Parameters::default();
        let layout = Layout::Dense {
            outputs: 10,
            inputs: 10,
        };
        parameters.learned(
            "weight".to_owned(),
            layout,
            Initial::HeNormal { fan_in: 10 },
        );
        assert_eq!(parameters.initial_values(1), parameters.initial_values(1));
        assert_ne!(parameters.initial_values(1), parameters.initial_values(2));
    }
}
