//! Figures of merit that need only the best class of each clip: the confusion
//! matrix and what follows from it, and top-k accuracy and log loss beside it.
//!
//! Definitions and edge cases are scikit-learn's, checked against golden values
//! in `tests/metrics_golden.rs`:
//!
//! - a ratio without a denominator is 0 (`zero_division=0`);
//! - macro averages run over the classes that occur in the truth or among the
//!   predictions, balanced accuracy over those that occur in the truth;
//! - weighted averages weigh each class by its clips in the truth.
//!
//! Figures that need the order of the scores (average precision, ROC-AUC) live
//! in [`ranking`]; calibration in [`crate::calibrate`]; the whole evaluation of
//! a model is assembled in [`crate::evaluate`](mod@crate::evaluate).

use serde::{Deserialize, Serialize};

pub mod ranking;

/// The class with the highest score; the first one when several share it.
///
/// ```
/// assert_eq!(biophony_model::metrics::best_class(&[0.2, 0.4, 0.4]), 1);
/// ```
pub fn best_class(scores: &[f32]) -> usize {
    let mut best = 0;
    for (class, &score) in scores.iter().enumerate() {
        if score > scores[best] {
            best = class;
        }
    }
    best
}

/// The place of `class` when the scores are sorted from high to low, from 0.
///
/// Equal scores are placed in class order, as [`best_class`] does, so that
/// top-1 accuracy is accuracy. (scikit-learn's `top_k_accuracy_score` places
/// them the other way round.)
pub fn rank_of(class: usize, scores: &[f32]) -> usize {
    let own = scores[class];
    let ahead = |(other, &score): (usize, &f32)| score > own || (score == own && other < class);
    scores
        .iter()
        .enumerate()
        .filter(|&entry| ahead(entry))
        .count()
}

/// The cross-entropy of one clip: `−ln p(truth)`.
///
/// The probability is clipped to `[ε, 1 − ε]`, `ε = 2⁻²³`, as scikit-learn does
/// for single precision, so that one impossible clip does not make it infinite.
pub fn clip_log_loss(truth: usize, probabilities: &[f32]) -> f64 {
    const EPSILON: f64 = f32::EPSILON as f64;
    -f64::from(probabilities[truth])
        .clamp(EPSILON, 1.0 - EPSILON)
        .ln()
}

/// How often each class was taken for each class: rows are the truth, columns
/// the prediction, both in label order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ConfusionMatrix {
    rows: Vec<Vec<u64>>,
}

/// How one class fared.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ClassScores {
    /// Clips of this class.
    pub support: u64,
    /// Clips taken for this class.
    pub predicted: u64,
    /// Of the clips taken for this class, the share that is of it.
    pub precision: f64,
    /// Of the clips of this class, the share that was recognized.
    pub recall: f64,
    /// The harmonic mean of precision and recall.
    pub f1: f64,
}

/// Precision, recall and F1 averaged over classes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AveragedScores {
    /// Averaged precision.
    pub precision: f64,
    /// Averaged recall.
    pub recall: f64,
    /// Averaged F1 (the mean of the F1s, not the F1 of the means).
    pub f1: f64,
}

impl ConfusionMatrix {
    /// A matrix without a single clip.
    pub fn empty(n_classes: usize) -> Self {
        Self {
            rows: vec![vec![0; n_classes]; n_classes],
        }
    }

    /// Counts pairs of true and predicted class.
    ///
    /// # Panics
    ///
    /// If a class is `n_classes` or above.
    pub fn count(truth: &[usize], predicted: &[usize], n_classes: usize) -> Self {
        let mut matrix = Self::empty(n_classes);
        for (&truth, &predicted) in truth.iter().zip(predicted) {
            matrix.add(truth, predicted, 1);
        }
        matrix
    }

    /// Counts `n_clips` of class `truth` that were taken for `predicted`.
    pub fn add(&mut self, truth: usize, predicted: usize, n_clips: u64) {
        self.rows[truth][predicted] += n_clips;
    }

    /// The counts, one row per true class.
    pub fn rows(&self) -> &[Vec<u64>] {
        &self.rows
    }

    /// How many clips were counted.
    pub fn total(&self) -> u64 {
        self.rows.iter().flatten().sum()
    }

