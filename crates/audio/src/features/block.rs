//! A few frames side by side, from samples to bands.
//!
//! Each frame is transformed and filtered on its own, while its spectrum is in the
//! nearest cache; bands are laid out band by band with the frames of a block as
//! lanes, as the result wants them. The decision which frames need double precision
//! is taken here too.

use fearless_simd::{Level, dispatch};

use super::filters::{Filters, sum};
use super::{FeatureConfig, FeatureExtractor, FeatureScale};
use crate::instructions;
use crate::mel::MelFilterbank;
use crate::stft::{Frames, RealScratch};

/// Frames in a block.
pub(super) const LANES: usize = 8;

type Lanes = [f32; LANES];

/// Up to [`LANES`] frames.
pub(super) struct Block {
    /// `|X|^power` of one frame, `[n_bins]`, and the zeros that [`Filters`] wants.
    spectrum: Vec<f32>,
    /// Filtered, `[n_mels]` of lanes.
    bands: Vec<Lanes>,
    /// The energy of each frame: the sum of `|X|²`.
    energies: Lanes,
    /// The largest band value of any block so far.
    loudest: f32,
    fast: RealScratch<f32>,
    exact: RealScratch<f64>,
    level: Level,
}

impl Block {
    pub(super) fn new(extractor: &FeatureExtractor) -> Self {
        let n_bins = extractor.filterbank.n_bins();
        Self {
            spectrum: vec![0.0; Filters::padded_length(n_bins)],
            bands: vec![[0.0; LANES]; extractor.filterbank.n_mels()],
            energies: [0.0; LANES],
            loudest: 0.0,
            fast: extractor.fast.scratch(),
            exact: extractor.exact.scratch(),
            level: instructions::level(),
        }
    }

    /// The bands of each lane, `[n_mels]` of lanes.
    pub(super) fn bands_mut(&mut self) -> &mut [Lanes] {
        &mut self.bands
    }

    /// The largest band value of all frames so far.
    pub(super) fn loudest(&self) -> f32 {
        self.loudest
    }

    /// Whether every frame's energy is a number.
    pub(super) fn is_finite(&self) -> bool {
        self.energies.iter().all(|energy| energy.is_finite())
    }

    /// Computes the bands of `n` frames from frame `first` on.
    pub(super) fn fill(
        &mut self,
        extractor: &FeatureExtractor,
        frames: &Frames<'_>,
        first: usize,
        n: usize,
    ) {
        if n < LANES {
            self.bands.fill([0.0; LANES]);
            self.energies = [0.0; LANES];
        }
        let n_bins = extractor.filterbank.n_bins();
        for lane in 0..n {
            let bins = &mut self.spectrum[..n_bins];
            let fast = &extractor.fast;
            fast.spectrum(frames, first + lane, &mut self.fast, bins, |bin| {
                bin.re * bin.re + bin.im * bin.im
            });
            self.energies[lane] = dispatch!(self.level, simd => sum(simd, bins));
            self.filter(extractor, lane);
        }

        let weak = extractor
            .precision
            .weak_lanes(&self.bands, &self.energies, self.loudest);
        for lane in (0..n).filter(|&lane| weak[lane]) {
            let bins = &mut self.spectrum[..n_bins];
            let exact = &extractor.exact;
            exact.spectrum(frames, first + lane, &mut self.exact, bins, |bin| {
                // Rounded where librosa rounds: after the transform.
                let (re, im) = (bin.re as f32, bin.im as f32);
                re * re + im * im
            });
            self.filter(extractor, lane);
        }
        self.loudest = self.loudest.max(largest(&self.bands));
    }

    /// From the spectrum to the bands of one lane.
    fn filter(&mut self, extractor: &FeatureExtractor, lane: usize) {
        let n_bins = extractor.filterbank.n_bins();
        raise(&mut self.spectrum[..n_bins], extractor.config.power());
        let (spectrum, bands) = (&self.spectrum, &mut self.bands);
        let filters = &extractor.filters;
        dispatch!(self.level, simd => filters.apply(simd, spectrum, bands, lane));
    }
}

/// The largest value of all lanes.
fn largest(bands: &[Lanes]) -> f32 {
    let mut largest = [0.0; LANES];
    for band in bands {
        for (largest, &value) in largest.iter_mut().zip(band) {
            *largest = if value > *largest { value } else { *largest };
        }
    }
    largest.into_iter().fold(0.0, f32::max)
}

/// Turns `|X|²` into `|X|^power`.
fn raise(values: &mut [f32], power: f32) {
    if power == 1.0 {
        values.iter_mut().for_each(|value| *value = value.sqrt());
    } else if power != 2.0 {
        let half = power / 2.0;
        values
            .iter_mut()
            .for_each(|value| *value = value.powf(half));
    }
}

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

impl Precision {
    pub(super) fn of(filterbank: &MelFilterbank, config: &FeatureConfig) -> Self {
        let power = f64::from(config.power());
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
        let bands = filterbank.bands().iter();
        let (floor, depth) = match config.scale() {
            FeatureScale::Power => (0.0, 1e-9_f32.powf(config.power() / 2.0)),
            FeatureScale::Db { amin, top_db, .. } => {
                let depth = top_db.map_or(0.0, |top_db| 10.0_f32.powf(-top_db / 10.0));
                (amin, depth)
            }
        };
        Self {
            shares: bands.map(|band| share(&band.weights)).collect(),
            half_power: config.power() / 2.0,
            floor,
            depth,
        }
    }

    /// Which lanes have a band that matters and is too weak to be trusted.
    fn weak_lanes(&self, bands: &[Lanes], energies: &Lanes, loudest: f32) -> [bool; LANES] {
        let loudest = loudest.max(largest(bands));
        let floor = self.floor.max(loudest * self.depth);
        let units = match self.half_power {
            1.0 => *energies,
            half_power => energies.map(|energy| energy.powf(half_power)),
        };
        let mut weak = [0_u32; LANES];
        for (band, &share) in bands.iter().zip(&self.shares) {
            for ((weak, &value), &unit) in weak.iter_mut().zip(band).zip(&units) {
                *weak |= u32::from(value >= floor) & u32::from(value < share * unit);
            }
        }
        weak.map(|weak| weak != 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::features::FeatureSettings;
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
