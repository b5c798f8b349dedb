//! Per-channel energy normalization, as `librosa.pcen` computes it: automatic
//! gain control in each band, then compression.
//!
//! From Wang et al., "Trainable frontend for robust and far-field keyword
//! spotting", ICASSP 2017; the parameters are discussed in Lostanlen et al.,
//! "Per-Channel Energy Normalization: Why and How", IEEE SPL 26(1).

use serde::{Deserialize, Serialize};

use crate::clip::SampleRate;
use crate::error::AudioError;
use crate::features::within;
use crate::spectrogram::Spectrogram;
use crate::stft::PadMode;

/// How strongly, how fast and against what a band is normalized. Names and
/// defaults are librosa's.
///
/// The defaults expect magnitudes of samples in ±2³¹: multiply a spectrogram of
/// samples in ±1 first.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PcenConfig {
    /// The exponent of the gain control, slightly below one.
    pub gain: f64,
    /// Where compression begins.
    pub bias: f64,
    /// The exponent of the compression; at 0 it becomes logarithmic.
    pub power: f64,
    /// How long the gain control remembers, in seconds.
    pub time_constant: f64,
    /// Keeps the gain finite in silence.
    pub eps: f64,
    /// The filter's coefficient; from the time constant when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub b: Option<f64>,
    /// How many neighboring bands share a gain.
    pub max_size: usize,
}

impl Default for PcenConfig {
    fn default() -> Self {
        Self {
            gain: 0.98,
            bias: 2.0,
            power: 0.5,
            time_constant: 0.4,
            eps: 1e-6,
            b: None,
            max_size: 1,
        }
    }
}

/// What the gain control remembers of each band between two pieces of a sound.
#[derive(Debug, Clone, PartialEq)]
pub struct PcenState(pub Vec<f64>);

impl PcenConfig {
    /// Frames per second turn the time constant into a coefficient.
    fn coefficient(&self, rate: SampleRate, hop_length: usize) -> f64 {
        self.b.unwrap_or_else(|| {
            let frames = self.time_constant * f64::from(rate.hertz()) / hop_length as f64;
            ((1.0 + 4.0 * frames * frames).sqrt() - 1.0) / (2.0 * frames * frames)
        })
    }

    fn check(&self, hop_length: usize) -> Result<(), AudioError> {
        let least = f64::MIN_POSITIVE;
        within("gain", self.gain, 0.0, f64::MAX)?;
        within("bias", self.bias, 0.0, f64::MAX)?;
        within("power", self.power, 0.0, f64::MAX)?;
        within("time_constant", self.time_constant, least, f64::MAX)?;
        within("eps", self.eps, least, f64::MAX)?;
        within("b", self.b.unwrap_or(0.0), 0.0, 1.0)?;
        within("max_size", self.max_size as f64, 1.0, 1e6)?;
        within("hop_length", hop_length as f64, 1.0, 1e15)
    }
}

/// Normalizes a whole spectrogram, from a gain control that has settled at one.
///
/// # Errors
///
/// When a parameter is out of range.
pub fn pcen(
    spectrogram: &Spectrogram,
    rate: SampleRate,
    hop_length: usize,
    config: &PcenConfig,
) -> Result<Spectrogram, AudioError> {
    config.check(hop_length)?;
    // `scipy.signal.lfilter_zi` of this filter: the state after ones forever.
    let settled = 1.0 - config.coefficient(rate, hop_length);
    let mut state = PcenState(vec![settled; spectrogram.n_bands]);
    pcen_from(&mut state, spectrogram, rate, hop_length, config)
}

