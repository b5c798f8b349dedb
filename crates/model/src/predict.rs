//! A model in use: a clip in, ranked labels with calibrated probabilities out.
//!
//! [`Predictor`] is the only way to use a [`Bundle`]. It prepares audio with the
//! bundle's own front end and scores it by the code that training validates
//! with ([`crate::score`](mod@crate::score)), so that serving cannot differ from training.
//!
//! Reading files is left to `biophony-audio`, and what a bundle is to
//! [`crate::bundle`].

use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use biophony_audio::Clip;
use serde::{Deserialize, Serialize};

use crate::bundle::Bundle;
use crate::calibrate::calibrated;
use crate::error::ModelError;
use crate::labels::LabelSet;
use crate::prepare::Preparer;
use crate::score::{ScoringModel, ScoringSpace};

/// Classifies clips with one model, from any number of threads at once.
pub struct Predictor {
    bundle: Bundle,
    preparer: Preparer,
    /// Buffers that no call is using. A call takes some or makes some.
    idle: Mutex<Vec<ScoringSpace>>,
    /// As many as may be in use at the same time: one per thread of the pool in which
    /// the model was put to use. Pools with fewer threads may share it.
    max_idle: usize,
}

/// What a clip was taken for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Prediction {
    /// Every class, the most probable first.
    pub ranked: Vec<Ranked>,
    /// Whether the most probable class reaches the bundle's threshold. Without
    /// a threshold every clip does.
    pub accepted: bool,
    /// The windows that were scored, in time order.
    pub windows: Vec<WindowScore>,
}

impl Prediction {
    /// How probable a class is; 0 for one that the model does not know.
    pub fn probability_of(&self, label: &str) -> f32 {
        let found = self.ranked.iter().find(|ranked| ranked.label == label);
        found.map_or(0.0, |ranked| ranked.probability)
    }
}

/// One class and how probable it is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Ranked {
    /// The class.
    pub label: String,
    /// Its calibrated probability.
    pub probability: f32,
}

/// What one window was taken for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WindowScore {
    /// Where the window begins in the clip, in seconds.
    pub start_seconds: f64,
    /// Where it ends; at the latest where the clip does.
    pub end_seconds: f64,
    /// The calibrated probability of each class, in the order of the labels.
    pub probabilities: Vec<f32>,
}

impl Predictor {
    /// Puts a model to use.
    ///
    /// # Errors
    ///
    /// When the parts of the bundle do not fit together.
    pub fn new(bundle: Bundle) -> Result<Self, ModelError> {
        let preparer = Preparer::new(&bundle.front_end)?;
        let predictor = Self {
            bundle,
            preparer,
            idle: Mutex::new(Vec::new()),
            max_idle: rayon::current_num_threads(),
        };
        predictor.model().check()?;
        let n_classes = predictor.bundle.network.output().n_values();
        if n_classes != predictor.bundle.labels.len() {
            return Err(ModelError::LabelCount {
                n_labels: predictor.bundle.labels.len(),
                n_outputs: n_classes,
            });
        }
        Ok(predictor)
    }

    /// Puts the model in a directory to use.
    ///
    /// # Errors
    ///
    /// When the directory is not a bundle that can be read.
    pub fn open(directory: &Path) -> Result<Self, ModelError> {
        Self::new(Bundle::load(directory)?)
    }

    /// The model.
    pub fn bundle(&self) -> &Bundle {
        &self.bundle
    }

    /// The classes.
    pub fn labels(&self) -> &LabelSet {
        &self.bundle.labels
    }

    /// Sets from which probability on a label is accepted; `None` for always.
    pub fn set_threshold(&mut self, threshold: Option<f32>) {
        self.bundle.calibration.threshold = threshold;
    }

    /// Classifies one clip of any length and sample rate.
    ///
    /// # Errors
    ///
    /// When the clip is empty or holds values that are not numbers.
    pub fn predict(&self, clip: &Clip) -> Result<Prediction, ModelError> {
        let features = self.preparer.prepare(clip)?;
        let n_windows = self.bundle.front_end.windows(&features).len();
        let mut space = self.take_space(n_windows);
        let mut scores = self.model().score(&[&features], &mut space);
        self.return_space(space);
        // One clip in, one list of scores out.
        let scores = scores.swap_remove(0);
        let ranked = self.rank(&self.calibrate(&scores.mean));
        let threshold = self.bundle.calibration.threshold;
        let best = ranked.first().map_or(0.0, |best| best.probability);
        let duration = clip.duration().0;
        let windows = scores.windows.iter();
        Ok(Prediction {
            accepted: threshold.is_none_or(|threshold| best >= threshold),
            windows: windows
                .map(|(first, scores)| self.window(*first, scores, duration))
                .collect(),
            ranked,
        })
    }

    fn model(&self) -> ScoringModel<'_> {
        ScoringModel {
            network: &self.bundle.network,
            normalizer: &self.bundle.normalizer,
            front: &self.bundle.front_end,
        }
    }

    /// Idle buffers for so many windows, or new ones.
    fn take_space(&self, n_windows: usize) -> ScoringSpace {
        let mut idle = self.idle();
        match idle.iter().position(|space| space.suits(n_windows)) {
            Some(index) => idle.swap_remove(index),
            None => ScoringSpace::new(&self.bundle.network, n_windows),
        }
    }

    /// Keeps buffers for the next call, unless there are plenty.
    fn return_space(&self, space: ScoringSpace) {
        let mut idle = self.idle();
        if idle.len() >= self.max_idle {
            idle.remove(0);
        }
        idle.push(space);
    }

    fn idle(&self) -> MutexGuard<'_, Vec<ScoringSpace>> {
        // A panic elsewhere leaves the list whole: it is only pushed and popped.
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn calibrate(&self, scores: &[f32]) -> Vec<f32> {
        calibrated(scores, self.bundle.calibration.temperature)
    }

    fn rank(&self, probabilities: &[f32]) -> Vec<Ranked> {
        let labels = self.bundle.labels.names();
        let mut ranked: Vec<Ranked> = labels
            .iter()
            .zip(probabilities)
            .map(|(label, &probability)| Ranked {
                label: label.clone(),
                probability,
            })
            .collect();
        // Stable: classes of equal probability stay in label order, as they are
        // taken in evaluation.
        ranked.sort_by(|a, b| b.probability.total_cmp(&a.probability));
        ranked
    }

    fn window(&self, first_frame: usize, scores: &[f32], duration: f64) -> WindowScore {
        let front = &self.bundle.front_end;
        let start = front
            .rate()
            .duration_of(first_frame * front.features.hop_length());
        WindowScore {
            start_seconds: start.0,
            end_seconds: (start.0 + front.clip.clip_seconds).min(duration),
            probabilities: self.calibrate(scores),
        }
    }
}
