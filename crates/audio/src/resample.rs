//! Changing the sample rate of a clip.
//!
//! The sound is band-limited to the lower of the two Nyquist frequencies with a
//! linear-phase filter that is flat to 91 % of it and 100 dB down at it, so that
//! neither aliases nor images are heard, and is applied around each sample, so
//! that nothing moves in time. Ends are continued with silence.
//!
//! The filter works block by block in the frequency domain: the spectrum of a
//! block of the old rate, cut or extended, is the spectrum of the same stretch
//! of time at the new rate. How long the blocks are and what the filter looks
//! like is decided in [`plan`].
//!
//! Why not the `rubato` crate, whose transforms work by the same idea: a filter here is
//! shorter than its block, so that little of a block is spoilt and thrown away, two
//! blocks share a transform, and how flat the band is and how far down its end are
//! chosen and tested (`tests/resample.rs`). The two have not been timed side by side.

mod plan;

use rustfft::num_complex::Complex;

use crate::clip::{Clip, SampleRate};
use crate::error::AudioError;
use crate::instructions::{self, dispatch};
use plan::Plan;

/// The largest factor between two rates, either way. It bounds the blocks.
const MAX_FACTOR: u32 = 1024;

/// The most samples that one call gives: 6 hours at 48 kHz, 4 GiB.
const MAX_OUTPUT: u64 = 1 << 30;

/// The clip at another rate: `⌈n · new / old⌉` samples, sample `i` of which
/// lies at `i / new` seconds, as in librosa.
///
/// ```
/// # use biophony_audio::{Clip, SampleRate, resample};
/// # fn main() -> Result<(), biophony_audio::AudioError> {
/// let [old, new] = [44_100, 22_050].map(|hz| SampleRate::from_hertz(hz).expect("not zero"));
/// let clip = Clip::new(vec![0.5; 44_100], old);
/// assert_eq!(resample(&clip, new)?.samples().len(), 22_050);
/// # Ok(())
/// # }
/// ```
///
/// # Errors
///
/// When the clip is empty, or when the rates are so far apart or the clip so
/// long that the result would not reasonably fit in memory.
pub fn resample(clip: &Clip, rate: SampleRate) -> Result<Clip, AudioError> {
    if clip.samples().is_empty() {
        return Err(AudioError::EmptyClip);
    }
    if clip.rate() == rate {
        return Ok(clip.clone());
    }
    let n_output = output_length(clip, rate)?;
    let plan = Plan::shared(clip.rate(), rate);
    Ok(Clip::new(convert(&plan, clip.samples(), n_output), rate))
}

/// `⌈n · new / old⌉`, if that many samples are reasonable.
fn output_length(clip: &Clip, rate: SampleRate) -> Result<usize, AudioError> {
    let (from_hz, to_hz) = (clip.rate().hertz(), rate.hertz());
    let (low, high) = (from_hz.min(to_hz), from_hz.max(to_hz));
    if u64::from(high) > u64::from(low) * u64::from(MAX_FACTOR) {
        return Err(AudioError::RatesTooFarApart {
            from_hz,
            to_hz,
            max_factor: MAX_FACTOR,
        });
    }
    let n_samples = clip.samples().len();
    // A clip has less than 2^62 samples and the factor is at most 2^10, so the
    // product needs more than 64 bits and the quotient does not.
    let exact = (n_samples as u128 * u128::from(to_hz)).div_ceil(u128::from(from_hz));
    let n_output = u64::try_from(exact).unwrap_or(u64::MAX);
    if n_output > MAX_OUTPUT {
        let max_output = MAX_OUTPUT;
        return Err(AudioError::ResampleTooLarge {
            n_samples,
            from_hz,
            to_hz,
            n_output,
            max_output,
        });
    }
    Ok(n_output as usize)
}

/// Filters block after block by overlap-save.
///
/// Two neighboring blocks share one complex transform, one as its real and one
/// as its imaginary part: the filter's response is real, so that they come out
/// apart again, and real-input transforms with their extra passes are not
/// needed.
fn convert(plan: &Plan, samples: &[f32], n_output: usize) -> Vec<f32> {
    // The largest first: it then fits where the file has been, and who loads one file
    // after the other gets the same pages again and again.
    let mut output = Vec::with_capacity(n_output);
    let mut old = vec![Complex::new(0.0, 0.0); plan.block_in];
    let mut new = vec![Complex::new(0.0, 0.0); plan.block_out];
    let mut spectrum = vec![Complex::new(0.0, 0.0); plan.block_in];
    let mut filtered = vec![Complex::new(0.0, 0.0); plan.block_out];
    let mut scratch = vec![Complex::new(0.0, 0.0); plan.scratch_length()];
    let kept = plan.margin_out..plan.margin_out + plan.hop_out();
    let level = instructions::level();
    let mut first_block = 0;
    while output.len() < n_output {
        fill_block_pair(plan, samples, first_block * plan.hop_in(), &mut old);
        let (forward, inverse) = (&plan.forward, &plan.inverse);
        forward.process_outofplace_with_scratch(&mut old, &mut spectrum, &mut scratch);
        let response = &plan.response;
        dispatch!(level, _simd => carry_spectrum(response, &spectrum, &mut filtered));
        inverse.process_outofplace_with_scratch(&mut filtered, &mut new, &mut scratch);
        let first = (n_output - output.len()).min(kept.len());
        output.extend(new[kept.clone()][..first].iter().map(|value| value.re));
        let second = (n_output - output.len()).min(kept.len());
        output.extend(new[kept.clone()][..second].iter().map(|value| value.im));
        first_block += 2;
    }
    output
}

/// Lays the block whose first kept sample is `start` into the real parts and
/// the one after it into the imaginary parts, silence where there is no sound.
fn fill_block_pair(plan: &Plan, samples: &[f32], start: usize, block: &mut [Complex<f32>]) {
    let hop = plan.hop_in();
    if start >= plan.margin_in && start - plan.margin_in + hop + plan.block_in <= samples.len() {
        let from = start - plan.margin_in;
        let first = &samples[from..from + plan.block_in];
        let second = &samples[from + hop..from + hop + plan.block_in];
        for ((value, &re), &im) in block.iter_mut().zip(first).zip(second) {
            *value = Complex::new(re, im);
        }
        return;
    }
    let at = |position: usize| {
        position
            .checked_sub(plan.margin_in)
            .and_then(|i| samples.get(i))
            .copied()
            .unwrap_or(0.0)
    };
    for (i, value) in block.iter_mut().enumerate() {
        *value = Complex::new(at(start + i), at(start + hop + i));
    }
}

/// Weights the spectrum of the old block and lays it into that of the new one:
/// positive frequencies from the front, negative ones from the back, nothing
/// where only one of the two rates has a frequency.
#[inline(always)]
fn carry_spectrum(response: &[f32], old: &[Complex<f32>], new: &mut [Complex<f32>]) {
    let n_bins = response.len();
    for ((value, &source), &weight) in new.iter_mut().zip(old).zip(response) {
        *value = source * weight;
    }
    let (n_old, n_new) = (old.len(), new.len());
    new[n_bins..n_new - (n_bins - 1)].fill(Complex::new(0.0, 0.0));
    let negative = &mut new[n_new - (n_bins - 1)..];
    let source = &old[n_old - (n_bins - 1)..];
    for ((value, &source), &weight) in negative
        .iter_mut()
        .zip(source)
        .zip(response[1..].iter().rev())
    {
        *value = source * weight;
    }
}
