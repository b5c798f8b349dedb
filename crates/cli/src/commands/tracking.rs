//! `biophony tracking`: how the server elsewhere stands, and sending it what it was
//! not told yet.

use std::time::Instant;

use anyhow::{Result, bail};
use biophony_tracking::{
    AliasConflict, AliasMoves, COPY_OF, ExperimentId, Mirror, Overwrite, RemoteStore, Run, RunId,
    RunStatus, SEND_TO, Search, TrackingError, TrackingStore, ViewType, is_copied, value_of,
};
use serde_json::{Value, json};

use super::{load_settings, plural, print};
use crate::Outcome;
use crate::arguments::{Common, TrackingArguments, TrackingCommand};
use crate::home::Home;
use crate::settings::TrackingSettings;
use crate::tracking::{Tracking, destination};

pub(crate) fn run(common: &Common, arguments: &TrackingArguments) -> Result<Outcome> {
    let settings = load_settings(common, Vec::new())?.tracking;
    let home = Home::at(&common.home);
    let tracking = Tracking::open(&home, &settings)?;
    match &arguments.command {
        TrackingCommand::Status => status(&tracking, arguments.json),
        TrackingCommand::Sync {
            all,
            overwrite_aliases,
        } => {
            let overwrite = match overwrite_aliases {
                true => Overwrite::Any,
                false => Overwrite::Own,
            };
            sync(&tracking, *all, overwrite, arguments.json)
        }
    }
}

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

fn status(tracking: &Tracking, as_json: bool) -> Result<Outcome> {
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
}

