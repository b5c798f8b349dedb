//! Random variations of training windows, so that the network does not learn
//! the accidents of a few hundred clips.
//!
//! Everything happens on prepared spectrograms. Doing it on waveforms would
//! mean a Fourier transform for every clip and epoch, which costs more than the
//! training step itself; here a window costs well under a millisecond. What is
//! lost is phase: noise and backgrounds are added as power, which is what two
//! unrelated sounds do on average. Tempo and pitch change by interpolation, which
//! blurs a little.
//!
//! The order: a random window, faster or slower, higher or lower; time roll, gain,
//! noise, background, and after normalization masks (SpecAugment, Park et al. 2019) filled with the mean.
//! Mixing two examples with their labels (mixup, Zhang et al. 2018) concerns a
//! whole batch and is done by [`crate::train`](mod@crate::train), with the settings from here.

mod power;
mod warp;

use biophony_audio::Spectrogram;
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use crate::error::ModelError;
use crate::normalize::Normalizer;
use crate::prepare::{Example, FrontEnd};
use power::{NoiseShape, PowerScale};
use warp::Warp;

/// Which random variations are made, how often and how strongly.
///
/// A probability of 0 turns a variation off.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AugmentConfig {
    /// Whether a window is taken from anywhere in a longer clip, or always from
    /// its middle.
    pub random_crop: bool,
    /// How often a window is read faster or slower than it was recorded.
    pub pace_probability: f64,
    /// The greatest factor of that: 1.25 for up to a quarter faster or slower.
    pub pace_factor: f64,
    /// How often a window is moved up or down in pitch.
    pub pitch_probability: f64,
    /// The greatest move, as a share of the bands.
    pub pitch_share: f64,
    /// How often a window is rotated in time by a random amount.
    pub roll_probability: f64,
    /// How often the level is changed.
    pub gain_probability: f64,
    /// The greatest change of the level, up or down, in decibels.
    pub gain_db: f64,
    /// How often white noise is added.
    pub noise_probability: f64,
    /// The least and the greatest ratio of signal to noise, in decibels.
    pub noise_snr_db: [f64; 2],
    /// How often another training clip is added in the background; the label
    /// stays.
    pub background_probability: f64,
    /// The least and the greatest ratio of the clip to its background, in
    /// decibels.
    pub background_snr_db: [f64; 2],
    /// How often masks are applied.
    pub mask_probability: f64,
    /// How many stretches of time are masked.
    pub time_masks: usize,
    /// The longest stretch, as a share of the window.
    pub time_mask_share: f64,
    /// How many ranges of bands are masked.
    pub band_masks: usize,
    /// The widest range, as a share of the bands.
    pub band_mask_share: f64,
    /// How often an example is mixed with another and takes a part of its label.
    pub mixup_probability: f64,
    /// The shape of the mixing ratio, Beta(alpha, alpha): small values leave
    /// most mixtures near one of the two.
    pub mixup_alpha: f64,
}

impl Default for AugmentConfig {
    fn default() -> Self {
        Self {
            random_crop: true,
            pace_probability: 0.0,
            pace_factor: 1.25,
            pitch_probability: 0.0,
            pitch_share: 0.05,
            roll_probability: 1.0,
            gain_probability: 1.0,
            gain_db: 6.0,
            noise_probability: 0.0,
            noise_snr_db: [5.0, 40.0],
            background_probability: 0.0,
            background_snr_db: [5.0, 25.0],
            mask_probability: 1.0,
            time_masks: 1,
            time_mask_share: 0.15,
            band_masks: 1,
            band_mask_share: 0.125,
            mixup_probability: 1.0,
            mixup_alpha: 0.3,
        }
    }
}

impl AugmentConfig {
    /// No variation at all: every epoch sees the same windows.
    pub fn none() -> Self {
        Self {
            random_crop: false,
            pace_probability: 0.0,
            pitch_probability: 0.0,
            roll_probability: 0.0,
            gain_probability: 0.0,
            noise_probability: 0.0,
            background_probability: 0.0,
            mask_probability: 0.0,
            mixup_probability: 0.0,
            ..Self::default()
        }
    }

