//! The run in the tracking store that belongs to one run of the pipeline.
//!
//! It begins when the pipeline does, gets a point per epoch while networks are
//! trained, the results when they are there, and a status however things end. A
//! cross-validation is a run with a nested run for each network.
//!
//! What cannot be written is told once and stops nothing, with one exception: a
//! model that was not recorded cannot be put into use.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::{Context, Result};
use biophony_model::TrainingConfig;
use biophony_pipeline::{RunId as PipelineRunId, RunObserver, RunRecord, StepRecord, Store};
use biophony_tracking::{
    CreateRun, ExperimentId, Metric, Param, RunId, RunInfo, RunStatus, SEND_TO, Search,
    SqliteStore, Tag, TrackingStore, UpdateRun, ViewType, experiment_named, forget_copies, now,
    value_of,
};

use super::alive::{self, Sign};
use super::courier::Courier;
use super::scribe::Scribe;
use super::system::Sampler;
use super::{EpochLog, Tracking, destination, params, tag};
use crate::collection::name_of;
use crate::progress::note;
use crate::stages::Request;

/// The tag by which MLflow nests runs.
pub(super) const PARENT: &str = "mlflow.parentRunId";

/// Takes down one run of the pipeline.
pub(crate) struct Recorder {
    pub(super) tracking: Tracking,
    pub(super) scribe: Arc<Scribe>,
    experiment: ExperimentId,
    pipelines: Store,
    params: Vec<Param>,
    pub(super) training: TrainingConfig,
    pub(super) data: String,
    /// Whether there may be a run already, to go on with.
    is_resumed: bool,
    /// The way to a server that is told as well.
    courier: Option<Courier>,
    /// The division whose curves are the run's own; others have nested runs.
    own_division: Option<&'static str>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    run: Option<RunInfo>,
    sign: Option<Sign>,
    /// The nested runs, by division.
    nested: BTreeMap<String, RunInfo>,
    /// The divisions that were trained now, not taken from the cache.
    trained: BTreeSet<String>,
    /// Watches the machine while networks are trained.
    sampler: Option<Sampler>,
}

impl Recorder {
    /// Prepares to record; the run begins when the pipeline's does.
    ///
    /// # Errors
    ///
    /// When the experiment is deleted, or the store cannot be used.
    pub(crate) fn new(
        tracking: &Tracking,
        request: &Request,
        pipelines: &Store,
        is_resumed: bool,
    ) -> Result<Arc<Self>> {
        if let Some(why) = destination::unusable_uri(&tracking.settings) {
            note(&format!("this run is recorded here alone; {why}"));
        }
        let courier = Courier::start(tracking)?;
        let collection = &request.collection;
        let data = collection.folder.as_ref().or(collection.manifest.as_ref());
        let data = data.map(|path| std::path::absolute(path).unwrap_or_else(|_| path.clone()));
        let experiment = match tracking.settings.experiment.as_str() {
            "" => data.as_deref().map_or_else(String::new, name_of),
            name => name.to_owned(),
        };
        let experiment = match experiment.as_str() {
            "" => "biophony",
            name => name,
        };
        let is_single = request.folds.is_none();
        Ok(Arc::new(Self {
            tracking: tracking.clone(),
            scribe: Arc::new(Scribe::new(&tracking.store, courier.clone())),
            courier,
            experiment: experiment_named(&*tracking.store, experiment)?,
            pipelines: pipelines.clone(),
            params: params::of_request(request),
            training: request.settings.train.clone(),
            data: data.map_or_else(String::new, |path| path.display().to_string()),
            is_resumed,
            own_division: is_single.then_some(crate::stages::SINGLE),
            state: Mutex::default(),
        }))
    }

    /// Who takes down the training of a division.
    pub(crate) fn epochs(self: &Arc<Self>, division: &str) -> EpochLog {
        let run = self.run_of(division);
        let mut state = self.state();
        state.trained.insert(division.to_owned());
        if let (Some(whole), None) = (&state.run, &state.sampler) {
            state.sampler = Some(Sampler::start(&self.scribe, &whole.run_id));
        }
        drop(state);
        EpochLog::new(run.map(|run| (Arc::clone(self), run.run_id)))
    }

    /// No network is trained any more.
    pub(super) fn training_is_over(&self) {
        // Dropped outside the lock: it takes a last sample.
        let sampler = self.state().sampler.take();
        drop(sampler);
    }

