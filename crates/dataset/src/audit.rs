//! Reads every recording once and says what there is and what is wrong.
//!
//! Measurements are made in [`crate::measure`], copies found in
//! [`crate::copies`]; the wording of findings is in [`crate::finding`]. Only
//! measurements and fingerprints are kept: one waveform per thread is in memory.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use biophony_audio::{AudioError, Clip, DecodeLimits, decode_bytes, read_file};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::copies::{self, NearCopy};
use crate::finding::Finding;
use crate::fingerprint::Fingerprint;
use crate::groups::DisjointSets;
use crate::measure::Measurements;
use crate::recording::{Dataset, Skipped};
use crate::usable::Usable;

/// From where on a measurement is a finding.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AuditConfig {
    /// What a file may cost to decode; not a setting.
    #[serde(skip)]
    pub limits: DecodeLimits,
    /// Silent below this level of the loudest 50 ms, in dB of full scale.
    pub silence_dbfs: f64,
    /// Clipped above this fraction of samples.
    pub clipped_fraction: f64,
    /// Offset above this mean; 1 is full scale.
    pub dc_offset: f64,
    /// Very short below this.
    pub min_seconds: f64,
    /// Narrow below this fraction of the Nyquist frequency.
    pub bandwidth_fraction: f64,
    /// Imbalanced when the largest class has this many times as many recordings
    /// as the smallest.
    pub imbalance: f64,
    /// Few recordings below this many independent ones.
    pub min_per_class: usize,
}

impl Default for AuditConfig {
    fn default() -> Self {
        Self {
            limits: DecodeLimits::default(),
            silence_dbfs: -60.0,
            clipped_fraction: 0.005,
            dc_offset: 0.02,
            min_seconds: 0.15,
            bandwidth_fraction: 0.7,
            imbalance: 5.0,
            min_per_class: 20,
        }
    }
}

/// What an audit gives.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Audit {
    /// The classes, in alphabetical order.
    pub classes: Vec<ClassSummary>,
    /// What deserves attention, the gravest first.
    pub findings: Vec<Finding>,
    /// Pairs of recordings that share their sound without being exact copies.
    pub near_copies: Vec<NearCopy>,
    /// Every recording, in the order of the data set.
    pub clips: Vec<ClipReport>,
    /// What was left out.
    pub skipped: Skipped,
}

/// One class in figures.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ClassSummary {
    /// The class.
    pub label: String,
    /// Its readable recordings.
    pub n_readable: usize,
    /// Its unreadable recordings.
    pub n_unreadable: usize,
    /// Its readable recordings, those of one group counted once.
    pub n_groups: usize,
    /// How long the readable ones last together.
    pub total_seconds: f64,
}

/// One recording.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ClipReport {
    /// Its path from the root of the data set.
    pub path: String,
    /// Its class.
    pub label: String,
    /// What was measured; nothing when it is unreadable.
    pub measurements: Option<Measurements>,
    /// Why it is unreadable.
    pub unreadable: Option<String>,
}

/// What one recording tells on its own. Keeping it saves decoding the recording
/// again when others are added.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Examination {
    /// What was measured, or why it cannot be read.
    outcome: Result<Measurements, String>,
    /// Nothing when there is nothing to hear.
    fingerprint: Option<Fingerprint>,
}

impl Examination {
    /// That of a recording which cannot be used, for a reason that only who wants to
    /// use it knows.
    pub fn unusable(reason: String) -> Self {
        Self {
            outcome: Err(reason),
            fingerprint: None,
        }
    }

    /// Whether the recording can be used, as far as is known.
    pub fn is_usable(&self) -> bool {
        self.outcome.is_ok()
    }
}

/// Decodes every recording of the data set, in parallel, and examines them one
/// by one and against each other: [`examine`] and [`relate`] in one.
///
/// `progress` is told how many recordings of how many are done, from any thread.
/// A recording that cannot be read is a finding and stops nothing.
pub fn audit(
    dataset: &Dataset,
    config: &AuditConfig,
    progress: &(dyn Fn(usize, usize) + Sync),
) -> Audit {
    let total = dataset.recordings.len();
    let done = AtomicUsize::new(0);
    let examined = dataset.recordings.par_iter().map(|recording| {
        let examination = examine(&recording.path, config);
        progress(done.fetch_add(1, Ordering::Relaxed) + 1, total);
        examination
    });
    relate(dataset, config, examined.collect())
}

