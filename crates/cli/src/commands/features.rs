//! `biophony features`: a file's mel spectrogram as an array or as a picture.

use std::path::Path;

use anyhow::{Context, Result};
use biophony_audio::{
    AudioError, DecodeLimits, FeatureConfig, FeatureExtractor, FeatureScale, FeatureSettings,
    Reference, SampleRate, decode_file, resample,
};

use super::load_settings;
use crate::arguments::{Common, FeaturesArguments, ScaleArgument, TopDbArgument};
use crate::progress::note;
use crate::{Outcome, UsageError};

pub(crate) fn run(common: &Common, arguments: &FeaturesArguments) -> Result<Outcome> {
    let format = Format::of(&arguments.out)?;
    // The length of the transform bounds that of a window, which settings may give.
    let n_fft = arguments
        .n_fft
        .map(|n_fft| format!("features.n_fft={n_fft}"));
    let settings = load_settings(common, n_fft.into_iter().collect())?.features;
    let config = configure(settings, arguments)?;

    let decoded = decode_file(&arguments.file, &DecodeLimits::default())?;
    for warning in &decoded.warnings {
        note(&format!(
            "warning: `{}`: {warning}",
            arguments.file.display()
        ));
    }
    let clip = resample(&decoded.clip, config.sample_rate())?;
    let spectrogram = FeatureExtractor::new(&config).extract(clip.samples())?;

    let written = match format {
        Format::Array => {
            let mut bytes = Vec::new();
            biophony_audio::write_spectrogram_npy(&mut bytes, &spectrogram)?;
            bytes
        }
        Format::Picture => {
            let title = arguments
                .file
                .file_name()
                .unwrap_or_default()
                .to_string_lossy();
            biophony_audio::spectrogram_png(&spectrogram, &config, &title)
        }
    };
    std::fs::write(&arguments.out, written)
        .with_context(|| format!("cannot write `{}`", arguments.out.display()))?;
    eprintln!(
        "{}: {} bands x {} frames, {:.2} s at {} Hz",
        arguments.out.display(),
        spectrogram.n_bands,
        spectrogram.n_frames,
        clip.duration().0,
        config.sample_rate().hertz(),
    );
    Ok(Outcome::Complete)
}

/// What kind of file is asked for.
enum Format {
    Array,
    Picture,
}

impl Format {
    fn of(path: &Path) -> Result<Self, UsageError> {
        let extension = path.extension().unwrap_or_default().to_ascii_lowercase();
        match extension.to_str() {
            Some("npy") => Ok(Self::Array),
            Some("png") => Ok(Self::Picture),
            _ => Err(UsageError(format!(
                "`--out {}`: name a file that ends in .npy (array) or .png (picture)",
                path.display()
            ))),
        }
    }
}

/// Lays the command's own flags, but for `--n-fft`, over the settings.
fn configure(
    mut settings: FeatureSettings,
    arguments: &FeaturesArguments,
) -> Result<FeatureConfig, UsageError> {
    if let Some(hertz) = arguments.sample_rate {
        settings.sample_rate = SampleRate::from_hertz(hertz)
            .ok_or_else(|| UsageError("`--sample-rate` must be at least 1".to_owned()))?;
        // An upper edge from the settings file was meant for the file's rate.
        let nyquist_hz = hertz as f32 / 2.0;
        settings.fmax = settings.fmax.map(|fmax| fmax.min(nyquist_hz));
    }
    settings.hop_length = arguments.hop_length.unwrap_or(settings.hop_length);
    settings.n_mels = arguments.n_mels.unwrap_or(settings.n_mels);
    settings.fmin = arguments.fmin.unwrap_or(settings.fmin);
    settings.fmax = arguments.fmax.or(settings.fmax);
    match arguments.scale {
        Some(ScaleArgument::Power) => settings.scale = FeatureScale::Power,
        Some(ScaleArgument::Db) if settings.scale == FeatureScale::Power => {
            settings.scale = FeatureScale::default();
        }
        Some(ScaleArgument::Db) | None => {}
    }
    // Scripts compare files: decibels mean the same in all of them.
    if let FeatureScale::Db { reference, .. } = &mut settings.scale {
        *reference = Reference::Value(1.0);
    }
    if let Some(wanted) = arguments.top_db {
        let FeatureScale::Db { top_db, .. } = &mut settings.scale else {
            return Err(UsageError("`--top-db` goes with `--scale db`".to_owned()));
        };
        *top_db = match wanted {
            TopDbArgument::Unlimited => None,
            TopDbArgument::Db(decibel) => Some(decibel),
        };
    }
    FeatureConfig::new(settings).map_err(|error: AudioError| UsageError(error.to_string()))
}
