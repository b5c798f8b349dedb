//! `biophony tracking`: how the server elsewhere stands, and sending it what it was
//! not told yet.

use std::time::Instant;

use anyhow::{Result, bail};
use biophony_tracking::{
    COPIED_TO, ExperimentId, RemoteStore, Run, RunId, RunStatus, Search, TrackingError,
    TrackingStore, ViewType, value_of,
};
use serde_json::json;

use super::{load_settings, plural, print};
use crate::Outcome;
use crate::arguments::{Common, TrackingArguments, TrackingCommand};
use crate::home::Home;
use crate::tracking::{Tracking, destination, tag};

pub(crate) fn run(common: &Common, arguments: &TrackingArguments) -> Result<Outcome> {
    let settings = load_settings(common, Vec::new())?.tracking;
    let home = Home::at(&common.home);
    let tracking = Tracking::open(&home, &settings)?;
    match &arguments.command {
        TrackingCommand::Status => status(&tracking, arguments.json),
        TrackingCommand::Sync { all } => sync(&tracking, *all, arguments.json),
    }
}

fn status(tracking: &Tracking, as_json: bool) -> Result<Outcome> {
    let runs = runs(tracking)?;
    let count = |is_wanted: &dyn Fn(&&Run) -> bool| runs.iter().filter(is_wanted).count();
    let n_running = count(&|run| run.info.status == RunStatus::Running);
    let n_pending = count(&|run| is_pending(run, false));
    let n_sent = count(&|run| is_sent(run));
    let uri = &tracking.settings.uri;
    let server = destination::open(&tracking.settings, destination::QUICK)?;
    let answer = server.map(|server| ask(&server));
    if as_json {
        let reachable = answer.as_ref().map(Result::is_ok);
        let problem = answer.and_then(Result::err);
        let told = json!({
            "runs": runs.len(),
            "running": n_running,
            "uri": (!uri.is_empty()).then_some(uri),
            "reachable": reachable,
            "problem": problem.map(|error| format!("{error:#}")),
            "sent": n_sent,
            "pending": n_pending,
        });
        print(&format!("{}\n", serde_json::to_string_pretty(&told)?))?;
        return Ok(Outcome::Complete);
    }
    let mut text = format!(
        "here     {}, {n_running} of them under way\n",
        plural(runs.len(), "run", "runs")
    );
    text.push_str(&match answer {
        None => "server   none (`tracking.uri` or MLFLOW_TRACKING_URI names one)\n".to_owned(),
        Some(Ok(ms)) => format!("server   {uri}, answers in {ms:.0} ms\n"),
        Some(Err(error)) => format!("server   {uri}, does not answer: {error:#}\n"),
    });
    text.push_str(&format!("sent     {}\n", plural(n_sent, "run", "runs")));
    text.push_str(&format!("to send  {}", plural(n_pending, "run", "runs")));
    text.push_str(match n_pending {
        0 => "\n",
        _ => ": `biophony tracking sync` does it\n",
    });
    print(&text)?;
    Ok(Outcome::Complete)
}

/// How long the server takes to answer, in milliseconds.
fn ask(server: &RemoteStore) -> Result<f64> {
    let started = Instant::now();
    server.get_experiment(&ExperimentId::default_experiment())?;
    Ok(started.elapsed().as_secs_f64() * 1e3)
}

fn sync(tracking: &Tracking, all: bool, as_json: bool) -> Result<Outcome> {
    let Some(server) = destination::open(&tracking.settings, destination::PATIENT)? else {
        bail!(
            "there is no server to send to: name one as `tracking.uri` or in MLFLOW_TRACKING_URI"
        );
    };
    tracking.mark_dead_runs()?;
    let mut pending: Vec<Run> = runs(tracking)?;
    pending.retain(|run| is_pending(run, all));
    pending.sort_by_key(|run| run.info.start_time);
    let mut sent: Vec<RunId> = Vec::new();
    for run in &pending {
        let name = format!("{} ({})", run.info.run_name, run.info.run_id);
        // One that the server does not take keeps no other one back.
        match tracking.deliver(&server, &run.info.run_id) {
            Ok(_) => {
                eprintln!("sent {name}");
                sent.push(run.info.run_id.clone());
            }
            Err(error) if is_away(&error) => return Err(error),
            Err(error) => eprintln!("not sent: {name}: {error:#}"),
        }
    }
    let outcome = match sent.len() == pending.len() {
        true => Outcome::Complete,
        false => Outcome::Partial,
    };
    let mut aliases = Vec::new();
    for model in registered(tracking)? {
        if tracking.mirror(&server).aliases(&model)? {
            aliases.push(model);
        }
    }
    if as_json {
        let told = json!({ "uri": tracking.settings.uri, "sent": sent, "aliases_of": aliases });
        print(&format!("{}\n", serde_json::to_string_pretty(&told)?))?;
        return Ok(outcome);
    }
    let moved = match aliases.is_empty() {
        true => String::new(),
        false => format!("; aliases of {}", aliases.join(", ")),
    };
    print(&format!(
        "{} sent to {}{moved}\n",
        plural(sent.len(), "run", "runs"),
        tracking.settings.uri
    ))?;
    Ok(outcome)
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

fn is_sent(run: &Run) -> bool {
    value_of(&run.data.tags, COPIED_TO).is_some()
}

/// Whether a run has ended, was recorded for a server, and was not sent in full;
/// with `all` also those that were recorded for none.
fn is_pending(run: &Run, all: bool) -> bool {
    let has_ended = !matches!(run.info.status, RunStatus::Running | RunStatus::Scheduled);
    let is_wanted = all || value_of(&run.data.tags, tag::SEND_TO).is_some();
    has_ended && is_wanted && !is_sent(run)
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
