//! Logged models in the database.

use rusqlite::{Connection, OptionalExtension, Row, params};

use super::SqliteStore;
use super::experiments::{experiment_number, find_active};
use super::run_data::pair;
use super::sql_filter::{SqlFilter, logged_model_column, page_of};
use crate::check;
use crate::entities::{
    ExperimentId, KeyValue, LoggedModel, LoggedModelData, LoggedModelId, LoggedModelInfo,
    LoggedModelStatus, Metric, Param, RunId, Tag,
};
use crate::error::{Result, TrackingError};
use crate::names::random_name;
use crate::requests::{CreateLoggedModel, LoggedModelOrder, Page, SearchLoggedModels, now};
use crate::search::{Field, LOGGED_MODELS, PageWindow, at_most_orders};

const COLUMNS: &str = "l.model_id, l.experiment, l.name, l.creation_time, l.last_update_time, \
                       l.artifact_location, l.status, l.model_type, l.source_run_id";

/// The most logged models on one page.
const MAX_MODELS: i64 = 10_000;

/// How many are on a page unless it is said.
const DEFAULT_MODELS: i64 = 100;

impl SqliteStore {
    pub(super) fn start_logged_model(&self, request: &CreateLoggedModel) -> Result<LoggedModel> {
        let name = match request.name.as_deref().filter(|name| !name.is_empty()) {
            Some(name) => {
                check::logged_model_name(name)?;
                name.to_owned()
            }
            None => random_name(),
        };
        let experiment_number = experiment_number(&request.experiment_id)?;
        let id = LoggedModelId::random();
        self.write(|db| {
            let experiment = find_active(db, experiment_number)?;
            let location = format!(
                "{}/models/{id}/artifacts",
                experiment.artifact_location.trim_end_matches('/')
            );
            db.execute(
                "INSERT INTO logged_models
                     (model_id, experiment, name, creation_time, last_update_time,
                      artifact_location, status, model_type, source_run_id, lifecycle)
                 VALUES (?1, ?2, ?3, ?4, ?4, ?5, ?6, ?7, ?8, 'active')",
                params![
                    id.as_str(),
                    experiment_number,
                    name,
                    now(),
                    location,
                    LoggedModelStatus::Pending.number(),
                    request.model_type,
                    request.source_run_id.as_ref().map(RunId::as_str),
                ],
            )?;
            put_params(db, &id, &request.params)?;
            put_tags(db, &id, &request.tags)?;
            find(db, &id)
        })
    }

    pub(super) fn logged_model(&self, id: &LoggedModelId) -> Result<LoggedModel> {
        self.read(|db| find(db, id))
    }

    pub(super) fn end_logged_model(
        &self,
        id: &LoggedModelId,
        status: LoggedModelStatus,
    ) -> Result<LoggedModel> {
        self.write(|db| {
            db.execute(
                "UPDATE logged_models SET status = ?2, last_update_time = ?3 WHERE model_id = ?1",
                params![id.as_str(), status.number(), now()],
            )?;
            find_any(db, id)
        })
    }

    pub(super) fn remove_logged_model(&self, id: &LoggedModelId) -> Result<()> {
        self.write(|db| {
            let deleted = db.execute(
                "UPDATE logged_models SET lifecycle = 'deleted', last_update_time = ?2
                 WHERE model_id = ?1",
                params![id.as_str(), now()],
            )?;
            match deleted {
                0 => Err(TrackingError::LoggedModelNotFound(id.clone())),
                _ => Ok(()),
            }
        })
    }

    pub(super) fn put_logged_model_tags(&self, id: &LoggedModelId, tags: &[Tag]) -> Result<()> {
        self.write(|db| {
            find_any(db, id)?;
            put_tags(db, id, tags)
        })
    }

    pub(super) fn remove_logged_model_tag(&self, id: &LoggedModelId, key: &str) -> Result<()> {
        self.write(|db| {
            find_any(db, id)?;
            let removed = db.execute(
                "DELETE FROM logged_model_tags WHERE model_id = ?1 AND key = ?2",
                params![id.as_str(), key],
            )?;
            match removed {
                0 => Err(TrackingError::TagNotFound(format!(
                    "No tag with key {} found for model with ID '{id}'.",
                    check::python_repr(key)
                ))),
                _ => Ok(()),
            }
        })
    }

    pub(super) fn put_logged_model_params(
        &self,
        id: &LoggedModelId,
        params: &[Param],
    ) -> Result<()> {
        self.write(|db| {
            find_any(db, id)?;
            put_params(db, id, params)
        })
    }

