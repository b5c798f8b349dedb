//! Mel filterbanks: triangular filters that gather a power spectrum into bands.
//!
//! Two scales are offered, [`MelScale::Slaney`] and [`MelScale::Htk`], as in
//! `librosa.filters.mel`. Filters are kept sparse: a band knows its first bin
//! and the weights from there on.
//!
//! The Fourier transform lives in [`crate::stft`]; decibels in
//! [`crate::decibel`].

use serde::{Deserialize, Serialize};

use crate::features::FeatureConfig;

/// Which formula places a frequency on the mel scale.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MelScale {
    /// Linear below 1 kHz and logarithmic above, as in Slaney's Auditory
    /// Toolbox; librosa's `htk=False`.
    #[default]
    Slaney,
    /// `2595 · log10(1 + f / 700)`, as in the HTK Book; librosa's `htk=True`.
    Htk,
}

/// How a filter's height follows from its width.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MelNorm {
    /// `2 / width`, so that a flat spectrum gives equal bands; librosa's
    /// `norm="slaney"`.
    #[default]
    Slaney,
    /// Every filter peaks at one; librosa's `norm=None`.
    None,
}

/// Slaney's scale: 3 mels in 200 Hz up to here.
const LINEAR_UNTIL_HZ: f64 = 1000.0;
const HZ_PER_MEL: f64 = 200.0 / 3.0;

/// Above, 27 mels for each factor of 6.4 in frequency.
fn log_step() -> f64 {
    6.4_f64.ln() / 27.0
}

impl MelScale {
    /// Places a frequency on the scale.
    ///
    /// ```
    /// # use biophony_audio::MelScale;
    /// assert_eq!(MelScale::Slaney.from_hertz(200.0), 3.0);
    /// assert!((MelScale::Htk.from_hertz(1000.0) - 1000.0).abs() < 0.1);
    /// ```
    pub fn from_hertz(self, hertz: f64) -> f64 {
        match self {
            MelScale::Htk => 2595.0 * (1.0 + hertz / 700.0).log10(),
            MelScale::Slaney if hertz < LINEAR_UNTIL_HZ => hertz / HZ_PER_MEL,
            MelScale::Slaney => {
                LINEAR_UNTIL_HZ / HZ_PER_MEL + (hertz / LINEAR_UNTIL_HZ).ln() / log_step()
            }
        }
    }

    /// The frequency at a place on the scale.
    pub fn to_hertz(self, mel: f64) -> f64 {
        let linear_until = LINEAR_UNTIL_HZ / HZ_PER_MEL;
        match self {
            MelScale::Htk => 700.0 * (10.0_f64.powf(mel / 2595.0) - 1.0),
            MelScale::Slaney if mel < linear_until => HZ_PER_MEL * mel,
            MelScale::Slaney => LINEAR_UNTIL_HZ * (log_step() * (mel - linear_until)).exp(),
        }
    }

    /// `n` frequencies from `fmin` to `fmax`, equally spaced on the scale;
    /// `librosa.mel_frequencies`.
    pub fn frequencies(self, n: usize, fmin: f64, fmax: f64) -> Vec<f64> {
        let (low, high) = (self.from_hertz(fmin), self.from_hertz(fmax));
        let step = (high - low) / (n.max(2) - 1) as f64;
        let mel = |i: usize| {
            if i + 1 == n {
                high
            } else {
                low + i as f64 * step
            }
        };
        (0..n).map(|i| self.to_hertz(mel(i))).collect()
    }
}

/// The filters that turn a spectrum of `1 + n_fft / 2` bins into `n_mels` bands.
#[derive(Debug, Clone, PartialEq)]
pub struct MelFilterbank {
    n_bins: usize,
    bands: Vec<Band>,
    centers_hz: Vec<f64>,
}

/// One filter: its first bin with a weight, and the weights from there on.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Band {
    pub(crate) first_bin: usize,
    pub(crate) weights: Vec<f32>,
}