    /// The share of clips that were recognized.
    pub fn accuracy(&self) -> f64 {
        let right: u64 = (0..self.rows.len())
            .map(|class| self.rows[class][class])
            .sum();
        ratio(right, self.total())
    }

    /// The mean recall of the classes that occur in the truth.
    pub fn balanced_accuracy(&self) -> f64 {
        let present = self
            .per_class()
            .into_iter()
            .filter(|class| class.support > 0);
        mean(present.map(|class| class.recall))
    }

    /// How each class fared, in label order.
    pub fn per_class(&self) -> Vec<ClassScores> {
        (0..self.rows.len())
            .map(|class| self.scores_of(class))
            .collect()
    }

    fn scores_of(&self, class: usize) -> ClassScores {
        let right = self.rows[class][class];
        let support = self.rows[class].iter().sum();
        let predicted = self.rows.iter().map(|row| row[class]).sum();
        ClassScores {
            support,
            predicted,
            precision: ratio(right, predicted),
            recall: ratio(right, support),
            f1: ratio(2 * right, support + predicted),
        }
    }
}

impl AveragedScores {
    /// Every class counts the same, however many clips it has.
    ///
    /// Classes that occur neither in the truth nor among the predictions are
    /// left out, as scikit-learn does unless told the labels.
    pub fn macro_average(per_class: &[ClassScores]) -> Self {
        let seen = || {
            per_class
                .iter()
                .filter(|class| class.support + class.predicted > 0)
        };
        Self {
            precision: mean(seen().map(|class| class.precision)),
            recall: mean(seen().map(|class| class.recall)),
            f1: mean(seen().map(|class| class.f1)),
        }
    }

    /// Each class counts as often as it occurs in the truth.
    pub fn weighted_average(per_class: &[ClassScores]) -> Self {
        let n_clips: u64 = per_class.iter().map(|class| class.support).sum();
        let average = |score: fn(&ClassScores) -> f64| {
            let sum: f64 = per_class
                .iter()
                .map(|class| class.support as f64 * score(class))
                .sum();
            if n_clips == 0 {
                0.0
            } else {
                sum / n_clips as f64
            }
        };
        Self {
            precision: average(|class| class.precision),
            recall: average(|class| class.recall),
            f1: average(|class| class.f1),
        }
    }
}

/// A quotient that is 0 where there is nothing to divide by.
fn ratio(part: u64, whole: u64) -> f64 {
    if whole == 0 {
        0.0
    } else {
        part as f64 / whole as f64
    }
}

/// The mean, 0 of nothing.
pub(crate) fn mean(values: impl Iterator<Item = f64>) -> f64 {
    let (sum, n) = values.fold((0.0, 0_usize), |(sum, n), value| (sum + value, n + 1));
    if n == 0 { 0.0 } else { sum / n as f64 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_of_equal_scores_is_the_best_class() {
        assert_eq!(best_class(&[0.1, 0.45, 0.45]), 1);
    }

    #[test]
    fn the_best_class_has_rank_zero_even_among_ties() {
        let scores = [0.25, 0.25, 0.25, 0.25];
        assert_eq!(rank_of(best_class(&scores), &scores), 0);
        assert_eq!(rank_of(3, &scores), 3);
    }

    #[test]
    fn a_class_nobody_mentions_does_not_lower_the_macro_average() {
        let matrix = ConfusionMatrix::count(&[0, 1], &[0, 1], 3);
        assert_eq!(AveragedScores::macro_average(&matrix.per_class()).f1, 1.0);
    }

    #[test]
    fn a_class_that_is_only_predicted_counts_as_zero_in_the_macro_average() {
        let matrix = ConfusionMatrix::count(&[0, 0], &[0, 2], 3);
        let average = AveragedScores::macro_average(&matrix.per_class());
        assert_eq!((average.precision, average.recall), (0.5, 0.25));
    }

    #[test]
    fn a_matrix_without_clips_gives_zeros_and_no_panic() {
        let matrix = ConfusionMatrix::empty(4);
        assert_eq!((matrix.accuracy(), matrix.balanced_accuracy()), (0.0, 0.0));
        assert_eq!(
            AveragedScores::weighted_average(&matrix.per_class()).f1,
            0.0
        );
    }

    #[test]
    fn an_impossible_clip_has_a_large_but_finite_loss() {
        assert!((clip_log_loss(0, &[0.0, 1.0]) - 15.942385).abs() < 1e-5);
    }
}
