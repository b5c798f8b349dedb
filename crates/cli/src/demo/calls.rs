//! Synthetic animal-like calls: what the demo and the tests train on.
//!
//! Six voices draw their pitch from one and the same range and their loudness,
//! background noise, number of calls and sample rate from the same
//! distributions, so that only the shape of a call in time and frequency tells
//! them apart. In some clips another voice calls in the distance. None of them
//! is a recording.
//!
//! Writing the clips into class folders lives in [`super::collection`].

use std::f64::consts::TAU;
use std::ops::Range;

use biophony_audio::{Clip, SampleRate};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// The rates that the demo's imaginary recorders run at.
const SAMPLE_RATES: [u32; 5] = [16_000, 22_050, 32_000, 44_100, 48_000];

/// One of the voices that can be synthesized.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Voice {
    /// Chirps made of short pulses of one tone.
    Cricket,
    /// Croaks: a harmonic stack whose amplitude flutters.
    Frog,
    /// Hoots: smooth tones with a slight arc in pitch.
    Owl,
    /// Phrases of short notes that sweep up or down.
    Songbird,
    /// Drumming: a rapid roll of damped clicks.
    Woodpecker,
    /// Mews: long, bright notes that fall in pitch.
    Gull,
}

impl Voice {
    /// Every voice, in the order of their names.
    pub(crate) const ALL: [Voice; 6] = [
        Voice::Cricket,
        Voice::Frog,
        Voice::Gull,
        Voice::Owl,
        Voice::Songbird,
        Voice::Woodpecker,
    ];

    /// The class folder's name.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Voice::Cricket => "cricket",
            Voice::Frog => "frog",
            Voice::Owl => "owl",
            Voice::Songbird => "songbird",
            Voice::Woodpecker => "woodpecker",
            Voice::Gull => "gull",
        }
    }
}

/// Synthesizes a recording of 1.5 to 4 s: one to four calls over background
/// noise, and in four of ten clips a faint call of another voice. The same voice
/// and seed give the same samples.
pub(crate) fn synthesize(voice: Voice, seed: u64) -> Clip {
    let mut rng = ChaCha8Rng::seed_from_u64(seed ^ ((voice as u64 + 1) << 48));
    let hertz = SAMPLE_RATES[rng.random_range(0..SAMPLE_RATES.len())];
    let seconds = rng.random_range(1.5..4.0);
    let mut sound = Sound::silence(f64::from(hertz), seconds);

    let caller = Caller::draw(voice, 0.5..1.0, &mut rng);
    for _ in 0..rng.random_range(1..=4) {
        caller.call(&mut sound, seconds, &mut rng);
    }
    if rng.random_bool(0.4) {
        let other = Voice::ALL[rng.random_range(0..Voice::ALL.len())];
        Caller::draw(other, 0.06..0.2, &mut rng).call(&mut sound, seconds, &mut rng);
    }
    sound.add_background(&mut rng);
    let rate = SampleRate::from_hertz(hertz).expect("the rates above are not zero");
    Clip::new(sound.into_samples(&mut rng), rate)
}

/// One animal: its voice, its pitch, and how loud it is heard.
struct Caller {
    voice: Voice,
    pitch_hz: f64,
    levels: Range<f64>,
}

impl Caller {
    fn draw(voice: Voice, levels: Range<f64>, rng: &mut ChaCha8Rng) -> Self {
        Self {
            voice,
            pitch_hz: 500.0 * 6f64.powf(rng.random_range(0.0..1.0)), // 500 to 3,000 Hz for every voice
            levels,
        }
    }

    /// Calls once, somewhere in the recording.
    fn call(&self, sound: &mut Sound, seconds: f64, rng: &mut ChaCha8Rng) {
        let note = Note {
            start: rng.random_range(0.0..(seconds - 0.6)),
            pitch_hz: self.pitch_hz * rng.random_range(0.94..1.06),
            level: rng.random_range(self.levels.clone()),
        };
        sing(self.voice, sound, rng, note);
    }
}

/// Where a call begins, how high and how loud it is.
#[derive(Clone, Copy)]
struct Note {
    start: f64,
    pitch_hz: f64,
    level: f64,
}

