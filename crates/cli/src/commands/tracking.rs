//! `biophony tracking`: how the server elsewhere stands, and sending it what it was
//! not told yet. How it stands is found out in `tracking/status.rs`.

mod status;

use anyhow::{Result, bail};
use biophony_tracking::{
    AliasMoves, COPY_OF, Mirror, Overwrite, RemoteStore, Run, RunId, RunStatus, SEND_TO, Search,
    TrackingError, TrackingStore, ViewType, is_copied, value_of,
};
use serde_json::json;

use super::{load_settings, plural, print};
use crate::Outcome;
use crate::arguments::{Common, TrackingArguments, TrackingCommand};
use crate::home::Home;
use crate::tracking::{Tracking, destination};
use status::status;

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
    let is_left = |run: &&Run| !all && is_further(run, mirror.copied_to(), uri);
    let n_further = pending.iter().filter(is_left).count();
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
            "uri": uri, "sent": sent, "only_with_all": n_further, "aliases_of": moves,
            "alias_conflicts": conflicts,
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
    if n_further > 0 {
        print(&format!("{}\n", further(n_further)))?;
    }
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

/// Whether only `--all` sends a run to the server at `uri`.
fn is_further(run: &Run, copied_to: &str, uri: &str) -> bool {
    let is_pending = |all| is_pending(run, copied_to, uri, all);
    is_pending(true) && !is_pending(false)
}

/// Says how many runs there are that only `--all` sends.
fn further(n: usize) -> String {
    let (were, them) = match n {
        1 => ("was", "it"),
        _ => ("were", "them"),
    };
    format!(
        "{} {were} made before this server was named; `biophony tracking sync --all` sends \
         {them}, too",
        plural(n, "run", "runs")
    )
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
