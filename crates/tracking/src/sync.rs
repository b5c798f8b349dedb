//! Copying runs from one store to another, such that doing it again changes nothing.
//!
//! A training run that shall appear on a remote server is recorded in the embedded
//! store first, which is never out of reach, and copied from there: at once, or
//! whenever the server can be reached again. The embedded store is the spool.
//!
//! # Exactly once
//!
//! The copy carries the original's identifier in the tag [`COPY_OF`]. A copy that
//! broke off is found again by it and completed; points that are there already are
//! not stored twice, parameters and tags are set to what they are. So whatever the
//! moment at which a copy breaks off, the next one ends in the same state.
//!
//! What has been copied in full is noted on the original, for each store that has a
//! copy: what one server has says nothing of another. What came here as a copy is
//! not copied on.
//!
//! Two that copy one run at the same time could both find no copy and make one each:
//! keeping them apart is the caller's business.
//!
//! Files, logged models and versions are copied by `sync/mirror.rs`, aliases by
//! `sync/aliases.rs`.

#[cfg(feature = "remote")]
mod aliases;
#[cfg(feature = "remote")]
mod mirror;

#[cfg(feature = "remote")]
pub use aliases::{AliasConflict, AliasMoves, Overwrite};
#[cfg(feature = "remote")]
pub use mirror::{Mirror, Mirrored};

use crate::entities::{
    ExperimentId, LifecycleStage, Metric, Param, Run, RunId, RunStatus, Tag, value_of,
};
use crate::error::{Result, TrackingError};
use crate::requests::{CreateRun, LogBatch, Page, Search, UpdateRun, ViewType};
use crate::store::{TrackingStore, experiment_named};

/// The tag of a copy that names the run it was made from.
pub const COPY_OF: &str = "biophony.copy_of";

/// The tag of a run that names the server it was recorded for. It is of no concern to
/// that server.
pub const SEND_TO: &str = "biophony.send_to";

/// The beginning of the tags that name finished copies; each ends with the store that
/// the copy is in, as [`copied_to`] has it.
const COPIED_TO: &str = "biophony.copied_to/";

/// The tag by which MLflow nests runs.
const PARENT: &str = "mlflow.parentRunId";

/// The most of each that one batch may hold.
const METRICS_PER_BATCH: usize = 1000;
const PAIRS_PER_BATCH: usize = 100;

/// The tag of a run or a version that names its finished copy in a store.
pub fn copied_to(store_identity: &str) -> String {
    format!("{COPIED_TO}{store_identity}")
}

/// Whether a run has a finished copy in some store.
pub fn is_copied(run: &Run) -> bool {
    let mut tags = run.data.tags.iter();
    tags.any(|tag| tag.key.starts_with(COPIED_TO))
}

/// Forgets which copies of a run are finished: it has more to tell.
///
/// # Errors
///
/// When the store fails.
pub fn forget_copies(store: &dyn TrackingStore, run: &RunId) -> Result<()> {
    for tag in store.get_run(run)?.data.tags {
        if tag.key.starts_with(COPIED_TO) {
            store.delete_tag(run, &tag.key)?;
        }
    }
    Ok(())
}

/// Whether a tag is about copying alone, so that copies do not have it.
fn is_of_copying(tag: &Tag) -> bool {
    tag.key.starts_with(COPIED_TO) || tag.key == COPY_OF || tag.key == SEND_TO
}

/// The tag that names copies in `to`, which must be another store than `from`.
fn tag_for(from: &dyn TrackingStore, to: &dyn TrackingStore) -> Result<String> {
    let identity = to.identity()?;
    match identity == from.identity()? {
        true => Err(TrackingError::SameStore),
        false => Ok(copied_to(&identity)),
    }
}

/// Copies a run, completing an earlier copy if there is one, and returns the copy's
/// identifier. The experiment of the same name is created if there is none.
///
/// The copy of a run that has ended is noted on the original, see [`copied_to`].
///
/// # Errors
///
/// [`TrackingError::SameStore`] when both are one, and when either store fails. What
/// was copied by then stays, and the next call goes on.
pub fn copy_run(from: &dyn TrackingStore, id: &RunId, to: &dyn TrackingStore) -> Result<RunId> {
    let copied_to = tag_for(from, to)?;
    let run = from.get_run(id)?;
    let copy = begin_copy(from, &run, to)?;
    copy_data(from, &run, to, &to.get_run(&copy)?)?;
    end_copy(from, &run, to, &copy, &copied_to)?;
    Ok(copy)
}

/// Copies every run of `experiments` that has ended and was not copied there before;
/// returns the originals and their copies.
///
/// # Errors
///
/// As [`copy_run`]; runs that were copied by then are not copied again.
pub fn copy_pending(
    from: &dyn TrackingStore,
    experiments: &[ExperimentId],
    to: &dyn TrackingStore,
) -> Result<Vec<(RunId, RunId)>> {
    let mut copies = Vec::new();
    for id in pending(from, experiments, to)? {
        let copy = copy_run(from, &id, to)?;
        copies.push((id, copy));
    }
    Ok(copies)
}

/// The runs that have ended, are no copies and have none in `to`, the oldest first.
///
/// # Errors
///
/// As [`copy_run`].
pub fn pending(
    from: &dyn TrackingStore,
    experiments: &[ExperimentId],
    to: &dyn TrackingStore,
) -> Result<Vec<RunId>> {
    let copied_to = tag_for(from, to)?;
    let mut search = Search {
        order_by: vec!["start_time ASC".to_owned()],
        ..Search::matching(format!(
            "tags.`{copied_to}` IS NULL AND tags.`{COPY_OF}` IS NULL"
        ))
    };
    let mut found = Vec::new();
    loop {
        let page: Page<Run> = from.search_runs(experiments, &search, ViewType::ActiveOnly)?;
        let ended = page.items.into_iter().filter(has_ended);
        found.extend(ended.map(|run| run.info.run_id));
        search.page_token = page.next_page_token;
        if search.page_token.is_none() {
            return Ok(found);
        }
    }
}

