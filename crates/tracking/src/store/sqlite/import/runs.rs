//! Reading runs, data sets and logged models.

use rusqlite::Connection;

use super::super::points::{BLOCK_BITS, Place, Point, PointWriter, points_at};
use super::Imported;
use crate::error::Result;

/// Runs and what they logged.
pub(super) fn import_runs(db: &Connection, imported: &mut Imported) -> Result<()> {
    imported.runs = db.execute(
        "INSERT INTO main.runs
             (run_id, experiment, name, user_id, status, start_time, end_time, lifecycle,
              deleted_time, artifact_uri)
         SELECT r.run_uuid, e.here, coalesce(r.name, ''), coalesce(r.user_id, ''),
                coalesce(r.status, 'RUNNING'), coalesce(r.start_time, 0), r.end_time,
                coalesce(r.lifecycle_stage, 'active'), r.deleted_time,
                coalesce(r.artifact_uri, '')
         FROM mlflow.runs r JOIN temp.imported_experiments e ON e.there = r.experiment_id
         WHERE true
         ON CONFLICT DO NOTHING",
        [],
    )?;
    db.execute_batch(
        "INSERT INTO temp.imported_runs
             SELECT r.run_id, r.id FROM main.runs r
             JOIN mlflow.runs t ON t.run_uuid = r.run_id
             JOIN temp.imported_experiments e ON e.there = t.experiment_id;
         UPDATE main.runs SET status = t.status, end_time = t.end_time
             FROM mlflow.runs t
             WHERE t.run_uuid = main.runs.run_id AND main.runs.status = 'RUNNING'
               AND t.status <> 'RUNNING';
         INSERT OR IGNORE INTO main.metric_keys (name) SELECT DISTINCT key FROM mlflow.metrics;",
    )?;
    imported.metrics = import_points(db)?;
    db.execute(
        "INSERT INTO main.latest_metrics
         SELECT i.run, k.id, m.step, coalesce(m.timestamp, 0), m.value, m.is_nan
         FROM mlflow.latest_metrics m JOIN temp.imported_runs i ON i.run_id = m.run_uuid
                                      JOIN main.metric_keys k ON k.name = m.key
         WHERE true
         ON CONFLICT DO UPDATE SET step = excluded.step, timestamp = excluded.timestamp,
                                   value = excluded.value, is_nan = excluded.is_nan
         WHERE (excluded.step, excluded.timestamp, excluded.value) > (step, timestamp, value)",
        [],
    )?;
    for (table, added) in [
        ("params", &mut imported.params),
        ("tags", &mut imported.tags),
    ] {
        *added = db.execute(
            &format!(
                "INSERT INTO main.{table}
                 SELECT i.run, t.key, coalesce(t.value, '')
                 FROM mlflow.{table} t JOIN temp.imported_runs i ON i.run_id = t.run_uuid
                 WHERE true
                 ON CONFLICT DO NOTHING"
            ),
            [],
        )?;
    }
    Ok(())
}

/// Adds the points that are not here, and returns how many.
fn import_points(db: &Connection) -> Result<usize> {
    // Run by run, so that no more is sorted at once than the points of a run.
    let mut there = db.prepare(&format!(
        "SELECT i.run, m.step >> {BLOCK_BITS}, k.id, m.step, m.timestamp, m.value, m.is_nan
         FROM temp.imported_runs i CROSS JOIN mlflow.metrics m ON m.run_uuid = i.run_id
                                   JOIN main.metric_keys k ON k.name = m.key
         ORDER BY i.run_id, 2, 3, 4, 5, 6, 7"
    ))?;
    let mut writer = PointWriter::new(db)?;
    let (mut at, mut here) = (None, Vec::new());
    let mut n_added = 0;
    let mut rows = there.query([])?;
    while let Some(row) = rows.next()? {
        let (place, point) = (Place::read(row)?, Point::read(row, 3)?);
        if at != Some(place) {
            here = points_at(db, place)?;
            at = Some(place);
        }
        if here
            .binary_search_by(|known| known.by_step(&point))
            .is_err()
        {
            writer.add(place, point)?;
            n_added += 1;
        }
    }
    writer.finish()?;
    Ok(n_added)
}

