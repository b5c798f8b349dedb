//! `biophony export zenml`: registers a run with a ZenML server, whose dashboard
//! then shows its graph.
//!
//! ZenML has no public interface for runs that it did not start itself: these
//! are the calls that its own client makes, tried against the versions that
//! [`TESTED`] names. What is sent lives in [`registration`], how it is sent in
//! [`server`].

mod registration;
mod server;

use std::collections::HashMap;

use anyhow::{Context, Result, bail};
use biophony_pipeline::{
    InputSpec, LogLine, OutputRecord, RunRecord, RunState, StepRecord, StepState,
};
use serde_json::{Value, json};

use crate::Outcome;
use crate::arguments::{Common, ExportZenmlArguments};
use crate::commands::runs::named;
use crate::commands::{plural, print};
use crate::home::Home;
use registration::{Places, Registration};
use server::Server;

/// How the versions begin that the calls were tried against.
const TESTED: &str = "0.98.";

pub(crate) fn run(common: &Common, arguments: &ExportZenmlArguments) -> Result<Outcome> {
    let store = Home::at(&common.home).pipelines()?;
    let record = store.run(&named(&store, &arguments.run)?)?;
    let logs = store.logs(&record.summary.id, None)?;
    let server = connect(arguments)?;
    let exported = export(&server, &record, &logs)?;
    print(&format!(
        "registered run {} with {}: {}, {}\n{}/projects/default/runs/{}\n",
        record.summary.id,
        server.url(),
        plural(exported.n_steps, "step", "steps"),
        plural(exported.n_artifacts, "artifact", "artifacts"),
        server.url(),
        exported.run
    ))?;
    Ok(Outcome::Complete)
}

/// Asks what server there is, and shows it the token.
fn connect(arguments: &ExportZenmlArguments) -> Result<Server> {
    let mut server = Server::at(&arguments.url)?;
    let info = server.get("/info")?;
    let version = info["version"]
        .as_str()
        .with_context(|| format!("`{}` does not say which ZenML it is", server.url()))?
        .to_owned();
    if !version.starts_with(TESTED) && !arguments.any_version {
        bail!(
            "the server is ZenML {version}; the export was tried with {TESTED}x only, and its calls are not of the kind that ZenML keeps as they are (`--any-version` tries them all the same)"
        );
    }
    let is_open = info["auth_scheme"] == "NO_AUTH";
    let login = match &arguments.token {
        Some(token) => vec![("grant_type", "zenml-api-key"), ("password", token)],
        None if is_open => vec![("username", "default"), ("password", "")],
        None => bail!(
            "`{}` asks who you are: give an API key of a service account with `--token`",
            server.url()
        ),
    };
    server.log_in(&login)?;
    server.set_version(version);
    Ok(server)
}

/// What a server was told.
struct Exported {
    /// The name that the server gave the run.
    run: String,
    n_steps: usize,
    n_artifacts: usize,
}

/// Makes the calls, in the order in which each knows what it refers to.
fn export(server: &Server, record: &RunRecord, logs: &[LogLine]) -> Result<Exported> {
    let id = &record.summary.id;
    match record.summary.state {
        RunState::Finished | RunState::Failed => {}
        state => bail!("run {id} is {state}: only a run that came to its end can be exported"),
    }
    let places = find_places(server, record)?;
    let registration = Registration {
        record,
        logs,
        places: &places,
    };
    let mut artifacts = register_sources(server, &registration)?;
    let snapshot = server.create("/pipeline_snapshots", &registration.snapshot(&artifacts)?)?;
    let run = server.create("/runs", &registration.run(&snapshot))?;
    let mut n_steps = 0;
    for spec in registration.ordered()? {
        let step = record.step(&spec.name);
        let Some(step) = step.filter(|step| step.state != StepState::Skipped) else {
            continue;
        };
        let outputs = register_outputs(server, &registration, step)?;
        for (output, artifact) in step.outputs.iter().zip(&outputs) {
            let reference = InputSpec {
                from: step.step.clone(),
                output: output.name.clone(),
                type_name: output.type_name.clone(),
            };
            artifacts.insert(reference.name(), artifact.clone());
        }
        let body = registration.step(&run, spec, step, &artifacts, &outputs);
        let registered = server.create("/steps", &body)?;
        let metadata = registration.step_metadata(step);
        server.post(
            "/run-metadata",
            &registration.metadata("step_run", &registered, metadata),
        )?;
        n_steps += 1;
    }
    let metadata = registration.run_metadata();
    server.post(
        "/run-metadata",
        &registration.metadata("pipeline_run", &run, metadata),
    )?;
    server.put(&format!("/runs/{run}"), &registration.run_end())?;
    Ok(Exported {
        run,
        n_steps,
        n_artifacts: artifacts.len(),
    })
}