    pub(super) fn metrics(&self, run: &RunId, metrics: &[Metric]) {
        self.scribe.metrics(run, metrics);
    }

    /// The run, once it has begun.
    pub(super) fn run(&self) -> Option<RunInfo> {
        self.state().run.clone()
    }

    /// Whether nothing was trained.
    pub(super) fn is_cached(&self) -> bool {
        self.state().trained.is_empty()
    }

    /// The run that a division's curves belong to, begun now if need be.
    pub(super) fn run_of(&self, division: &str) -> Option<RunInfo> {
        let run = self.run()?;
        if self.own_division == Some(division) {
            return Some(run);
        }
        let mut state = self.state();
        if let Some(nested) = state.nested.get(division) {
            return Some(nested.clone());
        }
        let begun = self
            .scribe
            .at_once(|store| self.begin_nested(store, &run, division))?;
        if let Some(sign) = &state.sign {
            sign.add(&begun.run_id);
        }
        state.nested.insert(division.to_owned(), begun.clone());
        drop(state);
        self.scribe.params(&begun.run_id, &self.params);
        Some(begun)
    }

    /// Ends the run and what is nested in it.
    pub(crate) fn end(&self, status: RunStatus, error: Option<&anyhow::Error>) {
        self.training_is_over();
        let (run, nested) = {
            let state = self.state();
            (state.run.clone(), state.nested.clone())
        };
        let Some(run) = run else {
            return;
        };
        if let Some(error) = error {
            self.scribe
                .tags(&run.run_id, &[Tag::new(tag::ERROR, format!("{error:#}"))]);
        }
        self.scribe.at_once(|store| {
            for run in nested.values().chain([&run]) {
                store.finish_run(&run.run_id, status, now())?;
            }
            Ok(())
        });
        self.state().sign = None;
        if let Some(courier) = &self.courier {
            let runs = nested.values().chain([&run]);
            let runs = runs.map(|run| run.run_id.clone()).collect();
            courier.finish(runs, &self.tracking.settings.uri);
        }
    }

