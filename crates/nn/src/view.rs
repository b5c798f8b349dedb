//! Activations as they are stored, together with what is still to be done to them.
//!
//! A convolution that follows a batch-norm reads the values from before it and
//! normalizes and rectifies them while it copies them into its scratch, where they
//! are cheaper to make than to fetch: the result of the batch-norm is never stored.

use crate::kernels::Kernels;

/// Values, and what happens to each when it is read.
#[derive(Debug, Clone, Copy)]
pub(crate) struct View<'a> {
    pub(crate) values: &'a [f32],
    pub(crate) pending: Activation<'a>,
}

/// `relu(x · scale + shift)`, or parts of it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Activation<'a> {
    /// Per channel, periodic.
    pub(crate) scale_and_shift: Option<(&'a [f32], &'a [f32])>,
    pub(crate) relu: bool,
}

impl<'a> View<'a> {
    /// Values with nothing left to be done.
    pub(crate) fn plain(values: &'a [f32]) -> Self {
        let pending = Activation {
            scale_and_shift: None,
            relu: false,
        };
        Self { values, pending }
    }

    /// A part of the values that begins with a whole pixel.
    pub(crate) fn part(self, values: &'a [f32]) -> Self {
        Self { values, ..self }
    }
}

impl Activation<'_> {
    /// Whether nothing happens.
    pub(crate) fn is_none(&self) -> bool {
        self.scale_and_shift.is_none() && !self.relu
    }

    /// Works on whole pixels.
    pub(crate) fn apply(&self, kernels: &Kernels, x: &[f32], y: &mut [f32]) {
        match (self.scale_and_shift, self.relu) {
            (Some((scale, shift)), true) => kernels.affine_relu(x, scale, shift, y),
            (Some((scale, shift)), false) => kernels.affine(x, scale, shift, y),
            (None, true) => kernels.relu(x, y),
            (None, false) => y.copy_from_slice(x),
        }
    }
}
