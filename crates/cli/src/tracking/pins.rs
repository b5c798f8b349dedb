//! What registered models keep of the pipeline's artifacts.
//!
//! A version has files of its own. Pinned beside them is the artifact that they
//! were copied from, and with it the record of how it was made: the lineage of a
//! model outlives the run that made it. A version that was deleted lets go when
//! garbage is collected.

use std::path::PathBuf;

use anyhow::Result;
use biophony_pipeline::{ContentHash, Store};
use biophony_tracking::{ModelVersion, TrackingStore};

use super::Tracking;
use super::registry::if_there;
use crate::home::Home;

/// Begins the owner of a pin that is a version.
const OWNER: &str = "model ";

fn owner(version: &ModelVersion) -> String {
    format!("{OWNER}{}/{}", version.name, version.version)
}

/// Keeps what a version was copied from.
pub(crate) fn keep(store: &Store, version: &ModelVersion, bundle: ContentHash) -> Result<()> {
    Ok(store.pin(bundle, &owner(version))?)
}

/// What a version was copied from, if it is kept and whole.
pub(super) fn bundle_of(home: &Home, version: &ModelVersion) -> Result<Option<PathBuf>> {
    let Some(store) = home.existing_pipelines()? else {
        return Ok(None);
    };
    let owner = owner(version);
    let mut pins = store.pins()?.into_iter().filter(|pin| pin.owner == owner);
    Ok(pins.find_map(|pin| store.artifact_path(pin.content).ok()))
}

/// Lets go of what only deleted versions kept.
pub(crate) fn let_go(store: &Store, tracking: &Tracking) -> Result<()> {
    for pin in store.pins()? {
        let version = pin.owner.strip_prefix(OWNER);
        let Some((name, version)) = version.and_then(|version| version.rsplit_once('/')) else {
            continue;
        };
        let Ok(version) = version.parse() else {
            continue;
        };
        if if_there(tracking.store.get_model_version(name, version))?.is_none() {
            store.unpin(&pin.owner)?;
        }
    }
    Ok(())
}
