//! Data: what the recordings are, what is wrong with them, and how they sound.
//!
//! | page | twin | file |
//! |---|---|---|
//! | `/data` | `/api/v1/data` | here |
//! | `/data/clips` | `/api/v1/data/clips` | `data/clips.rs` |
//! | a recording | `/api/v1/data/audio`, `/api/v1/data/picture` | `data/sound.rs` |
//!
//! Everything comes from the audit that the newest run of the pipeline kept
//! (`data/audits.rs`), in the audit's own words.

pub(crate) mod audits;
pub(crate) mod clips;
pub(crate) mod routes;
pub(crate) mod sound;

use std::collections::{BTreeMap, HashMap};

use biophony_dataset::{Audit, ClipReport, Finding, NearCopy, Relation, Severity};
use biophony_pipeline::Store;
use serde::Serialize;
use utoipa::ToSchema;

use super::figures::{Figure, Moment, Share, Span};
use super::query::Query;
use crate::error::ApiError;
use audits::Audited;

/// How many findings of one kind a page shows.
const MAX_FINDINGS: usize = 12;

/// How many recordings of one finding can be listened to on the page.
const MAX_CLIPS: usize = 6;

/// How many pairs of near copies a page has.
const PAIRS_PER_PAGE: usize = 12;

/// An audited collection of recordings.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub(crate) struct DataPage {
    /// The collection; nothing before the first run.
    pub(crate) collection: Option<CollectionFacts>,
    /// The runs whose audits are kept, the newest first.
    pub(crate) runs: Vec<AuditedRun>,
    pub(crate) classes: Vec<ClassRow>,
    /// What deserves attention, the gravest first.
    pub(crate) findings: Vec<FindingGroup>,
    /// Pairs of recordings that share their sound: one page of them.
    pub(crate) near_copies: Vec<PairOfCopies>,
    pub(crate) n_near_copies: usize,
    /// The page of near copies, counted from 1.
    pub(crate) page: usize,
    pub(crate) n_pages: usize,
}

/// A collection in figures.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub(crate) struct CollectionFacts {
    pub(crate) name: String,
    /// The run of the pipeline that audited it.
    pub(crate) run: String,
    /// When that was, in milliseconds since 1970.
    pub(crate) audited_ms: Moment,
    /// Where the recordings were.
    pub(crate) root: String,
    pub(crate) n_readable: usize,
    pub(crate) n_unreadable: usize,
    /// Readable recordings, copies counted once.
    pub(crate) n_independent: usize,
    /// How long they last together, in milliseconds.
    pub(crate) duration_ms: Span,
}

/// A run whose audit is kept.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub(crate) struct AuditedRun {
    pub(crate) run: String,
    pub(crate) started_ms: Moment,
    pub(crate) is_shown: bool,
}

/// A class in figures.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub(crate) struct ClassRow {
    pub(crate) label: String,
    pub(crate) n_readable: usize,
    pub(crate) n_unreadable: usize,
    /// Copies counted once.
    pub(crate) n_independent: usize,
    pub(crate) duration_ms: Span,
    /// Its share of the readable recordings.
    pub(crate) share: Share,
    /// Its recordings, beside those of the largest class.
    #[serde(skip)]
    pub(crate) fill: String,
    /// Its independent recordings, beside those of the largest class.
    #[serde(skip)]
    pub(crate) fill_independent: String,
    /// Where its recordings are listened to.
    pub(crate) href: String,
}

/// Findings of one kind.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub(crate) struct FindingGroup {
    pub(crate) title: String,
    /// `problem`, `warning` or `note`.
    pub(crate) severity: String,
    /// What to do about it.
    pub(crate) advice: String,
    pub(crate) n: usize,
    /// The first of them.
    pub(crate) findings: Vec<FindingRow>,
}

/// One finding.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub(crate) struct FindingRow {
    /// What was found, in a sentence.
    pub(crate) message: String,
    /// The recordings that it is about, the first of them.
    pub(crate) clips: Vec<Clip>,
    pub(crate) n_clips: usize,
}

/// A recording to listen to.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub(crate) struct Clip {
    /// Its path within the collection.
    pub(crate) path: String,
    pub(crate) label: String,
    pub(crate) duration_ms: Option<Span>,
    /// Sample rate, format and channels, in words.
    pub(crate) format: String,
    /// Where it is heard, as WAV.
    pub(crate) audio: Option<String>,
    /// Where its spectrogram is, as PNG.
    pub(crate) picture: Option<String>,
}

