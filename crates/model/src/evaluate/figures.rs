//! All figures of one set of clips, where each clip may count several times.
//!
//! The same code gives the point estimates (each clip once) and those of a
//! bootstrap resample, so that an interval cannot be of something else than its
//! figure. What does not depend on the resample is worked out beforehand.

use crate::error::ModelError;
use crate::labels::LabelSet;
use crate::metrics::ranking::{Ranking, RankingScores};
use crate::metrics::{
    AveragedScores, ClassScores, ConfusionMatrix, best_class, clip_log_loss, mean, rank_of,
};

/// Checked truth and scores, and what every resample of them shares.
pub(super) struct Scorings<'a> {
    truth: &'a [usize],
    predicted: Vec<usize>,
    /// Where the truth stands among each clip's classes, from 0.
    ranks: Vec<usize>,
    log_losses: Vec<f64>,
    /// One per class.
    rankings: Vec<Ranking>,
    top_k: Vec<usize>,
}

/// All figures of the clips as often as each was drawn.
pub(super) struct Figures {
    pub(super) confusion_matrix: ConfusionMatrix,
    pub(super) accuracy: f64,
    pub(super) balanced_accuracy: f64,
    pub(super) macro_average: AveragedScores,
    pub(super) weighted_average: AveragedScores,
    pub(super) macro_average_precision: Option<f64>,
    pub(super) macro_roc_auc: Option<f64>,
    pub(super) log_loss: f64,
    pub(super) per_class: Vec<ClassFigures>,
    pub(super) top_k: Vec<f64>,
}

/// How one class fared against the rest.
pub(super) struct ClassFigures {
    pub(super) counted: ClassScores,
    pub(super) ranked: RankingScores,
}

impl<'a> Scorings<'a> {
    /// Checks that scores and truth fit together.
    pub(super) fn new(
        labels: &LabelSet,
        truth: &'a [usize],
        scores: &[Vec<f32>],
        top_k: &[usize],
    ) -> Result<Self, ModelError> {
        check(labels.len(), truth, scores)?;
        let clips = || truth.iter().copied().zip(scores);
        Ok(Self {
            truth,
            predicted: scores.iter().map(|row| best_class(row)).collect(),
            ranks: clips().map(|(class, row)| rank_of(class, row)).collect(),
            log_losses: clips()
                .map(|(class, row)| clip_log_loss(class, row))
                .collect(),
            rankings: (0..labels.len())
                .map(|class| Ranking::of_class(class, truth, scores))
                .collect(),
            top_k: top_k
                .iter()
                .copied()
                .filter(|&k| k < labels.len())
                .collect(),
        })
    }

    /// The `k`s that not every prediction satisfies.
    pub(super) fn top_k(&self) -> &[usize] {
        &self.top_k
    }

    /// All figures, clip `i` counted `multiplicity[i]` times.
    pub(super) fn figures(&self, multiplicity: &[u32]) -> Figures {
        let confusion_matrix = self.confusion_matrix(multiplicity);
        let counted = confusion_matrix.per_class();
        let ranked: Vec<RankingScores> = self
            .rankings
            .iter()
            .map(|ranking| ranking.scores_with(|clip| multiplicity[clip]))
            .collect();
        Figures {
            accuracy: confusion_matrix.accuracy(),
            balanced_accuracy: confusion_matrix.balanced_accuracy(),
            macro_average: AveragedScores::macro_average(&counted),
            weighted_average: AveragedScores::weighted_average(&counted),
            macro_average_precision: mean_of_defined(
                ranked.iter().map(|class| class.average_precision),
            ),
            macro_roc_auc: mean_of_defined(ranked.iter().map(|class| class.roc_auc)),
            log_loss: weighted_mean(self.log_losses.iter().copied(), multiplicity),
            top_k: self
                .top_k
                .iter()
                .map(|&k| self.top_k_accuracy(k, multiplicity))
                .collect(),
            per_class: counted
                .into_iter()
                .zip(ranked)
                .map(|(counted, ranked)| ClassFigures { counted, ranked })
                .collect(),
            confusion_matrix,
        }
    }

