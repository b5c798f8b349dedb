//! Compares two waveforms that may be the same sound: aligns them to a fraction
//! of a sample and correlates them band by band.
//!
//! Two calls of one animal look alike in a spectrogram; their waveforms agree
//! for no longer than a few periods. Re-encoding, resampling, gain and a little
//! noise leave a waveform as it is. Candidates come from [`crate::copies`].

use biophony_audio::{Clip, SampleRate, inverse_real_transform, real_transform, resample};
use realfft::num_complex::Complex;
use realfft::{ComplexToReal, RealToComplex};
use std::sync::Arc;

use crate::copies::Relation;

/// A shorter shared sound proves nothing.
const MIN_SHARED_SECONDS: f64 = 0.08;
/// A recording of which this much is shared is taken to be shared as a whole:
/// codecs add some silence at either end.
const WHOLE: f64 = 0.9;
/// Recordings that merely overlap must share this much, give or take the slack of the
/// alignment.
const MIN_OVERLAP_SECONDS: f64 = 0.5;
/// Waveforms are compared in chunks so short that a clock that is a little off
/// does not pull them apart.
const CHUNK_SECONDS: f64 = 0.3;
/// At most so many chunks, spread over the shared part.
const MAX_CHUNKS: usize = 24;
/// How far the alignment by fingerprints may be off.
const SLACK_SECONDS: f64 = 0.024;
/// Bands in which the correlation is taken.
const N_BANDS: usize = 24;
/// Where the lowest band begins: below lies the hum of the mains.
const LOWEST_HZ: f64 = 130.0;

/// What two recordings of one sound have in common.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Agreement {
    pub(crate) relation: Relation,
    pub(crate) similarity: f64,
    pub(crate) offset_seconds: f64,
    pub(crate) shared_seconds: f64,
}

impl Agreement {
    /// The same with the two recordings exchanged.
    pub(crate) fn reversed(self) -> Self {
        Self {
            offset_seconds: -self.offset_seconds,
            ..self
        }
    }
}

/// A clip at the two rates of comparison, each made when it is first needed.
pub(crate) struct Prepared {
    clip: Clip,
    low: Option<Vec<f32>>,
    high: Option<Vec<f32>>,
}

impl Prepared {
    pub(crate) fn new(clip: Clip) -> Self {
        Self {
            clip,
            low: None,
            high: None,
        }
    }

    fn at(&mut self, rate: ComparisonRate) -> Option<&[f32]> {
        let slot = match rate {
            ComparisonRate::Low => &mut self.low,
            ComparisonRate::High => &mut self.high,
        };
        if slot.is_none() {
            let rate = SampleRate::from_hertz(rate.hertz())?;
            *slot = Some(resample(&self.clip, rate).ok()?.into_samples());
        }
        slot.as_deref()
    }
}

/// The rate at which two clips are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ComparisonRate {
    Low,
    High,
}

impl ComparisonRate {
    /// High only if both clips have something up there.
    fn of(first: &Clip, second: &Clip) -> Self {
        match first.rate().min(second.rate()).hertz() {
            ..16_000 => Self::Low,
            _ => Self::High,
        }
    }

    fn hertz(self) -> u32 {
        match self {
            Self::Low => 8_000,
            Self::High => 16_000,
        }
    }
}

/// Compares two clips, the second of which begins about `offset` seconds into
/// the first. `None` if they share too little to tell.
pub(crate) fn compare(
    first: &mut Prepared,
    second: &mut Prepared,
    offset: f64,
) -> Option<Agreement> {
    let rate = ComparisonRate::of(&first.clip, &second.clip);
    let hertz = f64::from(rate.hertz());
    let (a, b) = (first.at(rate)?, second.at(rate)?);
    let begin = (offset * hertz).round() as isize;
    let (a_begin, b_begin) = (begin.max(0) as usize, (-begin).max(0) as usize);
    let n_shared = a
        .len()
        .saturating_sub(a_begin)
        .min(b.len().saturating_sub(b_begin));
    let shared_seconds = n_shared as f64 / hertz;
    if shared_seconds < MIN_SHARED_SECONDS {
        return None;
    }
    let share = |n: usize| n_shared as f64 / n as f64;
    let relation = match (share(a.len()) >= WHOLE, share(b.len()) >= WHOLE) {
        (true, true) => Relation::Copy,
        (false, false) => Relation::Overlap,
        _ => Relation::Contained,
    };
    if relation == Relation::Overlap && shared_seconds < MIN_OVERLAP_SECONDS - SLACK_SECONDS {
        return None;
    }
    let similarity = similarity(&a[a_begin..][..n_shared], b, b_begin, hertz);
    Some(Agreement {
        relation,
        similarity,
        offset_seconds: offset,
        shared_seconds,
    })
}

