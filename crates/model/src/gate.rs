//! Whether a new model may replace the one in use.
//!
//! [`decide`] holds an [`Evaluation`] against the criteria of a [`GateConfig`]
//! and gives a [`GateDecision`] that says for each criterion what was wanted,
//! what was found and whether it holds. [`compare`] holds the new model against
//! the champion on the same clips.
//!
//! Where models are kept, and what a decision leads to, is the caller's business.

use serde::{Deserialize, Serialize};

use crate::augment::check_range;
use crate::bootstrap::{BootstrapConfig, Interval, Units, interval_of, resample};
use crate::error::ModelError;
use crate::evaluate::Evaluation;
use crate::metrics::{AveragedScores, ConfusionMatrix, best_class};

/// The criterion of a comparison that rests on too few recordings.
pub const MIN_UNSEEN: &str = "min_unseen";

/// What a model has to fulfil. The defaults ask only that it is not clearly
/// worse than the champion.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct GateConfig {
    /// The least accuracy.
    pub min_accuracy: f64,
    /// The least macro-F1.
    pub min_macro_f1: f64,
    /// The least recall of each class that occurs in the test part.
    pub min_class_recall: f64,
    /// The greatest expected calibration error.
    pub max_calibration_error: f64,
    /// The longest time to classify one window, in milliseconds; 0 for any.
    pub max_latency_ms: f64,
    /// The greatest probability that the model is worse than the champion, by
    /// a paired bootstrap of the difference in macro-F1; 1 for any.
    pub max_champion_risk: f64,
    /// On how many independent groups of clips that comparison has to rest, or on all
    /// that the new model was tested on where these are fewer. With two mistakes more
    /// than the champion, a model is worse with a probability of about 0.9, however many
    /// the clips: 20 are needed to notice that one makes a mistake more in ten.
    pub min_unseen: usize,
}

impl Default for GateConfig {
    fn default() -> Self {
        Self {
            min_accuracy: 0.0,
            min_macro_f1: 0.0,
            min_class_recall: 0.0,
            max_calibration_error: 1.0,
            max_latency_ms: 0.0,
            max_champion_risk: 0.9,
            min_unseen: 20,
        }
    }
}

impl GateConfig {
    /// Whether every value makes sense.
    ///
    /// # Errors
    ///
    /// Names the first that does not.
    pub fn check(&self) -> Result<(), ModelError> {
        check_range("min_accuracy", self.min_accuracy, [0.0, 1.0])?;
        check_range("min_macro_f1", self.min_macro_f1, [0.0, 1.0])?;
        check_range("min_class_recall", self.min_class_recall, [0.0, 1.0])?;
        check_range(
            "max_calibration_error",
            self.max_calibration_error,
            [0.0, 1.0],
        )?;
        check_range("max_latency_ms", self.max_latency_ms, [0.0, 1e9])?;
        check_range("max_champion_risk", self.max_champion_risk, [0.0, 1.0])
    }
}

/// What was found for each criterion, and what follows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GateDecision {
    /// Whether all criteria hold.
    pub accepted: bool,
    /// The criteria in a fixed order; those that ask for nothing are left out.
    pub checks: Vec<GateCheck>,
    /// The comparison with the champion, if there was one.
    pub champion: Option<PairedComparison>,
}

/// One criterion.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GateCheck {
    /// The setting's name, or a word for what no setting is about.
    pub criterion: String,
    /// Whether it holds.
    pub holds: bool,
    /// What was wanted and what was found, in a sentence.
    pub reason: String,
}

/// A new model beside the champion on the same clips.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PairedComparison {
    /// How many clips both were asked.
    pub n_clips: usize,
    /// How many independent groups these belong to.
    pub n_groups: usize,
    /// The new model's macro-F1 on them.
    pub macro_f1: f64,
    /// The champion's macro-F1 on them.
    pub champion_macro_f1: f64,
    /// Where the difference, new less champion, lies in most resamples.
    pub interval: Option<Interval>,
    /// The share of resamples in which the new model is worse, ties by half.
    pub probability_worse: f64,
}

