//! Spectrograms as power, and what white noise looks like in one.

use biophony_audio::{FeatureConfig, FeatureScale, Reference, mel_filterbank, power_to_db};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use rand_distr::StandardNormal;

/// How the front end's values become power and back.
///
/// Decibels are taken against 1 here whatever the front end's reference is: a
/// constant factor of all powers cancels on the way back.
///
/// When the front end takes magnitudes (an exponent other than 2), adding its
/// values is the same simplification as adding powers, one step further.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum PowerScale {
    /// The values are powers.
    Linear {
        /// What one decibel of level adds to ten times the logarithm of a value.
        level: f32,
    },
    /// The values are decibels.
    Decibels {
        /// What one decibel of level adds to a value.
        level: f32,
        /// The least power, whose decibels are the least value.
        amin: f32,
    },
}

/// The least power of a front end that has no absolute one.
const TINY: f32 = 1e-20;

impl PowerScale {
    pub(super) fn of(features: &FeatureConfig) -> Self {
        let level = features.power() / 2.0;
        match features.scale() {
            FeatureScale::Db {
                reference: Reference::Value(reference),
                amin,
                ..
            } => {
                let amin = (amin / reference.abs().max(amin)).max(TINY);
                Self::Decibels { level, amin }
            }
            // Against the clip's own maximum, a change of level changes nothing.
            FeatureScale::Db {
                reference: Reference::Max,
                ..
            } => Self::Decibels {
                level: 0.0,
                amin: TINY,
            },
            _ => Self::Linear { level },
        }
    }

    /// Makes a window louder by so many decibels.
    pub(super) fn change_level(self, window: &mut [f32], decibels: f32) {
        match self {
            Self::Linear { level } => {
                let factor = 10_f32.powf(level * decibels / 10.0);
                window.iter_mut().for_each(|value| *value *= factor);
            }
            Self::Decibels { level, amin } => {
                let floor = 10.0 * amin.log10();
                let change = level * decibels;
                window
                    .iter_mut()
                    .for_each(|value| *value = (*value + change).max(floor));
            }
        }
    }

    /// Turns values into powers.
    pub(super) fn linearize(self, window: &mut [f32]) {
        if let Self::Decibels { .. } = self {
            for value in window {
                *value = (*value * (std::f32::consts::LOG2_10 / 10.0)).exp2();
            }
        }
    }

    /// Turns powers back into values.
    pub(super) fn restore(self, window: &mut [f32]) {
        if let Self::Decibels { amin, .. } = self {
            power_to_db(window, Reference::Value(1.0), amin, None)
                .expect("`amin` is positive and there is no `top_db`");
        }
    }
}

/// Adds `other` so that the window's mean power is `ratio` times that of what
/// is added. A silent window or a silent other stay as they are.
pub(super) fn add_at_ratio(window: &mut [f32], other: &[f32], ratio: f64) {
    let (power, added) = (total(window), total(other));
    if power <= 0.0 || added <= 0.0 {
        return;
    }
    let factor = (power / (added * ratio)) as f32;
    for (value, other) in window.iter_mut().zip(other) {
        *value += factor * other;
    }
}

fn total(power: &[f32]) -> f64 {
    power.iter().map(|&value| f64::from(value)).sum()
}

/// What white noise looks like in each mel band.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct NoiseShape(Vec<NoiseBand>);

#[derive(Debug, Clone, Copy, PartialEq)]
struct NoiseBand {
    /// The mean power of noise whose spectrum is flat at 1.
    mean: f32,
    /// Of the power relative to its mean: one ninth of the inverse of the
    /// gamma distribution's shape, and the root of that.
    spread: f32,
    deviation: f32,
}

impl NoiseShape {
    /// The power of a Fourier bin of white noise is exponentially distributed;
    /// a band's is a weighted sum of such bins, close to a gamma distribution
    /// with shape `(Σ w)² / Σ w²` (Welch and Satterthwaite's approximation).
    pub(super) fn of(features: &FeatureConfig) -> Self {
        let filters = mel_filterbank(features);
        let dense = filters.to_dense();
        let bands = dense.chunks_exact(filters.n_bins()).map(|weights| {
            let sum: f32 = weights.iter().sum();
            let square: f32 = weights.iter().map(|weight| weight * weight).sum();
            let shape = if square > 0.0 {
                sum * sum / square
            } else {
                1.0
            };
            let spread = 1.0 / (9.0 * shape);
            NoiseBand {
                mean: sum,
                spread,
                deviation: spread.sqrt(),
            }
        });
        Self(bands.collect())
    }