/// Two recordings that share their sound.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub(crate) struct PairOfCopies {
    pub(crate) first: Clip,
    pub(crate) second: Clip,
    /// `copy`, `contained` or `overlap`.
    pub(crate) relation: String,
    /// The same in words.
    pub(crate) words: String,
    /// How alike the waveforms are; 1 is the same but for the level.
    pub(crate) similarity: Figure,
    /// Where the second begins in the first, in seconds.
    pub(crate) offset_seconds: Figure,
    pub(crate) shared_seconds: Figure,
    /// Whether they have different labels.
    pub(crate) is_conflict: bool,
}

impl PairOfCopies {
    /// Where the second begins, in words; nothing where both do.
    pub(crate) fn offset(&self) -> String {
        let seconds = Figure(self.offset_seconds.0.abs());
        match self.offset_seconds.0 {
            offset if offset > 0.0 => format!(", the second begins {seconds} s into the first"),
            offset if offset < 0.0 => format!(", the second begins {seconds} s before the first"),
            _ => String::new(),
        }
    }
}

impl DataPage {
    /// Reads the newest audit, or that of the run that the address names.
    ///
    /// # Errors
    ///
    /// When the named run has none, or the store fails.
    pub(crate) fn load(store: Option<&Store>, query: &Query) -> Result<Self, ApiError> {
        let Some(store) = store else {
            return Ok(Self::empty());
        };
        let Some(audited) = Audited::find(store, query.one("run"))? else {
            return Ok(Self::empty());
        };
        let audit = audited.audit();
        let clips = Clips::of(&audited);
        let n_near_copies = audit.near_copies.len();
        let n_pages = n_near_copies.div_ceil(PAIRS_PER_PAGE).max(1);
        let page = query
            .one("page")
            .and_then(|page| page.parse().ok())
            .unwrap_or(1);
        let page: usize = usize::clamp(page, 1, n_pages);
        let pairs = audit.near_copies.iter().skip((page - 1) * PAIRS_PER_PAGE);
        Ok(Self {
            collection: Some(CollectionFacts::new(&audited)),
            runs: audits::runs(store, &audited.run)?,
            classes: classes(audit, &audited.run),
            findings: findings(audit, &clips),
            near_copies: pairs
                .take(PAIRS_PER_PAGE)
                .map(|pair| clips.pair(pair))
                .collect(),
            n_near_copies,
            page,
            n_pages,
        })
    }

    fn empty() -> Self {
        Self {
            collection: None,
            runs: Vec::new(),
            classes: Vec::new(),
            findings: Vec::new(),
            near_copies: Vec::new(),
            n_near_copies: 0,
            page: 1,
            n_pages: 1,
        }
    }

    /// The address of another page of near copies.
    pub(crate) fn page_at(&self, page: usize) -> String {
        let run = self
            .collection
            .as_ref()
            .map(|collection| collection.run.as_str());
        let query = Query::default()
            .with("run", run)
            .with("page", Some(&page.to_string()));
        format!("{}#copies", query.address("/data"))
    }
}

impl CollectionFacts {
    fn new(audited: &Audited) -> Self {
        let audit = audited.audit();
        let sum = |of: fn(&biophony_dataset::ClassSummary) -> usize| -> usize {
            audit.classes.iter().map(of).sum()
        };
        Self {
            name: audited.name().to_owned(),
            run: audited.run.to_string(),
            audited_ms: audited.started_ms,
            root: audited.root.clone(),
            n_readable: sum(|class| class.n_readable),
            n_unreadable: sum(|class| class.n_unreadable),
            n_independent: sum(|class| class.n_groups),
            duration_ms: Span(1e3 * audit.classes.iter().map(|c| c.total_seconds).sum::<f64>()),
        }
    }
}

fn classes(audit: &Audit, run: &biophony_pipeline::RunId) -> Vec<ClassRow> {
    let n_readable: usize = audit.classes.iter().map(|class| class.n_readable).sum();
    let largest = audit
        .classes
        .iter()
        .map(|class| class.n_readable)
        .max()
        .unwrap_or(0)
        .max(1);
    let fill = |n: usize| format!("{:.4}", n as f64 / largest as f64);
    let row = |class: &biophony_dataset::ClassSummary| ClassRow {
        label: class.label.clone(),
        n_readable: class.n_readable,
        n_unreadable: class.n_unreadable,
        n_independent: class.n_groups,
        duration_ms: Span(1e3 * class.total_seconds),
        share: Share(class.n_readable as f64 / n_readable.max(1) as f64),
        fill: fill(class.n_readable),
        fill_independent: fill(class.n_groups),
        href: Query::default()
            .with("run", Some(run.as_str()))
            .with("class", Some(&class.label))
            .address("/data/clips"),
    };
    audit.classes.iter().map(row).collect()
}