/// The mean correlation over chunks of `a`, each with the piece of `b` that fits
/// best near the same place, weighted by loudness.
fn similarity(a: &[f32], b: &[f32], b_begin: usize, hertz: f64) -> f64 {
    let n_chunks = (a.len() as f64 / (CHUNK_SECONDS * hertz)).round().max(1.0) as usize;
    let n_chunk = a.len() / n_chunks;
    let stride = n_chunks.div_ceil(MAX_CHUNKS);
    let slack = (SLACK_SECONDS * hertz) as usize;
    let correlator = Correlator::new(n_chunk, slack, hertz);
    let power = |x: &[f32]| x.iter().map(|x| f64::from(x * x)).sum::<f64>() / x.len() as f64;
    let (a_power, b_power) = (power(a), power(&b[b_begin..][..a.len()]));
    if a_power <= 0.0 || b_power <= 0.0 {
        return 0.0;
    }
    let (mut sum, mut weights) = (0.0, 0.0);
    for chunk in (0..n_chunks).step_by(stride) {
        let start = chunk * n_chunk;
        let a_chunk = &a[start..start + n_chunk];
        let b_chunk = padded(b, b_begin + start, n_chunk, slack);
        let b_middle = &b_chunk[slack..slack + n_chunk];
        let weight = (power(a_chunk) / a_power)
            .max(power(b_middle) / b_power)
            .sqrt();
        sum += weight * correlator.correlation(a_chunk, &b_chunk);
        weights += weight;
    }
    sum / weights
}

/// `n` samples from `start` on and `slack` more on either side, zeros where
/// there are none.
fn padded(samples: &[f32], start: usize, n: usize, slack: usize) -> Vec<f32> {
    let at = |i: usize| {
        let index = (start + i).checked_sub(slack)?;
        samples.get(index).copied()
    };
    (0..n + 2 * slack).map(|i| at(i).unwrap_or(0.0)).collect()
}

/// Correlates chunks of one size.
struct Correlator {
    n_chunk: usize,
    slack: usize,
    n_fft: usize,
    forward: Arc<dyn RealToComplex<f32>>,
    inverse: Arc<dyn ComplexToReal<f32>>,
    /// Bins where bands begin, and where the last one ends.
    edges: Vec<usize>,
}

impl Correlator {
    fn new(n_chunk: usize, slack: usize, hertz: f64) -> Self {
        let n_fft = (n_chunk + 2 * slack).next_power_of_two();
        // Equal ratios of (frequency + 700 Hz), as on the mel scale; the top is
        // where resampling begins to cut.
        let ratio = (0.44 * hertz + 700.0) / (LOWEST_HZ + 700.0);
        let edge = |band: usize| {
            let exponent = band as f64 / N_BANDS as f64;
            let edge_hz = (LOWEST_HZ + 700.0) * ratio.powf(exponent) - 700.0;
            (edge_hz / hertz * n_fft as f64).round() as usize
        };
        let mut edges: Vec<_> = (0..=N_BANDS).map(edge).collect();
        edges.dedup();
        Self {
            n_chunk,
            slack,
            n_fft,
            forward: real_transform(n_fft),
            inverse: inverse_real_transform(n_fft),
            edges,
        }
    }

