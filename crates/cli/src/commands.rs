//! One file per command; each has a `run` that does the command's work and says
//! how it ended.

pub(crate) mod audit;
pub(crate) mod bench;
pub(crate) mod classify;
pub(crate) mod completions;
pub(crate) mod config;
pub(crate) mod demo;
pub(crate) mod evaluate;
pub(crate) mod export;
pub(crate) mod features;
pub(crate) mod import;
pub(crate) mod init;
pub(crate) mod lineage;
pub(crate) mod models;
pub(crate) mod run;
pub(crate) mod runs;
pub(crate) mod serve;
pub(crate) mod tracking;
pub(crate) mod train;

use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::Result;

use crate::arguments::Common;
use crate::progress::{harmless, note};
use crate::settings::{SIMD, Settings, Sources};

/// Where settings are looked for when no file is named.
const SETTINGS_FILE: &str = "biophony.toml";

/// Loads the settings: defaults, file, environment, `--set`, and then the
/// command's own flags, given as `key=value`.
fn load_settings(common: &Common, own_flags: Vec<String>) -> Result<Settings> {
    load_settings_over(Vec::new(), common, own_flags)
}

/// The settings, over `defaults` that differ from the usual ones.
fn load_settings_over(
    defaults: Vec<String>,
    common: &Common,
    own_flags: Vec<String>,
) -> Result<Settings> {
    let default_file = Path::new(SETTINGS_FILE);
    let file = match &common.config {
        Some(path) => Some(path.clone()),
        None => default_file.is_file().then(|| default_file.to_owned()),
    };
    let environment = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect();
    let flags = common.set.iter().cloned().chain(own_flags).collect();
    let settings = Settings::load(&Sources {
        defaults,
        file,
        environment,
        flags,
    })?;
    let (wanted, used) = (std::env::var(SIMD), biophony_nn::instruction_set());
    if let Some(wanted) = wanted.ok().filter(|name| !name.is_empty() && name != used) {
        note(&format!(
            "warning: {SIMD}={wanted}: this processor has no such instructions; {used} is used"
        ));
    }
    Ok(settings)
}

/// Writes to standard output, with escapes for control characters in names.
fn print(text: &str) -> Result<()> {
    print_exactly(&harmless(text))
}

/// Writes to standard output what another program reads; a reader that has gone away is
/// no error.
fn print_exactly(text: &str) -> Result<()> {
    match std::io::stdout().lock().write_all(text.as_bytes()) {
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        outcome => Ok(outcome?),
    }
}

/// Tells at the end of a batch which files could not be used, and why.
fn report_failures(failures: &[(PathBuf, String)]) {
    if failures.is_empty() {
        return;
    }
    let files = plural(failures.len(), "file", "files");
    note(&format!("{files} could not be used:"));
    for (path, reason) in failures {
        // Most reasons name the file already.
        let path = path.display().to_string();
        if reason.contains(&path) {
            note(&format!("  {reason}"));
        } else {
            note(&format!("  {path}: {reason}"));
        }
    }
}

/// An error with its causes, in one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(&format!(": {error}"));
        cause = error.source();
    }
    text
}

/// `1 file`, `2 files`.
pub(crate) fn plural(count: usize, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}
