//! Percentile bootstrap: how far a figure would wander had other recordings
//! been drawn.
//!
//! What is drawn anew, with replacement, is the *unit*: the group where groups
//! are known (copies, near copies, pieces of one recording), the clip otherwise.
//! Clips of one group stand or fall together, so that drawing them singly would
//! pretend to more evidence than there is and give intervals that are too
//! narrow.
//!
//! What is computed from a resample is the caller's: see [`crate::evaluate`](mod@crate::evaluate).

use std::collections::BTreeMap;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

/// How intervals are drawn.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct BootstrapConfig {
    /// How many resamples.
    pub n_resamples: usize,
    /// The share of resamples inside an interval, between 0 and 1.
    pub confidence: f64,
    /// Two runs with one seed draw the same resamples, at any thread count.
    pub seed: u64,
}

impl Default for BootstrapConfig {
    fn default() -> Self {
        Self {
            n_resamples: 1000,
            confidence: 0.95,
            seed: 0,
        }
    }
}

/// Where a figure lies in most resamples.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Interval {
    /// The lower percentile.
    pub low: f64,
    /// The upper percentile.
    pub high: f64,
}

/// What is drawn as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ResamplingUnit {
    /// Each clip on its own.
    Clip,
    /// All clips of a group together.
    Group,
}

/// The units that can be drawn: for each, the clips that come with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Units {
    clips_of: Vec<Vec<usize>>,
    n_clips: usize,
}

impl Units {
    /// Every clip is a unit of its own.
    pub fn clips(n_clips: usize) -> Self {
        Self {
            clips_of: (0..n_clips).map(|clip| vec![clip]).collect(),
            n_clips,
        }
    }

    /// Clips with equal group numbers form a unit.
    pub fn groups(groups: &[usize]) -> Self {
        let mut clips_of: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        for (clip, &group) in groups.iter().enumerate() {
            clips_of.entry(group).or_default().push(clip);
        }
        Self {
            clips_of: clips_of.into_values().collect(),
            n_clips: groups.len(),
        }
    }

    /// How many units there are.
    pub fn len(&self) -> usize {
        self.clips_of.len()
    }

    /// Whether there is nothing to draw.
    pub fn is_empty(&self) -> bool {
        self.clips_of.is_empty()
    }

    /// Draws as many units as there are; returns how often each clip came up.
    fn draw(&self, rng: &mut ChaCha8Rng) -> Vec<u32> {
        let mut multiplicity = vec![0; self.n_clips];
        for _ in 0..self.len() {
            for &clip in &self.clips_of[rng.random_range(0..self.len())] {
                multiplicity[clip] += 1;
            }
        }
        multiplicity
    }
}

/// Percentile intervals of several figures at once.
///
/// `figures` computes them from how often each clip was drawn, always as many
/// and in the same order; `None` where a figure is not defined on the resample.
/// An interval is `None` when there are fewer than two units or its figure is
/// defined on fewer than half of the resamples.
pub fn intervals(
    units: &Units,
    config: &BootstrapConfig,
    figures: impl Fn(&[u32]) -> Vec<Option<f64>> + Sync,
) -> Vec<Option<Interval>> {
    let n_figures = figures(&vec![1; units.n_clips]).len();
    if units.len() < 2 {
        return vec![None; n_figures];
    }
    let resamples = resample(units, config, figures);
    (0..n_figures)
        .map(|figure| interval_of(&resamples, figure, config.confidence))
        .collect()
}

/// The figures of every resample: what [`intervals`] are taken from.
pub(crate) fn resample(
    units: &Units,
    config: &BootstrapConfig,
    figures: impl Fn(&[u32]) -> Vec<Option<f64>> + Sync,
) -> Vec<Vec<Option<f64>>> {
    (0..config.n_resamples)
        .into_par_iter()
        .map(|index| {
            let mut rng = ChaCha8Rng::seed_from_u64(config.seed);
            rng.set_stream(index as u64);
            figures(&units.draw(&mut rng))
        })
        .collect()
}

