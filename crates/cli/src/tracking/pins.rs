//! What registered models keep of the pipeline's artifacts.
//!
//! A version has files of its own. Pinned beside them is the artifact that they
//! were copied from, and with it the record of how it was made: the lineage of a
//! model outlives the run that made it. A version that was deleted lets go when
//! garbage is collected.

use anyhow::Result;
use biophony_pipeline::{ContentHash, Store};
use biophony_tracking::{ModelVersion, TrackingStore};

use super::Tracking;
use super::registry::if_there;

/// Begins the owner of a pin that is a version.
const OWNER: &str = "model ";

/// Keeps what a version was copied from.
pub(crate) fn keep(store: &Store, version: &ModelVersion, bundle: ContentHash) -> Result<()> {
    let owner = format!("{OWNER}{}/{}", version.name, version.version);
    Ok(store.pin(bundle, &owner)?)
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
