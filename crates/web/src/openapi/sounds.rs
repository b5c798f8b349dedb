//! What the description says of the routes of [`crate::api`], whose answers are put
//! together as JSON: their shape, and each route with its parameters.

// The functions carry the descriptions and are never called, nor are the types made.
#![allow(dead_code)]

use serde::Serialize;
use utoipa::ToSchema;

use super::{ErrorBody, ErrorDetail};
use crate::limits::Taken;

/// What is heard in a sound.
#[derive(Serialize, ToSchema)]
pub(crate) struct Classified {
    /// Every class, the most probable first.
    predictions: Vec<LabelProbability>,
    /// Whether the first of them reaches the model's threshold and there is enough to
    /// hear; otherwise the sound is unknown.
    accepted: bool,
    /// Each stretch that was scored.
    windows: Vec<ScoredWindow>,
    model: ModelIdentity,
    clip: ClipFacts,
    latency_ms: Latency,
    /// With `detail=full` alone.
    view: Option<SoundView>,
}

/// A class with its probability.
#[derive(Serialize, ToSchema)]
pub(crate) struct LabelProbability {
    label: String,
    /// Calibrated, 0 to 1.
    probability: f32,
}

/// A stretch of the sound and what is heard in it.
#[derive(Serialize, ToSchema)]
pub(crate) struct ScoredWindow {
    start_seconds: f64,
    end_seconds: f64,
    predictions: Vec<LabelProbability>,
}

/// Which model answered.
#[derive(Serialize, ToSchema)]
pub(crate) struct ModelIdentity {
    name: String,
    version: Option<u32>,
    alias: Option<String>,
    run_id: Option<String>,
    /// The beginning of the BLAKE3 of its `bundle.json`.
    digest: String,
    labels: Vec<String>,
    threshold: Option<f32>,
    sample_rate_hz: u32,
    window_seconds: f64,
}

/// What the file was found to be.
#[derive(Serialize, ToSchema)]
pub(crate) struct ClipFacts {
    filename: String,
    duration_seconds: f64,
    sample_rate_hz: u32,
    channels: u16,
    format: String,
    warnings: Vec<String>,
}

/// Where the time went, in milliseconds.
#[derive(Serialize, ToSchema)]
pub(crate) struct Latency {
    decode: f64,
    predict: f64,
    /// From the last byte of the upload to the answer, waiting included.
    total: f64,
}

/// What a page draws.
#[derive(Serialize, ToSchema)]
pub(crate) struct SoundView {
    /// The least and the greatest sample of each stretch of the waveform.
    peaks: Vec<Vec<f32>>,
    spectrogram: SpectrogramView,
}

/// A log-mel spectrogram, as the model sees it.
#[derive(Serialize, ToSchema)]
pub(crate) struct SpectrogramView {
    n_mels: u32,
    n_frames: u32,
    hop_seconds: f64,
    fmin_hz: f64,
    fmax_hz: f64,
    mel_scale: String,
    /// Base64 of a byte per cell, a row per band, the lowest band first: 0 is −80 dB,
    /// 255 is 0 dB.
    data: String,
}

/// The model in use.
#[derive(Serialize, ToSchema)]
pub(crate) struct ModelInUse {
    model: Option<ModelIdentity>,
    /// Why there is none, or why it is not the one that it should be.
    problem: Option<String>,
    limits: Taken,
}

/// Sounds to try the model with.
#[derive(Serialize, ToSchema)]
pub(crate) struct Examples {
    examples: Vec<Example>,
}

/// A sound to try the model with.
#[derive(Serialize, ToSchema)]
pub(crate) struct Example {
    name: String,
    /// What is heard in it.
    label: String,
    /// Where it comes from, in plain words.
    source: String,
    /// Whether it was made by a program rather than recorded.
    synthetic: bool,
}

/// The file as it is, of any format that is read.
#[derive(Serialize, ToSchema)]
#[schema(value_type = String, format = Binary)]
pub(crate) struct SoundFile(Vec<u8>);

/// One or more files.
#[derive(Serialize, ToSchema)]
pub(crate) struct SoundFiles {
    /// May come several times.
    #[schema(value_type = Vec<String>, format = Binary)]
    file: Vec<Vec<u8>>,
}

/// What is heard in one file, or of several files one answer each.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
pub(crate) enum Answers {
    One(Box<Classified>),
    Several { results: Vec<AnswerOrError> },
}

/// What is heard in one file of several, or why it is not known.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
pub(crate) enum AnswerOrError {
    Answer(Box<Classified>),
    Error {
        filename: String,
        error: ErrorDetail,
    },
}

