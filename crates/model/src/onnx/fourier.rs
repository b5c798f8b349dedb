//! The short-time Fourier transform inside the graph.
//!
//! It is a product with windowed cosines and sines, which are gathered from one
//! period of each when the file is opened: measured in onnxruntime, this is as
//! fast as the `STFT` operator and about twice as accurate in decibels, and
//! 4 MB of kernels stay out of the file.
//!
//! In single precision, rounding lies some 130 dB below the loudest part of a
//! frame. Features that keep more than 100 dB are transformed in double
//! precision, which takes two to three times as long.
//!
//! What is transformed comes from [`super::waveform`].

use std::f64::consts::TAU;
use std::ops::Range;

use biophony_audio::{FeatureConfig, FeatureScale};

use super::graph::{GraphBuilder, Value, as_i64};
use super::proto::{Attribute, DOUBLE, FLOAT};

/// The most decibels below the loudest value that single precision is used for.
const SINGLE_PRECISION_DB: f32 = 100.0;

/// Magnitudes of the short-time Fourier transform, raised to the features' power.
///
/// # Shapes
///
/// - `signal`: `[batch, samples]`, at least one frame long
/// - returns `[batch, bins, frames]`
pub(crate) fn power_spectrum(
    graph: &mut GraphBuilder,
    signal: &Value,
    features: &FeatureConfig,
    bins: &Range<usize>,
) -> Value {
    let both = match precision(features) {
        Precision::Single => transform(graph, signal, features, bins),
        Precision::Double => transform_exactly(graph, signal, features, bins),
    }; // [batch, 2 * bins, frames]
    let shape = graph.integers("shape", &[4], &[0, 2, as_i64(bins.len()), -1]);
    let parts = graph.op("Reshape", &[&both, &shape]); // [batch, 2, bins, frames]
    let squares = graph.mul(&parts, &parts);
    let axes = graph.axes(&[1]);
    let keep = Attribute::integer("keepdims", 0);
    let squared = graph.apply("ReduceSum", &[&squares, &axes], vec![keep]); // [batch, bins, frames]
    raise(graph, squared, features.power())
}

/// In which numbers the transform is computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Precision {
    Single,
    Double,
}

fn precision(features: &FeatureConfig) -> Precision {
    let FeatureScale::Db { top_db, .. } = features.scale() else {
        // Without a logarithm, what is faint stays small.
        return Precision::Single;
    };
    // Of the squared magnitudes, whatever the exponent of the features.
    let kept_db = top_db.map_or(f32::INFINITY, |top_db| top_db * 2.0 / features.power());
    if kept_db > SINGLE_PRECISION_DB {
        Precision::Double
    } else {
        Precision::Single
    }
}

/// Real and imaginary parts: `[batch, samples]` to `[batch, 2 * bins, frames]`.
fn transform(
    graph: &mut GraphBuilder,
    signal: &Value,
    features: &FeatureConfig,
    bins: &Range<usize>,
) -> Value {
    let waves = windowed_waves(graph, features, bins, Precision::Single); // [2 * bins, n_fft]
    let axes = graph.axes(&[1]);
    let kernels = graph.op("Unsqueeze", &[&waves, &axes]); // [2 * bins, 1, n_fft]
    let one_channel = graph.op("Unsqueeze", &[signal, &axes]); // [batch, 1, samples]
    let strides = Attribute::integers("strides", &[as_i64(features.hop_length())]);
    graph.apply("Conv", &[&one_channel, &kernels], vec![strides])
}

/// The same in double precision. Runtimes have no convolution for it, so frames
/// are gathered and multiplied by a matrix.
fn transform_exactly(
    graph: &mut GraphBuilder,
    signal: &Value,
    features: &FeatureConfig,
    bins: &Range<usize>,
) -> Value {
    let positions = frame_positions(graph, signal, features); // [frames, n_fft]
    let along_samples = vec![Attribute::integer("axis", 1)];
    let frames = graph.apply("Gather", &[signal, &positions], along_samples); // [batch, frames, n_fft]
    let to = |element: i32| vec![Attribute::integer("to", element.into())];
    let frames = graph.apply("Cast", &[&frames], to(DOUBLE));
    let waves = windowed_waves(graph, features, bins, Precision::Double); // [2 * bins, n_fft]
    let swap = vec![Attribute::integers("perm", &[1, 0])];
    let waves = graph.apply("Transpose", &[&waves], swap);
    let both = graph.op("MatMul", &[&frames, &waves]); // [batch, frames, 2 * bins]
    let both = graph.apply("Cast", &[&both], to(FLOAT));
    graph.apply(
        "Transpose",
        &[&both],
        vec![Attribute::integers("perm", &[0, 2, 1])],
    )
}

