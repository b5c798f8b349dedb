//! `biophony runs`: what ran, why, and what came of it.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::{Duration, UNIX_EPOCH};

use anyhow::{Context, Result, bail};
use biophony_pipeline::{RunId, RunRecord, RunState, RunSummary, Store};
use serde::Serialize;

use super::{load_settings, plural, print};
use crate::Outcome;
use crate::arguments::{Common, RunsArguments, RunsCommand};
use crate::home::Home;
use crate::launch::step_line;
use crate::tracking::{Tracking, pins};

pub(crate) fn run(common: &Common, arguments: &RunsArguments) -> Result<Outcome> {
    let home = Home::at(&common.home);
    let json = arguments.json;
    let Some(store) = home.existing_pipelines()? else {
        return match (&arguments.command, json) {
            (RunsCommand::List, true) => print("[]\n").map(|()| Outcome::Complete),
            (RunsCommand::List, false) => Ok(Outcome::Complete),
            _ => bail!("there is no run in `{}` yet", home.path().display()),
        };
    };
    match &arguments.command {
        RunsCommand::List => list(&store, json)?,
        RunsCommand::Show { run, svg } => {
            let record = store.run(&named(&store, run)?)?;
            if let Some(path) = svg {
                std::fs::write(path, record.graph.to_svg(Some(&record)))
                    .with_context(|| format!("cannot write `{}`", path.display()))?;
            }
            show(&record, json)?;
        }
        RunsCommand::Logs { run, step } => {
            logs(&store, &named(&store, run)?, step.as_deref(), json)?
        }
        RunsCommand::Explain { run, step } => explain(&store, &named(&store, run)?, step, json)?,
        RunsCommand::Compare { left, right } => {
            compare(&store, [named(&store, left)?, named(&store, right)?], json)?;
        }
        RunsCommand::Remove { runs } => {
            let named = runs.iter().map(|run| named(&store, run));
            // All are looked up before the first goes: `newest` means one run.
            for run in named.collect::<Result<BTreeSet<_>>>()? {
                let trainings = trainings_of(&store.run(&run)?);
                store.remove_run(&run)?;
                remove_folder(&home.run(run.as_str()))?;
                remove_checkpoints(&store, &home, &trainings)?;
            }
            let_go_of_models(&store, &home, common)?;
            collect(&store, json)?;
        }
        RunsCommand::Clean => {
            let_go_of_models(&store, &home, common)?;
            collect(&store, json)?;
        }
    }
    Ok(Outcome::Complete)
}

/// The run of this name; `newest` is one, too.
pub(crate) fn named(store: &Store, name: &str) -> Result<RunId> {
    if name != "newest" {
        return Ok(name.parse()?);
    }
    let runs = store.runs()?;
    let newest = runs.into_iter().max_by_key(|run| run.started_ms);
    Ok(newest.context("there is no run yet")?.id)
}

fn print_json(value: &impl Serialize) -> Result<()> {
    print(&format!("{}\n", serde_json::to_string_pretty(value)?))
}

fn list(store: &Store, json: bool) -> Result<()> {
    let runs = store.runs()?;
    if json {
        return print_json(&runs);
    }
    let line = |run: &RunSummary| {
        let seconds = time_taken(run).unwrap_or_default();
        format!(
            "{}  {:<11} {seconds:>9}  {}\n",
            run.id,
            run.state,
            data_of(run)
        )
    };
    print(&runs.iter().map(line).collect::<String>())
}

/// What a run was about.
fn data_of(run: &RunSummary) -> String {
    let paths = [&run.config["folder"], &run.config["manifest"]];
    let mut given = paths.iter().filter_map(|path| path.as_str());
    given.next().unwrap_or_default().to_owned()
}

fn show(record: &RunRecord, json: bool) -> Result<()> {
    if json {
        return print_json(record);
    }
    let summary = &record.summary;
    let mut text = format!(
        "run      {}\nstate    {}\nbegan    {}\n",
        summary.id,
        summary.state,
        moment(summary.started_ms)
    );
    if let Some(time) = time_taken(summary) {
        text.push_str(&format!("took     {time}\n"));
    }
    text.push_str(&format!(
        "data     {}\nprogram  {}\nhost     {}\n",
        data_of(summary),
        summary.program,
        summary.host
    ));
    if let Some(commit) = &summary.git_commit {
        text.push_str(&format!("commit   {commit}\n"));
    }
    if let Some(error) = &summary.error {
        text.push_str(&format!("error    {error}\n"));
    }
    text.push_str(&format!("\n{}\n", record.graph.to_text(Some(record))));
    for step in &record.steps {
        text.push_str(&format!("{}\n", step_line(step)));
        if let Some(bytes) = step.peak_memory_bytes {
            let memory = format!("{:.0} MB of memory at most", bytes as f64 / 1e6);
            let attempts = match step.n_attempts {
                0 | 1 => String::new(),
                n => format!(", {n} attempts"),
            };
            text.push_str(&format!("{:>15}  {memory}{attempts}\n", ""));
        }
        for output in &step.outputs {
            text.push_str(&format!(
                "{:>15}  {} {}  {} bytes\n",
                "",
                output.content.short(),
                output.name,
                output.n_bytes
            ));
        }
    }
    print(&text)
}

