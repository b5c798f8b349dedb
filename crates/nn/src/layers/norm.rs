//! The statistics of a batch normalization and the constants that follow from them.
//!
//! Means and variances are found piece by piece (mean and sum of squared deviations
//! of each piece, while it is in the cache) and joined in the order of the pieces by
//! the formula of Chan, Golub and LeVeque, in double precision: nothing cancels when
//! the mean is large, and no thread changes a bit.

use crate::graph::BatchNorm;
use crate::kernels::{Kernels, NormConstants, period, repeat_channels};
use crate::view::Activation;

/// The state of one normalization in training.
#[derive(Debug)]
pub(crate) struct NormState {
    pub(crate) parameters: BatchNorm,
    channels: usize,
    /// Per channel: mean and biased variance of the batch.
    mean: Vec<f64>,
    variance: Vec<f64>,
    pub(crate) constants: NormConstants,
}

impl NormState {
    pub(crate) fn new(parameters: BatchNorm, channels: usize) -> Self {
        let periodic = || vec![0.0; period(channels)];
        let constants = NormConstants {
            scale: periodic(),
            shift: periodic(),
            inverse_std: periodic(),
            offset: periodic(),
            a: periodic(),
            b: periodic(),
            c: periodic(),
        };
        let [mean, variance] = [0, 1].map(|_| vec![0.0; channels]);
        Self {
            parameters,
            channels,
            mean,
            variance,
            constants,
        }
    }

    pub(crate) fn channels(&self) -> usize {
        self.channels
    }

    /// What turns a value from before the normalization into one after it.
    pub(crate) fn activation(&self, relu: bool) -> Activation<'_> {
        let NormConstants { scale, shift, .. } = &self.constants;
        Activation {
            scale_and_shift: Some((scale, shift)),
            relu,
        }
    }

    /// Joins the statistics of pieces, `[n_pieces, 2, channels]` from `n_pixels(piece)`
    /// pixels each, follows them with the running statistics and works out the
    /// constants of the forward pass.
    pub(crate) fn finish_forward(
        &mut self,
        pieces: &[f32],
        n_pieces: usize,
        n_pixels: impl Fn(usize) -> usize,
        network: NormParameters<'_>,
    ) {
        let mut count = 0.0;
        self.mean.fill(0.0);
        self.variance.fill(0.0);
        for (index, piece) in pieces
            .chunks_exact(2 * self.channels)
            .take(n_pieces)
            .enumerate()
        {
            let added = n_pixels(index) as f64;
            let total = count + added;
            let (means, squares) = piece.split_at(self.channels);
            for channel in 0..self.channels {
                let difference = f64::from(means[channel]) - self.mean[channel];
                self.mean[channel] += difference * added / total;
                self.variance[channel] +=
                    f64::from(squares[channel]) + difference * difference * count * added / total;
            }
            count = total;
        }
        self.variance
            .iter_mut()
            .for_each(|squares| *squares /= count);
        self.follow_running(count, network.running_mean, network.running_var);
        self.forward_constants(network.weight, network.bias);
    }

    /// PyTorch keeps the unbiased variance, though it normalizes by the biased one.
    fn follow_running(&self, count: f64, running_mean: &mut [f32], running_var: &mut [f32]) {
        let momentum = f64::from(self.parameters.momentum);
        let unbiased = count / (count - 1.0).max(1.0);
        for channel in 0..self.channels {
            let follow = |running: &mut f32, value: f64| {
                *running = ((1.0 - momentum) * f64::from(*running) + momentum * value) as f32;
            };
            follow(&mut running_mean[channel], self.mean[channel]);
            follow(&mut running_var[channel], self.variance[channel] * unbiased);
        }
    }

    fn forward_constants(&mut self, weight: &[f32], bias: &[f32]) {
        for channel in 0..self.channels {
            let (mean, inverse_std) = (self.mean[channel], self.inverse_std(channel));
            let scale = f64::from(weight[channel]) * inverse_std;
            let constants = &mut self.constants;
            constants.scale[channel] = scale as f32;
            constants.shift[channel] = (f64::from(bias[channel]) - mean * scale) as f32;
            constants.inverse_std[channel] = inverse_std as f32;
            constants.offset[channel] = (-mean * inverse_std) as f32;
        }
        let NormConstants {
            scale,
            shift,
            inverse_std,
            offset,
            ..
        } = &mut self.constants;
        for periodic in [scale, shift, inverse_std, offset] {
            repeat_first(periodic, self.channels);
        }
    }

    fn inverse_std(&self, channel: usize) -> f64 {
        1.0 / (self.variance[channel] + f64::from(self.parameters.epsilon)).sqrt()
    }

    /// Works out the constants of the backward pass from the sums over `count`
    /// pixels, which are also the gradients of bias and weight.
    pub(crate) fn finish_backward(
        &mut self,
        count: usize,
        weight: &[f32],
        d_bias: &[f64],
        d_weight: &[f64],
    ) {
        let count = count as f64;
        for channel in 0..self.channels {
            let (mean, inverse_std) = (self.mean[channel], self.inverse_std(channel));
            let a = f64::from(weight[channel]) * inverse_std;
            let b = -a * inverse_std * d_weight[channel] / count;
            let constants = &mut self.constants;
            constants.a[channel] = a as f32;
            constants.b[channel] = b as f32;
            constants.c[channel] = (-a * d_bias[channel] / count - b * mean) as f32;
        }
        let NormConstants { a, b, c, .. } = &mut self.constants;
        for periodic in [a, b, c] {
            repeat_first(periodic, self.channels);
        }
    }
}

/// The parameters of a normalization in a network.
pub(crate) struct NormParameters<'a> {
    pub(crate) weight: &'a [f32],
    pub(crate) bias: &'a [f32],
    pub(crate) running_mean: &'a mut [f32],
    pub(crate) running_var: &'a mut [f32],
}

/// Mean and sum of squared deviations of each channel over some pixels.
///
/// `scratch` is two slices of one period; `statistics` is `[2, channels]`.
pub(crate) fn moments(
    kernels: &Kernels,
    x: &[f32],
    scratch: [&mut [f32]; 2],
    statistics: &mut [f32],
) {
    let channels = statistics.len() / 2;
    let (means, squares) = statistics.split_at_mut(channels);
    let n_pixels = (x.len() / channels) as f32;
    let [sums, periodic_means] = scratch;
    sums.fill(0.0);
    kernels.sum(x, sums);
    fold(sums, means);
    means.iter_mut().for_each(|mean| *mean /= n_pixels);
    repeat_channels(means, periodic_means);
    sums.fill(0.0);
    kernels.sum_squares(x, periodic_means, sums);
    fold(sums, squares);
}

/// Adds up the repeats of a periodic slice.
pub(crate) fn fold(periodic: &[f32], channels: &mut [f32]) {
    channels.fill(0.0);
    for repeat in periodic.chunks_exact(channels.len()) {
        for (sum, value) in channels.iter_mut().zip(repeat) {
            *sum += value;
        }
    }
}

/// Repeats the first values of a periodic slice.
fn repeat_first(periodic: &mut [f32], channels: usize) {
    let (first, rest) = periodic.split_at_mut(channels);
    repeat_channels(first, rest);
}
