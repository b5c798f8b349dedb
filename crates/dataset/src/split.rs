//! Stratified splits that never tear a group apart.
//!
//! Groups are dealt out one by one, the hardest to place first: those with
//! several classes, then the largest. Each goes to the part that lacks its
//! classes most; while a class has just as many groups left as there are parts
//! without it, its groups go to those parts. Ties are broken by a hash of the
//! seed and the group's number, so that neither the order of the recordings nor
//! that of the threads matters.
//!
//! What a group is, is decided in [`crate::usable`].

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};

use crate::error::DatasetError;
use crate::recording::Part;

/// How recordings are divided into training, validation and test.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SplitConfig {
    /// Another seed, another split of the same quality.
    pub seed: u64,
    /// The fraction for validation; 0 makes no such part.
    pub validation: f64,
    /// The fraction for test; 0 makes no such part.
    pub test: f64,
}

impl Default for SplitConfig {
    /// 70 % for training, 15 % each for validation and test, seed 0.
    fn default() -> Self {
        Self {
            seed: 0,
            validation: 0.15,
            test: 0.15,
        }
    }
}

/// Divides recordings into parts, class by class in the given fractions, and
/// keeps recordings of one group in one part.
///
/// `labels` and `groups` have a number per recording.
///
/// ```
/// use biophony_dataset::{split, Part, SplitConfig};
/// let labels = [0, 0, 0, 0, 1, 1, 1, 1];
/// let groups = [0, 0, 1, 2, 3, 4, 4, 5]; // 0 and 1 are copies, so are 5 and 6
/// let parts = split(&labels, &groups, &SplitConfig::default())?;
/// assert_eq!(parts[0], parts[1]);
/// assert_eq!(parts.iter().filter(|&&part| part == Part::Test).count(), 2);
/// # Ok::<(), biophony_dataset::DatasetError>(())
/// ```
///
/// # Errors
///
/// When the fractions make no sense, or a class has fewer groups than there are
/// parts.
pub fn split(
    labels: &[usize],
    groups: &[usize],
    config: &SplitConfig,
) -> Result<Vec<Part>, DatasetError> {
    split_named(labels, groups, config, |class| format!("number {class}"))
}

/// As [`split`]; `name` gives the name of a class for errors.
pub(crate) fn split_named(
    labels: &[usize],
    groups: &[usize],
    config: &SplitConfig,
    name: impl Fn(usize) -> String,
) -> Result<Vec<Part>, DatasetError> {
    let SplitConfig {
        seed,
        validation,
        test,
    } = *config;
    let train = 1.0 - validation - test;
    if !(validation >= 0.0 && test >= 0.0 && train > 1e-9) {
        return Err(DatasetError::BadFractions { validation, test });
    }
    let (parts, fractions): (Vec<Part>, Vec<f64>) = Part::ALL
        .into_iter()
        .zip([train, validation, test])
        .filter(|&(_, fraction)| fraction > 0.0)
        .unzip();

    let groups = Groups::gather(labels, groups)?;
    for (&class, &n_groups) in &groups.n_groups_of_class {
        if n_groups < parts.len() {
            return Err(DatasetError::TooFewGroups {
                class: name(class),
                n_groups,
                needed: parts.len(),
            });
        }
    }
    let part_of = groups.deal(&fractions, seed);
    // Groups that join several classes can leave a class nowhere to go.
    for class in groups.n_groups_of_class.keys() {
        let reached = groups.parts_of_class(*class, &part_of);
        if reached < parts.len() {
            return Err(DatasetError::TooFewGroups {
                class: name(*class),
                n_groups: reached,
                needed: parts.len(),
            });
        }
    }
    Ok(part_of.into_iter().map(|part| parts[part]).collect())
}

/// Divides recordings into `k` folds of equal size, each with its share of every
/// class, and keeps recordings of one group in one fold.
///
/// A class with fewer groups than folds is missing from some of them, which
/// [`crate::Usable::scarce_classes`] tells.
///
/// # Errors
///
/// When `k` is below 2 or above the number of groups.
pub fn folds(
    labels: &[usize],
    groups: &[usize],
    k: usize,
    seed: u64,
) -> Result<Vec<usize>, DatasetError> {
    let groups = Groups::gather(labels, groups)?;
    let n_groups = groups.members.len();
    if k < 2 || k > n_groups {
        return Err(DatasetError::BadFoldCount { k, n_groups });
    }
    Ok(groups.deal(&vec![1.0 / k as f64; k], seed))
}

