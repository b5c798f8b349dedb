//! Scores of clips: the one way by which training validates and serving predicts.
//!
//! A clip's windows are normalized and run through the network in batches; each
//! window's scores are the softmax of its logits, and the clip's are their mean.
//! What the scores mean (calibration, thresholds) is in [`crate::calibrate`] and
//! [`crate::predict`].

use biophony_audio::Spectrogram;
use biophony_nn::{Inference, Network, Shape, softmax};
use rayon::prelude::*;

use crate::error::ModelError;
use crate::normalize::{Normalizer, cut_window};
use crate::prepare::{Example, FrontEnd};

/// The most windows that run through the network together. Scores do not depend
/// on it; memory does, and that of a long clip is bounded by it.
const BATCH: usize = 16;

/// Scores every example: for each, one probability per class.
///
/// # Errors
///
/// When network, normalizer, front end and examples do not fit together.
pub fn score(
    network: &Network,
    normalizer: &Normalizer,
    front: &FrontEnd,
    examples: &[Example],
) -> Result<Vec<Vec<f32>>, ModelError> {
    for example in examples {
        front.check_features(&example.name, &example.features)?;
    }
    let model = ScoringModel {
        network,
        normalizer,
        front,
    };
    model.check()?;
    let clips: Vec<&Spectrogram> = examples.iter().map(|example| &example.features).collect();
    let scores = model.score(&clips, &mut ScoringSpace::new(network, BATCH));
    Ok(scores.into_iter().map(|clip| clip.mean).collect())
}

/// The parts of a model that turn features into scores.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ScoringModel<'a> {
    pub(crate) network: &'a Network,
    pub(crate) normalizer: &'a Normalizer,
    pub(crate) front: &'a FrontEnd,
}

/// Buffers for scoring, allocated once.
#[derive(Debug)]
pub(crate) struct ScoringSpace {
    inference: Inference,
    /// `[batch, bands, frames, 1]`
    inputs: Vec<f32>,
    /// How many windows run together.
    capacity: usize,
}

/// The scores of one clip.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct ClipScores {
    /// The mean over the windows: one value per class.
    pub(crate) mean: Vec<f32>,
    /// Each window's first frame and scores, in time order.
    pub(crate) windows: Vec<(usize, Vec<f32>)>,
}

impl ScoringSpace {
    /// For `n_windows` at a time, if that is not too many.
    pub(crate) fn new(network: &Network, n_windows: usize) -> Self {
        let capacity = n_windows.clamp(1, BATCH);
        Self {
            inference: Inference::new(network, capacity),
            inputs: vec![0.0; capacity * network.spec().input.n_values()],
            capacity,
        }
    }

    /// Whether it takes so many windows as well as any other would.
    pub(crate) fn suits(&self, n_windows: usize) -> bool {
        self.capacity >= n_windows.min(BATCH)
    }
}

impl ScoringModel<'_> {
    /// Whether the parts fit together.
    pub(crate) fn check(&self) -> Result<(), ModelError> {
        let input = window_shape(self.front, self.front.window_frames());
        let found = self.network.spec().input;
        let n_bands = self.normalizer.n_bands();
        if found == input && n_bands == input.height {
            return Ok(());
        }
        Err(ModelError::PartsDiffer {
            network: found.to_string(),
            front_end: input.to_string(),
            n_bands,
        })
    }

    /// Scores clips whose features the front end has checked.
    pub(crate) fn score(
        &self,
        clips: &[&Spectrogram],
        space: &mut ScoringSpace,
    ) -> Vec<ClipScores> {
        let windows: Vec<(usize, usize)> = clips
            .iter()
            .enumerate()
            .flat_map(|(clip, features)| {
                let firsts = self.front.windows(features);
                firsts.into_iter().map(move |first| (clip, first))
            })
            .collect();
        let mut scores: Vec<ClipScores> = Vec::new();
        scores.resize_with(clips.len(), || ClipScores {
            mean: Vec::new(),
            windows: Vec::new(),
        });
        for batch in windows.chunks(space.capacity) {
            let n_classes = self.network.output().n_values();
            let rows = self.score_batch(clips, batch, space);
            for (row, &(clip, first)) in rows.chunks_exact(n_classes).zip(batch) {
                scores[clip].windows.push((first, row.to_vec()));
            }
        }
        for clip in &mut scores {
            clip.mean = mean(&clip.windows);
        }
        scores
    }

    /// The scores of one batch of windows: `[windows, classes]`.
    fn score_batch(
        &self,
        clips: &[&Spectrogram],
        windows: &[(usize, usize)],
        space: &mut ScoringSpace,
    ) -> Vec<f32> {
        let n_inputs = self.network.spec().input.n_values();
        let inputs = &mut space.inputs[..windows.len() * n_inputs];
        inputs
            .par_chunks_exact_mut(n_inputs)
            .zip(windows)
            .for_each(|(window, &(clip, first))| {
                cut_window(clips[clip], first, window);
                self.normalizer.apply(window);
            });
        let logits = self
            .network
            .forward(&mut space.inference, inputs, windows.len());
        let mut scores = logits.to_vec();
        softmax(&mut scores, self.network.output().n_values());
        scores
    }
}

/// The network input that a window of so many frames makes.
pub(crate) fn window_shape(front: &FrontEnd, n_frames: usize) -> Shape {
    Shape {
        height: front.features.n_mels(),
        width: n_frames,
        channels: 1,
    }
}

fn mean(windows: &[(usize, Vec<f32>)]) -> Vec<f32> {
    let n_classes = windows.first().map_or(0, |(_, scores)| scores.len());
    let mean_of = |class: usize| {
        let sum: f64 = windows
            .iter()
            .map(|(_, scores)| f64::from(scores[class]))
            .sum();
        (sum / windows.len() as f64) as f32
    };
    (0..n_classes).map(mean_of).collect()
}