/// Which samples each frame consists of: `[frames, n_fft]`.
fn frame_positions(graph: &mut GraphBuilder, signal: &Value, features: &FeatureConfig) -> Value {
    let n_samples = graph.size(signal, 1);
    let n_fft = graph.integer(features.n_fft());
    let hop = graph.integer(features.hop_length());
    let room = graph.sub(&n_samples, &n_fft);
    let n_hops = graph.op("Div", &[&room, &hop]);
    let one = graph.integer(1);
    let n_frames = graph.add(&n_hops, &one);
    let numbers = graph.count_to(&n_frames);
    let starts = graph.mul(&numbers, &hop);
    let axes = graph.axes(&[1]);
    let starts = graph.op("Unsqueeze", &[&starts, &axes]);
    let times = times(graph, features.n_fft());
    graph.add(&starts, &times)
}

/// Cosines, then sines, of the wanted bins under the window: `[2 * bins, n_fft]`.
///
/// `cos(2π k n / N)` has the period `N` in `k n`, so that one table of `N`
/// values, computed in `f64`, holds them all.
fn windowed_waves(
    graph: &mut GraphBuilder,
    features: &FeatureConfig,
    bins: &Range<usize>,
    precision: Precision,
) -> Value {
    let n = features.n_fft();
    let angles = (0..n).map(|i| TAU * i as f64 / n as f64);
    let cosine: Vec<f64> = angles.clone().map(f64::cos).collect();
    let sine: Vec<f64> = angles.map(f64::sin).collect();
    let bin_numbers: Vec<i64> = bins.clone().map(as_i64).collect();

    let bin_numbers = graph.integers("bins", &[bins.len(), 1], &bin_numbers);
    let times = times(graph, n);
    let n_fft = graph.integer(n);
    let turns = graph.mul(&bin_numbers, &times);
    let phases = graph.op("Mod", &[&turns, &n_fft]); // [bins, n_fft]
    let cosine = table(graph, "cosine", &cosine, precision);
    let cosines = graph.op("Gather", &[&cosine, &phases]);
    let sine = table(graph, "sine", &sine, precision);
    let sines = graph.op("Gather", &[&sine, &phases]);
    let along_bins = vec![Attribute::integer("axis", 0)];
    let waves = graph.apply("Concat", &[&cosines, &sines], along_bins); // [2 * bins, n_fft]
    let window = table(graph, "window", &window(features), precision);
    graph.mul(&waves, &window)
}

/// The window in the middle of `n_fft` samples, zeros around it.
fn window(features: &FeatureConfig) -> Vec<f64> {
    let (n_fft, win_length) = (features.n_fft(), features.win_length());
    let before = (n_fft - win_length) / 2;
    let mut padded = vec![0.0; n_fft];
    padded[before..before + win_length].copy_from_slice(&features.window().samples(win_length));
    padded
}

fn table(graph: &mut GraphBuilder, name: &str, values: &[f64], precision: Precision) -> Value {
    match precision {
        Precision::Single => {
            let rounded: Vec<f32> = values.iter().map(|&value| value as f32).collect();
            graph.floats(name, &[values.len()], &rounded)
        }
        Precision::Double => graph.doubles(name, &[values.len()], values),
    }
}

/// `[1, n]`: 0, 1, …, n - 1.
fn times(graph: &mut GraphBuilder, n: usize) -> Value {
    let times: Vec<i64> = (0..n).map(as_i64).collect();
    graph.integers("times", &[1, n], &times)
}

/// From squared magnitudes to magnitudes raised to `power`.
fn raise(graph: &mut GraphBuilder, squared: Value, power: f32) -> Value {
    if power == 2.0 {
        squared
    } else if power == 1.0 {
        graph.op("Sqrt", &[&squared])
    } else {
        let exponent = graph.float(power / 2.0);
        graph.op("Pow", &[&squared, &exponent])
    }
}