    fn confusion_matrix(&self, multiplicity: &[u32]) -> ConfusionMatrix {
        let mut matrix = ConfusionMatrix::empty(self.rankings.len());
        for ((&truth, &predicted), &n) in self.truth.iter().zip(&self.predicted).zip(multiplicity) {
            matrix.add(truth, predicted, u64::from(n));
        }
        matrix
    }

    fn top_k_accuracy(&self, k: usize, multiplicity: &[u32]) -> f64 {
        weighted_mean(
            self.ranks.iter().map(|&rank| f64::from(u8::from(rank < k))),
            multiplicity,
        )
    }
}

fn check(n_classes: usize, truth: &[usize], scores: &[Vec<f32>]) -> Result<(), ModelError> {
    if truth.is_empty() {
        return Err(ModelError::NothingToEvaluate);
    }
    if truth.len() != scores.len() {
        let what = "rows of scores";
        return Err(ModelError::UnevenEvaluation {
            what,
            n: scores.len(),
            n_clips: truth.len(),
        });
    }
    for (clip, (&class, row)) in truth.iter().zip(scores).enumerate() {
        let unusable = |reason: String| Err(ModelError::UnusableScores { clip, reason });
        if class >= n_classes {
            return unusable(format!("its class is number {class} of {n_classes}"));
        }
        if row.len() != n_classes {
            return unusable(format!(
                "it has {} scores for {n_classes} classes",
                row.len()
            ));
        }
        if let Some(score) = row.iter().find(|score| !score.is_finite()) {
            return unusable(format!("one of its scores is {score}"));
        }
    }
    Ok(())
}

impl Figures {
    /// The figures of [`Figures::flatten`], by their names in `Evaluation`.
    pub(super) const NAMES: [&'static str; 11] = [
        "accuracy",
        "balanced_accuracy",
        "macro_precision",
        "macro_recall",
        "macro_f1",
        "weighted_precision",
        "weighted_recall",
        "weighted_f1",
        "macro_average_precision",
        "macro_roc_auc",
        "log_loss",
    ];

    /// First those of [`Figures::NAMES`], then each class's, then top-k.
    pub(super) fn flatten(&self) -> Vec<Option<f64>> {
        let overall = [
            Some(self.accuracy),
            Some(self.balanced_accuracy),
            Some(self.macro_average.precision),
            Some(self.macro_average.recall),
            Some(self.macro_average.f1),
            Some(self.weighted_average.precision),
            Some(self.weighted_average.recall),
            Some(self.weighted_average.f1),
            self.macro_average_precision,
            self.macro_roc_auc,
            Some(self.log_loss),
        ];
        let per_class = self.per_class.iter().flat_map(ClassFigures::flatten);
        overall
            .into_iter()
            .chain(per_class)
            .chain(self.top_k.iter().copied().map(Some))
            .collect()
    }
}

impl ClassFigures {
    /// The figures of [`ClassFigures::flatten`], by their names.
    pub(super) const NAMES: [&'static str; 5] =
        ["precision", "recall", "f1", "average_precision", "roc_auc"];

    /// A resample without a clip of the class says nothing about it.
    fn flatten(&self) -> [Option<f64>; 5] {
        let where_present = |figure: f64| (self.counted.support > 0).then_some(figure);
        [
            where_present(self.counted.precision),
            where_present(self.counted.recall),
            where_present(self.counted.f1),
            self.ranked.average_precision,
            self.ranked.roc_auc,
        ]
    }
}

fn mean_of_defined(values: impl Iterator<Item = Option<f64>> + Clone) -> Option<f64> {
    let is_defined = values.clone().any(|value| value.is_some());
    is_defined.then(|| mean(values.flatten()))
}

fn weighted_mean(values: impl Iterator<Item = f64>, multiplicity: &[u32]) -> f64 {
    let n: u64 = multiplicity.iter().copied().map(u64::from).sum();
    let sum: f64 = values
        .zip(multiplicity)
        .map(|(value, &n)| value * f64::from(n))
        .sum();
    if n == 0 { 0.0 } else { sum / n as f64 }
}
