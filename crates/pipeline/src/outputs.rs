//! What the closure of a step returns: one [`Artifact`], a tuple of them, or
//! nothing.

use std::path::{Path, PathBuf};

use crate::artifact::{Artifact, Metadata};
use crate::error::{PipelineError, Result};
use crate::format::Format;
use crate::graph::OutputSpec;
use crate::input::Output;

/// What a step returns: an [`Artifact`], a tuple of up to six, or `()`.
pub trait Outputs: Send + 'static {
    /// What the builder gives for it: [`Output`] or a tuple of them.
    type Handles;

    /// Type and format of each output.
    fn kinds() -> Vec<(String, Format)>;

    /// The handles; `names` has one name per output.
    fn handles(step: &str, names: &[String]) -> Self::Handles;

    /// Writes each output to a file or folder of its own.
    ///
    /// # Errors
    ///
    /// When one cannot be written.
    fn stage(&self, staging: &mut Staging<'_>) -> Result<()>;
}

/// Where the outputs of one attempt are written before they join the store.
pub struct Staging<'a> {
    folder: &'a Path,
    specs: std::slice::Iter<'a, OutputSpec>,
    staged: Vec<Staged>,
}

/// An output that is written but not yet in the store.
pub(crate) struct Staged {
    pub(crate) path: PathBuf,
    pub(crate) spec: OutputSpec,
    pub(crate) metadata: Metadata,
}

impl<'a> Staging<'a> {
    pub(crate) fn new(folder: &'a Path, specs: &'a [OutputSpec]) -> Self {
        Self {
            folder,
            specs: specs.iter(),
            staged: Vec::new(),
        }
    }

    pub(crate) fn into_staged(self) -> Vec<Staged> {
        self.staged
    }

    fn save<T: Artifact>(&mut self, value: &T) -> Result<()> {
        let spec = self
            .specs
            .next()
            .expect("every output was described")
            .clone();
        let path = self.folder.join(format!("output-{}", self.staged.len()));
        let metadata = value.metadata();
        value
            .save(&path)
            .map_err(|source| PipelineError::SaveArtifact {
                name: spec.name.clone(),
                path: path.clone(),
                source,
            })?;
        self.staged.push(Staged {
            path,
            spec,
            metadata,
        });
        Ok(())
    }
}

/// The names that outputs have when their step gives none.
pub(crate) fn default_names(n_outputs: usize) -> Vec<String> {
    match n_outputs {
        1 => vec![OutputSpec::ONLY.to_owned()],
        n => (1..=n).map(|number| format!("output-{number}")).collect(),
    }
}

impl Outputs for () {
    type Handles = ();

    fn kinds() -> Vec<(String, Format)> {
        Vec::new()
    }

    fn handles(_: &str, _: &[String]) {}

    fn stage(&self, _: &mut Staging<'_>) -> Result<()> {
        Ok(())
    }
}

impl<T: Artifact> Outputs for T {
    type Handles = Output<T>;

    fn kinds() -> Vec<(String, Format)> {
        vec![(<T as Artifact>::type_name(), T::format())]
    }

    fn handles(step: &str, names: &[String]) -> Output<T> {
        Output::named(step, &names[0])
    }

    fn stage(&self, staging: &mut Staging<'_>) -> Result<()> {
        staging.save(self)
    }
}

macro_rules! outputs_for_tuple {
    ($($part:ident . $index:tt),+) => {
        impl<$($part: Artifact),+> Outputs for ($($part,)+) {
            type Handles = ($(Output<$part>,)+);

            fn kinds() -> Vec<(String, Format)> {
                vec![$((<$part as Artifact>::type_name(), $part::format())),+]
            }

            fn handles(step: &str, names: &[String]) -> Self::Handles {
                ($(Output::named(step, &names[$index]),)+)
            }

            fn stage(&self, staging: &mut Staging<'_>) -> Result<()> {
                $(staging.save(&self.$index)?;)+
                Ok(())
            }
        }
    };
}

outputs_for_tuple!(A.0, B.1);
outputs_for_tuple!(A.0, B.1, C.2);
outputs_for_tuple!(A.0, B.1, C.2, D.3);
outputs_for_tuple!(A.0, B.1, C.2, D.3, E.4);
outputs_for_tuple!(A.0, B.1, C.2, D.3, E.4, F.5);
