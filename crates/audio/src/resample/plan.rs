//! What resampling between two rates needs: block lengths, the filter's
//! response and the transforms, made once for each pair of rates.

use std::f64::consts::PI;
use std::sync::{Arc, Mutex, PoisonError};

use rustfft::num_complex::Complex;
use rustfft::{Fft, FftPlanner};

use crate::clip::SampleRate;

/// Where the filter stops being flat, as a share of the lower Nyquist
/// frequency; it is down at 1.
const FLAT_UNTIL: f64 = 0.91;

/// How far the filter is down from the lower Nyquist frequency on, in decibels.
const ATTENUATION_DB: f64 = 105.0;

/// Rates whose reduced ratio has larger terms than this are resampled by the
/// nearest ratio that has not; it is exact for all rates up to 262 kHz.
const MAX_TERM: u64 = 1 << 18;

/// How many pairs of rates are remembered; a collection of recordings has a few
/// dozen at most.
const MAX_REMEMBERED: usize = 64;

/// Plans of this many bytes and more are made anew each time, so that memory
/// stays small whatever rates come along.
const MAX_REMEMBERED_BLOCK: usize = 1 << 15;

/// Everything that resampling between two rates needs.
///
/// A stretch of time of `block_in` old samples and `block_out` new ones is
/// filtered at once. The filter spoils `margin_*` samples at either end, so
/// consecutive blocks overlap by twice as many.
pub(super) struct Plan {
    pub(super) block_in: usize,
    pub(super) block_out: usize,
    pub(super) margin_in: usize,
    pub(super) margin_out: usize,
    /// The filter's gain at each frequency below the lower Nyquist frequency,
    /// with the scale of the transforms in it.
    pub(super) response: Vec<f32>,
    pub(super) forward: Arc<dyn Fft<f32>>,
    pub(super) inverse: Arc<dyn Fft<f32>>,
}

/// The old rate and the new one.
type Rates = (SampleRate, SampleRate);

/// Plans made so far. Planning takes as long as resampling a short clip.
static REMEMBERED: Mutex<Vec<(Rates, Arc<Plan>)>> = Mutex::new(Vec::new());

impl Plan {
    /// The plan for a pair of rates, remembered from an earlier call if there
    /// was one.
    pub(super) fn shared(from: SampleRate, to: SampleRate) -> Arc<Self> {
        let lock = || REMEMBERED.lock().unwrap_or_else(PoisonError::into_inner);
        let known = lock()
            .iter()
            .find(|(rates, _)| *rates == (from, to))
            .map(|(_, plan)| plan.clone());
        if let Some(plan) = known {
            return plan;
        }
        let plan = Arc::new(Self::new(from, to));
        let mut remembered = lock();
        let is_new = remembered.iter().all(|(rates, _)| *rates != (from, to));
        let is_small = plan.block_in.max(plan.block_out) <= MAX_REMEMBERED_BLOCK;
        if is_new && is_small && remembered.len() < MAX_REMEMBERED {
            remembered.push(((from, to), plan.clone()));
        }
        plan
    }

    fn new(from: SampleRate, to: SampleRate) -> Self {
        let (unit_in, unit_out) = nearest_ratio(from.hertz().into(), to.hertz().into());
        let half_length = half_length();
        // The margin must be a whole number of old and of new samples.
        let margin_units = half_length.div_ceil(unit_in.min(unit_out));
        let units = cheapest_block(unit_in, unit_out, margin_units);
        let (block_in, block_out) = (units * unit_in, units * unit_out);
        let mut planner = FftPlanner::new();
        let forward = planner.plan_fft_forward(block_in);
        let inverse = planner.plan_fft_inverse(block_out);
        let response = response(&*forward, block_in, block_out, half_length);
        Self {
            block_in,
            block_out,
            margin_in: margin_units * unit_in,
            margin_out: margin_units * unit_out,
            response,
            forward,
            inverse,
        }
    }

    /// How many old samples a block moves on.
    pub(super) fn hop_in(&self) -> usize {
        self.block_in - 2 * self.margin_in
    }

    /// How many new samples a block gives.
    pub(super) fn hop_out(&self) -> usize {
        self.block_out - 2 * self.margin_out
    }

    /// How much scratch memory either transform needs at most.
    pub(super) fn scratch_length(&self) -> usize {
        self.forward
            .get_outofplace_scratch_len()
            .max(self.inverse.get_outofplace_scratch_len())
    }
}