    pub(super) fn find_logged_models(
        &self,
        search: &SearchLoggedModels,
    ) -> Result<Page<LoggedModel>> {
        let clauses = LOGGED_MODELS.parse_filter(&search.filter)?;
        let window = PageWindow::new(
            Some(search.max_results.unwrap_or(DEFAULT_MODELS)),
            search.page_token.as_deref(),
            MAX_MODELS,
        )?;
        let experiments = search
            .experiment_ids
            .iter()
            .map(experiment_number)
            .collect::<Result<Vec<i64>>>()?;
        let datasets = dataset_conditions(search)?;
        at_most_orders(search.order_by.len())?;
        let mut joins = SqlFilter::default();
        let order_by = order_by(&search.order_by, &mut joins)?;
        let mut filter = SqlFilter::default();
        filter.push("l.lifecycle = 'active'");
        filter.push_with(
            "l.experiment IN (SELECT value FROM json_each(?))",
            serde_json::Value::from(experiments).to_string(),
        );
        for clause in &clauses {
            filter.logged_model_clause(clause, &datasets)?;
        }
        let asks_for_metric = clauses.iter().any(|c| matches!(c.field, Field::Metric(_)));
        if !search.datasets.is_empty() && !asks_for_metric {
            filter.push(format!(
                "EXISTS (SELECT 1 FROM logged_model_metrics t WHERE t.model_id = l.model_id AND \
                 ({}))",
                datasets.alternatives()
            ));
            filter.bind_all(&datasets);
        }
        self.read(|db| {
            let mut statement = db.prepare(&format!(
                "SELECT {COLUMNS} FROM logged_models l {} WHERE {} ORDER BY {order_by} {}",
                joins.joined(),
                filter.conditions(),
                window.limit_sql()
            ))?;
            let values = joins.values().chain(filter.values());
            let rows = statement.query_map(rusqlite::params_from_iter(values), from_row)?;
            let page = page_of(rows, &window)?;
            Ok(Page {
                items: page
                    .items
                    .into_iter()
                    .map(|model| complete(db, model))
                    .collect::<Result<_>>()?,
                next_page_token: page.next_page_token,
            })
        })
    }
}

/// The logged model, unless it is deleted.
fn find(db: &Connection, id: &LoggedModelId) -> Result<LoggedModel> {
    find_where(db, id, "AND lifecycle = 'active'")
}

/// The logged model, deleted or not: changes are taken by either, as MLflow's are.
fn find_any(db: &Connection, id: &LoggedModelId) -> Result<LoggedModel> {
    find_where(db, id, "")
}

fn find_where(db: &Connection, id: &LoggedModelId, condition: &str) -> Result<LoggedModel> {
    let model = db
        .prepare_cached(&format!(
            "SELECT {COLUMNS} FROM logged_models l WHERE model_id = ?1 {condition}"
        ))?
        .query_row([id.as_str()], from_row)
        .optional()?
        .ok_or_else(|| TrackingError::LoggedModelNotFound(id.clone()))?;
    complete(db, model)
}

fn from_row(row: &Row<'_>) -> rusqlite::Result<LoggedModel> {
    Ok(LoggedModel {
        info: LoggedModelInfo {
            model_id: LoggedModelId::from(row.get::<_, String>(0)?),
            experiment_id: ExperimentId::from(row.get::<_, i64>(1)?.to_string()),
            name: row.get(2)?,
            creation_timestamp_ms: row.get(3)?,
            last_updated_timestamp_ms: row.get(4)?,
            artifact_uri: row.get(5)?,
            status: LoggedModelStatus::of_number(row.get(6)?),
            model_type: row.get(7)?,
            source_run_id: row.get::<_, Option<String>>(8)?.map(RunId::from),
            tags: Vec::new(),
        },
        data: LoggedModelData::default(),
    })
}

/// Adds tags, parameters and metrics.
fn complete(db: &Connection, mut model: LoggedModel) -> Result<LoggedModel> {
    let id = model.info.model_id.clone();
    let pairs = |table: &str| -> Result<Vec<KeyValue>> {
        let mut statement = db.prepare_cached(&format!(
            "SELECT key, value FROM logged_model_{table} WHERE model_id = ?1 ORDER BY key"
        ))?;
        let rows = statement.query_map([id.as_str()], pair)?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    };
    model.info.tags = pairs("tags")?;
    model.data.params = pairs("params")?;
    let mut statement = db.prepare_cached(
        "SELECT key, value, timestamp, step, is_nan, run_id, dataset_name, dataset_digest
         FROM logged_model_metrics WHERE model_id = ?1 ORDER BY key, timestamp, step",
    )?;
    let rows = statement.query_map([id.as_str()], |row| {
        let text = |column: usize| -> rusqlite::Result<Option<String>> {
            Ok(Some(row.get::<_, String>(column)?).filter(|text| !text.is_empty()))
        };
        Ok(Metric {
            model_id: Some(id.clone()),
            run_id: text(5)?.map(RunId::from),
            dataset_name: text(6)?,
            dataset_digest: text(7)?,
            ..super::run_data::metric(row)?
        })
    })?;
    model.data.metrics = rows.collect::<rusqlite::Result<_>>()?;
    Ok(model)
}

