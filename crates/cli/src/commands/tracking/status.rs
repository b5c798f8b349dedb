//! How things stand here and with the server. Sending lives in `commands/tracking.rs`.

use std::time::Instant;

use anyhow::Result;
use biophony_tracking::{
    AliasConflict, ExperimentId, Run, RunStatus, SEND_TO, TrackingStore, is_copied, value_of,
};
use serde_json::{Value, json};

use super::{further, is_due, is_further, is_pending, is_received, registered, runs};
use crate::Outcome;
use crate::commands::{plural, print};
use crate::settings::TrackingSettings;
use crate::tracking::{Tracking, destination};

/// What the server says when it is asked.
enum Server {
    /// There is none.
    None,
    Away(anyhow::Error),
    /// It serves what is here.
    Own,
    Answers {
        ms: f64,
        copied_to: String,
        conflicts: Vec<AliasConflict>,
    },
}

pub(super) fn status(tracking: &Tracking, as_json: bool) -> Result<Outcome> {
    let standing = Standing::of(tracking)?;
    print(&match as_json {
        true => format!("{}\n", serde_json::to_string_pretty(&standing.json())?),
        false => standing.text(&tracking.settings),
    })?;
    Ok(Outcome::Complete)
}

/// How things stand here and with the server.
struct Standing<'a> {
    uri: &'a str,
    server: Server,
    n_runs: usize,
    n_running: usize,
    n_received: usize,
    n_sent: usize,
    n_pending: usize,
    /// Those that only `--all` sends.
    n_further: usize,
}

impl<'a> Standing<'a> {
    fn of(tracking: &'a Tracking) -> Result<Self> {
        let runs = runs(tracking)?;
        let count = |is_wanted: &dyn Fn(&&Run) -> bool| runs.iter().filter(is_wanted).count();
        let uri = tracking.settings.uri.as_str();
        let server = ask(tracking)?;
        let (n_sent, n_pending, n_further) = match &server {
            // Nobody knows which store it is. What some server has is not still to be
            // sent, and was sent to this one if it was recorded for it.
            Server::None | Server::Away(_) => {
                let wanted = |run: &Run| value_of(&run.data.tags, SEND_TO).map(str::to_owned);
                let is_left = |run: &Run| is_due(run) && !is_copied(run);
                let is_here = |run: &Run| wanted(run).is_some_and(|wanted| wanted == uri);
                (
                    count(&|run| is_copied(run) && is_here(run)),
                    count(&|run| is_left(run) && wanted(run).is_some()),
                    match uri {
                        "" => 0,
                        _ => count(&|run| is_left(run) && wanted(run).is_none()),
                    },
                )
            }
            Server::Own => (0, 0, 0),
            Server::Answers { copied_to, .. } => (
                count(&|run| value_of(&run.data.tags, copied_to).is_some()),
                count(&|run| is_pending(run, copied_to, uri, false)),
                count(&|run| is_further(run, copied_to, uri)),
            ),
        };
        Ok(Self {
            uri,
            n_runs: runs.len(),
            n_running: count(&|run| run.info.status == RunStatus::Running),
            n_received: count(&|run| is_received(run)),
            n_sent,
            n_pending,
            n_further,
            server,
        })
    }

    fn json(&self) -> Value {
        let reachable = match &self.server {
            Server::None => Value::Null,
            Server::Away(_) => false.into(),
            Server::Own | Server::Answers { .. } => true.into(),
        };
        let problem = match &self.server {
            Server::Away(error) => Some(format!("{error:#}")),
            _ => None,
        };
        let conflicts = conflicts_of(&self.server).iter().map(ToString::to_string);
        json!({
            "runs": self.n_runs,
            "running": self.n_running,
            "received": self.n_received,
            "uri": (!self.uri.is_empty()).then_some(self.uri),
            "reachable": reachable,
            "serves_this_store": matches!(self.server, Server::Own),
            "problem": problem,
            "sent": self.n_sent,
            "pending": self.n_pending,
            "only_with_all": self.n_further,
            "alias_conflicts": conflicts.collect::<Vec<String>>(),
        })
    }

    fn text(&self, settings: &TrackingSettings) -> String {
        let (uri, n_runs) = (self.uri, |n| plural(n, "run", "runs"));
        let mut text = format!("here     {}", n_runs(self.n_runs));
        for (n, what) in [
            (self.n_running, "under way"),
            (self.n_received, "received from elsewhere"),
        ] {
            if n > 0 {
                text.push_str(&format!(", {n} {what}"));
            }
        }
        text.push_str(&match &self.server {
            Server::None => match destination::unusable_uri(settings) {
                Some(why) => format!("\nserver   none; {why}\n"),
                None => {
                    "\nserver   none (`tracking.uri` or MLFLOW_TRACKING_URI names one)\n".to_owned()
                }
            },
            Server::Away(error) => format!("\nserver   {uri}, does not answer: {error:#}\n"),
            Server::Own => format!("\nserver   {uri}, serves this home folder: it has all of it\n"),
            Server::Answers { ms, .. } => format!("\nserver   {uri}, answers in {ms:.0} ms\n"),
        });
        let is_another = !matches!(self.server, Server::None | Server::Own);
        if is_another {
            text.push_str(&format!("sent     {}\n", n_runs(self.n_sent)));
        }
        match (self.n_pending, &self.server) {
            (0, _) if is_another => text.push_str("to send  nothing\n"),
            (0, _) => {}
            (n, Server::None) => text.push_str(&format!(
                "to send  {}: once the server that they were recorded for is named again\n",
                n_runs(n)
            )),
            (n, _) => text.push_str(&format!(
                "to send  {}: `biophony tracking sync` does it\n",
                n_runs(n)
            )),
        }
        if self.n_further > 0 {
            text.push_str(&format!("further  {}\n", further(self.n_further)));
        }
        for conflict in conflicts_of(&self.server) {
            text.push_str(&format!("differs  {conflict}\n"));
        }
        text
    }
}

fn conflicts_of(server: &Server) -> &[AliasConflict] {
    match server {
        Server::Answers { conflicts, .. } => conflicts,
        _ => &[],
    }
}

/// Asks the server who it is, how long it takes to answer, and what aliases mean there.
fn ask(tracking: &Tracking) -> Result<Server> {
    let Some(server) = destination::open(&tracking.settings, destination::QUICK)? else {
        return Ok(Server::None);
    };
    let asked = || {
        let started = Instant::now();
        server.get_experiment(&ExperimentId::default_experiment())?;
        let ms = started.elapsed().as_secs_f64() * 1e3;
        let mirror = tracking.mirror(&server)?;
        let mut conflicts = Vec::new();
        for model in registered(tracking)? {
            conflicts.extend(mirror.alias_conflicts(&model)?);
        }
        Ok(Server::Answers {
            ms,
            copied_to: mirror.copied_to().to_owned(),
            conflicts,
        })
    };
    Ok(
        asked().unwrap_or_else(|error| match destination::is_same_store(&error) {
            true => Server::Own,
            false => Server::Away(error),
        }),
    )
}
