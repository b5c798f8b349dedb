//! Figures of merit of one class against the rest that depend on the order of
//! its scores only: average precision and the area under the ROC curve.
//!
//! The clips are sorted once; afterwards each bootstrap resample, given as how
//! often each clip was drawn, costs one pass. Resampling itself lives in
//! [`crate::bootstrap`].

/// The clips in the order of one class's score, from high to low.
#[derive(Debug, Clone)]
pub struct Ranking {
    clips: Vec<RankedClip>,
}

#[derive(Debug, Clone, Copy)]
struct RankedClip {
    clip: usize,
    is_of_class: bool,
    /// Whether the next clip has a lower score. Clips of equal score are
    /// accepted or refused together: no threshold can part them.
    ends_tie: bool,
}

/// Two areas that sum up a ranking. `None` where they are not defined.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RankingScores {
    /// `Σ (Rₙ − Rₙ₋₁) Pₙ` over the distinct thresholds, without interpolation;
    /// undefined without a clip of the class.
    pub average_precision: Option<f64>,
    /// The chance that a clip of the class scores above one of the rest, ties
    /// counting half; undefined unless both kinds occur.
    pub roc_auc: Option<f64>,
}

impl Ranking {
    /// Sorts the clips by their score for `class`.
    ///
    /// # Panics
    ///
    /// If a clip's scores do not reach up to `class`.
    pub fn of_class(class: usize, truth: &[usize], scores: &[Vec<f32>]) -> Self {
        let mut order: Vec<usize> = (0..truth.len().min(scores.len())).collect();
        order.sort_by(|&a, &b| scores[b][class].total_cmp(&scores[a][class]));
        let score_at = |place: usize| order.get(place).map(|&clip| scores[clip][class]);
        let ranked = order.iter().enumerate().map(|(place, &clip)| RankedClip {
            clip,
            is_of_class: truth[clip] == class,
            ends_tie: score_at(place) != score_at(place + 1),
        });
        Self {
            clips: ranked.collect(),
        }
    }

    /// Both areas, each clip counted once.
    pub fn scores(&self) -> RankingScores {
        self.scores_with(|_| 1)
    }

    /// Both areas, clip `i` counted `multiplicity(i)` times.
    pub fn scores_with(&self, multiplicity: impl Fn(usize) -> u32) -> RankingScores {
        // Counts stay below 2⁵³, so the areas are sums of exact products.
        let (mut true_accepts, mut false_accepts) = (0.0, 0.0);
        let (mut true_before, mut false_before) = (0.0, 0.0);
        let (mut precision_area, mut roc_area) = (0.0, 0.0);
        for ranked in &self.clips {
            let n = f64::from(multiplicity(ranked.clip));
            if ranked.is_of_class {
                true_accepts += n;
            } else {
                false_accepts += n;
            }
            let accepts: f64 = true_accepts + false_accepts;
            if !ranked.ends_tie || accepts == true_before + false_before {
                continue;
            }
            precision_area += (true_accepts - true_before) * true_accepts / accepts;
            roc_area += (false_accepts - false_before) * (true_accepts + true_before) / 2.0;
            (true_before, false_before) = (true_accepts, false_accepts);
        }
        let (positives, negatives) = (true_accepts, false_accepts);
        RankingScores {
            average_precision: (positives > 0.0).then(|| precision_area / positives),
            roc_auc: (positives * negatives > 0.0).then(|| roc_area / (positives * negatives)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Ranks clips by one score; `true` marks clips of the class.
    fn ranking(clips: &[(f32, bool)]) -> Ranking {
        let truth: Vec<usize> = clips
            .iter()
            .map(|&(_, is_of_class)| !is_of_class as usize)
            .collect();
        let scores: Vec<Vec<f32>> = clips.iter().map(|&(score, _)| vec![score]).collect();
        Ranking::of_class(0, &truth, &scores)
    }

    #[test]
    fn the_area_under_the_roc_curve_is_the_chance_of_ranking_a_pair_rightly() {
        let clips = [
            (0.9, true),
            (0.8, false),
            (0.8, true),
            (0.3, false),
            (0.3, false),
            (0.1, true),
        ];
        let mut chance = 0.0;
        for (a, _) in clips.iter().filter(|clip| clip.1) {
            for (b, _) in clips.iter().filter(|clip| !clip.1) {
                chance += if a > b {
                    1.0
                } else if a == b {
                    0.5
                } else {
                    0.0
                };
            }
        }
        assert!((ranking(&clips).scores().roc_auc.unwrap() - chance / 9.0).abs() < 1e-12);
    }

    #[test]
    fn drawing_a_clip_twice_is_the_same_as_having_it_twice() {
        let once = [(0.9, false), (0.7, true), (0.7, false), (0.2, true)];
        let twice = [
            (0.9, false),
            (0.7, true),
            (0.7, true),
            (0.7, false),
            (0.2, true),
            (0.2, true),
        ];
        let drawn = ranking(&once).scores_with(|clip| if once[clip].1 { 2 } else { 1 });
        assert_eq!(drawn, ranking(&twice).scores());
    }

    #[test]
    fn a_clip_never_drawn_leaves_no_trace() {
        let clips = [(0.9, false), (0.7, true), (0.4, false)];
        let drawn = ranking(&clips).scores_with(|clip| u32::from(clip != 0));
        assert_eq!(drawn, ranking(&clips[1..]).scores());
    }

    #[test]
    fn a_class_without_clips_has_no_areas() {
        let scores = ranking(&[(0.9, false), (0.1, false)]).scores();
        assert_eq!(
            scores,
            RankingScores {
                average_precision: None,
                roc_auc: None
            }
        );
    }

    #[test]
    fn a_class_of_all_clips_has_average_precision_but_no_roc_curve() {
        let scores = ranking(&[(0.9, true), (0.1, true)]).scores();
        assert_eq!(
            scores,
            RankingScores {
                average_precision: Some(1.0),
                roc_auc: None
            }
        );
    }
}
