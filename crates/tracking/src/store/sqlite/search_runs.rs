//! Searching runs, and the data sets that they read.

use rusqlite::params;

use super::SqliteStore;
use super::experiments::{experiment_number, lifecycle_condition};
use super::run_data::RunReader;
use super::runs::{COLUMNS, NumberedRun, from_row};
use super::sql_filter::{SqlFilter, page_of};
use crate::entities::{DatasetSummary, ExperimentId, Run};
use crate::error::Result;
use crate::requests::{Page, Search, ViewType};
use crate::search::{Field, Order, PageWindow, RUNS};

/// The most runs on one page.
const MAX_RUNS: i64 = 50_000;

/// The most data sets that are found.
const MAX_DATASETS: i64 = 1000;

/// Longer searches are hardly made twice, and are not kept compiled.
const MAX_KEPT_SQL: usize = 8 << 10;

impl SqliteStore {
    pub(super) fn find_runs(
        &self,
        experiments: &[ExperimentId],
        search: &Search,
        view: ViewType,
    ) -> Result<Page<Run>> {
        let clauses = RUNS.parse_filter(&search.filter)?;
        let order = RUNS.parse_order(&search.order_by)?;
        let window = PageWindow::of(search, MAX_RUNS)?;
        let experiments = experiments
            .iter()
            .map(experiment_number)
            .collect::<Result<Vec<i64>>>()?;
        let mut joins = SqlFilter::default();
        let order_by = order_by(&order, &mut joins);
        let mut filter = SqlFilter::default();
        // One experiment in one stage is a stretch of the index in its own order.
        match experiments.as_slice() {
            [] => {
                return Ok(Page {
                    items: Vec::new(),
                    next_page_token: None,
                });
            }
            [one] => filter.push_with("r.experiment = ?", *one),
            several => filter.push_with(
                "r.experiment IN (SELECT value FROM json_each(?))",
                serde_json::Value::from(several).to_string(),
            ),
        }
        filter.push(lifecycle_condition("r.lifecycle", view));
        for clause in &clauses {
            filter.run_clause(clause)?;
        }
        self.read(|db| {
            let sql = format!(
                "SELECT {COLUMNS} FROM runs r {} WHERE {} ORDER BY {order_by} {}",
                joins.joined(),
                filter.conditions(),
                window.limit_sql(),
            );
            let mut statement = db.prepare_cached(&sql)?;
            let values = joins.values().chain(filter.values());
            let rows = statement.query_map(rusqlite::params_from_iter(values), from_row)?;
            let page: Page<NumberedRun> = page_of(rows, &window)?;
            if sql.len() > MAX_KEPT_SQL {
                statement.discard();
            }
            let mut reader = RunReader::new(db)?;
            Ok(Page {
                items: page
                    .items
                    .into_iter()
                    .map(|run| reader.whole(run))
                    .collect::<Result<_>>()?,
                next_page_token: page.next_page_token,
            })
        })
    }
}

impl SqliteStore {
    pub(super) fn find_datasets(
        &self,
        experiments: &[ExperimentId],
    ) -> Result<Vec<DatasetSummary>> {
        let experiments = experiments
            .iter()
            .map(experiment_number)
            .collect::<Result<Vec<i64>>>()?;
        self.read(|db| {
            let mut statement = db.prepare_cached(
                "SELECT DISTINCT d.experiment, d.name, d.digest, t.value
                 FROM datasets d JOIN run_datasets u ON u.dataset = d.id
                 LEFT JOIN run_dataset_tags t ON t.run = u.run AND t.dataset = u.dataset
                                             AND t.key = 'mlflow.data.context'
                 WHERE d.experiment IN (SELECT value FROM json_each(?1)) LIMIT ?2",
            )?;
            let experiments = serde_json::Value::from(experiments).to_string();
            let rows = statement.query_map(params![experiments, MAX_DATASETS], |row| {
                Ok(DatasetSummary {
                    experiment_id: ExperimentId::from(row.get::<_, i64>(0)?.to_string()),
                    name: row.get(1)?,
                    digest: row.get(2)?,
                    context: row.get(3)?,
                })
            })?;
            Ok(rows.collect::<rusqlite::Result<_>>()?)
        })
    }
}

/// The `ORDER BY`, and the joins it needs: real values first, then NaN, then what
/// is missing.
fn order_by(order: &[Order], joins: &mut SqlFilter) -> String {
    let mut keys = Vec::new();
    for (index, order) in order.iter().enumerate() {
        let direction = order.direction();
        let table = format!("o{index}");
        match &order.field {
            Field::Metric(key) => {
                joins.push_with(
                    format!(
                        "LEFT JOIN latest_metrics {table} ON {table}.run = r.id AND {table}.key = \
                         (SELECT id FROM metric_keys WHERE name = ?)"
                    ),
                    key.clone(),
                );
                keys.push(format!("coalesce({table}.is_nan, 2)"));
                keys.push(format!("{table}.value {direction}"));
            }
            Field::Param(key) | Field::Tag(key) => {
                let source = match order.field {
                    Field::Param(_) => "params",
                    _ => "tags",
                };
                joins.push_with(
                    format!("LEFT JOIN {source} {table} ON {table}.run = r.id AND {table}.key = ?"),
                    key.clone(),
                );
                keys.push(format!("{table}.value {direction} NULLS LAST"));
            }
            Field::Attribute(key) | Field::Dataset(key) => {
                let column = run_column(key);
                keys.push(format!("{column} {direction} NULLS LAST"));
            }
        }
    }
    let is_by_start = order
        .iter()
        .any(|order| order.field == Field::Attribute("start_time".to_owned()));
    if !is_by_start {
        keys.push("r.start_time DESC".to_owned());
    }
    keys.push("r.run_id".to_owned());
    keys.join(", ")
}

/// The column of an attribute that the grammar let through.
pub(super) fn run_column(key: &str) -> &'static str {
    match key {
        "run_id" => "r.run_id",
        "run_name" => "r.name",
        "user_id" => "r.user_id",
        "status" => "r.status",
        "start_time" => "r.start_time",
        "end_time" => "r.end_time",
        _ => "r.artifact_uri",
    }
}