/// How many groups each class has, by the class's number.
pub(crate) fn groups_per_class(
    labels: &[usize],
    groups: &[usize],
) -> Result<BTreeMap<usize, usize>, DatasetError> {
    Ok(Groups::gather(labels, groups)?.n_groups_of_class)
}

/// The recordings by group, and the groups by class.
struct Groups {
    n_recordings: usize,
    members: BTreeMap<usize, Group>,
    n_groups_of_class: BTreeMap<usize, usize>,
    size_of_class: BTreeMap<usize, usize>,
}

/// One group: its recordings, and how many of each class they are.
#[derive(Default)]
struct Group {
    recordings: Vec<usize>,
    of_class: BTreeMap<usize, usize>,
}

impl Groups {
    fn gather(labels: &[usize], groups: &[usize]) -> Result<Self, DatasetError> {
        if labels.len() != groups.len() {
            return Err(DatasetError::LengthMismatch {
                n_labels: labels.len(),
                n_groups: groups.len(),
            });
        }
        let mut members = BTreeMap::<usize, Group>::new();
        let mut size_of_class = BTreeMap::new();
        for (recording, (&label, &group)) in labels.iter().zip(groups).enumerate() {
            let group = members.entry(group).or_default();
            group.recordings.push(recording);
            *group.of_class.entry(label).or_default() += 1;
            *size_of_class.entry(label).or_default() += 1;
        }
        let mut n_groups_of_class = BTreeMap::new();
        for class in members.values().flat_map(|group| group.of_class.keys()) {
            *n_groups_of_class.entry(*class).or_default() += 1;
        }
        Ok(Self {
            n_recordings: labels.len(),
            members,
            n_groups_of_class,
            size_of_class,
        })
    }

    /// A part for each recording, the parts as large as `fractions` say.
    fn deal(&self, fractions: &[f64], seed: u64) -> Vec<usize> {
        let mut queue: Vec<(&usize, &Group)> = self.members.iter().collect();
        queue.sort_by_key(|&(&number, group)| {
            let hardest = std::cmp::Reverse((group.of_class.len(), group.recordings.len()));
            (hardest, hash(seed, number, usize::MAX))
        });

        let mut table = Table::new(self, fractions);
        let mut part_of = vec![0; self.n_recordings];
        for (&number, group) in queue {
            let part = table.best_part(group, |part| hash(seed, number, part));
            table.place(group, part);
            for &recording in &group.recordings {
                part_of[recording] = part;
            }
        }
        part_of
    }

    /// In how many parts the class is.
    fn parts_of_class(&self, class: usize, part_of: &[usize]) -> usize {
        let with_class = |group: &&Group| group.of_class.contains_key(&class);
        let groups = self.members.values().filter(with_class);
        let parts: BTreeSet<_> = groups.map(|group| part_of[group.recordings[0]]).collect();
        parts.len()
    }
}

/// What each part holds while groups are dealt out.
struct Table<'a> {
    fractions: &'a [f64],
    /// Recordings in each part.
    load: Vec<usize>,
    /// For each class, what is placed and what is to come.
    classes: BTreeMap<usize, ClassTable>,
}

struct ClassTable {
    size: usize,
    groups_left: usize,
    in_part: Vec<usize>,
}

impl ClassTable {
    fn n_empty_parts(&self) -> usize {
        self.in_part.iter().filter(|&&n| n == 0).count()
    }
}

impl<'a> Table<'a> {
    fn new(groups: &Groups, fractions: &'a [f64]) -> Self {
        let class_table = |(&class, &size): (&usize, &usize)| {
            let table = ClassTable {
                size,
                groups_left: groups.n_groups_of_class[&class],
                in_part: vec![0; fractions.len()],
            };
            (class, table)
        };
        Self {
            fractions,
            load: vec![0; fractions.len()],
            classes: groups.size_of_class.iter().map(class_table).collect(),
        }
    }

