//! How the weights of an epoch do on the validation part, and which were best.

use crate::metrics::{AveragedScores, ConfusionMatrix, best_class, clip_log_loss};
use crate::prepare::Example;
use crate::train::config::Monitor;
use crate::train::observer::ValidationScores;

impl ValidationScores {
    /// Compares scores with the truth; none without examples.
    pub(super) fn of(examples: &[Example], scores: &[Vec<f32>], n_classes: usize) -> Option<Self> {
        if examples.is_empty() {
            return None;
        }
        let truth: Vec<usize> = examples.iter().map(|example| example.label).collect();
        let predicted: Vec<usize> = scores.iter().map(|scores| best_class(scores)).collect();
        let confusion = ConfusionMatrix::count(&truth, &predicted, n_classes);
        let losses = truth
            .iter()
            .zip(scores)
            .map(|(&truth, scores)| clip_log_loss(truth, scores));
        Some(Self {
            loss: losses.sum::<f64>() / examples.len() as f64,
            accuracy: confusion.accuracy(),
            balanced_accuracy: confusion.balanced_accuracy(),
            macro_f1: AveragedScores::macro_average(&confusion.per_class()).f1,
        })
    }

    /// Whether these weights are to be preferred to those of an earlier epoch.
    ///
    /// On a small validation part whole epochs share one value of macro-F1 or
    /// accuracy; the loss decides between them.
    pub(super) fn beats(&self, earlier: &Self, monitor: Monitor) -> bool {
        let merit = |scores: &Self| match monitor {
            Monitor::MacroF1 => scores.macro_f1,
            Monitor::Accuracy => scores.accuracy,
            Monitor::BalancedAccuracy => scores.balanced_accuracy,
            Monitor::Loss | Monitor::Last => -scores.loss,
        };
        let (own, others) = (merit(self), merit(earlier));
        monitor == Monitor::Last || own > others || (own == others && self.loss < earlier.loss)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scores(loss: f64, macro_f1: f64) -> ValidationScores {
        ValidationScores {
            loss,
            accuracy: 0.5,
            balanced_accuracy: 0.5,
            macro_f1,
        }
    }

    #[test]
    fn the_monitored_figure_decides_and_the_loss_breaks_ties() {
        let first = scores(1.0, 0.6);
        assert!(scores(2.0, 0.7).beats(&first, Monitor::MacroF1));
        assert!(!scores(0.5, 0.5).beats(&first, Monitor::MacroF1));
        assert!(scores(0.9, 0.6).beats(&first, Monitor::MacroF1));
        assert!(!first.beats(&first, Monitor::MacroF1));
        assert!(scores(0.5, 0.1).beats(&first, Monitor::Loss));
        assert!(scores(2.0, 0.1).beats(&first, Monitor::Last));
    }
}
