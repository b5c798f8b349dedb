//! What every decoder is given, and what it gives back.

use std::ops::RangeInclusive;
use std::path::Path;

use super::mix::{Full, Mixer};
use super::{DecodeLimits, Decoded, SourceFormat};
use crate::clip::{Clip, SampleRate};
use crate::error::AudioError;

/// The rates that a recording can have. Bat detectors reach a million hertz; beyond
/// these limits a header is damaged, and what is sized by the rate (windows,
/// transforms) would be, too.
const RATES_HZ: RangeInclusive<u32> = 50..=4_000_000;

/// The file that is being read and the limits it must keep.
pub(super) struct Job<'a> {
    pub(super) path: &'a Path,
    pub(super) limits: &'a DecodeLimits,
}

impl Job<'_> {
    /// The file is damaged.
    pub(super) fn malformed(&self, codec: &str, reason: &str) -> AudioError {
        let path = self.path.to_path_buf();
        AudioError::Malformed {
            path,
            codec: codec.to_owned(),
            reason: reason.to_owned(),
        }
    }

    /// The file is fine and holds something that nothing here can read.
    pub(super) fn unsupported(&self, codec: &str, reason: &str) -> AudioError {
        let path = self.path.to_path_buf();
        AudioError::UnsupportedCodec {
            path,
            codec: codec.to_owned(),
            reason: reason.to_owned(),
        }
    }

    /// There is more sound at this rate than can be taken.
    pub(super) fn full(&self, full: Full, rate: SampleRate) -> AudioError {
        let path = self.path.to_path_buf();
        match full {
            Full::Limit => AudioError::TooLong {
                path,
                max_duration: rate.duration_of(self.max_samples(rate)),
            },
            Full::Memory { n_samples } => AudioError::OutOfMemory {
                path,
                duration: rate.duration_of(n_samples),
                rate,
            },
        }
    }

    /// The number of channels and the rate, if sound can have them.
    pub(super) fn check_layout(
        &self,
        codec: &str,
        channels: u32,
        rate: u32,
    ) -> Result<(u16, SampleRate), AudioError> {
        if channels == 0 {
            return Err(self.malformed(codec, "it claims to have no channels"));
        }
        let max_channels = self.limits.max_channels;
        let Some(channels) = u16::try_from(channels).ok().filter(|&n| n <= max_channels) else {
            let path = self.path.to_path_buf();
            return Err(AudioError::TooManyChannels {
                path,
                channels,
                max_channels,
            });
        };
        let rate = SampleRate::from_hertz(rate)
            .filter(|rate| RATES_HZ.contains(&rate.hertz()))
            .ok_or_else(|| {
                let (least, most) = (RATES_HZ.start(), RATES_HZ.end());
                let reason = format!(
                    "it claims a sample rate of {rate} Hz, and sound has {least} to {most}"
                );
                self.malformed(codec, &reason)
            })?;
        Ok((channels, rate))
    }

    /// The most samples that a clip at this rate may have.
    pub(super) fn max_samples(&self, rate: SampleRate) -> usize {
        rate.samples_in(self.limits.max_duration)
            .min(self.limits.max_samples)
    }
}

/// What a decoder read.
pub(super) struct Sound {
    pub(super) mixer: Mixer,
    pub(super) format: SourceFormat,
    pub(super) warnings: Vec<String>,
}

impl Sound {
    /// A sound about which there is nothing to complain so far.
    pub(super) fn new(
        mixer: Mixer,
        container: &str,
        codec: &str,
        bits_per_sample: Option<u32>,
        channels: u16,
        rate: SampleRate,
    ) -> Self {
        let (container, codec) = (container.to_owned(), codec.to_owned());
        let format = SourceFormat {
            container,
            codec,
            bits_per_sample,
            channels,
            rate,
        };
        Self {
            mixer,
            format,
            warnings: Vec::new(),
        }
    }

    /// The finished clip, if there is a single sample.
    pub(super) fn finish(self, job: &Job) -> Result<Decoded, AudioError> {
        let Self {
            mixer,
            format,
            mut warnings,
        } = self;
        let mix = mixer.finish();
        if mix.samples.is_empty() {
            let codec = format!("{}, {}", format.container, format.codec);
            return Err(AudioError::Empty {
                path: job.path.to_path_buf(),
                codec,
            });
        }
        if mix.replaced > 0 {
            warnings.push(format!(
                "{} samples were damaged (no number, infinite, or beyond ±1e10) and were replaced by silence.",
                mix.replaced
            ));
        }
        Ok(Decoded {
            clip: Clip::new(mix.samples, format.rate),
            format,
            warnings,
            peak: mix.peak,
            clipped_samples: mix.clipped,
        })
    }
}
