//! Short-time Fourier transform: windows, framing and padding.
//!
//! Conventions are librosa's: windows are periodic and centered in the frame,
//! a centered analysis extends the signal by half a frame at both ends, and the
//! transform runs in double precision before it is rounded to `f32`.
//!
//! The transform of one frame lives in [`real`], that of several frames side by side in
//! [`lanes`], gathering a spectrum into mel bands in [`crate::mel`], and the fast path
//! that goes from samples to features in one pass in [`crate::features`].

mod lanes;
mod real;

use std::f64::consts::PI;

use fearless_simd::Level;
use rustfft::num_complex::{Complex, Complex32};
use serde::{Deserialize, Serialize};

use crate::error::AudioError;
use crate::features::FeatureConfig;
use crate::instructions::{self, dispatch};
pub(crate) use lanes::{Aligned, LaneScratch, LaneTransform, MAX_LANES};
use real::RealTransform;
pub(crate) use real::{RealScratch, Sample};

/// The shape that a frame is multiplied by before it is transformed.
///
/// Names are SciPy's; all are periodic (`fftbins=True`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Window {
    /// A raised cosine that reaches zero at its ends.
    #[default]
    Hann,
    /// A raised cosine on a pedestal of 0.08.
    Hamming,
    /// Three cosine terms; side lobes at -58 dB.
    Blackman,
    /// Four cosine terms; side lobes at -92 dB.
    BlackmanHarris,
    /// Four cosine terms, Nuttall's minimum-side-lobe choice.
    Nuttall,
    /// Five cosine terms; measures the height of a tone between two bins.
    FlatTop,
    /// A triangle that reaches zero at its ends.
    Bartlett,
    /// Half a period of a sine.
    Cosine,
    /// No shape: every sample counts alike. SciPy's `boxcar`.
    #[serde(rename = "boxcar", alias = "rectangular", alias = "ones")]
    Rectangular,
}

impl Window {
    /// The periodic window of `length` samples, as `scipy.signal.get_window`
    /// gives it.
    pub fn samples(self, length: usize) -> Vec<f64> {
        if length == 1 {
            return vec![1.0];
        }
        // A periodic window is the symmetric one of one sample more without its
        // last sample, so the denominator is `length` and not `length - 1`.
        let turn = |i: usize| 2.0 * PI * i as f64 / length as f64 - PI;
        let cosines = |terms: &[f64]| -> Vec<f64> {
            let value = |i: usize| {
                let term = |(k, a): (usize, &f64)| a * (k as f64 * turn(i)).cos();
                terms.iter().enumerate().map(term).sum()
            };
            (0..length).map(value).collect()
        };
        match self {
            Window::Hann => cosines(&[0.5, 0.5]),
            Window::Hamming => cosines(&[0.54, 1.0 - 0.54]),
            Window::Blackman => cosines(&[0.42, 0.50, 0.08]),
            Window::BlackmanHarris => cosines(&[0.35875, 0.48829, 0.14128, 0.01168]),
            Window::Nuttall => cosines(&[0.3635819, 0.4891775, 0.1365995, 0.0106411]),
            Window::FlatTop => cosines(&[
                0.21557895,
                0.41663158,
                0.277263158,
                0.083578947,
                0.006947368,
            ]),
            Window::Bartlett => (0..length)
                .map(|i| 1.0 - (2.0 * i as f64 / length as f64 - 1.0).abs())
                .collect(),
            Window::Cosine => (0..length)
                .map(|i| (PI / (length + 1) as f64 * (i as f64 + 0.5)).sin())
                .collect(),
            Window::Rectangular => vec![1.0; length],
        }
    }

    /// The window of `win_length` samples in the middle of `n_fft`, zeros
    /// around it.
    fn centered_in(self, win_length: usize, n_fft: usize) -> Vec<f64> {
        let mut padded = vec![0.0; n_fft];
        let before = (n_fft - win_length) / 2;
        padded[before..before + win_length].copy_from_slice(&self.samples(win_length));
        padded
    }
}

