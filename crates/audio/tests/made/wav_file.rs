//! Sound files made byte by byte for the tests.
#![allow(dead_code, reason = "each test program uses another part")]

use std::f64::consts::TAU;

/// A WAV file before it is written.
pub(crate) struct WavFile {
    pub(crate) tag: u16,
    pub(crate) bits: u16,
    pub(crate) channels: u16,
    pub(crate) rate: u32,
    /// Whether the tag goes into a `WAVE_FORMAT_EXTENSIBLE` chunk.
    pub(crate) extensible: bool,
    /// Zeros at the end of the `fmt ` chunk.
    pub(crate) format_padding: usize,
    /// What the `data` chunk claims to hold, if not the truth.
    pub(crate) claimed: Option<u32>,
    /// Samples going round the channels.
    pub(crate) samples: Vec<f64>,
}

/// A quarter of a second of both tones at 16 kHz.
pub(crate) fn tone_frames() -> Vec<f64> {
    (0..4000)
        .flat_map(|i| {
            let phase = TAU * f64::from(i) / 16_000.0;
            [0.5 * (440.0 * phase).sin(), 0.25 * (1000.0 * phase).sin()]
        })
        .collect()
}

impl WavFile {
    /// 16-bit PCM of the two tones.
    pub(crate) fn tone() -> Self {
        Self {
            tag: 1,
            bits: 16,
            channels: 2,
            rate: 16_000,
            extensible: false,
            format_padding: 0,
            claimed: None,
            samples: tone_frames(),
        }
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        let data = self.data();
        let claimed = self.claimed.unwrap_or(data.len() as u32);
        let mut bytes = b"RIFF\0\0\0\0WAVE".to_vec();
        bytes.extend(self.format_chunk());
        bytes.extend(b"data");
        bytes.extend(claimed.to_le_bytes());
        bytes.extend(data);
        bytes
    }

    /// The same as RF64: sizes of 64 bits in a chunk of their own.
    pub(crate) fn rf64(&self) -> Vec<u8> {
        let data = self.data();
        let mut bytes = b"RF64\xFF\xFF\xFF\xFFWAVEds64\x1C\0\0\0".to_vec();
        bytes.extend((data.len() as u64 + 100).to_le_bytes());
        bytes.extend((data.len() as u64).to_le_bytes());
        bytes.extend([0; 12]);
        bytes.extend(self.format_chunk());
        bytes.extend(b"data\xFF\xFF\xFF\xFF");
        bytes.extend(data);
        bytes
    }

    fn format_chunk(&self) -> Vec<u8> {
        let frame = u32::from(self.channels) * u32::from(self.bits) / 8;
        let tag = if self.extensible { 0xFFFE } else { self.tag };
        let mut body = Vec::new();
        body.extend(tag.to_le_bytes());
        body.extend(self.channels.to_le_bytes());
        body.extend(self.rate.to_le_bytes());
        body.extend(self.rate.wrapping_mul(frame).to_le_bytes());
        body.extend((frame as u16).to_le_bytes());
        body.extend(self.bits.to_le_bytes());
        if self.extensible {
            body.extend(22_u16.to_le_bytes());
            body.extend(self.bits.to_le_bytes());
            body.extend(3_u32.to_le_bytes());
            body.extend(self.tag.to_le_bytes());
            body.extend(b"\0\0\0\0\x10\0\x80\0\0\xAA\0\x38\x9B\x71");
        }
        body.extend(vec![0; self.format_padding]);
        [
            b"fmt ".to_vec(),
            (body.len() as u32).to_le_bytes().to_vec(),
            body,
        ]
        .concat()
    }

    fn data(&self) -> Vec<u8> {
        self.samples
            .iter()
            .flat_map(|&value| self.sample(value))
            .collect()
    }

    fn sample(&self, value: f64) -> Vec<u8> {
        let scaled = |bits: u32| {
            let full = 2_f64.powi(bits as i32 - 1);
            (value * full).round().clamp(-full, full - 1.0) as i64
        };
        match (self.tag, self.bits) {
            (3, 64) => value.to_le_bytes().to_vec(),
            (3, _) => (value as f32).to_le_bytes().to_vec(),
            (_, 8) => vec![(scaled(8) + 128) as u8],
            (_, bits) => scaled(bits.into()).to_le_bytes()[..usize::from(bits) / 8].to_vec(),
        }
    }
}

/// An M4A file with its `moov` box moved before the `mdat` box, as phones write
/// it; the positions of the sound in it are moved likewise.
pub(crate) fn with_index_first(file: &[u8]) -> Vec<u8> {
    let mut boxes = Vec::new();
    let mut at = 0;
    while at < file.len() {
        let size = u32::from_be_bytes(file[at..at + 4].try_into().expect("four bytes")) as usize;
        boxes.push(file[at..at + size].to_vec());
        at += size;
    }
    let index = boxes
        .iter()
        .position(|bytes| &bytes[4..8] == b"moov")
        .expect("has an index");
    let mut index = boxes.remove(index);
    let table = index
        .windows(4)
        .position(|name| name == b"stco")
        .expect("has positions")
        + 4;
    let number =
        |bytes: &[u8], at: usize| u32::from_be_bytes(bytes[at..at + 4].try_into().expect("four"));
    for entry in 0..number(&index, table + 4) as usize {
        let at = table + 8 + 4 * entry;
        let moved = number(&index, at) + index.len() as u32;
        index[at..at + 4].copy_from_slice(&moved.to_be_bytes());
    }
    boxes.insert(1, index);
    boxes.concat()
}
