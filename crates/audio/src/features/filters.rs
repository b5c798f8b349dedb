//! Mel filters as they are applied to one spectrum after another: padded to whole
//! vectors, so that no loop has a ragged end.
//!
//! What the filters are is decided in [`crate::mel`].

use crate::mel::MelFilterbank;

/// Bins that are weighted side by side: two vectors of SSE, one of AVX.
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
    pub(super) fn apply<const N: usize>(
        &self,
        spectrum: &[f32],
        rows: &mut [[f32; N]],
        place: usize,
    ) {
        let mut weights = self.weights.as_slice();
        for (row, band) in rows.iter_mut().zip(&self.bands) {
            let (own, rest) = weights.split_at(band.n_chunks);
            weights = rest;
            let bins = spectrum[band.first_bin..].as_chunks::<WIDTH>().0;
            let mut sums = [0.0; WIDTH];
            for (weights, bins) in own.iter().zip(bins) {
                for ((sum, weight), bin) in sums.iter_mut().zip(weights).zip(bins) {
                    *sum += weight * bin;
                }
            }
            row[place] = total(sums);
        }
    }
}

/// The sum of a few sums, in pairs, as vectors add them.
fn total(sums: [f32; WIDTH]) -> f32 {
    let [a, b, c, d, e, f, g, h] = sums;
    ((a + e) + (c + g)) + ((b + f) + (d + h))
}

/// The sum of all values.
pub(super) fn sum(values: &[f32]) -> f32 {
    let (whole, rest) = values.as_chunks::<WIDTH>();
    let mut sums = [0.0; WIDTH];
    for values in whole {
        for (sum, value) in sums.iter_mut().zip(values) {
            *sum += value;
        }
    }
    total(sums) + rest.iter().sum::<f32>()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::features::{FeatureConfig, FeatureSettings};
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
            assert!((sum(&spectrum) - spectrum.iter().sum::<f32>()).abs() < 1e-2);
            spectrum.resize(Filters::padded_length(n_bins), 0.0);
            let mut rows = vec![[f32::NAN; 2]; n_mels];
            Filters::of(&filterbank).apply(&spectrum, &mut rows, 1);
            for (row, expected) in rows.iter().zip(expected) {
                assert!((row[1] - expected).abs() <= 1e-5 * expected, "{row:?}");
            }
        }
    }
}
