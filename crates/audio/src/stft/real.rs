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

use rustfft::num_complex::Complex;
use rustfft::{Fft, FftNum, FftPlanner};

/// A precision to transform in.
pub(crate) trait Sample: FftNum + From<f32> {
    /// Nothing.
    const ZERO: Self;

    /// Rounds a value that was worked out in double precision.
    fn rounded(value: f64) -> Self;
}

impl Sample for f32 {
    const ZERO: Self = 0.0;

    fn rounded(value: f64) -> Self {
        value as f32
    }
}

impl Sample for f64 {
    const ZERO: Self = 0.0;

    fn rounded(value: f64) -> Self {
        value
    }
}

/// A planned transform of one length.
pub(crate) struct RealTransform<T: Sample> {
    length: usize,
    plan: Arc<dyn Fft<T>>,
    /// `exp(-2πi k / length) / 2i` from `k = 1` on, for each pair of bins that are
    /// taken apart together. None for odd lengths, which are transformed as they are.
    turns: [Vec<T>; 2],
}

/// The buffers that one run of a [`RealTransform`] needs.
pub(crate) struct RealScratch<T> {
    /// The samples as complex numbers, then their spectrum.
    values: Vec<Complex<T>>,
    work: Vec<Complex<T>>,
}

impl<T: Sample> RealTransform<T> {
    pub(crate) fn new(length: usize) -> Self {
        let turn =
            |k: usize| Complex::from_polar(0.5, -2.0 * PI * k as f64 / length as f64 - PI / 2.0);
        let (n_values, n_pairs) = match length % 2 {
            0 => (length / 2, (length / 2).saturating_sub(1) / 2),
            _ => (length, 0),
        };
        Self {
            length,
            plan: FftPlanner::new().plan_fft_forward(n_values),
            turns: [
                (1..=n_pairs).map(|k| T::rounded(turn(k).re)).collect(),
                (1..=n_pairs).map(|k| T::rounded(turn(k).im)).collect(),
            ],
        }
    }

    pub(crate) fn scratch(&self) -> RealScratch<T> {
        let zero = Complex::new(T::ZERO, T::ZERO);
        RealScratch {
            values: vec![zero; self.plan.len()],
            work: vec![zero; self.plan.get_inplace_scratch_len()],
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
        let RealScratch { values, work } = scratch;
        self.plan.process_with_scratch(values, work);
        if self.is_paired() {
            self.take_apart(values, bins, value);
        } else {
            for (bin, &found) in bins.iter_mut().zip(&*values) {
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
        let [turns_re, turns_im] = &self.turns;
        let n_pairs = turns_re.len();
        let (low, high) = bins.split_at_mut(n - n_pairs);
        let low = low[1..=n_pairs].chunks_mut(CHUNK);
        let high = high[..n_pairs].rchunks_mut(CHUNK);
        let ends = pairs[1..=n_pairs]
            .chunks(CHUNK)
            .zip(pairs[n - n_pairs..].rchunks(CHUNK));
        let turns = turns_re.chunks(CHUNK).zip(turns_im.chunks(CHUNK));
        let [mut a, mut b, mut x, mut y] = [const { Parts::<T>::ZERO }; 4];
        for (((low, high), ends), turns) in low.zip(high).zip(ends).zip(turns) {
            a.read(ends.0);
            b.read(ends.1);
            combine(&a, &b, low.len(), turns, &mut x, &mut y);
            for ((bin, &re), &im) in low.iter_mut().zip(&x.re).zip(&x.im) {
                *bin = value(Complex::new(re, im));
            }
            for ((bin, &re), &im) in high.iter_mut().rev().zip(&y.re).zip(&y.im) {
                *bin = value(Complex::new(re, im));
            }
        }
    }
}

/// Pairs of bins that are taken apart in one go.
const CHUNK: usize = 64;

/// A few complex numbers, real and imaginary parts on their own. Compilers turn loops
/// over such arrays into vectors, and loops over complex numbers not.
struct Parts<T> {
    re: [T; CHUNK],
    im: [T; CHUNK],
}

impl<T: Sample> Parts<T> {
    const ZERO: Self = Self {
        re: [T::ZERO; CHUNK],
        im: [T::ZERO; CHUNK],
    };

    fn read(&mut self, values: &[Complex<T>]) {
        for ((re, im), value) in self.re.iter_mut().zip(&mut self.im).zip(values) {
            *re = value.re;
            *im = value.im;
        }
    }
}

/// The first `n` bins from either end, `x` and `y`, of which the spectrum of pairs has
/// `a`, and `b` in the order of that spectrum.
#[inline(always)]
fn combine<T: Sample>(
    a: &Parts<T>,
    b: &Parts<T>,
    n: usize,
    (turns_re, turns_im): (&[T], &[T]),
    x: &mut Parts<T>,
    y: &mut Parts<T>,
) {
    let half = T::rounded(0.5);
    let a = a.re[..n].iter().zip(&a.im[..n]);
    let b = b.re[..n].iter().rev().zip(b.im[..n].iter().rev());
    let x = x.re[..n].iter_mut().zip(&mut x.im[..n]);
    let y = y.re[..n].iter_mut().zip(&mut y.im[..n]);
    let turns = turns_re[..n].iter().zip(&turns_im[..n]);
    for ((((x, y), a), b), turn) in x.zip(y).zip(a).zip(b).zip(turns) {
        let even = (half * (*a.0 + *b.0), half * (*a.1 - *b.1));
        let odd = (*a.0 - *b.0, *a.1 + *b.1);
        let odd = (
            odd.0 * *turn.0 - odd.1 * *turn.1,
            odd.0 * *turn.1 + odd.1 * *turn.0,
        );
        (*x.0, *x.1) = (even.0 + odd.0, even.1 + odd.1);
        (*y.0, *y.1) = (even.0 - odd.0, odd.1 - even.1);
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
