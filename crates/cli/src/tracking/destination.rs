//! The server that is told of runs as well: where it is, and how it is asked.
//!
//! Its address is a setting; whom to be towards it comes from the environment alone,
//! by the variables that MLflow's users know, so that no password is ever written
//! down here.

use std::fs::File;
use std::time::Duration;

use anyhow::{Context, Result};
use biophony_tracking::{AliasMoves, Mirror, Overwrite, RemoteStore, RunId, TrackingError};
use percent_encoding::percent_decode_str;

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
    let named = name.zip(password);
    let in_address = || {
        let uri = variable("MLFLOW_TRACKING_URI")?;
        let (uri, credentials) = split_credentials(uri.trim());
        credentials.filter(|_| uri == settings.uri)
    };
    // As MLflow's client decides between them.
    Ok(Some(match named.or_else(in_address) {
        Some((name, password)) => server.with_password(&name, &password),
        None => match variable("MLFLOW_TRACKING_TOKEN") {
            Some(token) => server.with_token(&token),
            None => server,
        },
    }))
}

/// An address without the name and password in it, and these, as in
/// `https://name:password@host`.
pub(crate) fn split_credentials(uri: &str) -> (String, Option<(String, String)>) {
    let whole = || (uri.to_owned(), None);
    let Some((scheme, rest)) = uri.split_once("://") else {
        return whole();
    };
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let Some((credentials, host)) = rest[..end].rsplit_once('@') else {
        return whole();
    };
    let decoded = |text| percent_decode_str(text).decode_utf8_lossy().into_owned();
    let (name, password) = credentials.split_once(':').unwrap_or((credentials, ""));
    (
        format!("{scheme}://{host}{}", &rest[end..]),
        Some((decoded(name), decoded(password))),
    )
}

/// Keeps others from sending the same thing, until it is dropped: two at once could make
/// two copies.
fn lock(home: &Home, what: &str) -> Result<File> {
    let path = home.locks().join(format!("sending-{what}"));
    let lock = || {
        std::fs::create_dir_all(home.locks())?;
        // Never removed while others may wait for it; it is empty.
        let file = File::create(&path)?;
        file.lock()?;
        std::io::Result::Ok(file)
    };
    lock().with_context(|| format!("cannot lock `{}`", path.display()))
}

/// What MLFLOW_TRACKING_URI holds, where it is something that nothing can be sent to and
/// no server is set besides.
pub(crate) fn unusable_uri(settings: &TrackingSettings) -> Option<String> {
    let uri = std::env::var("MLFLOW_TRACKING_URI").ok()?;
    let (uri, _) = split_credentials(uri.trim());
    (settings.uri.is_empty() && !uri.is_empty()).then(|| explain(&uri))
}

/// What an address is that is none of a server, and what can be done with it.
fn explain(uri: &str) -> String {
    let (scheme, rest) = match uri.split_once(':') {
        Some((scheme, rest)) => (scheme, rest),
        // A path, or the name of a service.
        None if uri.contains(['/', '\\', '.']) => ("file", uri),
        None => (uri, ""),
    };
    let what = match scheme {
        "sqlite" => format!(
            "a database; `biophony import mlflow-sqlite {}` takes in what is there, and \
             `biophony export mlflow-sqlite FILE` writes one",
            rest.strip_prefix("///").unwrap_or(rest)
        ),
        "file" => "a folder of files; `mlflow migrate-filestore` makes a database of it, which \
                   `biophony import mlflow-sqlite` takes in"
            .to_owned(),
        _ => "no address that begins with http:// or https://".to_owned(),
    };
    format!("MLFLOW_TRACKING_URI is `{uri}`: {what}")
}

/// Whether an error says that the server has what is here because it serves it.
pub(crate) fn is_same_store(error: &anyhow::Error) -> bool {
    let mut causes = error.chain();
    causes.any(|cause| matches!(cause.downcast_ref(), Some(TrackingError::SameStore)))
}

