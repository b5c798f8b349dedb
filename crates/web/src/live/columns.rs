//! The spectrogram of sound that is still coming in, column by column.
//!
//! A column lies in the middle of its frame, so it is drawn when the frame's second
//! half has been heard. Each batch of columns is computed from a stretch that reaches
//! far enough beyond them on both sides that neither the transform nor the change of
//! rate notices where it was cut.

use biophony_audio::{
    AudioError, Clip, FeatureExtractor, FeatureSettings, Reference, SampleRate, Seconds, resample,
};
use biophony_model::FrontEnd;

use crate::view::{brightness, for_eyes};

/// How far the filter of a change of rate reaches, generously.
const FILTER_REACH: Seconds = Seconds(0.015);

/// The level below a full-scale tone that the scale never sinks below, so that
/// silence stays dark.
const QUIETEST_DB: f32 = -50.0;

/// Where the scale begins: the first sound may be a quiet one before a loud one.
const FIRST_DB: f32 = -20.0;

/// How fast the scale follows when it gets quieter.
const DECAY_DB_PER_SECOND: f32 = 2.0;

/// Draws columns for one front end.
pub(super) struct Columns {
    extractor: FeatureExtractor,
    /// The rate of the sound that comes in.
    rate: SampleRate,
    /// Columns that a stretch must reach beyond what is drawn of it.
    margin: u64,
    /// The next column to draw.
    next: u64,
    /// The first column since the last gap.
    origin: u64,
    /// What counts as 0 dB, in the extractor's decibels, and its lower bound.
    loudest: f32,
    quietest: f32,
}

/// Columns, each from the lowest band up.
#[derive(Debug, PartialEq)]
pub(super) struct Batch {
    pub(super) first: u64,
    pub(super) n_mels: usize,
    pub(super) bytes: Vec<u8>,
}

impl Columns {
    pub(super) fn new(front: &FrontEnd, rate: SampleRate) -> Result<Self, AudioError> {
        let config = for_eyes(&front.features, Reference::Value(1.0))?;
        let config = biophony_audio::FeatureConfig::new(FeatureSettings {
            center: true,
            ..FeatureSettings::from(config)
        })?;
        let extractor = FeatureExtractor::new(&config);
        let model_rate = config.sample_rate();
        let reach = config.n_fft() / 2 + model_rate.samples_in(FILTER_REACH);
        // As loud as a tone can be, in the unit of this front end.
        let step = std::f32::consts::TAU / 8.0;
        let tone: Vec<f32> = (0..4 * config.n_fft())
            .map(|i| (step * i as f32).sin())
            .collect();
        let range = extractor.extract(&tone)?.range();
        let full_scale = range.map_or(0.0, |(_, full)| full);
        Ok(Self {
            margin: reach.div_ceil(config.hop_length()) as u64,
            extractor,
            rate,
            next: 0,
            origin: 0,
            loudest: full_scale + FIRST_DB,
            quietest: full_scale + QUIETEST_DB,
        })
    }

    /// Seconds from one column to the next.
    pub(super) fn hop_seconds(&self) -> f64 {
        let config = self.extractor.config();
        config.sample_rate().duration_of(config.hop_length()).0
    }

    /// The first position that is still needed.
    pub(super) fn needed_from(&self) -> u64 {
        self.position_of(self.stretch_start())
    }

    /// Sound is missing before this position; go on behind it.
    pub(super) fn skip_to(&mut self, position: u64) {
        let seconds = position as f64 / f64::from(self.rate.hertz());
        self.next = (seconds / self.hop_seconds()).ceil() as u64;
        self.origin = self.next;
    }

    /// Draws what can be drawn of the sound that is known: `known` begins at the
    /// position `start`, which is at most [`Columns::needed_from`].
    pub(super) fn draw(&mut self, start: u64, known: &[f32]) -> Result<Option<Batch>, AudioError> {
        let end = start + known.len() as u64;
        let seconds = end as f64 / f64::from(self.rate.hertz());
        let n_known = (seconds / self.hop_seconds()).floor() as u64;
        let until = n_known.saturating_sub(self.margin);
        if until <= self.next {
            return Ok(None);
        }
        let first = self.stretch_start();
        let from = self.position_of(first).saturating_sub(start) as usize;
        let Some(stretch) = known.get(from..).filter(|stretch| !stretch.is_empty()) else {
            return Ok(None);
        };
        let rate = self.extractor.config().sample_rate();
        let heard = resample(&Clip::new(stretch.to_vec(), self.rate), rate)?;
        let spectrogram = self.extractor.extract(heard.samples())?;
        let [begin, until] = [self.next, until].map(|column| (column - first) as usize);
        let columns = begin..until.min(spectrogram.n_frames);
        let batch_first = self.next;
        self.next += columns.len() as u64;
        self.follow_level(&spectrogram, columns.clone());
        let mut bytes = Vec::with_capacity(columns.len() * spectrogram.n_bands);
        for column in columns {
            let bands = 0..spectrogram.n_bands;
            bytes.extend(bands.map(|band| brightness(spectrogram.at(band, column) - self.loudest)));
        }
        Ok(Some(Batch {
            first: batch_first,
            n_mels: spectrogram.n_bands,
            bytes,
        }))
    }

    /// Lets 0 dB be the loudest value of the last while.
    fn follow_level(
        &mut self,
        spectrogram: &biophony_audio::Spectrogram,
        columns: std::ops::Range<usize>,
    ) {
        let seconds = columns.len() as f64 * self.hop_seconds();
        let rows = (0..spectrogram.n_bands).map(|band| &spectrogram.row(band)[columns.clone()]);
        let loudest = rows.flatten().copied().fold(f32::NEG_INFINITY, f32::max);
        let faded = self.loudest - DECAY_DB_PER_SECOND * seconds as f32;
        self.loudest = faded.max(loudest).max(self.quietest);
    }

    /// The column at which the next stretch begins.
    fn stretch_start(&self) -> u64 {
        self.next.saturating_sub(self.margin).max(self.origin)
    }

    fn position_of(&self, column: u64) -> u64 {
        (column as f64 * self.hop_seconds() * f64::from(self.rate.hertz())).round() as u64
    }
}