/// The window of a configuration, padded to `n_fft`.
pub(crate) fn padded_window(config: &FeatureConfig) -> Vec<f64> {
    config
        .window()
        .centered_in(config.win_length(), config.n_fft())
}

/// What a centered analysis finds before the first sample and after the last.
///
/// Names are NumPy's. librosa refuses `wrap`; it is offered here all the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PadMode {
    /// Silence.
    #[default]
    Constant,
    /// The signal mirrored about its first and last sample.
    Reflect,
    /// The first and the last sample, held.
    Edge,
    /// The signal mirrored about its ends, the outer samples twice.
    Symmetric,
    /// The signal again from its other end.
    Wrap,
}

impl PadMode {
    /// Which of `n_samples` stands at `index`, which may lie outside; `None`
    /// for silence.
    pub(crate) fn source(self, index: isize, n_samples: usize) -> Option<usize> {
        let n = n_samples as isize;
        if (0..n).contains(&index) {
            return Some(index as usize);
        }
        match self {
            PadMode::Constant => None,
            PadMode::Edge => Some(index.clamp(0, n - 1) as usize),
            PadMode::Wrap => Some(index.rem_euclid(n) as usize),
            PadMode::Reflect if n == 1 => Some(0),
            PadMode::Reflect => {
                let phase = index.rem_euclid(2 * n - 2);
                Some(phase.min(2 * n - 2 - phase) as usize)
            }
            PadMode::Symmetric => {
                let phase = index.rem_euclid(2 * n);
                Some(phase.min(2 * n - 1 - phase) as usize)
            }
        }
    }
}

/// The complex spectra of a signal's frames.
#[derive(Debug, Clone, PartialEq)]
pub struct Stft {
    /// Frequency bins, `1 + n_fft / 2`.
    pub n_bins: usize,
    /// Frames in time.
    pub n_frames: usize,
    /// Row-major `[n_bins, n_frames]`.
    pub values: Vec<Complex32>,
}

/// Transforms a signal frame by frame, as `librosa.stft` does.
///
/// Reads from the configuration what concerns framing: `n_fft`, `hop_length`,
/// `win_length`, `window`, `center` and `pad_mode`.
///
/// # Errors
///
/// When the signal is empty, too short for an uncentered analysis, or so long
/// that the result would not fit in memory.
pub fn stft(samples: &[f32], config: &FeatureConfig) -> Result<Stft, AudioError> {
    let frames = Frames::new(samples, config, config.n_bins())?;
    let (n_bins, n_frames) = (config.n_bins(), frames.count());
    let transform = Transform::<f64>::new(&padded_window(config));
    let mut scratch = transform.scratch();
    let mut spectrum = vec![Complex32::default(); n_bins];
    let mut values = vec![Complex32::default(); n_bins * n_frames];
    for t in 0..n_frames {
        transform.spectrum(&frames, t, &mut scratch, &mut spectrum, |bin| {
            Complex::new(bin.re as f32, bin.im as f32)
        });
        for (bin, value) in spectrum.iter().enumerate() {
            values[bin * n_frames + t] = *value;
        }
    }
    Ok(Stft {
        n_bins,
        n_frames,
        values,
    })
}

/// A signal seen as overlapping frames.
pub(crate) struct Frames<'a> {
    samples: &'a [f32],
    n_fft: usize,
    hop_length: usize,
    n_before: usize,
    pad_mode: PadMode,
    /// From where on samples are what continues the signal at its end.
    tail: usize,
    count: usize,
    level: Level,
}

/// The most values that one spectrogram may have: 1 GiB of `f32`.
const MAX_VALUES: usize = 1 << 28;

