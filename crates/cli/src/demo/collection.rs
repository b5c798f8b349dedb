//! The demo's collection: synthetic calls written as WAV files, one folder a class.
//!
//! It is made a little untidy on purpose: mixed sample rates and levels, and
//! one quieter copy in each class, so that the audit and the grouped split have
//! something to find. The voices themselves live in [`super::calls`].

use std::io::Cursor;
use std::path::Path;

use anyhow::{Context, Result};
use biophony_audio::Clip;

use super::calls::{Voice, synthesize};

/// How many different clips each class has, its one copy not counted.
pub(crate) const CLIPS_PER_CLASS: u64 = 24;

/// Writes the collection below `root`, one folder per voice.
pub(crate) fn write_collection(root: &Path, seed: u64) -> Result<()> {
    for voice in Voice::ALL {
        let folder = root.join(voice.name());
        std::fs::create_dir_all(&folder)
            .with_context(|| format!("cannot create `{}`", folder.display()))?;
        for index in 0..CLIPS_PER_CLASS {
            let clip = synthesize(voice, clip_seed(seed, index));
            write_wav(
                &folder.join(format!("{}_{index:02}.wav", voice.name())),
                &clip,
            )?;
        }
        let quieter = quieter_copy(&synthesize(voice, clip_seed(seed, 0)));
        write_wav(&folder.join(format!("{}_copy.wav", voice.name())), &quieter)?;
    }
    Ok(())
}

/// Synthesizes a clip that [`write_collection`] with the same seed does not hold.
pub(crate) fn fresh_clip(voice: Voice, seed: u64) -> Clip {
    synthesize(voice, clip_seed(seed, CLIPS_PER_CLASS + 1))
}

/// Writes a clip as 16-bit PCM.
pub(crate) fn write_wav(path: &Path, clip: &Clip) -> Result<()> {
    let write = || -> Result<()> { Ok(std::fs::write(path, wav_bytes(clip)?)?) };
    write().with_context(|| format!("cannot write `{}`", path.display()))
}

/// A clip as a WAV file of 16-bit PCM.
pub(crate) fn wav_bytes(clip: &Clip) -> Result<Vec<u8>> {
    let spec = hound::WavSpec {
        channels: 1,
        sample_rate: clip.rate().hertz(),
        bits_per_sample: 16,
        sample_format: hound::SampleFormat::Int,
    };
    let mut file = Cursor::new(Vec::new());
    let mut writer = hound::WavWriter::new(&mut file, spec)?;
    for sample in clip.samples() {
        writer.write_sample((sample * 32_767.0).round() as i16)?;
    }
    writer.finalize()?;
    Ok(file.into_inner())
}

fn clip_seed(seed: u64, index: u64) -> u64 {
    seed.wrapping_mul(1_000).wrapping_add(index)
}

fn quieter_copy(clip: &Clip) -> Clip {
    Clip::new(
        clip.samples().iter().map(|s| s * 0.4).collect(),
        clip.rate(),
    )
}