/// Compares two models by a paired bootstrap: each resample draws groups of
/// clips and asks both models about the same ones (Efron and Tibshirani 1993,
/// chapter 8), so that hard clips count against both.
///
/// Each row of `probabilities` and `champion` belongs to one clip; `truth` and
/// `groups` name its class and its group.
///
/// # Panics
///
/// If the four differ in length, or a class is out of range.
pub fn compare(
    truth: &[usize],
    groups: &[usize],
    probabilities: &[Vec<f32>],
    champion: &[Vec<f32>],
    config: &BootstrapConfig,
) -> PairedComparison {
    assert_eq!(truth.len(), groups.len(), "one group per clip");
    assert_eq!(truth.len(), probabilities.len(), "one row per clip");
    assert_eq!(truth.len(), champion.len(), "one row per clip");
    let n_classes = probabilities.first().map_or(0, Vec::len);
    let macro_f1 = |rows: &[Vec<f32>], multiplicity: &[u32]| {
        let mut matrix = ConfusionMatrix::empty(n_classes);
        for ((row, &truth), &n) in rows.iter().zip(truth).zip(multiplicity) {
            matrix.add(truth, best_class(row), u64::from(n));
        }
        AveragedScores::macro_average(&matrix.per_class()).f1
    };
    let units = Units::groups(groups);
    let resamples = resample(&units, config, |multiplicity| {
        let ours = macro_f1(probabilities, multiplicity);
        vec![Some(ours - macro_f1(champion, multiplicity))]
    });
    let worse: f64 = resamples
        .iter()
        .filter_map(|resample| resample[0])
        .map(|difference| match difference {
            d if d < 0.0 => 1.0,
            d if d > 0.0 => 0.0,
            _ => 0.5,
        })
        .sum();
    let once = vec![1; truth.len()];
    PairedComparison {
        n_clips: truth.len(),
        n_groups: units.len(),
        macro_f1: macro_f1(probabilities, &once),
        champion_macro_f1: macro_f1(champion, &once),
        interval: interval_of(&resamples, 0, config.confidence),
        probability_worse: worse / resamples.len().max(1) as f64,
    }
}

/// Holds a model against the criteria.
///
/// `latency_ms` is the time to classify one window; `champion` the comparison
/// with the model in use, where there is one.
pub fn decide(
    config: &GateConfig,
    evaluation: &Evaluation,
    latency_ms: f64,
    champion: Option<PairedComparison>,
) -> GateDecision {
    let mut checks = Vec::new();
    let mut at_least = |criterion: &str, what: &str, wanted: f64, found: f64| {
        if wanted > 0.0 {
            checks.push(GateCheck {
                criterion: criterion.to_owned(),
                holds: found >= wanted,
                reason: format!("{what} is {found:.3}, at least {wanted} is wanted"),
            });
        }
    };
    at_least(
        "min_accuracy",
        "accuracy",
        config.min_accuracy,
        evaluation.accuracy,
    );
    at_least(
        "min_macro_f1",
        "macro-F1",
        config.min_macro_f1,
        evaluation.macro_f1,
    );
    let weakest = evaluation
        .per_class
        .iter()
        .filter(|class| class.support > 0)
        .min_by(|a, b| a.recall.total_cmp(&b.recall));
    if let Some(weakest) = weakest {
        at_least(
            "min_class_recall",
            &format!("the least recall, that of `{}`,", weakest.label),
            config.min_class_recall,
            weakest.recall,
        );
    }
    if config.max_calibration_error < 1.0 {
        let found = evaluation.expected_calibration_error;
        checks.push(GateCheck {
            criterion: "max_calibration_error".to_owned(),
            holds: found <= config.max_calibration_error,
            reason: format!(
                "the expected calibration error is {found:.3}, at most {} is wanted",
                config.max_calibration_error
            ),
        });
    }
    if config.max_latency_ms > 0.0 {
        checks.push(GateCheck {
            criterion: "max_latency_ms".to_owned(),
            holds: latency_ms <= config.max_latency_ms,
            reason: format!(
                "one window takes {latency_ms:.1} ms, at most {} is wanted",
                config.max_latency_ms
            ),
        });
    }
    checks.extend(
        champion
            .as_ref()
            .and_then(|champion| rivalry(config, evaluation, champion)),
    );
    GateDecision {
        accepted: checks.iter().all(|check| check.holds),
        checks,
        champion,
    }
}

