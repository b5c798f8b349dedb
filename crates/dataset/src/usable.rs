//! The recordings that can be read, with their classes and groups: what is
//! split, trained on and evaluated.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::error::DatasetError;
use crate::recording::{Part, Recording};
use crate::split::{self, SplitConfig, groups_per_class, split_named};

/// The readable recordings of a data set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Usable<'a> {
    /// The recordings in the order of the data set.
    pub recordings: Vec<&'a Recording>,
    /// Their names, as the audit writes them.
    pub names: Vec<String>,
    /// The classes, sorted.
    pub classes: Vec<String>,
    /// For each recording the number of its class in `classes`.
    pub labels: Vec<usize>,
    /// For each recording the number of its group: copies, near copies and
    /// recordings that share a group in the manifest have the same.
    pub groups: Vec<usize>,
}

/// A class with fewer groups than there are folds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScarceClass {
    /// The class.
    pub label: String,
    /// Its groups; in as many folds it is.
    pub n_groups: usize,
}

/// Recordings that belong together and were assigned to different sides.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Straddle {
    /// The recordings of the group.
    pub names: Vec<String>,
    /// The sides they are on.
    pub sides: Vec<String>,
}

/// The manifest's own split.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ManifestSplit {
    /// The part of each recording.
    pub parts: Vec<Part>,
    /// Groups that it tears apart: figures made with it are too good.
    pub straddling: Vec<Straddle>,
}

/// The manifest's own folds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ManifestFolds {
    /// The names of the folds: in the order of the numbers if all are numbers,
    /// else in that of the alphabet.
    pub names: Vec<String>,
    /// The fold of each recording, as an index into `names`.
    pub fold_of: Vec<usize>,
    /// Groups that they tear apart: figures made with them are too good.
    pub straddling: Vec<Straddle>,
}

