//! Where files lay on the other machine, and where they lie here once they are copied.
//!
//! MLflow without a server, or with `--default-artifact-root`, writes the path of its
//! folder into every URI. When that folder is taken in as well, its files get a place
//! below the root of artifacts here, and what led there has to lead here.

use std::path::Path;

use rusqlite::{Connection, params};

use crate::artifacts::{ArtifactPath, SCHEME};
use crate::error::Result;

/// Notes in `temp.imported_places` which URI becomes which, for files that are below
/// `folder` on this machine.
pub(super) fn note(db: &Connection, folder: &Path, has_logged_models: bool) -> Result<()> {
    let roots = roots(db, folder)?;
    let mut add = db.prepare("INSERT OR IGNORE INTO temp.imported_places VALUES (?1, ?2)")?;
    let mut columns = vec![
        ("experiments", "artifact_location"),
        ("runs", "artifact_uri"),
        ("model_versions", "source"),
        ("model_versions", "storage_location"),
    ];
    if has_logged_models {
        columns.push(("logged_models", "artifact_location"));
    }
    for (table, column) in columns {
        let mut statement = db.prepare(&format!(
            "SELECT DISTINCT {column} FROM mlflow.{table} WHERE {column} IS NOT NULL"
        ))?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let uri: String = row.get(0)?;
            if let Some(here) = place_here(&uri, &roots) {
                add.execute(params![uri, here])?;
            }
        }
    }
    Ok(())
}

/// Lets what is here lead to where the files are now.
pub(super) fn rewrite(db: &Connection) -> Result<()> {
    for (table, column) in [
        ("experiments", "artifact_location"),
        ("runs", "artifact_uri"),
        ("logged_models", "artifact_location"),
        ("model_versions", "source"),
        ("model_versions", "storage_location"),
    ] {
        db.execute(
            &format!(
                "UPDATE main.{table} SET {column} = p.here FROM temp.imported_places p
                 WHERE main.{table}.{column} = p.there"
            ),
            [],
        )?;
    }
    Ok(())
}

/// The paths that the folder is known by: its own, and those of the experiments in it,
/// whose locations end with their number unless somebody chose another.
fn roots(db: &Connection, folder: &Path) -> Result<Vec<Vec<String>>> {
    let own = [std::path::absolute(folder), folder.canonicalize()];
    let mut roots: Vec<Vec<String>> = own
        .into_iter()
        .flatten()
        .filter_map(|path| local_parts(path.to_str()?))
        .collect();
    let mut statement = db.prepare(
        "SELECT CAST(experiment_id AS TEXT), artifact_location FROM mlflow.experiments
         WHERE artifact_location IS NOT NULL",
    )?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let (number, location): (String, String) = (row.get(0)?, row.get(1)?);
        let Some(mut parts) = local_parts(&location) else {
            continue;
        };
        let is_of_number = parts.pop().is_some_and(|last| last == number);
        if is_of_number && folder.join(&number).is_dir() {
            roots.push(parts);
        }
    }
    // The most exact first.
    roots.sort_by_key(|root| std::cmp::Reverse(root.len()));
    roots.dedup();
    Ok(roots)
}

/// The URI here of what lay at `uri`, if that was below one of the roots.
fn place_here(uri: &str, roots: &[Vec<String>]) -> Option<String> {
    let parts = local_parts(uri)?;
    let below = roots
        .iter()
        .find_map(|root| parts.strip_prefix(root.as_slice()))?;
    let path = ArtifactPath::new(&below.join("/")).ok()?;
    (!path.is_root()).then(|| format!("{SCHEME}/{}", path.as_str()))
}

/// The parts of a path on a machine, written plainly or as a `file:` URI.
fn local_parts(uri: &str) -> Option<Vec<String>> {
    let path = match uri.strip_prefix("file:") {
        Some(path) => {
            let path = path.strip_prefix("//").unwrap_or(path);
            let decoded = percent_encoding::percent_decode_str(path).decode_utf8();
            decoded.ok()?.into_owned()
        }
        None if uri.contains(':') => return None,
        None => uri.to_owned(),
    };
    let parts = path.split('/').filter(|part| !matches!(*part, "" | "."));
    let parts: Vec<String> = parts.map(str::to_owned).collect();
    (!parts.is_empty() && !parts.iter().any(|part| part == "..")).then_some(parts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(uri: &str, here: Option<&str>) {
        let root = |path: &str| local_parts(path).expect("a path");
        let roots = [root("/home/ada/mlruns"), root("mlruns")];
        assert_eq!(place_here(uri, &roots).as_deref(), here, "{uri}");
    }

    #[test]
    fn paths_below_the_folder_lead_here_and_others_stay() {
        let here = Some("mlflow-artifacts:/1/r/artifacts");
        check("/home/ada/mlruns/1/r/artifacts", here);
        check("file:///home/ada/mlruns/1/r/artifacts", here);
        check("file:/home/ada/mlruns/1/r/artifacts/", here);
        check("./mlruns/1/r/artifacts", here);
        check(
            "file:///home/ada/mlruns/1/r/a%20b",
            Some("mlflow-artifacts:/1/r/a b"),
        );
        check("/home/ada/mlruns", None);
        check("/home/ada/mlruns2/1/r/artifacts", None);
        check("/home/ada/mlruns/../secret", None);
        check("mlflow-artifacts:/1/r/artifacts", None);
        check("s3://mlruns/1/r/artifacts", None);
    }
}
