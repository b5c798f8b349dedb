//! A moving average of the weights, running statistics included.
//!
//! Averaged weights sit in the middle of the valley that the last steps jump
//! around in, and score better than any of those steps (Polyak and Juditsky
//! 1992; the form used here is that of Izmailov et al. 2018's successors).

use biophony_nn::{NamedTensor, Network, NnError};

/// An exponential moving average of a network's parameters.
#[derive(Debug)]
pub(super) struct Average {
    /// How many steps have entered it.
    n_updates: u64,
    network: Network,
}

/// What a checkpoint keeps of an [`Average`].
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct SavedAverage {
    /// How many steps have entered it.
    pub(crate) n_updates: u64,
    /// The averaged tensors.
    pub(crate) tensors: Vec<NamedTensor>,
}

impl Average {
    pub(super) fn new(network: &Network) -> Self {
        Self {
            n_updates: 0,
            network: network.clone(),
        }
    }

    /// Moves the average towards the weights after a step.
    pub(super) fn update(&mut self, network: &Network, decay: f64) {
        self.n_updates += 1;
        // While it is young, the average forgets faster: otherwise it would
        // remember the random weights that training began with.
        let n = self.n_updates as f64;
        let share = (1.0 - decay.min((1.0 + n) / (10.0 + n))) as f32;
        self.network.approach(network, share);
    }

    /// The averaged tensors.
    pub(super) fn tensors(&self) -> Vec<NamedTensor> {
        self.network.tensors()
    }

    /// What another run needs to go on with it.
    pub(super) fn save(&self) -> SavedAverage {
        SavedAverage {
            n_updates: self.n_updates,
            tensors: self.tensors(),
        }
    }

    /// Takes over from an earlier run.
    pub(super) fn resume(&mut self, saved: &SavedAverage) -> Result<(), NnError> {
        self.network.load_tensors(&saved.tensors)?;
        self.n_updates = saved.n_updates;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use biophony_nn::{Layer, NetworkSpec, Shape};

    use super::*;

    fn network(seed: u64) -> Network {
        let spec = NetworkSpec {
            input: Shape {
                height: 1,
                width: 1,
                channels: 2,
            },
            layers: vec![Layer::batch_norm(), Layer::Dense { outputs: 2 }],
        };
        Network::new(&spec, seed).unwrap()
    }

    #[test]
    fn the_average_of_weights_that_stay_is_those_weights() {
        let (mut average, network) = (Average::new(&network(1)), network(2));
        for _ in 0..200 {
            average.update(&network, 0.9);
        }
        for (average, tensor) in average.tensors().iter().zip(network.tensors()) {
            for (average, value) in average.values.iter().zip(tensor.values) {
                assert!((average - value).abs() < 1e-6, "{}", tensor.name);
            }
        }
    }

    #[test]
    fn a_step_enters_with_one_minus_the_decay_once_the_average_is_old() {
        let mut average = Average::new(&network(1));
        average.n_updates = 1_000_000;
        let before = average.tensors()[4].values[0];
        let network = network(2);
        average.update(&network, 0.75);
        let expected = before + 0.25 * (network.tensors()[4].values[0] - before);
        assert!((average.tensors()[4].values[0] - expected).abs() < 1e-6);
    }
}
