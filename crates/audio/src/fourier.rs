//! Plans for the Fourier transform of real samples, for whoever needs spectra
//! other than [`crate::stft`]'s.
//!
//! Every crate that makes a plan of its own compiles the whole of rustfft once
//! more, for all its instruction sets. So they are made here.

use std::sync::Arc;

use realfft::{ComplexToReal, RealFftPlanner, RealToComplex};

/// The transform of `n` real samples to their `n / 2 + 1` lowest bins, not scaled.
pub fn real_transform(n: usize) -> Arc<dyn RealToComplex<f32>> {
    RealFftPlanner::new().plan_fft_forward(n)
}

/// The way back, which multiplies the samples by `n`.
pub fn inverse_real_transform(n: usize) -> Arc<dyn ComplexToReal<f32>> {
    RealFftPlanner::new().plan_fft_inverse(n)
}
