//! Measures how well near copies are found: makes altered copies of some
//! recordings of a folder, audits them beside all the recordings, and prints
//! recall and precision for each kind of alteration.
//!
//! ```text
//! cargo run --release -p biophony-dataset --example near_copies -- FOLDER [N_CLIPS] [SEED]
//! ```
//!
//! What came out is in `docs/near-copies.md`. `FOLDER` has one subfolder per class.
//! The kinds that need an encoder run `ffmpeg`; without it they are left out, which is
//! said.
//!
//! Recall: altered copies in the group of their original. Precision: of the
//! pairs with an altered copy, those whose originals belong together, which are
//! the same recording or near copies of each other in an audit without altered
//! copies.

#[path = "../tests/sounds/lossy.rs"]
mod lossy;

use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use biophony_audio::{Clip, DecodeLimits, SampleRate, decode_file, resample};
use biophony_dataset::{Audit, AuditConfig, Dataset, Recording, Skipped, audit, scan};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// A way to alter a recording.
enum Kind {
    Gain(f32),
    /// Only the middle is kept, this fraction.
    Trimmed(f64),
    /// Only one second from the middle is kept.
    OneSecond,
    Resampled(u32),
    /// White noise so many decibels below the recording.
    Noise(f32),
    /// Through a lossy coding of our own.
    Coded(fn(&[f32]) -> Vec<f32>),
    /// Through an encoder: the file's extension and ffmpeg's arguments.
    Encoded(&'static str, &'static [&'static str]),
}

const KINDS: [(&str, Kind); 15] = [
    ("gain -12 dB", Kind::Gain(-12.0)),
    ("gain +6 dB", Kind::Gain(6.0)),
    ("middle 60 %", Kind::Trimmed(0.6)),
    ("one second", Kind::OneSecond),
    ("22.05 kHz", Kind::Resampled(22_050)),
    ("16 kHz", Kind::Resampled(16_000)),
    ("8 kHz", Kind::Resampled(8_000)),
    ("48 kHz", Kind::Resampled(48_000)),
    ("noise 30 dB", Kind::Noise(30.0)),
    ("u-law", Kind::Coded(lossy::mu_law)),
    ("ADPCM", Kind::Coded(lossy::adpcm)),
    ("coarse transform", Kind::Coded(lossy::transform)),
    ("mp3 64 kbit/s", Kind::Encoded("mp3", &["-b:a", "64k"])),
    (
        "ogg quality 3",
        Kind::Encoded("ogg", &["-c:a", "libvorbis", "-q:a", "3"]),
    ),
    (
        "aac 64 kbit/s",
        Kind::Encoded("m4a", &["-c:a", "aac", "-b:a", "64k"]),
    ),
];

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let folder = arguments
        .next()
        .ok_or("usage: near_copies FOLDER [N_CLIPS] [SEED]")?;
    let n_clips = arguments.next().map_or(Ok(100), |n| n.parse())?;
    let seed = arguments.next().map_or(Ok(1), |n| n.parse())?;

    let originals = scan(Path::new(&folder))?;
    let (base, elapsed) = timed_audit(&originals);
    let groups = base.groups(&originals);
    let n_groups = groups.iter().max().map_or(0, |group| group + 1);
    let n = originals.recordings.len();
    println!("{n} recordings in {n_groups} groups, audited in {elapsed:.1} s\n");
    if n_clips == 0 {
        return Ok(());
    }
    println!(
        "{:16} {:>6} {:>8} {:>6} {:>10} {:>8}",
        "kind", "copies", "recall", "pairs", "precision", "seconds"
    );

    let chosen = choose(&base, n_clips, seed);
    let mut totals = [0; 4];
    for (name, kind) in &KINDS {
        let workplace = tempfile::tempdir()?;
        let Some((dataset, sources)) = with_copies(&originals, &chosen, kind, workplace.path())?
        else {
            println!("{name:16} left out: no ffmpeg, or it lacks this encoder");
            continue;
        };
        let (audit, elapsed) = timed_audit(&dataset);
        let counts = count(&audit, &dataset, &sources, &groups);
        print_row(name, counts, elapsed);
        for (total, count) in totals.iter_mut().zip(counts) {
            *total += count;
        }
    }
    print_row("all", totals, 0.0);
    Ok(())
}

fn timed_audit(dataset: &Dataset) -> (Audit, f64) {
    let start = Instant::now();
    let audit = audit(dataset, &AuditConfig::default(), &|_, _| ());
    (audit, start.elapsed().as_secs_f64())
}

fn print_row(name: &str, counts: [usize; 4], elapsed: f64) {
    let [n_copies, n_grouped, n_pairs, n_true] = counts;
    let ratio = |n: usize, of: usize| n as f64 / of.max(1) as f64;
    let (recall, precision) = (ratio(n_grouped, n_copies), ratio(n_true, n_pairs));
    println!("{name:16} {n_copies:6} {recall:8.3} {n_pairs:6} {precision:10.3} {elapsed:8.1}");
}

/// The numbers of `n` readable recordings that are not silent.
fn choose(audit: &Audit, n: usize, seed: u64) -> Vec<usize> {
    let audible = |(number, clip): (usize, &biophony_dataset::ClipReport)| {
        let level = clip.measurements.as_ref()?.loudest_dbfs?;
        (level > -60.0).then_some(number)
    };
    let mut numbers: Vec<usize> = audit.clips.iter().enumerate().filter_map(audible).collect();
    let mut random = Random(seed);
    for i in (1..numbers.len()).rev() {
        numbers.swap(i, (random.next() % (i as u64 + 1)) as usize);
    }
    numbers.truncate(n);
    numbers
}

/// The originals and the altered copies as one data set, and for each of its
/// recordings the number of its original and whether it is altered.
fn with_copies(
    originals: &Dataset,
    chosen: &[usize],
    kind: &Kind,
    workplace: &Path,
) -> Result<Option<(Dataset, Sources)>> {
    let mut recordings: Vec<(Recording, usize, bool)> = originals
        .recordings
        .iter()
        .enumerate()
        .map(|(number, recording)| (recording.clone(), number, false))
        .collect();
    for &number in chosen {
        let original = &originals.recordings[number];
        let stem = workplace.join(format!("copy-{number}"));
        let Some(path) = alter(&original.path, kind, &stem, number as u64)? else {
            return Ok(None);
        };
        let copy = Recording {
            path,
            ..original.clone()
        };
        recordings.push((copy, number, true));
    }
    recordings.sort_by(|a, b| a.0.path.cmp(&b.0.path));
    let sources = recordings
        .iter()
        .map(|&(_, number, altered)| (number, altered))
        .collect();
    let dataset = Dataset {
        root: PathBuf::new(),
        recordings: recordings
            .into_iter()
            .map(|(recording, ..)| recording)
            .collect(),
        skipped: Skipped::default(),
    };
    Ok(Some((dataset, sources)))
}

type Sources = Vec<(usize, bool)>;

/// Copies, those in the group of their original, pairs with a copy, and those
/// that are right.
fn count(audit: &Audit, dataset: &Dataset, sources: &Sources, base: &[usize]) -> [usize; 4] {
    let groups = audit.groups(dataset);
    let original = |number| sources.iter().position(|&source| source == (number, false));
    let mut counts = [0; 4];
    for (index, &(number, altered)) in sources.iter().enumerate() {
        if altered {
            let found = original(number).is_some_and(|o| groups[o] == groups[index]);
            counts[0] += 1;
            counts[1] += usize::from(found);
            if !found && std::env::var_os("VERBOSE").is_some() {
                println!(
                    "  missed: {}",
                    dataset.recordings[original(number).unwrap_or(0)]
                        .path
                        .display()
                );
            }
        }
    }
    let number_of = |name: &str| {
        let named = |recording: &Recording| dataset.name_of(recording) == name;
        dataset.recordings.iter().position(named)
    };
    for pair in &audit.near_copies {
        let (Some(a), Some(b)) = (number_of(&pair.first), number_of(&pair.second)) else {
            continue;
        };
        if sources[a].1 || sources[b].1 {
            let same = base[sources[a].0] == base[sources[b].0];
            counts[2] += 1;
            counts[3] += usize::from(same);
            if !same && std::env::var_os("VERBOSE").is_some() {
                println!("  false: {pair:?}");
            }
        }
    }
    counts
}

/// Writes an altered copy and gives its path, nothing if there is no encoder.
fn alter(path: &Path, kind: &Kind, stem: &Path, seed: u64) -> Result<Option<PathBuf>> {
    let clip = decode_file(path, &DecodeLimits::default())?.clip;
    let wav = stem.with_extension("wav");
    if let Kind::Encoded(extension, arguments) = kind {
        let encoded = stem.with_extension(extension);
        write_wav(&clip, &wav)?;
        let run = Command::new("ffmpeg")
            .args(["-v", "error", "-y", "-i"])
            .arg(&wav)
            .args(*arguments)
            .arg(&encoded)
            .status();
        return Ok(run.is_ok_and(|status| status.success()).then_some(encoded));
    }
    write_wav(&altered(clip, kind, seed)?, &wav)?;
    Ok(Some(wav))
}

fn altered(clip: Clip, kind: &Kind, seed: u64) -> Result<Clip> {
    let rate = clip.rate();
    let samples = clip.samples();
    let n = samples.len();
    let middle = |n_kept: usize| samples[(n - n_kept) / 2..][..n_kept].to_vec();
    let samples = match *kind {
        Kind::Gain(decibel) => {
            let factor = 10.0f32.powf(decibel / 20.0);
            samples.iter().map(|sample| sample * factor).collect()
        }
        Kind::Trimmed(fraction) => middle((n as f64 * fraction) as usize),
        Kind::OneSecond => middle(n.min(rate.hertz() as usize)),
        Kind::Resampled(hertz) => {
            let rate = SampleRate::from_hertz(hertz).ok_or("a rate of zero")?;
            return Ok(resample(&clip, rate)?);
        }
        Kind::Noise(decibel) => {
            let power = samples.iter().map(|x| x * x).sum::<f32>() / n as f32;
            // Uniform noise from −1 to 1 has a power of 1/3.
            let level = (3.0 * power * 10.0f32.powf(-decibel / 10.0)).sqrt();
            let mut random = Random(seed);
            samples
                .iter()
                .map(|sample| sample + level * random.uniform())
                .collect()
        }
        Kind::Coded(code) => code(samples),
        Kind::Encoded(..) => samples.to_vec(),
    };
    Ok(Clip::new(samples, rate))
}

/// 16-bit PCM in a RIFF file.
fn write_wav(clip: &Clip, path: &Path) -> Result<()> {
    let n_bytes = 2 * clip.samples().len() as u32;
    let rate = clip.rate().hertz();
    let mut bytes = Vec::new();
    bytes.extend(b"RIFF");
    bytes.extend((36 + n_bytes).to_le_bytes());
    bytes.extend(b"WAVEfmt \x10\0\0\0\x01\0\x01\0");
    bytes.extend(rate.to_le_bytes());
    bytes.extend((2 * rate).to_le_bytes());
    bytes.extend(b"\x02\0\x10\0data");
    bytes.extend(n_bytes.to_le_bytes());
    for sample in clip.samples() {
        bytes.extend(((sample * 32_767.0).round() as i16).to_le_bytes());
    }
    Ok(std::fs::write(path, bytes)?)
}

/// SplitMix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// From −1 to 1.
    fn uniform(&mut self) -> f32 {
        (self.next() >> 40) as f32 / (1 << 23) as f32 - 1.0
    }
}
