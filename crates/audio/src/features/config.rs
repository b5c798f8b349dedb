//! [`FeatureConfig`]: every choice between a waveform and its features, checked.
//!
//! Settings files hold [`FeatureSettings`]; turning one into a
//! [`FeatureConfig`] is where values are checked, once. Field names are
//! librosa's.

use serde::{Deserialize, Serialize};

use crate::clip::SampleRate;
use crate::decibel::Reference;
use crate::error::AudioError;
use crate::mel::{MelNorm, MelScale};
use crate::stft::{PadMode, Window};

/// The longest transform offered: 6 s at 22.05 kHz.
pub const MAX_N_FFT: usize = 1 << 17;

/// The most mel bands offered.
pub const MAX_N_MELS: usize = 4096;

/// How a waveform becomes a mel spectrogram, as written in a settings file and
/// not yet checked.
///
/// ```
/// # use biophony_audio::{FeatureConfig, FeatureSettings};
/// let settings = FeatureSettings { n_fft: 2048, n_mels: 128, ..FeatureSettings::default() };
/// let config = FeatureConfig::new(settings)?;
/// assert_eq!(config.win_length(), 2048);
/// assert_eq!(config.fmax(), 11_025.0);
/// # Ok::<(), biophony_audio::AudioError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FeatureSettings {
    /// Samples per second that sounds are brought to first.
    pub sample_rate: SampleRate,
    /// Samples per frame, which sets the resolution in frequency.
    pub n_fft: usize,
    /// Samples from one frame to the next.
    pub hop_length: usize,
    /// Samples under the window; the whole frame when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub win_length: Option<usize>,
    /// The shape of the window.
    pub window: Window,
    /// Whether frames are centered on multiples of the hop, the signal extended
    /// at both ends, or begin there.
    pub center: bool,
    /// What a centered frame finds beyond the ends.
    pub pad_mode: PadMode,
    /// The exponent of the magnitude: 1 for amplitude, 2 for power.
    pub power: f32,
    /// Frequency bands.
    pub n_mels: usize,
    /// Where the lowest band begins, in hertz.
    pub fmin: f32,
    /// Where the highest band ends, in hertz; half the sample rate when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fmax: Option<f32>,
    /// The formula of the mel scale.
    pub mel_scale: MelScale,
    /// The height of the filters.
    pub norm: MelNorm,
    /// What becomes of a band's power.
    pub scale: FeatureScale,
}

impl Default for FeatureSettings {
    fn default() -> Self {
        Self {
            sample_rate: DEFAULT_RATE,
            n_fft: 1024,
            hop_length: 512,
            win_length: None,
            window: Window::Hann,
            center: true,
            pad_mode: PadMode::Constant,
            power: 2.0,
            n_mels: 64,
            fmin: 50.0,
            fmax: None,
            mel_scale: MelScale::Slaney,
            norm: MelNorm::Slaney,
            scale: FeatureScale::default(),
        }
    }
}

const DEFAULT_RATE: SampleRate = match SampleRate::from_hertz(22_050) {
    Some(rate) => rate,
    None => panic!("22,050 is not zero"),
};

/// What becomes of a band's power.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase", deny_unknown_fields)]
#[non_exhaustive]
pub enum FeatureScale {
    /// Nothing: it stays as it is.
    Power,
    /// Decibels, by [`crate::power_to_db`].
    Db {
        /// The power of 0 dB: a number, or `"max"` for the loudest value of the
        /// clip.
        #[serde(rename = "ref", default)]
        reference: Reference,
        /// Powers below this count as this.
        #[serde(default = "default_amin")]
        amin: f32,
        /// The range kept below the loudest value; `"none"` for all of it.
        #[serde(default = "default_top_db", with = "optional_number")]
        top_db: Option<f32>,
    },
}

impl Default for FeatureScale {
    fn default() -> Self {
        FeatureScale::Db {
            reference: Reference::default(),
            amin: default_amin(),
            top_db: default_top_db(),
        }
    }
}

fn default_amin() -> f32 {
    1e-10
}

fn default_top_db() -> Option<f32> {
    Some(80.0)
}

/// How a waveform becomes a mel spectrogram. Holding one means it was checked.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "FeatureSettings", into = "FeatureSettings")]
pub struct FeatureConfig {
    settings: FeatureSettings,
    win_length: usize,
    fmax: f32,
}

impl Default for FeatureConfig {
    fn default() -> Self {
        Self::new(FeatureSettings::default()).expect("the defaults are valid")
    }
}

impl TryFrom<FeatureSettings> for FeatureConfig {
    type Error = AudioError;

    fn try_from(settings: FeatureSettings) -> Result<Self, AudioError> {
        Self::new(settings)
    }
}

impl From<FeatureConfig> for FeatureSettings {
    /// The settings with nothing left to a default, as they travel in a bundle.
    fn from(config: FeatureConfig) -> Self {
        Self {
            win_length: Some(config.win_length),
            fmax: Some(config.fmax),
            ..config.settings
        }
    }
}

