//! Mel-frequency cepstral coefficients, as `librosa.feature.mfcc` gives them:
//! a cosine transform over the bands of a spectrogram in decibels.
//!
//! The spectrogram comes from [`crate::features`].

use std::f64::consts::PI;

use serde::{Deserialize, Serialize};

use crate::error::AudioError;
use crate::features::within;
use crate::spectrogram::Spectrogram;

/// How decibels become cepstral coefficients. Names and defaults are librosa's.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MfccConfig {
    /// Coefficients kept, from the lowest on.
    pub n_mfcc: usize,
    /// Which cosine transform.
    pub dct_type: DctType,
    /// How it is scaled.
    pub norm: DctNorm,
    /// Strength of the liftering that raises higher coefficients; 0 for none.
    pub lifter: f32,
}

impl Default for MfccConfig {
    fn default() -> Self {
        Self {
            n_mfcc: 20,
            dct_type: DctType::Two,
            norm: DctNorm::Ortho,
            lifter: 0.0,
        }
    }
}

/// A kind of discrete cosine transform.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "u8", into = "u8")]
pub enum DctType {
    /// The usual one.
    Two,
    /// Its inverse, which HTK uses.
    Three,
}

impl TryFrom<u8> for DctType {
    type Error = String;

    fn try_from(number: u8) -> Result<Self, String> {
        match number {
            2 => Ok(DctType::Two),
            3 => Ok(DctType::Three),
            _ => Err(format!("`dct_type` is {number}, neither 2 nor 3")),
        }
    }
}

impl From<DctType> for u8 {
    fn from(kind: DctType) -> Self {
        match kind {
            DctType::Two => 2,
            DctType::Three => 3,
        }
    }
}

/// How a cosine transform is scaled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DctNorm {
    /// So that it keeps lengths.
    Ortho,
    /// As its textbook sum, doubled as in SciPy.
    None,
}

/// The cepstral coefficients of a spectrogram in decibels, `[n_mfcc, n_frames]`.
///
/// # Errors
///
/// When more coefficients are asked for than there are bands, none at all, or
/// the lifter is negative.
pub fn mfcc(db: &Spectrogram, config: &MfccConfig) -> Result<Spectrogram, AudioError> {
    let n_bands = db.n_bands;
    within("n_mfcc", config.n_mfcc as f64, 1.0, n_bands as f64)?;
    within("lifter", config.lifter.into(), 0.0, f64::MAX)?;
    let mut values = Vec::with_capacity(config.n_mfcc * db.n_frames);
    let mut sums = vec![0.0_f64; db.n_frames];
    for k in 0..config.n_mfcc {
        sums.fill(0.0);
        for band in 0..n_bands {
            let weight = config.weight(k, band, n_bands);
            for (sum, &value) in sums.iter_mut().zip(db.row(band)) {
                *sum += weight * f64::from(value);
            }
        }
        values.extend(sums.iter().map(|&sum| sum as f32));
    }
    Ok(Spectrogram::new(config.n_mfcc, db.n_frames, values))
}

impl MfccConfig {
    /// What one band contributes to coefficient `k`: the formulas of
    /// `scipy.fft.dct`, times the lifter.
    fn weight(&self, k: usize, band: usize, n_bands: usize) -> f64 {
        let (k, n, count) = (k as f64, band as f64, n_bands as f64);
        let cosine = match self.dct_type {
            DctType::Two => 2.0 * (PI * k * (2.0 * n + 1.0) / (2.0 * count)).cos(),
            DctType::Three if band == 0 => 1.0,
            DctType::Three => 2.0 * (PI * (2.0 * k + 1.0) * n / (2.0 * count)).cos(),
        };
        let edge = match self.dct_type {
            DctType::Two => k == 0.0,
            DctType::Three => band == 0,
        };
        let scale = match (self.norm, self.dct_type) {
            (DctNorm::None, _) => 1.0,
            (DctNorm::Ortho, DctType::Two) if edge => (0.25 / count).sqrt(),
            (DctNorm::Ortho, DctType::Three) if edge => (1.0 / count).sqrt(),
            (DctNorm::Ortho, _) => (0.5 / count).sqrt(),
        };
        cosine * scale * self.lift(k)
    }

    fn lift(&self, k: f64) -> f64 {
        let lifter = f64::from(self.lifter);
        if lifter == 0.0 {
            return 1.0;
        }
        1.0 + lifter / 2.0 * (PI * (k + 1.0) / lifter).sin()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_coefficients_than_bands_are_refused() {
        let db = Spectrogram::new(4, 2, vec![0.0; 8]);
        for n_mfcc in [0, 5] {
            let config = MfccConfig {
                n_mfcc,
                ..MfccConfig::default()
            };
            let error = mfcc(&db, &config).expect_err("refused").to_string();
            assert!(error.contains("`n_mfcc` is"), "{error}");
        }
    }

    #[test]
    fn the_kind_of_transform_is_written_as_its_number() {
        let config: MfccConfig = serde_json::from_str(r#"{"dct_type": 3}"#).expect("valid");
        assert_eq!(config.dct_type, DctType::Three);
        assert!(serde_json::from_str::<MfccConfig>(r#"{"dct_type": 4}"#).is_err());
    }
}