/// Data sets and which runs read them.
pub(super) fn import_datasets(db: &Connection, imported: &mut Imported) -> Result<()> {
    imported.datasets = db.execute(
        "INSERT INTO main.datasets
             (experiment, name, digest, source_type, source, schema, profile)
         SELECT e.here, d.name, d.digest, d.dataset_source_type, d.dataset_source,
                d.dataset_schema, d.dataset_profile
         FROM mlflow.datasets d JOIN temp.imported_experiments e ON e.there = d.experiment_id
         WHERE true
         ON CONFLICT DO NOTHING",
        [],
    )?;
    const USES: &str = "
        FROM mlflow.inputs u
        JOIN mlflow.datasets d ON d.dataset_uuid = u.source_id
        JOIN temp.imported_experiments e ON e.there = d.experiment_id
        JOIN main.datasets h
            ON h.experiment = e.here AND h.name = d.name AND h.digest = d.digest
        JOIN temp.imported_runs i ON i.run_id = u.destination_id";
    const ARE_DATASETS: &str = "u.source_type = 'DATASET' AND u.destination_type = 'RUN'";
    db.execute(
        &format!(
            "INSERT OR IGNORE INTO main.run_datasets SELECT i.run, h.id {USES}
             WHERE {ARE_DATASETS}"
        ),
        [],
    )?;
    db.execute(
        &format!(
            "INSERT OR IGNORE INTO main.run_dataset_tags SELECT i.run, h.id, t.name, t.value {USES}
             JOIN mlflow.input_tags t ON t.input_uuid = u.input_uuid
             WHERE {ARE_DATASETS}"
        ),
        [],
    )?;
    Ok(())
}

/// Logged models, what was recorded about them, and which runs made or read them.
pub(super) fn import_logged_models(db: &Connection) -> Result<usize> {
    let added = db.execute(
        "INSERT INTO main.logged_models
             (model_id, experiment, name, creation_time, last_update_time, artifact_location,
              status, model_type, source_run_id, lifecycle)
         SELECT m.model_id, e.here, m.name, m.creation_timestamp_ms, m.last_updated_timestamp_ms,
                m.artifact_location, m.status, m.model_type, m.source_run_id,
                coalesce(m.lifecycle_stage, 'active')
         FROM mlflow.logged_models m
         JOIN temp.imported_experiments e ON e.there = m.experiment_id
         WHERE true
         ON CONFLICT DO NOTHING",
        [],
    )?;
    // Only of models that are here: those of other workspaces are not.
    const HERE: &str = "WHERE t.model_id IN (SELECT model_id FROM main.logged_models)";
    for statement in [
        format!(
            "INSERT OR IGNORE INTO main.logged_model_tags
             SELECT model_id, tag_key, tag_value FROM mlflow.logged_model_tags t {HERE}"
        ),
        format!(
            "INSERT OR IGNORE INTO main.logged_model_params
             SELECT model_id, param_key, param_value FROM mlflow.logged_model_params t {HERE}"
        ),
        // There not-a-number is kept as nothing.
        format!(
            "INSERT OR IGNORE INTO main.logged_model_metrics
             SELECT model_id, metric_name, metric_timestamp_ms, metric_step, run_id,
                    coalesce(metric_value, 0), metric_value IS NULL,
                    coalesce(dataset_name, ''), coalesce(dataset_digest, '')
             FROM mlflow.logged_model_metrics t {HERE}"
        ),
        "INSERT OR IGNORE INTO main.run_models
         SELECT i.run, u.destination_type = 'MODEL_OUTPUT', u.destination_id, u.step
         FROM mlflow.inputs u JOIN temp.imported_runs i ON i.run_id = u.source_id
         WHERE u.destination_type IN ('MODEL_OUTPUT', 'MODEL_INPUT')"
            .to_owned(),
    ] {
        db.execute(&statement, [])?;
    }
    Ok(added)
}

/// How many of the runs have files that no artifact path here leads to.
pub(super) fn files_elsewhere(db: &Connection) -> Result<usize> {
    let n: i64 = db.query_row(
        "SELECT count(*) FROM main.runs r JOIN temp.imported_runs i ON i.run = r.id
         WHERE r.artifact_uri NOT LIKE 'mlflow-artifacts:%'",
        [],
        |row| row.get(0),
    )?;
    Ok(usize::try_from(n).unwrap_or(0))
}