fn logs(store: &Store, run: &RunId, step: Option<&str>, json: bool) -> Result<()> {
    let lines = store.logs(run, step)?;
    if json {
        return print_json(&lines);
    }
    let line = |line: &biophony_pipeline::LogLine| {
        let at = moment(line.at_ms);
        format!(
            "{at}  {:<5}  {:<15}  {}\n",
            line.level, line.step, line.text
        )
    };
    print(&lines.iter().map(line).collect::<String>())
}

/// A moment in UTC, as `2026-08-01T09:30:15.123Z`.
fn moment(ms: i64) -> String {
    let since = Duration::from_millis(u64::try_from(ms).unwrap_or(0));
    humantime::format_rfc3339_millis(UNIX_EPOCH + since).to_string()
}

/// How long a run took that has ended.
fn time_taken(run: &RunSummary) -> Option<String> {
    let end = run.finished_ms?;
    Some(format!("{:.1} s", (end - run.started_ms) as f64 / 1e3))
}

fn explain(store: &Store, run: &RunId, step: &str, json: bool) -> Result<()> {
    let explanation = store.explain(run, step)?;
    if json {
        return print_json(&explanation);
    }
    let mut text = format!("{step} {}: {}\n", explanation.state, explanation.reason);
    if let Some(before) = &explanation.compared_with {
        text.push_str(&format!("\ncompared with run {before}:\n"));
        if explanation.changes.is_empty() {
            text.push_str("  nothing that it depends on has changed\n");
        }
        for change in &explanation.changes {
            text.push_str(&format!("  {change}\n"));
        }
        for files in &explanation.files {
            text.push_str(&format!("  {files}\n"));
        }
    }
    print(&text)
}

fn compare(store: &Store, [left, right]: [RunId; 2], json: bool) -> Result<()> {
    let comparison = store.compare(&left, &right)?;
    if json {
        return print_json(&comparison);
    }
    let mut text = String::new();
    for difference in &comparison.differences {
        let step = match difference.step.as_str() {
            "" => "run",
            step => step,
        };
        let value = |value: &Option<String>| value.as_deref().unwrap_or("(none)").to_owned();
        text.push_str(&format!(
            "{step:>15}  {}: {} → {}\n",
            difference.what,
            value(&difference.left),
            value(&difference.right)
        ));
    }
    if text.is_empty() {
        text.push_str("the runs do not differ\n");
    }
    print(&text)
}

/// The names of the folders in which a run keeps trainings that are not at their end.
fn trainings_of(run: &RunRecord) -> BTreeSet<String> {
    let keys = run.steps.iter().filter_map(|step| step.key);
    keys.flat_map(|key| [key.to_string(), format!("{key}-{}", run.summary.id)])
        .collect()
}

/// Removes trainings that a removed run has left, unless another run goes on with them.
fn remove_checkpoints(store: &Store, home: &Home, trainings: &BTreeSet<String>) -> Result<()> {
    let mut wanted = BTreeSet::new();
    for run in store.runs()? {
        if run.state != RunState::Finished {
            wanted.append(&mut trainings_of(&store.run(&run.id)?));
        }
    }
    for training in trainings.difference(&wanted) {
        remove_folder(&home.checkpoints().join(training))?;
    }
    Ok(())
}

/// Removes a folder, as the report of a removed run; the model that it gave stays in
/// use.
fn remove_folder(folder: &Path) -> Result<()> {
    match std::fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove `{}`", folder.display()))
        }
        _ => Ok(()),
    }
}

/// Versions that were deleted keep nothing any more.
fn let_go_of_models(store: &Store, home: &Home, common: &Common) -> Result<()> {
    let settings = load_settings(common, Vec::new())?.tracking;
    match Tracking::open_existing(home, &settings)? {
        Some(tracking) => pins::let_go(store, &tracking),
        None => Ok(()),
    }
}

fn collect(store: &Store, json: bool) -> Result<()> {
    let collected = store.collect_garbage()?;
    if json {
        return print_json(&serde_json::json!({
            "artifacts": collected.n_artifacts,
            "bytes": collected.n_bytes,
        }));
    }
    print(&format!(
        "removed {} that no run and no registered model refers to, {:.1} MB\n",
        plural(collected.n_artifacts, "artifact", "artifacts"),
        collected.n_bytes as f64 / 1e6
    ))
}
