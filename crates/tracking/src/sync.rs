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
//! Files and logged models are not copied here.

use crate::entities::{
    ExperimentId, LifecycleStage, Metric, Param, Run, RunId, RunStatus, Tag, value_of,
};
use crate::error::Result;
use crate::requests::{CreateRun, LogBatch, Page, Search, UpdateRun, ViewType};
use crate::store::{TrackingStore, experiment_named};

/// The tag of a copy that names the run it was made from.
pub const COPY_OF: &str = "biophony.copy_of";

/// The tag of a run that names its finished copy.
pub const COPIED_TO: &str = "biophony.copied_to";

/// The most of each that one batch may hold.
const METRICS_PER_BATCH: usize = 1000;
const PAIRS_PER_BATCH: usize = 100;

/// Copies a run, completing an earlier copy if there is one, and returns the copy's
/// identifier. The experiment of the same name is created if there is none.
///
/// The copy of a run that has ended is noted on the original, in [`COPIED_TO`].
///
/// # Errors
///
/// When either store fails. What was copied by then stays, and the next call goes on.
pub fn copy_run(from: &dyn TrackingStore, id: &RunId, to: &dyn TrackingStore) -> Result<RunId> {
    let run = from.get_run(id)?;
    let experiment = from.get_experiment(&run.info.experiment_id)?;
    let target = experiment_named(to, &experiment.name)?;
    let copy = match earlier_copy(to, &target, id)? {
        Some(copy) => copy,
        None => start_copy(to, target, &run)?,
    };
    for params in run.data.params.chunks(PAIRS_PER_BATCH) {
        to.log_batch(&copy, &params_batch(params))?;
    }
    for metric in &run.data.metrics {
        copy_history(from, id, &metric.key, to, &copy)?;
    }
    if !run.inputs.dataset_inputs.is_empty() {
        to.log_inputs(&copy, &run.inputs.dataset_inputs, &[])?;
    }
    let tags: Vec<Tag> = run
        .data
        .tags
        .iter()
        .filter(|tag| tag.key != COPIED_TO)
        .cloned()
        .collect();
    for tags in tags.chunks(PAIRS_PER_BATCH) {
        to.log_batch(&copy, &tags_batch(tags))?;
    }
    to.update_run(
        &copy,
        &UpdateRun {
            status: Some(run.info.status),
            end_time: run.info.end_time,
            run_name: None,
        },
    )?;
    // Last, so that a run without this tag is one that has to be copied.
    if has_ended(&run) {
        from.set_tag(id, Tag::new(COPIED_TO, copy.as_str()))?;
    }
    Ok(copy)
}

/// Copies every run of `experiments` that has ended and was not copied before;
/// returns the originals and their copies.
///
/// # Errors
///
/// When either store fails; runs that were copied by then are not copied again.
pub fn copy_pending(
    from: &dyn TrackingStore,
    experiments: &[ExperimentId],
    to: &dyn TrackingStore,
) -> Result<Vec<(RunId, RunId)>> {
    let mut copies = Vec::new();
    for id in pending(from, experiments)? {
        let copy = copy_run(from, &id, to)?;
        copies.push((id, copy));
    }
    Ok(copies)
}

/// The runs that have ended and were not copied, the oldest first.
///
/// # Errors
///
/// When the store fails.
pub fn pending(from: &dyn TrackingStore, experiments: &[ExperimentId]) -> Result<Vec<RunId>> {
    let mut search = Search {
        order_by: vec!["start_time ASC".to_owned()],
        ..Search::matching(format!("tags.`{COPIED_TO}` IS NULL"))
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

fn copy_history(
    from: &dyn TrackingStore,
    id: &RunId,
    key: &str,
    to: &dyn TrackingStore,
    copy: &RunId,
) -> Result<()> {
    let points = from.metric_history(id, key, None, None)?.items;
    for metrics in points.chunks(METRICS_PER_BATCH) {
        let batch = LogBatch {
            metrics: metrics.iter().map(without_model).collect(),
            ..LogBatch::default()
        };
        to.log_batch(copy, &batch)?;
    }
    Ok(())
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