impl FeatureConfig {
    /// Checks the settings.
    ///
    /// # Errors
    ///
    /// Names the first field that is out of range, or the two that clash.
    pub fn new(settings: FeatureSettings) -> Result<Self, AudioError> {
        let in_range =
            |field, value: usize, max: usize| within(field, value as f64, 1.0, max as f64);
        in_range("n_fft", settings.n_fft, MAX_N_FFT)?;
        in_range("hop_length", settings.hop_length, usize::MAX >> 16)?;
        in_range("n_mels", settings.n_mels, MAX_N_MELS)?;
        within("power", settings.power.into(), 1e-3, 16.0)?;

        let (n_fft, win_length) = (
            settings.n_fft,
            settings.win_length.unwrap_or(settings.n_fft),
        );
        in_range("win_length", win_length, MAX_N_FFT)?;
        if win_length > n_fft {
            return Err(AudioError::WindowTooLong { win_length, n_fft });
        }
        let fmax = check_band(&settings)?;
        settings.scale.check()?;
        Ok(Self {
            settings,
            win_length,
            fmax,
        })
    }

    /// The settings with nothing left to a default.
    pub fn settings(&self) -> FeatureSettings {
        self.clone().into()
    }

    /// Samples per second that sounds are brought to first.
    pub fn sample_rate(&self) -> SampleRate {
        self.settings.sample_rate
    }

    /// Samples per frame.
    pub fn n_fft(&self) -> usize {
        self.settings.n_fft
    }

    /// Samples from one frame to the next.
    pub fn hop_length(&self) -> usize {
        self.settings.hop_length
    }

    /// Samples under the window, at most [`FeatureConfig::n_fft`].
    pub fn win_length(&self) -> usize {
        self.win_length
    }

    /// The shape of the window.
    pub fn window(&self) -> Window {
        self.settings.window
    }

    /// Whether frames are centered on multiples of the hop.
    pub fn center(&self) -> bool {
        self.settings.center
    }

    /// What a centered frame finds beyond the ends.
    pub fn pad_mode(&self) -> PadMode {
        self.settings.pad_mode
    }

    /// The exponent of the magnitude.
    pub fn power(&self) -> f32 {
        self.settings.power
    }

    /// Frequency bands.
    pub fn n_mels(&self) -> usize {
        self.settings.n_mels
    }

    /// Where the lowest band begins, in hertz.
    pub fn fmin(&self) -> f32 {
        self.settings.fmin
    }

    /// Where the highest band ends, in hertz.
    pub fn fmax(&self) -> f32 {
        self.fmax
    }

    /// The formula of the mel scale.
    pub fn mel_scale(&self) -> MelScale {
        self.settings.mel_scale
    }

    /// The height of the filters.
    pub fn norm(&self) -> MelNorm {
        self.settings.norm
    }

    /// What becomes of a band's power.
    pub fn scale(&self) -> FeatureScale {
        self.settings.scale
    }

    /// Frequency bins of the transform, `1 + n_fft / 2`.
    pub fn n_bins(&self) -> usize {
        1 + self.n_fft() / 2
    }

    /// How many frames a signal of `n_samples` has, or `None` when it is too
    /// short for one.
    pub fn n_frames(&self, n_samples: usize) -> Option<usize> {
        let n_padding = if self.center() {
            self.n_fft() / 2 * 2
        } else {
            0
        };
        let room = (n_samples + n_padding).checked_sub(self.n_fft())?;
        Some(1 + room / self.hop_length())
    }
}

impl FeatureScale {
    fn check(&self) -> Result<(), AudioError> {
        let FeatureScale::Db {
            reference,
            amin,
            top_db,
        } = *self
        else {
            return Ok(());
        };
        within("amin", amin.into(), f32::MIN_POSITIVE.into(), 1e30)?;
        within("top_db", top_db.unwrap_or(0.0).into(), 0.0, 1e4)?;
        match reference {
            Reference::Value(value) => within("ref", value.into(), 0.0, 1e30),
            Reference::Max => Ok(()),
        }
    }
}

/// The upper end of the highest band, when both ends make sense.
fn check_band(settings: &FeatureSettings) -> Result<f32, AudioError> {
    let nyquist = settings.sample_rate.hertz() as f32 / 2.0;
    let (fmin, fmax) = (settings.fmin, settings.fmax.unwrap_or(nyquist));
    within("fmin", fmin.into(), 0.0, f64::MAX)?;
    within("fmax", fmax.into(), 0.0, f64::MAX)?;
    if fmax > nyquist {
        return Err(AudioError::AboveNyquist { fmax, nyquist });
    }
    if fmin >= fmax {
        return Err(AudioError::BandUpsideDown { fmin, fmax });
    }
    Ok(fmax)
}

/// An error that names `field` unless its value lies between the two, inclusive.
pub(crate) fn within(
    field: &'static str,
    value: f64,
    min: f64,
    max: f64,
) -> Result<(), AudioError> {
    // Written so that a value that is not a number fails.
    if value >= min && value <= max {
        return Ok(());
    }
    Err(AudioError::SettingOutOfRange {
        field,
        value,
        min,
        max,
    })
}

/// A number or its absence, written as the word "none" because TOML has no null.
mod optional_number {
    use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

    #[derive(Serialize, Deserialize)]
    #[serde(untagged)]
    enum Written {
        Number(f32),
        Word(String),
        Null(()),
    }

    pub(super) fn serialize<S: Serializer>(value: &Option<f32>, to: S) -> Result<S::Ok, S::Error> {
        match *value {
            Some(number) => Written::Number(number),
            None => Written::Word("none".into()),
        }
        .serialize(to)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<f32>, D::Error> {
        match Written::deserialize(from)? {
            Written::Number(number) => Ok(Some(number)),
            Written::Null(()) => Ok(None),
            Written::Word(word) if word == "none" => Ok(None),
            Written::Word(word) => Err(de::Error::custom(format!(
                "`top_db` is \"{word}\", neither a number nor \"none\""
            ))),
        }
    }
}
