//! Power spectra of several frames at once, each frame in its own lane of the vectors.
//!
//! All frames go through the same steps, so nothing but the first step, which lays the
//! samples of a frame across vectors, moves anything between lanes; and what comes out
//! for a frame does not depend on how many lanes there are.
//!
//! A real transform of `n_fft` samples, a power of two, is cut into transforms of
//! [`ROWS`] samples that lie `n_points = n_fft / ROWS` apart, each result turned, and
//! transforms of `n_points` complex numbers (decimation in frequency). Spectra of real
//! samples are symmetric, so only half of those are needed, and one for the middle; and
//! each of them fits the nearest cache. They run in place, which leaves results in a
//! scattered order that costs nothing: a number of all frames is two lines of the cache
//! anyway.
//!
//! The transforms of a few points are in [`points`]; other lengths, and complex spectra,
//! are left to [`super::real`].

mod points;

use std::f64::consts::PI;

use fearless_simd::{Simd, SimdBase};
use rustfft::num_complex::Complex;

use super::real::Sample;
use points::{Lanes, eight_points, four_points, sixteen_samples};

/// The most lanes that a vector has: those of AVX-512 in single precision.
pub(crate) const MAX_LANES: usize = 16;

/// Samples that are transformed together in the first pass.
const ROWS: usize = 16;

/// Transforms of complex numbers that follow: those of a real spectrum's lower half.
const PARTS: usize = ROWS / 2 + 1;

/// The lengths that are transformed like this. Longer ones leave the second-level cache.
const LENGTHS: std::ops::RangeInclusive<usize> = 256..=16384;

/// A window and the transform of as many samples.
pub(crate) struct LaneTransform<T> {
    n_points: usize,
    /// `[n_points, ROWS]`
    window: Vec<[T; ROWS]>,
    /// By how much the results of the first pass are turned, but for that of the mean:
    /// `[n_points, PARTS - 1]`.
    turns: Vec<[Complex<T>; PARTS - 1]>,
    /// The passes of four points, by their reach.
    passes: Vec<Pass<T>>,
    /// Which bin each number of each part is in the end, `[PARTS, n_points]`. Those that
    /// are there already by symmetry are numbered `n_bins`.
    bins: Vec<u32>,
}

/// Transforms of four points that lie as far apart as there are turns.
struct Pass<T> {
    turns: Vec<[Complex<T>; 3]>,
}

/// The buffers that one run of [`LaneTransform`] needs, for vectors of any width.
pub(crate) struct LaneScratch<T> {
    /// Samples laid across vectors, `[lanes, ROWS, lanes]`.
    across: Aligned<f32>,
    /// `[PARTS, pitch, 2, lanes]`
    parts: Aligned<T>,
}

impl<T: Sample> LaneTransform<T> {
    /// The transform of as many samples as a window has, if it can be done side by side.
    pub(crate) fn new(window: &[f64]) -> Option<Self> {
        let n_fft = window.len();
        if !n_fft.is_power_of_two() || !LENGTHS.contains(&n_fft) {
            return None;
        }
        let n_points = n_fft / ROWS;
        let weight = |n: usize, row: usize| T::rounded(window[n + row * n_points]);
        let mut passes = Vec::new();
        let mut length = n_points;
        while length > 8 {
            let turn = |n: usize, power: usize| root(n * power, length);
            let turns = (0..length / 4).map(|n| std::array::from_fn(|i| turn(n, i + 1)));
            passes.push(Pass {
                turns: turns.collect(),
            });
            length /= 4;
        }
        Some(Self {
            n_points,
            window: (0..n_points)
                .map(|n| std::array::from_fn(|row| weight(n, row)))
                .collect(),
            turns: (0..n_points)
                .map(|n| std::array::from_fn(|i| root(n * (i + 1), n_fft)))
                .collect(),
            bins: bins_in_order(n_points, passes.len()),
            passes,
        })
    }

    pub(crate) fn scratch(&self) -> LaneScratch<T> {
        LaneScratch {
            across: Aligned::new(MAX_LANES * ROWS * MAX_LANES),
            parts: Aligned::new(PARTS * self.pitch() * 2 * MAX_LANES),
        }
    }

    /// Numbers from one part to the next. An odd number, because all parts would want the
    /// same places in the cache otherwise.
    fn pitch(&self) -> usize {
        self.n_points + 1
    }

