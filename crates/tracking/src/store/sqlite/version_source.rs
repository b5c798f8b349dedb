//! Where the files of a new version are, and what made them.
//!
//! A source may refer to a logged model (`models:/m-…`) or to another version
//! (`models:/NAME/3`, `models:/NAME@ALIAS` and so on); every other one is itself the
//! place. Which sources clients may name at all is checked before, in
//! `artifacts/source.rs`.

use rusqlite::{Connection, OptionalExtension, params};

use super::model_versions::{find, latest, latest_versions};
use super::registered_models::{meant, number_of};
use crate::entities::{LoggedModelId, RunId, Stage};
use crate::error::{Result, TrackingError};
use crate::requests::CreateModelVersion;

/// What a new version comes from.
#[derive(Debug)]
pub(super) struct Origin {
    /// The source, in which an alias is replaced by the version that it means now.
    pub(super) source: String,
    /// Where the files are.
    pub(super) location: String,
    pub(super) run: Option<RunId>,
    pub(super) model: Option<LoggedModelId>,
}

/// Finds out what a new version comes from.
pub(super) fn origin(db: &Connection, request: &CreateModelVersion) -> Result<Origin> {
    let reference = request.source.strip_prefix("models:/");
    let reference = reference.map(|reference| reference.trim_start_matches('/'));
    match reference {
        Some(reference) if reference.contains(['/', '@']) => {
            let (name, version) = version_meant(db, request, reference)?;
            of_version(db, request, name, version)
        }
        Some(id) => of_logged_model(db, request, id),
        None => of_place(db, request),
    }
}

fn of_place(db: &Connection, request: &CreateModelVersion) -> Result<Origin> {
    let mut run = given(request.run_id.as_ref(), RunId::as_str);
    if let (None, Some(id)) = (&run, &request.model_id) {
        run = logged_model(db, id.as_str())?.and_then(|(_, run)| run);
    }
    Ok(Origin {
        source: request.source.clone(),
        location: request.source.clone(),
        run,
        model: request.model_id.clone(),
    })
}

fn of_logged_model(db: &Connection, request: &CreateModelVersion, id: &str) -> Result<Origin> {
    let (location, source_run) = logged_model(db, id)?.ok_or_else(|| {
        TrackingError::invalid(format!(
            "Unable to fetch model from model URI source artifact location '{}'.",
            request.source
        ))
    })?;
    let origin = of_place(db, request)?;
    let given = given(request.run_id.as_ref(), RunId::as_str);
    Ok(Origin {
        location,
        run: given.or(source_run).or(origin.run),
        ..origin
    })
}

/// What another version comes from, with whose run and logged model those that are
/// given must agree.
fn of_version(
    db: &Connection,
    request: &CreateModelVersion,
    name: &str,
    version: u32,
) -> Result<Origin> {
    let model = number_of(db, name)?;
    let other = find(db, model, name, version)?;
    let run = given(request.run_id.as_ref(), RunId::as_str);
    let logged = given(request.model_id.as_ref(), LoggedModelId::as_str);
    if (run.is_some() && run != other.run_id) || (logged.is_some() && logged != other.model_id) {
        return Err(TrackingError::invalid(format!(
            "Invalid model version source: '{}'. The run_id and model_id request parameters must \
             match the referenced model version.",
            request.source
        )));
    }
    let location = db.query_row(
        "SELECT storage_location FROM model_versions WHERE model = ?1 AND version = ?2",
        params![model, version],
        |row| row.get(0),
    )?;
    Ok(Origin {
        source: format!("models:/{name}/{version}"),
        location,
        run: other.run_id,
        model: other.model_id,
    })
}

/// The version that `NAME/3`, `NAME/latest`, `NAME/STAGE` or `NAME@ALIAS` means.
fn version_meant<'a>(
    db: &Connection,
    request: &CreateModelVersion,
    reference: &'a str,
) -> Result<(&'a str, u32)> {
    let improper = || {
        TrackingError::invalid(format!(
            "Invalid model version source: '{}'. The model_id request parameter must identify the \
             resource that contains the source.",
            request.source
        ))
    };
    let Some((name, which)) = reference.split_once('/') else {
        let (name, alias) = reference.rsplit_once('@').ok_or_else(improper)?;
        return Ok((name, meant(db, number_of(db, name)?, name, alias)?));
    };
    if name.trim().is_empty() || which.trim().is_empty() || which.contains('/') {
        return Err(improper());
    }
    if which.chars().all(|c| c.is_ascii_digit()) {
        return Ok((name, which.parse().map_err(|_| improper())?));
    }
    let model = number_of(db, name)?;
    if which.eq_ignore_ascii_case("latest") {
        return Ok((name, latest(db, model, name)?));
    }
    let stage: Stage = which.parse()?;
    let newest = latest_versions(db, model, name)?
        .into_iter()
        .find(|version| version.current_stage == stage)
        .ok_or_else(|| {
            TrackingError::invalid(format!(
                "No versions of model with name '{name}' and stage '{stage}' found"
            ))
        })?;
    Ok((name, newest.version))
}

/// Where the files of a logged model are, and the run that made it.
fn logged_model(db: &Connection, id: &str) -> Result<Option<(String, Option<RunId>)>> {
    let found = db
        .query_row(
            "SELECT artifact_location, source_run_id FROM logged_models WHERE model_id = ?1",
            [id],
            |row| Ok((row.get(0)?, row.get::<_, Option<String>>(1)?)),
        )
        .optional()?;
    Ok(found.map(|(location, run)| (location, run.map(RunId::from))))
}

/// An identifier, unless it is empty.
fn given<T: Clone>(id: Option<&T>, text: impl Fn(&T) -> &str) -> Option<T> {
    id.filter(|id| !text(id).is_empty()).cloned()
}