/// Where one figure lies in most resamples.
pub(crate) fn interval_of(
    resamples: &[Vec<Option<f64>>],
    figure: usize,
    confidence: f64,
) -> Option<Interval> {
    let mut values: Vec<f64> = resamples
        .iter()
        .filter_map(|resample| resample[figure])
        .collect();
    if values.is_empty() || 2 * values.len() < resamples.len() {
        return None;
    }
    values.sort_by(f64::total_cmp);
    let tail = ((1.0 - confidence) / 2.0).clamp(0.0, 0.5);
    Some(Interval {
        low: quantile(&values, tail),
        high: quantile(&values, 1.0 - tail),
    })
}

/// The quantile of sorted values, linear between neighbors (NumPy's default).
fn quantile(sorted: &[f64], share: f64) -> f64 {
    let place = share * (sorted.len() - 1) as f64;
    let (below, above) = (
        sorted[place.floor() as usize],
        sorted[place.ceil() as usize],
    );
    below + (above - below) * place.fract()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The interval of the share of right clips.
    fn interval_of_share(units: &Units, is_right: &[bool], seed: u64) -> Interval {
        let config = BootstrapConfig {
            seed,
            ..BootstrapConfig::default()
        };
        let share = |multiplicity: &[u32]| {
            let n: u32 = multiplicity.iter().sum();
            let n_right: u32 = multiplicity
                .iter()
                .zip(is_right)
                .map(|(&m, &right)| m * u32::from(right))
                .sum();
            vec![Some(f64::from(n_right) / f64::from(n))]
        };
        intervals(units, &config, share)[0].unwrap()
    }

    #[test]
    fn the_interval_of_a_share_is_the_binomial_one() {
        // 80 of 100: the standard error is 0.04, so about 0.72 to 0.88.
        let is_right: Vec<bool> = (0..100).map(|clip| clip % 5 != 0).collect();
        let interval = interval_of_share(&Units::clips(100), &is_right, 1);
        assert!(
            (interval.low - 0.72).abs() <= 0.015 && (interval.high - 0.88).abs() <= 0.015,
            "{interval:?}"
        );
    }

    #[test]
    fn clips_that_stand_or_fall_together_widen_the_interval() {
        let is_right: Vec<bool> = (0..100).map(|clip| clip / 10 % 5 != 0).collect();
        let groups: Vec<usize> = (0..100).map(|clip| clip / 10).collect();
        let by_clip = interval_of_share(&Units::clips(100), &is_right, 1);
        let by_group = interval_of_share(&Units::groups(&groups), &is_right, 1);
        assert!(by_group.high - by_group.low > 2.0 * (by_clip.high - by_clip.low));
    }

    #[test]
    fn one_seed_gives_one_interval_at_any_thread_count() {
        let config = |seed| BootstrapConfig {
            seed,
            n_resamples: 200,
            ..BootstrapConfig::default()
        };
        let sum_of_places = |multiplicity: &[u32]| {
            let places = multiplicity.iter().enumerate();
            vec![Some(
                places.map(|(place, &n)| place as f64 * f64::from(n)).sum(),
            )]
        };
        let drawn = |seed| intervals(&Units::clips(60), &config(seed), sum_of_places);
        let alone = rayon::ThreadPoolBuilder::new()
            .num_threads(1)
            .build()
            .unwrap();
        assert_eq!(alone.install(|| drawn(7)), drawn(7));
        assert_ne!(drawn(8), drawn(7));
    }

    #[test]
    fn a_single_unit_has_no_interval() {
        let units = Units::groups(&[3, 3, 3]);
        assert_eq!(
            intervals(&units, &BootstrapConfig::default(), |_| vec![Some(1.0)]),
            vec![None]
        );
    }

    #[test]
    fn a_figure_that_is_rarely_defined_has_no_interval() {
        let first_only = |multiplicity: &[u32]| vec![(multiplicity[0] > 2).then_some(1.0)];
        assert_eq!(
            intervals(&Units::clips(10), &BootstrapConfig::default(), first_only),
            vec![None]
        );
    }

    #[test]
    fn quantiles_lie_between_neighbors_as_in_numpy() {
        assert_eq!(quantile(&[1.0, 2.0, 4.0], 0.75), 3.0);
        assert_eq!(quantile(&[5.0], 0.025), 5.0);
    }
}