impl<'a> Standing<'a> {
    fn of(tracking: &'a Tracking) -> Result<Self> {
        let runs = runs(tracking)?;
        let count = |is_wanted: &dyn Fn(&&Run) -> bool| runs.iter().filter(is_wanted).count();
        let uri = tracking.settings.uri.as_str();
        let server = ask(tracking)?;
        let (n_sent, n_pending) = match &server {
            // Nobody knows which store it is: what some server has counts.
            Server::None | Server::Away(_) => {
                let is_wanted = |run: &Run| value_of(&run.data.tags, SEND_TO).is_some();
                (
                    count(&|run| is_copied(run)),
                    count(&|run| is_due(run) && is_wanted(run) && !is_copied(run)),
                )
            }
            Server::Own => (0, 0),
            Server::Answers { copied_to, .. } => (
                count(&|run| value_of(&run.data.tags, copied_to).is_some()),
                count(&|run| is_pending(run, copied_to, uri, false)),
            ),
        };
        Ok(Self {
            uri,
            n_runs: runs.len(),
            n_running: count(&|run| run.info.status == RunStatus::Running),
            n_received: count(&|run| is_received(run)),
            n_sent,
            n_pending,
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

fn sync(tracking: &Tracking, all: bool, overwrite: Overwrite, as_json: bool) -> Result<Outcome> {
    let uri = &tracking.settings.uri;
    let server = server_to_tell(tracking)?;
    let mirror = match tracking.mirror(&server) {
        Err(error) if destination::is_same_store(&error) => bail!(
            "{uri} serves this home folder, so it has everything that is here; name the server \
             that shall be told of it, or none"
        ),
        mirror => mirror?,
    };
    let mut pending: Vec<Run> = runs(tracking)?;
    pending.retain(|run| is_pending(run, mirror.copied_to(), uri, all));
    pending.sort_by_key(|run| run.info.start_time);
    let sent = send(tracking, &mirror, &pending)?;
    let told = tell_registry(tracking, &mirror, overwrite)?;
    let moves: Vec<&String> = told
        .iter()
        .filter(|(_, told)| !told.moved.is_empty())
        .map(|(model, _)| model)
        .collect();
    let mut left = AliasMoves::default();
    for (_, told) in &told {
        left.conflicts.extend(told.conflicts.iter().cloned());
    }
    destination::tell_conflicts(&left);
    let outcome = match sent.len() == pending.len() && left.conflicts.is_empty() {
        true => Outcome::Complete,
        false => Outcome::Partial,
    };
    if as_json {
        let conflicts: Vec<String> = left.conflicts.iter().map(ToString::to_string).collect();
        let told = json!({
            "uri": uri, "sent": sent, "aliases_of": moves, "alias_conflicts": conflicts,
        });
        print(&format!("{}\n", serde_json::to_string_pretty(&told)?))?;
        return Ok(outcome);
    }
    let moved = match moves.is_empty() {
        true => String::new(),
        false => {
            let names: Vec<&str> = moves.iter().map(|model| model.as_str()).collect();
            format!("; aliases of {}", names.join(", "))
        }
    };
    print(&format!(
        "{} sent to {uri}{moved}\n",
        plural(sent.len(), "run", "runs")
    ))?;
    Ok(outcome)
}

fn server_to_tell(tracking: &Tracking) -> Result<RemoteStore> {
    if let Some(server) = destination::open(&tracking.settings, destination::PATIENT)? {
        return Ok(server);
    }
    match destination::unusable_uri(&tracking.settings) {
        Some(why) => bail!("there is no server to send to; {why}"),
        None => bail!(
            "there is no server to send to: name one as `tracking.uri` or in MLFLOW_TRACKING_URI"
        ),
    }
}

/// Sends runs; returns those that the server took.
fn send(tracking: &Tracking, mirror: &Mirror<'_>, pending: &[Run]) -> Result<Vec<RunId>> {
    let mut sent: Vec<RunId> = Vec::new();
    for run in pending {
        let name = format!("{} ({})", run.info.run_name, run.info.run_id);
        // One that the server does not take keeps no other one back.
        match tracking.deliver(mirror, &run.info.run_id) {
            Ok(()) => {
                eprintln!("sent {name}");
                sent.push(run.info.run_id.clone());
            }
            Err(error) if is_away(&error) => return Err(error),
            Err(error) => eprintln!("not sent: {name}: {error:#}"),
        }
    }
    Ok(sent)
}

/// Tells of versions and aliases, by registered model.
fn tell_registry(
    tracking: &Tracking,
    mirror: &Mirror<'_>,
    overwrite: Overwrite,
) -> Result<Vec<(String, AliasMoves)>> {
    let told = registered(tracking)?.into_iter().map(|model| {
        let told = tracking.send_registry(mirror, &model, overwrite)?;
        Ok((model, told))
    });
    told.collect()
}

/// Whether the server does not answer, so that there is no use in asking on.
fn is_away(error: &anyhow::Error) -> bool {
    let of_server = |cause: &&(dyn std::error::Error + 'static)| {
        matches!(
            cause.downcast_ref(),
            Some(TrackingError::Unreachable { .. })
        )
    };
    error.chain().any(|cause| of_server(&cause))
}

/// Whether a run came here as a copy of one elsewhere.
fn is_received(run: &Run) -> bool {
    value_of(&run.data.tags, COPY_OF).is_some()
}

/// Whether a run was made here and has ended.
fn is_due(run: &Run) -> bool {
    let has_ended = !matches!(run.info.status, RunStatus::Running | RunStatus::Scheduled);
    has_ended && !is_received(run)
}

/// Whether a run has to be sent to the server at `uri`, where copies are named by
/// `copied_to`: it was recorded for it, or for another one that never got it; with `all`,
/// whatever it was recorded for.
fn is_pending(run: &Run, copied_to: &str, uri: &str, all: bool) -> bool {
    let tags = &run.data.tags;
    let is_wanted = match value_of(tags, SEND_TO) {
        _ if all => true,
        Some(wanted) => wanted == uri || !is_copied(run),
        None => false,
    };
    is_due(run) && is_wanted && value_of(tags, copied_to).is_none()
}

/// All runs of all experiments.
fn runs(tracking: &Tracking) -> Result<Vec<Run>> {
    let store = &tracking.store;
    let mut experiments = Vec::new();
    let mut search = Search::default();
    loop {
        let page = store.search_experiments(&search, ViewType::ActiveOnly)?;
        experiments.extend(page.items.into_iter().map(|one| one.experiment_id));
        search.page_token = page.next_page_token;
        if search.page_token.is_none() {
            break;
        }
    }
    let (mut found, mut search) = (Vec::new(), Search::default());
    loop {
        let page = store.search_runs(&experiments, &search, ViewType::ActiveOnly)?;
        found.extend(page.items);
        search.page_token = page.next_page_token;
        if search.page_token.is_none() {
            return Ok(found);
        }
    }
}

/// The names of all registered models.
fn registered(tracking: &Tracking) -> Result<Vec<String>> {
    let (mut names, mut search) = (Vec::new(), Search::default());
    loop {
        let page = tracking.store.search_registered_models(&search)?;
        names.extend(page.items.into_iter().map(|model| model.name));
        search.page_token = page.next_page_token;
        if search.page_token.is_none() {
            return Ok(names);
        }
    }
}