    /// Adds noise to a window of power so that the window's mean power is
    /// `ratio` times the noise's.
    pub(super) fn add(&self, window: &mut [f32], ratio: f64, rng: &mut ChaCha8Rng) {
        let n_frames = window.len() / self.0.len();
        let mut noise = vec![0.0; window.len()];
        for (row, band) in noise.chunks_exact_mut(n_frames).zip(&self.0) {
            for value in row {
                // Wilson and Hilferty 1931: the cube root of a gamma variable
                // is close to normal.
                let normal: f32 = rng.sample(StandardNormal);
                let root = (1.0 - band.spread + band.deviation * normal).max(0.0);
                *value = band.mean * root * root * root;
            }
        }
        add_at_ratio(window, &noise, ratio);
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::*;

    fn decibels() -> PowerScale {
        PowerScale::of(&FeatureConfig::default())
    }

    #[test]
    fn decibels_survive_the_way_to_power_and_back() {
        let mut window = [-90.0, -35.5, 0.0, 12.0];
        decibels().linearize(&mut window);
        assert!((window[2] - 1.0).abs() < 1e-6);
        decibels().restore(&mut window);
        for (found, expected) in window.iter().zip([-90.0_f32, -35.5, 0.0, 12.0]) {
            assert!((found - expected).abs() < 1e-3, "{found} {expected}");
        }
    }

    #[test]
    fn silence_stays_at_the_floor() {
        let mut window = [-100.0];
        decibels().change_level(&mut window, -20.0);
        assert_eq!(window, [-100.0]);
        decibels().change_level(&mut window, 20.0);
        assert_eq!(window, [-80.0]);
    }

    #[test]
    fn power_grows_by_the_same_decibels() {
        let mut window = [2.0];
        PowerScale::Linear { level: 1.0 }.change_level(&mut window, 10.0);
        assert!((window[0] - 20.0).abs() < 1e-4);
    }

    #[test]
    fn what_is_added_has_the_wanted_ratio() {
        let mut window = vec![3.0_f32, 1.0, 0.0, 4.0];
        add_at_ratio(&mut window, &[1.0, 1.0, 2.0, 0.0], 4.0);
        assert!((total(&window) - 10.0).abs() < 1e-6, "{window:?}");
    }

    #[test]
    fn silence_does_not_become_noise() {
        let mut window = vec![0.0; 4];
        add_at_ratio(&mut window, &[1.0; 4], 2.0);
        assert_eq!(window, [0.0; 4]);
    }

    #[test]
    fn noise_in_the_mel_domain_matches_noise_through_the_front_end() {
        let settings = biophony_audio::FeatureSettings {
            scale: FeatureScale::Power,
            ..Default::default()
        };
        let features = FeatureConfig::new(settings).unwrap();
        let mut rng = ChaCha8Rng::seed_from_u64(7);
        let samples: Vec<f32> = (0..200_000).map(|_| rng.sample(StandardNormal)).collect();
        let extractor = biophony_audio::FeatureExtractor::new(&features);
        let real = extractor.extract(&samples).unwrap();

        let mut ours = vec![1e-9; real.values().len()];
        NoiseShape::of(&features).add(&mut ours, 1e-9, &mut rng);
        let scale = total(real.values()) / total(&ours);
        for band in 0..real.n_bands {
            let ours = &ours[band * real.n_frames..][..real.n_frames];
            let (mean, spread) = relative_spread(real.row(band));
            let (our_mean, our_spread) = relative_spread(ours);
            assert!((our_mean * scale / mean - 1.0).abs() < 0.2, "band {band}");
            assert!(
                (our_spread / spread - 1.0).abs() < 0.35,
                "band {band}: {our_spread} {spread}"
            );
        }
    }

    /// Mean, and deviation relative to it.
    fn relative_spread(row: &[f32]) -> (f64, f64) {
        let mean = total(row) / row.len() as f64;
        let square = row.iter().map(|&v| (f64::from(v) - mean).powi(2));
        (mean, (square.sum::<f64>() / row.len() as f64).sqrt() / mean)
    }
}
