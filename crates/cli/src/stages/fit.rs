//! One division's network put to the test: calibrated on the validation part,
//! its test part scored once.

use anyhow::Result;
use biophony_dataset::Part;
use biophony_model::calibrate::threshold::threshold_for_precision;
use biophony_model::calibrate::{TemperatureFit, calibrated, fit_temperature};
use biophony_model::metrics::best_class;
use biophony_model::{
    Calibration, Example, FrontEnd, LabelSet, PrecisionThreshold, Trained, score,
};

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
}

impl Workbench<'_> {
    /// Calibrates and tests the network that was trained on a division.
    pub(crate) fn fit(&self, division: Division, trained: Trained) -> Result<Fit> {
        let validation: Vec<Example> = self
            .examples
            .iter()
            .zip(&division.parts)
            .filter(|(_, part)| **part == Part::Validation)
            .map(|(example, _)| example.clone())
            .collect();
        let calibration = self.calibrate(&trained, &validation)?;
        let test = self.test(&trained, &calibration, &division)?;
        Ok(Fit {
            division,
            trained,
            calibration,
            test,
        })
    }

    /// Fits temperature and thresholds on the validation part.
    fn calibrate(&self, trained: &Trained, validation: &[Example]) -> Result<Calibration> {
        if validation.is_empty() {
            return Ok(Calibration::default());
        }
        let truth: Vec<usize> = validation.iter().map(|example| example.label).collect();
        let scores = self.score(trained, validation)?;
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
        Ok(Calibration {
            temperature,
            threshold,
            thresholds,
        })
    }

    fn test(
        &self,
        trained: &Trained,
        calibration: &Calibration,
        division: &Division,
    ) -> Result<Vec<Tested>> {
        let recordings: Vec<usize> = (0..division.parts.len())
            .filter(|&recording| division.parts[recording] == Part::Test)
            .collect();
        let examples: Vec<Example> = recordings
            .iter()
            .map(|&recording| self.examples[recording].clone())
            .collect();
        let scores = self.score(trained, &examples)?;
        let tested = recordings
            .into_iter()
            .zip(scores)
            .map(|(recording, scores)| {
                let probabilities = calibrated(&scores, calibration.temperature);
                Tested {
                    recording,
                    scores,
                    probabilities,
                }
            });
        Ok(tested.collect())
    }

    fn score(&self, trained: &Trained, examples: &[Example]) -> Result<Vec<Vec<f32>>> {
        Ok(score(
            &trained.network,
            &trained.normalizer,
            self.front_end,
            examples,
        )?)
    }
}