/// Finds, or makes, what a run belongs to.
///
/// # Errors
///
/// When the run is there already.
fn find_places(server: &Server, record: &RunRecord) -> Result<Places> {
    let summary = &record.summary;
    let project = server.get("/projects/default")?;
    let project = server::id_of(&project).context("the project `default` has no id")?;
    let there = server.items(&format!("/runs?project={project}&name={}", summary.id))?;
    if let Some(run) = there.first().and_then(server::id_of) {
        bail!(
            "run {} is registered with {} already, as {run}",
            summary.id,
            server.url()
        );
    }
    let stacks = server.items("/stacks?name=default")?;
    let stack = stacks.first().and_then(server::id_of);
    let name = server::encoded(&summary.pipeline);
    let pipelines = server.items(&format!("/pipelines?project={project}&name={name}"))?;
    let pipeline = match pipelines.first().and_then(server::id_of) {
        Some(pipeline) => pipeline,
        None => server.create(
            "/pipelines",
            &json!({ "project": project, "name": summary.pipeline }),
        )?,
    };
    Ok(Places {
        stack: stack.context("the server has no stack `default`")?,
        project,
        pipeline,
        version: server.version().to_owned(),
    })
}

/// Registers what came from outside; returns it under the sources' names.
fn register_sources(
    server: &Server,
    registration: &Registration,
) -> Result<HashMap<String, String>> {
    let (names, bodies): (Vec<_>, Vec<_>) = registration.sources().into_iter().unzip();
    let registered = register(server, bodies)?;
    Ok(names.into_iter().zip(registered).collect())
}

/// Registers what a step made, or finds what an earlier export registered if
/// the step was answered from the cache.
fn register_outputs(
    server: &Server,
    registration: &Registration,
    step: &StepRecord,
) -> Result<Vec<String>> {
    let mut found = Vec::new();
    for output in &step.outputs {
        found.push(match step.state {
            StepState::Cached => find_artifact(server, registration, &step.step, output)?,
            _ => None,
        });
    }
    let missing = step.outputs.iter().zip(&found);
    let bodies = missing
        .filter(|(_, found)| found.is_none())
        .map(|(output, _)| registration.artifact(&step.step, output))
        .collect();
    let mut registered = register(server, bodies)?.into_iter();
    let ids = found
        .into_iter()
        .map(|found| found.or_else(|| registered.next()));
    ids.collect::<Option<_>>()
        .context("POST /artifact_versions/batch: the server registered fewer than were sent")
}

fn find_artifact(
    server: &Server,
    registration: &Registration,
    step: &str,
    output: &OutputRecord,
) -> Result<Option<String>> {
    let uri = server::encoded(&format!("equals:{}", registration::uri(output.content)));
    let project = &registration.places.project;
    let alike = server.items(&format!("/artifact_versions?project={project}&uri={uri}"))?;
    let name = registration.artifact_name(step, &output.name);
    let named = |version: &&Value| version["body"]["artifact"]["name"] == name.as_str();
    Ok(alike.iter().find(named).and_then(server::id_of))
}

fn register(server: &Server, bodies: Vec<Value>) -> Result<Vec<String>> {
    if bodies.is_empty() {
        return Ok(Vec::new());
    }
    let answer = server.post("/artifact_versions/batch", &Value::Array(bodies))?;
    let versions = answer.as_array().into_iter().flatten();
    Ok(versions.filter_map(server::id_of).collect())
}

#[cfg(test)]
mod tests;
