//! The gradient of a convolution's result, worked out row by row where it is used.

use super::{Block, pool_row};
use crate::Shape;
use crate::kernels::Kernels;
use crate::layers::norm::NormState;

/// The way from the gradient of a block's result back to that of the values which
/// normalization, ReLU and pooling began with.
pub(super) struct Source<'a> {
    pub(super) kernels: &'static Kernels,
    pub(super) block: &'a Block,
    pub(super) norm: Option<&'a NormState>,
    pub(super) raw_shape: Shape,
    pub(super) output_shape: Shape,
    /// What normalization, ReLU and pooling began with.
    pub(super) raw: &'a [f32],
    pub(super) places: &'a [u8],
    /// The gradient of the block's result.
    pub(super) dy: &'a [f32],
}

impl Source<'_> {
    /// One row of the gradient with respect to the raw values.
    pub(super) fn row(&self, image: usize, row: usize, gradient: &mut [f32]) {
        self.normalized_row(image, row, gradient);
        if let Some(norm) = self.norm {
            let constants = &norm.backward;
            let (a, b, c) = (&constants.a, &constants.b, &constants.c);
            let x = self.raw_row(image, row);
            self.kernels
                .norm_backward(gradient, x, &constants.mean, a, b, c);
        }
    }

    /// One row of the gradient with respect to what the normalization gave.
    pub(super) fn normalized_row(&self, image: usize, row: usize, gradient: &mut [f32]) {
        self.unpooled_row(image, row, gradient);
        if self.block.relu {
            let x = self.raw_row(image, row);
            match self.norm.map(|norm| &norm.forward) {
                Some(norm) => {
                    self.kernels
                        .affine_relu_mask(gradient, x, &norm.scale, &norm.shift);
                }
                None => self.kernels.relu_mask(gradient, x),
            }
        }
    }

    /// One row of the raw values.
    pub(super) fn raw_row(&self, image: usize, row: usize) -> &[f32] {
        let row_len = self.raw_shape.width * self.raw_shape.channels;
        &self.raw[image * self.raw_shape.n_values() + row * row_len..][..row_len]
    }

    fn unpooled_row(&self, image: usize, row: usize, gradient: &mut [f32]) {
        let dy = &self.dy[image * self.output_shape.n_values()..][..self.output_shape.n_values()];
        let Some(window) = self.block.pool else {
            gradient.copy_from_slice(&dy[row * gradient.len()..][..gradient.len()]);
            return;
        };
        gradient.fill(0.0);
        let places = &self.places[image * self.output_shape.n_values()..];
        let pooled_len = self.output_shape.width * self.output_shape.channels;
        let ([kernel, _], [stride, _]) = (window.kernel, window.stride);
        let first = (row + 1).saturating_sub(kernel).div_ceil(stride);
        let last = (row / stride).min(self.output_shape.height - 1);
        for pooled in first..=last {
            let range = pooled * pooled_len..(pooled + 1) * pooled_len;
            self.kernels.max_unpool(
                &pool_row(window, self.raw_shape),
                row - pooled * stride,
                &dy[range.clone()],
                &places[range],
                gradient,
            );
        }
    }
}