    /// Ends the run as killed, at once and whatever is still to be written.
    pub(crate) fn kill(&self) {
        // Whoever holds the state is about to lose it to the end of the process.
        let Ok(state) = self.state.try_lock() else {
            return;
        };
        for run in state.nested.values().chain(&state.run) {
            // The next start does it otherwise.
            let _ = self
                .tracking
                .store
                .finish_run(&run.run_id, RunStatus::Killed, now());
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn begin(&self, pipeline_run: &PipelineRunId) -> Result<()> {
        // A run whose end has to be decided anew goes on.
        if self.run().is_some() {
            return Ok(());
        }
        let store = &*self.tracking.store;
        let earlier = match self.is_resumed {
            true => self.earlier(&format!(
                "tags.`{}` = '{pipeline_run}' AND tags.`{PARENT}` IS NULL",
                tag::PIPELINE_RUN
            ))?,
            false => None,
        };
        let run = match earlier {
            Some(earlier) => reopen(store, &earlier)?,
            None => {
                let tags = self.first_tags(pipeline_run);
                let run_name = Some(pipeline_run.to_string());
                store.create_run(self.request(run_name, tags))?.info
            }
        };
        let sign = Sign::put_up(&self.tracking.home.locks(), &run.run_id)?;
        self.scribe.params(&run.run_id, &self.params);
        let mut state = self.state();
        state.sign = Some(sign);
        state.run = Some(run);
        Ok(())
    }

    fn begin_nested(
        &self,
        store: &SqliteStore,
        parent: &RunInfo,
        division: &str,
    ) -> biophony_tracking::Result<RunInfo> {
        if self.is_resumed {
            let filter = format!(
                "tags.`{PARENT}` = '{}' AND tags.`{}` = '{division}'",
                parent.run_id,
                tag::DIVISION
            );
            if let Some(earlier) = self.earlier(&filter)? {
                return reopen(store, &earlier);
            }
        }
        let mut tags = store.get_run(&parent.run_id)?.data.tags;
        let is_own = |tag: &Tag| matches!(tag.key.as_str(), "mlflow.runName");
        tags.retain(|tag| !is_own(tag));
        tags.extend([
            Tag::new(PARENT, parent.run_id.as_str()),
            Tag::new(tag::DIVISION, division),
        ]);
        let name = format!("{} {division}", parent.run_name);
        let request = self.request(Some(name), tags);
        Ok(store.create_run(request)?.info)
    }

    fn earlier(&self, filter: &str) -> biophony_tracking::Result<Option<RunId>> {
        let search = Search {
            max_results: Some(1),
            ..Search::matching(filter)
        };
        let experiments = std::slice::from_ref(&self.experiment);
        let page = self
            .tracking
            .store
            .search_runs(experiments, &search, ViewType::ActiveOnly)?;
        Ok(page.items.into_iter().next().map(|run| run.info.run_id))
    }

    fn request(&self, run_name: Option<String>, tags: Vec<Tag>) -> CreateRun {
        CreateRun {
            user_id: user(),
            run_name,
            tags,
            ..CreateRun::new(self.experiment.clone())
        }
    }

    fn first_tags(&self, pipeline_run: &PipelineRunId) -> Vec<Tag> {
        let mut tags = vec![
            Tag::new("mlflow.user", user()),
            Tag::new("mlflow.source.name", "biophony"),
            Tag::new("mlflow.source.type", "LOCAL"),
            Tag::new(tag::PIPELINE_RUN, pipeline_run.as_str()),
            Tag::new(tag::VERSION, env!("CARGO_PKG_VERSION")),
            Tag::new(tag::HOST, alive::host()),
            Tag::new(tag::PID, std::process::id().to_string()),
            Tag::new(tag::DATA, &self.data),
            Tag::new(tag::MODE, "training"),
        ];
        if self.courier.is_some() {
            tags.push(Tag::new(SEND_TO, &self.tracking.settings.uri));
        }
        let commit = self.pipelines.run(pipeline_run).ok();
        let commit = commit.and_then(|record| record.summary.git_commit);
        tags.extend(commit.map(|commit| Tag::new("mlflow.source.git.commit", commit)));
        tags
    }
}

impl RunObserver for Recorder {
    fn run_started(&self, run: &PipelineRunId, _pipeline: &str, _n_steps: usize) {
        let begun = self.begin(run).context("this run is not recorded");
        if let Err(error) = begun {
            note(&format!("warning: {error:#}"));
        }
    }
}

/// Tells two who want to hear of a run.
pub(crate) struct Both<A, B>(pub(crate) Arc<A>, pub(crate) Arc<B>);

impl<A: RunObserver, B: RunObserver> RunObserver for Both<A, B> {
    fn run_started(&self, run: &PipelineRunId, pipeline: &str, n_steps: usize) {
        self.0.run_started(run, pipeline, n_steps);
        self.1.run_started(run, pipeline, n_steps);
    }

    fn step_started(&self, run: &PipelineRunId, step: &str, reason: &str) {
        self.0.step_started(run, step, reason);
        self.1.step_started(run, step, reason);
    }

    fn line_logged(&self, run: &PipelineRunId, line: &biophony_pipeline::LogLine) {
        self.0.line_logged(run, line);
        self.1.line_logged(run, line);
    }

    fn step_finished(&self, run: &PipelineRunId, step: &StepRecord) {
        self.0.step_finished(run, step);
        self.1.step_finished(run, step);
    }

    fn run_finished(&self, run: &RunRecord) {
        self.0.run_finished(run);
        self.1.run_finished(run);
    }
}

/// Goes on with a run that has ended.
fn reopen(store: &SqliteStore, id: &RunId) -> biophony_tracking::Result<RunInfo> {
    store.update_run(
        id,
        &UpdateRun {
            status: Some(RunStatus::Running),
            ..UpdateRun::default()
        },
    )?;
    let run = store.get_run(id)?;
    // What it is about to log has not been sent, and how it ended was not its end.
    forget_copies(store, id)?;
    if value_of(&run.data.tags, tag::ERROR).is_some() {
        store.delete_tag(id, tag::ERROR)?;
    }
    store.set_tag(id, Tag::new(tag::PID, std::process::id().to_string()))?;
    Ok(run.info)
}

/// Who runs this, as the system calls them.
fn user() -> String {
    let named = ["LOGNAME", "USER", "USERNAME"]
        .into_iter()
        .find_map(|name| std::env::var(name).ok());
    named
        .filter(|name| !name.is_empty())
        .unwrap_or_else(|| "unknown".to_owned())
}
