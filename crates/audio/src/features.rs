//! From samples to features in one pass: frame, transform, gather, decibels.
//!
//! [`FeatureConfig`] says how; [`FeatureExtractor`] does it, again and again,
//! with the plan, the window and the filters made once.
//!
//! Cepstra live in [`crate::mfcc`], PCEN in [`crate::pcen`].

mod config;

pub(crate) use config::within;
pub use config::{FeatureConfig, FeatureScale, FeatureSettings, MAX_N_FFT, MAX_N_MELS};

use crate::decibel::power_to_db;
use crate::error::AudioError;
use crate::mel::{MelFilterbank, mel_filterbank};
use crate::spectrogram::Spectrogram;
use crate::stft::{Frames, Transform};

/// Turns waveforms into features, always in the same way.
///
/// Made once and shared between threads.
pub struct FeatureExtractor {
    config: FeatureConfig,
    filterbank: MelFilterbank,
    exact: Transform<f64>,
    fast: Transform<f32>,
}

impl FeatureExtractor {
    /// Plans the transform and builds window and filters.
    pub fn new(config: &FeatureConfig) -> Self {
        Self {
            config: config.clone(),
            filterbank: mel_filterbank(config),
            exact: Transform::new(config),
            fast: Transform::new(config),
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
    /// When the signal is empty, too short for an uncentered analysis, or so
    /// long that the result would not fit in memory.
    pub fn extract(&self, samples: &[f32]) -> Result<Spectrogram, AudioError> {
        let frames = Frames::new(samples, &self.config, self.config.n_mels())?;
        let (n_mels, n_frames) = (self.config.n_mels(), frames.count());
        let mut values = vec![0.0; n_mels * n_frames];
        let mut scratch = self.exact.scratch();
        for t in 0..n_frames {
            let spectrum = self.exact.spectrum(&frames, t, &mut scratch);
            for (m, band) in self.filterbank.bands().iter().enumerate() {
                let bins = &spectrum[band.first_bin..];
                let sum: f32 = band
                    .weights
                    .iter()
                    .zip(bins)
                    .map(|(&w, x)| w * (x.norm() as f32).powf(self.config.power()))
                    .sum();
                values[m * n_frames + t] = sum;
            }
        }
        if let FeatureScale::Db {
            reference,
            amin,
            top_db,
        } = self.config.scale()
        {
            power_to_db(&mut values, reference, amin, top_db)?;
        }
        Ok(Spectrogram::new(n_mels, n_frames, values))
    }
}
