//! The gradient of a convolution's result, worked out row by row where it is used.

use super::pool_row;
use crate::Shape;
use crate::graph::Window;
use crate::kernels::{Kernels, NormConstants, PooledGradient};

/// The way from the gradient of a block's result back to that of the raw values, which
/// normalization, ReLU and pooling began with.
pub(super) struct Source<'a> {
    pub(super) kernels: &'static Kernels,
    pub(super) norm: Option<&'a NormConstants>,
    pub(super) relu: bool,
    pub(super) pool: Option<Window>,
    pub(super) raw_shape: Shape,
    pub(super) output_shape: Shape,
    pub(super) raw: &'a [f32],
    pub(super) places: &'a [u8],
    /// The gradient of the block's result.
    pub(super) dy: &'a [f32],
}

impl Source<'_> {
    /// The length of a row of raw values.
    pub(super) fn row_len(&self) -> usize {
        self.raw_shape.width * self.raw_shape.channels
    }

    /// One row of the gradient with respect to the raw values. `scratch` is as long.
    pub(super) fn row(&self, image: usize, row: usize, scratch: &mut [f32], gradient: &mut [f32]) {
        let from = image * self.raw_shape.n_values() + row * self.row_len();
        let x = &self.raw[from..from + self.row_len()];
        match self.pool {
            // Without pooling the two gradients lie alike.
            None => self.inactivated_row(&self.dy[from..from + self.row_len()], x, gradient),
            Some(window) if self.unpools_in_one_pass(window) => {
                self.unpooled_norm_row(window, image, row, x, gradient);
            }
            Some(window) => {
                self.unpooled_row(window, image, row, scratch);
                self.inactivated_row(scratch, x, gradient);
            }
        }
    }

    /// Back through ReLU and normalization.
    fn inactivated_row(&self, dy: &[f32], x: &[f32], gradient: &mut [f32]) {
        match (self.norm, self.relu) {
            (Some(norm), true) => self.kernels.norm_relu_backward(dy, x, norm, gradient),
            (Some(norm), false) => self.kernels.norm_backward(dy, x, norm, gradient),
            (None, true) => self.kernels.relu_backward(dy, x, gradient),
            (None, false) => gradient.copy_from_slice(dy),
        }
    }

    /// Whether each value lies in one window at most, and all steps are there to go back.
    fn unpools_in_one_pass(&self, window: Window) -> bool {
        window.stride == window.kernel && self.relu && self.norm.is_some()
    }

    /// Back through pooling by windows that lie side by side, ReLU and normalization.
    fn unpooled_norm_row(
        &self,
        window: Window,
        image: usize,
        row: usize,
        x: &[f32],
        gradient: &mut [f32],
    ) {
        let norm = self.norm.expect("asked for before");
        let pooled_len = self.output_shape.width * self.output_shape.channels;
        let (pooled, tap_row) = (row / window.stride[0], row % window.stride[0]);
        let places = match pooled < self.output_shape.height {
            true => {
                let from = image * self.output_shape.n_values() + pooled * pooled_len;
                from..from + pooled_len
            }
            false => 0..0,
        };
        let pooled = PooledGradient {
            dy: &self.dy[places.clone()],
            places: &self.places[places],
        };
        let windows = pool_row(window, self.raw_shape);
        self.kernels
            .norm_relu_unpool(&windows, tap_row, &pooled, x, norm, gradient);
    }

    /// Back through pooling.
    fn unpooled_row(&self, window: Window, image: usize, row: usize, gradient: &mut [f32]) {
        gradient.fill(0.0);
        let image = image * self.output_shape.n_values();
        let pooled_len = self.output_shape.width * self.output_shape.channels;
        let ([kernel, _], [stride, _]) = (window.kernel, window.stride);
        let first = (row + 1).saturating_sub(kernel).div_ceil(stride);
        let last = (row / stride).min(self.output_shape.height - 1);
        for pooled in first..=last {
            let from = image + pooled * pooled_len;
            self.kernels.max_unpool(
                &pool_row(window, self.raw_shape),
                row - pooled * stride,
                &self.dy[from..from + pooled_len],
                &self.places[from..from + pooled_len],
                gradient,
            );
        }
    }
}