fn sing(voice: Voice, sound: &mut Sound, rng: &mut ChaCha8Rng, call: Note) {
    match voice {
        Voice::Cricket => cricket(sound, rng, call),
        Voice::Frog => frog(sound, rng, call),
        Voice::Owl => owl(sound, rng, call),
        Voice::Songbird => songbird(sound, rng, call),
        Voice::Woodpecker => woodpecker(sound, rng, call),
        Voice::Gull => gull(sound, rng, call),
    }
}

fn cricket(sound: &mut Sound, rng: &mut ChaCha8Rng, call: Note) {
    let pulses_per_second = rng.random_range(22.0..45.0);
    let pulses_per_chirp = rng.random_range(3..7);
    let chirp_gap = rng.random_range(0.15..0.3);
    let mut at = call.start;
    for _ in 0..rng.random_range(2..5) {
        for _ in 0..pulses_per_chirp {
            let length = 0.55 / pulses_per_second;
            sound.add_tone(
                Note { start: at, ..call },
                length,
                &[1.0, 0.15],
                |_| 1.0,
                |_| 1.0,
            );
            at += 1.0 / pulses_per_second;
        }
        at += chirp_gap;
    }
}

fn frog(sound: &mut Sound, rng: &mut ChaCha8Rng, call: Note) {
    let flutter_hz = rng.random_range(35.0..80.0);
    let length = rng.random_range(0.2..0.45);
    let sag = rng.random_range(0.8..1.0);
    let mut at = call.start;
    for _ in 0..rng.random_range(1..4) {
        let note = Note { start: at, ..call };
        let flutter = move |t: f64| 0.5 - 0.5 * (TAU * flutter_hz * t * length).cos();
        sound.add_tone(
            note,
            length,
            &[1.0, 0.8, 0.5, 0.3],
            |t| 1.0 + (sag - 1.0) * t,
            flutter,
        );
        at += length + rng.random_range(0.08..0.25);
    }
}

fn owl(sound: &mut Sound, rng: &mut ChaCha8Rng, call: Note) {
    let arc = rng.random_range(0.02..0.08);
    let mut at = call.start;
    for _ in 0..rng.random_range(2..5) {
        let length = rng.random_range(0.22..0.5);
        let bend = move |t: f64| 1.0 + arc * (TAU * t / 2.0).sin();
        sound.add_tone(
            Note { start: at, ..call },
            length,
            &[1.0, 0.12],
            bend,
            |_| 1.0,
        );
        at += length + rng.random_range(0.06..0.2);
    }
}

fn songbird(sound: &mut Sound, rng: &mut ChaCha8Rng, call: Note) {
    let mut at = call.start;
    for _ in 0..rng.random_range(5..10) {
        let length = rng.random_range(0.05..0.13);
        let (from, to) = (rng.random_range(0.7..1.5), rng.random_range(0.7..1.5));
        let sweep = move |t: f64| from + (to - from) * t;
        sound.add_tone(
            Note { start: at, ..call },
            length,
            &[1.0, 0.1],
            sweep,
            |_| 1.0,
        );
        at += length + rng.random_range(0.02..0.06);
    }
}

fn woodpecker(sound: &mut Sound, rng: &mut ChaCha8Rng, call: Note) {
    let knocks_per_second = rng.random_range(12.0..22.0);
    let decay = rng.random_range(60.0..140.0);
    let length = 0.04;
    let mut at = call.start;
    for _ in 0..rng.random_range(8..18) {
        let ring = move |t: f64| (-decay * t * length).exp();
        let note = Note { start: at, ..call };
        sound.add_tone(note, length, &[1.0, 0.5, 0.3], |_| 1.0, ring);
        sound.add_click(note, rng);
        at += rng.random_range(0.92..1.08) / knocks_per_second;
    }
}

fn gull(sound: &mut Sound, rng: &mut ChaCha8Rng, call: Note) {
    let mut at = call.start;
    for _ in 0..rng.random_range(1..4) {
        let length = rng.random_range(0.3..0.7);
        let top = rng.random_range(1.3..1.7);
        let fall = move |t: f64| top + (0.85 - top) * t * t;
        let brightness = [1.0, 0.7, 0.6, 0.4, 0.3];
        sound.add_tone(
            Note { start: at, ..call },
            length,
            &brightness,
            fall,
            |_| 1.0,
        );
        at += length + rng.random_range(0.06..0.2);
    }
}

