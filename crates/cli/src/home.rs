//! The home folder: where runs and models are kept, and how they are named.
//!
//! ```text
//! HOME/tracking.db      runs, metrics and the model registry, as MLflow has them
//! HOME/mlartifacts/     files of these runs, and the models
//! HOME/pipeline.db      runs of the pipeline, what they made and from what
//! HOME/artifacts/       what they made, by content
//! HOME/checkpoints/     trainings that have not come to their end
//! HOME/locks/           what only one process may do at a time
//! HOME/runs/NAME/       report.html, metrics.json and tables of run NAME
//! HOME/models/NAME/     the bundle of run NAME, if it was put into use
//! ```
//!
//! Which of the models is in use is said by the registry: see
//! [`crate::tracking`].

use std::borrow::Cow;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use biophony_pipeline::Store;

use crate::tracking::{Champion, bundle_digest};

/// The home folder of who names none: one below the folder that one works in.
pub(crate) const DEFAULT_HOME: &str = ".biophony";

/// The file by which earlier programs named the model in use.
const OLD_CHAMPION: &str = "champion";

/// The folder given by `--home`, created when something is first written.
#[derive(Debug, Clone)]
pub(crate) struct Home {
    root: PathBuf,
}

impl Home {
    pub(crate) fn at(root: &Path) -> Self {
        Self {
            root: root.to_owned(),
        }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.root
    }

    /// How a person calls the program on this folder in a terminal.
    pub(crate) fn program(&self) -> String {
        if self.root == Path::new(DEFAULT_HOME) {
            return "biophony".to_owned();
        }
        let root = self.root.to_string_lossy();
        // Only a NUL cannot be quoted, which no path has.
        let quoted = shlex::try_quote(&root).unwrap_or(Cow::Borrowed(&root));
        format!("biophony --home {quoted}")
    }

    pub(crate) fn create(&self) -> Result<()> {
        std::fs::create_dir_all(&self.root)
            .with_context(|| format!("cannot create `{}`", self.root.display()))
    }

    /// Where unfinished trainings keep their state.
    pub(crate) fn checkpoints(&self) -> PathBuf {
        self.root.join("checkpoints")
    }

    /// Recordings that people have reviewed.
    pub(crate) fn reviewed(&self) -> PathBuf {
        self.root.join("reviewed")
    }

    pub(crate) fn locks(&self) -> PathBuf {
        self.root.join("locks")
    }

    pub(crate) fn tracking_database(&self) -> PathBuf {
        self.root.join("tracking.db")
    }

    pub(crate) fn tracked_artifacts(&self) -> PathBuf {
        self.root.join("mlartifacts")
    }

    pub(crate) fn run(&self, name: &str) -> PathBuf {
        self.root.join("runs").join(name)
    }

    pub(crate) fn model(&self, name: &str) -> PathBuf {
        self.root.join("models").join(name)
    }

    /// Runs of the pipeline, artifacts and the cache.
    pub(crate) fn pipelines(&self) -> Result<Store> {
        self.create()?;
        Ok(Store::open(&self.root)?)
    }

    /// The same, unless nothing ever ran in this home folder: commands that only look
    /// leave no files behind.
    pub(crate) fn existing_pipelines(&self) -> Result<Option<Store>> {
        match self.root.join("pipeline.db").is_file() {
            true => self.pipelines().map(Some),
            false => Ok(None),
        }
    }

    /// Copies a bundle to `models/NAME`, for people to look at and take away; returns
    /// where it is.
    pub(crate) fn lay_out_model(&self, name: &str, bundle: &Path) -> Result<PathBuf> {
        let target = self.model(name);
        let digest = bundle_digest(bundle)?;
        if bundle_digest(&target).is_ok_and(|there| there == digest) {
            return Ok(target);
        }
        let models = self.root.join("models");
        let lay_out = || -> std::io::Result<()> {
            std::fs::create_dir_all(&models)?;
            let prefix = format!(".{name}.new-");
            let scratch = to_stay(0o777).prefix(&prefix).tempdir_in(&models)?;
            for entry in std::fs::read_dir(bundle)? {
                let entry = entry?;
                let copy = scratch.path().join(entry.file_name());
                std::fs::copy(entry.path(), copy)?;
            }
            if target.exists() {
                std::fs::remove_dir_all(&target)?;
            }
            std::fs::rename(scratch.keep(), &target)
        };
        lay_out().with_context(|| format!("cannot lay out `{}`", target.display()))?;
        Ok(target)
    }

    /// The model that an earlier program put into use, which named it in a file.
    ///
    /// # Errors
    ///
    /// When it is there and cannot be read.
    pub(crate) fn old_champion(&self) -> Result<Option<Champion>> {
        let pointer = self.model(OLD_CHAMPION);
        let name = match std::fs::read_to_string(&pointer) {
            Ok(name) => name.trim().to_owned(),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => {
                return Err(error).with_context(|| format!("cannot read `{}`", pointer.display()));
            }
        };
        let path = self.model(&name);
        if !path.join("bundle.json").exists() {
            // Its folder was removed: nothing is in use.
            return Ok(None);
        }
        Ok(Some(Champion {
            digest: bundle_digest(&path)?,
            synthetic: false,
            name,
            version: None,
            bundle: Ok(path),
        }))
    }

    /// Removes the file that [`Home::old_champion`] reads.
    pub(crate) fn forget_old_champion(&self) -> Result<()> {
        let pointer = self.model(OLD_CHAMPION);
        std::fs::remove_file(&pointer)
            .with_context(|| format!("cannot remove `{}`", pointer.display()))
    }
}

/// Makes what is temporary only until it is complete and moved into its place: whoever
/// the user's umask lets read it may, where temporary files are for one user alone.
/// `mode` is that before the umask: 0o777 for a folder, 0o666 for a file.
pub(crate) fn to_stay<'a, 'b>(mode: u32) -> tempfile::Builder<'a, 'b> {
    let mut builder = tempfile::Builder::new();
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        builder.permissions(std::fs::Permissions::from_mode(mode));
    }
    #[cfg(not(unix))]
    let _ = mode;
    builder
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_home_is_named_where_it_is_not_the_usual_one() {
        let program = |home: &str| Home::at(Path::new(home)).program();
        assert_eq!(program(".biophony"), "biophony");
        assert_eq!(program("/srv/owls"), "biophony --home /srv/owls");
        assert_eq!(program("my owls"), "biophony --home 'my owls'");
    }
}
