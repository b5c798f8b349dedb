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
        config.settings
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
        // Nothing stays left to a default, so that what was written and read again
        // is equal to what was written.
        let settings = FeatureSettings {
            win_length: Some(win_length),
            fmax: Some(fmax),
            ..settings
        };
        Ok(Self {
            settings,
            win_length,
            fmax,
        })
    }

    /// The settings with nothing left to a default.
    pub fn settings(&self) -> FeatureSettings {
        self.settings.clone()
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
    #[serde(untagged, expecting = "neither a number nor \"none\"")]
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

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_error(json: &str, expected: &str) {
        let error = serde_json::from_str::<FeatureConfig>(json).expect_err("it is not valid");
        let message = error.to_string();
        assert!(message.contains(expected), "{message}");
    }

    #[test]
    fn what_clashes_is_named_with_its_values() {
        check_error(
            r#"{"fmax": 12000}"#,
            "`fmax` is 12000 Hz, above the Nyquist frequency 11025",
        );
        check_error(
            r#"{"fmin": 300, "fmax": 200}"#,
            "`fmin` is 300 Hz, not below `fmax` = 200",
        );
        check_error(
            r#"{"win_length": 2000}"#,
            "`win_length` is 2000, longer than `n_fft` = 1024",
        );
        check_error(r#"{"fmin": -1}"#, "`fmin` is -1, not a number from 0 on");
        check_error(r#"{"hop_length": 0}"#, "`hop_length` is 0, outside 1 to");
        check_error(
            r#"{"n_fft": 4000000}"#,
            "`n_fft` is 4000000, outside 1 to 131072",
        );
        check_error(r#"{"n_mels": 0}"#, "`n_mels` is 0");
        check_error(r#"{"fmin": -1}"#, "`fmin` is -1");
        check_error(r#"{"power": 0}"#, "`power` is 0");
        check_error(r#"{"scale": {"kind": "db", "amin": 0}}"#, "`amin` is 0");
        check_error(
            r#"{"scale": {"kind": "db", "top_db": -1}}"#,
            "`top_db` is -1",
        );
    }

    #[test]
    fn a_word_that_is_not_known_is_named() {
        check_error(r#"{"n_mel": 64}"#, "unknown field `n_mel`");
        check_error(r#"{"window": "kaiser"}"#, "unknown variant `kaiser`");
        check_error(
            r#"{"scale": {"kind": "db", "topdb": 1}}"#,
            "unknown field `topdb`",
        );
        check_error(
            r#"{"scale": {"kind": "db", "top_db": "all"}}"#,
            "`top_db` is \"all\"",
        );
        check_error(
            r#"{"scale": {"kind": "db", "ref": "mean"}}"#,
            "`ref` is \"mean\"",
        );
    }

    #[track_caller]
    fn check_round_trip(json: &str) -> FeatureConfig {
        let config: FeatureConfig = serde_json::from_str(json).expect("valid");
        let written = serde_json::to_string(&config).expect("serializes");
        let again: FeatureConfig = serde_json::from_str(&written).expect("its own words");
        assert_eq!(again, config, "{written}");
        config
    }

    #[test]
    fn what_is_written_is_read_back_alike() {
        let default = check_round_trip("{}");
        assert_eq!(default, FeatureConfig::default());
        assert_eq!(default.fmax(), 11_025.0);
        check_round_trip(r#"{"scale": {"kind": "power"}, "window": "boxcar"}"#);
        let config =
            check_round_trip(r#"{"scale": {"kind": "db", "ref": "max", "top_db": "none"}}"#);
        let FeatureScale::Db {
            reference, top_db, ..
        } = config.scale()
        else {
            panic!("decibels were asked for");
        };
        assert_eq!((reference, top_db), (Reference::Max, None));
        let config = check_round_trip(r#"{"scale": {"kind": "db", "top_db": null}}"#);
        assert!(matches!(
            config.scale(),
            FeatureScale::Db { top_db: None, .. }
        ));
    }

    #[test]
    fn a_bundle_of_settings_states_what_was_left_to_defaults() {
        let written = serde_json::to_value(FeatureConfig::default()).expect("serializes");
        assert_eq!(written["win_length"], 1024);
        assert_eq!(written["fmax"], 11_025.0);
        assert_eq!(written["scale"]["kind"], "db");
    }

    #[test]
    fn frames_are_counted_as_librosa_does() {
        let config = FeatureConfig::default();
        assert_eq!(config.n_frames(22_050), Some(44));
        assert_eq!(config.n_frames(1), Some(1));
        let settings = FeatureSettings {
            center: false,
            ..FeatureSettings::default()
        };
        let uncentered = FeatureConfig::new(settings).expect("valid");
        assert_eq!(uncentered.n_frames(1023), None);
        assert_eq!(uncentered.n_frames(1536), Some(2));
    }
}