/// A recording in the making.
struct Sound {
    rate_hz: f64,
    samples: Vec<f64>,
}

impl Sound {
    fn silence(rate_hz: f64, seconds: f64) -> Self {
        Self {
            rate_hz,
            samples: vec![0.0; (seconds * rate_hz) as usize],
        }
    }

    /// Adds a tone with harmonics of the given amplitudes. `bend` multiplies the
    /// pitch and `envelope` the level; both take the position in the note, 0 to 1.
    fn add_tone(
        &mut self,
        note: Note,
        seconds: f64,
        harmonics: &[f64],
        bend: impl Fn(f64) -> f64,
        envelope: impl Fn(f64) -> f64,
    ) {
        let first = (note.start * self.rate_hz) as usize;
        let length = (seconds * self.rate_hz).max(1.0);
        let mut phase = 0.0;
        for (i, sample) in self
            .samples
            .iter_mut()
            .skip(first)
            .take(length as usize)
            .enumerate()
        {
            let t = i as f64 / length;
            let pitch_hz = note.pitch_hz * bend(t);
            phase += TAU * pitch_hz / self.rate_hz;
            // Raised-cosine ends, so that a note does not begin with a click.
            let fade = (t.min(1.0 - t) * 8.0).min(1.0);
            let level = note.level * envelope(t) * (0.5 - 0.5 * (TAU / 2.0 * fade).cos());
            for (n, amplitude) in harmonics.iter().enumerate() {
                let order = (n + 1) as f64;
                if pitch_hz * order < 0.45 * self.rate_hz {
                    *sample += level * amplitude * (phase * order).sin();
                }
            }
        }
    }

    /// Adds 2 ms of decaying noise: the knock itself.
    fn add_click(&mut self, note: Note, rng: &mut ChaCha8Rng) {
        let first = (note.start * self.rate_hz) as usize;
        let length = (0.002 * self.rate_hz) as usize;
        for (i, sample) in self.samples.iter_mut().skip(first).take(length).enumerate() {
            let decay = 1.0 - i as f64 / length as f64;
            *sample += note.level * 0.6 * decay * rng.random_range(-1.0..1.0);
        }
    }

    /// Adds low-passed noise, 2 to 22 dB below the calls, and hum
    /// in some clips.
    fn add_background(&mut self, rng: &mut ChaCha8Rng) {
        let power = self.samples.iter().map(|s| s * s).sum::<f64>() / self.samples.len() as f64;
        let level = power.sqrt() * 10f64.powf(-rng.random_range(2.0..22.0) / 20.0);
        let darkness: f64 = rng.random_range(0.0..0.9);
        let hum = if rng.random_bool(0.3) { level } else { 0.0 };
        let hum_step = TAU * rng.random_range(80.0..240.0) / self.rate_hz;
        let mut previous = 0.0;
        for (i, sample) in self.samples.iter_mut().enumerate() {
            let white: f64 = rng.random_range(-1.7..1.7);
            previous = darkness * previous + (1.0 - darkness * darkness).sqrt() * white;
            *sample += level * previous + hum * (hum_step * i as f64).sin();
        }
    }

    /// Scales the peak to somewhere between −24 and −1 dB of full scale.
    fn into_samples(self, rng: &mut ChaCha8Rng) -> Vec<f32> {
        let peak = self
            .samples
            .iter()
            .fold(1e-9f64, |peak, s| peak.max(s.abs()));
        let gain = 10f64.powf(-rng.random_range(1.0..24.0) / 20.0) / peak;
        self.samples.iter().map(|s| (s * gain) as f32).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_sound() {
        assert_eq!(synthesize(Voice::Owl, 7), synthesize(Voice::Owl, 7));
        assert_ne!(synthesize(Voice::Owl, 7), synthesize(Voice::Owl, 8));
    }

    #[test]
    fn every_voice_is_audible_and_within_full_scale() {
        for voice in Voice::ALL {
            for seed in 0..10 {
                let clip = synthesize(voice, seed);
                let peak = clip
                    .samples()
                    .iter()
                    .fold(0f32, |peak, s| peak.max(s.abs()));
                assert!(
                    peak > 0.05 && peak < 1.0,
                    "{} {seed}: peak {peak}",
                    voice.name()
                );
            }
        }
    }
}