    /// Writes `|X|²` of each bin of each frame, and returns half the sum over all bins
    /// of the whole spectrum, negative frequencies and all.
    ///
    /// # Shapes
    ///
    /// - `frames`: `n_fft` samples for each lane of single precision
    /// - `powers`: `[n_bins + 1, lanes]`; the last row does not count
    #[inline(always)]
    pub(crate) fn powers<S: Simd>(
        &self,
        simd: S,
        frames: &[&[f32]; MAX_LANES],
        scratch: &mut LaneScratch<T>,
        powers: &mut [T],
    ) -> T::Native<S> {
        let (across, parts) = (scratch.across.get(), scratch.parts.get());
        self.first_pass(simd, frames, across, parts);
        let mut energy = T::Native::<S>::splat(simd, T::ZERO);
        let part_len = self.n_points * 2 * T::Native::<S>::LEN;
        for part in 0..PARTS {
            let numbers = &mut parts[part * self.pitch() * 2 * T::Native::<S>::LEN..][..part_len];
            for pass in &self.passes {
                pass.run(simd, numbers);
            }
            let bins = &self.bins[part * self.n_points..][..self.n_points];
            let last_length = self.n_points >> (2 * self.passes.len());
            let sum = match last_length {
                8 => last_eights(simd, numbers, bins, powers),
                _ => last_fours(simd, numbers, bins, powers),
            };
            // These two are symmetric and have every bin twice.
            let is_own_mirror = part == 0 || part == PARTS - 1;
            energy += if is_own_mirror {
                sum * T::rounded(0.5)
            } else {
                sum
            };
        }
        energy
    }

    /// From samples to the turned results of [`ROWS`] of them.
    #[inline(always)]
    fn first_pass<S: Simd>(
        &self,
        simd: S,
        frames: &[&[f32]; MAX_LANES],
        across: &mut [f32],
        parts: &mut [T],
    ) {
        let lanes = S::f32s::LEN;
        for start in (0..self.n_points).step_by(lanes) {
            for row in 0..ROWS {
                lay_across(simd, frames, start + row * self.n_points, row, across);
            }
            let groups = across.chunks_exact(ROWS * lanes).take(lanes);
            let tables = self.window[start..].iter().zip(&self.turns[start..]);
            for (n, (group, (window, turns))) in groups.zip(tables).enumerate() {
                let results = sixteen_samples::<T, S>(simd, group, window);
                let mut at = (start + n) * 2 * T::Native::<S>::LEN;
                results[0].store(simd, parts, at);
                for part in 1..PARTS {
                    at += self.pitch() * 2 * T::Native::<S>::LEN;
                    results[part]
                        .times(simd, turns[part - 1])
                        .store(simd, parts, at);
                }
            }
        }
    }
}

/// Lays as many neighboring samples of each frame as a vector has lanes across vectors,
/// [`ROWS`] vectors apart.
#[inline(always)]
fn lay_across<S: Simd>(
    simd: S,
    frames: &[&[f32]; MAX_LANES],
    from: usize,
    row: usize,
    across: &mut [f32],
) {
    let lanes = S::f32s::LEN;
    let mut vectors = [S::f32s::splat(simd, 0.0); MAX_LANES];
    for lane in 0..lanes {
        vectors[lane] = S::f32s::from_slice(simd, &frames[lane][from..][..lanes]);
    }
    transpose(simd, &mut vectors);
    for (n, vector) in vectors.iter().take(lanes).enumerate() {
        let at = (n * ROWS + row) * lanes;
        vector.store_slice(&mut across[at..][..lanes]);
    }
}

/// Exchanges lanes and vectors, of as many vectors as each has lanes: each round
/// interleaves the lower half of them with the upper.
#[inline(always)]
fn transpose<S: Simd>(_simd: S, vectors: &mut [S::f32s; MAX_LANES]) {
    let half = S::f32s::LEN / 2;
    let mut width = S::f32s::LEN;
    while width > 1 {
        let before = *vectors;
        for i in 0..half {
            (vectors[2 * i], vectors[2 * i + 1]) = before[i].interleave(before[i + half]);
        }
        width /= 2;
    }
}

impl<T: Sample> Pass<T> {
    #[inline(always)]
    fn run<S: Simd>(&self, simd: S, numbers: &mut [T]) {
        let quarter = self.turns.len() * 2 * T::Native::<S>::LEN;
        for block in numbers.chunks_exact_mut(4 * quarter) {
            let (a, rest) = block.split_at_mut(quarter);
            let (b, rest) = rest.split_at_mut(quarter);
            let (c, d) = rest.split_at_mut(quarter);
            for (n, turns) in self.turns.iter().enumerate() {
                let at = n * 2 * T::Native::<S>::LEN;
                let points: [Lanes<T::Native<S>>; 4] = [
                    Lanes::load(simd, a, at),
                    Lanes::load(simd, b, at),
                    Lanes::load(simd, c, at),
                    Lanes::load(simd, d, at),
                ];
                let results = four_points(simd, points);
                results[0].store(simd, a, at);
                results[1].times(simd, turns[0]).store(simd, b, at);
                results[2].times(simd, turns[1]).store(simd, c, at);
                results[3].times(simd, turns[2]).store(simd, d, at);
            }
        }
    }
}