/// The ratio in lowest terms, or the nearest one with terms up to [`MAX_TERM`]:
/// the last convergent of its continued fraction that fits.
fn nearest_ratio(from: u64, to: u64) -> (usize, usize) {
    let (mut a, mut b) = (from, to);
    let (mut previous, mut current) = ((0, 1), (1, 0));
    while b != 0 {
        let quotient = a / b;
        let next = (
            quotient * current.0 + previous.0,
            quotient * current.1 + previous.1,
        );
        if next.0.max(next.1) > MAX_TERM {
            break;
        }
        (previous, current) = (current, next);
        (a, b) = (b, a % b);
    }
    (current.0 as usize, current.1 as usize)
}

/// How far the filter reaches to either side, in samples of the lower rate:
/// Kaiser's estimate (Oppenheim and Schafer, Discrete-Time Signal Processing,
/// equation 7.76).
fn half_length() -> usize {
    let transition = PI * (1.0 - FLAT_UNTIL);
    ((ATTENUATION_DB - 7.95) / (2.285 * transition) / 2.0).ceil() as usize
}

/// How many units (the shortest stretch of time that is a whole number of
/// samples at both rates) a block should have, by an estimate of the arithmetic
/// for each new sample.
fn cheapest_block(unit_in: usize, unit_out: usize, margin_units: usize) -> usize {
    let shortest = 2 * margin_units + 1;
    let longest = (LONGEST_BLOCK / unit_in.max(unit_out)).max(4 * margin_units);
    (shortest..=longest)
        .min_by(|&a, &b| {
            let cost = |units: usize| {
                let work = transform_cost(units * unit_in) + transform_cost(units * unit_out);
                work / (units - 2 * margin_units) as f64
            };
            cost(a).total_cmp(&cost(b))
        })
        .unwrap_or(shortest)
}

/// Blocks are not made longer than this by choice: two of them and their
/// transforms' tables should fit the second-level cache.
const LONGEST_BLOCK: usize = 8192;

/// An estimate of what a transform costs: `n log n` if `n` has small factors
/// only, several times as much for each that is not small.
fn transform_cost(n: usize) -> f64 {
    let mut rest = n;
    let mut penalty = 1.0;
    for factor in [2, 3, 5, 7, 11] {
        while rest.is_multiple_of(factor) {
            rest /= factor;
            penalty *= if factor > 3 { 1.05 } else { 1.0 };
        }
    }
    if rest > 1 {
        penalty *= 4.0;
    }
    n as f64 * ((n as f64).log2() + 4.0) * penalty
}

/// The gain of a sinc under a Kaiser window at each frequency of the blocks.
///
/// The impulse response is symmetric around time zero, wrapped around the ends
/// of the block, so its transform is real.
fn response(
    forward: &dyn Fft<f32>,
    block_in: usize,
    block_out: usize,
    half_length: usize,
) -> Vec<f32> {
    let per_low_sample = (block_in as f64 / block_out as f64).max(1.0);
    let reach = half_length as f64 * per_low_sample;
    let cutoff = (1.0 + FLAT_UNTIL) / 2.0 / per_low_sample;
    let beta = 0.1102 * (ATTENUATION_DB - 8.7);
    let tap = |m: usize| {
        let x = m as f64 * cutoff;
        let sinc = if m == 0 {
            1.0
        } else {
            (PI * x).sin() / (PI * x)
        };
        let off_center = m as f64 / reach;
        sinc * bessel_i0(beta * (1.0 - off_center * off_center).max(0.0).sqrt())
    };
    let taps: Vec<f64> = (0..=reach as usize).map(tap).collect();
    let sum = taps[0] + 2.0 * taps[1..].iter().sum::<f64>();
    let scale = 1.0 / (sum * block_in as f64);
    let mut spectrum = vec![Complex::new(0.0, 0.0); block_in];
    for (m, tap) in taps.into_iter().enumerate() {
        let value = Complex::new((tap * scale) as f32, 0.0);
        spectrum[m] = value;
        spectrum[(block_in - m) % block_in] = value;
    }
    forward.process(&mut spectrum);
    // The bin at the lower Nyquist frequency, if there is one, is left out.
    let n_bins = block_in.min(block_out).div_ceil(2);
    spectrum[..n_bins].iter().map(|value| value.re).collect()
}

/// The modified Bessel function of the first kind and order zero, by its series.
fn bessel_i0(x: f64) -> f64 {
    let quarter = x * x / 4.0;
    let mut term = 1.0;
    let mut sum = 1.0;
    let mut k = 1.0;
    while term > 1e-17 * sum {
        term *= quarter / (k * k);
        sum += term;
        k += 1.0;
    }
    sum
}