/// Builds the filterbank that a configuration describes, as
/// `librosa.filters.mel` does.
pub fn mel_filterbank(config: &FeatureConfig) -> MelFilterbank {
    let rate = f64::from(config.sample_rate().hertz());
    let bin_hz = 1.0 / (config.n_fft() as f64 * (1.0 / rate));
    let edges = config.mel_scale().frequencies(
        config.n_mels() + 2,
        f64::from(config.fmin()),
        f64::from(config.fmax()),
    );
    let bands = edges
        .windows(3)
        .map(|edge| Band::triangle([edge[0], edge[1], edge[2]], bin_hz, config))
        .collect();
    MelFilterbank {
        n_bins: config.n_bins(),
        bands,
        centers_hz: edges[1..edges.len() - 1].to_vec(),
    }
}

impl Band {
    fn triangle([low, center, high]: [f64; 3], bin_hz: f64, config: &FeatureConfig) -> Self {
        let height = match config.norm() {
            MelNorm::Slaney => 2.0 / (high - low),
            MelNorm::None => 1.0,
        };
        let weight = |bin: usize| {
            let hertz = bin as f64 * bin_hz;
            let rising = (hertz - low) / (center - low);
            let falling = (high - hertz) / (high - center);
            // librosa rounds to `f32` before it normalizes, and so do we.
            (f64::from(rising.min(falling).max(0.0) as f32) * height) as f32
        };
        // One bin of margin on either side, then trimmed: division may round
        // an edge onto the wrong side of a bin.
        let from = ((low / bin_hz) as usize).saturating_sub(1);
        let until = ((high / bin_hz) as usize + 2).min(config.n_bins());
        let first_bin = (from..until).find(|&bin| weight(bin) > 0.0).unwrap_or(0);
        let weights = (first_bin..until)
            .map(weight)
            .take_while(|&weight| weight > 0.0)
            .collect();
        Self { first_bin, weights }
    }
}

impl MelFilterbank {
    /// How many bands come out.
    pub fn n_mels(&self) -> usize {
        self.bands.len()
    }

    /// How many bins go in.
    pub fn n_bins(&self) -> usize {
        self.n_bins
    }

    /// The frequencies at which the filters peak.
    pub fn centers_hz(&self) -> &[f64] {
        &self.centers_hz
    }

    /// The same filters as a dense matrix, row-major `[n_mels, n_bins]`.
    pub fn to_dense(&self) -> Vec<f32> {
        let mut dense = vec![0.0; self.bands.len() * self.n_bins];
        for (row, band) in dense.chunks_exact_mut(self.n_bins).zip(&self.bands) {
            row[band.first_bin..][..band.weights.len()].copy_from_slice(&band.weights);
        }
        dense
    }

    /// The bands whose filter falls between two bins, so that they stay silent
    /// whatever the sound: there are more bands than `n_fft` can tell apart.
    pub fn empty_bands(&self) -> Vec<usize> {
        let is_empty = |&band: &usize| self.bands[band].weights.is_empty();
        (0..self.bands.len()).filter(is_empty).collect()
    }

    pub(crate) fn bands(&self) -> &[Band] {
        &self.bands
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::features::FeatureSettings;

    fn bank(n_fft: usize, n_mels: usize) -> MelFilterbank {
        let settings = FeatureSettings {
            n_fft,
            n_mels,
            ..FeatureSettings::default()
        };
        mel_filterbank(&FeatureConfig::new(settings).expect("valid"))
    }

    #[test]
    fn both_scales_can_be_walked_back() {
        for scale in [MelScale::Slaney, MelScale::Htk] {
            for hertz in [0.0, 60.0, 999.9, 1000.0, 4321.0, 96_000.0] {
                let back = scale.to_hertz(scale.from_hertz(hertz));
                assert!(
                    (back - hertz).abs() < 1e-8,
                    "{scale:?}: {hertz} became {back}"
                );
            }
        }
    }

    #[test]
    fn more_bands_than_the_transform_can_tell_apart_are_pointed_out() {
        assert_eq!(bank(1024, 64).empty_bands(), [0_usize; 0]);
        let crowded = bank(256, 128).empty_bands();
        assert!(!crowded.is_empty());
        let dense = bank(256, 128).to_dense();
        for (band, row) in dense.chunks_exact(129).enumerate() {
            let is_empty = row.iter().all(|&weight| weight == 0.0);
            assert_eq!(is_empty, crowded.contains(&band), "band {band}");
        }
    }
}