/// What is heard in a sound file
///
/// The body is the file, or a form with one or more parts `file`; of several files the
/// answer is `{"results": […]}`, each as for one file or `{"filename", "error"}`.
#[utoipa::path(post, path = "/api/v1/classify", tag = "sounds",
    params(
        ("filename" = Option<String>, Query, description = "What the file is called, for the answer"),
        ("detail" = Option<String>, Query, description = "`full` for waveform and spectrogram, too"),
    ),
    request_body(content(
        (SoundFile = "application/octet-stream"),
        (SoundFiles = "multipart/form-data"),
    )),
    responses(
        (status = 200, body = Answers),
        (status = 400, body = ErrorBody, description = "The form or a parameter makes no sense"),
        (status = 408, body = ErrorBody, description = "The upload was too slow"),
        (status = 409, body = ErrorBody, description = "There is no model"),
        (status = 413, body = ErrorBody, description = "The file is too large or too long"),
        (status = 422, body = ErrorBody, description = "This is no sound that can be read"),
        (status = 503, body = ErrorBody, description = "Too much is being asked for; the header `Retry-After` says when to try again"),
    )
)]
pub(crate) fn classify() {}

/// The model in use
#[utoipa::path(get, path = "/api/v1/model", tag = "sounds",
    responses((status = 200, body = ModelInUse))
)]
pub(crate) fn model() {}

/// Sounds to try the model with
#[utoipa::path(get, path = "/api/v1/examples", tag = "sounds",
    responses((status = 200, body = Examples))
)]
pub(crate) fn examples() {}

/// One of them as WAV
#[utoipa::path(get, path = "/api/v1/examples/{name}", tag = "sounds",
    params(("name" = String, Path)),
    responses((status = 200, content_type = "audio/wav", body = Vec<u8>), (status = 404, body = ErrorBody))
)]
pub(crate) fn example() {}

/// A recording that was reviewed.
#[derive(Serialize, ToSchema)]
pub(crate) struct Kept {
    /// Where it is kept, below the folder of reviewed examples.
    path: String,
}

/// How the training of the demo model stands.
#[derive(Serialize, ToSchema)]
pub(crate) struct Demo {
    /// Whether this server can train one.
    offered: bool,
    /// `idle`, `running`, `done` or `failed`.
    phase: String,
    /// What it said.
    lines: Vec<String>,
    error: Option<String>,
}

/// A form with these parts.
#[derive(Serialize, ToSchema)]
pub(crate) struct FeedbackForm {
    /// The recording.
    #[schema(value_type = String, format = Binary)]
    file: Vec<u8>,
    /// What is heard in it.
    label: String,
    /// What the model said.
    predicted: Option<String>,
    /// Whether the model was right.
    correct: bool,
    model_version: Option<String>,
}

/// Keeps a recording with what is heard in it, for the next training
#[utoipa::path(post, path = "/api/v1/feedback", tag = "sounds",
    request_body(content_type = "multipart/form-data", content = FeedbackForm),
    responses(
        (status = 201, body = Kept),
        (status = 400, body = ErrorBody, description = "The form makes no sense"),
        (status = 408, body = ErrorBody, description = "The upload was too slow"),
        (status = 413, body = ErrorBody, description = "The file is too large or too long"),
        (status = 422, body = ErrorBody, description = "This is no sound that can be read"),
        (status = 503, body = ErrorBody, description = "Too much is being asked for"),
    )
)]
pub(crate) fn feedback() {}

/// Listens live: a WebSocket
///
/// Send binary messages of mono samples as little-endian 32-bit floats, and
/// `{"type":"stop"}` at the end. JSON messages come back, told apart by `type`: `ready`
/// (the model), `columns` (of the spectrogram), `window` (what was heard, and when),
/// `dropped` (sound that came faster than it could be heard), `model` (another one
/// answers from here on) and `error`, which is the last one.
#[utoipa::path(get, path = "/api/v1/live", tag = "sounds",
    params(("rate" = u32, Query, minimum = 4000, maximum = 384000, description = "Samples per second that follow")),
    responses(
        (status = 101, description = "A WebSocket"),
        (status = 400, body = ErrorBody, description = "The rate makes no sense, or no WebSocket is asked for"),
    )
)]
pub(crate) fn live() {}

/// How the training of the demo model stands
#[utoipa::path(get, path = "/api/v1/demo", tag = "sounds",
    responses((status = 200, body = Demo))
)]
pub(crate) fn demo_state() {}

/// Trains the demo model
#[utoipa::path(post, path = "/api/v1/demo", tag = "sounds",
    responses((status = 202, body = Demo), (status = 404, body = ErrorBody, description = "This server has no demo"), (status = 409, body = ErrorBody, description = "It is being trained already, or there is a model"))
)]
pub(crate) fn demo() {}
