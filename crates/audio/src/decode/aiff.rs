//! AIFF and AIFF-C files: big-endian chunks around samples stored one by one.

use super::job::{Job, Sound};
use super::mix::Mixer;
use super::pcm::{SampleCoding, SignedWidth, mix_samples};
use crate::error::AudioError;
use crate::riff::{ByteOrder, chunks};

const BE: ByteOrder = ByteOrder::BigEndian;
const LE: ByteOrder = ByteOrder::LittleEndian;

/// Reads an AIFF or AIFF-C file.
pub(super) fn decode(file: &[u8], job: &Job) -> Result<Sound, AudioError> {
    let chunks = chunks(file, BE);
    let find = |id: &[u8; 4]| {
        let missing = || {
            let name = String::from_utf8_lossy(id);
            job.malformed("AIFF", &format!("it has no `{name}` chunk"))
        };
        chunks
            .iter()
            .find(|chunk| &chunk.id == id)
            .ok_or_else(missing)
    };
    let common = Common::read(&file[find(b"COMM")?.body.clone()], job)?;
    let sound = find(b"SSND")?;
    // Two numbers precede the samples: where they begin and an alignment.
    let body = &file[sound.body.clone()];
    let offset = BE
        .u32(body, 0)
        .map_or(usize::MAX, |offset| (offset as usize).saturating_add(8));
    let samples = body.get(offset..).unwrap_or_default();
    let channels = usize::from(common.channels);
    let frame_bytes = channels * common.coding.bytes();
    let n_frames = (samples.len() / frame_bytes).min(common.n_frames as usize);

    let mut mixer = Mixer::new(common.coding.full_scale(), job.max_samples(common.rate));
    mix_samples(
        &samples[..n_frames * frame_bytes],
        common.coding,
        channels,
        &mut mixer,
    )
    .map_err(|full| job.full(full, common.rate))?;
    let Common {
        coding,
        channels,
        rate,
        bits,
        ..
    } = common;
    let mut decoded = Sound::new(mixer, "AIFF", &coding.name(), Some(bits), channels, rate);
    if n_frames < common.n_frames as usize {
        decoded.warnings.push(format!(
            "The file was cut short: its header announces {:.3} s of sound and {:.3} s are there.",
            rate.duration_of(common.n_frames as usize).0,
            rate.duration_of(n_frames).0,
        ));
    }
    Ok(decoded)
}

/// The `COMM` chunk, checked.
struct Common {
    channels: u16,
    n_frames: u32,
    bits: u32,
    rate: crate::clip::SampleRate,
    coding: SampleCoding,
}

impl Common {
    fn read(chunk: &[u8], job: &Job) -> Result<Self, AudioError> {
        let (Some(channels), Some(n_frames), Some(bits), Some(rate)) = (
            BE.u16(chunk, 0),
            BE.u32(chunk, 2),
            BE.u16(chunk, 6),
            extended(chunk, 8),
        ) else {
            let reason = format!(
                "its `COMM` chunk has {} bytes where 18 are needed",
                chunk.len()
            );
            return Err(job.malformed("AIFF", &reason));
        };
        let (channels, rate) = job.check_layout("AIFF", channels.into(), rate)?;
        // Only AIFF-C has the name of a compression here.
        let compression = chunk.get(18..22).unwrap_or(b"NONE");
        let coding = coding(compression, bits).ok_or_else(|| {
            let codec = String::from_utf8_lossy(compression);
            job.unsupported(
                &format!("{codec} (AIFF-C)"),
                &format!("{bits} bits per sample"),
            )
        })?;
        let bits = if bits == 0 {
            8 * coding.bytes() as u32
        } else {
            bits.into()
        };
        Ok(Self {
            channels,
            n_frames,
            bits,
            rate,
            coding,
        })
    }
}

/// How samples are written under a compression's name.
fn coding(compression: &[u8], bits: u16) -> Option<SampleCoding> {
    let signed = |order| {
        let width = match bits {
            1..=8 => SignedWidth::One,
            9..=16 => SignedWidth::Two,
            17..=24 => SignedWidth::Three,
            25..=32 => SignedWidth::Four,
            _ => return None,
        };
        Some(SampleCoding::Signed(width, order))
    };
    match compression {
        b"NONE" | b"twos" => signed(BE),
        b"sowt" => signed(LE),
        b"in24" => Some(SampleCoding::Signed(SignedWidth::Three, BE)),
        b"in32" => Some(SampleCoding::Signed(SignedWidth::Four, BE)),
        b"raw " => Some(SampleCoding::Unsigned8),
        b"fl32" | b"FL32" => Some(SampleCoding::Float32(BE)),
        b"fl64" | b"FL64" => Some(SampleCoding::Float64(BE)),
        b"alaw" | b"ALAW" => Some(SampleCoding::ALaw),
        b"ulaw" | b"ULAW" => Some(SampleCoding::MuLaw),
        _ => None,
    }
}

/// A rate written as an 80-bit float: sign and exponent in 16 bits, then a
/// mantissa of 64 with its leading one. Zero if it is no rate.
fn extended(bytes: &[u8], at: usize) -> Option<u32> {
    let (exponent, mantissa) = (BE.u16(bytes, at)?, BE.u64(bytes, at + 2)?);
    let shift = 16_383 + 63 - i32::from(exponent);
    // A rate from 1 Hz up to what 32 bits hold; the sign bit would be above.
    if !(32..=63).contains(&shift) {
        return Some(0);
    }
    let rounded = (mantissa >> (shift - 1)).div_ceil(2);
    Some(u32::try_from(rounded).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_read_from_its_80_bit_float() {
        let bytes = [0x40, 0x0E, 0xAC, 0x44, 0, 0, 0, 0, 0, 0];
        assert_eq!(extended(&bytes, 0), Some(44_100));
        let bytes = [0x40, 0x0D, 0xAD, 0xDD, 0x17, 0x45, 0xD1, 0x74, 0x5D, 0x17];
        assert_eq!(extended(&bytes, 0), Some(22_255));
    }

    #[test]
    fn a_rate_that_is_negative_tiny_or_huge_is_none() {
        for exponent in [0_u16, 0x3FFE, 0x4020, 0x7FFF, 0xC00E] {
            let [high, low] = exponent.to_be_bytes();
            assert_eq!(
                extended(
                    &[high, low, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF],
                    0
                ),
                Some(0)
            );
        }
    }
}
