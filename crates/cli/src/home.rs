//! The home folder: where runs and models are kept, and how they are named.
//!
//! ```text
//! HOME/runs/NAME/     report.html, metrics.json, tables, checkpoints
//! HOME/models/NAME/   the bundle that run NAME ended with
//! HOME/models/newest  the name of the newest bundle
//! ```

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

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

    pub(crate) fn run(&self, name: &str) -> PathBuf {
        self.root.join("runs").join(name)
    }

    pub(crate) fn model(&self, name: &str) -> PathBuf {
        self.root.join("models").join(name)
    }

    /// Creates the folder of a new run and returns its name: the time, and a
    /// counter where two runs begin within one second.
    pub(crate) fn start_run(&self, time: &str) -> Result<String> {
        let runs = self.root.join("runs");
        std::fs::create_dir_all(&runs)
            .with_context(|| format!("cannot create `{}`", runs.display()))?;
        for attempt in 1.. {
            let name = if attempt == 1 {
                time.to_owned()
            } else {
                format!("{time}-{attempt}")
            };
            match std::fs::create_dir(runs.join(&name)) {
                Ok(()) => return Ok(name),
                Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
                Err(error) => {
                    return Err(error)
                        .with_context(|| format!("cannot create `{}`", runs.join(name).display()));
                }
            }
        }
        unreachable!("the loop above has no end")
    }

    /// The newest run for which `is_wanted` holds.
    pub(crate) fn newest_run(&self, is_wanted: impl Fn(&Path) -> bool) -> Option<String> {
        let entries = std::fs::read_dir(self.root.join("runs")).ok()?;
        let mut names: Vec<String> = entries
            .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
            .filter(|name| is_wanted(&self.run(name)))
            .collect();
        names.sort();
        names.pop()
    }

    /// Makes `name` the model that commands use when none is named.
    pub(crate) fn set_newest_model(&self, name: &str) -> Result<()> {
        let models = self.root.join("models");
        let target = models.join("newest");
        let write = || -> std::io::Result<()> {
            let mut file = tempfile::NamedTempFile::new_in(&models)?;
            std::io::Write::write_all(&mut file, name.as_bytes())?;
            file.as_file().sync_all()?;
            file.persist(&target)?;
            Ok(())
        };
        write().with_context(|| format!("cannot write `{}`", target.display()))
    }

    /// Finds a model: a folder, a name below the home folder, or the newest.
    pub(crate) fn find_model(&self, wanted: Option<&str>) -> Result<PathBuf> {
        let Some(wanted) = wanted else {
            let pointer = self.root.join("models").join("newest");
            let name = std::fs::read_to_string(&pointer).with_context(|| {
                format!(
                    "there is no model in `{}` yet; make one with `biophony train DIR`, or name a model folder with `--model`",
                    self.root.display()
                )
            })?;
            return Ok(self.model(name.trim()));
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
