//! `biophony serve`: the web application, its API and MLflow's, in one process.
//!
//! What is served lives in `biophony-web`; here it is told where things are, and
//! lent what only the command line has: the demo (`serve/demo.rs`), sounds to try
//! (`serve/examples.rs`), and the addresses to open (`serve/welcome.rs`).

mod demo;
mod examples;
mod welcome;

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result};
use biophony_tracking::server::Access;
use biophony_tracking::{CHAMPION, TrackingStore};
use biophony_web::{Config, EndSignals, ModelChoice, Server, Tls, WebState, lan_addresses};

use super::{load_settings, print};
use crate::arguments::{Common, ServeArguments};
use crate::home::Home;
use crate::tracking::{Tracking, Which, find_folder};
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
    tracking.watch_for_dead_runs()?;
    let (registered_model, model) = choice(&home, &tracking, &arguments.model)?;
    let tls = match &arguments.tls {
        Some(wanted) => Some(encryption(wanted, &common.home)?),
        None => None,
    };
    let config = Config {
        access: access(arguments)?,
        model,
        encrypted: tls.is_some(),
        demo: Some(Arc::new(Demo::new(common))),
        examples: Arc::new(Examples::new(pipelines.clone())),
        pipelines: Some(pipelines),
        program: home.program(),
        registered_model,
        ..Config::new(common.home.clone(), tracking.store, tracking.artifacts)
    };
    let is_open = !config.access.asks_for_tokens();
    let state = WebState::new(config)?;
    let models = state.models().clone();
    let fingerprint = tls.as_ref().map(|tls| tls.fingerprint().to_owned());
    let signals = EndSignals::listen()?;
    let server = Server::start(arguments.addr, tls, state)?;
    print(&welcome(server.address(), fingerprint.as_deref(), is_open))?;
    match (models.current(), models.problem()) {
        (Some(served), _) => eprintln!("model: {}", served.identity),
        (None, Some(problem)) => eprintln!("no model: {problem}"),
        (None, None) => eprintln!("no model yet; one is used as soon as it is put into use"),
    }
    drop(models);
    server.wait(signals)?;
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

/// Which model is meant, and of which registered model: a folder with a bundle, the name
/// of one below the home folder, a version, the newest one there is now, or an alias, which
/// is followed.
///
/// # Errors
///
/// When it is none of these. The champion alone may be missing yet, also with the
/// registered model of the settings.
fn choice(home: &Home, tracking: &Tracking, wanted: &str) -> Result<(String, ModelChoice)> {
    let own = tracking.settings.model.clone();
    if let Some(folder) = find_folder(home, wanted) {
        return Ok((own, ModelChoice::Folder(folder)));
    }
    let is_registered = |model: &str| tracking.store.get_registered_model(model).is_ok();
    let reference = tracking.reference(wanted);
    let model = reference.model.to_owned();
    match (tracking.find_version(wanted)?, reference.which) {
        (Some(version), Which::Version(_) | Which::Latest) => {
            Ok((model, ModelChoice::Version(version.version)))
        }
        (None, Which::Alias(CHAMPION)) if model == own || is_registered(&model) => {
            Ok((model, ModelChoice::Alias(CHAMPION.to_owned())))
        }
        (Some(_), Which::Alias(alias)) => Ok((model, ModelChoice::Alias(alias.to_owned()))),
        (None, _) => Err(tracking.no_such_model(home, wanted)),
    }
}
