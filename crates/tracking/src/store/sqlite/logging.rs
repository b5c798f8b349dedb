//! Writing metrics, parameters and tags: the path that has to be fast.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap};

use rusqlite::{Connection, OptionalExtension, ToSql, TransactionBehavior, params};

use super::points::{Place, Point, PointWriter, points_in_few_rows};
use super::runs::{find_writable, put_tag};
use super::{SqliteStore, lock};
use crate::check::{self, Phrasing, python_repr};
use crate::entities::{LoggedModelId, Metric, Param, RunId};
use crate::error::{Result, TrackingError};
use crate::requests::LogBatch;

impl SqliteStore {
    /// Records a batch, or one thing alone: `phrasing` says how errors are worded.
    pub(super) fn log(&self, id: &RunId, batch: &LogBatch, phrasing: Phrasing) -> Result<()> {
        let (params, tags) = check::batch(batch, phrasing)?;
        let mut writer = lock(&self.writer);
        let writer = &mut *writer;
        let db = writer
            .connection
            .transaction_with_behavior(TransactionBehavior::Immediate)?;
        let run = find_writable(&db, id)?;
        if !params.is_empty() {
            put_params(&db, run.number, id, &params, phrasing)?;
        }
        let new_keys = put_metrics(&db, run.number, &batch.metrics, &writer.metric_keys)?;
        if batch.metrics.iter().any(|metric| metric.model_id.is_some()) {
            put_model_metrics(&db, id, &batch.metrics)?;
        }
        for tag in &tags {
            put_tag(&db, run.number, tag)?;
        }
        db.commit()?;
        // Not before: a key of a transaction that failed has no number.
        writer.metric_keys.extend(new_keys);
        Ok(())
    }
}

/// Writes parameters, none of which may have another value already.
fn put_params(
    db: &Connection,
    run: i64,
    id: &RunId,
    params: &[Param],
    phrasing: Phrasing,
) -> Result<()> {
    let mut conflicts = Vec::new();
    let mut insert = db.prepare_cached(
        "INSERT INTO params (run, key, value) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING",
    )?;
    for param in params {
        if insert.execute(params![run, param.key, param.value])? == 1 {
            continue;
        }
        let old: String = db
            .prepare_cached("SELECT value FROM params WHERE run = ?1 AND key = ?2")?
            .query_row(params![run, param.key], |row| row.get(0))?;
        if old != param.value {
            conflicts.push((param, old));
        }
    }
    match (conflicts.as_slice(), phrasing) {
        ([], _) => Ok(()),
        ([(param, old), ..], Phrasing::Single) => Err(TrackingError::invalid(format!(
            "Changing param values is not allowed. Param with key='{}' was already logged with \
             value='{old}' for run ID='{id}'. Attempted logging new value '{}'.",
            param.key, param.value
        ))),
        (conflicts, Phrasing::Batch) => {
            let list: Vec<String> = conflicts
                .iter()
                .map(|(param, old)| {
                    format!(
                        "{{'key': {}, 'old_value': {}, 'new_value': {}}}",
                        python_repr(&param.key),
                        python_repr(old),
                        python_repr(&param.value)
                    )
                })
                .collect();
            Err(TrackingError::invalid(format!(
                "Changing param values is not allowed. Params were already logged='[{}]' for run \
                 ID='{id}'.",
                list.join(", ")
            )))
        }
    }
}

/// Writes points and the latest of each key; returns the numbers of keys that were
/// not in `known`.
fn put_metrics(
    db: &Connection,
    run: i64,
    metrics: &[Metric],
    known: &HashMap<String, i64>,
) -> Result<HashMap<String, i64>> {
    let mut new_keys = HashMap::new();
    let mut points = Vec::with_capacity(metrics.len());
    for metric in metrics {
        let key = match known.get(&metric.key).or_else(|| new_keys.get(&metric.key)) {
            Some(key) => *key,
            None => {
                let key = key_number(db, &metric.key)?;
                new_keys.insert(metric.key.clone(), key);
                key
            }
        };
        let point = Point::of(metric);
        let block = point.block();
        points.push((Place { run, block, key }, point));
    }
    let mut latest: BTreeMap<i64, Point> = BTreeMap::new();
    for (place, point) in &points {
        let known = latest.entry(place.key).or_insert(*point);
        if point.is_after(known) {
            *known = *point;
        }
    }
    points.sort_unstable_by(|a, b| a.0.cmp(&b.0).then_with(|| a.1.by_step(&b.1)));
    points.dedup();
    let mut before = HashMap::new();
    let mut writer = PointWriter::new(db)?;
    for points in points.chunk_by(|a, b| a.0 == b.0) {
        let known = known_points(db, points, &mut before)?;
        for &(place, point) in points {
            let found = known.binary_search_by(|known| known.by_step(&point));
            if found.is_err() {
                writer.add(place, point)?;
            }
        }
    }
    writer.finish()?;
    for (key, point) in latest {
        put_latest(db, run, key, point)?;
    }
    Ok(new_keys)
}

