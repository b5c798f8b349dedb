//! The front end inside the graph: from a waveform to its spectrogram.
//!
//! Padding is index arithmetic and one `Gather`, since ONNX's own `Pad` can
//! neither repeat a clip nor reflect one that is shorter than the padding.
//!
//! The rules themselves live in [`crate::prepare`] and in `biophony-audio`;
//! the Fourier transform lives in [`super::fourier`], cutting windows out of the
//! spectrogram in [`super::windows`].

use std::f64::consts::LN_10;
use std::ops::Range;

use biophony_audio::{FeatureConfig, FeatureExtractor, FeatureScale, PadMode, Reference};

use super::fourier::power_spectrum;
use super::graph::{GraphBuilder, Value, as_i64};
use super::proto::Attribute;
use crate::error::ModelError;
use crate::prepare::{FrontEnd, Pad};

/// Adds the way from a waveform to its spectrogram.
///
/// # Shapes
///
/// - `waveform`: `[batch, samples]`
/// - returns `[batch, bands, frames]`
///
/// # Errors
///
/// When the features have a scale that is not written here.
pub(crate) fn spectrogram(
    graph: &mut GraphBuilder,
    waveform: &Value,
    front: &FrontEnd,
) -> Result<Value, ModelError> {
    let extractor = FeatureExtractor::new(&front.features);
    let filterbank = extractor.filterbank().to_dense();
    let bins = heard_bins(&filterbank, front.features.n_bins());
    graph.enter("pad");
    let padded = pad_to_window(graph, waveform, front); // [batch, samples']
    graph.enter("stft");
    let centered = match front.features.center() {
        true => center(graph, &padded, &front.features),
        false => padded,
    };
    let power = power_spectrum(graph, &centered, &front.features, &bins);
    graph.enter("mel");
    let mel = mel_bands(graph, &power, &filterbank, &front.features, &bins); // [batch, bands, frames]
    graph.enter("scale");
    scale(graph, &mel, &front.features)
}

/// How samples beyond the ends of a signal are made up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Beyond {
    /// Silence.
    Zeros,
    /// The first and the last sample, on and on.
    Edge,
    /// The signal again from its other end.
    Repeat,
    /// The signal backwards, the sample at the edge once.
    Reflect,
    /// The signal backwards, the sample at the edge twice.
    Symmetric,
}

/// Lengthens clips that are shorter than one window.
fn pad_to_window(graph: &mut GraphBuilder, waveform: &Value, front: &FrontEnd) -> Value {
    let beyond = match front.clip.pad {
        Pad::Zeros => Beyond::Zeros,
        Pad::Repeat => Beyond::Repeat,
        Pad::Reflect => Beyond::Reflect,
    };
    let n_samples = graph.size(waveform, 1);
    let window_samples = graph.integer(front.window_samples());
    let end = graph.op("Max", &[&n_samples, &window_samples]);
    let start = graph.integer(0);
    extend(graph, waveform, &start, &end, beyond)
}

/// The samples at positions `start..end` of a signal, which may reach beyond it.
///
/// # Shapes
///
/// - `signal`: `[batch, samples]`; `start`, `end`: scalars
/// - returns `[batch, end - start]`
fn extend(
    graph: &mut GraphBuilder,
    signal: &Value,
    start: &Value,
    end: &Value,
    beyond: Beyond,
) -> Value {
    let one = graph.integer(1);
    let positions = graph.op("Range", &[start, end, &one]);
    let n_samples = graph.size(signal, 1);
    let sources = source_positions(graph, &positions, &n_samples, beyond);
    let samples = graph.apply(
        "Gather",
        &[signal, &sources],
        vec![Attribute::integer("axis", 1)],
    );
    if beyond != Beyond::Zeros {
        return samples;
    }
    let inside = graph.op("Equal", &[&positions, &sources]);
    let silence = graph.float(0.0);
    graph.op("Where", &[&inside, &samples, &silence])
}

/// For each position, the one inside the signal that its sample is taken from.
fn source_positions(
    graph: &mut GraphBuilder,
    positions: &Value,
    n_samples: &Value,
    beyond: Beyond,
) -> Value {
    let one = graph.integer(1);
    let last = graph.sub(n_samples, &one);
    match beyond {
        Beyond::Zeros | Beyond::Edge => {
            let zero = graph.integer(0);
            let floored = graph.op("Max", &[positions, &zero]);
            graph.op("Min", &[&floored, &last])
        }
        Beyond::Repeat => graph.op("Mod", &[positions, n_samples]),
        Beyond::Reflect => {
            let there_and_back = graph.add(&last, &last);
            // A signal of one sample has no period of its own.
            let period = graph.op("Max", &[&there_and_back, &one]);
            let phase = graph.op("Mod", &[positions, &period]);
            let mirrored = graph.sub(&period, &phase);
            graph.op("Min", &[&phase, &mirrored])
        }
        Beyond::Symmetric => {
            let period = graph.add(n_samples, n_samples);
            let phase = graph.op("Mod", &[positions, &period]);
            let from_end = graph.sub(&period, &one);
            let mirrored = graph.sub(&from_end, &phase);
            graph.op("Min", &[&phase, &mirrored])
        }
    }
}

