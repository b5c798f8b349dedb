//! Finds recordings that share their sound without being exact copies:
//! re-encoded, resampled, louder or softer, with some noise, or cut.
//!
//! Two stages. An inverted index from the keys of [`crate::fingerprint`] to the
//! recordings that have them gives candidates: pairs with many keys in common at
//! one and the same distance in time. Its cost grows with the number of keys,
//! because of a key that many recordings have only a few are looked at. Then
//! [`crate::verify`] aligns the two waveforms and compares them; what passes
//! there is a copy and not merely alike.

use biophony_audio::Clip;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::fingerprint::{FRAME_RATE, Fingerprint};
use crate::verify::{Agreement, Prepared, compare};

/// Two recordings that share their sound.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NearCopy {
    /// The one that comes first in the data set.
    pub first: String,
    /// The other.
    pub second: String,
    /// How they relate.
    pub relation: Relation,
    /// How alike their waveforms are where they overlap; 1 is the same but for
    /// the level.
    pub similarity: f64,
    /// Where the second begins in the first, in seconds; negative when the
    /// first begins later.
    pub offset_seconds: f64,
    /// How long the shared sound lasts.
    pub shared_seconds: f64,
}

/// How two recordings of one sound relate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Relation {
    /// From beginning to end the same.
    Copy,
    /// One is a piece of the other.
    Contained,
    /// They share a piece, and each goes on without the other.
    Overlap,
}

/// A pair of recordings by their numbers.
#[derive(Debug, Clone)]
pub(crate) struct Found {
    pub(crate) first: usize,
    pub(crate) second: usize,
    pub(crate) agreement: Agreement,
}

impl Found {
    /// The pair by the recordings' names.
    pub(crate) fn named(&self, first: &str, second: &str) -> NearCopy {
        NearCopy {
            first: first.to_owned(),
            second: second.to_owned(),
            relation: self.agreement.relation,
            similarity: self.agreement.similarity,
            offset_seconds: self.agreement.offset_seconds,
            shared_seconds: self.agreement.shared_seconds,
        }
    }
}

/// A key in more places than this is too common to look at all of them.
const MAX_POSTINGS: usize = 200;
/// Of a key that common, so many places in the recordings right before are looked at:
/// if it is common because there are hundreds of copies, some of them are there.
const NEAREST_POSTINGS: usize = 16;
/// Fewer common keys at one distance come about by chance.
const MIN_VOTES: usize = 4;
/// Of each recording's candidates, only so many with most votes are compared.
const MAX_CANDIDATES: usize = 12;

/// A similarity that needs no further evidence.
const SURE: f64 = 0.6;
/// A similarity that is enough if there are many votes.
const LIKELY: f64 = 0.4;
const MANY_VOTES: usize = 20;
/// Recordings with fewer keys than this are searched for more thoroughly.
const FEW_KEYS: usize = 400;

/// Finds the near copies among the recordings that have a fingerprint, in the
/// order of their numbers. `load` reads a recording again.
pub(crate) fn find(
    fingerprints: &[Option<Fingerprint>],
    load: &(dyn Fn(usize) -> Option<Clip> + Sync),
) -> Vec<Found> {
    let index = Index::of(fingerprints);
    let mut found: Vec<Found> = (0..fingerprints.len())
        .into_par_iter()
        .flat_map_iter(|recording| {
            let candidates = index.candidates(recording, fingerprints);
            confirm(recording, &candidates, load)
        })
        .collect();
    // A pair may have been found from either side; the better one stays.
    found.sort_by(|a, b| {
        let pair = |found: &Found| (found.first, found.second);
        let similarity = b.agreement.similarity.total_cmp(&a.agreement.similarity);
        pair(a).cmp(&pair(b)).then(similarity)
    });
    found.dedup_by_key(|pair| (pair.first, pair.second));
    found
}

/// The candidates that a comparison of waveforms confirms.
fn confirm(
    recording: usize,
    candidates: &[Candidate],
    load: &(dyn Fn(usize) -> Option<Clip> + Sync),
) -> Vec<Found> {
    if candidates.is_empty() {
        return Vec::new();
    }
    let Some(clip) = load(recording) else {
        return Vec::new();
    };
    let mut this = Prepared::new(clip);
    let confirmed = candidates.iter().filter_map(|candidate| {
        let mut other = Prepared::new(load(candidate.other)?);
        let offset = f64::from(candidate.offset) / FRAME_RATE;
        let agreement = compare(&mut other, &mut this, offset)?;
        if !is_same_sound(candidate.votes, agreement.similarity) {
            return None;
        }
        let in_order = candidate.other < recording;
        Some(Found {
            first: candidate.other.min(recording),
            second: candidate.other.max(recording),
            agreement: if in_order {
                agreement
            } else {
                agreement.reversed()
            },
        })
    });
    confirmed.collect()
}

