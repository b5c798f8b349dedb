//! Whether a probability means what it says, and what to do when it does not.
//!
//! Here live temperature scaling (Guo et al. 2017, "On Calibration of Modern
//! Neural Networks", section 4.2), the reliability bins and the expected
//! calibration error (the same paper, section 2). The threshold below which a
//! clip is called unknown is worked out in [`threshold`]; which clips these are
//! fitted on (the validation part) is the caller's choice.

use serde::{Deserialize, Serialize};

use crate::metrics::{best_class, clip_log_loss, mean};

pub mod threshold;

/// Scores are raised to this before their logarithm is taken, so that a score
/// that has underflowed to zero does not become minus infinity.
pub const SMALLEST_SCORE: f64 = 1e-12;

/// Where temperatures are searched for. Outside, probabilities are one-hot or
/// uniform for all purposes.
pub const TEMPERATURE_RANGE: (f64, f64) = (0.05, 20.0);

/// Divides the scores' logarithms by a temperature and normalizes again.
///
/// `calibrated = softmax(ln(max(score, 1e-12)) / T)`. Above 1 the probabilities
/// move towards each other, below 1 apart; their order stays. At exactly 1 the
/// scores come back as they are.
///
/// ```
/// # use biophony_model::calibrate::calibrated;
/// let softened = calibrated(&[0.9, 0.1], 2.0);
/// assert!((softened[0] - 0.75).abs() < 1e-6);
/// ```
pub fn calibrated(scores: &[f32], temperature: f64) -> Vec<f32> {
    if temperature == 1.0 {
        return scores.to_vec();
    }
    let scaled: Vec<f64> = scores
        .iter()
        .map(|&score| log_score(score) / temperature)
        .collect();
    let normalizer = log_sum_exp(&scaled);
    scaled
        .iter()
        .map(|value| (value - normalizer).exp() as f32)
        .collect()
}

/// What came of fitting a temperature.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct TemperatureFit {
    /// The temperature to use.
    pub temperature: f64,
    /// Why it is that one.
    pub outcome: TemperatureOutcome,
    /// Mean negative log-likelihood of the truth at temperature 1.
    pub nll_before: f64,
    /// The same at the fitted temperature.
    pub nll_after: f64,
}

/// How the search for a temperature ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TemperatureOutcome {
    /// The likelihood has its maximum at this temperature.
    Fitted,
    /// The maximum lies outside [`TEMPERATURE_RANGE`]; this is the nearest end.
    AtLimit,
    /// No clip is misclassified, so ever lower temperatures look ever better.
    /// Nothing can be learnt about overconfidence: the temperature stays 1.
    NoMistakes,
    /// There are no clips, or every temperature fits them the same.
    Undetermined,
}

/// The temperature that makes the truth most likely.
///
/// The mean negative log-likelihood is convex in `1 / T`, so it has one valley
/// over `ln T` and a golden-section search finds its bottom, whatever the data.
///
/// # Panics
///
/// If a truth is not an index into its clip's scores.
pub fn fit_temperature(truth: &[usize], scores: &[Vec<f32>]) -> TemperatureFit {
    let logs: Vec<Vec<f64>> = scores
        .iter()
        .map(|row| row.iter().copied().map(log_score).collect())
        .collect();
    let nll = |temperature: f64| mean_nll(truth, &logs, temperature);
    let nll_before = nll(1.0);
    let stays = |outcome| TemperatureFit {
        temperature: 1.0,
        outcome,
        nll_before,
        nll_after: nll_before,
    };

    let (low, high) = (TEMPERATURE_RANGE.0.ln(), TEMPERATURE_RANGE.1.ln());
    let best = golden_section_minimum(|log_t| nll(log_t.exp()), low, high);
    let (temperature, nll_after) = (best.exp(), nll(best.exp()));
    if nll_before - nll_after <= 1e-12 && !is_valley(&nll, temperature) {
        return stays(TemperatureOutcome::Undetermined);
    }
    if scores
        .iter()
        .zip(truth)
        .all(|(row, &class)| is_best(class, row))
    {
        return stays(TemperatureOutcome::NoMistakes);
    }
    let is_at_limit = best - low < 1e-6 || high - best < 1e-6;
    let outcome = if is_at_limit {
        TemperatureOutcome::AtLimit
    } else {
        TemperatureOutcome::Fitted
    };
    TemperatureFit {
        temperature,
        outcome,
        nll_before,
        nll_after,
    }
}

