//! The home folder: where runs and models are kept, and how they are named.
//!
//! ```text
//! HOME/pipeline.db      runs of the pipeline, what they made and from what
//! HOME/artifacts/       what they made, by content
//! HOME/checkpoints/     trainings that have not come to their end
//! HOME/runs/NAME/       report.html, metrics.json and tables of run NAME
//! HOME/models/NAME/     the bundle of run NAME, if it was put into use
//! HOME/models/champion  the name of the bundle in use
//! ```

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use biophony_model::{Bundle, Existing};
use biophony_pipeline::Store;

/// The file that names the model in use.
const CHAMPION: &str = "champion";

/// The model in use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Champion {
    pub(crate) name: String,
    pub(crate) path: PathBuf,
    /// As by [`bundle_digest`].
    pub(crate) digest: String,
}

/// The BLAKE3 of `bundle.json`, which itself names the digests of the rest.
pub(crate) fn bundle_digest(bundle: &Path) -> Result<String> {
    let path = bundle.join("bundle.json");
    let bytes =
        std::fs::read(&path).with_context(|| format!("cannot read `{}`", path.display()))?;
    Ok(blake3::hash(&bytes).to_hex().to_string())
}

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

    /// Where unfinished trainings keep their state.
    pub(crate) fn checkpoints(&self) -> PathBuf {
        self.root.join("checkpoints")
    }

    pub(crate) fn run(&self, name: &str) -> PathBuf {
        self.root.join("runs").join(name)
    }

    pub(crate) fn model(&self, name: &str) -> PathBuf {
        self.root.join("models").join(name)
    }

    /// Runs, artifacts and the cache.
    pub(crate) fn pipelines(&self) -> Result<Store> {
        std::fs::create_dir_all(&self.root)
            .with_context(|| format!("cannot create `{}`", self.root.display()))?;
        Ok(Store::open(&self.root)?)
    }

    /// The model in use, if there is one.
    ///
    /// # Errors
    ///
    /// When it is there and cannot be read.
    pub(crate) fn champion(&self) -> Result<Option<Champion>> {
        let pointer = self.root.join("models").join(CHAMPION);
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
            name,
            path,
        }))
    }

    /// Copies a bundle to `models/NAME` and puts it into use; returns where it
    /// is. A bundle that is in use already stays where it is.
    pub(crate) fn promote(&self, name: &str, bundle: &Path) -> Result<PathBuf> {
        let digest = bundle_digest(bundle)?;
        if let Some(champion) = self.champion()?
            && champion.digest == digest
        {
            return Ok(champion.path);
        }
        let target = self.model(name);
        let is_there = bundle_digest(&target).is_ok_and(|there| there == digest);
        if !is_there {
            Bundle::load(bundle)?.save(&target, Existing::Replace)?;
        }
        self.set_champion(name)?;
        Ok(target)
    }

    /// Makes `name` the model that commands use when none is named.
    fn set_champion(&self, name: &str) -> Result<()> {
        let models = self.root.join("models");
        let target = models.join(CHAMPION);
        let write = || -> std::io::Result<()> {
            let mut file = tempfile::NamedTempFile::new_in(&models)?;
            std::io::Write::write_all(&mut file, name.as_bytes())?;
            file.as_file().sync_all()?;
            file.persist(&target)?;
            Ok(())
        };
        write().with_context(|| format!("cannot write `{}`", target.display()))
    }

    /// Finds a model: a folder, a name below the home folder, or the one in use.
    pub(crate) fn find_model(&self, wanted: Option<&str>) -> Result<PathBuf> {
        let Some(wanted) = wanted else {
            let champion = self.champion()?.with_context(|| {
                format!(
                    "there is no model in `{}` yet; make one with `biophony train DIR`, or name a model folder with `--model`",
                    self.root.display()
                )
            })?;
            return Ok(champion.path);
        };
        let as_folder = PathBuf::from(wanted);
        if as_folder.join("bundle.json").is_file() {
            return Ok(as_folder);
        }
        let below_home = self.model(wanted);
        if below_home.join("bundle.json").is_file() {
            return Ok(below_home);
        }
        bail!(
            "there is no model `{wanted}`: neither `{}` nor `{}` holds a bundle.json",
            as_folder.display(),
            below_home.display()
        )
    }
}
