//! What can go wrong while reading or transforming audio.

use std::path::PathBuf;

use crate::clip::{SampleRate, Seconds};

/// A failure to read, resample or analyze a sound.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AudioError {
    /// The file cannot be opened or read.
    #[error("cannot read `{path}`")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },

    /// A file cannot be written.
    #[error("cannot write `{path}`")]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },

    /// The bytes are of no audio format this crate knows.
    #[error("`{path}`: not audio of a known format: {reason}")]
    NotAudio {
        /// The file.
        path: PathBuf,
        /// What its first bytes look like.
        reason: String,
    },

    /// The container is known and what it holds is not.
    #[error("`{path}`: no decoder for codec `{codec}`: {reason}")]
    UnsupportedCodec {
        /// The file.
        path: PathBuf,
        /// The codec's name or number, as the file gives it.
        codec: String,
        /// Which detail is not supported.
        reason: String,
    },

    /// The file is damaged so early that no sample can be read.
    #[error("`{path}`: cannot decode `{codec}`: {reason}")]
    Malformed {
        /// The file.
        path: PathBuf,
        /// The container or codec that was being read.
        codec: String,
        /// What is wrong with it.
        reason: String,
    },

    /// The file is well-formed and holds no samples.
    #[error("`{path}`: there is no sound in it: `{codec}` without a single sample")]
    Empty {
        /// The file.
        path: PathBuf,
        /// The container or codec that was read.
        codec: String,
    },

    /// The file has more bytes than the limits allow.
    #[error("`{path}`: {bytes} bytes, more than the limit of {max_bytes}")]
    TooManyBytes {
        /// The file.
        path: PathBuf,
        /// Its size.
        bytes: u64,
        /// The limit.
        max_bytes: u64,
    },

    /// The sound lasts longer than the limits allow.
    #[error(
        "`{path}`: lasts more than the limit of {max_duration} at its sample rate; cut it into \
         pieces"
    )]
    TooLong {
        /// The file.
        path: PathBuf,
        /// The limit.
        max_duration: Seconds,
    },

    /// There is no memory for the sound.
    #[error(
        "`{path}`: not enough memory for its sound, {:.0} s or more at {rate}: cut it into pieces, \
         or read fewer files at a time",
        .duration.0
    )]
    OutOfMemory {
        /// The file.
        path: PathBuf,
        /// How long it lasts, as far as that is known.
        duration: Seconds,
        /// Samples in a second of it.
        rate: SampleRate,
    },

    /// The sound has more channels than the limits allow.
    #[error("`{path}`: it claims {channels} channels, more than the limit of {max_channels}")]
    TooManyChannels {
        /// The file.
        path: PathBuf,
        /// How many it has.
        channels: u32,
        /// The limit.
        max_channels: u16,
    },

    /// A transform was given a clip of no samples.
    #[error("the clip has no samples")]
    EmptyClip,

    /// Two rates differ by an unreasonable factor.
    #[error(
        "resampling from {from_hz} Hz to {to_hz} Hz: the rates differ by more than a factor of \
         {max_factor}"
    )]
    RatesTooFarApart {
        /// The clip's rate.
        from_hz: u32,
        /// The rate asked for.
        to_hz: u32,
        /// The largest factor, either way.
        max_factor: u32,
    },

    /// Resampling would need more memory than is reasonable.
    #[error(
        "resampling {n_samples} samples from {from_hz} Hz to {to_hz} Hz gives {n_output} samples, \
         more than the limit of {max_output}"
    )]
    ResampleTooLarge {
        /// Samples in.
        n_samples: usize,
        /// Their rate.
        from_hz: u32,
        /// The rate asked for.
        to_hz: u32,
        /// Samples out.
        n_output: u64,
        /// The most samples that one call may give.
        max_output: u64,
    },

    /// The clip is too short for a single uncentered frame.
    #[error("the clip has {n_samples} samples, fewer than `n_fft` = {n_fft} without centering")]
    TooFewSamples {
        /// Samples in the clip.
        n_samples: usize,
        /// Samples in a frame.
        n_fft: usize,
    },

    /// A sample is infinite or not a number.
    #[error("sample {index} is {value}, which is no number to analyze")]
    NotFinite {
        /// Where it stands.
        index: usize,
        /// What stands there.
        value: f32,
    },

    /// A spectrogram would need more memory than is reasonable.
    #[error("{n_bands} bands of {n_frames} frames are more than the limit of {max_values} values")]
    SpectrogramTooLarge {
        /// Rows.
        n_bands: usize,
        /// Columns.
        n_frames: usize,
        /// The most values in one spectrogram.
        max_values: usize,
    },

    /// A setting lies outside the range that makes sense for it.
    #[error("`{field}` is {value}, {}", range(*.min, *.max))]
    SettingOutOfRange {
        /// The setting's name.
        field: &'static str,
        /// Its value.
        value: f64,
        /// The smallest allowed.
        min: f64,
        /// The largest allowed.
        max: f64,
    },

    /// The window does not fit into the frame.
    #[error("`win_length` is {win_length}, longer than `n_fft` = {n_fft}")]
    WindowTooLong {
        /// Samples under the window.
        win_length: usize,
        /// Samples in a frame.
        n_fft: usize,
    },

    /// The highest band would lie above half the sample rate.
    #[error("`fmax` is {fmax} Hz, above the Nyquist frequency {nyquist} Hz of `sample_rate`")]
    AboveNyquist {
        /// The end of the highest band, in hertz.
        fmax: f32,
        /// Half the sample rate, in hertz.
        nyquist: f32,
    },

    /// The bands would end before they begin.
    #[error("`fmin` is {fmin} Hz, not below `fmax` = {fmax} Hz")]
    BandUpsideDown {
        /// The beginning of the lowest band, in hertz.
        fmin: f32,
        /// The end of the highest band, in hertz.
        fmax: f32,
    },
}

/// Where a value is not that is outside of `min` to `max`.
fn range(min: f64, max: f64) -> String {
    let number = |value: f64| match value.abs() {
        size if size != 0.0 && !(1e-4..1e7).contains(&size) => format!("{value:e}"),
        _ => value.to_string(),
    };
    match max == f64::MAX {
        true => format!("not a number from {} on", number(min)),
        false => format!("outside {} to {}", number(min), number(max)),
    }
}
