//! Networks put to the test: each calibrated on recordings that it was not
//! trained on and is not judged by, its test part scored once.
//!
//! What a network is calibrated on is its validation part. Folds that have none
//! are calibrated on each other's test parts, which leaves them more to learn from:
//! a temperature found with the networks of the other folds suits one that was
//! trained alike on nearly the same recordings, and its own test part stays
//! untouched.

use anyhow::Result;
use biophony_dataset::Part;
use biophony_model::calibrate::threshold::threshold_for_precision;
use biophony_model::calibrate::{TemperatureFit, calibrated, fit_temperature};
use biophony_model::metrics::best_class;
use biophony_model::{
    Calibration, Example, FrontEnd, LabelSet, PrecisionThreshold, Trained, score,
};
use biophony_pipeline::StepContext;

use super::split::Division;
use crate::settings::Settings;

/// The precisions for which thresholds are worked out, besides the one set.
const WANTED_PRECISIONS: [f64; 4] = [0.8, 0.9, 0.95, 0.99];

/// What came of one division.
pub(crate) struct Fit {
    pub(crate) division: Division,
    pub(crate) trained: Trained,
    pub(crate) calibration: Calibration,
    pub(crate) test: Vec<Tested>,
}

/// One recording of the test part.
pub(crate) struct Tested {
    /// The recording, as an index into the usable ones.
    pub(crate) recording: usize,
    /// What the network says.
    pub(crate) scores: Vec<f32>,
    /// The same after temperature scaling.
    pub(crate) probabilities: Vec<f32>,
}

impl Tested {
    /// The class with the greatest probability.
    pub(crate) fn best(&self) -> usize {
        best_class(&self.probabilities)
    }
}

/// What every division of a run shares.
pub(crate) struct Workbench<'a> {
    pub(crate) settings: &'a Settings,
    pub(crate) labels: &'a LabelSet,
    pub(crate) front_end: &'a FrontEnd,
    pub(crate) examples: &'a [Example],
    pub(crate) context: &'a StepContext,
}

/// A network and what it says of recordings that it was not trained on.
struct Scored {
    division: Division,
    trained: Trained,
    validation: Vec<Answer>,
    test: Vec<Answer>,
}

/// What a network says of one recording, before calibration.
struct Answer {
    recording: usize,
    scores: Vec<f32>,
}

impl Workbench<'_> {
    /// Calibrates and tests networks whose test parts are judged together.
    pub(crate) fn fit(&self, networks: Vec<(Division, Trained)>) -> Result<Vec<Fit>> {
        let scored: Vec<Scored> = networks
            .into_iter()
            .map(|(division, trained)| self.score(division, trained))
            .collect::<Result<_>>()?;
        let calibrations: Vec<Calibration> = (0..scored.len())
            .map(|place| self.calibrate(&evidence(&scored, place)))
            .collect();
        let fits = scored.into_iter().zip(calibrations);
        Ok(fits
            .map(|(scored, calibration)| scored.fit(calibration))
            .collect())
    }

    /// Calibrates a network that is not judged itself, if it has no validation part
    /// by what the judged networks say of their test parts.
    pub(crate) fn fit_deployed(
        &self,
        division: Division,
        trained: Trained,
        judged: &[Fit],
    ) -> Result<Fit> {
        let scored = self.score(division, trained)?;
        let calibration = if scored.validation.is_empty() {
            let tested = judged.iter().flat_map(|fit| &fit.test);
            let answers = tested.map(|tested| (tested.recording, &tested.scores[..]));
            self.calibrate(&answers.collect::<Vec<_>>())
        } else {
            self.calibrate(&pairs(&scored.validation).collect::<Vec<_>>())
        };
        Ok(scored.fit(calibration))
    }

    fn score(&self, division: Division, trained: Trained) -> Result<Scored> {
        Ok(Scored {
            validation: self.ask(&trained, &division, Part::Validation)?,
            test: self.ask(&trained, &division, Part::Test)?,
            division,
            trained,
        })
    }

    /// What a network says of one part.
    fn ask(&self, trained: &Trained, division: &Division, part: Part) -> Result<Vec<Answer>> {
        // The longest thing that is done without looking up.
        self.context.check()?;
        let recordings: Vec<usize> = (0..division.parts.len())
            .filter(|&recording| division.parts[recording] == part)
            .collect();
        let examples: Vec<Example> = recordings
            .iter()
            .map(|&recording| self.examples[recording].clone())
            .collect();
        let Trained {
            network,
            normalizer,
            ..
        } = trained;
        let scores = score(network, normalizer, self.front_end, &examples)?;
        let answers = recordings.into_iter().zip(scores);
        Ok(answers
            .map(|(recording, scores)| Answer { recording, scores })
            .collect())
    }

    /// Fits temperature and thresholds to answers: recordings and scores.
    fn calibrate(&self, answers: &[(usize, &[f32])]) -> Calibration {
        if answers.is_empty() {
            return Calibration::default();
        }
        let label = |&(recording, _): &(usize, &[f32])| self.examples[recording].label;
        let truth: Vec<usize> = answers.iter().map(label).collect();
        let scores: Vec<Vec<f32>> = answers.iter().map(|(_, scores)| scores.to_vec()).collect();
        let TemperatureFit { temperature, .. } = fit_temperature(&truth, &scores);
        let probabilities: Vec<Vec<f32>> = scores
            .iter()
            .map(|scores| calibrated(scores, temperature))
            .collect();

        let set = self.settings.evaluate.precision;
        let mut wanted = WANTED_PRECISIONS.to_vec();
        if set > 0.0 && !wanted.contains(&set) {
            wanted.push(set);
            wanted.sort_by(f64::total_cmp);
        }
        let thresholds: Vec<PrecisionThreshold> = wanted
            .into_iter()
            .map(|wanted_precision| PrecisionThreshold {
                wanted_precision,
                search: threshold_for_precision(wanted_precision, &truth, &probabilities),
            })
            .collect();
        let threshold = thresholds
            .iter()
            .find(|one| set > 0.0 && one.wanted_precision == set)
            .and_then(|one| one.search.threshold());
        Calibration {
            temperature,
            threshold,
            thresholds,
        }
    }
}

