//! The probability from which on a label is accepted, worked out for a wanted
//! precision.
//!
//! A clip is accepted when its best calibrated probability reaches the
//! threshold, and is called unknown otherwise. Work the threshold out on the
//! validation part: on the training part it comes out too low, and on the test
//! part it spoils the test.

use serde::{Deserialize, Serialize};

use crate::metrics::best_class;

/// What came of looking for a threshold.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum ThresholdSearch {
    /// The lowest threshold, accepting the most clips, that keeps the precision.
    Reached(OperatingPoint),
    /// No threshold keeps it. The best that can be had, if there are clips.
    OutOfReach {
        /// The most precise threshold; of several, the one accepting most clips.
        best: Option<OperatingPoint>,
    },
}

/// What accepting from a threshold on amounts to, on the clips it came from.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct OperatingPoint {
    /// Clips whose best probability is at least this are accepted.
    pub threshold: f32,
    /// The share of accepted clips that is recognized.
    pub precision: f64,
    /// The share of clips that is accepted.
    pub coverage: f64,
    /// How many clips are accepted; a precision from few clips means little.
    pub n_accepted: usize,
}

impl ThresholdSearch {
    /// The threshold, where one was found.
    pub fn threshold(&self) -> Option<f32> {
        match self {
            Self::Reached(point) => Some(point.threshold),
            Self::OutOfReach { .. } => None,
        }
    }
}

/// Looks for the lowest threshold at which at least `wanted` (0 to 1) of the
/// accepted clips are recognized.
///
/// # Panics
///
/// If a clip has no probabilities.
pub fn threshold_for_precision(
    wanted: f64,
    truth: &[usize],
    probabilities: &[Vec<f32>],
) -> ThresholdSearch {
    let points = operating_points(truth, probabilities);
    if let Some(&point) = points.iter().rev().find(|point| point.precision >= wanted) {
        return ThresholdSearch::Reached(point);
    }
    // `max_by` keeps the last of equals, which accepts the most clips.
    let best = points
        .into_iter()
        .max_by(|a, b| a.precision.total_cmp(&b.precision));
    ThresholdSearch::OutOfReach { best }
}

/// Every distinct way to draw the line, from the highest threshold down.
pub fn operating_points(truth: &[usize], probabilities: &[Vec<f32>]) -> Vec<OperatingPoint> {
    let mut clips: Vec<(f32, bool)> = truth
        .iter()
        .zip(probabilities)
        .map(|(&class, row)| (row[best_class(row)], best_class(row) == class))
        .collect();
    clips.sort_by(|a, b| b.0.total_cmp(&a.0));

    let mut n_right = 0;
    let mut points = Vec::new();
    for (index, &(threshold, is_right)) in clips.iter().enumerate() {
        n_right += usize::from(is_right);
        // Clips of equal probability are accepted together.
        if clips.get(index + 1).is_some_and(|next| next.0 == threshold) {
            continue;
        }
        let n_accepted = index + 1;
        points.push(OperatingPoint {
            threshold,
            precision: n_right as f64 / n_accepted as f64,
            coverage: n_accepted as f64 / clips.len() as f64,
            n_accepted,
        });
    }
    points
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Looks among clips given as best probability and whether it is right.
    fn search(wanted: f64, clips: &[(f32, bool)]) -> ThresholdSearch {
        let truth: Vec<usize> = clips
            .iter()
            .map(|&(_, is_right)| usize::from(!is_right))
            .collect();
        let rows: Vec<Vec<f32>> = clips
            .iter()
            .map(|&(best, _)| vec![best, 1.0 - best])
            .collect();
        threshold_for_precision(wanted, &truth, &rows)
    }

    const CLIPS: [(f32, bool); 5] = [
        (0.95, true),
        (0.9, false),
        (0.8, true),
        (0.7, true),
        (0.6, false),
    ];

    #[test]
    fn the_lowest_threshold_that_keeps_the_precision_is_taken() {
        // From the top the precision is 1, 1/2, 2/3, 3/4, 3/5.
        assert_eq!(search(0.75, &CLIPS).threshold(), Some(0.7));
        assert_eq!(search(0.76, &CLIPS).threshold(), Some(0.95));
        assert_eq!(search(0.5, &CLIPS).threshold(), Some(0.6));
    }

    #[test]
    fn clips_of_equal_probability_are_accepted_together() {
        let clips = [(0.9, true), (0.9, false)];
        let ThresholdSearch::OutOfReach { best: Some(best) } = search(0.9, &clips) else {
            panic!("no threshold parts equal probabilities");
        };
        assert_eq!((best.precision, best.n_accepted), (0.5, 2));
    }

    #[test]
    fn a_precision_out_of_reach_comes_with_the_best_there_is() {
        let clips = [(0.9, false), (0.8, true), (0.7, true)];
        let found = search(0.9, &clips);
        assert_eq!(found.threshold(), None);
        let ThresholdSearch::OutOfReach { best: Some(best) } = found else {
            panic!("{found:?}")
        };
        assert_eq!((best.threshold, best.n_accepted), (0.7, 3));
    }

    #[test]
    fn without_clips_nothing_can_be_reached() {
        assert_eq!(search(0.5, &[]), ThresholdSearch::OutOfReach { best: None });
    }

    #[test]
    fn the_outcome_survives_json() {
        for found in [search(0.75, &CLIPS), search(0.9, &[])] {
            let json = serde_json::to_string(&found).unwrap();
            assert_eq!(
                serde_json::from_str::<ThresholdSearch>(&json).unwrap(),
                found
            );
        }
    }
}
