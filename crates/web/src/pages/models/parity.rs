//! Whether a version answers as it did when it was trained: its bundle is asked again
//! about recordings of the test part, and held against what was written down then.
//!
//! Made when somebody asks for it, of a handful of recordings; training-time and
//! serving-time scores differ by rounding at most.

use std::collections::HashMap;
use std::path::Path;

use biophony_audio::{DecodeLimits, decode_bytes};
use biophony_model::Predictor;
use biophony_pipeline::{ContentHash, Store};
use biophony_tracking::{ArtifactStore, ModelVersion, Run, TrackingStore};
use serde::{Deserialize, Serialize};
use tokio::sync::Semaphore;
use utoipa::ToSchema;

use crate::error::ApiError;
use crate::pages::data::audits::Audited;
use crate::pages::data::sound;
use crate::pages::figures::Figure;
use crate::pages::runs::artifacts::read_small;

/// How many recordings are asked about.
const MAX_RECORDINGS: usize = 24;

/// The greatest difference of probabilities that is called the same.
const TOLERANCE: f64 = 1e-5;

/// Whoever asks waits for the others, and holds no thread meanwhile: recordings are
/// decoded, and models take memory.
pub(crate) static ONE_AT_A_TIME: Semaphore = Semaphore::const_new(1);

/// What came of asking again.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub(crate) struct Parity {
    /// Recordings of the test part that were asked about.
    pub(crate) n_recordings: usize,
    /// The greatest difference between the probability then and now.
    pub(crate) greatest_difference: Option<Figure>,
    /// Whether that is rounding alone; `null` when nothing could be asked.
    pub(crate) holds: Option<bool>,
    /// What that means, in words.
    pub(crate) words: String,
}

/// A line of a run's `predictions.csv`, as far as it is needed.
#[derive(Deserialize)]
struct Row {
    path: String,
    label: String,
    probability: f64,
    part: Option<String>,
    fold: Option<String>,
}

/// Where to look things up.
pub(crate) struct Sources<'a> {
    pub(crate) tracking: &'a dyn TrackingStore,
    pub(crate) artifacts: &'a ArtifactStore,
    pub(crate) pipelines: Option<&'a Store>,
    pub(crate) limits: DecodeLimits,
}

impl Parity {
    /// Asks the version's bundle about recordings of the test part.
    ///
    /// # Errors
    ///
    /// When the bundle cannot be opened or used.
    pub(crate) fn check(
        sources: &Sources<'_>,
        version: &ModelVersion,
        run: Option<&Run>,
        pipeline_run: Option<&str>,
    ) -> Result<Self, ApiError> {
        let rows = run.and_then(|run| tested(sources.artifacts, run));
        let Some(rows) = rows.filter(|rows| !rows.is_empty()) else {
            return Ok(Self::unknown(
                "nothing to compare with: its run has no predictions of this very network",
            ));
        };
        let (Some(store), Some(pipeline_run)) = (sources.pipelines, pipeline_run) else {
            return Ok(Self::unknown(
                "the run of the pipeline is not kept any more",
            ));
        };
        let content_of = contents(store, pipeline_run)?;
        let predictor = Predictor::open(
            &sources
                .artifacts
                .version_folder(sources.tracking, version)?,
        )?;
        let mut differences = Vec::new();
        for row in rows.iter().take(MAX_RECORDINGS) {
            let Some(&content) = content_of.get(&row.path) else {
                continue;
            };
            let Some(bytes) = sound::read(store, content, &sources.limits)? else {
                continue;
            };
            let clip = decode_bytes(bytes, Path::new(&row.path), &sources.limits)?.clip;
            let ranked = predictor.predict(&clip)?.ranked;
            let now = ranked.iter().find(|ranked| ranked.label == row.label);
            let now = now.map_or(f64::NAN, |ranked| f64::from(ranked.probability));
            differences.push((now - row.probability).abs());
        }
        Ok(Self::of(&differences))
    }

    fn of(differences: &[f64]) -> Self {
        if differences.is_empty() {
            return Self::unknown("none of the recordings of the test part is where it was");
        }
        // A label that is gone is no number, and no parity either.
        let holds = differences
            .iter()
            .all(|difference| *difference <= TOLERANCE);
        let greatest = differences.iter().copied().fold(0.0, f64::max);
        Self {
            n_recordings: differences.len(),
            greatest_difference: Some(Figure(greatest)),
            holds: Some(holds),
            words: match holds {
                true => "it answers as it did when it was trained".to_owned(),
                false => "it does not answer as it did when it was trained".to_owned(),
            },
        }
    }

    fn unknown(words: &str) -> Self {
        Self {
            n_recordings: 0,
            greatest_difference: None,
            holds: None,
            words: words.to_owned(),
        }
    }
}

/// The recordings that the bundle's network was tested on. In a cross-validation
/// several networks were tested, none of which is the bundle's.
fn tested(artifacts: &ArtifactStore, run: &Run) -> Option<Vec<Row>> {
    let table = read_small(artifacts, run, "predictions.csv")?;
    let rows = csv::Reader::from_reader(&table[..]).into_deserialize();
    let mut rows: Vec<Row> = rows.collect::<Result<_, _>>().ok()?;
    rows.retain(|row| row.part.as_deref() == Some("test"));
    let is_one = rows.iter().all(|row| row.fold == rows[0].fold);
    is_one.then_some(rows)
}

/// The content of each audited recording.
fn contents(store: &Store, run: &str) -> Result<HashMap<String, ContentHash>, ApiError> {
    let Some(audited) = Audited::find(store, Some(run))? else {
        return Ok(HashMap::new());
    };
    let clips = audited.audit().clips.iter();
    let content = |clip: &biophony_dataset::ClipReport| {
        let hash = clip.measurements.as_ref()?.file_hash.parse().ok()?;
        Some((clip.path.clone(), hash))
    };
    Ok(clips.filter_map(content).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parity_holds_for_rounding_and_not_for_more() {
        for (differences, holds) in [
            (&[0.0, 2e-7][..], Some(true)),
            (&[2e-7, 0.1], Some(false)),
            (&[0.0, f64::NAN], Some(false)),
            (&[], None),
        ] {
            assert_eq!(Parity::of(differences).holds, holds, "{differences:?}");
        }
    }
}
