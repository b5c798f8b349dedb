//! From a sound to an answer: predict, draw. Synchronous; decoding lives in
//! [`crate::hearing`], what surrounds both in [`crate::api`].

use std::time::{Duration, Instant};

use biophony_dataset::{AuditConfig, doubts};
use biophony_model::{Prediction, Ranked};
use serde::Serialize;
use serde_json::Value;

use crate::error::ApiError;
use crate::hearing::Heard;
use crate::model_slot::Served;
use crate::view::{View, view};

/// How much is told beside the predictions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Detail {
    /// Nothing.
    Plain,
    /// What a page draws.
    Full,
}

/// The answer about one file.
#[derive(Debug, Serialize)]
pub(crate) struct Answer {
    /// Every class, the most probable first.
    pub(crate) predictions: Vec<Ranked>,
    /// Whether the first of them reaches the model's threshold, and there is enough to
    /// hear.
    pub(crate) accepted: bool,
    pub(crate) windows: Vec<Window>,
    pub(crate) model: Value,
    pub(crate) clip: ClipFacts,
    pub(crate) latency_ms: Latency,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) view: Option<View>,
}

/// A stretch of the sound and what was heard in it.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Window {
    pub(crate) start_seconds: f64,
    pub(crate) end_seconds: f64,
    pub(crate) predictions: Vec<Ranked>,
}

/// What the file was found to be.
#[derive(Debug, Serialize)]
pub(crate) struct ClipFacts {
    pub(crate) filename: String,
    pub(crate) duration_seconds: f64,
    pub(crate) sample_rate_hz: u32,
    pub(crate) channels: u16,
    pub(crate) format: String,
    pub(crate) warnings: Vec<String>,
}

/// Where the time went, in milliseconds.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub(crate) struct Latency {
    pub(crate) decode: f64,
    pub(crate) predict: f64,
    /// From the last byte of the upload to the answer, waiting included.
    pub(crate) total: f64,
}

/// What is asked about a sound.
pub(crate) struct Question {
    pub(crate) filename: String,
    pub(crate) detail: Detail,
    /// When the last byte arrived.
    pub(crate) received: Instant,
}

/// Classifies one sound.
///
/// # Errors
///
/// When the sound holds what cannot be scored.
pub(crate) fn classify(
    served: &Served,
    heard: Heard,
    question: Question,
) -> Result<Answer, ApiError> {
    let Heard { decoded, took } = heard;
    let Question {
        filename,
        detail,
        received,
    } = question;
    let started = Instant::now();
    let prediction = served.predictor.predict(&decoded.clip)?;
    let predict = milliseconds(started.elapsed());
    let view = match detail {
        Detail::Plain => None,
        Detail::Full => Some(view(&decoded.clip, &served.predictor.bundle().front_end)?),
    };
    let windows = windows_of(served, &prediction);
    let doubts = doubts(&decoded.clip, &AuditConfig::default());
    Ok(Answer {
        accepted: prediction.accepted && doubts.is_empty(),
        predictions: prediction.ranked,
        windows,
        model: served.describe(),
        clip: ClipFacts {
            filename,
            duration_seconds: decoded.clip.duration().0,
            sample_rate_hz: decoded.format.rate.hertz(),
            channels: decoded.format.channels,
            format: format!("{}, {}", decoded.format.container, decoded.format.codec),
            warnings: [decoded.warnings, doubts].concat(),
        },
        latency_ms: Latency {
            decode: milliseconds(took),
            predict,
            total: milliseconds(received.elapsed()),
        },
        view,
    })
}

/// The windows with names in place of numbers, each class the most probable first.
pub(crate) fn windows_of(served: &Served, prediction: &Prediction) -> Vec<Window> {
    let labels = served.predictor.labels().names();
    let windows = prediction.windows.iter();
    windows
        .map(|window| {
            let mut predictions: Vec<Ranked> = labels
                .iter()
                .zip(&window.probabilities)
                .map(|(label, &probability)| Ranked {
                    label: label.clone(),
                    probability,
                })
                .collect();
            predictions.sort_by(|a, b| b.probability.total_cmp(&a.probability));
            Window {
                start_seconds: window.start_seconds,
                end_seconds: window.end_seconds,
                predictions,
            }
        })
        .collect()
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}