/// Whether the loss rises to both sides, rather than being flat.
fn is_valley(nll: &impl Fn(f64) -> f64, temperature: f64) -> bool {
    let bottom = nll(temperature);
    nll(temperature * 0.5) > bottom + 1e-12 && nll(temperature * 2.0) > bottom + 1e-12
}

/// Whether no class scores above `class`.
fn is_best(class: usize, scores: &[f32]) -> bool {
    scores.iter().all(|&score| score <= scores[class])
}

fn mean_nll(truth: &[usize], logs: &[Vec<f64>], temperature: f64) -> f64 {
    let clips = truth.iter().zip(logs).map(|(&class, row)| {
        let scaled: Vec<f64> = row.iter().map(|log| log / temperature).collect();
        log_sum_exp(&scaled) - scaled[class]
    });
    mean(clips)
}

/// The bottom of a function with one valley between `low` and `high`.
fn golden_section_minimum(f: impl Fn(f64) -> f64, mut low: f64, mut high: f64) -> f64 {
    const GOLDEN: f64 = 0.618_033_988_749_894_9;
    let inside = |low: f64, high: f64, share: f64| low + (high - low) * share;
    let (mut left, mut right) = (inside(low, high, 1.0 - GOLDEN), inside(low, high, GOLDEN));
    let (mut f_left, mut f_right) = (f(left), f(right));
    // Each turn keeps 0.618 of the interval: 48 turns leave 1e-10 of it, below
    // which differences of the loss drown in rounding.
    for _ in 0..48 {
        if f_left <= f_right {
            (high, right, f_right) = (right, left, f_left);
            left = inside(low, high, 1.0 - GOLDEN);
            f_left = f(left);
        } else {
            (low, left, f_left) = (left, right, f_right);
            right = inside(low, high, GOLDEN);
            f_right = f(right);
        }
    }
    (low + high) / 2.0
}

fn log_score(score: f32) -> f64 {
    f64::from(score).max(SMALLEST_SCORE).ln()
}

fn log_sum_exp(values: &[f64]) -> f64 {
    let max = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    max + values
        .iter()
        .map(|value| (value - max).exp())
        .sum::<f64>()
        .ln()
}

/// How well a set of probabilities keeps its word.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Reliability {
    /// `Σ (n_b / n) · |accuracy_b − confidence_b|` over the bins.
    pub expected_calibration_error: f64,
    /// Mean negative log-likelihood of the truth, as `metrics::clip_log_loss`.
    pub log_loss: f64,
    /// Bins of equal width over the confidence, empty ones included.
    pub bins: Vec<ReliabilityBin>,
}

/// The clips whose best probability lies in `(low, high]`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct ReliabilityBin {
    /// Lower edge, not included (but for 0).
    pub low: f64,
    /// Upper edge, included.
    pub high: f64,
    /// How many clips fall into it.
    pub n_clips: u64,
    /// Mean of their best probabilities; `None` in an empty bin.
    pub confidence: Option<f64>,
    /// Share of them that was recognized; `None` in an empty bin.
    pub accuracy: Option<f64>,
}

/// Sorts clips into `n_bins` bins (at least one) by their best probability and
/// compares each bin's mean probability with its accuracy.
///
/// # Panics
///
/// If a truth is not an index into its clip's probabilities.
pub fn reliability(truth: &[usize], probabilities: &[Vec<f32>], n_bins: usize) -> Reliability {
    let mut sums = vec![BinSums::default(); n_bins.max(1)];
    for (&class, row) in truth.iter().zip(probabilities) {
        let best = best_class(row);
        let confidence = f64::from(row[best]);
        let bin = &mut sums[bin_of(confidence, n_bins.max(1))];
        bin.n_clips += 1;
        bin.confidence += confidence;
        bin.n_right += u64::from(best == class);
    }
    let n_clips = truth.len().max(1) as f64;
    let gap = |bin: &BinSums| (bin.n_right as f64 - bin.confidence).abs() / n_clips;
    Reliability {
        expected_calibration_error: sums.iter().map(gap).sum(),
        log_loss: mean(
            truth
                .iter()
                .zip(probabilities)
                .map(|(&class, row)| clip_log_loss(class, row)),
        ),
        bins: sums
            .iter()
            .enumerate()
            .map(|(index, bin)| bin.finish(index, sums.len()))
            .collect(),
    }
}

#[derive(Debug, Clone, Copy, Default)]
struct BinSums {
    n_clips: u64,
    n_right: u64,
    confidence: f64,
}

