//! `biophony export`: what was done here, told to other systems.

mod zenml;

use std::path::Path;

use anyhow::{Result, bail};

use super::{load_settings, print};
use crate::Outcome;
use crate::arguments::{Common, ExportArguments, ExportCommand};
use crate::home::Home;
use crate::tracking::Tracking;

pub(crate) fn run(common: &Common, arguments: &ExportArguments) -> Result<Outcome> {
    match &arguments.command {
        ExportCommand::Zenml(arguments) => zenml::run(common, arguments),
        ExportCommand::MlflowSqlite { file } => mlflow_sqlite(common, file),
    }
}

/// Writes what is tracked into a database that an MLflow server opens.
fn mlflow_sqlite(common: &Common, file: &Path) -> Result<Outcome> {
    let home = Home::at(&common.home);
    let settings = load_settings(common, Vec::new())?.tracking;
    let Some(tracking) = Tracking::open_existing(&home, &settings)? else {
        bail!("nothing is tracked in `{}` yet", home.path().display());
    };
    tracking.store.export_mlflow(file)?;
    let file = std::path::absolute(file).unwrap_or_else(|_| file.to_owned());
    let artifacts = home.tracked_artifacts();
    let artifacts = std::path::absolute(&artifacts).unwrap_or(artifacts);
    print(&format!(
        "wrote `{0}`; MLflow brings it up to date when it opens it:\n  \
         mlflow server --backend-store-uri \"sqlite:///{0}\" --artifacts-destination \"{1}\"\n",
        file.display(),
        artifacts.display()
    ))?;
    Ok(Outcome::Complete)
}