impl<'a> Frames<'a> {
    /// Checks that the signal has at least one frame and that `n_rows` values
    /// for each of them can be held.
    pub(crate) fn new(
        samples: &'a [f32],
        config: &FeatureConfig,
        n_rows: usize,
    ) -> Result<Self, AudioError> {
        let (n_fft, hop_length) = (config.n_fft(), config.hop_length());
        let n_samples = samples.len();
        if n_samples == 0 {
            return Err(AudioError::EmptyClip);
        }
        let count = config
            .n_frames(n_samples)
            .ok_or(AudioError::TooFewSamples { n_samples, n_fft })?;
        if count.saturating_mul(n_rows) > MAX_VALUES {
            return Err(AudioError::SpectrogramTooLarge {
                n_bands: n_rows,
                n_frames: count,
                max_values: MAX_VALUES,
            });
        }
        Ok(Self {
            samples,
            n_fft,
            hop_length,
            n_before: if config.center() { n_fft / 2 } else { 0 },
            pad_mode: config.pad_mode(),
            tail: tail(n_samples, config),
            count,
            level: instructions::level(),
        })
    }

    /// How many frames there are.
    pub(crate) fn count(&self) -> usize {
        self.count
    }

    /// Writes frame `t`, multiplied by `window`, two samples as one number.
    fn windowed_pairs<T: Sample>(&self, t: usize, window: &[T], pairs: &mut [Complex<T>]) {
        let Some(samples) = self.inside(t) else {
            return self.windowed(t, window, |i, sample| match i % 2 {
                0 => pairs[i / 2].re = sample,
                _ => pairs[i / 2].im = sample,
            });
        };
        dispatch!(self.level, _simd => weigh_pairs(samples, window, pairs));
    }

    /// Hands over each sample of frame `t`, multiplied by `window`.
    fn windowed<T: Sample>(&self, t: usize, window: &[T], mut write: impl FnMut(usize, T)) {
        for (i, (sample, &weight)) in self.padded(t).zip(window).enumerate() {
            write(i, T::from(sample) * weight);
        }
    }

    /// Samples of a frame.
    pub(crate) fn n_fft(&self) -> usize {
        self.n_fft
    }

    /// The samples of frame `t`, padded where it reaches beyond the signal.
    pub(crate) fn padded(&self, t: usize) -> impl Iterator<Item = f32> {
        let start = self.start(t);
        let n_samples = self.samples.len();
        (0..self.n_fft as isize).map(move |i| {
            let index = start + i;
            // Only what continues the signal is seen from its tail.
            let from = match index >= n_samples as isize {
                true => self.tail,
                false => 0,
            };
            let source = self
                .pad_mode
                .source(index - from as isize, n_samples - from);
            source.map_or(0.0, |index| self.samples[from + index])
        })
    }

    /// The samples of frame `t`, if all of them are there.
    pub(crate) fn inside(&self, t: usize) -> Option<&'a [f32]> {
        let start = usize::try_from(self.start(t)).ok()?;
        self.samples.get(start..start + self.n_fft)
    }

    fn start(&self, t: usize) -> isize {
        (t * self.hop_length) as isize - self.n_before as isize
    }
}

/// From where on samples are what continues a signal at its end.
///
/// That is from the first one, with one exception. librosa continues the frames that reach
/// beyond the end by themselves, from the first sample of the first of them. Where that is
/// a single frame of which just half lies within the signal, mirroring about the last
/// sample wants one sample more than there is, and is mirrored again. Where frames do not
/// overlap by more than half, all of this is so if the signal has a whole number of hops;
/// but if the first frame is the only one before it, librosa pads the signal in one piece.
fn tail(n_samples: usize, config: &FeatureConfig) -> usize {
    let (n_fft, hop_length) = (config.n_fft(), config.hop_length());
    let is_halved = config.center()
        && n_fft.is_multiple_of(2)
        && hop_length >= n_fft / 2
        && n_samples.is_multiple_of(hop_length)
        && n_samples > hop_length;
    match config.pad_mode() {
        PadMode::Reflect if is_halved => n_samples - n_fft / 2,
        _ => 0,
    }
}