/// Writes parameters, which must be new even where the value is the same, as MLflow has it.
fn put_params(db: &Connection, id: &LoggedModelId, params: &[Param]) -> Result<()> {
    let mut insert = db.prepare_cached(
        "INSERT INTO logged_model_params (model_id, key, value) VALUES (?1, ?2, ?3)
         ON CONFLICT DO NOTHING",
    )?;
    for param in params {
        if insert.execute(params![id.as_str(), param.key, param.value])? == 0 {
            return Err(TrackingError::BadRequest(format!(
                "Param with key={} was already logged for model with ID '{id}', and cannot be \
                 logged again.",
                check::python_repr(&param.key)
            )));
        }
    }
    Ok(())
}

fn put_tags(db: &Connection, id: &LoggedModelId, tags: &[Tag]) -> Result<()> {
    let mut put = db.prepare_cached(
        "INSERT INTO logged_model_tags (model_id, key, value) VALUES (?1, ?2, ?3)
         ON CONFLICT DO UPDATE SET value = excluded.value",
    )?;
    for tag in tags {
        put.execute(params![id.as_str(), tag.key, tag.value])?;
    }
    Ok(())
}

/// Conditions of which one must hold for a point of a metric, the table being `t`.
fn dataset_conditions(search: &SearchLoggedModels) -> Result<SqlFilter> {
    let mut conditions = SqlFilter::default();
    for dataset in &search.datasets {
        if dataset.dataset_name.is_empty() {
            return Err(TrackingError::invalid(
                "`dataset_name` in the `datasets` clause must be specified.",
            ));
        }
        match &dataset.dataset_digest {
            None => conditions.push_with("t.dataset_name = ?", dataset.dataset_name.clone()),
            Some(digest) => conditions.push_with(
                "(t.dataset_name || char(0) || t.dataset_digest) = ?",
                format!("{}\0{digest}", dataset.dataset_name),
            ),
        }
    }
    Ok(conditions)
}

/// The `ORDER BY`, and the joins that sorting by metrics needs.
fn order_by(order: &[LoggedModelOrder], joins: &mut SqlFilter) -> Result<String> {
    let mut keys = Vec::new();
    let mut columns = Vec::new();
    for (index, order) in order.iter().enumerate() {
        let direction = if order.ascending { "ASC" } else { "DESC" };
        let Some((entity, metric)) = order.field_name.split_once('.') else {
            let key = LOGGED_MODELS
                .attribute_key(&order.field_name)
                .map_err(|_| {
                    TrackingError::invalid(format!(
                        "Invalid order by field name: {}",
                        order.field_name
                    ))
                })?;
            let column = logged_model_column(&key);
            columns.push(column);
            keys.push(format!("{column} {direction} NULLS LAST"));
            continue;
        };
        if entity != "metrics" {
            return Err(TrackingError::invalid(format!(
                "Invalid order by field name: {}. Only metrics are supported.",
                order.field_name
            )));
        }
        let mut conditions = vec!["key = ?"];
        let mut values = vec![metric.trim_matches('`').to_owned()];
        for (condition, value) in [
            ("dataset_name = ?", &order.dataset_name),
            ("dataset_digest = ?", &order.dataset_digest),
        ] {
            if let Some(value) = value {
                conditions.push(condition);
                values.push(value.clone());
            }
        }
        // The latest point of each model.
        joins.push_with_all(
            format!(
                "LEFT JOIN (SELECT model_id, value, row_number() OVER (PARTITION BY model_id \
                 ORDER BY timestamp DESC, step DESC, run_id) AS place FROM logged_model_metrics \
                 WHERE {}) o{index} ON o{index}.model_id = l.model_id AND o{index}.place = 1",
                conditions.join(" AND ")
            ),
            values,
        );
        keys.push(format!("o{index}.value {direction} NULLS LAST"));
    }
    if !columns.contains(&"l.creation_time") {
        keys.push("l.creation_time DESC".to_owned());
    }
    keys.push("l.model_id ASC".to_owned());
    Ok(keys.join(", "))
}
