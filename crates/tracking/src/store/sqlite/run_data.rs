//! Reading what was recorded about one run, by its number.

use rusqlite::{CachedStatement, Connection, Row};

use crate::entities::{
    Dataset, DatasetInput, KeyValue, LoggedModelId, Metric, ModelInput, ModelOutput, RunData,
    RunInputs, RunOutputs,
};
use crate::error::Result;

pub(super) fn data(db: &Connection, run: i64) -> Result<RunData> {
    let mut metrics = collect(
        db.prepare_cached(
            "SELECT k.name, m.value, m.timestamp, m.step, m.is_nan
             FROM latest_metrics m JOIN metric_keys k ON k.id = m.key WHERE m.run = ?1",
        )?,
        run,
        metric,
    )?;
    // Thousands of small sorts are cheaper here than in SQLite, which sets up a table for each.
    metrics.sort_unstable_by(|a, b| a.key.cmp(&b.key));
    Ok(RunData {
        metrics,
        params: collect(
            db.prepare_cached("SELECT key, value FROM params WHERE run = ?1 ORDER BY key")?,
            run,
            pair,
        )?,
        tags: collect(
            db.prepare_cached("SELECT key, value FROM tags WHERE run = ?1 ORDER BY key")?,
            run,
            pair,
        )?,
    })
}

pub(super) fn inputs(db: &Connection, run: i64) -> Result<RunInputs> {
    let datasets: Vec<(i64, Dataset)> = collect(
        db.prepare_cached(
            "SELECT d.id, d.name, d.digest, d.source_type, d.source, d.schema, d.profile
             FROM run_datasets u JOIN datasets d ON d.id = u.dataset WHERE u.run = ?1",
        )?,
        run,
        |row| {
            Ok((
                row.get(0)?,
                Dataset {
                    name: row.get(1)?,
                    digest: row.get(2)?,
                    source_type: row.get(3)?,
                    source: row.get(4)?,
                    schema: row.get(5)?,
                    profile: row.get(6)?,
                },
            ))
        },
    )?;
    let mut dataset_inputs = Vec::with_capacity(datasets.len());
    for (number, dataset) in datasets {
        let mut statement = db.prepare_cached(
            "SELECT key, value FROM run_dataset_tags WHERE run = ?1 AND dataset = ?2 ORDER BY key",
        )?;
        let tags = statement
            .query_map([run, number], pair)?
            .collect::<rusqlite::Result<_>>()?;
        dataset_inputs.push(DatasetInput { tags, dataset });
    }
    Ok(RunInputs {
        dataset_inputs,
        model_inputs: collect(
            db.prepare_cached("SELECT model_id FROM run_models WHERE run = ?1 AND is_output = 0")?,
            run,
            |row| {
                Ok(ModelInput {
                    model_id: LoggedModelId::from(row.get::<_, String>(0)?),
                })
            },
        )?,
    })
}

pub(super) fn outputs(db: &Connection, run: i64) -> Result<RunOutputs> {
    let model_outputs = collect(
        db.prepare_cached(
            "SELECT model_id, step FROM run_models WHERE run = ?1 AND is_output = 1",
        )?,
        run,
        |row| {
            Ok(ModelOutput {
                model_id: LoggedModelId::from(row.get::<_, String>(0)?),
                step: row.get(1)?,
            })
        },
    )?;
    Ok(RunOutputs { model_outputs })
}

/// A metric from the columns key, value, timestamp, step and is_nan.
pub(super) fn metric(row: &Row<'_>) -> rusqlite::Result<Metric> {
    let value = if row.get(4)? { f64::NAN } else { row.get(1)? };
    Ok(Metric::new(
        row.get::<_, String>(0)?,
        value,
        row.get(2)?,
        row.get(3)?,
    ))
}

/// A tag or parameter from the columns key and value.
pub(super) fn pair(row: &Row<'_>) -> rusqlite::Result<KeyValue> {
    Ok(KeyValue {
        key: row.get(0)?,
        value: row.get(1)?,
    })
}

fn collect<T>(
    mut statement: CachedStatement<'_>,
    run: i64,
    read: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
) -> Result<Vec<T>> {
    let rows = statement.query_map([run], read)?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}
