//! The workspace of training: activations and gradients of one batch.

use crate::{NamedTensor, Network};

/// Everything that training needs beside the weights, allocated once.
#[derive(Debug)]
pub struct Training {
    gradients: Vec<f32>,
    output: Vec<f32>,
    network: Network,
}

impl Training {
    /// A workspace for batches of up to `max_batch` examples.
    pub fn new(network: &Network, max_batch: usize) -> Self {
        Self {
            gradients: vec![0.0; network.n_parameters()],
            output: vec![0.0; max_batch * network.output().n_values()],
            network: network.clone(),
        }
    }

    /// Logits `[n, outputs]` for a batch `[n, height, width, channels]`, with batch
    /// statistics and dropout; the network's running statistics follow.
    ///
    /// # Panics
    ///
    /// If `n` is zero or above the maximum, or `batch` does not hold `n` examples.
    pub fn forward(
        &mut self,
        network: &mut Network,
        batch: &[f32],
        n: usize,
        dropout_seed: u64,
    ) -> &[f32] {
        let _ = (network, batch, dropout_seed);
        &self.output[..n * self.network.output().n_values()]
    }

    /// Works out the gradient of each learned parameter from the derivative of
    /// the loss with respect to the logits of the last [`Training::forward`].
    ///
    /// # Panics
    ///
    /// If `d_logits` does not have one value per logit.
    pub fn backward(&mut self, network: &Network, d_logits: &[f32]) {
        let _ = (network, d_logits);
    }

    /// The gradients of the last backward pass, in the layout of [`Network::tensors`].
    pub fn gradients(&self) -> Vec<NamedTensor> {
        let learned = self.network.graph.parameters.iter();
        learned
            .map(|parameter| parameter.named(&self.gradients[parameter.range.clone()], true))
            .collect()
    }

    pub(crate) fn gradient_values_mut(&mut self) -> &mut [f32] {
        &mut self.gradients
    }
}