    /// The part that needs the group most.
    fn best_part(&self, group: &Group, tie: impl Fn(usize) -> u64) -> usize {
        let must_fill = self.must_fill(group);
        let rank = |part: usize| {
            let filled = must_fill
                .iter()
                .filter(|class| self.classes[class].in_part[part] == 0)
                .count();
            let after = (self.load[part] + group.recordings.len()) as f64;
            Rank {
                unfilled: must_fill.len() - filled,
                fill: self.fill(group, part),
                load: after / self.fractions[part],
                tie: tie(part),
            }
        };
        (0..self.fractions.len())
            .min_by(|&a, &b| rank(a).compare(&rank(b)))
            .expect("a split has at least one part")
    }

    /// The classes of the group that cannot spare a group any more: as many
    /// parts lack them as there are groups of them left.
    fn must_fill(&self, group: &Group) -> Vec<usize> {
        let scarce = |class: &&usize| {
            let table = &self.classes[class];
            table.groups_left <= table.n_empty_parts()
        };
        group.of_class.keys().filter(scarce).copied().collect()
    }

    /// How full the part would be of the group's classes, 1 being its share.
    ///
    /// Counting half of what is added is Sainte-Laguë's rule: it rounds shares
    /// to the nearest whole group.
    fn fill(&self, group: &Group, part: usize) -> f64 {
        let of_class = |(class, &n): (&usize, &usize)| {
            let table = &self.classes[class];
            let share = table.size as f64 * self.fractions[part];
            let weight = n as f64 / table.size as f64;
            weight * (table.in_part[part] as f64 + 0.5 * n as f64) / share
        };
        group.of_class.iter().map(of_class).sum()
    }

    fn place(&mut self, group: &Group, part: usize) {
        self.load[part] += group.recordings.len();
        for (class, n) in &group.of_class {
            let table = self
                .classes
                .get_mut(class)
                .expect("every class has a table");
            table.in_part[part] += n;
            table.groups_left -= 1;
        }
    }
}

/// How good a part is for a group; the least is the best.
struct Rank {
    unfilled: usize,
    fill: f64,
    load: f64,
    tie: u64,
}

impl Rank {
    fn compare(&self, other: &Self) -> Ordering {
        self.unfilled
            .cmp(&other.unfilled)
            .then(self.fill.total_cmp(&other.fill))
            .then(self.load.total_cmp(&other.load))
            .then(self.tie.cmp(&other.tie))
    }
}

