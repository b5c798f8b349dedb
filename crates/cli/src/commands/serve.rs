//! `biophony serve`: the web application, its API and MLflow's, in one process.
//!
//! What is served lives in `biophony-web`; here it is told where things are, and
//! lent what only the command line has: the demo (`serve/demo.rs`), sounds to try
//! (`serve/examples.rs`), and the addresses to open (`serve/welcome.rs`).

mod demo;
mod examples;
mod welcome;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result};
use biophony_tracking::server::Access;
use biophony_web::{Config, ModelChoice, Server, Tls, WebState, lan_addresses};

use super::{load_settings, print};
use crate::arguments::{Common, ServeArguments};
use crate::home::Home;
use crate::tracking::Tracking;
use crate::{Outcome, UsageError};
use demo::Demo;
use examples::Examples;
use welcome::welcome;

pub(crate) fn run(common: &Common, arguments: &ServeArguments) -> Result<Outcome> {
    let home = Home::at(&common.home);
    let pipelines = home.pipelines()?;
    let settings = load_settings(common, Vec::new())?.tracking;
    let tracking = Tracking::open(&home, &settings)?;
    tracking.adopt_old_champion()?;
    let tls = match &arguments.tls {
        Some(wanted) => Some(encryption(wanted, &common.home)?),
        None => None,
    };
    let config = Config {
        access: access(arguments)?,
        model: choice(&home, &arguments.model),
        encrypted: tls.is_some(),
        demo: Some(Arc::new(Demo::new(common))),
        examples: Arc::new(Examples::new(pipelines.clone())),
        pipelines: Some(pipelines),
        registered_model: settings.model,
        ..Config::new(common.home.clone(), tracking.store, tracking.artifacts)
    };
    let is_open = !config.access.asks_for_tokens();
    let state = WebState::new(config)?;
    let models = state.models().clone();
    let fingerprint = tls.as_ref().map(|tls| tls.fingerprint().to_owned());
    let server = Server::start(arguments.addr, tls, state)?;
    print(&welcome(server.address(), fingerprint.as_deref(), is_open))?;
    match (models.current(), models.problem()) {
        (Some(served), _) => eprintln!("model: {}", served.identity),
        (None, Some(problem)) => eprintln!("no model: {problem}"),
        (None, None) => eprintln!("no model yet; one is used as soon as it is put into use"),
    }
    drop(models);
    server.wait()?;
    Ok(Outcome::Complete)
}

fn access(arguments: &ServeArguments) -> Result<Access> {
    let mut access = Access::default();
    if let Some(path) = &arguments.auth_token_file {
        let text = std::fs::read_to_string(path)
            .with_context(|| format!("cannot read the tokens in `{}`", path.display()))?;
        access = access
            .with_tokens(&text)
            .map_err(|error| UsageError(format!("`{}`: {error}", path.display())))?;
    }
    for host in &arguments.allow_host {
        access = access.with_host(host);
    }
    for origin in &arguments.allow_origin {
        access = access.with_origin(origin);
    }
    Ok(access)
}

/// A certificate made here, or two files.
fn encryption(wanted: &str, home: &Path) -> Result<Tls> {
    if wanted == "self-signed" {
        return Ok(Tls::self_signed(home, &lan_addresses())?);
    }
    let (certificate, key) = wanted.split_once(',').ok_or_else(|| {
        UsageError(format!(
            "`--tls {wanted}`: write `self-signed`, or the files of a certificate and its key, \
             such as `cert.pem,key.pem`"
        ))
    })?;
    Ok(Tls::from_files(Path::new(certificate), Path::new(key))?)
}

/// A folder with a bundle, the name of one below the home folder, or else an alias.
fn choice(home: &Home, wanted: &str) -> ModelChoice {
    let as_folder = PathBuf::from(wanted);
    let below_home = home.model(wanted);
    let holds_bundle = |folder: &PathBuf| folder.join("bundle.json").is_file();
    match [as_folder, below_home].into_iter().find(holds_bundle) {
        Some(folder) => ModelChoice::Folder(folder),
        // No alias has a slash in it: it will be said what the folder lacks.
        None if wanted.contains(['/', '\\']) => ModelChoice::Folder(PathBuf::from(wanted)),
        None => ModelChoice::Alias(wanted.to_owned()),
    }
}
