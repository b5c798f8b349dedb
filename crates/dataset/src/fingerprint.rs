//! What a recording leaves behind for finding its copies: pairs of spectral
//! peaks, as in A. Wang, "An Industrial-Strength Audio Search Algorithm" (ISMIR
//! 2003).
//!
//! A peak is where the spectrogram is loudest among its neighbors. Levels play
//! no part in it, so gain leaves it alone; noise and codecs leave most of them
//! alone. Two peaks and the time between them make a key that is rare enough to
//! look recordings up by.
//!
//! The same window and hop in seconds are used at every sample rate, so that
//! frequencies and times agree between rates and nothing needs resampling. How
//! keys become pairs of recordings is in [`crate::copies`].

use std::collections::VecDeque;

use biophony_audio::{Clip, real_transform};
use serde::{Deserialize, Serialize};

/// Frames per second.
pub(crate) const FRAME_RATE: f64 = 125.0;
/// Length of the analysis window.
const WINDOW_SECONDS: f64 = 0.064;
/// Width of a frequency step of keys: two bins of such a window.
const STEP_HZ: f64 = 31.25;
/// The bands that are searched for peaks separately, so that a copy that lost
/// its high frequencies still has the peaks of the low ones.
const BAND_EDGES_HZ: [f64; 6] = [80.0, 1_000.0, 2_000.0, 3_600.0, 5_500.0, 7_900.0];
/// A peak is the largest within so many frames and bins on either side.
const REACH_FRAMES: usize = 2;
const REACH_BINS: usize = 3;
/// In each band at most so many peaks are kept around any moment…
const PEAKS_AROUND: usize = 5;
/// … within so many frames on either side.
const AROUND_FRAMES: u32 = 30;
/// Each peak is paired with so many that follow it …
const PAIRS: usize = 6;
/// … within so many frames.
const PAIR_FRAMES: u32 = 63;
/// Peaks this far below the loudest are left out, as a ratio of powers.
const FLOOR: f32 = 1e-7;

/// The keys of a recording and when they occur.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Fingerprint {
    /// Key and frame, sorted.
    pub(crate) keys: Vec<(u32, u32)>,
}

/// A maximum of the spectrogram.
#[derive(Clone, Copy)]
struct Peak {
    frame: u32,
    hertz: f32,
    power: f32,
}

impl Fingerprint {
    /// Takes the fingerprint of a clip.
    pub(crate) fn of(clip: &Clip) -> Self {
        let peaks = find_peaks(clip);
        let loudest = peaks.iter().map(|peak| peak.power).fold(0.0, f32::max);
        let mut keys = Vec::new();
        for edges in BAND_EDGES_HZ.windows(2) {
            let in_band = |peak: &Peak| {
                let hertz = f64::from(peak.hertz);
                edges[0] <= hertz && hertz < edges[1] && peak.power > FLOOR * loudest
            };
            let band: Vec<Peak> = peaks.iter().copied().filter(in_band).collect();
            pair_up(&strongest_around(&band), &mut keys);
        }
        keys.sort_unstable();
        keys.dedup();
        Self { keys }
    }
}

/// The local maxima of the spectrogram, in the order of time.
fn find_peaks(clip: &Clip) -> Vec<Peak> {
    let rate = f64::from(clip.rate().hertz());
    let n_window = ((WINDOW_SECONDS * rate).round() as usize).max(8);
    // Sizes of small prime factors transform several times as fast, and zeros
    // at the end only sample the same spectrum more finely.
    let n_fft = fast_size(n_window);
    let bin_hz = rate / n_fft as f64;
    let n_bins = ((BAND_EDGES_HZ[5] / bin_hz) as usize + REACH_BINS).min(n_fft / 2 + 1);
    let transform = real_transform(n_fft);
    let mut input = transform.make_input_vec();
    let mut output = transform.make_output_vec();
    let mut scratch = transform.make_scratch_vec();
    let window: Vec<f32> = (0..n_window)
        .map(|i| 0.5 - 0.5 * (std::f32::consts::TAU * (i as f32 + 0.5) / n_window as f32).cos())
        .collect();

    let samples = clip.samples();
    let hop = rate / FRAME_RATE;
    let n_frames = (samples.len().saturating_sub(n_window) as f64 / hop) as usize + 1;
    let mut peaks = Vec::new();
    let mut recent: VecDeque<Vec<f32>> = VecDeque::new();
    let mut tallest = vec![0.0; n_bins];
    for frame in 0..n_frames + REACH_FRAMES {
        let mut power = match recent.len() > 2 * REACH_FRAMES {
            true => recent.pop_front().unwrap_or_default(),
            false => vec![0.0; n_bins],
        };
        power.fill(0.0);
        if frame < n_frames {
            let start = ((frame as f64 * hop) as usize).min(samples.len());
            input.fill(0.0);
            for ((x, sample), weight) in input.iter_mut().zip(&samples[start..]).zip(&window) {
                *x = sample * weight;
            }
            transform
                .process_with_scratch(&mut input, &mut output, &mut scratch)
                .expect("the buffers were made by the transform");
            for (power, bin) in power.iter_mut().zip(&output) {
                *power = bin.norm_sqr();
            }
        }
        recent.push_back(power);
        if frame >= REACH_FRAMES {
            let middle = recent.len() - 1 - REACH_FRAMES;
            tallest.fill(0.0);
            for row in &recent {
                for (tallest, &power) in tallest.iter_mut().zip(row) {
                    // Powers are no NaNs; `f32::max` would look for them.
                    *tallest = if power > *tallest { power } else { *tallest };
                }
            }
            maxima(
                &recent[middle],
                &tallest,
                (frame - REACH_FRAMES) as u32,
                bin_hz as f32,
                &mut peaks,
            );
        }
    }
    peaks
}

