//! Carrying out the pipeline of [`crate::stages`]: in which store, told to whom,
//! and what becomes of the model afterwards.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, anyhow, bail};
use biophony_dataset::Dataset;
use biophony_pipeline::{
    BoxError, Conclusion, FinishedRun, Folder, Hook, Level, LogLine, OutputRecord, PipelineError,
    Reuse, RunId, RunObserver, RunOptions, RunState, StepRecord, StepState, Store,
};
use biophony_tracking::{LoggedModel, RunStatus, Tag};

use crate::UsageError;
use crate::collection::{list, require_classes, require_folds, require_parts, require_validation};
use crate::home::Home;
use crate::progress::note;
use crate::report::figure_lines;
use crate::settings::RunSettings;
use crate::stages::watch::Interrupt;
use crate::stages::{Deployment, Judged, PIPELINE, Request, Stages, assemble};
use crate::tracking::{Both, Candidate, Promotion, Recorder, Results, Tracking, pins, tag};

/// How often a run is decided anew because another model came into use meanwhile.
const MAX_DECISIONS: usize = 8;

/// A run that came to its end, and where things are.
pub(crate) struct Finished {
    /// The report and its tables.
    pub(crate) folder: PathBuf,
    pub(crate) judged: Judged,
    pub(crate) deployment: Deployment,
    /// The bundle, also where it was not put into use.
    pub(crate) model: PathBuf,
    /// Where the bundle is in use, if it was accepted.
    pub(crate) deployed: Option<PathBuf>,
    /// Why an accepted model was not put into use.
    pub(crate) left_out: Option<String>,
}

/// Runs the pipeline and records it; or goes on with a run that did not come to its
/// end.
pub(crate) fn launch(home: &Home, request: &Request, resumed: Option<RunId>) -> Result<Finished> {
    let hooks = Hooks::of(&request.settings.run)?;
    let dataset = list(&request.collection)?;
    require_classes(&request.collection, &dataset)?;
    match request.folds {
        Some(folds) => require_folds(&request.collection, &dataset, folds)?,
        None => require_parts(
            &request.collection,
            &dataset,
            &request.settings.split,
            request.compare_naive,
        )?,
    }
    require_validation(
        &dataset,
        &request.settings,
        request.folds,
        request.compare_naive,
    )?;
    let store = home.pipelines()?;
    let tracking = Tracking::open(home, &request.settings.tracking)?;
    tracking.adopt_old_champion()?;
    let recorder = Recorder::new(&tracking, request, &store, resumed.is_some())?;
    let interrupt = {
        let recorder = Arc::clone(&recorder);
        Interrupt::listen(move || recorder.kill())?
    };
    let launch = Launch {
        home,
        request,
        dataset,
        store,
        tracking,
        recorder,
        interrupt,
        hooks,
    };
    let outcome = launch.carry_out(resumed);
    let status = match &outcome {
        _ if launch.interrupt.pressed() => RunStatus::Killed,
        Ok(_) => RunStatus::Finished,
        Err(_) => RunStatus::Failed,
    };
    launch.recorder.end(status, outcome.as_ref().err());
    outcome.map_err(with_way_on)
}

/// Everything that a run needs.
struct Launch<'a> {
    home: &'a Home,
    request: &'a Request,
    /// The recordings as they were listed when the run began.
    dataset: Dataset,
    store: Store,
    tracking: Tracking,
    recorder: Arc<Recorder>,
    interrupt: Interrupt,
    hooks: Hooks,
}

