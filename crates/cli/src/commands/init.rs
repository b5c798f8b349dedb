//! `biophony init`: a settings file with every setting and its meaning.

use std::path::Path;

use anyhow::{Context, Result, bail};

use super::{SETTINGS_FILE, config, print};
use crate::Outcome;
use crate::arguments::InitArguments;
use crate::settings::Settings;

pub(crate) fn run(arguments: &InitArguments) -> Result<Outcome> {
    let path = Path::new(SETTINGS_FILE);
    if path.exists() {
        bail!("there is a `{SETTINGS_FILE}` already; remove it first, or edit it");
    }
    let mut settings = Settings::default();
    if let Some(folder) = &arguments.data {
        settings.data.folder.clone_from(folder);
    }
    std::fs::write(path, config::as_toml(&settings))
        .with_context(|| format!("cannot write `{SETTINGS_FILE}`"))?;
    print(&format!(
        "wrote `{SETTINGS_FILE}`; `biophony run` does what it says\n"
    ))?;
    Ok(Outcome::Complete)
}
