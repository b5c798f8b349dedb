//! `biophony export`: what was done here, told to other systems.

mod zenml;

use anyhow::Result;

use crate::Outcome;
use crate::arguments::{Common, ExportArguments, ExportCommand};

pub(crate) fn run(common: &Common, arguments: &ExportArguments) -> Result<Outcome> {
    match &arguments.command {
        ExportCommand::Zenml(arguments) => zenml::run(common, arguments),
    }
}