impl Launch<'_> {
    fn carry_out(&self, mut resumed: Option<RunId>) -> Result<Finished> {
        let (store, request) = (&self.store, self.request);
        let options = RunOptions {
            workers: rayon::current_num_threads(),
            project: std::env::current_dir().ok(),
            config: request.to_json(),
            reuse: match request.fresh {
                true => Reuse::Nothing,
                false => Reuse::Cache,
            },
            on_success: self.hooks.on_success.clone(),
            on_failure: self.hooks.on_failure.clone(),
            hurry: self.interrupt.flag(),
            observer: Arc::new(Both(Arc::new(Teller), Arc::clone(&self.recorder))),
            ..RunOptions::new(&program()?)
        };
        for _ in 0..MAX_DECISIONS {
            let watched = (&self.recorder, &self.interrupt);
            let dataset = self.dataset.clone();
            let stages = assemble(
                request,
                dataset,
                self.home,
                (store, &self.tracking),
                watched,
            )?;
            let conclude = |run: &FinishedRun| self.conclude(run, &stages).map_err(BoxError::from);
            let (run, conclusion) = match &resumed {
                Some(run) => (stages.pipeline).resume_then(store, run, &options, conclude)?,
                None => stages.pipeline.run_then(store, &options, conclude)?,
            };
            match conclusion {
                Conclusion::Done(finished) => return Ok(finished),
                // Another run was faster: all is there but the decision.
                Conclusion::Anew => resumed = Some(run.id().clone()),
            }
        }
        bail!(
            "another model came into use whenever this one was about to; `biophony run --resume` decides anew"
        )
    }

    /// Lays out what a run made, and puts its model into use if it was accepted. May be
    /// done again: a process can die on the way.
    fn conclude(&self, run: &FinishedRun, stages: &Stages) -> Result<Conclusion<Finished>> {
        let Folder { path: report } = run.load(&stages.report)?;
        let Folder { path: model } = run.load(&stages.model)?;
        let folder = self.home.run(run.id().as_str());
        lay_out(&report, &folder)?;
        let judged = run.load(&stages.judged)?.0;
        let deployment = run.load(&stages.deployment)?.0;
        let deployment = deployment.with_metadata(run.output(&stages.deployment)?);
        let logged = self.recorder.results(&Results {
            judged: &judged,
            deployment: &deployment,
            report: &report,
            model: &model,
        })?;
        let mut finished = Finished {
            folder,
            judged,
            deployment,
            model,
            deployed: None,
            left_out: None,
        };
        // Also after a decision from the cache: the model may have been removed since.
        if finished.deployment.decision.accepted
            && self.put_into_use(run, stages, &logged, &mut finished)? == Promotion::Overtaken
        {
            return Ok(Conclusion::Anew);
        }
        Ok(Conclusion::Done(finished))
    }

    /// Registers an accepted model, lets the champion's alias mean it, and lays it
    /// out for people.
    fn put_into_use(
        &self,
        run: &FinishedRun,
        stages: &Stages,
        logged: &LoggedModel,
        finished: &mut Finished,
    ) -> Result<Promotion> {
        let id = run.id().as_str();
        let digest = finished.judged.metrics["data_digest"].as_str();
        let mut tags = vec![
            Tag::new(tag::PIPELINE_RUN, id),
            Tag::new(tag::DATA_DIGEST, digest.unwrap_or_default()),
            Tag::new(tag::REPORT, format!("runs/{id}/report.html")),
            Tag::new(tag::GATE, serde_json::to_string(&finished.deployment)?),
            Tag::new(tag::FOLDER, id),
        ];
        if self.request.synthetic {
            tags.push(Tag::new(tag::SYNTHETIC, "true"));
        }
        let version = self.tracking.version_for(&Candidate {
            logged,
            bundle: &finished.model,
            tags,
        })?;
        // Before it is in use: what is in use must never be without its lineage.
        pins::keep(&self.store, &version, run.output(&stages.model)?.content)?;
        let rival = stages.rival.get().and_then(|champion| champion.version);
        let promotion = self.tracking.promote_over(&version, rival)?;
        match promotion {
            Promotion::InUse => {
                let folder = biophony_tracking::value_of(&version.tags, tag::FOLDER);
                let bundle = self.tracking.bundle_of(&version)?;
                let laid_out = self.home.lay_out_model(folder.unwrap_or(id), &bundle)?;
                finished.deployed = Some(laid_out);
            }
            Promotion::Replaced => {
                let (name, number) = (&version.name, version.version);
                finished.left_out = Some(format!(
                    "it is {name}/{number}, which was in use before and was replaced; `biophony models promote {number}` puts it into use again"
                ));
            }
            Promotion::Overtaken => {}
        }
        Ok(promotion)
    }
}

