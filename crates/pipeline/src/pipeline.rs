//! The typed builder: sources and steps joined by [`Output`] handles.
//!
//! What it builds is a [`Graph`] with the steps' code beside it; running lives
//! in [`crate::execute`].

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use serde_json::Value;

use crate::context::StepContext;
use crate::error::{BoxError, PipelineError, Result};
use crate::graph::{Graph, OutputSpec, SourceSpec, StepSpec};
use crate::hash::ContentHash;
use crate::input::{Found, FoundInputs, Input, Inputs, Output, SourceFile, SourceFolder};
use crate::outputs::{Outputs, Staged, Staging, default_names};

/// Steps and what they read. Built once, run as often as wanted.
pub struct Pipeline {
    pub(crate) graph: Graph,
    pub(crate) sources: Vec<Source>,
    pub(crate) steps: Vec<Step>,
    /// The first fault met while building; told by [`Pipeline::check`], so that
    /// building needs no `?` after every step.
    fault: Option<Fault>,
}

/// A mistake of the builder's user that the graph cannot show.
#[derive(Clone)]
enum Fault {
    Parameters {
        step: String,
        reason: String,
    },
    OutputNames {
        step: String,
        n_outputs: usize,
        names: Vec<String>,
    },
}

impl From<Fault> for PipelineError {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Parameters { step, reason } => Self::Parameters { step, reason },
            Fault::OutputNames {
                step,
                n_outputs,
                names,
            } => Self::OutputNames {
                step,
                n_outputs,
                names,
            },
        }
    }
}

/// Where a source lies.
pub(crate) enum Source {
    File(PathBuf),
    Folder(PathBuf),
    /// Only these files below the folder, given relative to it.
    Files(PathBuf, Vec<PathBuf>),
}

/// How a step is carried out; its description is in the graph, under the same
/// number.
pub(crate) struct Step {
    pub(crate) action: Arc<Action>,
    pub(crate) policy: Policy,
    /// A parameter that is found when the inputs are there, and its name.
    pub(crate) late: Option<(String, Arc<FindParam>)>,
}

/// Finds a parameter, from name and content of each input.
pub(crate) type FindParam =
    dyn Fn(&[(String, ContentHash)]) -> Result<Value, BoxError> + Send + Sync;

/// Reads the inputs, calls the step's closure and writes what it returns.
pub(crate) type Action =
    dyn Fn(&StepContext, &[Found], &Path) -> Result<Vec<Staged>, BoxError> + Send + Sync;

/// When to try again, when to give up, and whether to remember.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Policy {
    pub(crate) n_retries: u32,
    pub(crate) backoff: Duration,
    pub(crate) timeout: Option<Duration>,
    pub(crate) cached: bool,
}

impl Pipeline {
    /// A pipeline without steps. Runs of pipelines of one name are compared with
    /// each other when a step is explained.
    pub fn new(name: &str) -> Self {
        Self {
            graph: Graph {
                pipeline: name.to_owned(),
                sources: Vec::new(),
                steps: Vec::new(),
            },
            sources: Vec::new(),
            steps: Vec::new(),
            fault: None,
        }
    }

    /// A file from outside, identified by the BLAKE3 of its bytes.
    pub fn file(&mut self, name: &str, path: impl Into<PathBuf>) -> Output<SourceFile> {
        let path = path.into();
        self.source(name, path.clone(), Source::File(path))
    }

    /// A folder from outside with all files below it, hidden ones included,
    /// identified by their paths below it and the BLAKE3 of their bytes.
    pub fn folder(&mut self, name: &str, path: impl Into<PathBuf>) -> Output<SourceFolder> {
        let path = path.into();
        self.source(name, path.clone(), Source::Folder(path))
    }

    /// As [`Pipeline::folder`], with these files only; their paths are relative
    /// to the folder.
    pub fn files(
        &mut self,
        name: &str,
        folder: impl Into<PathBuf>,
        files: Vec<PathBuf>,
    ) -> Output<SourceFolder> {
        let folder = folder.into();
        self.source(name, folder.clone(), Source::Files(folder, files))
    }

    /// Begins a step; [`StepBuilder::run`] completes it.
    #[must_use = "a step is added by `run`"]
    pub fn step(&mut self, name: &str) -> StepBuilder<'_> {
        StepBuilder {
            pipeline: self,
            name: name.to_owned(),
            version: 1,
            params: Ok(Value::Null),
            late: None,
            names: None,
            policy: Policy {
                n_retries: 0,
                backoff: Duration::ZERO,
                timeout: None,
                cached: true,
            },
        }
    }

    /// The pipeline as data.
    pub fn graph(&self) -> &Graph {
        &self.graph
    }

    /// Checks the pipeline without running it: names, inputs, types, cycles.
    ///
    /// # Errors
    ///
    /// The first fault, naming the step.
    pub fn check(&self) -> Result<()> {
        match &self.fault {
            Some(fault) => Err(fault.clone().into()),
            None => self.graph.check().map(drop),
        }
    }

    fn source<T: Input>(&mut self, name: &str, path: PathBuf, source: Source) -> Output<T> {
        self.sources.push(source);
        self.graph.sources.push(SourceSpec {
            name: name.to_owned(),
            type_name: T::type_name(),
            path: path.display().to_string(),
        });
        Output::of(name)
    }
}