/// Findings by kind, in the order of the audit, which is by gravity.
fn findings(audit: &Audit, clips: &Clips<'_>) -> Vec<FindingGroup> {
    let mut groups: Vec<FindingGroup> = Vec::new();
    let mut place_of: BTreeMap<(Severity, &str), usize> = BTreeMap::new();
    for finding in &audit.findings {
        let place = *place_of
            .entry((finding.severity(), finding.title()))
            .or_insert_with(|| {
                groups.push(FindingGroup {
                    title: finding.title().to_owned(),
                    severity: finding.severity().name().to_owned(),
                    advice: finding.advice().to_owned(),
                    n: 0,
                    findings: Vec::new(),
                });
                groups.len() - 1
            });
        let group = &mut groups[place];
        group.n += 1;
        if group.findings.len() < MAX_FINDINGS {
            let paths = paths_of(finding);
            group.findings.push(FindingRow {
                message: finding.message(),
                n_clips: paths.len(),
                clips: paths
                    .iter()
                    .take(MAX_CLIPS)
                    .filter_map(|path| clips.named(path))
                    .collect(),
            });
        }
    }
    groups
}

/// The recordings that a finding is about.
fn paths_of(finding: &Finding) -> Vec<&str> {
    match finding {
        Finding::Unreadable { path, .. }
        | Finding::Damaged { path, .. }
        | Finding::Silent { path, .. }
        | Finding::Clipped { path, .. }
        | Finding::DcOffset { path, .. }
        | Finding::TooShort { path, .. }
        | Finding::NarrowBand { path, .. } => vec![path],
        Finding::ConflictingLabels { recordings, .. } => {
            recordings.iter().map(|(path, _)| path.as_str()).collect()
        }
        Finding::Copies { paths, .. }
        | Finding::NearCopies { paths }
        | Finding::Unlabelled { paths } => paths.iter().map(String::as_str).collect(),
        _ => Vec::new(),
    }
}

/// The recordings of an audit by their paths.
pub(crate) struct Clips<'a> {
    run: &'a str,
    of: HashMap<&'a str, &'a ClipReport>,
}

impl<'a> Clips<'a> {
    pub(crate) fn of(audited: &'a Audited) -> Self {
        let clips = audited.audit().clips.iter();
        Self {
            run: audited.run.as_str(),
            of: clips.map(|clip| (clip.path.as_str(), clip)).collect(),
        }
    }

    fn named(&self, path: &str) -> Option<Clip> {
        self.of.get(path).map(|report| self.clip(report))
    }

    /// A recording as it is shown.
    pub(crate) fn clip(&self, report: &ClipReport) -> Clip {
        let question = Query::default()
            .with("run", Some(self.run))
            .with("path", Some(&report.path));
        let measured = report.measurements.as_ref();
        let address = |path: &str| measured.map(|_| question.address(path));
        Clip {
            path: report.path.clone(),
            label: report.label.clone(),
            duration_ms: measured.map(|found| Span(1e3 * found.seconds)),
            format: match (measured, &report.unreadable) {
                (Some(found), _) => format!(
                    "{:.1} kHz, {} {}, {}",
                    f64::from(found.sample_rate_hz) / 1e3,
                    found.container,
                    found.codec,
                    match found.channels {
                        1 => "mono".to_owned(),
                        2 => "stereo".to_owned(),
                        n => format!("{n} channels"),
                    }
                ),
                (None, Some(reason)) => reason.clone(),
                (None, None) => "unreadable".to_owned(),
            },
            audio: address("/api/v1/data/audio"),
            picture: address("/api/v1/data/picture"),
        }
    }

    fn pair(&self, pair: &NearCopy) -> PairOfCopies {
        let missing = |path: &str| Clip {
            path: path.to_owned(),
            label: String::new(),
            duration_ms: None,
            format: String::new(),
            audio: None,
            picture: None,
        };
        let clip = |path: &str| self.named(path).unwrap_or_else(|| missing(path));
        let (first, second) = (clip(&pair.first), clip(&pair.second));
        let (relation, words) = match pair.relation {
            Relation::Copy => ("copy", "the same from beginning to end"),
            Relation::Contained => ("contained", "one is a piece of the other"),
            Relation::Overlap => ("overlap", "they share a piece"),
        };
        PairOfCopies {
            is_conflict: first.label != second.label,
            first,
            second,
            relation: relation.to_owned(),
            words: words.to_owned(),
            similarity: Figure(pair.similarity),
            offset_seconds: Figure(pair.offset_seconds),
            shared_seconds: Figure(pair.shared_seconds),
        }
    }
}
