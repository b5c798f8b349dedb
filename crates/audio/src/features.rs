//! From samples to features in one pass: frame, transform, gather, decibels.
//!
//! [`FeatureConfig`] says how; [`FeatureExtractor`] does it, again and again,
//! with the plan, the window and the filters made once.
//!
//! Cepstra live in [`crate::mfcc`], PCEN in [`crate::pcen`].

mod batch;
mod config;
mod filters;
mod precision;

pub(crate) use config::within;
pub use config::{FeatureConfig, FeatureScale, FeatureSettings, MAX_N_FFT, MAX_N_MELS};

use crate::decibel::{self, Reference};
use crate::error::AudioError;
use crate::mel::{MelFilterbank, mel_filterbank};
use crate::spectrogram::Spectrogram;
use crate::stft::{Frames, Sample, padded_window};
use batch::{Analysis, Batch};
use precision::Precision;

/// Turns waveforms into features, always in the same way.
///
/// Made once and shared between threads; what a call needs beyond its result is
/// a few buffers of the size of sixteen frames.
///
/// librosa transforms in double precision, which takes twice as long as single
/// precision. Most frames do not need it: single precision is used, its error
/// estimated from the frame's energy, and only frames in which a band that counts
/// lies so far below the rest that the estimate exceeds the promised accuracy
/// (relative 1e-4, or 1e-3 dB) are transformed again in double precision.
///
/// Frames are transformed side by side, one in each lane of the processor's vectors, if
/// `n_fft` is a power of two from 256 to 16384, and one by one otherwise, which takes
/// several times as long.
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
    /// Padded to `n_fft`.
    window: Vec<f32>,
    fast: Analysis<f32>,
    exact: Analysis<f64>,
    precision: Precision,
}

impl FeatureExtractor {
    /// Plans the transform and builds window and filters.
    pub fn new(config: &FeatureConfig) -> Self {
        let filterbank = mel_filterbank(config);
        let window = padded_window(config);
        Self {
            precision: Precision::of(&filterbank, config),
            fast: Analysis::new(&window, config, &filterbank),
            exact: Analysis::new(&window, config, &filterbank),
            window: window.into_iter().map(|weight| weight as f32).collect(),
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
        &self.window
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
        let (loudest, doubts) = self.fill_fast(&frames, samples, &mut values)?;
        // Now that the loudest is known, it is known what lies too far below to count.
        let floor = self.precision.floor(loudest);
        let counting = doubts.into_iter().filter(|doubt| doubt.value >= floor);
        self.fill_exact(
            &frames,
            &counting.map(|doubt| doubt.t).collect::<Vec<_>>(),
            &mut values,
        );
        self.finish_db(&mut values, loudest);
        Ok(Spectrogram::new(n_mels, n_frames, values))
    }

    /// All frames in single precision. Returns the loudest band of all, and which frames
    /// that may not be enough for.
    fn fill_fast(
        &self,
        frames: &Frames<'_>,
        samples: &[f32],
        values: &mut [f32],
    ) -> Result<(f32, Vec<Doubt>), AudioError> {
        let (mut loudest, mut doubts) = (0.0, Vec::new());
        let mut batch = self.fast.batch();
        let times: Vec<usize> = (0..frames.count()).collect();
        for times in times.chunks(batch.capacity()) {
            batch.fill(frames, times);
            if !batch.energies[..times.len()]
                .iter()
                .all(|energy| energy.is_finite())
            {
                check_finite(samples)?;
            }
            let largest = decibel::largest_of_rows(&batch.bands);
            loudest = largest[..times.len()]
                .iter()
                .copied()
                .fold(loudest, f32::max);
            let floor = self.precision.floor(loudest);
            let untrusted = self.precision.untrusted(&batch.bands, &batch.energies);
            let pairs = times.iter().zip(untrusted);
            let pairs = pairs.filter(|(_, value)| *value >= floor);
            doubts.extend(pairs.map(|(&t, value)| Doubt { t, value }));
            self.write(&mut batch, times, values);
        }
        Ok((loudest, doubts))
    }

    /// Some frames in double precision.
    fn fill_exact(&self, frames: &Frames<'_>, times: &[usize], values: &mut [f32]) {
        if times.is_empty() {
            return;
        }
        let mut batch = self.exact.batch();
        for times in times.chunks(batch.capacity()) {
            batch.fill(frames, times);
            self.write(&mut batch, times, values);
        }
    }

    /// Writes the bands of the frames at some places in time, as decibels if those are
    /// asked for.
    fn write<T: Sample>(&self, batch: &mut Batch<'_, T>, times: &[usize], values: &mut [f32]) {
        if let FeatureScale::Db { amin, .. } = self.config.scale() {
            decibel::to_db(batch.bands.as_flattened_mut(), amin);
        }
        let n_frames = values.len() / self.config.n_mels();
        for (row, band) in values.chunks_exact_mut(n_frames).zip(&batch.bands) {
            for (&t, &value) in times.iter().zip(band) {
                row[t] = value;
            }
        }
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

/// A frame that single precision may not be enough for.
struct Doubt {
    t: usize,
    /// The largest of the bands that call for more.
    value: f32,
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
