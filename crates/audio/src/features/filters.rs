//! Mel filters as they are applied to the spectra of several frames side by side.
//!
//! What the filters are is decided in [`crate::mel`].

use fearless_simd::{Simd, SimdBase};

use super::batch::Values;
use crate::mel::MelFilterbank;
use crate::stft::Sample;

/// The weights of a filterbank, band after band.
pub(super) struct Filters<T> {
    /// The first bin of each band, and how many there are.
    bands: Vec<(usize, usize)>,
    weights: Vec<T>,
}

impl<T: Sample> Filters<T> {
    pub(super) fn of(filterbank: &MelFilterbank) -> Self {
        let bands = filterbank.bands();
        let weights = bands.iter().flat_map(|band| &band.weights);
        Self {
            bands: bands
                .iter()
                .map(|band| (band.first_bin, band.weights.len()))
                .collect(),
            weights: weights.map(|&weight| T::from(weight)).collect(),
        }
    }

    pub(super) fn n_bands(&self) -> usize {
        self.bands.len()
    }

    /// Writes each band of each frame.
    ///
    /// # Shapes
    ///
    /// - `powers`: `[n_bins, lanes]`
    /// - `bands`: `[n_bands]`
    #[inline(always)]
    pub(super) fn apply<S: Simd>(&self, simd: S, powers: &[T], bands: &mut [Values]) {
        let lanes = T::Native::<S>::LEN;
        let mut weights = self.weights.as_slice();
        for (band, &(first_bin, n_bins)) in bands.iter_mut().zip(&self.bands) {
            let (own, rest) = weights.split_at(n_bins);
            weights = rest;
            let rows = powers[first_bin * lanes..][..n_bins * lanes].chunks_exact(lanes);
            let mut sum = T::Native::<S>::splat(simd, T::ZERO);
            for (row, &weight) in rows.zip(own) {
                sum += T::Native::<S>::from_slice(simd, row) * weight;
            }
            for (value, &lane) in band.iter_mut().zip(sum.as_slice()) {
                *value = lane.single();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::features::{FeatureConfig, FeatureSettings};
    use crate::instructions::{self, dispatch};
    use crate::mel::mel_filterbank;
    use crate::stft::MAX_LANES;

    /// The same spectrum in every lane.
    #[inline(always)]
    fn bands_of<S: Simd>(simd: S, filters: &Filters<f32>, spectrum: &[f32]) -> Vec<f32> {
        let lanes = S::f32s::LEN;
        let powers: Vec<f32> = spectrum.iter().flat_map(|&bin| vec![bin; lanes]).collect();
        let mut bands = vec![[f32::NAN; MAX_LANES]; filters.n_bands()];
        filters.apply(simd, &powers, &mut bands);
        assert!(
            bands
                .iter()
                .all(|band| band[1..lanes].iter().all(|value| *value == band[0]))
        );
        bands.iter().map(|band| band[0]).collect()
    }

    #[test]
    fn bands_are_the_rows_of_the_dense_matrix_times_the_spectrum() {
        for (n_fft, n_mels) in [(64, 40), (256, 128), (1021, 64), (2048, 128)] {
            let settings = FeatureSettings {
                n_fft,
                n_mels,
                ..FeatureSettings::default()
            };
            let filterbank = mel_filterbank(&FeatureConfig::new(settings).expect("valid"));
            let n_bins = filterbank.n_bins();
            let spectrum: Vec<f32> = (0..n_bins).map(|bin| (bin * 37 % 101) as f32).collect();
            let filters = Filters::of(&filterbank);
            let dense = filterbank.to_dense();
            for (name, level) in instructions::supported() {
                let found = dispatch!(level, simd => bands_of(simd, &filters, &spectrum));
                assert_eq!(found.len(), n_mels);
                for (row, found) in dense.chunks_exact(n_bins).zip(found) {
                    let products = row.iter().zip(&spectrum).map(|(weight, bin)| weight * bin);
                    let expected: f32 = products.sum();
                    assert!(
                        (found - expected).abs() <= 1e-5 * expected,
                        "{name}: {found}"
                    );
                }
            }
        }
    }
}