/// The bins of the spectrum that some mel band listens to.
///
/// The others are never computed: with the usual limits this saves little, with
/// a narrow `fmin`–`fmax` most of the work.
fn heard_bins(filterbank: &[f32], n_bins: usize) -> Range<usize> {
    let heard = |bin: &usize| {
        filterbank
            .iter()
            .skip(*bin)
            .step_by(n_bins)
            .any(|&w| w != 0.0)
    };
    let first = (0..n_bins).find(heard).unwrap_or(0);
    let last = (0..n_bins).rfind(heard).unwrap_or(0);
    first..last + 1
}

/// Extends a signal by half a window at both ends, as librosa does.
fn center(graph: &mut GraphBuilder, signal: &Value, features: &FeatureConfig) -> Value {
    let beyond = match features.pad_mode() {
        PadMode::Constant => Beyond::Zeros,
        PadMode::Edge => Beyond::Edge,
        PadMode::Reflect => Beyond::Reflect,
        PadMode::Symmetric => Beyond::Symmetric,
        PadMode::Wrap => Beyond::Repeat,
    };
    let half = as_i64(features.n_fft() / 2);
    let start = graph.integers("start", &[], &[-half]);
    let half = graph.integers("half", &[], &[half]);
    let n_samples = graph.size(signal, 1);
    let end = graph.add(&n_samples, &half);
    extend(graph, signal, &start, &end, beyond)
}

/// Gathers the spectrum into mel bands: `[batch, bins, frames]` to
/// `[batch, bands, frames]`.
fn mel_bands(
    graph: &mut GraphBuilder,
    power: &Value,
    filterbank: &[f32],
    features: &FeatureConfig,
    bins: &Range<usize>,
) -> Value {
    let rows = filterbank.chunks_exact(features.n_bins());
    let weights: Vec<f32> = rows
        .flat_map(|row| row[bins.clone()].iter().copied())
        .collect();
    let filterbank = graph.floats("filterbank", &[features.n_mels(), bins.len()], &weights);
    graph.op("MatMul", &[&filterbank, power])
}

/// Powers as they are or in decibels, as the features are configured.
fn scale(
    graph: &mut GraphBuilder,
    mel: &Value,
    features: &FeatureConfig,
) -> Result<Value, ModelError> {
    match features.scale() {
        FeatureScale::Power => Ok(mel.clone()),
        FeatureScale::Db {
            reference,
            amin,
            top_db,
        } => Ok(decibels(graph, mel, reference, amin, top_db)),
        other => Err(ModelError::NotInOnnx {
            what: format!("the feature scale {other:?}"),
        }),
    }
}

/// `biophony_audio::power_to_db`, each clip for itself: `[batch, bands, frames]`.
fn decibels(
    graph: &mut GraphBuilder,
    power: &Value,
    reference: Reference,
    amin: f32,
    top_db: Option<f32>,
) -> Value {
    let level = level(graph, power, amin);
    let zero = match reference {
        Reference::Value(value) => {
            let level = 10.0 * f64::from(value.abs().max(amin)).log10();
            graph.float(level as f32)
        }
        Reference::Max => largest(graph, &level),
    };
    let relative = graph.sub(&level, &zero);
    let Some(top_db) = top_db else {
        return relative;
    };
    let loudest = largest(graph, &relative);
    let range = graph.float(top_db);
    let lowest = graph.sub(&loudest, &range);
    graph.op("Max", &[&relative, &lowest])
}

/// `10 · log10(max(power, amin))`.
fn level(graph: &mut GraphBuilder, power: &Value, amin: f32) -> Value {
    let floor = graph.float(amin);
    let floored = graph.op("Max", &[power, &floor]);
    let logarithms = graph.op("Log", &[&floored]);
    let per_neper = graph.float((10.0 / LN_10) as f32);
    graph.mul(&logarithms, &per_neper)
}

/// The largest value of each clip: `[batch, 1, 1]`.
fn largest(graph: &mut GraphBuilder, values: &Value) -> Value {
    let settings = vec![
        Attribute::integers("axes", &[1, 2]),
        Attribute::integer("keepdims", 1),
    ];
    graph.apply("ReduceMax", &[values], settings)
}