    /// Whether every value makes sense.
    ///
    /// # Errors
    ///
    /// Names the first that does not.
    pub fn check(&self) -> Result<(), ModelError> {
        for (field, value) in [
            ("augment.pace_probability", self.pace_probability),
            ("augment.pitch_probability", self.pitch_probability),
            ("augment.pitch_share", self.pitch_share),
            ("augment.roll_probability", self.roll_probability),
            ("augment.gain_probability", self.gain_probability),
            ("augment.noise_probability", self.noise_probability),
            (
                "augment.background_probability",
                self.background_probability,
            ),
            ("augment.mask_probability", self.mask_probability),
            ("augment.mixup_probability", self.mixup_probability),
            ("augment.time_mask_share", self.time_mask_share),
            ("augment.band_mask_share", self.band_mask_share),
        ] {
            check_range(field, value, [0.0, 1.0])?;
        }
        check_range("augment.pace_factor", self.pace_factor, [1.0, 4.0])?;
        check_range("augment.gain_db", self.gain_db, [0.0, 60.0])?;
        check_range("augment.mixup_alpha", self.mixup_alpha, [1e-3, 100.0])?;
        check_range("augment.time_masks", self.time_masks as f64, [0.0, 64.0])?;
        check_range("augment.band_masks", self.band_masks as f64, [0.0, 64.0])?;
        for (field, [least, greatest]) in [
            ("augment.noise_snr_db", self.noise_snr_db),
            ("augment.background_snr_db", self.background_snr_db),
        ] {
            check_range(field, least, [-60.0, 120.0])?;
            check_range(field, greatest, [-60.0, 120.0])?;
            if least > greatest {
                return Err(ModelError::InvalidSetting {
                    field,
                    value: format!("[{least}, {greatest}]"),
                    reason: "the least comes first, and then the greatest".to_owned(),
                });
            }
        }
        Ok(())
    }
}

/// Refuses a value outside of `[least, greatest]`, and NaN.
pub(crate) fn check_range(
    field: &'static str,
    value: f64,
    [least, greatest]: [f64; 2],
) -> Result<(), ModelError> {
    if (least..=greatest).contains(&value) {
        return Ok(());
    }
    Err(ModelError::InvalidSetting {
        field,
        value: value.to_string(),
        reason: format!("at least {least} and at most {greatest}"),
    })
}

/// Draws random variations of training windows.
#[derive(Debug)]
pub(crate) struct Augmenter<'a> {
    config: &'a AugmentConfig,
    examples: &'a [Example],
    normalizer: &'a Normalizer,
    scale: PowerScale,
    noise: NoiseShape,
    n_frames: usize,
}

impl<'a> Augmenter<'a> {
    /// For windows of `n_frames`, which every example must at least have.
    pub(crate) fn new(
        config: &'a AugmentConfig,
        front: &FrontEnd,
        examples: &'a [Example],
        normalizer: &'a Normalizer,
        n_frames: usize,
    ) -> Self {
        Self {
            config,
            examples,
            normalizer,
            scale: PowerScale::of(&front.features),
            noise: NoiseShape::of(&front.features),
            n_frames,
        }
    }

    /// The number of values of a window.
    pub(crate) fn n_inputs(&self) -> usize {
        self.normalizer.n_bands() * self.n_frames
    }

