//! Fourier transforms of real signals, by complex transforms of half their length.
//!
//! Two neighboring samples are taken as one complex number; the spectrum of those is
//! then taken apart (Press et al., Numerical Recipes, section 12.3). The pass that
//! does so hands each bin to a function as it comes, so that a power spectrum is
//! written without the complex one being stored. This is why `realfft` is not used:
//! its second pass takes as long as the transform.
//!
//! Framing and windows live in [`super`].

use std::f64::consts::PI;
use std::sync::Arc;

use fearless_simd::{Level, Simd, SimdBase, SimdFloatElement, SimdWiden};
use rustfft::num_complex::Complex;
use rustfft::{Fft, FftNum, FftPlanner};

use crate::instructions::{self, dispatch};

/// A precision to transform in.
pub(crate) trait Sample: FftNum + SimdFloatElement + From<f32> {
    /// Nothing.
    const ZERO: Self;

    /// Rounds a value that was worked out in double precision.
    fn rounded(value: f64) -> Self;

    /// The nearest number in single precision.
    fn single(self) -> f32;

    /// The value to the power of an exponent.
    fn raised(self, exponent: f32) -> Self;

    /// As many samples as a vector has lanes, from those that as many lanes of single
    /// precision have.
    fn lanes<S: Simd>(simd: S, samples: &[f32]) -> Self::Native<S>;
}

impl Sample for f32 {
    const ZERO: Self = 0.0;

    fn rounded(value: f64) -> Self {
        value as f32
    }

    #[inline(always)]
    fn single(self) -> f32 {
        self
    }

    fn raised(self, exponent: f32) -> Self {
        self.powf(exponent)
    }

    #[inline(always)]
    fn lanes<S: Simd>(simd: S, samples: &[f32]) -> Self::Native<S> {
        Self::Native::<S>::from_slice(simd, &samples[..Self::Native::<S>::LEN])
    }
}

impl Sample for f64 {
    const ZERO: Self = 0.0;

    fn rounded(value: f64) -> Self {
        value
    }

    #[inline(always)]
    fn single(self) -> f32 {
        self as f32
    }

    fn raised(self, exponent: f32) -> Self {
        self.powf(exponent.into())
    }

    #[inline(always)]
    fn lanes<S: Simd>(simd: S, samples: &[f32]) -> Self::Native<S> {
        let samples = S::f32s::from_slice(simd, &samples[..S::f32s::LEN]);
        samples.widen().0
    }
}

/// A planned transform of one length.
pub(crate) struct RealTransform<T: Sample> {
    length: usize,
    plan: Arc<dyn Fft<T>>,
    /// `exp(-2πi k / length) / 2i` from `k = 1` on, for each pair of bins that are
    /// taken apart together. None for odd lengths, which are transformed as they are.
    turns: Vec<Complex<T>>,
    level: Level,
}

/// The buffers that one run of a [`RealTransform`] needs.
pub(crate) struct RealScratch<T> {
    /// The samples as complex numbers.
    values: Vec<Complex<T>>,
    /// Their spectrum.
    spectrum: Vec<Complex<T>>,
    work: Vec<Complex<T>>,
}

impl<T: Sample> RealTransform<T> {
    pub(crate) fn new(length: usize) -> Self {
        let turn = |k: usize| {
            let angle = -2.0 * PI * k as f64 / length as f64 - PI / 2.0;
            let Complex { re, im } = Complex::from_polar(0.5, angle);
            Complex::new(T::rounded(re), T::rounded(im))
        };
        let (n_values, n_pairs) = match length % 2 {
            0 => (length / 2, (length / 2).saturating_sub(1) / 2),
            _ => (length, 0),
        };
        Self {
            length,
            plan: FftPlanner::new().plan_fft_forward(n_values),
            turns: (1..=n_pairs).map(turn).collect(),
            level: instructions::level(),
        }
    }

    pub(crate) fn scratch(&self) -> RealScratch<T> {
        let zero = Complex::new(T::ZERO, T::ZERO);
        RealScratch {
            values: vec![zero; self.plan.len()],
            spectrum: vec![zero; self.plan.len()],
            work: vec![zero; self.plan.get_outofplace_scratch_len()],
        }
    }

    /// Where the samples are to be written: two as one number, or one with an
    /// imaginary part of zero if the length is odd.
    pub(crate) fn is_paired(&self) -> bool {
        self.length.is_multiple_of(2)
    }

    /// Transforms what lies in the scratch's values, and writes what `value` makes
    /// of each bin.
    ///
    /// # Shapes
    ///
    /// - `bins`: `[1 + length / 2]`
    pub(crate) fn run<O>(
        &self,
        scratch: &mut RealScratch<T>,
        bins: &mut [O],
        value: impl Fn(Complex<T>) -> O,
    ) {
        let RealScratch {
            values,
            spectrum,
            work,
        } = scratch;
        self.plan
            .process_outofplace_with_scratch(values, spectrum, work);
        if self.is_paired() {
            self.take_apart(spectrum, bins, value);
        } else {
            for (bin, &found) in bins.iter_mut().zip(&*spectrum) {
                *bin = value(found);
            }
        }
    }