/// Measures one file, and takes its fingerprint unless there is nothing to hear.
///
/// The result follows from the file's bytes and `config.limits` and
/// `config.silence_dbfs` alone.
pub fn examine(path: &Path, config: &AuditConfig) -> Examination {
    match measure(path, config) {
        Ok((measurements, fingerprint)) => Examination {
            outcome: Ok(measurements),
            fingerprint,
        },
        Err(error) => Examination::unusable(plain_reason(&error)),
    }
}

/// Holds the recordings of a data set against each other. `examined` has one
/// entry for each, in the same order.
///
/// # Panics
///
/// If `examined` has another length.
pub fn relate(dataset: &Dataset, config: &AuditConfig, examined: Vec<Examination>) -> Audit {
    assert_eq!(
        examined.len(),
        dataset.recordings.len(),
        "one examination per recording"
    );
    let (clips, mut fingerprints): (Vec<_>, Vec<_>) = dataset
        .recordings
        .iter()
        .zip(examined)
        .map(|(recording, examination)| {
            let (measurements, unreadable) = match examination.outcome {
                Ok(measurements) => (Some(measurements), None),
                Err(reason) => (None, Some(reason)),
            };
            let report = ClipReport {
                path: dataset.name_of(recording),
                label: recording.label.clone(),
                measurements,
                unreadable,
            };
            (report, examination.fingerprint)
        })
        .unzip();

    keep_first_of_copies(&clips, &mut fingerprints);
    let load = |index: usize| load(&dataset.recordings[index].path, config).ok();
    let near_copies = copies::find(&fingerprints, &load)
        .into_iter()
        .map(|found| found.named(&clips[found.first].path, &clips[found.second].path))
        .collect();
    let mut audit = Audit {
        classes: Vec::new(),
        findings: Vec::new(),
        near_copies,
        clips,
        skipped: dataset.skipped.clone(),
    };
    audit.classes = audit.class_summaries(dataset);
    audit.findings = audit.gather_findings(config);
    audit
}

fn measure(
    path: &Path,
    config: &AuditConfig,
) -> Result<(Measurements, Option<Fingerprint>), AudioError> {
    let bytes = read_file(path, &config.limits)?;
    let hash = blake3::hash(&bytes);
    let decoded = decode_bytes(bytes, path, &config.limits)?;
    let measurements = Measurements::of(&decoded, hash);
    let audible = !is_silent(measurements.loudest_dbfs, config);
    let fingerprint = audible.then(|| Fingerprint::of(&decoded.clip));
    Ok((measurements, fingerprint))
}

fn load(path: &Path, config: &AuditConfig) -> Result<Clip, AudioError> {
    let bytes = read_file(path, &config.limits)?;
    Ok(decode_bytes(bytes, path, &config.limits)?.clip)
}

/// The error and its causes, without the path, which the report gives anyway.
fn plain_reason(error: &AudioError) -> String {
    let mut reason = match error {
        AudioError::Read { .. } => String::from("cannot be read"),
        _ => {
            let message = error.to_string();
            match message.split_once("`: ") {
                Some((_, rest)) if message.starts_with('`') => rest.to_owned(),
                _ => message,
            }
        }
    };
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        reason.push_str(&format!(": {cause}"));
        source = cause.source();
    }
    reason
}

/// Whether a recording whose loudest 50 ms have this level has nothing to hear.
pub(crate) fn is_silent(loudest_dbfs: Option<f64>, config: &AuditConfig) -> bool {
    loudest_dbfs.is_none_or(|level| level < config.silence_dbfs)
}

