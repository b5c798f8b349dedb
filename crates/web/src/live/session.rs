//! One listener: sound in, messages out. Windows are classified at a steady hop by
//! the model that is in use at that moment.

use std::collections::VecDeque;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use biophony_audio::{Clip, SampleRate, Seconds};
use biophony_model::Ranked;
use serde::Serialize;
use serde_json::Value;

use super::columns::Columns;
use super::inbox::Taken;
use crate::error::ApiError;
use crate::model_slot::{ModelSlot, Served};

/// Classes that are told of each window.
const TOP: usize = 5;

/// The longest and the shortest wait between two windows.
const HOP: (f64, f64) = (0.25, 1.0);

/// What is told to the listener.
#[derive(Debug, PartialEq, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(crate) enum Message {
    /// The beginning.
    Ready {
        model: Value,
        hop_seconds: f64,
        window_seconds: f64,
    },
    /// Columns of the spectrogram.
    Columns {
        start_seconds: f64,
        hop_seconds: f64,
        n_mels: usize,
        /// Base64 of a byte per value, column per frame, the lowest band first.
        data: String,
    },
    /// What a window was taken for.
    Window {
        start_seconds: f64,
        end_seconds: f64,
        predictions: Vec<Ranked>,
        accepted: bool,
    },
    /// Sound that came faster than it could be heard.
    Dropped { start_seconds: f64, seconds: f64 },
    /// Another model is in use from now on.
    Model {
        model: Value,
        hop_seconds: f64,
        window_seconds: f64,
    },
    /// It cannot go on.
    Error { error: Value },
}

/// One listener.
pub(crate) struct Session {
    rate: SampleRate,
    slot: ModelSlot,
    served: Arc<Served>,
    columns: Columns,
    /// The sound that is still needed, and the position of its first sample.
    known: VecDeque<f32>,
    known_from: u64,
    /// The position behind the last gap.
    origin: u64,
    /// Where the next window ends.
    window_end: u64,
    /// What is to be heard next.
    given: Option<Taken>,
}

impl Session {
    /// Listens to sound of this rate with the model that is in use.
    ///
    /// # Errors
    ///
    /// [`ApiError::NoModel`] when there is none.
    pub(crate) fn new(slot: ModelSlot, rate: SampleRate) -> Result<Self, ApiError> {
        let served = slot.current().ok_or(ApiError::NoModel)?;
        let columns = Columns::new(&served.predictor.bundle().front_end, rate)?;
        let mut session = Self {
            rate,
            slot,
            served,
            columns,
            known: VecDeque::new(),
            known_from: 0,
            origin: 0,
            window_end: 0,
            given: None,
        };
        session.window_end = session.hop();
        Ok(session)
    }

    /// What is said first.
    pub(crate) fn greeting(&self) -> Message {
        Message::Ready {
            model: self.served.describe(),
            hop_seconds: self.hop_seconds(),
            window_seconds: self.window_seconds(),
        }
    }

    /// Takes a stretch of sound, to be heard when there is time.
    pub(crate) fn give(&mut self, taken: Taken) {
        self.given = Some(taken);
    }

    /// Hears what it was given.
    ///
    /// # Errors
    ///
    /// When the sound cannot be analyzed.
    pub(crate) fn hear(&mut self) -> Result<Vec<Message>, ApiError> {
        let mut messages = Vec::new();
        let Some(taken) = self.given.take() else {
            return Ok(messages);
        };
        self.change_model(&mut messages)?;
        if let Some((from, n_samples)) = taken.gap {
            messages.push(Message::Dropped {
                start_seconds: self.seconds(from),
                seconds: self.seconds(n_samples),
            });
            self.skip_to(taken.start);
        }
        let end = taken.start + taken.samples.len() as u64;
        self.known.extend(taken.samples);
        let known = self.known.make_contiguous();
        if let Some(batch) = self.columns.draw(self.known_from, known)? {
            let hop_seconds = self.columns.hop_seconds();
            messages.push(Message::Columns {
                start_seconds: batch.first as f64 * hop_seconds,
                hop_seconds,
                n_mels: batch.n_mels,
                data: STANDARD.encode(batch.bytes),
            });
        }
        while self.window_end <= end {
            messages.push(self.window()?);
            self.window_end += self.hop();
        }
        self.forget();
        Ok(messages)
    }

    /// Goes over to the model that is in use, if it is another one. Where none is in
    /// use any more, the old one goes on.
    fn change_model(&mut self, messages: &mut Vec<Message>) -> Result<(), ApiError> {
        let Some(served) = self.slot.current() else {
            return Ok(());
        };
        if Arc::ptr_eq(&served, &self.served) {
            return Ok(());
        }
        self.columns = Columns::new(&served.predictor.bundle().front_end, self.rate)?;
        self.columns
            .skip_to(self.known_from + self.known.len() as u64);
        self.served = served;
        messages.push(Message::Model {
            model: self.served.describe(),
            hop_seconds: self.hop_seconds(),
            window_seconds: self.window_seconds(),
        });
        Ok(())
    }

    fn skip_to(&mut self, position: u64) {
        self.known.clear();
        self.known_from = position;
        self.origin = position;
        self.window_end = position + self.hop();
        self.columns.skip_to(position);
    }

    /// Classifies the window that ends now; the first ones after a beginning are
    /// shorter, and filled up as short recordings are.
    fn window(&mut self) -> Result<Message, ApiError> {
        let length = self.rate.samples_in(Seconds(self.window_seconds())) as u64;
        let begin = self
            .window_end
            .saturating_sub(length)
            .max(self.origin)
            .max(self.known_from);
        let [from, until] = [begin, self.window_end].map(|at| (at - self.known_from) as usize);
        let samples = self.known.make_contiguous()[from..until].to_vec();
        let prediction = self
            .served
            .predictor
            .predict(&Clip::new(samples, self.rate))?;
        let mut predictions = prediction.ranked;
        predictions.truncate(TOP);
        Ok(Message::Window {
            start_seconds: self.seconds(begin),
            end_seconds: self.seconds(self.window_end),
            predictions,
            accepted: prediction.accepted,
        })
    }

    /// Forgets the sound that neither a window nor a column needs any more.
    fn forget(&mut self) {
        let length = self.rate.samples_in(Seconds(self.window_seconds())) as u64;
        let needed = self
            .window_end
            .saturating_sub(length)
            .min(self.columns.needed_from());
        let n_over = needed.saturating_sub(self.known_from) as usize;
        let n_over = n_over.min(self.known.len());
        self.known.drain(..n_over);
        self.known_from += n_over as u64;
    }

    fn window_seconds(&self) -> f64 {
        self.served.predictor.bundle().front_end.clip.clip_seconds
    }

    fn hop_seconds(&self) -> f64 {
        (self.window_seconds() / 2.0).clamp(HOP.0, HOP.1)
    }

    /// At least one sample, so that windows move on.
    fn hop(&self) -> u64 {
        self.rate.samples_in(Seconds(self.hop_seconds())).max(1) as u64
    }

    fn seconds(&self, n_samples: u64) -> f64 {
        n_samples as f64 / f64::from(self.rate.hertz())
    }
}
