//! What one recording is like: length, level, offset, clipping, bandwidth, and
//! the hashes of its bytes and samples.
//!
//! Which of these are findings is decided in [`crate::audit()`].

use biophony_audio::{Clip, Decoded};
use serde::{Deserialize, Serialize};

use crate::bandwidth::bandwidth_hz;

/// The measurements of one readable recording.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Measurements {
    /// The file format, such as `WAV`.
    pub container: String,
    /// The coding of the samples, such as `16-bit PCM`.
    pub codec: String,
    /// Channels in the file.
    pub channels: u16,
    /// Samples per second in the file.
    pub sample_rate_hz: u32,
    /// How long it lasts.
    pub seconds: f64,
    /// The largest magnitude in any channel; 1 is full scale.
    pub peak: f64,
    /// The level of its loudest 50 ms without offset, in dB of full scale;
    /// `None` when it is the same value throughout.
    pub loudest_dbfs: Option<f64>,
    /// The mean of the samples; 1 is full scale.
    pub dc_offset: f64,
    /// The fraction of samples that are cut off at full scale.
    pub clipped_fraction: f64,
    /// Where the content ends, half the sample rate when there is no edge.
    pub bandwidth_hz: f64,
    /// BLAKE3 of the file.
    pub file_hash: String,
    /// BLAKE3 of the rate and the samples: equal for the same samples in
    /// another container.
    pub sample_hash: String,
    /// What the decoder noticed.
    pub warnings: Vec<String>,
}

impl Measurements {
    /// Measures what was decoded from a file whose bytes have this hash.
    pub(crate) fn of(decoded: &Decoded, file_hash: blake3::Hash) -> Self {
        let clip = &decoded.clip;
        let dc_offset = mean(clip.samples());
        let n_samples = clip.samples().len() as u64 * u64::from(decoded.format.channels);
        Self {
            container: decoded.format.container.clone(),
            codec: decoded.format.codec.clone(),
            channels: decoded.format.channels,
            sample_rate_hz: clip.rate().hertz(),
            seconds: clip.duration().0,
            peak: f64::from(decoded.peak),
            loudest_dbfs: loudest_dbfs(clip, dc_offset),
            dc_offset,
            clipped_fraction: decoded.clipped_samples as f64 / n_samples.max(1) as f64,
            bandwidth_hz: bandwidth_hz(clip),
            file_hash: file_hash.to_hex().to_string(),
            sample_hash: hash_samples(clip),
            warnings: decoded.warnings.clone(),
        }
    }
}

pub(crate) fn mean(samples: &[f32]) -> f64 {
    sum(samples, |sample| sample) / samples.len().max(1) as f64
}

/// The sum of a function of the samples. Eight sums side by side: one alone would wait
/// for itself at each sample.
fn sum(samples: &[f32], of: impl Fn(f64) -> f64) -> f64 {
    let (eights, rest) = samples.as_chunks::<8>();
    let mut sums = [0.0; 8];
    for eight in eights {
        for (sum, &sample) in sums.iter_mut().zip(eight) {
            *sum += of(f64::from(sample));
        }
    }
    let rest = rest.iter().map(|&sample| of(f64::from(sample)));
    sums.iter().sum::<f64>() + rest.sum::<f64>()
}

/// What equal samples may be found to have: their mean is not quite their value.
const NO_POWER: f64 = 1e-14;

/// The loudest of the blocks of 50 ms. A mean over the whole recording would
/// call a single call in a long silence silent.
pub(crate) fn loudest_dbfs(clip: &Clip, dc_offset: f64) -> Option<f64> {
    let loudest = blocks(clip)
        .map(|block| power(block, dc_offset))
        .fold(0.0, f64::max);
    (loudest > NO_POWER).then(|| 10.0 * loudest.log10())
}

/// Whether some block of 50 ms is well above this level, whatever the offset: about no
/// value is its power less than about its own mean. Most sounds show it at once.
pub(crate) fn is_plainly_above(clip: &Clip, dbfs: f64) -> bool {
    let well_above = 2.0 * 10f64.powf(dbfs / 10.0).max(NO_POWER);
    blocks(clip).any(|block| power(block, mean(block)) > well_above)
}

fn blocks(clip: &Clip) -> impl Iterator<Item = &[f32]> {
    let len = (clip.rate().hertz() as usize / 20).max(1);
    clip.samples().chunks(len)
}

fn power(block: &[f32], dc_offset: f64) -> f64 {
    sum(block, |sample| (sample - dc_offset).powi(2)) / block.len() as f64
}

fn hash_samples(clip: &Clip) -> String {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&clip.rate().hertz().to_le_bytes());
    let mut bytes = Vec::with_capacity(4 * 4096);
    for block in clip.samples().chunks(4096) {
        bytes.clear();
        // Adding zero makes +0 of −0, which sounds the same.
        bytes.extend(block.iter().flat_map(|sample| (sample + 0.0).to_le_bytes()));
        hasher.update(&bytes);
    }
    hasher.finalize().to_hex().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use biophony_audio::SampleRate;

    fn clip(samples: Vec<f32>) -> Clip {
        let rate = SampleRate::from_hertz(8_000).expect("not zero");
        Clip::new(samples, rate)
    }

    #[test]
    fn an_offset_is_not_loudness() {
        let flat = clip(vec![0.3; 1_000]);
        let offset = mean(flat.samples());
        assert!((offset - 0.3).abs() < 1e-6);
        assert_eq!(loudest_dbfs(&flat, offset), None);
    }

    #[test]
    fn one_loud_moment_makes_a_recording_loud() {
        let mut samples = vec![0.0; 80_000];
        for (i, sample) in samples[40_000..40_400].iter_mut().enumerate() {
            *sample = if i % 2 == 0 { 0.1 } else { -0.1 };
        }
        let level = loudest_dbfs(&clip(samples), 0.0).expect("not silent");
        assert!((level + 20.0).abs() < 0.01, "{level}");
    }

    #[test]
    fn the_sample_hash_sees_rate_and_samples_but_not_the_sign_of_zero() {
        let hash = |samples: &[f32]| hash_samples(&clip(samples.to_vec()));
        assert_eq!(hash(&[0.0, 1.0]), hash(&[-0.0, 1.0]));
        assert_ne!(hash(&[0.0, 1.0]), hash(&[0.0, 0.5]));
        let rate = SampleRate::from_hertz(16_000).expect("not zero");
        let faster = Clip::new(vec![0.0, 1.0], rate);
        assert_ne!(hash(&[0.0, 1.0]), hash_samples(&faster));
    }
}
