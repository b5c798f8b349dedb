//! The networks of a run before they are judged: how far they were trained, and which
//! of them there is something to say about.
//!
//! Only what the user stopped is left out here; networks are judged in
//! [`super::judgement`].

use anyhow::{Result, ensure};
use biophony_model::{StopReason, Trained};

use super::split::Division;

/// Each division with the network that was trained on it.
pub(super) struct Trainings {
    pub(super) judged: Vec<(Division, Trained)>,
    pub(super) naive: Vec<(Division, Trained)>,
    /// At most one.
    pub(super) deployed: Vec<(Division, Trained)>,
}

impl Trainings {
    /// How far each network was trained, as a sentence without its full stop; none if
    /// all were trained to their end.
    pub(super) fn stopped_early(&self, epochs: usize) -> Option<String> {
        let all = || self.judged.iter().chain(&self.naive).chain(&self.deployed);
        all().find(|(_, trained)| is_stopped(trained))?;
        let told = all().map(|(division, trained)| {
            let name = &division.name;
            match trained.history.len() {
                _ if !is_stopped(trained) => format!("{name} is done"),
                0 => format!("{name} has no whole epoch"),
                n => format!("{name} has {n} of {epochs} epochs"),
            }
        });
        Some(format!(
            "Training was stopped early: {}",
            told.collect::<Vec<_>>().join(", ")
        ))
    }

    /// Those that have learned something. Figures of a random split are for comparison,
    /// which says nothing where one side was stopped.
    ///
    /// # Errors
    ///
    /// When there is nothing to judge.
    pub(super) fn that_count(mut self) -> Result<Self> {
        let mut compared = self.judged.iter().chain(&self.naive);
        if compared.any(|(_, trained)| is_stopped(trained)) {
            self.naive.clear();
        }
        for networks in [&mut self.judged, &mut self.deployed] {
            networks.retain(|(_, trained)| trained.kept_epochs.any());
        }
        ensure!(
            !self.judged.is_empty(),
            "stopped before an epoch ended, so that there is nothing to judge; the same command goes on from here"
        );
        Ok(self)
    }
}

fn is_stopped(trained: &Trained) -> bool {
    trained.stopped == StopReason::Interrupted
}

#[cfg(test)]
mod tests {
    use biophony_model::{EpochRecord, KeptEpochs};

    use super::super::sample;
    use super::*;

    /// A network that was stopped after so many epochs, or trained for all 3.
    fn network(name: &str, epochs: usize) -> (Division, Trained) {
        let record = |epoch| EpochRecord {
            epoch,
            learning_rate: 0.1,
            train_loss: 1.0,
            train_accuracy: 0.5,
            validation: None,
        };
        let division = Division {
            name: name.to_owned(),
            parts: Vec::new(),
        };
        let trained = Trained {
            history: (1..=epochs).map(record).collect(),
            kept_epochs: KeptEpochs::one(epochs),
            stopped: match epochs {
                3 => StopReason::Finished,
                _ => StopReason::Interrupted,
            },
            ..sample::trained()
        };
        (division, trained)
    }

    fn folds(epochs: [usize; 3]) -> Trainings {
        let [first, second, last] = epochs;
        Trainings {
            judged: vec![network("fold-1", first), network("fold-2", second)],
            naive: vec![network("naive-fold-1", first)],
            deployed: vec![network("final", last)],
        }
    }

    fn names(networks: &[(Division, Trained)]) -> Vec<&str> {
        networks
            .iter()
            .map(|(division, _)| &division.name[..])
            .collect()
    }

    #[test]
    fn folds_without_a_whole_epoch_are_not_judged() {
        let trainings = folds([2, 0, 0]);
        assert_eq!(
            trainings.stopped_early(3).unwrap(),
            "Training was stopped early: fold-1 has 2 of 3 epochs, fold-2 has no whole epoch, \
             naive-fold-1 has 2 of 3 epochs, final has no whole epoch"
        );
        let trainings = trainings.that_count().unwrap();
        assert_eq!(names(&trainings.judged), ["fold-1"]);
        assert!(trainings.naive.is_empty() && trainings.deployed.is_empty());
        assert!(folds([0, 0, 0]).that_count().is_err());
    }

    #[test]
    fn what_was_trained_to_its_end_counts_without_a_word() {
        assert_eq!(folds([3, 3, 3]).stopped_early(3), None);
        let trainings = folds([3, 3, 3]).that_count().unwrap();
        assert_eq!(names(&trainings.judged), ["fold-1", "fold-2"]);
        assert_eq!(names(&trainings.naive), ["naive-fold-1"]);
        let last = folds([3, 3, 1]);
        assert!(last.stopped_early(3).unwrap().contains("fold-2 is done, "));
        let last = last.that_count().unwrap();
        assert_eq!(names(&last.naive), ["naive-fold-1"]);
        assert_eq!(names(&last.deployed), ["final"]);
    }
}