impl Usable<'_> {
    /// How many groups there are: so many independent recordings.
    pub fn n_groups(&self) -> usize {
        self.groups.iter().collect::<BTreeSet<_>>().len()
    }

    /// Divides the recordings into training, validation and test; see [`split()`](crate::split()).
    ///
    /// # Errors
    ///
    /// As [`split()`](crate::split()); a class is named.
    pub fn split(&self, config: &SplitConfig) -> Result<Vec<Part>, DatasetError> {
        let name = |class: usize| format!("`{}`", self.classes[class]);
        split_named(&self.labels, &self.groups, config, name)
    }

    /// Divides the recordings into `k` folds; see [`folds`](crate::folds).
    ///
    /// # Errors
    ///
    /// As [`folds`](crate::folds).
    pub fn folds(&self, k: usize, seed: u64) -> Result<Vec<usize>, DatasetError> {
        split::folds(&self.labels, &self.groups, k, seed)
    }

    /// The classes that cannot be in each of `k` folds.
    pub fn scarce_classes(&self, k: usize) -> Vec<ScarceClass> {
        let per_class = groups_per_class(&self.labels, &self.groups)
            .expect("a usable data set has a label and a group per recording");
        let scarce = per_class.into_iter().filter(|&(_, n_groups)| n_groups < k);
        scarce
            .map(|(class, n_groups)| ScarceClass {
                label: self.classes[class].clone(),
                n_groups,
            })
            .collect()
    }

    /// The split that the manifest gives, and the groups it tears apart.
    ///
    /// # Errors
    ///
    /// When a recording has no part, or no recording is for training or test.
    pub fn manifest_split(&self) -> Result<ManifestSplit, DatasetError> {
        let parts = self.assigned("split", |recording| recording.split)?;
        for part in [Part::Train, Part::Test] {
            if !parts.contains(&part) {
                let part = part.name().to_owned();
                return Err(DatasetError::EmptyPart { part });
            }
        }
        let straddling = self.straddling(|i| parts[i].name().to_owned());
        Ok(ManifestSplit { parts, straddling })
    }

    /// The folds that the manifest gives, and the groups they tear apart.
    ///
    /// # Errors
    ///
    /// When a recording has no fold, or all have the same.
    pub fn manifest_folds(&self) -> Result<ManifestFolds, DatasetError> {
        let folds = self.assigned("fold", |recording| recording.fold.clone())?;
        let mut names: Vec<String> = folds.clone();
        names.sort_by_cached_key(|name| (name.parse::<u64>().unwrap_or(u64::MAX), name.clone()));
        names.dedup();
        if names.len() < 2 {
            return Err(DatasetError::BadFoldCount {
                k: names.len(),
                n_groups: self.groups.iter().collect::<BTreeSet<_>>().len(),
            });
        }
        let index = |fold: &String| names.iter().position(|name| name == fold);
        let fold_of = folds
            .iter()
            .map(|fold| index(fold).expect("every fold is among the names"))
            .collect();
        let straddling = self.straddling(|i| folds[i].clone());
        Ok(ManifestFolds {
            names,
            fold_of,
            straddling,
        })
    }

    fn assigned<T>(
        &self,
        column: &'static str,
        value: impl Fn(&Recording) -> Option<T>,
    ) -> Result<Vec<T>, DatasetError> {
        let values: Vec<Option<T>> = self.recordings.iter().map(|r| value(r)).collect();
        let without = |value: &Option<T>| value.is_none();
        match values.iter().position(without) {
            None => Ok(values.into_iter().flatten().collect()),
            Some(first) => Err(DatasetError::Unassigned {
                column,
                recording: self.names[first].clone(),
                n_without: values.iter().filter(|value| without(value)).count(),
            }),
        }
    }

    fn straddling(&self, side: impl Fn(usize) -> String) -> Vec<Straddle> {
        let mut members = BTreeMap::<usize, Vec<usize>>::new();
        for (recording, &group) in self.groups.iter().enumerate() {
            members.entry(group).or_default().push(recording);
        }
        let straddle = |recordings: &Vec<usize>| {
            let sides: BTreeSet<String> = recordings.iter().map(|&i| side(i)).collect();
            (sides.len() > 1).then(|| Straddle {
                names: recordings.iter().map(|&i| self.names[i].clone()).collect(),
                sides: sides.into_iter().collect(),
            })
        };
        members.values().filter_map(straddle).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::PathBuf;

    /// Four recordings, the first two of one group.
    fn recordings(folds: [Option<&str>; 4], parts: [Option<Part>; 4]) -> Vec<Recording> {
        let recording = |i: usize| Recording {
            fold: folds[i].map(str::to_owned),
            split: parts[i],
            ..Recording::new(
                PathBuf::from(format!("{i}.wav")),
                format!("class {}", i % 2),
            )
        };
        (0..4).map(recording).collect()
    }

    fn usable(recordings: &[Recording]) -> Usable<'_> {
        Usable {
            recordings: recordings.iter().collect(),
            names: (0..4).map(|i| format!("{i}.wav")).collect(),
            classes: vec!["class 0".to_owned(), "class 1".to_owned()],
            labels: vec![0, 1, 0, 1],
            groups: vec![0, 0, 1, 2],
        }
    }

    #[test]
    fn the_manifests_folds_are_kept_and_a_torn_group_is_reported() {
        let recordings = recordings([Some("10"), Some("9"), Some("9"), Some("10")], [None; 4]);
        let folds = usable(&recordings).manifest_folds().expect("has folds");
        assert_eq!(folds.names, ["9", "10"]);
        assert_eq!(folds.fold_of, [1, 0, 0, 1]);
        let torn = Straddle {
            names: vec!["0.wav".to_owned(), "1.wav".to_owned()],
            sides: vec!["10".to_owned(), "9".to_owned()],
        };
        assert_eq!(folds.straddling, [torn]);
    }

    #[test]
    fn a_recording_without_a_fold_is_named() {
        let recordings = recordings([Some("1"), None, Some("2"), None], [None; 4]);
        let error = usable(&recordings).manifest_folds().unwrap_err();
        assert_eq!(
            error.to_string(),
            "the manifest has no `fold` for `1.wav` (2 in all)"
        );
    }

    #[test]
    fn a_manifests_split_needs_training_and_test() {
        use Part::{Test, Train, Validation};
        let given = recordings([None; 4], [Train, Train, Validation, Test].map(Some));
        let split = usable(&given).manifest_split().expect("has all parts");
        assert_eq!(split.parts, [Train, Train, Validation, Test]);
        assert!(split.straddling.is_empty());
        let without_test = recordings([None; 4], [Some(Train); 4]);
        let error = usable(&without_test).manifest_split().unwrap_err();
        assert!(matches!(error, DatasetError::EmptyPart { part } if part == "test"));
    }

    #[test]
    fn a_scarce_class_is_named() {
        let recordings = recordings([None; 4], [None; 4]);
        let usable = usable(&recordings);
        assert!(usable.scarce_classes(2).is_empty());
        let labels: Vec<_> = usable
            .scarce_classes(3)
            .into_iter()
            .map(|c| c.label)
            .collect();
        assert_eq!(labels, ["class 0", "class 1"]);
        let error = usable.split(&SplitConfig::default()).unwrap_err();
        assert!(
            error.to_string().starts_with("class `class 0` has 2"),
            "{error}"
        );
    }
}
