//! Synthetic calls for tests, ways to alter them, and WAV files of them. What lossy
//! coding does to them is in [`lossy`].

// Each test file uses its own selection.
#![allow(dead_code)]

pub(crate) mod lossy;

use std::path::Path;

use biophony_audio::{Clip, SampleRate, resample};

/// Samples per second of the calls.
pub(crate) const RATE: u32 = 22_050;

/// SplitMix64.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// From `low` to `high`.
    pub(crate) fn between(&mut self, low: f32, high: f32) -> f32 {
        low + (high - low) * (self.next() >> 40) as f32 / (1 << 24) as f32
    }
}

/// A second or so of notes: number 0, 4, 8… chirps, 1, 5… pulses of one pitch,
/// which is the same in all of them, 2, 6… harmonic sweeps, 3, 7… bursts of
/// noise; all on a background of their own.
pub(crate) fn call(number: usize) -> Vec<f32> {
    let mut random = Random(1_000 + number as u64);
    let n = (random.between(1.0, 2.0) * RATE as f32) as usize;
    let mut samples: Vec<f32> = (0..n).map(|_| random.between(-0.01, 0.01)).collect();
    let mut start = random.between(0.02, 0.1);
    while start < n as f32 / RATE as f32 - 0.05 {
        let seconds = random.between(0.05, 0.3);
        add_note(&mut samples, number % 4, start, seconds, &mut random);
        start += seconds + random.between(0.02, 0.2);
    }
    samples
}

fn add_note(samples: &mut [f32], make: usize, start: f32, seconds: f32, random: &mut Random) {
    let rate = RATE as f32;
    let (pitch, glide, overtones) = match make {
        0 => (
            random.between(1_500.0, 5_000.0),
            random.between(-3_000.0, 3_000.0),
            1,
        ),
        1 => (2_500.0, 0.0, 1),
        2 => (
            random.between(300.0, 700.0),
            random.between(-400.0, 400.0),
            8,
        ),
        _ => (0.0, 0.0, 0),
    };
    let first = (start * rate) as usize;
    let n = (seconds * rate) as usize;
    let mut phase = random.between(0.0, 1.0);
    for (i, sample) in samples.iter_mut().skip(first).take(n).enumerate() {
        let progress = i as f32 / n as f32;
        let envelope = (std::f32::consts::PI * progress).sin();
        phase += (pitch + glide * progress).max(100.0) / rate;
        let tone = |k: usize| (std::f32::consts::TAU * phase * k as f32).sin() / k as f32;
        let wave = match overtones {
            0 => random.between(-1.0, 1.0),
            _ => (1..=overtones).map(tone).sum(),
        };
        *sample += 0.3 * envelope * wave;
    }
}

pub(crate) fn gain(samples: &[f32], factor: f32) -> Vec<f32> {
    samples.iter().map(|sample| sample * factor).collect()
}

/// White noise so many decibels below the samples.
pub(crate) fn with_noise(samples: &[f32], decibel: f32, seed: u64) -> Vec<f32> {
    let power = samples.iter().map(|x| x * x).sum::<f32>() / samples.len() as f32;
    // Uniform noise from −1 to 1 has a power of 1/3.
    let level = (3.0 * power * 10.0f32.powf(-decibel / 10.0)).sqrt();
    let mut random = Random(seed);
    let noisy = samples
        .iter()
        .map(|sample| sample + random.between(-level, level));
    noisy.collect()
}

pub(crate) fn resampled(samples: &[f32], rate: u32) -> Vec<f32> {
    let hertz = |rate| SampleRate::from_hertz(rate).expect("not zero");
    let clip = Clip::new(samples.to_vec(), hertz(RATE));
    resample(&clip, hertz(rate))
        .expect("resamples")
        .into_samples()
}

/// Writes 16-bit PCM.
pub(crate) fn save(samples: &[f32], rate: u32, path: &Path) {
    let word = |sample: &f32| ((sample * 32_767.0).round() as i16).to_le_bytes();
    write_wav(samples.iter().flat_map(word).collect(), 16, rate, path);
}

/// Writes 8-bit PCM.
pub(crate) fn save_8_bit(samples: &[f32], rate: u32, path: &Path) {
    let byte = |sample: &f32| (sample * 127.0 + 128.0).round() as u8;
    write_wav(samples.iter().map(byte).collect(), 8, rate, path);
}

/// Writes 24-bit PCM with exactly the samples of [`save`].
pub(crate) fn save_24_bit(samples: &[f32], rate: u32, path: &Path) {
    let word = |sample: &f32| {
        let [low, high] = ((sample * 32_767.0).round() as i16).to_le_bytes();
        [0, low, high]
    };
    write_wav(samples.iter().flat_map(word).collect(), 24, rate, path);
}

/// Writes 24-bit PCM with all its precision: copies at other levels differ by little more
/// than their level.
pub(crate) fn save_finely(samples: &[f32], rate: u32, path: &Path) {
    let word = |sample: &f32| {
        let [a, b, c, _] = ((f64::from(*sample) * 8_388_607.0).round() as i32).to_le_bytes();
        [a, b, c]
    };
    write_wav(samples.iter().flat_map(word).collect(), 24, rate, path);
}

fn write_wav(data: Vec<u8>, bits: u16, rate: u32, path: &Path) {
    let mut bytes = Vec::new();
    bytes.extend(b"RIFF");
    bytes.extend((36 + data.len() as u32).to_le_bytes());
    bytes.extend(b"WAVEfmt \x10\0\0\0\x01\0\x01\0");
    bytes.extend(rate.to_le_bytes());
    bytes.extend((rate * u32::from(bits / 8)).to_le_bytes());
    bytes.extend((bits / 8).to_le_bytes());
    bytes.extend(bits.to_le_bytes());
    bytes.extend(b"data");
    bytes.extend((data.len() as u32).to_le_bytes());
    bytes.extend(data);
    let folder = path.parent().expect("files lie in a folder");
    std::fs::create_dir_all(folder).expect("creates the folder");
    std::fs::write(path, bytes).expect("writes the file");
}
