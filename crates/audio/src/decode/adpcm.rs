//! ADPCM of Microsoft and of the IMA, as in WAV files: four bits per sample in
//! blocks that can be read on their own.
//!
//! Both follow the Multimedia Data Standards Update of 1994. Damaged input gives
//! noise, never a panic: every index and every product is bounded.

use super::mix::{Full, Mixer};

/// How a block is laid out.
#[derive(Debug, Clone, Copy)]
pub(super) struct BlockLayout {
    /// Bytes of a whole block.
    pub(super) bytes: usize,
    /// Channels in it.
    pub(super) channels: usize,
}

impl BlockLayout {
    /// Whether a block is at least as long as its own header.
    pub(super) fn holds_header(self, is_ms: bool) -> bool {
        self.bytes >= self.channels * if is_ms { 7 } else { 4 }
    }

    /// How many frames lie in so many bytes: of each block those in its header, and
    /// two for each byte that a channel has in the rest of it.
    pub(super) fn frames_in(self, bytes: u64, is_ms: bool) -> u64 {
        let n = self.channels as u64;
        let in_block = |bytes: u64| match (is_ms, bytes.checked_sub(n * if is_ms { 7 } else { 4 }))
        {
            (_, None) => 0,
            (true, Some(codes)) => 2 + 2 * codes / n,
            // Four bytes of each channel in turn; a last round that is not whole is none.
            (false, Some(codes)) => 1 + codes / (4 * n) * 8,
        };
        let size = self.bytes.max(1) as u64;
        (bytes / size).saturating_mul(in_block(size)) + in_block(bytes % size)
    }
}

/// Predictor weights, in 256ths.
type Coefficients = Vec<[i32; 2]>;

/// The weights that the `fmt ` chunk lists, or else the seven standard ones.
pub(super) fn ms_coefficients(extension: &[u8]) -> Coefficients {
    const STANDARD: [[i32; 2]; 7] = [
        [256, 0],
        [512, -256],
        [0, 0],
        [192, 64],
        [240, 0],
        [460, -208],
        [392, -232],
    ];
    let number = |bytes: &[u8]| i32::from(i16::from_le_bytes([bytes[0], bytes[1]]));
    let listed: Coefficients = match extension {
        // Samples in a block, how many pairs, and the pairs.
        [_, _, low, high, pairs @ ..] => {
            let count = usize::from(u16::from_le_bytes([*low, *high]));
            pairs
                .as_chunks::<4>()
                .0
                .iter()
                .take(count)
                .map(|p| [number(&p[..2]), number(&p[2..])])
                .collect()
        }
        _ => Vec::new(),
    };
    if listed.len() < STANDARD.len() {
        STANDARD.to_vec()
    } else {
        listed
    }
}

/// Reads Microsoft's ADPCM into the mixer, at most `n_frames` of it.
pub(super) fn mix_ms(
    data: &[u8],
    layout: BlockLayout,
    coefficients: &Coefficients,
    n_frames: usize,
    mixer: &mut Mixer,
) -> Result<(), Full> {
    let n = layout.channels;
    let mut frames = Vec::with_capacity(2 * layout.bytes);
    let mut left = n_frames;
    for block in data
        .chunks(layout.bytes)
        .take_while(|block| block.len() >= 7 * n)
    {
        let (header, codes) = block.split_at(7 * n);
        let word = |field: usize, channel: usize| {
            let at = n + 2 * (field * n + channel);
            i32::from(i16::from_le_bytes([header[at], header[at + 1]]))
        };
        let mut channels: Vec<MsChannel> = (0..n)
            .map(|c| MsChannel {
                weights: coefficients
                    .get(usize::from(header[c]))
                    .copied()
                    .unwrap_or([256, 0]),
                delta: word(0, c),
                last: word(1, c),
                before: word(2, c),
            })
            .collect();
        frames.clear();
        frames.extend(channels.iter().map(|channel| to_float(channel.before)));
        frames.extend(channels.iter().map(|channel| to_float(channel.last)));
        let nibbles = codes.iter().flat_map(|byte| [byte >> 4, byte & 15]);
        for (i, nibble) in nibbles.take(2 * codes.len() / n * n).enumerate() {
            frames.push(to_float(channels[i % n].next(nibble)));
        }
        push_block(&mut frames, n, &mut left, mixer)?;
    }
    Ok(())
}

/// The state of one channel of Microsoft's ADPCM.
struct MsChannel {
    weights: [i32; 2],
    delta: i32,
    last: i32,
    before: i32,
}

