//! What a step can read: every [`Artifact`], and sources from outside.
//!
//! [`Inputs`] joins several of them for a step's closure; what a step returns
//! lives in [`crate::outputs`].

use std::marker::PhantomData;
use std::path::PathBuf;
use std::sync::Arc;

use crate::artifact::Artifact;
use crate::error::{BoxError, PipelineError};
use crate::graph::{InputSpec, OutputSpec};
use crate::hash::ContentHash;

/// A promise of a value: what a step returns when the pipeline is built, and
/// what later steps read.
///
/// Copies of it are cheap, and several steps may read one.
pub struct Output<T> {
    pub(crate) from: Arc<str>,
    pub(crate) output: Arc<str>,
    value: PhantomData<fn() -> T>,
}

impl<T> Output<T> {
    /// The output of a step by name, as if the step had returned it.
    ///
    /// This is for pipelines that are put together from settings. That the step
    /// exists and that the type fits is checked before anything runs.
    pub fn named(step: &str, output: &str) -> Self {
        Self {
            from: step.into(),
            output: output.into(),
            value: PhantomData,
        }
    }

    /// The only, unnamed output of a step by the step's name.
    pub fn of(step: &str) -> Self {
        Self::named(step, OutputSpec::ONLY)
    }

    /// The step or source that makes it.
    pub fn step(&self) -> &str {
        &self.from
    }

    /// Its name within the step.
    pub fn output(&self) -> &str {
        &self.output
    }
}

impl<T> Clone for Output<T> {
    fn clone(&self) -> Self {
        Self {
            from: self.from.clone(),
            output: self.output.clone(),
            value: PhantomData,
        }
    }
}

/// A file or folder as it lies there to be read: an artifact of the store or a
/// source.
#[derive(Debug, Clone)]
pub struct Found {
    /// The name of the input.
    pub name: String,
    /// Where it lies.
    pub path: PathBuf,
    /// What it holds.
    pub content: ContentHash,
    /// The files of a source folder; empty for everything else.
    pub entries: Arc<Vec<SourceEntry>>,
}

/// A type that a step can read. Every [`Artifact`] is one.
pub trait Input: Sized + Send + 'static {
    /// The type's name: two ends of an arrow must agree on it.
    fn type_name() -> String;

    /// Reads it.
    ///
    /// # Errors
    ///
    /// When it cannot be read.
    fn read(found: &Found) -> Result<Self, BoxError>;
}

impl<T: Artifact> Input for T {
    fn type_name() -> String {
        <T as Artifact>::type_name()
    }

    fn read(found: &Found) -> Result<Self, BoxError> {
        T::load(&found.path)
    }
}

/// A file from outside, where it lies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceFile {
    /// Where it lies.
    pub path: PathBuf,
    /// What it holds.
    pub content: ContentHash,
}

impl Input for SourceFile {
    fn type_name() -> String {
        "SourceFile".to_owned()
    }

    fn read(found: &Found) -> Result<Self, BoxError> {
        Ok(Self {
            path: found.path.clone(),
            content: found.content,
        })
    }
}

/// A folder from outside, where it lies, with what its files hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceFolder {
    /// Where it lies.
    pub path: PathBuf,
    /// Names and contents of all files.
    pub content: ContentHash,
    /// The files, sorted by path.
    pub entries: Arc<Vec<SourceEntry>>,
}

/// A file of a [`SourceFolder`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceEntry {
    /// Its path below the folder.
    pub path: PathBuf,
    /// What it holds.
    pub content: ContentHash,
    /// How long it is.
    pub n_bytes: u64,
}

impl Input for SourceFolder {
    fn type_name() -> String {
        "SourceFolder".to_owned()
    }

    fn read(found: &Found) -> Result<Self, BoxError> {
        Ok(Self {
            path: found.path.clone(),
            content: found.content,
            entries: found.entries.clone(),
        })
    }
}

/// What the closure of a step takes: `()`, `&Output<T>`, a slice of outputs
/// (fan-in), or a tuple of these.
pub trait Inputs {
    /// What the closure is given: `T` for `&Output<T>`, `Vec<T>` for a slice.
    type Values: Send + 'static;

    /// Adds what is read, in order.
    fn describe(&self, specs: &mut Vec<InputSpec>);

    /// Reads the values, in the same order.
    fn reader(&self) -> InputReader<Self::Values>;
}

/// Reads the values of some inputs.
pub type InputReader<V> = Box<dyn Fn(&mut FoundInputs<'_>) -> Result<V, BoxError> + Send + Sync>;

/// The inputs that were found for a step, to be taken one after the other.
pub struct FoundInputs<'a>(pub(crate) std::slice::Iter<'a, Found>);

impl FoundInputs<'_> {
    fn read<T: Input>(&mut self) -> Result<T, BoxError> {
        let found = self.0.next().expect("every described input was found");
        T::read(found).map_err(|source| {
            let name = found.name.clone();
            let type_name = T::type_name();
            PipelineError::LoadArtifact {
                name,
                type_name,
                source,
            }
            .into()
        })
    }
}

impl Inputs for () {
    type Values = ();

    fn describe(&self, _: &mut Vec<InputSpec>) {}

    fn reader(&self) -> InputReader<()> {
        Box::new(|_| Ok(()))
    }
}

impl<T: Input> Inputs for &Output<T> {
    type Values = T;

    fn describe(&self, specs: &mut Vec<InputSpec>) {
        specs.push(InputSpec {
            from: self.from.to_string(),
            output: self.output.to_string(),
            type_name: T::type_name(),
        });
    }

    fn reader(&self) -> InputReader<T> {
        Box::new(|found| found.read())
    }
}

impl<T: Input> Inputs for &[Output<T>] {
    type Values = Vec<T>;

    fn describe(&self, specs: &mut Vec<InputSpec>) {
        self.iter().for_each(|output| output.describe(specs));
    }

    fn reader(&self) -> InputReader<Vec<T>> {
        let n = self.len();
        Box::new(move |found| (0..n).map(|_| found.read()).collect())
    }
}

impl<T: Input> Inputs for &Vec<Output<T>> {
    type Values = Vec<T>;

    fn describe(&self, specs: &mut Vec<InputSpec>) {
        self.as_slice().describe(specs);
    }

    fn reader(&self) -> InputReader<Vec<T>> {
        self.as_slice().reader()
    }
}

macro_rules! inputs_for_tuple {
    ($($part:ident . $index:tt),+) => {
        impl<$($part: Inputs),+> Inputs for ($($part,)+) {
            type Values = ($($part::Values,)+);

            fn describe(&self, specs: &mut Vec<InputSpec>) {
                $(self.$index.describe(specs);)+
            }

            fn reader(&self) -> InputReader<Self::Values> {
                let readers = ($(self.$index.reader(),)+);
                Box::new(move |found| Ok(($((readers.$index)(found)?,)+)))
            }
        }
    };
}

inputs_for_tuple!(A.0);
inputs_for_tuple!(A.0, B.1);
inputs_for_tuple!(A.0, B.1, C.2);
inputs_for_tuple!(A.0, B.1, C.2, D.3);
inputs_for_tuple!(A.0, B.1, C.2, D.3, E.4);
inputs_for_tuple!(A.0, B.1, C.2, D.3, E.4, F.5);
