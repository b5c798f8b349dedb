//! `model.onnx`: the whole way from waveform to probabilities as one graph.
//!
//! The graph does what [`crate::predict`] does, front end included, so that no
//! reader has to rebuild features: padding, Fourier transform, mel bands,
//! decibels, windows, normalization, network, softmax, mean over windows,
//! temperature. It is written for opset 17 and IR version 8 and keeps to
//! operators of the default domain, so that older runtimes read it, too (checked:
//! onnxruntime 1.16 and 1.32).
//!
//! | | name | type | shape |
//! |---|---|---|---|
//! | input | `waveform` | float | `[batch, samples]`, at least one sample, mono, at the model's rate |
//! | output | `probabilities` | float | `[batch, classes]`, calibrated |
//!
//! The clips of one batch have one length. All windows of a batch go through
//! the network at once, so that hours of sound should be cut before.
//!
//! The metadata holds `labels` (JSON), `sample_rate` (hertz), `program`,
//! `clip_seconds` and, where one is set, `threshold`. Whether readers get the
//! same probabilities as we do is checked by `scripts/check_bundle.sh` in the
//! repository.

mod fourier;
mod graph;
mod network;
mod proto;
mod waveform;
mod windows;

use prost::Message;

use self::graph::{GraphBuilder, Value};
use self::proto::{Attribute, Dimension, Model, OperatorSet, StringPair, ValueInfo};
use crate::bundle::Bundle;
use crate::calibrate::SMALLEST_SCORE;
use crate::error::ModelError;
use crate::normalize::Normalizer;

const IR_VERSION: i64 = 8;
const OPSET: i64 = 17;

/// The graph's input.
pub(crate) const INPUT: &str = "waveform";
/// The graph's output.
pub(crate) const OUTPUT: &str = "probabilities";

/// The content of `model.onnx`.
///
/// # Errors
///
/// When the front end or the network holds something that has no counterpart in
/// the graph.
pub fn encode(bundle: &Bundle) -> Result<Vec<u8>, ModelError> {
    Ok(model(bundle)?.encode_to_vec())
}

fn model(bundle: &Bundle) -> Result<Model, ModelError> {
    let mut graph = GraphBuilder::default();
    let waveform = Value::input(INPUT);
    let spectrogram = waveform::spectrogram(&mut graph, &waveform, &bundle.front_end)?;
    let windows = windows::cut(&mut graph, &spectrogram, &bundle.front_end);
    let images = normalized(&mut graph, &windows, &bundle.normalizer);
    let logits = network::logits(&mut graph, &images, &bundle.network)?;
    let scores = scores(&mut graph, &waveform, &logits, bundle.labels.len());
    let probabilities = calibrated(&mut graph, scores, bundle.calibration.temperature);

    let mut graph = graph.finish("biophony", &[(&probabilities, OUTPUT)]);
    let batch = || Dimension::named("batch");
    let n_classes = Dimension::fixed(graph::as_i64(bundle.labels.len()));
    graph.inputs = vec![ValueInfo::floats(
        INPUT,
        vec![batch(), Dimension::named("samples")],
    )];
    graph.outputs = vec![ValueInfo::floats(OUTPUT, vec![batch(), n_classes])];
    Ok(Model {
        ir_version: IR_VERSION,
        producer_name: "biophony".into(),
        producer_version: env!("CARGO_PKG_VERSION").into(),
        doc: DOC.into(),
        graph: Some(graph),
        opset_import: vec![OperatorSet {
            domain: String::new(),
            version: OPSET,
        }],
        metadata: metadata(bundle),
    })
}

const DOC: &str = "Animal sound classifier. `waveform` is mono at the metadata's \
    `sample_rate`; `probabilities` follow the order of the metadata's `labels`.";

fn metadata(bundle: &Bundle) -> Vec<StringPair> {
    let labels = serde_json::Value::from(bundle.labels.names()).to_string();
    let mut entries = vec![
        ("labels", labels),
        ("sample_rate", bundle.front_end.rate().hertz().to_string()),
        (
            "clip_seconds",
            bundle.front_end.clip.clip_seconds.to_string(),
        ),
        ("program", format!("biophony {}", env!("CARGO_PKG_VERSION"))),
    ];
    if let Some(threshold) = bundle.calibration.threshold {
        entries.push(("threshold", threshold.to_string()));
    }
    let pair = |(key, value): (&str, String)| StringPair {
        key: key.into(),
        value,
    };
    entries.into_iter().map(pair).collect()
}

/// Centers and scales each band of the windows: `[n, 1, bands, frames]`.
fn normalized(graph: &mut GraphBuilder, windows: &Value, normalizer: &Normalizer) -> Value {
    graph.enter("normalize");
    let shape = [normalizer.n_bands(), 1];
    let mean = graph.floats("mean", &shape, &normalizer.mean);
    let scale: Vec<f32> = normalizer.std.iter().map(|std| 1.0 / std).collect();
    let scale = graph.floats("scale", &shape, &scale);
    let centered = graph.sub(windows, &mean);
    graph.mul(&centered, &scale)
}

/// Softmax per window, then the mean over each clip's windows:
/// `[batch * windows, classes]` to `[batch, classes]`.
fn scores(graph: &mut GraphBuilder, waveform: &Value, logits: &Value, n_classes: usize) -> Value {
    graph.enter("scores");
    let per_window = graph.apply("Softmax", &[logits], vec![Attribute::integer("axis", 1)]);
    let batch = graph.size(waveform, 0);
    let axes = graph.axes(&[0]);
    let batch = graph.op("Unsqueeze", &[&batch, &axes]);
    let rest = graph.integers("rest", &[2], &[-1, graph::as_i64(n_classes)]);
    let shape = graph.apply(
        "Concat",
        &[&batch, &rest],
        vec![Attribute::integer("axis", 0)],
    );
    let per_clip = graph.op("Reshape", &[&per_window, &shape]); // [batch, windows, classes]
    let over_windows = vec![
        Attribute::integers("axes", &[1]),
        Attribute::integer("keepdims", 0),
    ];
    graph.apply("ReduceMean", &[&per_clip], over_windows)
}

/// Temperature scaling, as in [`crate::calibrate::calibrated`].
fn calibrated(graph: &mut GraphBuilder, scores: Value, temperature: f64) -> Value {
    if temperature == 1.0 {
        return scores;
    }
    graph.enter("calibrate");
    let smallest = graph.float(SMALLEST_SCORE as f32);
    let floored = graph.op("Max", &[&scores, &smallest]);
    let logarithms = graph.op("Log", &[&floored]);
    let sharpness = graph.float((1.0 / temperature) as f32);
    let scaled = graph.mul(&logarithms, &sharpness);
    graph.apply("Softmax", &[&scaled], vec![Attribute::integer("axis", 1)])
}

#[cfg(test)]
mod tests;
