//! Runs whose process died: a lock that the system lets go of when a process ends,
//! however it ends, tells them from runs that are under way.
//!
//! `locks/tracking-RUN` is held as long as the run is recorded and names the run
//! and its nested runs, a line each.

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use anyhow::{Context, Result};
use biophony_tracking::{RunId, RunInfo, RunStatus, SqliteStore, TrackingStore, value_of};

use super::tag;

const PREFIX: &str = "tracking-";

/// Says that a run is under way, until it is dropped or the process ends.
pub(super) struct Sign {
    file: Mutex<File>,
    path: PathBuf,
}

impl Sign {
    pub(super) fn put_up(locks: &Path, run: &RunId) -> Result<Self> {
        let path = locks.join(format!("{PREFIX}{run}"));
        let put_up = || {
            std::fs::create_dir_all(locks)?;
            // Locked and filled in before it has its name: others take down a sign that
            // nobody holds.
            let beginning = locks.join(format!("beginning-{run}"));
            let mut file = File::create(&beginning)?;
            file.lock()?;
            writeln!(file, "{run}")?;
            std::fs::rename(&beginning, &path)?;
            std::io::Result::Ok(file)
        };
        let file = put_up().with_context(|| format!("cannot lock `{}`", path.display()))?;
        Ok(Self {
            file: Mutex::new(file),
            path,
        })
    }

    /// Names one more run that ends with this process.
    pub(super) fn add(&self, run: &RunId) {
        if let Ok(mut file) = self.file.lock() {
            // Unnamed, a run of a process that died stays marked as running.
            let _ = writeln!(file, "{run}");
        }
    }
}

impl Drop for Sign {
    fn drop(&mut self) {
        // Left behind, it is cleared away by the next start.
        let _ = std::fs::remove_file(&self.path);
    }
}

/// Marks runs as killed whose process died while it recorded them.
pub(super) fn mark_dead(store: &SqliteStore, locks: &Path) -> Result<()> {
    let Ok(entries) = std::fs::read_dir(locks) else {
        // There is no such folder yet.
        return Ok(());
    };
    for entry in entries.flatten() {
        if !entry.file_name().to_string_lossy().starts_with(PREFIX) {
            continue;
        }
        let path = entry.path();
        let Ok(mut file) = OpenOptions::new().read(true).write(true).open(&path) else {
            continue;
        };
        if file.try_lock().is_err() {
            // Its process is at work.
            continue;
        }
        let mut runs = String::new();
        // What cannot be read names no run.
        let _ = file.read_to_string(&mut runs);
        let mut is_foreign = false;
        for run in runs.lines() {
            is_foreign |= !mark_killed(store, &RunId::from(run))?;
        }
        if !is_foreign {
            // Another start may have been faster.
            let _ = std::fs::remove_file(&path);
        }
    }
    Ok(())
}

/// Marks one run, if it is said to be running. False if it runs on another machine,
/// whose locks this one may not see.
fn mark_killed(store: &SqliteStore, id: &RunId) -> Result<bool> {
    let Ok(run) = store.get_run(id) else {
        // It was removed meanwhile.
        return Ok(true);
    };
    if run.info.status != RunStatus::Running {
        return Ok(true);
    }
    if value_of(&run.data.tags, tag::HOST).is_some_and(|on| on != host()) {
        return Ok(false);
    }
    let last_sign = run.data.metrics.iter().map(|metric| metric.timestamp);
    let ended = last_sign.max().unwrap_or(run.info.start_time);
    let RunInfo { run_id, .. } = store.finish_run(id, RunStatus::Killed, ended)?;
    store.set_tag(
        &run_id,
        biophony_tracking::Tag::new(tag::ERROR, "its process ended without a word"),
    )?;
    Ok(true)
}

/// This machine's name, or `unknown`.
pub(super) fn host() -> String {
    let kernel = std::fs::read_to_string("/proc/sys/kernel/hostname").ok();
    let name = kernel
        .or_else(|| std::env::var("HOSTNAME").ok())
        .unwrap_or_default();
    match name.trim() {
        "" => "unknown".to_owned(),
        name => name.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use biophony_tracking::{CreateRun, ExperimentId};

    use super::*;

    #[test]
    fn a_run_is_marked_when_its_sign_is_left_behind_and_not_before() {
        let folder = tempfile::tempdir().expect("a folder");
        let store = SqliteStore::in_memory().expect("a store");
        let start = || {
            let request = CreateRun::new(ExperimentId::default_experiment());
            store.create_run(request).expect("a run").info.run_id
        };
        let (run, nested) = (start(), start());
        let status = |id: &RunId| store.get_run(id).expect("it is there").info.status;

        let sign = Sign::put_up(folder.path(), &run).expect("locks");
        sign.add(&nested);
        mark_dead(&store, folder.path()).expect("looks");
        assert_eq!(status(&run), RunStatus::Running);

        // What is left when a process is killed: the file, and nobody who locks it.
        let names = std::fs::read_to_string(&sign.path).expect("reads");
        drop(sign);
        std::fs::write(folder.path().join(format!("{PREFIX}{run}")), names).expect("writes");
        mark_dead(&store, folder.path()).expect("looks");
        assert_eq!(status(&run), RunStatus::Killed);
        assert_eq!(status(&nested), RunStatus::Killed);
        let left = std::fs::read_dir(folder.path()).expect("lists").count();
        assert_eq!(left, 0, "the sign is taken down");
    }
}
