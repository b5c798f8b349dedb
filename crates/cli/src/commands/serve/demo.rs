//! Training the demo model beside the server: `biophony demo` as a process of its own,
//! so that the server's memory and answers do not depend on it, and stopping one does
//! not depend on the other.

use std::io::{BufRead, BufReader, Read};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::time::Duration;

use biophony_web::{DemoProgress, DemoTrainer};

use crate::arguments::Common;

/// How often it is asked whether the server stops.
const TICK: Duration = Duration::from_millis(100);

/// What is passed on to the other process.
pub(super) struct Demo {
    arguments: Vec<String>,
    home: PathBuf,
    config: Option<PathBuf>,
}

impl Demo {
    pub(super) fn new(common: &Common) -> Self {
        let set = common
            .set
            .iter()
            .flat_map(|set| ["--set".to_owned(), set.clone()]);
        let threads = common.threads.map(|threads| threads.to_string());
        let threads = threads
            .into_iter()
            .flat_map(|n| ["--threads".to_owned(), n]);
        Self {
            arguments: set.chain(threads).collect(),
            home: common.home.clone(),
            config: common.config.clone(),
        }
    }

    fn start(&self) -> std::io::Result<Child> {
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("demo").args(&self.arguments);
        command.arg("--home").arg(&self.home);
        if let Some(config) = &self.config {
            command.arg("--config").arg(config);
        }
        command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
    }
}

impl DemoTrainer for Demo {
    fn train(&self, progress: &DemoProgress<'_>) -> Result<(), String> {
        let mut child = self
            .start()
            .map_err(|error| format!("cannot start `biophony demo`: {error}"))?;
        let (sender, lines) = channel();
        if let Some(errors) = child.stderr.take() {
            std::thread::spawn(move || pass_on(errors, &sender));
        }
        let mut last = String::new();
        loop {
            match lines.recv_timeout(TICK) {
                Ok(line) => {
                    progress.say(&line);
                    last = line;
                }
                Err(RecvTimeoutError::Timeout) if progress.stopped() => {
                    // It may have ended just now; either way it is gone.
                    let _ = child.kill();
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
        }
        let ended = child.wait().map_err(|error| error.to_string())?;
        match ended.success() {
            true => Ok(()),
            false if last.is_empty() => Err(format!("`biophony demo` ended with {ended}")),
            false => Err(last),
        }
    }
}

fn pass_on(from: impl Read, to: &Sender<String>) {
    for line in BufReader::new(from).lines().map_while(Result::ok) {
        if to.send(line).is_err() {
            return;
        }
    }
}