impl BinSums {
    fn finish(&self, index: usize, n_bins: usize) -> ReliabilityBin {
        let mean_of = |sum: f64| (self.n_clips > 0).then(|| sum / self.n_clips as f64);
        ReliabilityBin {
            low: bin_edge(index, n_bins),
            high: bin_edge(index + 1, n_bins),
            n_clips: self.n_clips,
            confidence: mean_of(self.confidence),
            accuracy: mean_of(self.n_right as f64),
        }
    }
}

/// The bin whose `(low, high]` holds the value; everything above the last
/// inner edge is in the last bin.
fn bin_of(value: f64, n_bins: usize) -> usize {
    (1..n_bins)
        .take_while(|&index| bin_edge(index, n_bins) < value)
        .count()
}

fn bin_edge(index: usize, n_bins: usize) -> f64 {
    index as f64 / n_bins as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Clips of two classes whose scores claim `claimed` but keep `kept` in 10.
    fn overconfident(claimed: f32, kept: usize) -> (Vec<usize>, Vec<Vec<f32>>) {
        let truth = (0..10).map(|clip| usize::from(clip >= kept)).collect();
        (truth, vec![vec![claimed, 1.0 - claimed]; 10])
    }

    #[test]
    fn the_temperature_brings_the_claim_down_to_what_is_kept() {
        let (truth, scores) = overconfident(0.99, 8);
        let fit = fit_temperature(&truth, &scores);
        assert_eq!(fit.outcome, TemperatureOutcome::Fitted);
        assert!(
            (calibrated(&scores[0], fit.temperature)[0] - 0.8).abs() < 1e-5,
            "{fit:?}"
        );
        assert!(fit.nll_after < fit.nll_before);
    }

    #[test]
    fn an_honest_claim_is_left_where_it_is() {
        let (truth, scores) = overconfident(0.8, 8);
        let fit = fit_temperature(&truth, &scores);
        assert_eq!(fit.outcome, TemperatureOutcome::Fitted);
        assert!((fit.temperature - 1.0).abs() < 1e-4, "{fit:?}");
    }

    #[test]
    fn without_mistakes_the_temperature_stays_one() {
        let fit = fit_temperature(&[0, 1], &[vec![0.7, 0.3], vec![0.4, 0.6]]);
        assert_eq!(
            (fit.temperature, fit.outcome),
            (1.0, TemperatureOutcome::NoMistakes)
        );
    }

    #[test]
    fn constant_scores_and_no_clips_leave_the_temperature_undetermined() {
        let constant = fit_temperature(&[0, 1], &[vec![0.5, 0.5], vec![0.5, 0.5]]);
        assert_eq!(
            (constant.temperature, constant.outcome),
            (1.0, TemperatureOutcome::Undetermined)
        );
        assert_eq!(
            fit_temperature(&[], &[]).outcome,
            TemperatureOutcome::Undetermined
        );
    }

    #[test]
    fn a_predictor_that_is_always_wrong_is_cooled_down_to_the_limit() {
        let fit = fit_temperature(&[1, 1], &[vec![0.9, 0.1], vec![0.9, 0.1]]);
        assert_eq!(fit.outcome, TemperatureOutcome::AtLimit);
        assert!(
            (fit.temperature - TEMPERATURE_RANGE.1).abs() < 1e-3,
            "{fit:?}"
        );
    }

    #[test]
    fn scores_of_exactly_zero_stay_finite() {
        let row = calibrated(&[1.0, 0.0, 0.0], 2.5);
        assert!(row.iter().all(|p| p.is_finite() && *p > 0.0));
        assert!((row.iter().sum::<f32>() - 1.0).abs() < 1e-6);
    }

    #[test]
    fn a_value_on_an_edge_belongs_to_the_bin_below() {
        assert_eq!(
            [0.0, 0.1, 0.2, 0.200001, 1.0, 1.5].map(|value| bin_of(value, 10)),
            [0, 0, 1, 2, 9, 9]
        );
    }

    #[test]
    fn the_calibration_error_is_the_gap_between_claim_and_fact() {
        let (truth, scores) = overconfident(0.95, 7);
        let reliability = reliability(&truth, &scores, 15);
        assert!((reliability.expected_calibration_error - 0.25).abs() < 1e-6);
        let bin = reliability
            .bins
            .iter()
            .find(|bin| bin.n_clips == 10)
            .unwrap();
        assert_eq!(bin.accuracy, Some(0.7));
    }
}