/// Normalizes a piece of a sound, continuing from `state` and leaving the new
/// one there: librosa's `zi` and `zf`.
///
/// # Errors
///
/// When a parameter is out of range or the state has another number of bands.
pub fn pcen_from(
    state: &mut PcenState,
    spectrogram: &Spectrogram,
    rate: SampleRate,
    hop_length: usize,
    config: &PcenConfig,
) -> Result<Spectrogram, AudioError> {
    config.check(hop_length)?;
    let n_bands = spectrogram.n_bands;
    within("zi", state.0.len() as f64, n_bands as f64, n_bands as f64)?;
    let b = config.coefficient(rate, hop_length);
    let mut values = Vec::with_capacity(spectrogram.values().len());
    for band in 0..n_bands {
        let loudest = loudest_nearby(spectrogram, band, config.max_size);
        let memory = &mut state.0[band];
        for (&value, reference) in spectrogram.row(band).iter().zip(loudest) {
            let smooth = b * f64::from(reference) + *memory;
            *memory = (1.0 - b) * smooth;
            values.push(config.compress(f64::from(value), smooth) as f32);
        }
    }
    Ok(Spectrogram::new(n_bands, spectrogram.n_frames, values))
}

impl PcenConfig {
    fn compress(&self, value: f64, smooth: f64) -> f64 {
        // In logarithms, as librosa does: a power of `eps + smooth` would lose
        // the small ones.
        let gain = (-self.gain * (self.eps.ln() + (smooth / self.eps).ln_1p())).exp();
        if self.power == 0.0 {
            (value * gain).ln_1p()
        } else if self.bias == 0.0 {
            (self.power * (value.ln() + gain.ln())).exp()
        } else {
            let compressed = (self.power * (value * gain / self.bias).ln_1p()).exp_m1();
            self.bias.powf(self.power) * compressed
        }
    }
}

/// The largest value of the `size` bands around one, frame by frame:
/// `scipy.ndimage.maximum_filter1d` over bands, mirrored at the ends.
fn loudest_nearby(spectrogram: &Spectrogram, band: usize, size: usize) -> Vec<f32> {
    let first = band as isize - (size / 2) as isize;
    let mut loudest = spectrogram.row(band).to_vec();
    // Beyond two rounds of the mirror nothing new appears.
    for offset in 0..size.min(4 * spectrogram.n_bands) {
        let neighbor = PadMode::Symmetric.source(first + offset as isize, spectrogram.n_bands);
        let row = neighbor.map_or(&[][..], |neighbor| spectrogram.row(neighbor));
        for (loudest, &value) in loudest.iter_mut().zip(row) {
            *loudest = loudest.max(value);
        }
    }
    loudest
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rate() -> SampleRate {
        SampleRate::from_hertz(22_050).expect("not zero")
    }

    #[test]
    fn a_sound_in_two_pieces_gives_what_it_gives_in_one() {
        let values: Vec<f32> = (0..40).map(|i| (i * 37 % 23) as f32 * 100.0).collect();
        let config = PcenConfig::default();
        let whole = Spectrogram::new(1, 40, values.clone());
        let whole = pcen(&whole, rate(), 512, &config).expect("valid");

        let settled = 1.0 - config.coefficient(rate(), 512);
        let mut state = PcenState(vec![settled]);
        let mut pieces = Vec::new();
        for piece in values.chunks(15) {
            let piece = Spectrogram::new(1, piece.len(), piece.to_vec());
            let output = pcen_from(&mut state, &piece, rate(), 512, &config).expect("valid");
            pieces.extend_from_slice(output.values());
        }
        assert_eq!(whole.values(), pieces);
    }

    #[test]
    fn parameters_out_of_range_and_foreign_states_are_refused() {
        let spectrogram = Spectrogram::new(2, 1, vec![1.0; 2]);
        let check = |config: PcenConfig, n_states: usize, expected: &str| {
            let mut state = PcenState(vec![0.0; n_states]);
            let error = pcen_from(&mut state, &spectrogram, rate(), 512, &config);
            let message = error.expect_err("refused").to_string();
            assert!(message.contains(expected), "{message}");
        };
        let usual = PcenConfig::default();
        check(
            PcenConfig {
                gain: -1.0,
                ..usual
            },
            2,
            "`gain` is -1",
        );
        check(PcenConfig { eps: 0.0, ..usual }, 2, "`eps` is 0");
        check(
            PcenConfig {
                b: Some(1.5),
                ..usual
            },
            2,
            "`b` is 1.5",
        );
        check(
            PcenConfig {
                max_size: 0,
                ..usual
            },
            2,
            "`max_size` is 0",
        );
        check(usual, 3, "`zi` is 3");
    }
}
