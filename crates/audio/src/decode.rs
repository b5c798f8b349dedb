//! From the bytes of a file to a mono clip.
//!
//! What a file is gets decided by its content ([`sniff`]), never by its name.
//! WAV and AIFF files of PCM, floating point, A-law, µ-law and ADPCM are read
//! here ([`wav`], [`aiff`], [`pcm`], [`adpcm`]); FLAC, MP3, AAC and Vorbis, bare,
//! in Ogg, in M4A or inside WAV, go to Symphonia ([`stream`]).
//!
//! A damaged file gives what can be read of it and a warning. Whatever a header
//! claims, memory is taken only for what the file holds, and only as much as there is.

mod adpcm;
mod aiff;
mod codec;
mod iso_media;
mod job;
mod mix;
mod ogg;
mod pcm;
mod sniff;
mod stream;
mod wav;

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use job::Job;
pub use sniff::sniff;

use crate::clip::{Clip, SampleRate, Seconds};
use crate::error::AudioError;

/// What a sound may cost to read; beyond it is an error, never an allocation.
#[derive(Debug, Clone, PartialEq)]
pub struct DecodeLimits {
    /// The largest file, in bytes.
    pub max_bytes: u64,
    /// The longest sound.
    pub max_duration: Seconds,
    /// The most samples after mixing, which bounds the memory that they take
    /// whatever rate the file claims.
    pub max_samples: usize,
    /// The most channels.
    pub max_channels: u16,
}

impl Default for DecodeLimits {
    /// 2 GiB, 4 hours, at rates above 48 kHz as many samples as that has in 4 hours,
    /// 64 channels.
    fn default() -> Self {
        Self {
            max_bytes: 2 << 30,
            max_duration: Seconds(4.0 * 3600.0),
            // A megabyte of FLAC holds hours of silence at rates that sound seldom has.
            max_samples: 4 * 3600 * 48_000,
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
    /// Bare MPEG audio frames, with or without an ID3 tag.
    Mpeg,
    /// Ogg, whatever it carries.
    Ogg,
    /// ISO base media: M4A and MP4.
    IsoMedia,
    /// Bare AAC frames with ADTS headers.
    Adts,
    /// AIFF and AIFF-C.
    Aiff,
    /// A format that is recognized and cannot be read, by name.
    Other(&'static str),
}

impl Container {
    /// What people call it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Wav => "WAV",
            Self::Flac => "FLAC",
            Self::Mpeg => "MPEG",
            Self::Ogg => "Ogg",
            Self::IsoMedia => "M4A",
            Self::Adts => "ADTS",
            Self::Aiff => "AIFF",
            Self::Other(name) => name,
        }
    }
}

/// Reads a sound file, whatever its name says it is.
///
/// # Errors
///
/// When the file cannot be read, is no known audio, is damaged before its first
/// sample, or exceeds the limits.
pub fn decode_file(path: &Path, limits: &DecodeLimits) -> Result<Decoded, AudioError> {
    decode_bytes(read_file(path, limits)?, path, limits)
}

/// Reads the bytes of a sound file, for [`decode_bytes`].
///
/// Only of what is a file: reading a pipe would wait for its writer, perhaps for ever.
///
/// # Errors
///
/// When it is no file, cannot be read, or is larger than the limits allow.
pub fn read_file(path: &Path, limits: &DecodeLimits) -> Result<Vec<u8>, AudioError> {
    let failed = |source| AudioError::Read {
        path: path.to_path_buf(),
        source,
    };
    let metadata = path.metadata().map_err(failed)?;
    if !metadata.is_file() {
        let (kind, what) = match metadata.is_dir() {
            true => (io::ErrorKind::IsADirectory, "a folder"),
            false => (io::ErrorKind::InvalidInput, "a pipe or a device"),
        };
        return Err(failed(io::Error::new(
            kind,
            format!("it is {what}, not a file"),
        )));
    }
    if metadata.len() > limits.max_bytes {
        return Err(AudioError::TooManyBytes {
            path: path.to_path_buf(),
            bytes: metadata.len(),
            max_bytes: limits.max_bytes,
        });
    }
    let file = File::open(path).map_err(failed)?;
    read_limited(file, limits).map_err(failed)
}

/// Reads up to one byte more than is allowed, which is enough to refuse a file
/// without believing what the system says about its size.
fn read_limited(file: File, limits: &DecodeLimits) -> io::Result<Vec<u8>> {
    let most = limits.max_bytes.saturating_add(1);
    let expected = usize::try_from(file.metadata()?.len().min(most)).unwrap_or(0);
    let mut bytes = Vec::new();
    // One byte to spare, so that the end is found without growing.
    bytes.try_reserve_exact(expected.saturating_add(1))?;
    file.take(most).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Reads a sound from memory; `name` stands for it in errors.
///
/// ```
/// # use biophony_audio::{AudioError, DecodeLimits, decode_bytes};
/// let notes = b"Field notes of May".to_vec();
/// let refused = decode_bytes(notes, "notes.wav".as_ref(), &DecodeLimits::default());
/// assert!(matches!(refused, Err(AudioError::NotAudio { .. })));
/// ```
///
/// # Errors
///
/// As [`decode_file`], reading aside.
pub fn decode_bytes(
    mut bytes: Vec<u8>,
    name: &Path,
    limits: &DecodeLimits,
) -> Result<Decoded, AudioError> {
    let path = || name.to_path_buf();
    let (n_bytes, max_bytes) = (bytes.len() as u64, limits.max_bytes);
    if n_bytes > max_bytes {
        return Err(AudioError::TooManyBytes {
            path: path(),
            bytes: n_bytes,
            max_bytes,
        });
    }
    let job = Job { path: name, limits };
    let sound = match sniff(&bytes) {
        None => {
            return Err(AudioError::NotAudio {
                path: path(),
                reason: first_bytes(&bytes),
            });
        }
        Some(Container::Other(format)) => {
            return Err(job.unsupported(format, "convert the file to FLAC or WAV first"));
        }
        Some(Container::Wav) => wav::decode(&bytes, &job)?,
        Some(Container::Aiff) => aiff::decode(&bytes, &job)?,
        Some(Container::IsoMedia) => {
            iso_media::end_last_box(&mut bytes);
            stream::decode(&bytes, Container::IsoMedia, &job)?
        }
        Some(container) => stream::decode(&bytes, container, &job)?,
    };
    // The file is of no more use, and the clip may be about to grow.
    drop(bytes);
    sound.finish(&job)
}

/// The beginning of a file in words, for whoever wonders what it is.
fn first_bytes(bytes: &[u8]) -> String {
    if bytes.is_empty() {
        return "the file is empty".to_owned();
    }
    if bytes.iter().all(|&byte| byte == 0) {
        return "the file holds nothing but zeros".to_owned();
    }
    format!(
        "it begins with `{}`",
        bytes[..bytes.len().min(12)].escape_ascii()
    )
}
