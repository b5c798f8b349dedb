//! `biophony audit`: what is wrong with a collection, as a table, JSON or a page.

use anyhow::{Context, Result};

use super::{load_settings, print, report_failures};
use crate::Outcome;
use crate::arguments::{AuditArguments, Common};
use crate::collection::Collection;

pub(crate) fn run(common: &Common, arguments: &AuditArguments) -> Result<Outcome> {
    let settings = load_settings(common, Vec::new())?;
    let collection = Collection::open(&arguments.collection, &settings)?;
    if arguments.json {
        print(&format!(
            "{}\n",
            serde_json::to_string_pretty(&collection.audit)?
        ))?;
    } else {
        print(&collection.audit.table())?;
    }
    if let Some(path) = &arguments.html {
        let page = biophony_dataset::audit_page(&collection.audit, &collection.name);
        std::fs::write(path, page).with_context(|| format!("cannot write `{}`", path.display()))?;
    }
    let unreadable = collection.unreadable();
    report_failures(&unreadable);
    Ok(if unreadable.is_empty() {
        Outcome::Complete
    } else {
        Outcome::Partial
    })
}
