//! The `biophony` program: reads the command line, runs one command, and turns
//! its outcome into an exit code: 0 when all went well, 2 for wrong usage, 1
//! otherwise.
//!
//! Here the crates meet: what none of them may know of the others is joined in
//! [`commands`].

mod arguments;
mod collection;
mod commands;
mod demo;
mod home;
mod launch;
mod progress;
mod report;
mod reviewed;
mod settings;
mod stages;
mod tracking;

use std::process::ExitCode;

use clap::Parser;

use arguments::{Arguments, Command};
use settings::SettingsError;

/// How a command ended, if not with an error that stopped it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    /// Everything asked for was done.
    Complete,
    /// Some inputs could not be used; they were reported.
    Partial,
}

/// The user asked for something that cannot be: exit code 2.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct UsageError(String);

fn main() -> ExitCode {
    match run(Arguments::parse()) {
        Ok(Outcome::Complete) => ExitCode::SUCCESS,
        Ok(Outcome::Partial) => ExitCode::from(1),
        Err(error) => {
            progress::note(&format!("error: {error:#}"));
            let wrong_usage = error.is::<UsageError>() || error.is::<SettingsError>();
            ExitCode::from(if wrong_usage { 2 } else { 1 })
        }
    }
}

fn run(arguments: Arguments) -> anyhow::Result<Outcome> {
    let common = &arguments.common;
    if let Some(threads) = common.threads {
        rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .build_global()?;
    }
    match &arguments.command {
        Command::Train(train) => commands::train::run(common, train),
        Command::Run(run) => commands::run::run(common, run),
        Command::Runs(runs) => commands::runs::run(common, runs),
        Command::Models(models) => commands::models::run(common, models),
        Command::Tracking(tracking) => commands::tracking::run(common, tracking),
        Command::Lineage(lineage) => commands::lineage::run(common, lineage),
        Command::Export(export) => commands::export::run(common, export),
        Command::Import(import) => commands::import::run(common, import),
        Command::Init(init) => commands::init::run(init),
        Command::Classify(classify) => commands::classify::run(common, classify),
        Command::Evaluate(evaluate) => commands::evaluate::run(common, evaluate),
        Command::Audit(audit) => commands::audit::run(common, audit),
        Command::Features(features) => commands::features::run(common, features),
        Command::Serve(serve) => commands::serve::run(common, serve),
        Command::Demo(demo) => commands::demo::run(common, demo),
        Command::Bench(bench) => commands::bench::run(common, bench),
        Command::Config(config) => commands::config::run(common, config),
        Command::Completions { shell } => commands::completions::run(*shell),
    }
}
