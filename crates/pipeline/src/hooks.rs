//! What is done when a run has ended: call a command, or tell an address.
//!
//! A hook that fails changes nothing about the run: it is written into the run's
//! log as a warning. Both kinds are given the run as JSON, as
//! [`RunRecord`] serializes. The request itself lives in [`webhook`].

mod webhook;

use std::io::{self, Write};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

pub use webhook::Webhook;

use crate::execute::chain;
use crate::options::RunOptions;
use crate::run::{Level, LogLine, RunRecord, RunState, now_ms};
use crate::store::Store;

/// How long a hook may take.
const TIME_LIMIT: Duration = Duration::from_secs(30);

/// Something to do when a run has ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Hook {
    /// A program with its arguments. It finds the run as JSON on its standard
    /// input and in its environment `PIPELINE_RUN` and `PIPELINE_STATE`. It is
    /// killed after half a minute.
    Command {
        /// The program, as the shell would find it. No shell is involved.
        program: String,
        /// Its arguments.
        args: Vec<String>,
    },
    /// An address that is sent the run as JSON.
    Webhook(Webhook),
}

/// Calls the hooks for how the run ended.
pub(crate) fn call(store: &Store, options: &RunOptions, run: &RunRecord) {
    let hooks = match run.summary.state {
        RunState::Finished => &options.on_success,
        _ => &options.on_failure,
    };
    if hooks.is_empty() {
        return;
    }
    let body = serde_json::to_string(run).expect("records are JSON");
    for hook in hooks {
        let (name, outcome) = match hook {
            Hook::Command { program, args } => {
                let outcome = command(program, args, run, &body, TIME_LIMIT);
                (program.clone(), outcome)
            }
            Hook::Webhook(webhook) => (webhook.to_string(), webhook.post(&body, TIME_LIMIT)),
        };
        if let Err(error) = outcome {
            let line = LogLine {
                step: String::new(),
                at_ms: now_ms(),
                level: Level::Warn,
                text: format!("hook `{name}` failed: {}", chain(&error)),
            };
            // The run has ended well or ill; that the log is broken changes neither.
            let _ = store.log(&run.summary.id, &line);
            options.observer.line_logged(&run.summary.id, &line);
        }
    }
}

fn command(
    program: &str,
    args: &[String],
    run: &RunRecord,
    body: &str,
    limit: Duration,
) -> io::Result<()> {
    let mut child = Command::new(program)
        .args(args)
        .env("PIPELINE_RUN", run.summary.id.as_str())
        .env("PIPELINE_STATE", run.summary.state.as_str())
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()?;
    let mut stdin = child.stdin.take().expect("was piped");
    let body = body.to_owned();
    // In a thread of its own, because a program that does not read would block us.
    thread::spawn(move || stdin.write_all(body.as_bytes()));
    let deadline = Instant::now() + limit;
    loop {
        if let Some(status) = child.try_wait()? {
            return match status.success() {
                true => Ok(()),
                false => Err(io::Error::other(format!("it ended with {status}"))),
            };
        }
        if Instant::now() >= deadline {
            child.kill()?;
            child.wait()?;
            return Err(io::Error::other(format!(
                "it took longer than {} s",
                limit.as_secs()
            )));
        }
        thread::sleep(Duration::from_millis(5));
    }
}
