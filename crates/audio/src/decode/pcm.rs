//! Samples that are stored one by one: PCM, floating point, A-law and µ-law.

use super::mix::{Full, Mixer};
use crate::riff::ByteOrder;

/// How one sample is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SampleCoding {
    /// 8 bits with silence at 128, as in WAV.
    Unsigned8,
    /// 8 to 32 bits, two's complement, in this many bytes.
    Signed(SignedWidth, ByteOrder),
    /// IEEE 754, 32 bits.
    Float32(ByteOrder),
    /// IEEE 754, 64 bits.
    Float64(ByteOrder),
    /// ITU-T G.711, as used in Europe.
    ALaw,
    /// ITU-T G.711, as used in North America and Japan.
    MuLaw,
}

/// Bytes of a two's-complement sample.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SignedWidth {
    One,
    Two,
    Three,
    Four,
}

impl SampleCoding {
    /// Bytes that one sample takes.
    pub(super) fn bytes(self) -> usize {
        match self {
            Self::Unsigned8 | Self::ALaw | Self::MuLaw | Self::Signed(SignedWidth::One, _) => 1,
            Self::Signed(SignedWidth::Two, _) => 2,
            Self::Signed(SignedWidth::Three, _) => 3,
            Self::Signed(SignedWidth::Four, _) | Self::Float32(_) => 4,
            Self::Float64(_) => 8,
        }
    }

    /// What people call it.
    pub(super) fn name(self) -> String {
        match self {
            Self::Float32(_) => "32-bit float".to_owned(),
            Self::Float64(_) => "64-bit float".to_owned(),
            Self::ALaw => "A-law".to_owned(),
            Self::MuLaw => "µ-law".to_owned(),
            Self::Unsigned8 | Self::Signed(..) => format!("{}-bit PCM", 8 * self.bytes()),
        }
    }

    /// The magnitude of the largest code, from which on a sample counts as
    /// clipped.
    pub(super) fn full_scale(self) -> f32 {
        match self {
            Self::Unsigned8 | Self::Signed(SignedWidth::One, _) => 127.0 / 128.0,
            Self::Signed(SignedWidth::Two, _) => 32_767.0 / 32_768.0,
            Self::ALaw => 32_256.0 / 32_768.0,
            Self::MuLaw => 32_124.0 / 32_768.0,
            // One step of 24 bits below 1; 32 bits have finer ones than `f32`.
            Self::Signed(..) => 1.0 - 1.0 / 8_388_608.0,
            Self::Float32(_) | Self::Float64(_) => 1.0,
        }
    }
}

/// Reads all whole frames of `data` into the mixer.
pub(super) fn mix_samples(
    data: &[u8],
    coding: SampleCoding,
    channels: usize,
    mixer: &mut Mixer,
) -> Result<(), Full> {
    use ByteOrder::{BigEndian, LittleEndian};
    use SignedWidth::{Four, One, Three, Two};
    const S8: f32 = 1.0 / 128.0;
    const S16: f32 = 1.0 / 32_768.0;
    const S32: f32 = 1.0 / 2_147_483_648.0;
    let s32 = |bytes: [u8; 4]| i32::from_le_bytes(bytes) as f32 * S32;
    let mut mix = Frames {
        data,
        channels,
        mixer,
    };
    match coding {
        SampleCoding::Unsigned8 => mix.each(|[a]| (f32::from(a) - 128.0) * S8),
        SampleCoding::Signed(One, _) => mix.each(|[a]| f32::from(a as i8) * S8),
        SampleCoding::Signed(Two, LittleEndian) => {
            mix.each(|b| f32::from(i16::from_le_bytes(b)) * S16)
        }
        SampleCoding::Signed(Two, BigEndian) => {
            mix.each(|b| f32::from(i16::from_be_bytes(b)) * S16)
        }
        SampleCoding::Signed(Three, LittleEndian) => mix.each(|[a, b, c]| s32([0, a, b, c])),
        SampleCoding::Signed(Three, BigEndian) => mix.each(|[a, b, c]| s32([0, c, b, a])),
        SampleCoding::Signed(Four, LittleEndian) => mix.each(s32),
        SampleCoding::Signed(Four, BigEndian) => mix.each(|b| i32::from_be_bytes(b) as f32 * S32),
        SampleCoding::Float32(LittleEndian) => mix.each(f32::from_le_bytes),
        SampleCoding::Float32(BigEndian) => mix.each(f32::from_be_bytes),
        SampleCoding::Float64(LittleEndian) => mix.each(|b| f64::from_le_bytes(b) as f32),
        SampleCoding::Float64(BigEndian) => mix.each(|b| f64::from_be_bytes(b) as f32),
        SampleCoding::ALaw => mix.each(|[a]| A_LAW[usize::from(a)]),
        SampleCoding::MuLaw => mix.each(|[a]| MU_LAW[usize::from(a)]),
    }
}

/// Frames waiting to be read.
struct Frames<'a> {
    data: &'a [u8],
    channels: usize,
    mixer: &'a mut Mixer,
}

impl Frames<'_> {
    /// Reads them with `value`, a few thousand samples at a time so that the
    /// passes over them stay within the nearest cache.
    fn each<const N: usize>(&mut self, value: impl Fn([u8; N]) -> f32) -> Result<(), Full> {
        let frame_bytes = N * self.channels;
        let frames_at_once = (4096 / self.channels).max(1);
        let n_frames = self.data.len() / frame_bytes;
        self.mixer.reserve(n_frames)?;
        let whole = &self.data[..n_frames * frame_bytes];
        let mut values = vec![0.0; frames_at_once * self.channels];
        for block in whole.chunks(frames_at_once * frame_bytes) {
            let values = &mut values[..block.len() / N];
            for (target, bytes) in values.iter_mut().zip(block.as_chunks::<N>().0) {
                *target = value(*bytes);
            }
            self.mixer.push_interleaved(values, self.channels)?;
        }
        Ok(())
    }
}

/// What each A-law code stands for (ITU-T G.711, table 1).
const A_LAW: [f32; 256] = {
    let mut table = [0.0; 256];
    let mut code = 0;
    while code < 256 {
        let bits = code as u8 ^ 0x55;
        let step = (bits & 0x0F) as i32;
        let segment = ((bits >> 4) & 7) as i32;
        let magnitude = if segment == 0 {
            step * 16 + 8
        } else {
            (step * 16 + 264) << (segment - 1)
        };
        let value = if bits & 0x80 == 0 {
            -magnitude
        } else {
            magnitude
        };
        table[code] = value as f32 / 32_768.0;
        code += 1;
    }
    table
};

/// What each µ-law code stands for (ITU-T G.711, table 2).
const MU_LAW: [f32; 256] = {
    let mut table = [0.0; 256];
    let mut code = 0;
    while code < 256 {
        let bits = !(code as u8);
        let step = (bits & 0x0F) as i32;
        let segment = ((bits >> 4) & 7) as i32;
        let magnitude = ((step * 8 + 132) << segment) - 132;
        let value = if bits & 0x80 == 0 {
            magnitude
        } else {
            -magnitude
        };
        table[code] = value as f32 / 32_768.0;
        code += 1;
    }
    table
};
