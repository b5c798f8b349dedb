//! How a waveform becomes network input: the same way in training and serving.
//!
//! A [`FrontEnd`] is data and travels in the bundle. It resamples a clip, pads a
//! short one on the waveform, computes the features of the whole clip, and says
//! which windows of a long one are scored. [`Preparer`] is a front end with its
//! filterbank and Fourier plan built, for preparing many clips.
//!
//! Normalization, which is fitted to training data, is in [`crate::normalize`];
//! what happens to a window in training only is in [`crate::augment`].

mod kept;

use std::borrow::Cow;

use biophony_audio::{
    AudioError, Clip, FeatureConfig, FeatureExtractor, FeatureScale, SampleRate, Seconds,
    Spectrogram, resample,
};
use serde::{Deserialize, Serialize};

use crate::error::ModelError;

pub use kept::{read_examples, write_examples};

/// How a waveform becomes network input.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FrontEnd {
    /// How samples become a mel spectrogram.
    pub features: FeatureConfig,
    /// How clips of any length become windows of one length.
    pub clip: ClipShape,
}

/// How clips of any length become windows of one length.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ClipShape {
    /// The length of one window, in seconds.
    pub clip_seconds: f64,
    /// What follows a clip that is shorter than one window.
    pub pad: Pad,
    /// Which windows of a longer clip are scored.
    pub cut: Cut,
    /// The share of a window that the next one repeats, with `all_windows`.
    pub overlap: f64,
}

/// What follows a clip that is shorter than one window.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Pad {
    /// Silence.
    Zeros,
    /// The clip again, from its beginning.
    Repeat,
    /// The clip mirrored at its last sample, then at its first, and so on.
    Reflect,
}

/// Which windows of a clip that is longer than one window are scored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cut {
    /// The first.
    Start,
    /// The one in the middle.
    Center,
    /// The one with the most mel power.
    Loudest,
    /// All, and their scores are averaged.
    AllWindows,
}

/// A prepared clip with its name and class, for training and evaluation.
#[derive(Debug, Clone, PartialEq)]
pub struct Example {
    /// What to call the clip in reports: its path as a rule.
    pub name: String,
    /// The index of its class in the label set.
    pub label: usize,
    /// The features of the whole clip.
    pub features: Spectrogram,
}

/// The longest window that a front end may ask for.
const MAX_CLIP_SECONDS: f64 = 600.0;

impl Default for ClipShape {
    fn default() -> Self {
        Self {
            clip_seconds: 3.0,
            pad: Pad::Repeat,
            cut: Cut::AllWindows,
            overlap: 0.5,
        }
    }
}

impl FrontEnd {
    /// Resamples, pads and transforms one clip.
    ///
    /// The result has at least [`FrontEnd::window_frames`] frames. To prepare
    /// many clips, build a [`Preparer`] once.
    ///
    /// # Errors
    ///
    /// When the clip is empty, holds values that are not numbers, or the front
    /// end's settings contradict each other.
    pub fn prepare(&self, clip: &Clip) -> Result<Spectrogram, ModelError> {
        Preparer::new(self)?.prepare(clip)
    }

    /// The frames of one window: `1 + window_samples / hop_length` when frames
    /// are centered.
    pub fn window_frames(&self) -> usize {
        self.frames_of(self.clip.clip_seconds)
    }

    /// The frames of a waveform of so many seconds.
    pub fn frames_of(&self, seconds: f64) -> usize {
        let n_samples = self.samples_of(seconds);
        if self.features.center() {
            1 + n_samples / self.features.hop_length()
        } else {
            // Only whole transforms inside the signal count.
            1 + n_samples.saturating_sub(self.features.n_fft()) / self.features.hop_length()
        }
    }

    /// The samples of one window at the front end's rate.
    pub fn window_samples(&self) -> usize {
        self.samples_of(self.clip.clip_seconds)
    }

    fn samples_of(&self, seconds: f64) -> usize {
        self.rate().samples_in(Seconds(seconds))
    }

    /// The rate that every clip is brought to.
    pub fn rate(&self) -> SampleRate {
        self.features.sample_rate()
    }

    /// The first frames of the windows that are scored.
    ///
    /// With `all_windows`: the multiples of a hop while whole windows fit, and
    /// one more flush with the end when frames are left over.
    pub fn windows(&self, features: &Spectrogram) -> Vec<usize> {
        let n_window = self.window_frames();
        let last = features.n_frames.saturating_sub(n_window);
        match self.clip.cut {
            Cut::Start => vec![0],
            Cut::Center => vec![last / 2],
            Cut::AllWindows => self.window_grid(last),
            Cut::Loudest => vec![self.loudest(features, &self.window_grid(last))],
        }
    }

    /// The frames from one window to the next, with `all_windows`.
    pub(crate) fn window_hop(&self) -> usize {
        let n_window = self.window_frames() as f64;
        ((n_window * (1.0 - self.clip.overlap)).round() as usize).max(1)
    }

    fn window_grid(&self, last: usize) -> Vec<usize> {
        let mut firsts: Vec<usize> = (0..=last).step_by(self.window_hop()).collect();
        if firsts.last() != Some(&last) {
            firsts.push(last);
        }
        firsts
    }

    fn loudest(&self, features: &Spectrogram, firsts: &[usize]) -> usize {
        let n_window = self.window_frames();
        let power = self.power_per_frame(features);
        let mut loudest = (0, f64::NEG_INFINITY);
        for &first in firsts {
            let end = (first + n_window).min(power.len());
            let sum: f64 = power[first.min(end)..end].iter().sum();
            if sum > loudest.1 {
                loudest = (first, sum);
            }
        }
        loudest.0
    }