/// An error, and how to go on if it left a run that can be gone on with.
fn with_way_on(error: anyhow::Error) -> anyhow::Error {
    let Some(PipelineError::StepFailed { run, .. } | PipelineError::NotConcluded { run, .. }) =
        error.downcast_ref()
    else {
        return error;
    };
    anyhow!("{error:#}\n`biophony run --resume {run}` goes on where it stopped")
}

/// What is told of a run's end, and to whom.
struct Hooks {
    on_success: Vec<Hook>,
    on_failure: Vec<Hook>,
}

impl Hooks {
    /// # Errors
    ///
    /// When an address is none, or not allowed.
    fn of(run: &RunSettings) -> Result<Self, UsageError> {
        let read = |key: &str, setting: &str| {
            hooks(setting).map_err(|error| UsageError(format!("`run.{key}`: {error}")))
        };
        Ok(Self {
            on_success: read("on_success", &run.on_success)?,
            on_failure: read("on_failure", &run.on_failure)?,
        })
    }
}

fn hooks(setting: &str) -> Result<Vec<Hook>, PipelineError> {
    let mut words = setting.split_whitespace().map(str::to_owned);
    let Some(first) = words.next() else {
        return Ok(Vec::new());
    };
    if first.contains("://") {
        return Ok(vec![Hook::Webhook(first.parse()?)]);
    }
    let (program, args) = (first, words.collect());
    Ok(vec![Hook::Command { program, args }])
}

/// A run that did not come to its end, by name or the `newest`, and what it was
/// asked for.
pub(crate) fn unfinished(home: &Home, name: &str) -> Result<(RunId, Request)> {
    let none = "there is no run that has not come to its end";
    let store = home.existing_pipelines()?.context(none)?;
    let run = match name {
        "newest" => {
            let either = [RunState::Failed, RunState::Interrupted];
            newest_that(&store, &either)?.context(none)?
        }
        name => name.parse()?,
    };
    let kept = store.run(&run)?.summary.config;
    let request = Request::from_json(kept)
        .with_context(|| format!("run {run} was made by a program with other settings"))?;
    Ok((run, request))
}

/// The run that `biophony train --resume` goes on with. There may be none where only a
/// training is unfinished, which any run that asks for it goes on with.
///
/// # Errors
///
/// When nothing was interrupted. A run that failed by itself would most likely fail
/// again, so that it is gone on with only by name.
pub(crate) fn resumable(home: &Home, name: &str) -> Result<Option<RunId>> {
    if name != "newest" {
        return Ok(Some(name.parse()?));
    }
    let store = home.existing_pipelines()?;
    let newest = |state| match &store {
        Some(store) => newest_that(store, &[state]),
        None => Ok(None),
    };
    let interrupted = newest(RunState::Interrupted)?;
    let has_checkpoint = || {
        let folders = std::fs::read_dir(home.checkpoints());
        folders.is_ok_and(|mut folders| folders.next().is_some())
    };
    if interrupted.is_none() && !has_checkpoint() {
        let failed = newest(RunState::Failed)?.map_or_else(String::new, |run| {
            format!("; run {run} failed, and `--resume {run}` goes on with it all the same")
        });
        bail!("there is no interrupted run to resume{failed}");
    }
    Ok(interrupted)
}

/// The newest run of this program's pipeline in one of these states.
fn newest_that(store: &Store, states: &[RunState]) -> Result<Option<RunId>> {
    let runs = store.runs()?;
    let newest = runs
        .into_iter()
        .filter(|run| run.pipeline == PIPELINE && states.contains(&run.state))
        .max_by_key(|run| run.started_ms);
    Ok(newest.map(|run| run.id))
}

