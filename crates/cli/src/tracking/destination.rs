//! The server that is told of runs as well: where it is, and how it is asked.
//!
//! Its address is a setting; whom to be towards it comes from the environment alone,
//! by the variables that MLflow's users know, so that no password is ever written
//! down here.

use std::fs::File;
use std::time::Duration;

use anyhow::{Context, Result};
use biophony_tracking::{Mirror, RemoteStore, RunId};

use super::Tracking;
use crate::home::Home;
use crate::progress::note;
use crate::settings::TrackingSettings;

/// How long an answer may take while something waits for it.
pub(crate) const QUICK: Duration = Duration::from_secs(5);

/// How long an answer may take while nothing else does.
pub(crate) const PATIENT: Duration = Duration::from_secs(120);

/// The server, if there is one.
///
/// # Errors
///
/// When its address cannot be used by this program.
pub(crate) fn open(settings: &TrackingSettings, timeout: Duration) -> Result<Option<RemoteStore>> {
    if settings.uri.is_empty() {
        return Ok(None);
    }
    let mut server = RemoteStore::new(&settings.uri)
        .with_context(|| format!("cannot use the tracking server `{}`", settings.uri))?
        .with_timeout(timeout);
    if settings.insecure_tls {
        server = server.trusting_any_certificate();
    }
    let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let name = variable("MLFLOW_TRACKING_USERNAME");
    let password = variable("MLFLOW_TRACKING_PASSWORD");
    // As MLflow's client decides between the two.
    Ok(Some(match (name, password) {
        (Some(name), Some(password)) => server.with_password(&name, &password),
        _ => match variable("MLFLOW_TRACKING_TOKEN") {
            Some(token) => server.with_token(&token),
            None => server,
        },
    }))
}

/// Keeps others from copying the same run, until it is dropped: two at once could
/// make two copies.
pub(crate) fn lock(home: &Home, run: &RunId) -> Result<File> {
    let path = home.locks().join(format!("sending-{run}"));
    let lock = || {
        std::fs::create_dir_all(home.locks())?;
        // Never removed while others may wait for it; it is empty.
        let file = File::create(&path)?;
        file.lock()?;
        std::io::Result::Ok(file)
    };
    lock().with_context(|| format!("cannot lock `{}`", path.display()))
}

impl Tracking {
    /// Tells the server, if there is one, which versions the aliases mean now; when it
    /// does not answer, the next `tracking sync` does.
    pub(crate) fn tell_aliases(&self) {
        let told = open(&self.settings, QUICK).and_then(|server| match server {
            Some(server) => Ok(self.mirror(&server).aliases(&self.settings.model)?),
            None => Ok(false),
        });
        if let Err(error) = told {
            note(&format!(
                "not told to {} yet: {error:#}; `biophony tracking sync` does it later",
                self.settings.uri
            ));
        }
    }

    /// What copies from here to a server.
    pub(crate) fn mirror<'a>(&'a self, server: &'a RemoteStore) -> Mirror<'a> {
        Mirror {
            from: &*self.store,
            files: &self.artifacts,
            to: server,
        }
    }
}