    /// The largest correlation of `a` with a piece of `b`, which is longer by
    /// the slack on either side. From −1 to 1, as a rule from 0.
    fn correlation(&self, a: &[f32], b: &[f32]) -> f64 {
        let a = self.spectrum(a);
        let lag = self.best_lag(&a, &self.spectrum(b));
        let b = self.spectrum(&b[lag..lag + self.n_chunk]);
        let cross = self.balanced_cross_spectrum(&a, &b);
        let quarters = (-3..=3).map(|quarter| f64::from(quarter) / 4.0);
        let at = |shift: f64| self.shifted_sum(&cross, shift).abs();
        quarters.map(at).fold(0.0, f64::max)
    }

    fn spectrum(&self, samples: &[f32]) -> Vec<Complex<f32>> {
        let mut input = self.forward.make_input_vec();
        input[..samples.len()].copy_from_slice(samples);
        let mut output = self.forward.make_output_vec();
        self.forward
            .process(&mut input, &mut output)
            .expect("the buffers were made by the transform");
        output
    }

    /// How many samples into `b` the best fit begins.
    fn best_lag(&self, a: &[Complex<f32>], b: &[Complex<f32>]) -> usize {
        let mut cross = self.balanced_cross_spectrum(a, b);
        // An inverse real transform wants these two to be real.
        cross[0].im = 0.0;
        cross[self.n_fft / 2].im = 0.0;
        let mut correlation = self.inverse.make_output_vec();
        self.inverse
            .process(&mut cross, &mut correlation)
            .expect("the buffers were made by the transform");
        let largest = |i: &usize, j: &usize| {
            let [i, j] = [i, j].map(|&i| correlation[i].abs());
            i.total_cmp(&j)
        };
        (0..=2 * self.slack).max_by(largest).unwrap_or(self.slack)
    }

    /// The cross-spectrum with bands that are loud in both held back and faint
    /// ones brought forward, scaled so that equal inputs sum to 1.
    ///
    /// A call in one band would otherwise decide alone, and a pure tone fits any
    /// other tone of its pitch; the faint background is what no other recording
    /// has.
    fn balanced_cross_spectrum(&self, a: &[Complex<f32>], b: &[Complex<f32>]) -> Vec<Complex<f32>> {
        let energy = |spectrum: &[Complex<f32>], band: &[usize]| {
            let bins = &spectrum[band[0]..band[1]];
            bins.iter()
                .map(|bin| f64::from(bin.norm_sqr()))
                .sum::<f64>()
        };
        let bands: Vec<_> = self
            .edges
            .windows(2)
            .map(|band| (band, energy(a, band), energy(b, band)))
            .collect();
        let (a_total, b_total) = bands
            .iter()
            .fold((0.0, 0.0), |(a, b), band| (a + band.1, b + band.2));
        let weight = |a_band: f64, b_band: f64| {
            let (a_share, b_share) = (a_band / a_total, b_band / b_total);
            (a_share * b_share).sqrt().sqrt()
        };
        let total: f64 = bands.iter().map(|&(_, a, b)| weight(a, b)).sum();
        let mut cross = vec![Complex::new(0.0, 0.0); a.len()];
        for (band, a_energy, b_energy) in bands {
            let scale = weight(a_energy, b_energy) / (total * (a_energy * b_energy).sqrt());
            if scale.is_finite() {
                for bin in band[0]..band[1] {
                    cross[bin] = a[bin].conj() * b[bin] * scale as f32;
                }
            }
        }
        cross
    }

    /// The sum over the cross-spectrum after a shift by a fraction of a sample.
    fn shifted_sum(&self, cross: &[Complex<f32>], shift: f64) -> f64 {
        let step = std::f64::consts::TAU * shift / self.n_fft as f64;
        let (first, last) = (self.edges[0], self.edges[self.edges.len() - 1]);
        let turn = Complex::from_polar(1.0, step);
        let mut rotation = Complex::from_polar(1.0, step * first as f64);
        let mut sum = 0.0;
        for bin in &cross[first..last] {
            sum += f64::from(bin.re) * rotation.re - f64::from(bin.im) * rotation.im;
            rotation *= turn;
        }
        sum
    }
}
