//! One step of a run: answered from the cache, or run until it succeeds or its
//! retries are spent.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::cache_key::Ingredients;
use crate::error::{BoxError, PipelineError, Result};
use crate::execute::attempt::Attempt;
use crate::execute::{Progress, Runner, chain};
use crate::hash::ContentHash;
use crate::input::Found;
use crate::locks::Lock;
use crate::machine::PeakMemory;
use crate::objects::Durability;
use crate::options::Reuse;
use crate::outputs::Staged;
use crate::run::{Level, OutputRecord, StepState, now_ms};
use crate::store::{Hit, StepEnd, Until};

/// How often one step has damaged inputs made again before it gives up.
const MAX_REPAIRS: usize = 16;

/// How long to wait for an attempt to end whose time is up, before the step is
/// given up: it was told to stop.
const PATIENCE: Duration = Duration::from_secs(60);

/// How often one looks, while waiting to try again, whether that is still wanted.
const GLANCE: Duration = Duration::from_millis(20);

/// Whether the cache has the step's outputs.
enum Answer {
    Hit(Vec<OutputRecord>),
    /// Why not.
    Miss(Reason),
}

/// Why a step runs, in a sentence.
enum Reason {
    /// As pipelines are meant to be used.
    Plain(String),
    /// Something that had been made is missing or damaged, of which people should hear.
    Lost(String),
}

/// What a step made, in the store.
pub(crate) struct Kept {
    pub(crate) outputs: Vec<OutputRecord>,
    /// Whether the cache must not lead there.
    pub(crate) for_this_run_only: bool,
    /// Keeps the collector out until a run refers to it.
    _lock: crate::locks::Lock,
}