/// Whether votes and similarity together leave no doubt.
///
/// Waveforms of different calls correlate by 0.1 to 0.3, those of the same frog
/// calling twice by up to 0.5. A copy made on another machine, whose clock ran a
/// little faster, does not reach more either, but has dozens of keys in common.
fn is_same_sound(votes: usize, similarity: f64) -> bool {
    similarity >= SURE || (similarity >= LIKELY && votes >= MANY_VOTES)
}

/// Which recordings have a key, and when.
struct Index {
    /// Key, recording and frame, sorted.
    postings: Vec<(u32, u32, u32)>,
}

/// A recording that shares keys with another at one distance in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Candidate {
    other: usize,
    votes: usize,
    /// The frame of `other` at which this recording begins.
    offset: i32,
}

impl Index {
    fn of(fingerprints: &[Option<Fingerprint>]) -> Self {
        let mut postings = Vec::new();
        for (recording, fingerprint) in fingerprints.iter().enumerate() {
            let keys = fingerprint.iter().flat_map(|fingerprint| &fingerprint.keys);
            postings.extend(keys.map(|&(key, frame)| (key, recording as u32, frame)));
        }
        postings.par_sort_unstable();
        Self { postings }
    }

    /// The recordings with the most keys in common at one distance: the earlier
    /// ones, and for a recording with few keys the later ones too.
    ///
    /// Of a short recording little is left for the vote. Its keys are looked up
    /// together with their neighbors in time, at three times the cost.
    fn candidates(&self, recording: usize, all: &[Option<Fingerprint>]) -> Vec<Candidate> {
        let Some(fingerprint) = &all[recording] else {
            return Vec::new();
        };
        let n_keys = |number: usize| all[number].as_ref().map_or(0, |f| f.keys.len());
        let is_small = n_keys(recording) < FEW_KEYS;
        let last = if is_small { all.len() } else { recording };
        let mut votes = Vec::new();
        for jitter in if is_small { -1..=1 } else { 0..=0 } {
            self.vote(recording, fingerprint, jitter, last, &mut votes);
        }
        votes.sort_unstable();
        let mut candidates: Vec<Candidate> = votes
            .chunk_by(|a, b| a.0 == b.0)
            .map(most_votes)
            .filter(|candidate| {
                let fewest = n_keys(candidate.other).min(n_keys(recording));
                candidate.other != recording && candidate.votes >= MIN_VOTES.max(fewest / 100)
            })
            .collect();
        candidates.sort_by_key(|candidate| (std::cmp::Reverse(candidate.votes), candidate.other));
        candidates.truncate(MAX_CANDIDATES);
        candidates
    }

    /// For each key that another recording before `last` has too: which, and at
    /// what distance in time. `jitter` is added to the time between the peaks of
    /// a key.
    fn vote(
        &self,
        recording: usize,
        fingerprint: &Fingerprint,
        jitter: i32,
        last: usize,
        votes: &mut Vec<(u32, i32)>,
    ) {
        let mut rest = &self.postings[..];
        for &(key, frame) in &fingerprint.keys {
            // The time between the peaks is in the lowest bits of the key.
            let key = key.wrapping_add_signed(jitter);
            rest = &rest[rest.partition_point(|posting| posting.0 < key)..];
            let n_same = rest.partition_point(|posting| posting.0 == key);
            let before = |end: usize| {
                let before = rest[..n_same].partition_point(|posting| (posting.1 as usize) < end);
                &rest[..before]
            };
            let others = match n_same > MAX_POSTINGS {
                false => before(last),
                true => {
                    let earlier = before(recording);
                    &earlier[earlier.len().saturating_sub(NEAREST_POSTINGS)..]
                }
            };
            votes.extend(
                others
                    .iter()
                    .map(|posting| (posting.1, posting.2 as i32 - frame as i32)),
            );
        }
    }
}

/// The distance with the most votes for one recording; `votes` are sorted.
///
/// Frames of two recordings do not lie on each other, so neighboring distances
/// count as one.
fn most_votes(votes: &[(u32, i32)]) -> Candidate {
    let mut best = Candidate {
        other: votes[0].0 as usize,
        votes: 0,
        offset: 0,
    };
    for first in 0..votes.len() {
        let offset = votes[first].1;
        let near = votes[first..]
            .iter()
            .take_while(|vote| vote.1 <= offset + 1);
        let count = near.count();
        if count > best.votes {
            best.votes = count;
            best.offset = votes[first + count / 2].1;
        }
    }
    best
}
