//! From measurements and pairs to findings.
//!
//! What a finding says is in [`crate::finding`].

use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::audit::{Audit, AuditConfig, ClipReport, is_silent};
use crate::finding::Finding;
use crate::groups::DisjointSets;
use crate::measure::Measurements;

impl Audit {
    /// Everything that deserves attention, the gravest first and otherwise in
    /// the order of the recordings.
    pub(crate) fn gather_findings(&self, config: &AuditConfig) -> Vec<Finding> {
        let mut findings = Vec::new();
        for clip in &self.clips {
            clip_findings(clip, config, &mut findings);
        }
        self.copy_findings(&mut findings);
        self.near_copy_findings(&mut findings);
        self.class_findings(config, &mut findings);
        self.skipped_findings(&mut findings);
        // The sort is stable: findings of one kind stay in their order.
        findings.sort_by_key(|finding| (finding.severity(), finding.title()));
        findings
    }

    /// The sets of recordings with the same samples.
    fn copy_findings(&self, findings: &mut Vec<Finding>) {
        let mut sets = BTreeMap::<&str, Vec<&ClipReport>>::new();
        for clip in &self.clips {
            if let Some(measurements) = &clip.measurements {
                sets.entry(&measurements.sample_hash)
                    .or_default()
                    .push(clip);
            }
        }
        let mut sets: Vec<_> = sets.into_values().filter(|set| set.len() > 1).collect();
        sets.sort_by_key(|set| &set[0].path);
        for set in sets {
            let hashes: BTreeSet<_> = set
                .iter()
                .filter_map(|clip| Some(&clip.measurements.as_ref()?.file_hash))
                .collect();
            let same_bytes = hashes.len() == 1;
            let paths = set.iter().map(|clip| clip.path.clone()).collect();
            findings.push(Finding::Copies { paths, same_bytes });
            // Two recordings of silence disagree about nothing.
            let is_sound = |m: &Measurements| m.loudest_dbfs.is_some();
            if set[0].measurements.as_ref().is_some_and(is_sound) {
                findings.extend(conflict(&set, true));
            }
        }
    }

    /// The clusters of recordings that near copies hold together.
    fn near_copy_findings(&self, findings: &mut Vec<Finding>) {
        let index_of: HashMap<&str, usize> = self
            .clips
            .iter()
            .enumerate()
            .map(|(index, clip)| (clip.path.as_str(), index))
            .collect();
        let mut sets = DisjointSets::new(self.clips.len());
        let mut near = BTreeSet::new();
        for pair in &self.near_copies {
            let pair = [pair.first.as_str(), pair.second.as_str()];
            if let [Some(&a), Some(&b)] = pair.map(|path| index_of.get(path)) {
                sets.join(a, b);
                near.extend([a, b]);
            }
        }
        let mut clusters = BTreeMap::<usize, Vec<&ClipReport>>::new();
        for (index, set) in sets.numbers().into_iter().enumerate() {
            if near.contains(&index) {
                clusters.entry(set).or_default().push(&self.clips[index]);
            }
        }
        for cluster in clusters.into_values() {
            findings.extend(conflict(&cluster, false));
            let paths = cluster.iter().map(|clip| clip.path.clone()).collect();
            findings.push(Finding::NearCopies { paths });
        }
    }

    fn class_findings(&self, config: &AuditConfig, findings: &mut Vec<Finding>) {
        let mut rates = BTreeMap::<u32, usize>::new();
        for measurements in self
            .clips
            .iter()
            .filter_map(|clip| clip.measurements.as_ref())
        {
            *rates.entry(measurements.sample_rate_hz).or_default() += 1;
        }
        if rates.len() > 1 {
            let mut rates: Vec<_> = rates.into_iter().collect();
            rates.sort_by_key(|&(rate, count)| (std::cmp::Reverse(count), rate));
            findings.push(Finding::MixedRates { rates });
        }
        let by_size = || self.classes.iter().filter(|class| class.n_readable > 0);
        let largest = by_size().max_by_key(|class| class.n_readable);
        let smallest = by_size().min_by_key(|class| class.n_readable);
        if let (Some(largest), Some(smallest)) = (largest, smallest)
            && largest.n_readable as f64 >= config.imbalance * smallest.n_readable as f64
        {
            findings.push(Finding::Imbalance {
                largest: largest.label.clone(),
                n_largest: largest.n_readable,
                smallest: smallest.label.clone(),
                n_smallest: smallest.n_readable,
            });
        }
        for class in &self.classes {
            if class.n_groups < config.min_per_class {
                findings.push(Finding::FewRecordings {
                    label: class.label.clone(),
                    n_independent: class.n_groups,
                });
            }
        }
    }

    fn skipped_findings(&self, findings: &mut Vec<Finding>) {
        for label in &self.skipped.empty_classes {
            let label = label.clone();
            findings.push(Finding::EmptyClass { label });
        }
        if !self.skipped.unlabelled.is_empty() {
            let paths = self.skipped.unlabelled.clone();
            findings.push(Finding::Unlabelled { paths });
        }
        let not_listed = self.skipped.unlistable.iter().chain(&self.skipped.loops);
        let paths: Vec<_> = not_listed.cloned().collect();
        if !paths.is_empty() {
            findings.push(Finding::NotListed { paths });
        }
        findings.extend(self.skipped.almost_columns());
    }
}

fn clip_findings(clip: &ClipReport, config: &AuditConfig, findings: &mut Vec<Finding>) {
    let path = clip.path.clone();
    if let Some(reason) = clip.unreadable.clone() {
        findings.push(Finding::Unreadable { path, reason });
        return;
    }
    let Some(measured) = &clip.measurements else {
        return;
    };
    let mut push = |condition: bool, finding: Finding| {
        if condition {
            findings.push(finding);
        }
    };
    let path = || clip.path.clone();
    let warnings = measured.warnings.clone();
    push(
        !warnings.is_empty(),
        Finding::Damaged {
            path: path(),
            warnings,
        },
    );
    let level_dbfs = measured.loudest_dbfs;
    let silent = is_silent(level_dbfs, config);
    push(
        silent,
        Finding::Silent {
            path: path(),
            level_dbfs,
        },
    );
    let fraction = measured.clipped_fraction;
    push(
        fraction > config.clipped_fraction,
        Finding::Clipped {
            path: path(),
            fraction,
        },
    );
    let offset = measured.dc_offset;
    push(
        offset.abs() > config.dc_offset,
        Finding::DcOffset {
            path: path(),
            offset,
        },
    );
    let seconds = measured.seconds;
    push(
        seconds < config.min_seconds,
        Finding::TooShort {
            path: path(),
            seconds,
        },
    );
    let nyquist_hz = f64::from(measured.sample_rate_hz) / 2.0;
    let bandwidth_hz = measured.bandwidth_hz;
    let narrow = !silent && bandwidth_hz < config.bandwidth_fraction * nyquist_hz;
    push(
        narrow,
        Finding::NarrowBand {
            path: path(),
            bandwidth_hz,
            nyquist_hz,
        },
    );
}

/// The finding that these recordings of one sound do not have one label.
fn conflict(clips: &[&ClipReport], exact: bool) -> Option<Finding> {
    if clips.iter().all(|clip| clip.label == clips[0].label) {
        return None;
    }
    let named = |clip: &&ClipReport| (clip.path.clone(), clip.label.clone());
    Some(Finding::ConflictingLabels {
        recordings: clips.iter().map(named).collect(),
        exact,
    })
}