/// The last transforms, of neighboring numbers, straight to powers. Returns their sum.
#[inline(always)]
fn last_eights<T: Sample, S: Simd>(
    simd: S,
    numbers: &[T],
    bins: &[u32],
    powers: &mut [T],
) -> T::Native<S> {
    let lanes = T::Native::<S>::LEN;
    let mut sum = T::Native::<S>::splat(simd, T::ZERO);
    for (block, bins) in numbers
        .chunks_exact(8 * 2 * lanes)
        .zip(bins.as_chunks::<8>().0)
    {
        let points: [Lanes<T::Native<S>>; 8] = [
            Lanes::load(simd, block, 0),
            Lanes::load(simd, block, 2 * lanes),
            Lanes::load(simd, block, 4 * lanes),
            Lanes::load(simd, block, 6 * lanes),
            Lanes::load(simd, block, 8 * lanes),
            Lanes::load(simd, block, 10 * lanes),
            Lanes::load(simd, block, 12 * lanes),
            Lanes::load(simd, block, 14 * lanes),
        ];
        let results = eight_points::<T, S>(simd, points);
        for i in 0..8 {
            let power = results[i].power(simd);
            power.store_slice(&mut powers[bins[i] as usize * lanes..][..lanes]);
            sum += power;
        }
    }
    sum
}

/// As [`last_eights`], of half as many numbers each.
#[inline(always)]
fn last_fours<T: Sample, S: Simd>(
    simd: S,
    numbers: &[T],
    bins: &[u32],
    powers: &mut [T],
) -> T::Native<S> {
    let lanes = T::Native::<S>::LEN;
    let mut sum = T::Native::<S>::splat(simd, T::ZERO);
    for (block, bins) in numbers
        .chunks_exact(4 * 2 * lanes)
        .zip(bins.as_chunks::<4>().0)
    {
        let points: [Lanes<T::Native<S>>; 4] = [
            Lanes::load(simd, block, 0),
            Lanes::load(simd, block, 2 * lanes),
            Lanes::load(simd, block, 4 * lanes),
            Lanes::load(simd, block, 6 * lanes),
        ];
        let results = four_points(simd, points);
        for i in 0..4 {
            let power = results[i].power(simd);
            power.store_slice(&mut powers[bins[i] as usize * lanes..][..lanes]);
            sum += power;
        }
    }
    sum
}

/// The bin of each number of each part after so many passes of four points and a last
/// one of what is left.
fn bins_in_order(n_points: usize, n_passes: usize) -> Vec<u32> {
    let n_fft = n_points * ROWS;
    // Each pass leaves every fourth result in the same quarter.
    let result = |mut place: usize| {
        let (mut length, mut stride, mut index) = (n_points, 1, 0);
        for _ in 0..n_passes {
            length /= 4;
            index += stride * (place / length);
            place %= length;
            stride *= 4;
        }
        index + stride * place
    };
    let bin = |part: usize, place: usize| {
        let bin = part + ROWS * result(place);
        match bin <= n_fft / 2 {
            true => bin,
            false if part.is_multiple_of(ROWS / 2) => n_fft / 2 + 1,
            false => n_fft - bin,
        }
    };
    let places = (0..PARTS).flat_map(|part| (0..n_points).map(move |place| (part, place)));
    places
        .map(|(part, place)| bin(part, place) as u32)
        .collect()
}

/// `exp(-2πi power / order)`
fn root<T: Sample>(power: usize, order: usize) -> Complex<T> {
    let angle = -2.0 * PI * (power % order) as f64 / order as f64;
    let Complex { re, im } = Complex::from_polar(1.0, angle);
    Complex::new(T::rounded(re), T::rounded(im))
}

/// Memory that begins where a line of the cache does, so that no vector lies across two.
pub(crate) struct Aligned<T> {
    values: Vec<T>,
    before: usize,
    len: usize,
}

/// Bytes of a line of the cache, and of the widest vector.
const LINE: usize = 64;

impl<T: Sample> Aligned<T> {
    pub(crate) fn new(len: usize) -> Self {
        let spare = LINE / size_of::<T>();
        let values = vec![T::ZERO; len + spare];
        let before = values.as_ptr().align_offset(LINE).min(spare);
        Self {
            values,
            before,
            len,
        }
    }