/// Tells which aliases mean something else on the server, and that it is for a person to
/// decide.
pub(crate) fn tell_conflicts(told: &AliasMoves) {
    for conflict in &told.conflicts {
        note(&format!("left alone: {conflict}"));
    }
    if !told.conflicts.is_empty() {
        note("`biophony tracking sync --overwrite-aliases` moves them to what they mean here");
    }
}

impl Tracking {
    /// Tells the server, if there is one, of versions that it lacks and which versions the
    /// aliases mean now; when it does not answer, the next `tracking sync` does.
    pub(crate) fn tell_aliases(&self) {
        let told = open(&self.settings, QUICK).and_then(|server| match server {
            Some(server) => {
                let mirror = self.mirror(&server)?;
                self.send_registry(&mirror, &self.settings.model, Overwrite::Own)
            }
            None => Ok(AliasMoves::default()),
        });
        match told {
            Ok(told) => tell_conflicts(&told),
            Err(error) if is_same_store(&error) => {}
            Err(error) => note(&format!(
                "not told to {} yet: {error:#}; `biophony tracking sync` does it later",
                self.settings.uri
            )),
        }
    }

    /// The copy of a run that is under way, with all that it has logged so far.
    pub(super) fn catch_up(&self, mirror: &Mirror<'_>, run: &RunId) -> Result<RunId> {
        let _lock = lock(&self.home, run.as_str())?;
        Ok(mirror.catch_up(run)?)
    }

    /// Copies a run with all that belongs to it.
    pub(crate) fn deliver(&self, mirror: &Mirror<'_>, run: &RunId) -> Result<()> {
        let _lock = lock(&self.home, run.as_str())?;
        let done = mirror.run(run)?;
        if let Some(why) = done.files_left {
            note(&format!("warning: files and models are not sent: {why}"));
        }
        Ok(())
    }

    /// Sends the versions of a registered model that the server lacks, and its aliases.
    pub(crate) fn send_registry(
        &self,
        mirror: &Mirror<'_>,
        model: &str,
        overwrite: Overwrite,
    ) -> Result<AliasMoves> {
        let _lock = lock(&self.home, "registry")?;
        Ok(mirror.registry(model, overwrite)?)
    }

    /// What copies from here to a server.
    ///
    /// # Errors
    ///
    /// When the server does not say who it is, or serves this very store.
    pub(crate) fn mirror<'a>(&'a self, server: &'a RemoteStore) -> Result<Mirror<'a>> {
        Ok(Mirror::new(&*self.store, &self.artifacts, server)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_and_password_in_an_address_are_no_part_of_it() {
        let of = |name: &str, password: &str| Some((name.to_owned(), password.to_owned()));
        for (uri, address, credentials) in [
            ("http://host:5000/ml", "http://host:5000/ml", None),
            (
                "https://ann:p%40ss@host/ml",
                "https://host/ml",
                of("ann", "p@ss"),
            ),
            ("http://ann@host", "http://host", of("ann", "")),
            ("http://host/a@b", "http://host/a@b", None),
            ("./mlruns", "./mlruns", None),
        ] {
            assert_eq!(split_credentials(uri), (address.to_owned(), credentials));
        }
        assert!(!explain(&split_credentials("postgresql://ann:secret@db/x").0).contains("secret"));
    }

    #[test]
    fn addresses_that_are_no_servers_are_explained() {
        let told = explain("sqlite:///mlflow.db");
        assert!(
            told.contains("`biophony import mlflow-sqlite mlflow.db`"),
            "{told}"
        );
        let told = explain("sqlite:////data/mlflow.db");
        assert!(told.contains("mlflow-sqlite /data/mlflow.db`"), "{told}");
        for uri in ["file:///data/mlruns", "./mlruns"] {
            assert!(explain(uri).contains("a folder"), "{uri}");
        }
        for uri in [
            "databricks",
            "databricks://profile",
            "postgresql://db/mlflow",
        ] {
            assert!(
                explain(uri).contains("no address that begins with"),
                "{uri}"
            );
        }
    }
}
