//! Mel filters as they are applied to one spectrum after another: padded to whole
//! vectors, so that no loop has a ragged end.
//!
//! What the filters are is decided in [`crate::mel`].

use fearless_simd::{Simd, SimdBase, SimdFrom, SimdSplit, f32x8};

use crate::mel::MelFilterbank;

/// Bins that are weighted side by side, whatever the vectors: two of SSE, one of AVX.
const WIDTH: usize = 8;

/// The weights of a filterbank, band after band.
pub(super) struct Filters {
    bands: Vec<PaddedBand>,
    weights: Vec<[f32; WIDTH]>,
}

struct PaddedBand {
    first_bin: usize,
    n_chunks: usize,
}

impl Filters {
    pub(super) fn of(filterbank: &MelFilterbank) -> Self {
        let mut weights = Vec::new();
        let bands = filterbank.bands().iter().map(|band| {
            for chunk in band.weights.chunks(WIDTH) {
                let mut padded = [0.0; WIDTH];
                padded[..chunk.len()].copy_from_slice(chunk);
                weights.push(padded);
            }
            PaddedBand {
                first_bin: band.first_bin,
                n_chunks: band.weights.len().div_ceil(WIDTH),
            }
        });
        Self {
            bands: bands.collect(),
            weights,
        }
    }

    /// The length of a spectrum with the zeros behind it that [`Filters::apply`] reads.
    pub(super) fn padded_length(n_bins: usize) -> usize {
        n_bins + WIDTH - 1
    }

    /// Writes each band of a padded spectrum to one place of its row.
    #[inline(always)]
    pub(super) fn apply<S: Simd, const N: usize>(
        &self,
        simd: S,
        spectrum: &[f32],
        rows: &mut [[f32; N]],
        place: usize,
    ) {
        let mut weights = self.weights.as_slice();
        for (row, band) in rows.iter_mut().zip(&self.bands) {
            let (own, rest) = weights.split_at(band.n_chunks);
            weights = rest;
            let bins = spectrum[band.first_bin..].as_chunks::<WIDTH>().0;
            let mut sums = f32x8::splat(simd, 0.0);
            for (&weights, &bins) in own.iter().zip(bins) {
                sums += f32x8::simd_from(simd, weights) * f32x8::simd_from(simd, bins);
            }
            row[place] = total(sums);
        }
    }
}

/// The sum of a few sums.
#[inline(always)]
fn total<S: Simd>(sums: f32x8<S>) -> f32 {
    let (low, high) = sums.split();
    let [a, b, c, d]: [f32; 4] = (low + high).into();
    (a + c) + (b + d)
}

/// The sum of all values.
#[inline(always)]
pub(super) fn sum<S: Simd>(simd: S, values: &[f32]) -> f32 {
    let (whole, rest) = values.as_chunks::<WIDTH>();
    let mut sums = f32x8::splat(simd, 0.0);
    for &values in whole {
        sums += f32x8::simd_from(simd, values);
    }
    total(sums) + rest.iter().sum::<f32>()
}

#[cfg(test)]
mod tests {
    use fearless_simd::dispatch;

    use super::*;
    use crate::features::{FeatureConfig, FeatureSettings};
    use crate::instructions;
    use crate::mel::mel_filterbank;

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
            let mut spectrum: Vec<f32> = (0..n_bins).map(|bin| (bin * 37 % 101) as f32).collect();
            let dense = filterbank.to_dense();
            let expected = dense.chunks_exact(n_bins).map(|row| -> f32 {
                row.iter()
                    .zip(&spectrum)
                    .map(|(weight, bin)| weight * bin)
                    .sum()
            });
            let expected: Vec<f32> = expected.collect();
            let expected_sum = spectrum.iter().sum::<f32>();
            spectrum.resize(Filters::padded_length(n_bins), 0.0);
            for (_, level) in instructions::supported() {
                let found = dispatch!(level, simd => sum(simd, &spectrum));
                assert!((found - expected_sum).abs() < 1e-2);
                let mut rows = vec![[f32::NAN; 2]; n_mels];
                let filters = Filters::of(&filterbank);
                dispatch!(level, simd => filters.apply(simd, &spectrum, &mut rows, 1));
                for (row, expected) in rows.iter().zip(&expected) {
                    assert!((row[1] - expected).abs() <= 1e-5 * expected, "{row:?}");
                }
            }
        }
    }
}