    pub(crate) fn get(&mut self) -> &mut [T] {
        &mut self.values[self.before..][..self.len]
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::instructions::{self, dispatch};

    /// `|X|²` of each bin of each frame, `[frame, bin]`, and the energies.
    #[inline(always)]
    fn powers<T: Sample + Into<f64>, S: Simd>(
        simd: S,
        transform: &LaneTransform<T>,
        frames: &[&[f32]; MAX_LANES],
    ) -> (Vec<Vec<f64>>, Vec<f64>) {
        let lanes = T::Native::<S>::LEN;
        let n_bins = frames[0].len() / 2 + 1;
        let mut table = vec![T::rounded(f64::NAN); (n_bins + 1) * lanes];
        let energies = transform.powers(simd, frames, &mut transform.scratch(), &mut table);
        let bins = |lane: usize| (0..n_bins).map(move |bin| bin * lanes + lane);
        let frame = |lane: usize| bins(lane).map(|at| table[at].into()).collect();
        let energies = energies.as_slice().iter().map(|&energy| energy.into());
        ((0..lanes).map(frame).collect(), energies.collect())
    }

    /// The same by the definition, in one frame.
    fn textbook(samples: &[f32]) -> Vec<f64> {
        let n = samples.len();
        let turns: Vec<Complex<f64>> = (0..n).map(|power| root(power, n)).collect();
        let bin = |k: usize| {
            let term = |(i, &sample): (usize, &f32)| turns[i * k % n] * f64::from(sample);
            let sum: Complex<f64> = samples.iter().enumerate().map(term).sum();
            sum.norm_sqr()
        };
        (0..=n / 2).map(bin).collect()
    }

    fn noise(n: usize, seed: u32) -> Vec<f32> {
        let mut state = seed.wrapping_mul(2_654_435_761).wrapping_add(1);
        let samples = (0..n).map(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) as f32 / 8_388_608.0 - 1.0
        });
        samples.collect()
    }

    /// Every level in one precision against the definition: the error of `|X|` as a share
    /// of its root mean square.
    #[track_caller]
    fn check<T: Sample + Into<f64>>(n_fft: usize, hop: usize, seed: u32, tolerance: f64) {
        let transform = LaneTransform::<T>::new(&vec![1.0; n_fft]).expect("a power of two");
        let signal = noise(n_fft + hop * MAX_LANES, seed);
        let frames: [&[f32]; MAX_LANES] = std::array::from_fn(|i| &signal[i * hop..][..n_fft]);
        // Definitions are slow: the first frame and the second stand for all.
        let expected = [textbook(frames[0]), textbook(frames[1])];
        let mut first_found: Option<Vec<Vec<f64>>> = None;
        for (name, level) in instructions::supported() {
            let (found, energies) = dispatch!(level, simd => powers(simd, &transform, &frames));
            for ((found, expected), energy) in found.iter().zip(&expected).zip(energies) {
                let mean = expected.iter().sum::<f64>() / expected.len() as f64;
                for (bin, (found, expected)) in found.iter().zip(expected).enumerate() {
                    let error = (found.sqrt() - expected.sqrt()).abs() / mean.sqrt();
                    assert!(error < tolerance, "{name}: {n_fft}, bin {bin}: {error:e}");
                }
                let (dc, nyquist) = (expected[0], expected[n_fft / 2]);
                let sum = expected.iter().sum::<f64>() - (dc + nyquist) / 2.0;
                assert!(
                    (energy / sum - 1.0).abs() < 1e-5,
                    "{name}: {energy}, not {sum}"
                );
            }
            let first = first_found.get_or_insert_with(|| found.clone());
            for (found, first) in found.iter().zip(first) {
                assert_eq!(found, first, "{name}: not the bits of the widest");
            }
        }
    }

    #[test]
    fn powers_are_what_the_definition_says() {
        for n_fft in [256, 512, 1024, 2048, 4096] {
            check::<f32>(n_fft, 100, n_fft as u32, 2e-6);
            check::<f64>(n_fft, 100, n_fft as u32, 1e-13);
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        #[test]
        fn and_of_any_frames(size in 8_u32..11, hop in 1_usize..3000, seed in 0_u32..1000) {
            check::<f32>(1 << size, hop, seed, 2e-6);
            check::<f64>(1 << size, hop, seed, 1e-13);
        }
    }

    #[test]
    fn other_lengths_are_left_to_others() {
        for n_fft in [1, 16, 128, 400, 1021, 3072, 1 << 15] {
            assert!(
                LaneTransform::<f32>::new(&vec![1.0; n_fft]).is_none(),
                "{n_fft}"
            );
        }
    }
}