/// What is there of these points, which are of one place and in order. `before` has step
/// and time of the latest point of each key that was asked for.
fn known_points(
    db: &Connection,
    points: &[(Place, Point)],
    before: &mut HashMap<i64, Option<(i64, i64)>>,
) -> Result<Vec<Point>> {
    // A point that comes alone may cost no more the more there are. It makes a row of its
    // own, and that only once.
    let [(place, first), .., (_, last)] = points else {
        return Ok(Vec::new());
    };
    let latest = match before.entry(place.key) {
        Entry::Occupied(known) => *known.get(),
        Entry::Vacant(unknown) => *unknown.insert(latest_before(db, place)?),
    };
    // Mostly points come in their order, and are after all that are there.
    if latest.is_none_or(|latest| (first.step, first.timestamp) > latest) {
        return Ok(Vec::new());
    }
    points_in_few_rows(db, *place, first, last)
}

/// Step and time of the latest point of a metric.
fn latest_before(db: &Connection, place: &Place) -> Result<Option<(i64, i64)>> {
    let latest = db
        .prepare_cached("SELECT step, timestamp FROM latest_metrics WHERE run = ?1 AND key = ?2")?
        .query_row([place.run, place.key], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    Ok(latest)
}

/// Keeps the latest point of a metric, where it is later than what is kept.
fn put_latest(db: &Connection, run: i64, key: i64, point: Point) -> Result<()> {
    db.prepare_cached(
        "INSERT INTO latest_metrics (run, key, step, timestamp, value, is_nan)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6)
         ON CONFLICT DO UPDATE SET step = excluded.step, timestamp = excluded.timestamp,
                                   value = excluded.value, is_nan = excluded.is_nan
         WHERE (excluded.step, excluded.timestamp, excluded.value) > (step, timestamp, value)",
    )?
    .execute(params![
        run,
        key,
        point.step,
        point.timestamp,
        point.value,
        point.is_nan
    ])?;
    Ok(())
}

/// The number of a metric's key, given now if it is new.
fn key_number(db: &Connection, name: &str) -> Result<i64> {
    let found = db
        .prepare_cached("SELECT id FROM metric_keys WHERE name = ?1")?
        .query_row([name], |row| row.get(0))
        .optional()?;
    if let Some(number) = found {
        return Ok(number);
    }
    db.prepare_cached("INSERT INTO metric_keys (name) VALUES (?1)")?
        .execute([name])?;
    Ok(db.last_insert_rowid())
}

/// Writes the points that belong to logged models a second time, under the model, which
/// must be there and have no other point at the same time and step from this run.
fn put_model_metrics(db: &Connection, run: &RunId, metrics: &[Metric]) -> Result<()> {
    let mut insert = db.prepare_cached(
        "INSERT INTO logged_model_metrics
             (model_id, key, timestamp, step, run_id, value, is_nan, dataset_name, dataset_digest)
         SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9
         WHERE EXISTS (SELECT 1 FROM logged_models WHERE model_id = ?1)
         ON CONFLICT DO NOTHING",
    )?;
    for metric in metrics {
        let Some(model) = metric
            .model_id
            .as_ref()
            .filter(|id| !id.as_str().is_empty())
        else {
            continue;
        };
        let point = Point::of(metric);
        let columns: [&dyn ToSql; 9] = [
            &model.as_str(),
            &metric.key,
            &point.timestamp,
            &point.step,
            &run.as_str(),
            &point.value,
            &point.is_nan,
            &metric.dataset_name.as_deref().unwrap_or_default(),
            &metric.dataset_digest.as_deref().unwrap_or_default(),
        ];
        if insert.execute(&columns[..])? == 0 {
            check_is_there(db, &columns, model, metric)?;
        }
    }
    Ok(())
}

/// Refuses a point that could not be inserted, unless it is there just as it is.
fn check_is_there(
    db: &Connection,
    columns: &[&dyn ToSql],
    model: &LoggedModelId,
    metric: &Metric,
) -> Result<()> {
    let key = &metric.key;
    let is_same = db
        .prepare_cached(
            "SELECT value = ?6 AND is_nan = ?7 AND dataset_name = ?8 AND dataset_digest = ?9
             FROM logged_model_metrics
             WHERE model_id = ?1 AND key = ?2 AND timestamp = ?3 AND step = ?4 AND run_id = ?5",
        )?
        .query_row(columns, |row| row.get(0))
        .optional()?;
    match is_same {
        Some(true) => Ok(()),
        Some(false) => Err(TrackingError::BadRequest(format!(
            "Metric '{key}' of logged model with ID '{model}' was already logged for \
             timestamp={} and step={} with another value or dataset, and cannot be changed.",
            metric.timestamp, metric.step
        ))),
        None => Err(TrackingError::BadRequest(format!(
            "Logged model with ID '{model}' not found, so metric '{key}' cannot be logged for it."
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::requests::{CreateLoggedModel, CreateRun};
    use crate::{ExperimentId, TrackingStore};

    #[test]
    fn nothing_is_stored_of_a_batch_that_changes_a_metric_of_a_model() {
        let store = SqliteStore::in_memory().expect("a store");
        let request = CreateRun::new(ExperimentId::default_experiment());
        let id = store.create_run(request).expect("a run").info.run_id;
        let model = store
            .create_logged_model(CreateLoggedModel {
                experiment_id: ExperimentId::default_experiment(),
                name: None,
                model_type: None,
                source_run_id: None,
                params: Vec::new(),
                tags: Vec::new(),
            })
            .expect("a model");
        let of_model = |value| Metric {
            model_id: Some(model.info.model_id.clone()),
            ..Metric::new("f1", value, 1, 0)
        };
        let batch = LogBatch {
            metrics: vec![Metric::new("loss", 0.1, 1, 0), of_model(0.9), of_model(0.8)],
            ..LogBatch::default()
        };
        store.log_batch(&id, &batch).expect_err("two values");
        let data = store.get_run(&id).expect("there").data;
        assert_eq!(data.metrics, []);
        let found = store.get_logged_model(&model.info.model_id);
        assert_eq!(found.expect("there").data.metrics, []);
    }

    #[test]
    fn nothing_is_stored_of_a_batch_with_a_metric_of_a_model_that_is_not_there() {
        let store = SqliteStore::in_memory().expect("a store");
        let request = CreateRun::new(ExperimentId::default_experiment());
        let id = store.create_run(request).expect("a run").info.run_id;
        let of_none = Metric {
            model_id: Some("m-none".into()),
            ..Metric::new("f1", 0.9, 1, 0)
        };
        let batch = LogBatch {
            metrics: vec![Metric::new("loss", 0.1, 1, 0), of_none],
            params: vec![Param::new("lr", "1")],
            tags: Vec::new(),
        };
        store.log_batch(&id, &batch).expect_err("no such model");
        let data = store.get_run(&id).expect("there").data;
        assert_eq!((data.metrics, data.params), (vec![], vec![]));
        store
            .log_metric(&id, Metric::new("f1", 0.9, 1, 0))
            .expect("its key was not kept either");
    }

    fn n_rows(store: &SqliteStore) -> i64 {
        let writer = lock(&store.writer);
        let count = "SELECT count(*) FROM metrics";
        let n_rows = writer.connection.query_row(count, [], |row| row.get(0));
        n_rows.expect("counts")
    }

    fn n_points(store: &SqliteStore, id: &RunId) -> usize {
        let history = store.metric_history(id, "loss", None, None);
        history.expect("a history").items.len()
    }

    fn batch_of(timestamps: impl Iterator<Item = i64>) -> LogBatch {
        LogBatch {
            metrics: timestamps
                .map(|timestamp| Metric::new("loss", 0.5, timestamp, 0))
                .collect(),
            ..LogBatch::default()
        }
    }

    #[test]
    fn points_that_come_again_in_other_company_are_not_stored_again() {
        let store = SqliteStore::in_memory().expect("a store");
        let request = CreateRun::new(ExperimentId::default_experiment());
        let id = store.create_run(request).expect("a run").info.run_id;
        for n in 0..100 {
            // 100 of 199 points, others each time.
            let batch = batch_of((0..100).map(|i| (i * (n + 1) + n) % 199));
            store.log_batch(&id, &batch).expect("logs");
        }
        let all = batch_of(0..199);
        store.log_batch(&id, &all).expect("logs");
        assert_eq!(n_points(&store, &id), 199);
        assert!(n_rows(&store) < 20, "{} rows", n_rows(&store));
    }

    #[test]
    fn rows_are_read_only_where_many_points_come_and_few_rows_are() {
        let store = SqliteStore::in_memory().expect("a store");
        let request = CreateRun::new(ExperimentId::default_experiment());
        let id = store.create_run(request).expect("a run").info.run_id;
        let log = |batch: LogBatch| store.log_batch(&id, &batch).expect("logs");
        log(batch_of(0..2));
        log(batch_of(0..1));
        assert_eq!(n_rows(&store), 2, "of a point alone");
        for timestamp in 2..256 {
            log(batch_of(timestamp..=timestamp));
        }
        assert_eq!(n_rows(&store), 256);
        log(batch_of(10..12));
        assert_eq!(n_rows(&store), 256, "they were found");
        log(batch_of(256..258));
        log(batch_of(10..12));
        assert_eq!(n_rows(&store), 258, "they were not looked for");
        assert_eq!(n_points(&store, &id), 258);
    }
}