/// A step in the making.
pub struct StepBuilder<'p> {
    pipeline: &'p mut Pipeline,
    name: String,
    version: u32,
    params: Result<Value, String>,
    late: Option<(String, Arc<FindParam>)>,
    names: Option<Vec<String>>,
    policy: Policy,
}

impl StepBuilder<'_> {
    /// The version of what the step does, 1 if not said: raise it when its
    /// meaning changes but the program's version does not.
    #[must_use]
    pub fn version(mut self, version: u32) -> Self {
        self.version = version;
        self
    }

    /// The settings that the step depends on. The closure must use no others.
    #[must_use]
    pub fn params(mut self, params: &impl Serialize) -> Self {
        self.params = serde_json::to_value(params).map_err(|error| error.to_string());
        self
    }

    /// One parameter more, which is found when what the step reads is there: for
    /// what the result depends on beside its inputs and may change while the run
    /// goes on. `find` is given name and content of each input; the closure reads
    /// the value from [`StepContext::params`].
    #[must_use]
    pub fn late_param(
        mut self,
        name: &str,
        find: impl Fn(&[(String, ContentHash)]) -> Result<Value, BoxError> + Send + Sync + 'static,
    ) -> Self {
        self.late = Some((name.to_owned(), Arc::new(find)));
        self
    }

    /// Tries up to `n_retries` times more after a failure, waiting `backoff`
    /// before the first retry and twice as long before each next.
    #[must_use]
    pub fn retries(mut self, n_retries: u32, backoff: Duration) -> Self {
        self.policy.n_retries = n_retries;
        self.policy.backoff = backoff;
        self
    }

    /// Gives each attempt so much time.
    ///
    /// Rust cannot stop a running closure. When the time is up, the step is
    /// marked failed at once and its [`StepContext::is_cancelled`] turns true;
    /// a closure that does not ask goes on in a thread of its own until it ends
    /// or the process does. Whatever it returns, logs or memoizes after that is
    /// thrown away: nothing of it reaches the store. It is tried again only when
    /// the attempt whose time was up has ended, so that two never work side by side.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.policy.timeout = Some(timeout);
        self
    }

    /// Names the outputs. Without it a single output has no name of its own, and
    /// those of a tuple are `output-1`, `output-2`, ….
    #[must_use]
    pub fn outputs<const N: usize>(mut self, names: [&str; N]) -> Self {
        self.names = Some(names.map(str::to_owned).to_vec());
        self
    }

    /// Runs the step every time: for steps that act on the world outside.
    #[must_use]
    pub fn uncached(mut self) -> Self {
        self.policy.cached = false;
        self
    }

    /// Adds the step. The closure is given its context and the values of
    /// `inputs`; what it returns becomes the step's outputs.
    pub fn run<I, O, E>(
        self,
        inputs: I,
        closure: impl Fn(&StepContext, I::Values) -> Result<O, E> + Send + Sync + 'static,
    ) -> O::Handles
    where
        I: Inputs,
        O: Outputs,
        E: Into<BoxError>,
    {
        let Self {
            pipeline,
            name,
            version,
            params,
            late,
            names,
            policy,
        } = self;
        let kinds = O::kinds();
        let names = names.unwrap_or_else(|| default_names(kinds.len()));
        let params = params.and_then(|params| match (&late, params) {
            (Some(_), Value::Null) => Ok(Value::Object(Default::default())),
            (Some((name, _)), params) if !params.is_object() => {
                Err(format!("`{name}` cannot join what is no object"))
            }
            (_, params) => Ok(params),
        });
        let params = params.unwrap_or_else(|reason| {
            let step = name.clone();
            pipeline
                .fault
                .get_or_insert(Fault::Parameters { step, reason });
            Value::Null
        });
        if names.len() != kinds.len() {
            pipeline.fault.get_or_insert(Fault::OutputNames {
                step: name.clone(),
                n_outputs: kinds.len(),
                names: names.clone(),
            });
        }
        let mut handle_names = names.clone();
        handle_names.resize(kinds.len(), String::new());
        let handles = O::handles(&name, &handle_names);

        let spec = |(name, (type_name, format))| OutputSpec {
            name,
            type_name,
            format,
        };
        let outputs: Vec<OutputSpec> = names.into_iter().zip(kinds).map(spec).collect();
        let mut input_specs = Vec::new();
        inputs.describe(&mut input_specs);
        let reader = inputs.reader();
        let output_specs = outputs.clone();
        let action = move |context: &StepContext, found: &[Found], folder: &Path| {
            let values = reader(&mut FoundInputs(found.iter()))?;
            let returned = closure(context, values).map_err(Into::into)?;
            let mut staging = Staging::new(folder, &output_specs);
            returned.stage(&mut staging)?;
            Ok(staging.into_staged())
        };
        pipeline.steps.push(Step {
            action: Arc::new(action),
            policy,
            late,
        });
        pipeline.graph.steps.push(StepSpec {
            name,
            version,
            params,
            inputs: input_specs,
            outputs,
        });
        handles
    }
}
