//! Which audits there are: one in each run of the pipeline that came past `ingest`.

use std::sync::{Arc, Mutex, PoisonError};

use biophony_dataset::Audit;
use biophony_pipeline::{ContentHash, OutputRecord, RunId, RunRecord, RunSummary, Store};
use serde::Deserialize;

use super::AuditedRun;
use crate::error::ApiError;
use crate::pages::figures::Moment;

/// The step that audits, and its output that holds the audit.
const STEP: &str = "ingest";
const OUTPUT: &str = "collection";

/// How many runs can be chosen from.
const MAX_RUNS: usize = 20;

/// How many of the newest runs are looked through for an audit.
const MAX_LOOKED_AT: usize = 60;

/// An audit with the run that made it.
#[derive(Clone)]
pub(crate) struct Audited {
    pub(crate) run: RunId,
    pub(crate) started_ms: Moment,
    /// Where the recordings were then.
    pub(crate) root: String,
    collection: Arc<Collection>,
}

/// What `ingest` says of a collection, as far as it is shown.
#[derive(Deserialize)]
struct Collection {
    name: String,
    audit: Audit,
}

impl Audited {
    /// The audit of a run, or the newest there is.
    ///
    /// # Errors
    ///
    /// When the named run has none, or the store fails.
    pub(crate) fn find(store: &Store, run: Option<&str>) -> Result<Option<Self>, ApiError> {
        if let Some(name) = run {
            let missing = || ApiError::NotFound(format!("there is no run `{name}` with an audit"));
            let id: RunId = name.parse().map_err(|_| missing())?;
            let record = store.run(&id)?;
            let output = output_of(&record).ok_or_else(missing)?;
            return Self::read(store, &record, output).map(Some);
        }
        for summary in newest_first(store)?.iter().take(MAX_LOOKED_AT) {
            let record = store.run(&summary.id)?;
            if let Some(output) = output_of(&record)
                && let Ok(audited) = Self::read(store, &record, output)
            {
                return Ok(Some(audited));
            }
        }
        Ok(None)
    }

    fn read(store: &Store, record: &RunRecord, output: &OutputRecord) -> Result<Self, ApiError> {
        let root = record
            .graph
            .sources
            .first()
            .map(|source| source.path.clone());
        Ok(Self {
            run: record.summary.id.clone(),
            started_ms: Moment(record.summary.started_ms),
            root: root.unwrap_or_default(),
            collection: collection(store, output.content)?,
        })
    }

    pub(crate) fn audit(&self) -> &Audit {
        &self.collection.audit
    }

    /// The collection's name.
    pub(crate) fn name(&self) -> &str {
        &self.collection.name
    }
}

/// The newest runs with an audit, among them the one that is shown.
pub(crate) fn runs(store: &Store, shown: &RunId) -> Result<Vec<AuditedRun>, ApiError> {
    let mut found = Vec::new();
    for summary in newest_first(store)?.iter().take(MAX_LOOKED_AT) {
        if found.len() < MAX_RUNS && output_of(&store.run(&summary.id)?).is_some() {
            found.push(AuditedRun {
                run: summary.id.to_string(),
                started_ms: Moment(summary.started_ms),
                is_shown: summary.id == *shown,
            });
        }
    }
    Ok(found)
}

fn newest_first(store: &Store) -> Result<Vec<RunSummary>, ApiError> {
    let mut runs = store.runs()?;
    runs.sort_by(|a, b| (b.started_ms, &b.id).cmp(&(a.started_ms, &a.id)));
    Ok(runs)
}

fn output_of(record: &RunRecord) -> Option<&OutputRecord> {
    let outputs = &record.step(STEP)?.outputs;
    outputs.iter().find(|output| output.name == OUTPUT)
}

/// Reads a collection. The last one is kept: it is asked for again with every
/// recording, and what is named by its content does not change.
fn collection(store: &Store, content: ContentHash) -> Result<Arc<Collection>, ApiError> {
    static LAST: Mutex<Option<(ContentHash, Arc<Collection>)>> = Mutex::new(None);
    let last = || LAST.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((kept, collection)) = &*last()
        && *kept == content
    {
        return Ok(Arc::clone(collection));
    }
    let path = store.artifact_path(content)?;
    let failed = |reason: String| ApiError::Internal(format!("cannot read an audit: {reason}"));
    let text = std::fs::read(&path).map_err(|error| failed(error.to_string()))?;
    let collection: Collection =
        serde_json::from_slice(&text).map_err(|error| failed(error.to_string()))?;
    let collection = Arc::new(collection);
    *last() = Some((content, Arc::clone(&collection)));
    Ok(collection)
}