    fn power_per_frame(&self, features: &Spectrogram) -> Vec<f64> {
        let decibels = matches!(self.features.scale(), FeatureScale::Db { .. });
        let mut power = vec![0.0_f64; features.n_frames];
        for band in 0..features.n_bands {
            for (sum, &value) in power.iter_mut().zip(features.row(band)) {
                let value = f64::from(value);
                *sum += if decibels {
                    10_f64.powf(value / 10.0)
                } else {
                    value
                };
            }
        }
        power
    }

    /// Whether the settings can work together.
    ///
    /// # Errors
    ///
    /// Names the setting that cannot.
    pub fn check(&self) -> Result<(), ModelError> {
        let ClipShape {
            clip_seconds,
            overlap,
            ..
        } = self.clip;
        let fault = |field, value: f64, reason: String| {
            Err(ModelError::InvalidSetting {
                field,
                value: value.to_string(),
                reason,
            })
        };
        if !(clip_seconds > 0.0 && clip_seconds <= MAX_CLIP_SECONDS) {
            let reason =
                format!("a window lasts more than 0 and at most {MAX_CLIP_SECONDS} seconds");
            return fault("clip_seconds", clip_seconds, reason);
        }
        let least = if self.features.center() {
            1
        } else {
            self.features.n_fft()
        };
        if self.window_samples() < least {
            let reason = format!("at {} a window needs at least {least} samples", self.rate());
            return fault("clip_seconds", clip_seconds, reason);
        }
        if !(0.0..1.0).contains(&overlap) {
            return fault("overlap", overlap, "at least 0 and less than 1".to_owned());
        }
        Ok(())
    }

    /// Whether features could have come from this front end: as many bands as
    /// it has, at least one window of frames, and no infinities.
    ///
    /// # Errors
    ///
    /// Names `name` and what is wrong with it.
    pub fn check_features(&self, name: &str, features: &Spectrogram) -> Result<(), ModelError> {
        let (n_bands, n_frames) = (self.features.n_mels(), self.window_frames());
        if features.n_bands != n_bands || features.n_frames < n_frames {
            return Err(ModelError::FeatureShape {
                name: name.to_owned(),
                found: [features.n_bands, features.n_frames],
                expected: [n_bands, n_frames],
            });
        }
        if features.values().iter().all(|value| value.is_finite()) {
            Ok(())
        } else {
            Err(ModelError::NonFiniteFeatures {
                name: name.to_owned(),
            })
        }
    }
}

/// A front end with its filterbank and Fourier plan built.
pub struct Preparer {
    front: FrontEnd,
    extractor: FeatureExtractor,
}

impl Preparer {
    /// Checks the settings and builds what all clips share.
    ///
    /// # Errors
    ///
    /// When the settings contradict each other.
    pub fn new(front: &FrontEnd) -> Result<Self, ModelError> {
        front.check()?;
        Ok(Self {
            front: front.clone(),
            extractor: FeatureExtractor::new(&front.features),
        })
    }

    /// The settings.
    pub fn front_end(&self) -> &FrontEnd {
        &self.front
    }

    /// Resamples, pads and transforms one clip; see [`FrontEnd::prepare`].
    ///
    /// # Errors
    ///
    /// When the clip is empty or holds values that are not numbers.
    pub fn prepare(&self, clip: &Clip) -> Result<Spectrogram, ModelError> {
        if clip.samples().is_empty() {
            return Err(AudioError::EmptyClip.into());
        }
        if let Some(at) = first_non_finite(clip.samples()) {
            return Err(ModelError::NonFiniteSample { at });
        }
        let resampled = if clip.rate() == self.front.rate() {
            Cow::Borrowed(clip)
        } else {
            Cow::Owned(resample(clip, self.front.rate())?)
        };
        let samples = pad(
            resampled.samples(),
            self.front.window_samples(),
            self.front.clip.pad,
        );
        let features = self.extractor.extract(&samples)?;
        self.front.check_features("the clip", &features)?;
        Ok(features)
    }
}

/// Where the first sample is that is infinite or not a number.
fn first_non_finite(samples: &[f32]) -> Option<usize> {
    let is_finite = |sample: &f32| sample.is_finite();
    // Block by block without stopping within, which compilers turn into vectors.
    let all_finite = |block: &[f32]| block.iter().fold(true, |all, s| all & is_finite(s));
    let bad = samples.chunks(1024).position(|block| !all_finite(block))?;
    let within = &samples[1024 * bad..];
    within
        .iter()
        .position(|s| !is_finite(s))
        .map(|at| 1024 * bad + at)
}

/// Extends `samples` to at least `n_wanted`.
fn pad(samples: &[f32], n_wanted: usize, pad: Pad) -> Cow<'_, [f32]> {
    let n = samples.len();
    if n >= n_wanted || n == 0 {
        return Cow::Borrowed(samples);
    }
    let period = 2 * (n - 1).max(1);
    let padded = (0..n_wanted).map(|i| match pad {
        Pad::Zeros => samples.get(i).copied().unwrap_or(0.0),
        Pad::Repeat => samples[i % n],
        // The ends are not doubled, as in NumPy's `reflect`.
        Pad::Reflect if n > 1 => samples[(i % period).min(period - i % period)],
        Pad::Reflect => samples[0],
    });
    Cow::Owned(padded.collect())
}

#[cfg(test)]
mod tests;