impl Runner<'_> {
    /// The step's outputs, from the cache if they are there.
    pub(super) fn obtain(&self, step: usize) -> Result<Vec<OutputRecord>> {
        self.obtain_because(step, None)
            .map_err(|error| self.blame(step, error))
    }

    /// As [`Runner::obtain`]; with a reason, the step runs in any case.
    pub(super) fn obtain_because(
        &self,
        step: usize,
        forced: Option<&str>,
    ) -> Result<Vec<OutputRecord>> {
        for _ in 0..MAX_REPAIRS {
            let started = (now_ms(), Instant::now());
            let ingredients = self.ingredients(step)?;
            let mut reason = match forced {
                Some(reason) => Reason::Lost(reason.to_owned()),
                None => match self.ask_cache(step, &ingredients, started)? {
                    Answer::Hit(outputs) => return Ok(outputs),
                    Answer::Miss(reason) => reason,
                },
            };
            let lock = self.store.locks().key(ingredients.key())?;
            if forced.is_none() {
                // Whoever held the lock may have made what we want.
                match self.ask_cache(step, &ingredients, started)? {
                    Answer::Hit(outputs) => return Ok(outputs),
                    Answer::Miss(again) => reason = again,
                }
            }
            match self.find_inputs(step, &ingredients)? {
                Ok(found) => {
                    let held = (Arc::new(found), Arc::new(lock));
                    return self.execute(step, &ingredients, &reason, held, started);
                }
                Err(bad) => {
                    drop(lock);
                    match forced {
                        None => self.make_again(step, &bad)?,
                        Some(_) => self.make_again_locked(step, &bad)?,
                    }
                }
            }
        }
        let step = &self.pipeline.graph.steps[step].name;
        Err(BoxError::from(format!(
            "the inputs of `{step}` keep being damaged"
        )))
        .map_err(|source| self.step_failed(step, source))
    }

    /// What the step's result depends on, from what has been made so far.
    fn ingredients(&self, step: usize) -> Result<Ingredients> {
        let inputs = self.input_contents(step);
        let spec = &self.pipeline.graph.steps[step];
        let mut params = spec.params.clone();
        if let (Some((name, find)), Value::Object(params)) =
            (&self.pipeline.steps[step].late, &mut params)
        {
            let found = find(&inputs).map_err(|source| self.step_failed(&spec.name, source))?;
            params.insert(name.clone(), found);
        }
        Ok(Ingredients {
            step: spec.name.clone(),
            version: spec.version,
            params,
            inputs,
            program: self.options.program.clone(),
        })
    }

    fn input_contents(&self, step: usize) -> Vec<(String, ContentHash)> {
        let spec = &self.pipeline.graph.steps[step];
        let board = self.board();
        let content = |from: &str, output: &str| {
            let graph = &self.pipeline.graph;
            if let Some(source) = graph.sources.iter().position(|source| source.name == from) {
                return self.sources[source].content;
            }
            let producer = graph.steps.iter().position(|step| step.name == from);
            let Progress::Done(outputs) = &board.progress[producer.expect("was checked")] else {
                unreachable!("a step starts when what it reads is done");
            };
            let made = outputs.iter().find(|made| made.name == output);
            made.expect("steps make what they declare").content
        };
        let inputs = spec.inputs.iter();
        inputs
            .map(|i| (i.name(), content(&i.from, &i.output)))
            .collect()
    }

    /// Looks the step up and, if its outputs are whole, writes it down as cached.
    fn ask_cache(
        &self,
        step: usize,
        ingredients: &Ingredients,
        started: (i64, Instant),
    ) -> Result<Answer> {
        if !self.pipeline.steps[step].policy.cached {
            return Ok(Answer::Miss(Reason::Plain(
                "this step is never answered from the cache".to_owned(),
            )));
        }
        // From the look at the artifacts until this run refers to them.
        let _kept = self.store.locks().keep()?;
        let hit = self.store.lookup(ingredients.key())?;
        let is_own = |hit: &Hit| hit.run == self.run.as_str();
        if self.options.reuse == Reuse::Nothing && !hit.as_ref().is_some_and(is_own) {
            return Ok(Answer::Miss(Reason::Plain(
                "the run was told not to use the cache".to_owned(),
            )));
        }
        let Some(hit) = hit else {
            let reason = self.why_unknown(ingredients)?;
            return Ok(Answer::Miss(Reason::Plain(reason)));
        };
        if !self.declares(step, &hit) {
            return Ok(Answer::Miss(Reason::Plain(
                "it now makes other outputs than before".to_owned(),
            )));
        }
        for output in &hit.outputs {
            if let Err(error) = self.store.recognize(output) {
                return Ok(Answer::Miss(Reason::Lost(format!(
                    "it had been cached, but {error}"
                ))));
            }
        }
        let reason = if hit.run == self.run.as_str() {
            "it had finished before the run was interrupted".to_owned()
        } else {
            format!("nothing changed since run {}", hit.run)
        };
        let end = StepEnd {
            state: StepState::Cached,
            execution: Some(hit.execution),
            duration_ms: Some(milliseconds(started.1)),
            ..StepEnd::running(&reason, hit.execution, started.0)
        };
        self.store
            .put_step(self.run, &ingredients.step, step, &end)?;
        self.tell_finished(ingredients, &hit.outputs, &end);
        Ok(Answer::Hit(hit.outputs))
    }

    /// Names the ingredient that changed since the step was last begun.
    fn why_unknown(&self, ingredients: &Ingredients) -> Result<String> {
        let (pipeline, step) = (&self.pipeline.graph.pipeline, &ingredients.step);
        let before = self
            .store
            .last_begun(pipeline, step, Until::With(self.run))?;
        let Some(before) = before else {
            return Ok("it has not run before".to_owned());
        };
        let changes = ingredients.changes_since(&before.ingredients);
        if !changes.is_empty() {
            let mut changes: Vec<_> = changes.iter().map(ToString::to_string).collect();
            let files = self.store.file_changes(&before.ingredients, ingredients)?;
            changes.extend(files.iter().map(ToString::to_string));
            return Ok(changes.join("; "));
        }
        let run = &before.run;
        Ok(match before.state {
            StepState::Ran | StepState::Cached => {
                format!("its result of run {run} is not in the cache")
            }
            _ if run == self.run => "it had not come to its end before".to_owned(),
            _ => format!("it did not come to its end in run {run}"),
        })
    }

    fn declares(&self, step: usize, hit: &Hit) -> bool {
        let declared = self.pipeline.graph.steps[step].outputs.iter();
        let declared = declared.map(|output| (&output.name, &output.type_name));
        declared.eq(hit
            .outputs
            .iter()
            .map(|output| (&output.name, &output.type_name)))
    }

    /// Runs the step's code, with its retries, and keeps what it made.
    fn execute(
        &self,
        step: usize,
        ingredients: &Ingredients,
        reason: &Reason,
        held: (Arc<Vec<Found>>, Arc<Lock>),
        started: (i64, Instant),
    ) -> Result<Vec<OutputRecord>> {
        let (Reason::Plain(text) | Reason::Lost(text)) = reason;
        let execution = self
            .store
            .begin_execution(self.run, step, text, ingredients)?;
        self.options
            .observer
            .step_started(self.run, &ingredients.step, text);
        if let Reason::Lost(_) = reason {
            self.say(step, Level::Warn, format!("running again: {text}"));
        }
        let mut end = StepEnd::running(text, execution, started.0);
        let memory = PeakMemory::measure();
        let policy = self.pipeline.steps[step].policy;
        let outcome = loop {
            end.n_attempts += 1;
            let made = (execution, ingredients);
            let attempt = Attempt::new(self, step, made, end.n_attempts, held.clone());
            let begun = Instant::now();
            let outcome = attempt.run(policy.timeout).and_then(|(staged, context)| {
                let durability = Durability::for_work_of(begun.elapsed());
                self.keep_outputs(step, staged, &context, durability)
            });
            attempt.clean_up();
            match outcome {
                Err(error) if end.n_attempts <= policy.n_retries && self.may_pass(&error) => {
                    let wait = policy
                        .backoff
                        .saturating_mul(2u32.saturating_pow(end.n_attempts - 1));
                    let text = format!(
                        "attempt {} failed: {}; trying again in {} s",
                        end.n_attempts,
                        chain(&*error),
                        wait.as_secs_f64()
                    );
                    self.say(step, Level::Warn, text);
                    // Two attempts side by side would disturb each other.
                    if !attempt.has_ended_within(PATIENCE) {
                        let text =
                            "it did not stop when its time was up; not trying again beside it";
                        self.say(step, Level::Warn, text.to_owned());
                        break Err(error);
                    }
                    if !self.wait(wait) {
                        break Err(error);
                    }
                }
                outcome => break outcome,
            }
        };
        end.duration_ms = Some(milliseconds(started.1));
        end.peak_memory_bytes = memory.bytes();
        match outcome {
            Ok(kept) => {
                end.state = StepState::Ran;
                self.store
                    .finish_execution(self.run, step, ingredients, &kept, &end)?;
                let outputs = kept.outputs;
                self.tell_finished(ingredients, &outputs, &end);
                Ok(outputs)
            }
            Err(error) => {
                end.state = StepState::Failed;
                end.error = Some(chain(&*error));
                self.say(step, Level::Error, chain(&*error));
                let noted = self.store.put_step(self.run, &ingredients.step, step, &end);
                self.tell_finished(ingredients, &[], &end);
                // The first error tells more than that it could not be noted.
                drop(noted);
                Err(self.step_failed(&ingredients.step, error))
            }
        }
    }

    /// Whether an error may be gone when the step is tried again. A source that
    /// changed is not what this run is about any more.
    fn may_pass(&self, error: &BoxError) -> bool {
        let is_lasting = matches!(
            error.downcast_ref(),
            Some(PipelineError::SourceChanged { .. })
        );
        !is_lasting && !self.is_hurried()
    }

    /// Waits; false if nobody wants to try again any more.
    fn wait(&self, time: Duration) -> bool {
        let begun = Instant::now();
        while !self.is_hurried() {
            let left = time.saturating_sub(begun.elapsed());
            if left.is_zero() {
                return true;
            }
            thread::sleep(left.min(GLANCE));
        }
        false
    }

    fn is_hurried(&self) -> bool {
        self.options.hurry.load(Ordering::Relaxed)
    }

    /// Moves what the step wrote into the store. The collector is kept out until
    /// the caller has written down that a run refers to it.
    fn keep_outputs(
        &self,
        step: usize,
        staged: Vec<Staged>,
        context: &crate::context::StepContext,
        durability: Durability,
    ) -> Result<Kept, BoxError> {
        let graph = &self.pipeline.graph;
        for input in &graph.steps[step].inputs {
            let source = graph
                .sources
                .iter()
                .position(|source| source.name == input.from);
            if let Some(path) = source.and_then(|source| self.sources[source].changed()) {
                let step = graph.steps[step].name.clone();
                return Err(PipelineError::SourceChanged { step, path }.into());
            }
        }
        let kept = self.store.locks().keep()?;
        let attached = context.attached.lock().unwrap_or_else(|e| e.into_inner());
        let mut outputs = Vec::new();
        for Staged {
            path,
            spec,
            mut metadata,
        } in staged
        {
            let placed = self.store.objects().place(&path, durability)?;
            metadata.extend(attached.get(&spec.name).cloned().unwrap_or_default());
            outputs.push(OutputRecord {
                name: spec.name,
                content: placed.content,
                type_name: spec.type_name,
                format: spec.format,
                n_bytes: placed.n_bytes,
                metadata,
            });
        }
        Ok(Kept {
            outputs,
            for_this_run_only: context.for_this_run_only.load(Ordering::Relaxed),
            _lock: kept,
        })
    }
}

fn milliseconds(since: Instant) -> f64 {
    since.elapsed().as_secs_f64() * 1e3
}