    /// Writes a random variation of one example, normalized.
    ///
    /// # Shapes
    ///
    /// - `window`: `[bands, frames]`, row-major
    pub(crate) fn draw(&self, index: usize, rng: &mut ChaCha8Rng, window: &mut [f32]) {
        let config = self.config;
        let warp = self.warp(rng);
        self.crop(&self.examples[index].features, warp, rng, window);
        if happens(config.gain_probability, rng) {
            let decibels = rng.random_range(-config.gain_db..=config.gain_db);
            self.scale.change_level(window, decibels as f32);
        }
        let noise = happens(config.noise_probability, rng);
        let background = happens(config.background_probability, rng);
        if noise || background {
            self.scale.linearize(window);
            if noise {
                let snr = self.ratio(config.noise_snr_db, rng);
                self.noise.add(window, snr, rng);
            }
            if background {
                let snr = self.ratio(config.background_snr_db, rng);
                self.add_background(window, snr, rng);
            }
            self.scale.restore(window);
        }
        self.normalizer.apply(window);
        if happens(config.mask_probability, rng) {
            self.mask(window, rng);
        }
    }

    /// How much faster and higher a window is read.
    fn warp(&self, rng: &mut ChaCha8Rng) -> Warp {
        let config = self.config;
        let mut warp = Warp::NONE;
        if happens(config.pace_probability, rng) {
            // As often faster as slower by the same factor.
            let greatest = config.pace_factor.ln();
            warp.pace = rng.random_range(-greatest..=greatest).exp();
        }
        if happens(config.pitch_probability, rng) {
            let greatest = config.pitch_share * self.normalizer.n_bands() as f64;
            warp.shift = rng.random_range(-greatest..=greatest);
        }
        warp
    }

    /// Reads a window of the clip, rotated in time.
    fn crop(&self, features: &Spectrogram, warp: Warp, rng: &mut ChaCha8Rng, window: &mut [f32]) {
        let last = features.n_frames.saturating_sub(warp.span(self.n_frames));
        let first = match self.config.random_crop {
            true => rng.random_range(0..=last),
            false => last / 2,
        };
        let shift = match happens(self.config.roll_probability, rng) {
            true => rng.random_range(0..self.n_frames),
            false => 0,
        };
        warp.read(features, first, self.n_frames, window);
        for row in window.chunks_exact_mut(self.n_frames) {
            row.rotate_right(shift);
        }
    }

    /// Adds the power of a random window of a random clip.
    fn add_background(&self, window: &mut [f32], ratio: f64, rng: &mut ChaCha8Rng) {
        let other = &self.examples[rng.random_range(0..self.examples.len())].features;
        let mut background = vec![0.0; window.len()];
        self.crop(other, Warp::NONE, rng, &mut background);
        self.scale.linearize(&mut background);
        power::add_at_ratio(window, &background, ratio);
    }

    /// A ratio of powers from a range in decibels.
    fn ratio(&self, [least, greatest]: [f64; 2], rng: &mut ChaCha8Rng) -> f64 {
        10_f64.powf(rng.random_range(least..=greatest) / 10.0)
    }

    /// Sets random stretches of time and ranges of bands to the mean, which
    /// normalization has made 0.
    fn mask(&self, window: &mut [f32], rng: &mut ChaCha8Rng) {
        let config = self.config;
        for _ in 0..config.time_masks {
            let (first, n) = stretch(self.n_frames, config.time_mask_share, rng);
            for row in window.chunks_exact_mut(self.n_frames) {
                row[first..first + n].fill(0.0);
            }
        }
        let n_bands = window.len() / self.n_frames;
        for _ in 0..config.band_masks {
            let (first, n) = stretch(n_bands, config.band_mask_share, rng);
            window[first * self.n_frames..(first + n) * self.n_frames].fill(0.0);
        }
    }
}

/// Whether something of this probability happens now. Draws one number always, also
/// for what never happens; what does happen draws its own after it.
pub(crate) fn happens(probability: f64, rng: &mut ChaCha8Rng) -> bool {
    rng.random::<f64>() < probability
}

/// A random stretch of at most `share` of `extent`: where it begins and how
/// long it is.
fn stretch(extent: usize, share: f64, rng: &mut ChaCha8Rng) -> (usize, usize) {
    let longest = ((extent as f64 * share) as usize).min(extent);
    let n = rng.random_range(0..=longest);
    (rng.random_range(0..=extent - n), n)
}

#[cfg(test)]
#[path = "augment/tests.rs"]
mod tests;
