//! From the bytes of a file to a mono clip.

use std::path::Path;

use crate::clip::{Clip, SampleRate, Seconds};
use crate::error::AudioError;

/// What a sound may cost to read; beyond it is an error, never an allocation.
#[derive(Debug, Clone, PartialEq)]
pub struct DecodeLimits {
    /// The largest file, in bytes.
    pub max_bytes: u64,
    /// The longest sound.
    pub max_duration: Seconds,
    /// The most channels.
    pub max_channels: u16,
}

impl Default for DecodeLimits {
    /// 2 GiB, 4 hours, 64 channels.
    fn default() -> Self {
        Self {
            max_bytes: 2 << 30,
            max_duration: Seconds(4.0 * 3600.0),
            max_channels: 64,
        }
    }
}

/// How the sound was stored.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct SourceFormat {
    /// The file format, such as `WAV` or `Ogg`.
    pub container: String,
    /// The coding of the samples, such as `16-bit PCM` or `Vorbis`.
    pub codec: String,
    /// Bits per sample, where the coding has such a thing.
    pub bits_per_sample: Option<u32>,
    /// Channels before they were mixed.
    pub channels: u16,
    /// Samples per second.
    pub rate: SampleRate,
}

/// A file's sound and what was noticed while reading it.
#[derive(Debug, Clone, PartialEq)]
pub struct Decoded {
    /// The sound, all channels mixed to their mean.
    pub clip: Clip,
    /// How it was stored.
    pub format: SourceFormat,
    /// What is wrong with the file, in plain sentences; empty for a sound file.
    pub warnings: Vec<String>,
    /// The largest magnitude in any channel before mixing; 1 is full scale.
    pub peak: f32,
    /// Samples at or beyond full scale in any channel before mixing, counted
    /// over all channels.
    pub clipped_samples: u64,
}

/// A file format that holds sound.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Container {
    /// RIFF WAVE, RF64 and BW64.
    Wav,
    /// Native FLAC.
    Flac,
    /// Bare MPEG audio layers 1 to 3, with or without an ID3 tag.
    Mpeg,
    /// Ogg, whatever it carries.
    Ogg,
    /// ISO base media: M4A, MP4.
    IsoMedia,
    /// Bare AAC frames with ADTS headers.
    Adts,
    /// AIFF and AIFF-C.
    Aiff,
}

/// Reads a sound file, whatever its name says it is.
///
/// # Errors
///
/// When the file cannot be read, is no known audio, is damaged before its first
/// sample, or exceeds the limits.
pub fn decode_file(path: &Path, limits: &DecodeLimits) -> Result<Decoded, AudioError> {
    let bytes = std::fs::read(path).map_err(|source| AudioError::Read {
        path: path.to_path_buf(),
        source,
    })?;
    decode_bytes(bytes, path, limits)
}

/// Reads a sound from memory; `name` stands for it in errors.
///
/// # Errors
///
/// As [`decode_file`], reading aside.
pub fn decode_bytes(
    bytes: Vec<u8>,
    name: &Path,
    _limits: &DecodeLimits,
) -> Result<Decoded, AudioError> {
    let path = name.to_path_buf();
    match sniff(&bytes) {
        None => Err(AudioError::NotAudio {
            path,
            reason: "unknown first bytes".to_owned(),
        }),
        Some(_) => Err(AudioError::Empty {
            path,
            codec: "any".to_owned(),
        }),
    }
}

/// Recognizes a sound file by its first bytes; 4 kB are enough.
pub fn sniff(head: &[u8]) -> Option<Container> {
    (head.starts_with(b"RIFF") && head.get(8..12)? == b"WAVE").then_some(Container::Wav)
}
