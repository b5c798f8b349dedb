//! What an answer shows of a sound: its outline and its spectrogram, small enough to
//! be sent and drawn at once.
//!
//! The spectrogram has the model's own bands and frames, so that people see what the
//! model sees; only the scale is one for eyes: 80 dB below the loudest value.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use biophony_audio::{
    AudioError, Clip, FeatureConfig, FeatureExtractor, FeatureScale, FeatureSettings, MelScale,
    Reference, Spectrogram, resample,
};
use biophony_model::FrontEnd;
use serde::Serialize;

/// The most columns of an outline or a spectrogram: more than a screen is wide.
const MAX_COLUMNS: usize = 1200;

/// Decibels between black and white.
pub(crate) const RANGE_DB: f32 = 80.0;

/// What is drawn of a sound.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct View {
    /// The lowest and the highest sample of each of equally long stretches.
    pub(crate) peaks: Vec<[f32; 2]>,
    pub(crate) spectrogram: Picture,
}

/// A spectrogram as bytes.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Picture {
    pub(crate) n_mels: usize,
    pub(crate) n_frames: usize,
    pub(crate) hop_seconds: f64,
    pub(crate) fmin_hz: f32,
    pub(crate) fmax_hz: f32,
    pub(crate) mel_scale: MelScale,
    /// Base64 of a byte per value, row per band, the lowest band first: 0 is −80 dB,
    /// 255 is 0 dB.
    pub(crate) data: String,
}

/// Draws a clip as the front end hears it.
pub(crate) fn view(clip: &Clip, front: &FrontEnd) -> Result<View, AudioError> {
    let config = for_eyes(&front.features, Reference::Max)?;
    let heard = resample(clip, front.rate())?;
    let spectrogram = FeatureExtractor::new(&config).extract(heard.samples())?;
    let thin = spectrogram.n_frames.div_ceil(MAX_COLUMNS).max(1);
    let hop_seconds = front.rate().duration_of(config.hop_length()).0;
    Ok(View {
        peaks: peaks(clip.samples()),
        spectrogram: Picture {
            n_mels: spectrogram.n_bands,
            n_frames: spectrogram.n_frames.div_ceil(thin),
            hop_seconds: hop_seconds * thin as f64,
            fmin_hz: config.fmin(),
            fmax_hz: config.fmax(),
            mel_scale: front.features.mel_scale(),
            data: STANDARD.encode(rows(&spectrogram, thin)),
        },
    })
}

/// The front end's analysis in decibels below a reference.
pub(crate) fn for_eyes(
    features: &FeatureConfig,
    reference: Reference,
) -> Result<FeatureConfig, AudioError> {
    let settings = FeatureSettings {
        power: 2.0,
        scale: FeatureScale::Db {
            reference,
            amin: 1e-10,
            top_db: None,
        },
        ..FeatureSettings::from(features.clone())
    };
    FeatureConfig::new(settings)
}

/// A level as a byte: 255 for 0 dB, 0 for −80 dB and below.
pub(crate) fn brightness(db: f32) -> u8 {
    // Saturates at both ends; what is no number becomes 0.
    ((db / RANGE_DB + 1.0) * 255.0).round() as u8
}

/// Row by row, the loudest of `thin` neighboring frames.
fn rows(spectrogram: &Spectrogram, thin: usize) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(spectrogram.n_bands * spectrogram.n_frames.div_ceil(thin));
    for band in 0..spectrogram.n_bands {
        let columns = spectrogram.row(band).chunks(thin);
        bytes.extend(columns.map(|frames| {
            let loudest = frames.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            brightness(loudest)
        }));
    }
    bytes
}

fn peaks(samples: &[f32]) -> Vec<[f32; 2]> {
    let stretch = samples.len().div_ceil(MAX_COLUMNS).max(1);
    samples
        .chunks(stretch)
        .map(|stretch| {
            let low = stretch.iter().copied().fold(f32::INFINITY, f32::min);
            let high = stretch.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            [rounded(low), rounded(high)]
        })
        .collect()
}

/// Three digits: a screen shows no more, and JSON is text.
fn rounded(value: f32) -> f32 {
    (value * 1000.0).round() / 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use biophony_audio::SampleRate;

    fn tone(hertz: f32, seconds: f32, rate: u32) -> Clip {
        let n = (seconds * rate as f32) as usize;
        let step = std::f32::consts::TAU * hertz / rate as f32;
        let samples = (0..n).map(|i| 0.5 * (step * i as f32).sin()).collect();
        Clip::new(samples, SampleRate::from_hertz(rate).expect("not zero"))
    }

    fn front() -> FrontEnd {
        FrontEnd::default()
    }

    #[test]
    fn a_tone_lights_up_its_band_and_nothing_far_from_it() {
        let view = view(&tone(2_000.0, 1.0, 44_100), &front()).expect("draws");
        let picture = &view.spectrogram;
        let data = STANDARD.decode(&picture.data).expect("is Base64");
        assert_eq!(data.len(), picture.n_mels * picture.n_frames);
        let middle = picture.n_frames / 2;
        let column: Vec<u8> = (0..picture.n_mels)
            .map(|band| data[band * picture.n_frames + middle])
            .collect();
        let brightest = (0..column.len()).max_by_key(|&band| column[band]);
        let brightest = brightest.expect("has bands");
        assert!((20..40).contains(&brightest), "band {brightest}");
        assert!(column[brightest] > 240);
        assert!(column[60] < 60, "{column:?}");
    }

    #[test]
    fn a_long_sound_is_thinned_and_keeps_its_length() {
        let view = view(&tone(500.0, 120.0, 8_000), &front()).expect("draws");
        let picture = &view.spectrogram;
        assert!(picture.n_frames <= MAX_COLUMNS && view.peaks.len() <= MAX_COLUMNS);
        let seconds = picture.n_frames as f64 * picture.hop_seconds;
        assert!((seconds - 120.0).abs() < 0.3, "{seconds}");
    }

    #[test]
    fn an_outline_has_the_extremes_of_each_stretch() {
        let outline = peaks(&tone(100.0, 1.0, 48_000).into_samples());
        assert_eq!(outline.len(), 1200);
        assert!(outline.iter().any(|peak| peak[1] == 0.5));
        assert_eq!(peaks(&[0.25]), [[0.25, 0.25]]);
    }

    #[test]
    fn levels_beyond_the_scale_are_its_ends() {
        let all = [f32::NAN, f32::NEG_INFINITY, -200.0, -80.0, -40.0, 0.0, 9.0];
        assert_eq!(all.map(brightness), [0, 0, 0, 0, 128, 255, 255]);
    }
}
