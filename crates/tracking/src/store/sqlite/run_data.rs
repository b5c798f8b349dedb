//! Reading what was recorded about runs, by their numbers.

use std::collections::HashMap;

use rusqlite::{CachedStatement, Connection, Row};

use super::runs::NumberedRun;
use crate::entities::{
    Dataset, DatasetInput, KeyValue, LoggedModelId, Metric, ModelInput, ModelOutput, Param, Run,
    RunData, RunInputs, RunOutputs, Tag,
};
use crate::error::Result;

/// Reads runs one after the other, with statements that are prepared once.
pub(super) struct RunReader<'a> {
    metrics: CachedStatement<'a>,
    params: CachedStatement<'a>,
    tags: CachedStatement<'a>,
    datasets: CachedStatement<'a>,
    dataset_tags: CachedStatement<'a>,
    models: CachedStatement<'a>,
    key_name: CachedStatement<'a>,
    /// The names of the keys of metrics that were seen so far.
    key_names: HashMap<i64, String>,
}

impl<'a> RunReader<'a> {
    pub(super) fn new(db: &'a Connection) -> Result<Self> {
        Ok(Self {
            metrics: db.prepare_cached(
                "SELECT key, value, timestamp, step, is_nan FROM latest_metrics WHERE run = ?1",
            )?,
            params: db
                .prepare_cached("SELECT key, value FROM params WHERE run = ?1 ORDER BY key")?,
            tags: db.prepare_cached("SELECT key, value FROM tags WHERE run = ?1 ORDER BY key")?,
            datasets: db.prepare_cached(
                "SELECT d.id, d.name, d.digest, d.source_type, d.source, d.schema, d.profile
                 FROM run_datasets u JOIN datasets d ON d.id = u.dataset WHERE u.run = ?1",
            )?,
            dataset_tags: db.prepare_cached(
                "SELECT key, value FROM run_dataset_tags WHERE run = ?1 AND dataset = ?2
                 ORDER BY key",
            )?,
            models: db.prepare_cached(
                "SELECT is_output, model_id, step FROM run_models WHERE run = ?1",
            )?,
            key_name: db.prepare_cached("SELECT name FROM metric_keys WHERE id = ?1")?,
            key_names: HashMap::new(),
        })
    }

    /// A run with all that was recorded about it.
    pub(super) fn whole(&mut self, run: NumberedRun) -> Result<Run> {
        let NumberedRun { number, info } = run;
        let (model_inputs, model_outputs) = self.models(number)?;
        Ok(Run {
            info,
            data: RunData {
                metrics: self.metrics(number)?,
                params: self.params(number)?,
                tags: self.tags(number)?,
            },
            inputs: RunInputs {
                dataset_inputs: self.datasets(number)?,
                model_inputs,
            },
            outputs: RunOutputs { model_outputs },
        })
    }

    fn metrics(&mut self, run: i64) -> Result<Vec<Metric>> {
        // Runs that are read together mostly have the same metrics.
        let mut metrics = Vec::with_capacity(self.key_names.len());
        let mut rows = self.metrics.query([run])?;
        while let Some(row) = rows.next()? {
            let key = row.get(0)?;
            let name = match self.key_names.get(&key) {
                Some(name) => name.clone(),
                None => {
                    let name: String = self.key_name.query_row([key], |row| row.get(0))?;
                    self.key_names.insert(key, name.clone());
                    name
                }
            };
            metrics.push(point(row, name)?);
        }
        // Thousands of small sorts are cheaper here than in SQLite, which sets up a table
        // for each.
        metrics.sort_unstable_by(|a, b| a.key.cmp(&b.key));
        Ok(metrics)
    }

    fn params(&mut self, run: i64) -> Result<Vec<Param>> {
        collect(self.params.query_map([run], pair)?)
    }

    fn tags(&mut self, run: i64) -> Result<Vec<Tag>> {
        collect(self.tags.query_map([run], pair)?)
    }

    fn datasets(&mut self, run: i64) -> Result<Vec<DatasetInput>> {
        let datasets: Vec<(i64, Dataset)> = collect(self.datasets.query_map([run], |row| {
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
        })?)?;
        datasets
            .into_iter()
            .map(|(number, dataset)| {
                let tags = collect(self.dataset_tags.query_map([run, number], pair)?)?;
                Ok(DatasetInput { tags, dataset })
            })
            .collect()
    }

    /// The models that a run read, and those that it made.
    fn models(&mut self, run: i64) -> Result<(Vec<ModelInput>, Vec<ModelOutput>)> {
        let (mut inputs, mut outputs) = (Vec::new(), Vec::new());
        let mut rows = self.models.query([run])?;
        while let Some(row) = rows.next()? {
            let model_id = LoggedModelId::from(row.get::<_, String>(1)?);
            match row.get(0)? {
                true => outputs.push(ModelOutput {
                    model_id,
                    step: row.get(2)?,
                }),
                false => inputs.push(ModelInput { model_id }),
            }
        }
        Ok((inputs, outputs))
    }
}

/// A metric from the columns key, value, timestamp, step and is_nan.
pub(super) fn metric(row: &Row<'_>) -> rusqlite::Result<Metric> {
    point(row, row.get(0)?)
}

/// A metric from the columns after its key.
fn point(row: &Row<'_>, key: String) -> rusqlite::Result<Metric> {
    let value = if row.get(4)? { f64::NAN } else { row.get(1)? };
    Ok(Metric::new(key, value, row.get(2)?, row.get(3)?))
}

/// A tag or parameter from the columns key and value.
pub(super) fn pair(row: &Row<'_>) -> rusqlite::Result<KeyValue> {
    Ok(KeyValue {
        key: row.get(0)?,
        value: row.get(1)?,
    })
}

fn collect<T>(rows: impl Iterator<Item = rusqlite::Result<T>>) -> Result<Vec<T>> {
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}
