//! `biophony serve`: the web application, its API and MLflow's, in one process.
//!
//! What is served lives in `biophony-web`; here it is told where things are, and
//! lent what only the command line has: the demo and its sounds.

use std::path::PathBuf;

use anyhow::{Context, Result};
use biophony_tracking::server::Access;
use biophony_web::{Config, ModelChoice, Server, WebState};

use super::{load_settings, print};
use crate::arguments::{Common, ServeArguments};
use crate::home::Home;
use crate::tracking::Tracking;
use crate::{Outcome, UsageError};

pub(crate) fn run(common: &Common, arguments: &ServeArguments) -> Result<Outcome> {
    let home = Home::at(&common.home);
    let pipelines = home.pipelines()?;
    let settings = load_settings(common, Vec::new())?.tracking;
    let tracking = Tracking::open(&home, &settings)?;
    tracking.adopt_old_champion()?;
    let config = Config {
        access: access(arguments)?,
        model: choice(&home, &arguments.model),
        pipelines: Some(pipelines),
        registered_model: settings.model,
        ..Config::new(common.home.clone(), tracking.store, tracking.artifacts)
    };
    let asks_for_tokens = config.access.asks_for_tokens();
    let state = WebState::new(config)?;
    let model = state
        .models()
        .current()
        .map(|served| served.identity.clone());
    let server = Server::start(arguments.addr, None, state)?;
    print(&format!("listening on http://{}\n", server.address()))?;
    match model {
        Some(model) => eprintln!("model: {}", model.name),
        None => eprintln!("there is no model yet; it is used as soon as one is trained"),
    }
    if !arguments.addr.ip().is_loopback() && !asks_for_tokens {
        eprintln!(
            "whoever reaches this address may use and change everything; \
             --auth-token-file lets only some"
        );
    }
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

/// A folder with a bundle, the name of one below the home folder, or else an alias.
fn choice(home: &Home, wanted: &str) -> ModelChoice {
    let as_folder = PathBuf::from(wanted);
    let below_home = home.model(wanted);
    let holds_bundle = |folder: &PathBuf| folder.join("bundle.json").is_file();
    match [as_folder, below_home].into_iter().find(holds_bundle) {
        Some(folder) => ModelChoice::Folder(folder),
        None if wanted.contains(['/', '\\']) => ModelChoice::Folder(PathBuf::from(wanted)),
        None => ModelChoice::Alias(wanted.to_owned()),
    }
}