fn has_ended(run: &Run) -> bool {
    !matches!(run.info.status, RunStatus::Running | RunStatus::Scheduled)
}

/// The copy of a run, made now if there is none.
fn begin_copy(from: &dyn TrackingStore, run: &Run, to: &dyn TrackingStore) -> Result<RunId> {
    let experiment = from.get_experiment(&run.info.experiment_id)?;
    let target = experiment_named(to, &experiment.name)?;
    match earlier_copy(to, &target, &run.info.run_id)? {
        Some(copy) => Ok(copy),
        None => start_copy(to, target, run),
    }
}

/// Copies what a run has logged so far and `there`, its copy, lacks.
fn copy_data(
    from: &dyn TrackingStore,
    run: &Run,
    to: &dyn TrackingStore,
    there: &Run,
) -> Result<()> {
    let copy = &there.info.run_id;
    let params = run.data.params.iter();
    let is_new = |param: &&Param| value_of(&there.data.params, &param.key).is_none();
    let params: Vec<Param> = params.filter(is_new).cloned().collect();
    for params in params.chunks(PAIRS_PER_BATCH) {
        to.log_batch(copy, &params_batch(params))?;
    }
    let mut points = Vec::new();
    for metric in &run.data.metrics {
        let history = from.metric_history(&run.info.run_id, &metric.key, None, None)?;
        points.extend(history.items.iter().map(without_model));
    }
    for metrics in points.chunks(METRICS_PER_BATCH) {
        let batch = LogBatch {
            metrics: metrics.to_vec(),
            ..LogBatch::default()
        };
        to.log_batch(copy, &batch)?;
    }
    if there.inputs.dataset_inputs.len() < run.inputs.dataset_inputs.len() {
        to.log_inputs(copy, &run.inputs.dataset_inputs, &[])?;
    }
    let mut tags = tags_of_copy(from, run, to)?;
    tags.retain(|tag| value_of(&there.data.tags, &tag.key) != Some(&tag.value));
    for tags in tags.chunks(PAIRS_PER_BATCH) {
        to.log_batch(copy, &tags_batch(tags))?;
    }
    Ok(())
}

/// Lets a copy end as its original did.
fn end_copy(
    from: &dyn TrackingStore,
    run: &Run,
    to: &dyn TrackingStore,
    copy: &RunId,
    copied_to: &str,
) -> Result<()> {
    to.update_run(
        copy,
        &UpdateRun {
            status: Some(run.info.status),
            end_time: run.info.end_time,
            run_name: None,
        },
    )?;
    // Last, so that a run without this tag is one that has to be copied.
    if has_ended(run) {
        from.set_tag(&run.info.run_id, Tag::new(copied_to, copy.as_str()))?;
    }
    Ok(())
}

/// The tags of a run as its copy has them: the run that it is nested in has another
/// identifier there.
fn tags_of_copy(from: &dyn TrackingStore, run: &Run, to: &dyn TrackingStore) -> Result<Vec<Tag>> {
    let tags = run.data.tags.iter();
    tags.filter(|tag| !is_of_copying(tag))
        .map(|tag| match tag.key.as_str() {
            PARENT => {
                let parent = match from.get_run(&RunId::from(tag.value.as_str())) {
                    Ok(parent) => begin_copy(from, &parent, to)?.to_string(),
                    // It was never here, or is gone.
                    Err(TrackingError::RunNotFound(_)) => tag.value.clone(),
                    Err(error) => return Err(error),
                };
                Ok(Tag::new(PARENT, parent))
            }
            _ => Ok(tag.clone()),
        })
        .collect()
}

fn earlier_copy(
    to: &dyn TrackingStore,
    experiment: &ExperimentId,
    original: &RunId,
) -> Result<Option<RunId>> {
    let search = Search {
        max_results: Some(1),
        order_by: vec!["start_time ASC".to_owned()],
        ..Search::matching(format!("tags.`{COPY_OF}` = '{original}'"))
    };
    let page = to.search_runs(std::slice::from_ref(experiment), &search, ViewType::All)?;
    let Some(copy) = page.items.into_iter().next() else {
        return Ok(None);
    };
    if copy.info.lifecycle_stage == LifecycleStage::Deleted {
        to.restore_run(&copy.info.run_id)?;
    }
    Ok(Some(copy.info.run_id))
}

fn start_copy(to: &dyn TrackingStore, experiment: ExperimentId, run: &Run) -> Result<RunId> {
    let mut tags = vec![Tag::new(COPY_OF, run.info.run_id.as_str())];
    tags.extend(
        value_of(&run.data.tags, "mlflow.runName").map(|name| Tag::new("mlflow.runName", name)),
    );
    // The tag comes with the run, in one request: a copy is never without it.
    let copy = to.create_run(CreateRun {
        experiment_id: experiment,
        user_id: run.info.user_id.clone(),
        start_time: run.info.start_time,
        run_name: None,
        tags,
    })?;
    Ok(copy.info.run_id)
}

/// Logged models have other identifiers in the other store.
fn without_model(metric: &Metric) -> Metric {
    Metric {
        model_id: None,
        run_id: None,
        ..metric.clone()
    }
}

fn params_batch(params: &[Param]) -> LogBatch {
    LogBatch {
        params: params.to_vec(),
        ..LogBatch::default()
    }
}

fn tags_batch(tags: &[Tag]) -> LogBatch {
    LogBatch {
        tags: tags.to_vec(),
        ..LogBatch::default()
    }
}