/// What the network at one place may be calibrated on: its validation part, or the
/// test parts of all others.
fn evidence(scored: &[Scored], place: usize) -> Vec<(usize, &[f32])> {
    let own = &scored[place];
    if !own.validation.is_empty() {
        return pairs(&own.validation).collect();
    }
    let others = scored
        .iter()
        .enumerate()
        .filter(|&(other, _)| other != place);
    others.flat_map(|(_, other)| pairs(&other.test)).collect()
}

fn pairs(answers: &[Answer]) -> impl Iterator<Item = (usize, &[f32])> {
    answers
        .iter()
        .map(|answer| (answer.recording, &answer.scores[..]))
}

impl Scored {
    fn fit(self, calibration: Calibration) -> Fit {
        let test = self.test.into_iter().map(|answer| Tested {
            recording: answer.recording,
            probabilities: calibrated(&answer.scores, calibration.temperature),
            scores: answer.scores,
        });
        Fit {
            test: test.collect(),
            division: self.division,
            trained: self.trained,
            calibration,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::sample;
    use super::*;

    fn scored(validation: &[usize], test: &[usize]) -> Scored {
        let answers = |recordings: &[usize]| {
            let answer = |&recording: &usize| Answer {
                recording,
                scores: vec![0.5, 0.5],
            };
            recordings.iter().map(answer).collect()
        };
        Scored {
            division: Division {
                name: String::new(),
                parts: Vec::new(),
            },
            trained: sample::trained(),
            validation: answers(validation),
            test: answers(test),
        }
    }

    #[track_caller]
    fn check_evidence(networks: &[(&[usize], &[usize])], expected: &[&[usize]]) {
        let networks: Vec<Scored> = networks
            .iter()
            .map(|(validation, test)| scored(validation, test))
            .collect();
        for (place, expected) in expected.iter().enumerate() {
            let found = evidence(&networks, place);
            let found: Vec<usize> = found.iter().map(|(recording, _)| *recording).collect();
            assert_eq!(found, *expected, "network {place}");
        }
    }

    #[test]
    fn a_validation_part_calibrates_its_own_network() {
        check_evidence(&[(&[0, 1], &[2, 3]), (&[2], &[0, 1])], &[&[0, 1], &[2]]);
    }

    #[test]
    fn without_one_folds_are_calibrated_on_the_test_parts_of_the_others() {
        let folds: [(&[usize], &[usize]); 3] = [(&[], &[0]), (&[], &[1, 2]), (&[], &[3])];
        check_evidence(&folds, &[&[1, 2, 3], &[0, 3], &[0, 1, 2]]);
    }

    #[test]
    fn one_network_alone_without_one_is_not_calibrated() {
        check_evidence(&[(&[], &[0, 1])], &[&[]]);
    }
}
