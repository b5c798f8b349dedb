//! From samples to features in one pass: frame, transform, gather, decibels.
//!
//! [`FeatureConfig`] says how; [`FeatureExtractor`] does it, again and again,
//! with the plan, the window and the filters made once.
//!
//! Cepstra live in [`crate::mfcc`], PCEN in [`crate::pcen`].

mod block;
mod config;
mod filters;

pub(crate) use config::within;
pub use config::{FeatureConfig, FeatureScale, FeatureSettings, MAX_N_FFT, MAX_N_MELS};

use crate::decibel::{self, Reference};
use crate::error::AudioError;
use crate::mel::{MelFilterbank, mel_filterbank};
use crate::spectrogram::Spectrogram;
use crate::stft::{Frames, Transform};
use block::{Block, LANES, Precision};
use filters::Filters;

/// Turns waveforms into features, always in the same way.
///
/// Made once and shared between threads; what a call needs beyond its result is
/// a few buffers of the size of a frame.
///
/// librosa transforms in double precision, which takes three times as long as
/// single precision. Most frames do not need it: single precision is used, its
/// error estimated from the frame's energy, and only frames in which a band
/// lies so far below the rest that the estimate exceeds the promised accuracy
/// (relative 1e-4) are transformed again in double precision.
///
/// ```
/// # use biophony_audio::{FeatureConfig, FeatureExtractor};
/// let extractor = FeatureExtractor::new(&FeatureConfig::default());
/// let second = vec![0.5; 22_050];
/// let features = extractor.extract(&second)?;
/// assert_eq!((features.n_bands, features.n_frames), (64, 44));
/// # Ok::<(), biophony_audio::AudioError>(())
/// ```
pub struct FeatureExtractor {
    config: FeatureConfig,
    filterbank: MelFilterbank,
    filters: Filters,
    fast: Transform<f32>,
    exact: Transform<f64>,
    precision: Precision,
}

impl FeatureExtractor {
    /// Plans the transform and builds window and filters.
    pub fn new(config: &FeatureConfig) -> Self {
        let filterbank = mel_filterbank(config);
        Self {
            precision: Precision::of(&filterbank, config),
            filters: Filters::of(&filterbank),
            fast: Transform::new(config),
            exact: Transform::new(config),
            config: config.clone(),
            filterbank,
        }
    }

    /// The configuration it was made from.
    pub fn config(&self) -> &FeatureConfig {
        &self.config
    }

    /// The mel filters.
    pub fn filterbank(&self) -> &MelFilterbank {
        &self.filterbank
    }

    /// The window, padded to `n_fft`.
    pub fn window(&self) -> &[f32] {
        self.fast.window()
    }

    /// The features of a signal at the configuration's sample rate, as
    /// `librosa.feature.melspectrogram` and `librosa.power_to_db` give them.
    ///
    /// # Errors
    ///
    /// When the signal is empty, holds a value that is no number, is too short
    /// for an uncentered analysis, or so long that the result would not fit in
    /// memory.
    pub fn extract(&self, samples: &[f32]) -> Result<Spectrogram, AudioError> {
        let frames = Frames::new(samples, &self.config, self.config.n_mels())?;
        let (n_mels, n_frames) = (self.config.n_mels(), frames.count());
        let mut values = vec![0.0; n_mels * n_frames]; // [n_mels, n_frames]
        let mut block = Block::new(self);
        for first in (0..n_frames).step_by(LANES) {
            let n = LANES.min(n_frames - first);
            block.fill(self, &frames, first, n);
            if !block.is_finite() {
                check_finite(samples)?;
            }
            if let FeatureScale::Db { amin, .. } = self.config.scale() {
                decibel::to_db(block.bands_mut().as_flattened_mut(), amin);
            }
            for (row, lanes) in values.chunks_exact_mut(n_frames).zip(block.bands_mut()) {
                row[first..first + n].copy_from_slice(&lanes[..n]);
            }
        }
        self.finish_db(&mut values, block.loudest());
        Ok(Spectrogram::new(n_mels, n_frames, values))
    }

    /// What decibels need to know the whole clip for: the reference and the
    /// floor.
    fn finish_db(&self, db: &mut [f32], loudest: f32) {
        let FeatureScale::Db {
            reference,
            amin,
            top_db,
        } = self.config.scale()
        else {
            return;
        };
        let zero = match reference {
            Reference::Value(value) => value,
            Reference::Max => loudest,
        };
        decibel::shift_and_clip(db, decibel::level(zero, amin), top_db);
    }
}

/// Names the first sample that is infinite or not a number.
fn check_finite(samples: &[f32]) -> Result<(), AudioError> {
    match samples.iter().position(|sample| !sample.is_finite()) {
        Some(index) => Err(AudioError::NotFinite {
            index,
            value: samples[index],
        }),
        None => Ok(()),
    }
}