/// Names the program that runs, down to its last byte: a result of another
/// build is never taken for one of this.
fn program() -> Result<String> {
    let path = std::env::current_exe().context("cannot tell where this program lies")?;
    let bytes =
        std::fs::read(&path).with_context(|| format!("cannot read `{}`", path.display()))?;
    let digest = blake3::hash(&bytes).to_hex();
    Ok(format!("{} {}", env!("CARGO_PKG_VERSION"), &digest[..16]))
}

/// Copies the files of a report to where a user looks for them.
fn lay_out(report: &Path, folder: &Path) -> Result<()> {
    let copy = || -> std::io::Result<()> {
        std::fs::create_dir_all(folder)?;
        for entry in std::fs::read_dir(report)? {
            let entry = entry?;
            std::fs::copy(entry.path(), folder.join(entry.file_name()))?;
        }
        Ok(())
    };
    copy().with_context(|| format!("cannot write the report to `{}`", folder.display()))
}

/// Tells the terminal how a run goes: a line per step, and warnings.
struct Teller;

impl RunObserver for Teller {
    fn line_logged(&self, _: &RunId, line: &LogLine) {
        // The rest is in the log: `biophony runs logs`. Errors are told with their step.
        if line.level == Level::Warn {
            let who = match line.step.as_str() {
                "" => "run",
                step => step,
            };
            note(&format!("{}: {who}: {}", line.level, line.text));
        }
    }

    fn step_finished(&self, _: &RunId, step: &StepRecord) {
        note(&step_line(step));
    }
}

/// `split  ran  0.01 s  train 482, validation 103, test 102`.
pub(crate) fn step_line(step: &StepRecord) -> String {
    let time = step
        .duration_ms
        .map_or_else(String::new, |ms| format!("{:.2} s", ms / 1e3));
    let outputs: Vec<String> = step.outputs.iter().filter_map(brief).collect();
    let told = match (step.state, &step.error) {
        (StepState::Failed, Some(error)) => error.clone(),
        (StepState::Skipped, _) => step.reason.clone(),
        _ => outputs.join("; "),
    };
    format!(
        "{:>15}  {:<7} {time:>8}  {told}",
        step.step,
        step.state.as_str()
    )
    .trim_end()
    .to_owned()
}

/// What is known of an output: `accuracy 0.903, macro_f1 0.819`.
fn brief(output: &OutputRecord) -> Option<String> {
    let told = |value: &serde_json::Value| match value {
        serde_json::Value::String(text) => text.clone(),
        serde_json::Value::Number(number) if number.is_f64() => {
            format!("{:.3}", number.as_f64().unwrap_or_default())
        }
        _ => value.to_string(),
    };
    let all: Vec<String> = output
        .metadata
        .iter()
        .map(|(name, value)| format!("{} {}", name.replace('_', " "), told(value)))
        .collect();
    (!all.is_empty()).then(|| all.join(", "))
}

impl Finished {
    /// The figures in a few lines.
    pub(crate) fn summary(&self) -> String {
        let Judged {
            evaluation,
            naive,
            stopped,
            ..
        } = &self.judged;
        let mut text = format!("\n{}", figure_lines(evaluation));
        if let Some(naive) = naive {
            text.push_str(&format!(
                "\n  A random split, which lets copies leak, would have said accuracy {:.3}, macro-F1 {:.3}.\n",
                naive.accuracy, naive.macro_f1
            ));
        }
        if let Some(stopped) = stopped {
            text.push_str(&format!(
                "\n  {stopped}; the figures are of the weights so far. The same command goes on.\n"
            ));
        }
        text.push_str(&format!(
            "\n  report  {}\n",
            self.folder.join("report.html").display()
        ));
        match &self.deployed {
            Some(model) => text.push_str(&format!("  model   {}\n", model.display())),
            None => {
                text.push_str("  model   not put into use:\n");
                if let Some(reason) = &self.left_out {
                    text.push_str(&format!("          {reason}\n"));
                }
                for check in &self.deployment.decision.checks {
                    if !check.holds {
                        text.push_str(&format!("          {}\n", check.reason));
                    }
                }
            }
        }
        text
    }
}