fn rivalry(
    config: &GateConfig,
    evaluation: &Evaluation,
    champion: &PairedComparison,
) -> Option<GateCheck> {
    if config.max_champion_risk >= 1.0 {
        return None;
    }
    let n_tested = evaluation.n_groups.unwrap_or(evaluation.n_clips);
    let wanted = config.min_unseen.min(n_tested);
    if champion.n_groups < wanted {
        return Some(GateCheck {
            criterion: MIN_UNSEEN.to_owned(),
            holds: false,
            reason: format!(
                "new to both models: {} of the {n_tested} independent recordings tested here, at least {wanted} are wanted; too few to show that the new model is not worse, so that the champion stays",
                champion.n_groups
            ),
        });
    }
    Some(GateCheck {
        criterion: "max_champion_risk".to_owned(),
        holds: champion.probability_worse <= config.max_champion_risk,
        reason: format!(
            "macro-F1 is {:.3}, the champion's {:.3} on the same {} clips that are new to both ({} independent): worse with probability {:.2}, at most {} is wanted",
            champion.macro_f1,
            champion.champion_macro_f1,
            champion.n_clips,
            champion.n_groups,
            champion.probability_worse,
            config.max_champion_risk
        ),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::labels::LabelSet;

    /// Probabilities that give each clip the class of the list.
    fn votes(classes: &[usize]) -> Vec<Vec<f32>> {
        let row = |&class: &usize| (0..2).map(|c| if c == class { 0.8 } else { 0.2 }).collect();
        classes.iter().map(row).collect()
    }

    fn compared(ours: &[usize], champion: &[usize]) -> PairedComparison {
        let truth: Vec<usize> = (0..ours.len()).map(|i| i % 2).collect();
        let groups: Vec<usize> = (0..ours.len()).collect();
        compare(
            &truth,
            &groups,
            &votes(ours),
            &votes(champion),
            &BootstrapConfig::default(),
        )
    }

    /// 40 clips of two classes, of which the first `n_wrong` are mistaken.
    fn answers(n_wrong: usize) -> Vec<usize> {
        (0..40)
            .map(|i| if i < n_wrong { 1 - i % 2 } else { i % 2 })
            .collect()
    }

    fn evaluation(n_wrong: usize) -> Evaluation {
        let labels = LabelSet::new(["frog", "owl"]).unwrap();
        let truth: Vec<usize> = (0..40).map(|i| i % 2).collect();
        let options = crate::EvaluationOptions {
            bootstrap: None,
            ..Default::default()
        };
        crate::evaluate(&labels, &truth, &votes(&answers(n_wrong)), &options).unwrap()
    }

    #[test]
    fn a_model_is_as_good_as_itself() {
        let comparison = compared(&answers(8), &answers(8));
        assert_eq!(comparison.probability_worse, 0.5);
        assert_eq!(
            comparison.interval,
            Some(Interval {
                low: 0.0,
                high: 0.0
            })
        );
    }

    #[test]
    fn many_more_mistakes_are_worse_and_fewer_are_better() {
        assert!(compared(&answers(16), &answers(2)).probability_worse > 0.99);
        assert!(compared(&answers(2), &answers(16)).probability_worse < 0.01);
    }

    #[test]
    fn clips_of_one_group_are_one_piece_of_evidence() {
        let truth: Vec<usize> = (0..40).map(|i| i % 2).collect();
        let (ours, champion) = (votes(&answers(4)), votes(&answers(0)));
        let config = BootstrapConfig::default();
        let spread = |groups: &[usize]| {
            let interval = compare(&truth, groups, &ours, &champion, &config).interval;
            interval
                .map(|interval| interval.high - interval.low)
                .unwrap()
        };
        let alone: Vec<usize> = (0..40).collect();
        let fours: Vec<usize> = (0..40).map(|i| i / 4).collect();
        assert!(spread(&fours) > 1.5 * spread(&alone));
    }

    #[test]
    fn the_defaults_let_a_first_model_pass() {
        let decision = decide(&GateConfig::default(), &evaluation(20), 5.0, None);
        assert!(decision.accepted && decision.checks.is_empty());
    }

    #[track_caller]
    fn check_refused(config: GateConfig, criterion: &str) {
        let champion = compared(&answers(10), &answers(0));
        let decision = decide(&config, &evaluation(10), 5.0, Some(champion));
        let failed: Vec<&str> = decision
            .checks
            .iter()
            .filter(|check| !check.holds)
            .map(|check| check.criterion.as_str())
            .collect();
        assert!(!decision.accepted);
        assert_eq!(failed, [criterion]);
    }

    #[test]
    fn each_criterion_can_refuse_on_its_own() {
        let lenient = || GateConfig {
            max_champion_risk: 1.0,
            ..GateConfig::default()
        };
        check_refused(
            GateConfig {
                min_accuracy: 0.76,
                ..lenient()
            },
            "min_accuracy",
        );
        check_refused(
            GateConfig {
                min_macro_f1: 0.76,
                ..lenient()
            },
            "min_macro_f1",
        );
        check_refused(
            GateConfig {
                min_class_recall: 0.8,
                ..lenient()
            },
            "min_class_recall",
        );
        check_refused(
            GateConfig {
                max_calibration_error: 0.01,
                ..lenient()
            },
            "max_calibration_error",
        );
        check_refused(
            GateConfig {
                max_latency_ms: 4.0,
                ..lenient()
            },
            "max_latency_ms",
        );
        check_refused(GateConfig::default(), "max_champion_risk");
    }

    #[test]
    fn a_comparison_on_too_few_clips_leaves_the_champion_in_its_place() {
        // Three of 40 were seen by neither, and the new model is right about more of them.
        let few = compared(&[0, 1, 0], &[0, 0, 1]);
        assert!(few.probability_worse < 0.5);
        let config = GateConfig::default();
        let decision = decide(&config, &evaluation(0), 5.0, Some(few.clone()));
        assert!(!decision.accepted);
        assert_eq!(decision.checks[0].criterion, MIN_UNSEEN);
        let reason = &decision.checks[0].reason;
        assert!(reason.contains("3 of the 40"), "{reason}");
        let any = GateConfig {
            min_unseen: 3,
            ..config.clone()
        };
        assert!(decide(&any, &evaluation(0), 5.0, Some(few.clone())).accepted);
        // All that a small collection has to test on are enough.
        let small = Evaluation {
            n_groups: Some(3),
            ..evaluation(0)
        };
        assert!(decide(&config, &small, 5.0, Some(few)).accepted);
    }

    #[test]
    fn what_is_fulfilled_is_said_too() {
        let config = GateConfig {
            min_accuracy: 0.75,
            max_latency_ms: 5.0,
            ..GateConfig::default()
        };
        let decision = decide(&config, &evaluation(10), 5.0, None);
        assert!(decision.accepted);
        assert_eq!(
            decision.checks[0].reason,
            "accuracy is 0.750, at least 0.75 is wanted"
        );
    }

    #[test]
    fn settings_out_of_range_are_named() {
        let config = GateConfig {
            min_accuracy: 90.0,
            ..GateConfig::default()
        };
        let error = config.check().unwrap_err().to_string();
        assert!(error.contains("min_accuracy"), "{error}");
    }
}
