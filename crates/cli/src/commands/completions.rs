//! `biophony completions SHELL`: a completion script on standard output.

use anyhow::Result;
use clap::CommandFactory;

use super::print_exactly;
use crate::Outcome;
use crate::arguments::Arguments;

pub(crate) fn run(shell: clap_complete::Shell) -> Result<Outcome> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Arguments::command(), "biophony", &mut script);
    print_exactly(&String::from_utf8_lossy(&script))?;
    Ok(Outcome::Complete)
}