/// SplitMix64 over the three numbers: a coin that always falls the same way.
fn hash(seed: u64, group: usize, part: usize) -> u64 {
    [seed, group as u64, part as u64]
        .into_iter()
        .fold(0, |state, word| {
            let mut z = (state ^ word).wrapping_add(0x9e37_79b9_7f4a_7c15);
            z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            z ^ (z >> 31)
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const THIRDS: SplitConfig = SplitConfig {
        seed: 0,
        validation: 0.15,
        test: 0.15,
    };

    #[test]
    fn fractions_that_leave_nothing_for_training_are_errors() {
        for (validation, test) in [(0.5, 0.5), (-0.1, 0.2), (f64::NAN, 0.1)] {
            let config = SplitConfig {
                seed: 0,
                validation,
                test,
            };
            let error = split(&[0, 1], &[0, 1], &config).unwrap_err();
            assert!(matches!(error, DatasetError::BadFractions { .. }));
        }
    }

    #[test]
    fn a_class_with_fewer_groups_than_parts_is_named() {
        let labels = [0, 0, 0, 1, 1, 1];
        let groups = [0, 1, 2, 3, 3, 4];
        let error = split(&labels, &groups, &THIRDS).unwrap_err().to_string();
        assert!(
            error.starts_with("class number 1 has 2 independent"),
            "{error}"
        );
        let two_parts = SplitConfig {
            test: 0.0,
            ..THIRDS
        };
        assert!(split(&labels, &groups, &two_parts).is_ok());
    }

    #[test]
    fn folds_must_be_from_two_to_the_number_of_groups() {
        for k in [0, 1, 4] {
            let error = folds(&[0, 0, 1, 1], &[0, 0, 1, 2], k, 0).unwrap_err();
            assert!(matches!(error, DatasetError::BadFoldCount { .. }), "{k}");
        }
        assert!(folds(&[0, 1], &[0], 2, 0).is_err());
    }

    #[test]
    fn a_class_of_three_groups_reaches_all_three_parts() {
        let labels = [0, 0, 0, 0, 0, 1, 1, 1];
        let groups = [0, 0, 0, 1, 2, 3, 4, 5];
        for seed in 0..20 {
            let parts = split(&labels, &groups, &SplitConfig { seed, ..THIRDS }).expect("splits");
            assert_eq!(parts[0], Part::Train, "the largest group trains");
            for class in [&parts[..5], &parts[5..]] {
                assert!(
                    Part::ALL.iter().all(|part| class.contains(part)),
                    "{parts:?}"
                );
            }
        }
    }

    #[test]
    fn a_seed_changes_the_split() {
        let labels = vec![0; 40];
        let groups: Vec<_> = (0..40).collect();
        let of = |seed| folds(&labels, &groups, 4, seed).expect("folds");
        assert_eq!(of(1), of(1));
        assert_ne!(of(1), of(2));
    }

    /// Recordings in groups of one class each, a few groups with two.
    fn recordings() -> impl Strategy<Value = (Vec<usize>, Vec<usize>)> {
        let group = (0usize..4, 1usize..6, 0u8..12);
        proptest::collection::vec(group, 30..90).prop_map(|drawn| {
            let (mut labels, mut groups) = (Vec::new(), Vec::new());
            for (number, (class, size, mixed)) in drawn.into_iter().enumerate() {
                for member in 0..size {
                    let other = mixed == 0 && member == 0;
                    labels.push(if other { (class + 1) % 4 } else { class });
                    groups.push(number);
                }
            }
            (labels, groups)
        })
    }

    fn straddles<T: PartialEq>(groups: &[usize], parts: &[T]) -> bool {
        let pairs = |i: usize| (0..i).map(move |j| (i, j));
        (0..groups.len())
            .flat_map(pairs)
            .any(|(i, j)| groups[i] == groups[j] && parts[i] != parts[j])
    }

    /// The largest group of the class: no split can be more even than that.
    fn largest(labels: &[usize], groups: &[usize], class: usize) -> usize {
        let mut sizes = BTreeMap::new();
        for (_, &group) in labels.iter().zip(groups).filter(|&(&l, _)| l == class) {
            *sizes.entry(group).or_insert(0) += 1;
        }
        sizes.into_values().max().unwrap_or(0)
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(64) })]

        #[test]
        fn no_group_straddles_a_split((labels, groups) in recordings(), seed in 0u64..1000) {
            if let Ok(parts) = split(&labels, &groups, &SplitConfig { seed, ..THIRDS }) {
                prop_assert!(!straddles(&groups, &parts));
            }
            let fold_of = folds(&labels, &groups, 5, seed).expect("30 groups make 5 folds");
            prop_assert!(!straddles(&groups, &fold_of));
        }

        #[test]
        fn every_fold_has_its_share_of_every_class((labels, groups) in recordings(), seed in 0u64..1000) {
            let fold_of = folds(&labels, &groups, 5, seed).expect("30 groups make 5 folds");
            for class in 0..4 {
                let count = |fold: usize| {
                    labels.iter().zip(&fold_of).filter(|&(&l, &f)| (l, f) == (class, fold)).count()
                };
                let total: usize = (0..5).map(count).sum();
                let slack = largest(&labels, &groups, class) as f64 + 2.0;
                for fold in 0..5 {
                    let error = (count(fold) as f64 - total as f64 / 5.0).abs();
                    prop_assert!(error <= slack, "class {class}, fold {fold}: off by {error}");
                }
            }
        }

        #[test]
        fn the_order_of_the_recordings_does_not_matter((labels, groups) in recordings(), seed in 0u64..1000) {
            let reversed = |v: &[usize]| v.iter().rev().copied().collect::<Vec<_>>();
            let forwards = folds(&labels, &groups, 5, seed).expect("folds");
            let backwards = folds(&reversed(&labels), &reversed(&groups), 5, seed).expect("folds");
            prop_assert_eq!(forwards, reversed(&backwards));
        }

        #[test]
        fn parts_are_as_large_as_asked_for(n in 40usize..200, seed in 0u64..1000) {
            let labels: Vec<_> = (0..n).map(|i| i % 2).collect();
            let groups: Vec<_> = (0..n).collect();
            let parts = split(&labels, &groups, &SplitConfig { seed, ..THIRDS }).expect("splits");
            for (part, fraction) in [(Part::Validation, 0.15), (Part::Test, 0.15)] {
                let count = parts.iter().filter(|&&p| p == part).count() as f64;
                prop_assert!((count - fraction * n as f64).abs() <= 2.0, "{part}: {count} of {n}");
            }
        }
    }
}