/// The smallest size from `n` on that has no prime factor above 5 and is even.
fn fast_size(n: usize) -> usize {
    let is_fast = |mut n: usize| {
        for factor in [2, 3, 5] {
            while n.is_multiple_of(factor) {
                n /= factor;
            }
        }
        n == 1
    };
    (n.next_multiple_of(2)..)
        .step_by(2)
        .find(|&n| is_fast(n))
        .expect("there is one up to 2 n")
}

/// Adds the bins of `row` that are the largest of their neighborhood. `tallest` has the
/// greatest power of each bin in all rows of it.
fn maxima(row: &[f32], tallest: &[f32], frame: u32, bin_hz: f32, peaks: &mut Vec<Peak>) {
    let mut bin = 1;
    while bin + 1 < row.len() {
        let value = row[bin];
        let (low, high) = (
            bin.saturating_sub(REACH_BINS),
            (bin + REACH_BINS + 1).min(row.len()),
        );
        let is_largest = value > 0.0
            && value >= tallest[bin]
            && value > row[bin - 1]
            && value >= row[bin + 1]
            && tallest[low..high].iter().all(|&other| other <= value);
        if is_largest {
            let hertz = (bin as f32 + vertex(row[bin - 1], value, row[bin + 1])) * bin_hz;
            peaks.push(Peak {
                frame,
                hertz,
                power: value,
            });
            bin += REACH_BINS;
        }
        bin += 1;
    }
}

/// Where between its neighbors the top of a peak lies, by a parabola through
/// their logarithms.
fn vertex(left: f32, middle: f32, right: f32) -> f32 {
    let [left, middle, right] = [left, middle, right].map(|power| (power + 1e-30).ln());
    let bend = left - 2.0 * middle + right;
    if bend >= 0.0 {
        return 0.0;
    }
    (0.5 * (left - right) / bend).clamp(-0.5, 0.5)
}

/// Those of a band's peaks that are among the strongest of their time. A rank
/// among neighbors stays the same when the recording is cut, a threshold for
/// the whole recording does not.
fn strongest_around(band: &[Peak]) -> Vec<Peak> {
    let mut kept = Vec::new();
    let mut first = 0;
    for (index, peak) in band.iter().enumerate() {
        while band[first].frame + AROUND_FRAMES < peak.frame {
            first += 1;
        }
        let near = band[first..]
            .iter()
            .take_while(|other| other.frame <= peak.frame + AROUND_FRAMES);
        let stronger = near
            .filter(|other| other.power > peak.power)
            .take(PEAKS_AROUND);
        if stronger.count() < PEAKS_AROUND {
            kept.push(band[index]);
        }
    }
    kept
}

/// Pairs each peak with the next ones.
fn pair_up(band: &[Peak], keys: &mut Vec<(u32, u32)>) {
    let step = |peak: &Peak| (f64::from(peak.hertz) / STEP_HZ).round() as u32 & 0xff;
    for (index, anchor) in band.iter().enumerate() {
        let following = band[index + 1..]
            .iter()
            .filter(|other| other.frame > anchor.frame + 1)
            .take_while(|other| other.frame <= anchor.frame + PAIR_FRAMES);
        for other in following.take(PAIRS) {
            let key = step(anchor) << 14 | step(other) << 6 | (other.frame - anchor.frame);
            keys.push((key, anchor.frame));
        }
    }
}