/// Multiplies two samples at a time by their places in the window.
#[inline(always)]
fn weigh_pairs<T: Sample>(samples: &[f32], window: &[T], pairs: &mut [Complex<T>]) {
    let (samples, window) = (samples.as_chunks::<2>().0, window.as_chunks::<2>().0);
    for ((pair, samples), window) in pairs.iter_mut().zip(samples).zip(window) {
        pair.re = T::from(samples[0]) * window[0];
        pair.im = T::from(samples[1]) * window[1];
    }
}

/// A window and a planned transform of one length in one precision.
pub(crate) struct Transform<T: Sample> {
    window: Vec<T>,
    transform: RealTransform<T>,
}

impl<T: Sample> Transform<T> {
    /// The transform of as many samples as a window has.
    pub(crate) fn new(window: &[f64]) -> Self {
        Self {
            window: window.iter().map(|&weight| T::rounded(weight)).collect(),
            transform: RealTransform::new(window.len()),
        }
    }

    pub(crate) fn scratch(&self) -> RealScratch<T> {
        self.transform.scratch()
    }

    /// Writes what `value` makes of each bin of the spectrum of frame `t`.
    pub(crate) fn spectrum<O>(
        &self,
        frames: &Frames<'_>,
        t: usize,
        scratch: &mut RealScratch<T>,
        bins: &mut [O],
        value: impl Fn(Complex<T>) -> O,
    ) {
        let values = scratch.values_mut();
        if self.transform.is_paired() {
            frames.windowed_pairs(t, &self.window, values);
        } else {
            frames.windowed(t, &self.window, |i, sample| {
                values[i] = Complex::new(sample, T::ZERO);
            });
        }
        self.transform.run(scratch, bins, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::features::FeatureSettings;

    #[track_caller]
    fn check_padding(mode: PadMode, expected: &str) {
        let around = (-5..8).map(|i| match mode.source(i, 3) {
            Some(index) => ["a", "b", "c"][index],
            None => ".",
        });
        assert_eq!(around.collect::<String>(), expected);
    }

    #[test]
    fn padding_goes_on_as_numpy_does() {
        check_padding(PadMode::Constant, ".....abc.....");
        check_padding(PadMode::Edge, "aaaaaabcccccc");
        check_padding(PadMode::Reflect, "babcbabcbabcb");
        check_padding(PadMode::Symmetric, "bccbaabccbaab");
        check_padding(PadMode::Wrap, "bcabcabcabcab");
    }

    #[test]
    fn a_window_of_one_sample_is_one() {
        for window in [
            Window::Hann,
            Window::FlatTop,
            Window::Bartlett,
            Window::Rectangular,
        ] {
            assert_eq!(window.samples(1), [1.0]);
        }
    }

    #[test]
    fn a_short_window_stands_in_the_middle_of_its_frame() {
        let padded = Window::Rectangular.centered_in(3, 8);
        assert_eq!(padded, [0.0, 0.0, 1.0, 1.0, 1.0, 0.0, 0.0, 0.0]);
    }

    #[test]
    fn no_samples_too_few_and_far_too_many_are_refused() {
        let settings = |hop_length, center| FeatureSettings {
            hop_length,
            center,
            ..FeatureSettings::default()
        };
        let check = |samples: &[f32], settings, expected: &str| {
            let config = FeatureConfig::new(settings).expect("valid");
            let error = stft(samples, &config).expect_err("refused").to_string();
            assert!(error.contains(expected), "{error}");
        };
        check(&[], settings(512, true), "no samples");
        check(
            &[0.0; 1000],
            settings(512, false),
            "1000 samples, fewer than `n_fft` = 1024",
        );
        check(
            &vec![0.0; 600_000],
            settings(1, true),
            "513 bands of 600001 frames",
        );
    }
}
