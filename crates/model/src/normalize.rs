//! Per-band normalization, fitted to the training part only.
//!
//! It is applied after windows are cut (and, in training, after augmentation),
//! so that a band's mean is 0 in what the network sees. Where windows lie is in
//! [`crate::prepare`].

use biophony_audio::Spectrogram;
use serde::{Deserialize, Serialize};

use crate::error::ModelError;
use crate::prepare::Example;

/// Mean and standard deviation of each mel band.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "NormalizerFile")]
pub struct Normalizer {
    /// The mean of each band.
    pub mean: Vec<f32>,
    /// The standard deviation of each band, never zero.
    pub std: Vec<f32>,
}

/// The same as a file has it, not yet checked.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NormalizerFile {
    mean: Vec<f32>,
    std: Vec<f32>,
}

/// A band that varies less than this is taken to be constant: dividing by its
/// deviation would only magnify rounding.
const LEAST_STD: f64 = 1e-3;

impl Normalizer {
    /// The statistics of the training examples.
    ///
    /// Every clip counts the same whatever its length, as it does in training,
    /// where an epoch takes one window of each.
    ///
    /// # Errors
    ///
    /// When there are no examples, or their band counts differ.
    pub fn fit(examples: &[Example]) -> Result<Self, ModelError> {
        let first = examples.first().ok_or(ModelError::NoExamples)?;
        let n_bands = first.features.n_bands;
        let mut mean = vec![0.0_f64; n_bands];
        let mut square = vec![0.0_f64; n_bands];
        for example in examples {
            let features = &example.features;
            if features.n_bands != n_bands || features.n_frames == 0 {
                return Err(ModelError::FeatureShape {
                    name: example.name.clone(),
                    found: [features.n_bands, features.n_frames],
                    expected: [n_bands, 1],
                });
            }
            for band in 0..n_bands {
                let (row_mean, row_square) = moments(features.row(band));
                mean[band] += row_mean / examples.len() as f64;
                square[band] += row_square / examples.len() as f64;
            }
        }
        let std = mean
            .iter()
            .zip(&square)
            .map(|(mean, square)| (square - mean * mean).max(0.0).sqrt());
        let std = std.map(|std| if std < LEAST_STD { 1.0 } else { std as f32 });
        Ok(Self {
            std: std.collect(),
            mean: mean.iter().map(|&mean| mean as f32).collect(),
        })
    }

    /// How many bands there are.
    pub fn n_bands(&self) -> usize {
        self.mean.len()
    }

    /// Normalizes a window in place.
    ///
    /// # Shapes
    ///
    /// - `window`: `[bands, frames]`, row-major
    ///
    /// # Panics
    ///
    /// When the window is not a whole number of frames.
    pub fn apply(&self, window: &mut [f32]) {
        let n_bands = self.n_bands();
        assert_eq!(window.len() % n_bands, 0, "a window has {n_bands} rows");
        let n_frames = window.len() / n_bands;
        let statistics = self.mean.iter().zip(&self.std);
        for (row, (mean, std)) in window.chunks_exact_mut(n_frames.max(1)).zip(statistics) {
            let scale = 1.0 / std;
            for value in row {
                *value = (*value - mean) * scale;
            }
        }
    }
}

/// Copies the frames `first..first + n_frames` of each band into `window`.
///
/// # Shapes
///
/// - `window`: `[bands, n_frames]`, row-major
pub(crate) fn cut_window(features: &Spectrogram, first: usize, window: &mut [f32]) {
    let n_frames = window.len() / features.n_bands;
    for (band, row) in window.chunks_exact_mut(n_frames).enumerate() {
        row.copy_from_slice(&features.row(band)[first..first + n_frames]);
    }
}

fn moments(row: &[f32]) -> (f64, f64) {
    let (mut sum, mut square) = (0.0, 0.0);
    for &value in row {
        let value = f64::from(value);
        sum += value;
        square += value * value;
    }
    (sum / row.len() as f64, square / row.len() as f64)
}

impl TryFrom<NormalizerFile> for Normalizer {
    type Error = ModelError;

    fn try_from(file: NormalizerFile) -> Result<Self, ModelError> {
        let NormalizerFile { mean, std } = file;
        let fault = |reason: &str| ModelError::InvalidSetting {
            field: "normalizer",
            value: format!("{} means and {} deviations", mean.len(), std.len()),
            reason: reason.to_owned(),
        };
        if mean.is_empty() || mean.len() != std.len() {
            return Err(fault("each band has one of each"));
        }
        if !mean.iter().all(|mean| mean.is_finite()) {
            return Err(fault("a mean is not a number"));
        }
        if !std.iter().all(|std| std.is_normal() && *std > 0.0) {
            return Err(fault("a deviation is not a positive number"));
        }
        Ok(Self { mean, std })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn example(n_frames: usize, values: Vec<f32>) -> Example {
        Example {
            name: "clip".to_owned(),
            label: 0,
            features: Spectrogram::new(values.len() / n_frames, n_frames, values),
        }
    }

    #[test]
    fn normalized_bands_have_mean_zero_and_deviation_one() {
        let mut window = vec![1.0, 2.0, 3.0, 4.0, 10.0, 30.0, 50.0, 70.0];
        let normalizer = Normalizer::fit(&[example(4, window.clone())]).unwrap();
        normalizer.apply(&mut window);
        for row in window.chunks_exact(4) {
            let (mean, square) = moments(row);
            assert!(mean.abs() < 1e-6 && (square - 1.0).abs() < 1e-5, "{row:?}");
        }
    }

    #[test]
    fn every_clip_counts_the_same_whatever_its_length() {
        let long = example(6, vec![0.0; 6]);
        let short = example(1, vec![2.0]);
        let normalizer = Normalizer::fit(&[long, short]).unwrap();
        assert_eq!((normalizer.mean[0], normalizer.std[0]), (1.0, 1.0));
    }

    #[test]
    fn a_constant_band_is_only_shifted() {
        let mut window = vec![-80.0; 3];
        let normalizer = Normalizer::fit(&[example(3, window.clone())]).unwrap();
        normalizer.apply(&mut window);
        assert_eq!(window, [0.0; 3]);
    }

    #[test]
    fn clips_with_other_bands_are_refused_by_name() {
        let error = Normalizer::fit(&[example(1, vec![0.0; 2]), example(1, vec![0.0; 3])]);
        assert!(error.unwrap_err().to_string().contains("clip"));
        assert!(Normalizer::fit(&[]).is_err());
    }

    #[test]
    fn a_window_is_cut_from_each_band() {
        let features = example(3, vec![1.0, 2.0, 3.0, 4.0, 5.0, 6.0]).features;
        let mut window = [0.0; 4];
        cut_window(&features, 1, &mut window);
        assert_eq!(window, [2.0, 3.0, 5.0, 6.0]);
    }

    #[test]
    fn a_file_with_a_zero_deviation_is_refused() {
        let parse = serde_json::from_str::<Normalizer>;
        assert!(parse(r#"{"mean":[0.0],"std":[1.0]}"#).is_ok());
        assert!(parse(r#"{"mean":[0.0],"std":[0.0]}"#).is_err());
        assert!(parse(r#"{"mean":[0.0,1.0],"std":[1.0]}"#).is_err());
        assert!(parse(r#"{"mean":[],"std":[]}"#).is_err());
    }
}