    /// From the spectrum of pairs to that of samples, two bins at a time: `k` and as
    /// far from the other end.
    fn take_apart<O>(&self, pairs: &[Complex<T>], bins: &mut [O], value: impl Fn(Complex<T>) -> O) {
        let n = pairs.len();
        let first = pairs[0];
        bins[0] = value(Complex::new(first.re + first.im, T::ZERO));
        bins[n] = value(Complex::new(first.re - first.im, T::ZERO));
        if n.is_multiple_of(2) {
            bins[n / 2] = value(pairs[n / 2].conj());
        }
        dispatch!(self.level, _simd => take_chunks_apart(pairs, &self.turns, bins, &value));
    }
}

/// Pairs of bins that are taken apart in one go.
const CHUNK: usize = 64;

/// All pairs of bins that have a turn, chunk after chunk.
#[inline(always)]
fn take_chunks_apart<T: Sample, O>(
    pairs: &[Complex<T>],
    turns: &[Complex<T>],
    bins: &mut [O],
    value: &impl Fn(Complex<T>) -> O,
) {
    let (n, n_pairs) = (pairs.len(), turns.len());
    let length = CHUNK.min(n_pairs);
    for start in (0..n_pairs).step_by(CHUNK) {
        // The last chunk begins earlier where that makes it whole, so that no loop has a
        // ragged end: a few pairs are then taken apart twice.
        let start = start.min(n_pairs - length);
        let (low, high) = (1 + start, n - start - length);
        let (below, above) = bins.split_at_mut(high);
        let chunk = Chunk {
            a: &pairs[low..][..length],
            b: &pairs[high..][..length],
            turns: &turns[start..][..length],
            low: &mut below[low..][..length],
            high: &mut above[..length],
        };
        // A length that the compiler knows, or another.
        if length == CHUNK {
            chunk.take_apart(CHUNK, value);
        } else {
            chunk.take_apart(length, value);
        }
    }
}

/// Neighboring bins from either end of a spectrum, and the values that they are taken
/// from. Those of the far end are in the order of the spectrum, and so meet the others
/// backwards.
///
/// Five slices are the most that compilers find out to be apart from each other at run
/// time, which they do before they turn a loop into vectors.
struct Chunk<'a, T, O> {
    a: &'a [Complex<T>],
    b: &'a [Complex<T>],
    turns: &'a [Complex<T>],
    low: &'a mut [O],
    high: &'a mut [O],
}

impl<T: Sample, O> Chunk<'_, T, O> {
    #[inline(always)]
    fn take_apart(self, n: usize, value: &impl Fn(Complex<T>) -> O) {
        let half = T::rounded(0.5);
        let (a, b, turns) = (&self.a[..n], &self.b[..n], &self.turns[..n]);
        let (low, high) = (&mut self.low[..n], &mut self.high[..n]);
        for i in 0..n {
            let (a, b, turn) = (a[i], b[n - 1 - i], turns[i]);
            let (even_re, even_im) = (half * (a.re + b.re), half * (a.im - b.im));
            let (odd_re, odd_im) = (a.re - b.re, a.im + b.im);
            let turned_re = odd_re * turn.re - odd_im * turn.im;
            let turned_im = odd_re * turn.im + odd_im * turn.re;
            low[i] = value(Complex::new(even_re + turned_re, even_im + turned_im));
            high[n - 1 - i] = value(Complex::new(even_re - turned_re, turned_im - even_im));
        }
    }
}

impl<T: Sample> RealScratch<T> {
    /// The complex numbers that the samples are written into.
    pub(crate) fn values_mut(&mut self) -> &mut [Complex<T>] {
        &mut self.values
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The transform by its definition.
    fn textbook(samples: &[f32]) -> Vec<Complex<f64>> {
        let n = samples.len();
        let bin = |k: usize| {
            let term = |(i, &sample): (usize, &f32)| {
                let turn = -2.0 * PI * (i * k % n) as f64 / n as f64;
                Complex::from_polar(f64::from(sample), turn)
            };
            samples.iter().enumerate().map(term).sum()
        };
        (0..=n / 2).map(bin).collect()
    }

    fn transformed<T: Sample + Into<f64>>(samples: &[f32]) -> Vec<Complex<f64>> {
        let transform = RealTransform::<T>::new(samples.len());
        let mut scratch = transform.scratch();
        let step = if transform.is_paired() { 2 } else { 1 };
        for (value, samples) in scratch.values.iter_mut().zip(samples.chunks(step)) {
            let im = samples.get(1).copied().unwrap_or(0.0);
            *value = Complex::new(T::from(samples[0]), T::from(im));
        }
        let mut bins = vec![Complex::default(); 1 + samples.len() / 2];
        transform.run(&mut scratch, &mut bins, |bin| {
            Complex::new(bin.re.into(), bin.im.into())
        });
        bins
    }

    proptest! {
        #[test]
        fn transforms_are_what_their_definition_says(
            samples in prop::collection::vec(-1.0_f32..1.0, 1..200),
        ) {
            let expected = textbook(&samples);
            let (single, double) = (transformed::<f32>(&samples), transformed::<f64>(&samples));
            for ((expected, single), double) in expected.iter().zip(single).zip(double) {
                prop_assert!((expected - double).norm() < 1e-12 * samples.len() as f64);
                prop_assert!((expected - single).norm() < 1e-6 * samples.len() as f64);
            }
        }
    }
}
