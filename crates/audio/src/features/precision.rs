//! Which frames single precision is not enough for.

use super::batch::Values;
use super::{FeatureConfig, FeatureScale};
use crate::instructions::{self, dispatch};
use crate::mel::MelFilterbank;
use crate::stft::MAX_LANES;

/// When single precision is not enough.
///
/// The error of a single-precision transform is spread over all bins: measured
/// over tones, chirps, noise, impulses and lengths up to 16384, its root mean
/// square is 1.2e-7 to 1.8e-7 of that of the spectrum, up to 3e-7 for lengths with
/// large prime factors. A bin that is much weaker
/// than the spectrum's mean is wrong by more of its own size.
pub(super) struct Precision {
    /// For each band the least value, as a share of `energy^(power / 2)`, at
    /// which its relative error stays below [`TOLERANCE`].
    shares: Vec<f32>,
    /// The exponent that turns an energy into the unit of a band.
    half_power: f32,
    /// Bands below this do not count.
    floor: f32,
    /// Nor do bands that lie this far below the loudest.
    depth: f32,
}

/// The relative error that bands may have: a share of the promised 1e-4.
const TOLERANCE: f64 = 5e-5;

/// What a bin's error is taken to be, as a share of the spectrum's root mean
/// square: twice what was measured for the usual lengths.
const BIN_ERROR: f64 = 3e-7;

/// A band just below the floor may be one just above it that was got wrong.
const BELOW_FLOOR: f32 = 0.99;

impl Precision {
    pub(super) fn of(filterbank: &MelFilterbank, config: &FeatureConfig) -> Self {
        let power = f64::from(config.power());
        let (floor, depth) = match config.scale() {
            FeatureScale::Power => (0.0, 1e-9_f32.powf(config.power() / 2.0)),
            FeatureScale::Db { amin, top_db, .. } => {
                let depth = top_db.map_or(0.0, |top_db| 10.0_f32.powf(-top_db / 10.0));
                (amin, depth)
            }
        };
        let share_of = |weight: f64| {
            let bin_share = power * BIN_ERROR / TOLERANCE / (filterbank.n_bins() as f64).sqrt();
            (weight * bin_share.powf(power)) as f32
        };
        let share = |weights: &[f32]| {
            // Errors of different bins are independent, so a band's grows with
            // the root of its weights' sum of squares, which for powers comes
            // to its largest weight.
            let weights = weights.iter().map(|&weight| f64::from(weight));
            share_of(if power == 2.0 {
                weights.fold(0.0, f64::max)
            } else {
                weights.sum()
            })
        };
        Self {
            shares: filterbank
                .bands()
                .iter()
                .map(|band| share(&band.weights))
                .collect(),
            half_power: config.power() / 2.0,
            floor,
            depth,
        }
    }

    /// The largest band of each frame that is too weak to be trusted; less than nothing
    /// if all can be.
    pub(super) fn untrusted(&self, bands: &[Values], energies: &Values) -> Values {
        let units = match self.half_power {
            1.0 => *energies,
            half_power => energies.map(|energy| energy.powf(half_power)),
        };
        let level = instructions::level();
        dispatch!(level, _simd => largest_untrusted(bands, &self.shares, &units))
    }

    /// What bands have to reach to count, beside one that is the loudest of all.
    pub(super) fn floor(&self, loudest: f32) -> f32 {
        BELOW_FLOOR * self.floor.max(loudest * self.depth)
    }
}

#[inline(always)]
fn largest_untrusted(bands: &[Values], shares: &[f32], units: &Values) -> Values {
    let mut largest = [-1.0; MAX_LANES];
    for (band, &share) in bands.iter().zip(shares) {
        for i in 0..MAX_LANES {
            let value = if band[i] < share * units[i] {
                band[i]
            } else {
                -1.0
            };
            largest[i] = if value > largest[i] {
                value
            } else {
                largest[i]
            };
        }
    }
    largest
}

#[cfg(test)]
mod tests {
    use crate::features::{FeatureConfig, FeatureExtractor, FeatureScale, FeatureSettings};
    use crate::stft::Window;

    const N: usize = 12_000;

    fn extractor(n_fft: usize, window: Window, power: f32) -> FeatureExtractor {
        let settings = FeatureSettings {
            n_fft,
            window,
            power,
            scale: FeatureScale::Power,
            ..FeatureSettings::default()
        };
        FeatureExtractor::new(&FeatureConfig::new(settings).expect("valid"))
    }

    /// The same extractor, made to distrust single precision always.
    fn distrusting(mut extractor: FeatureExtractor) -> FeatureExtractor {
        extractor.precision.shares.fill(f32::INFINITY);
        extractor.precision.depth = 0.0;
        extractor
    }

    /// A tone over a faint one, over faint noise: what single precision is
    /// worst at.
    fn hard_signal(seed: u32) -> Vec<f32> {
        let mut state = seed.wrapping_mul(2_654_435_761).wrapping_add(1);
        let mut random = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) as f32 / 8_388_608.0 - 1.0
        };
        let (low, high) = (0.01 + 0.2 * random().abs(), 0.3 + 2.5 * random().abs());
        let faint = 10.0_f32.powf(-2.0 - 2.0 * random().abs());
        (0..N)
            .map(|i| (low * i as f32).sin() + faint * (high * i as f32).sin() + 1e-5 * random())
            .collect()
    }

    #[test]
    fn single_precision_is_used_only_where_it_suffices() {
        let mut worst = 0.0_f32;
        for seed in 0..40 {
            let signal = hard_signal(seed);
            for (n_fft, power) in [
                (512, 2.0),
                (1024, 2.0),
                (2048, 1.0),
                (1021, 2.0),
                (400, 3.0),
            ] {
                let window = [Window::Hann, Window::Blackman][seed as usize % 2];
                let mixed = extractor(n_fft, window, power);
                let exact = distrusting(extractor(n_fft, window, power));
                let mixed = mixed.extract(&signal).expect("valid");
                let exact = exact.extract(&signal).expect("valid");
                let loudest = exact.values().iter().copied().fold(0.0, f32::max);
                let floor = loudest * 1e-8_f32.powf(power / 2.0);
                for (a, e) in mixed.values().iter().zip(exact.values()) {
                    if *e >= floor {
                        worst = worst.max((a - e).abs() / e);
                    }
                }
            }
        }
        println!("largest relative error {worst:e}");
        assert!(worst < 1e-4, "{worst:e}");
        assert!(worst > 0.0, "nothing was done in single precision");
    }

    #[test]
    fn a_sample_that_is_no_number_is_named() {
        for bad in [f32::NAN, f32::INFINITY] {
            let mut signal = hard_signal(1);
            signal[7_001] = bad;
            let error = extractor(1024, Window::Hann, 2.0).extract(&signal);
            let message = error.expect_err("it cannot be analyzed").to_string();
            assert!(message.contains("7001"), "{message}");
        }
    }

    #[test]
    fn samples_too_large_to_square_give_infinities_and_no_error() {
        let features = extractor(1024, Window::Hann, 2.0).extract(&[1e30; 4_000]);
        assert!(features.expect("valid").values().contains(&f32::INFINITY));
    }
}