/// Drops the fingerprint of every exact copy but the first: a thousand copies of
/// one file would otherwise be compared in half a million pairs.
fn keep_first_of_copies(clips: &[ClipReport], fingerprints: &mut [Option<Fingerprint>]) {
    let mut seen = std::collections::HashSet::new();
    for (clip, fingerprint) in clips.iter().zip(fingerprints) {
        if let Some(measurements) = &clip.measurements
            && !seen.insert(&measurements.sample_hash)
        {
            *fingerprint = None;
        }
    }
}

impl Audit {
    /// A group for each recording of the data set: exact copies, near copies and
    /// recordings with the same group in the manifest have the same number.
    ///
    /// Unreadable recordings are groups of their own, unless the manifest groups
    /// them.
    pub fn groups(&self, dataset: &Dataset) -> Vec<usize> {
        let recordings = || dataset.recordings.iter().enumerate();
        let index_of: HashMap<String, usize> = recordings()
            .map(|(index, recording)| (dataset.name_of(recording), index))
            .collect();
        let mut sets = DisjointSets::new(dataset.recordings.len());
        let given = recordings().filter_map(|(i, recording)| Some((i, recording.group.as_ref()?)));
        sets.join_equal(given);
        let hashes = self.clips.iter().filter_map(|clip| {
            let measurements = clip.measurements.as_ref()?;
            Some((*index_of.get(&clip.path)?, &measurements.sample_hash))
        });
        sets.join_equal(hashes);
        for pair in &self.near_copies {
            if let (Some(&a), Some(&b)) = (index_of.get(&pair.first), index_of.get(&pair.second)) {
                sets.join(a, b);
            }
        }
        sets.numbers()
    }

    /// The recordings that could be read, with their classes and groups.
    pub fn usable<'a>(&self, dataset: &'a Dataset) -> Usable<'a> {
        let readable: HashMap<&str, bool> = self
            .clips
            .iter()
            .map(|clip| (clip.path.as_str(), clip.measurements.is_some()))
            .collect();
        let groups = self.groups(dataset);
        let kept: Vec<(usize, String)> = dataset
            .recordings
            .iter()
            .map(|recording| dataset.name_of(recording))
            .enumerate()
            .filter(|(_, name)| readable.get(name.as_str()) == Some(&true))
            .collect();
        let recordings: Vec<_> = kept.iter().map(|&(i, _)| &dataset.recordings[i]).collect();
        let mut classes: Vec<_> = recordings.iter().map(|r| r.label.clone()).collect();
        classes.sort_unstable();
        classes.dedup();
        let number = |label: &String| classes.binary_search(label).expect("gathered above");
        Usable {
            labels: recordings.iter().map(|r| number(&r.label)).collect(),
            groups: kept.iter().map(|&(i, _)| groups[i]).collect(),
            names: kept.into_iter().map(|(_, name)| name).collect(),
            recordings,
            classes,
        }
    }

    /// The recordings that could not be read, each with the reason.
    pub fn unreadable(&self) -> impl Iterator<Item = (&str, &str)> {
        self.clips
            .iter()
            .filter_map(|clip| Some((clip.path.as_str(), clip.unreadable.as_deref()?)))
    }

    fn class_summaries(&self, dataset: &Dataset) -> Vec<ClassSummary> {
        let mut classes = BTreeMap::<&str, (ClassSummary, Vec<usize>)>::new();
        for (clip, group) in self.clips.iter().zip(self.groups(dataset)) {
            let (summary, groups) = classes.entry(&clip.label).or_insert_with(|| {
                let summary = ClassSummary {
                    label: clip.label.clone(),
                    n_readable: 0,
                    n_unreadable: 0,
                    n_groups: 0,
                    total_seconds: 0.0,
                };
                (summary, Vec::new())
            });
            match &clip.measurements {
                None => summary.n_unreadable += 1,
                Some(measurements) => {
                    summary.n_readable += 1;
                    summary.total_seconds += measurements.seconds;
                    groups.push(group);
                }
            }
        }
        let count = |(mut summary, mut groups): (ClassSummary, Vec<usize>)| {
            groups.sort_unstable();
            groups.dedup();
            summary.n_groups = groups.len();
            summary
        };
        classes.into_values().map(count).collect()
    }
}