impl MsChannel {
    fn next(&mut self, nibble: u8) -> i32 {
        /// By how much each code widens or narrows the step, in 256ths.
        const ADAPTATION: [i32; 16] = [
            230, 230, 230, 230, 307, 409, 512, 614, 768, 614, 512, 409, 307, 230, 230, 230,
        ];
        let code = if nibble < 8 {
            i32::from(nibble)
        } else {
            i32::from(nibble) - 16
        };
        // Two products of 16-bit numbers fit 32 bits only just, hence 64.
        let predicted = (i64::from(self.last) * i64::from(self.weights[0])
            + i64::from(self.before) * i64::from(self.weights[1]))
            / 256;
        let value = predicted + i64::from(code) * i64::from(self.delta);
        self.before = self.last;
        self.last = value.clamp(i64::from(i16::MIN), i64::from(i16::MAX)) as i32;
        // The upper bound keeps the next product within 32 bits; no encoder
        // comes near it.
        self.delta = (ADAPTATION[usize::from(nibble)] * self.delta / 256).clamp(16, i32::MAX / 768);
        self.last
    }
}

/// Reads the IMA's ADPCM into the mixer, at most `n_frames` of it.
pub(super) fn mix_ima(
    data: &[u8],
    layout: BlockLayout,
    n_frames: usize,
    mixer: &mut Mixer,
) -> Result<(), Full> {
    let n = layout.channels;
    let mut frames = Vec::with_capacity(2 * layout.bytes);
    let mut left = n_frames;
    for block in data
        .chunks(layout.bytes)
        .take_while(|block| block.len() >= 4 * n)
    {
        let (header, codes) = block.split_at(4 * n);
        // Four bytes, that is eight samples, of each channel in turn.
        let rounds = codes.len() / (4 * n);
        frames.clear();
        frames.resize((1 + 8 * rounds) * n, 0.0);
        for (c, start) in header.as_chunks::<4>().0.iter().enumerate() {
            let mut channel = ImaChannel {
                value: i32::from(i16::from_le_bytes([start[0], start[1]])),
                step: usize::from(start[2].min(88)),
            };
            frames[c] = to_float(channel.value);
            let words = codes
                .as_chunks::<4>()
                .0
                .iter()
                .skip(c)
                .step_by(n)
                .take(rounds);
            let nibbles = words.flatten().flat_map(|byte| [byte & 15, byte >> 4]);
            for (i, nibble) in nibbles.enumerate() {
                frames[(1 + i) * n + c] = to_float(channel.next(nibble));
            }
        }
        push_block(&mut frames, n, &mut left, mixer)?;
    }
    Ok(())
}

/// The state of one channel of the IMA's ADPCM.
struct ImaChannel {
    value: i32,
    step: usize,
}

impl ImaChannel {
    fn next(&mut self, nibble: u8) -> i32 {
        const CHANGE: [isize; 8] = [-1, -1, -1, -1, 2, 4, 6, 8];
        let step = IMA_STEPS[self.step];
        // An eighth of the step and the sum of those that the bits choose, as
        // the standard rounds it.
        let mut difference = step >> 3;
        for (bit, share) in [(4, step), (2, step >> 1), (1, step >> 2)] {
            if nibble & bit != 0 {
                difference += share;
            }
        }
        let signed = if nibble & 8 == 0 {
            difference
        } else {
            -difference
        };
        self.value = (self.value + signed).clamp(i16::MIN.into(), i16::MAX.into());
        self.step = self
            .step
            .saturating_add_signed(CHANGE[usize::from(nibble & 7)])
            .min(88);
        self.value
    }
}

/// The step sizes of the IMA's recommended practices, table 2.
const IMA_STEPS: [i32; 89] = [
    7, 8, 9, 10, 11, 12, 13, 14, 16, 17, 19, 21, 23, 25, 28, 31, 34, 37, 41, 45, 50, 55, 60, 66,
    73, 80, 88, 97, 107, 118, 130, 143, 157, 173, 190, 209, 230, 253, 279, 307, 337, 371, 408, 449,
    494, 544, 598, 658, 724, 796, 876, 963, 1060, 1166, 1282, 1411, 1552, 1707, 1878, 2066, 2272,
    2499, 2749, 3024, 3327, 3660, 4026, 4428, 4871, 5358, 5894, 6484, 7132, 7845, 8630, 9493,
    10442, 11487, 12635, 13899, 15289, 16818, 18500, 20350, 22385, 24623, 27086, 29794, 32767,
];

fn to_float(value: i32) -> f32 {
    value as f32 / 32_768.0
}

/// Hands a block on, without the filling after the last frame of the sound.
fn push_block(
    frames: &mut [f32],
    channels: usize,
    left: &mut usize,
    mixer: &mut Mixer,
) -> Result<(), Full> {
    let n_frames = (frames.len() / channels).min(*left);
    *left -= n_frames;
    mixer.push_interleaved(&mut frames[..n_frames * channels], channels)
}
