//! Histories of metrics over HTTP: of one run, or of many for a chart.

use crate::entities::{Metric, RunId};
use crate::error::{Result, TrackingError};
use crate::server::Service;
use crate::server::params::Params;
use crate::server::reply::Body;

/// The most points in the answer about the histories of many runs.
const MAX_POINTS: i64 = 25_000;

/// The most points of one run in a sampled history.
const MAX_SAMPLED_POINTS: i64 = 2500;

/// The most runs in one request.
const MAX_RUNS: usize = 100;

pub(super) fn get(service: &Service, params: &Params) -> Result<Body> {
    let run = params.run_id()?;
    let key = params.required("metric_key")?;
    let max_results = params.int("max_results")?;
    if let Some(wanted) = max_results.filter(|&wanted| wanted <= 0) {
        return Err(TrackingError::invalid(format!(
            "Invalid value {wanted} for parameter 'max_results' supplied. It must be a positive \
             integer."
        )));
    }
    let token = params.filled("page_token")?;
    let page = service
        .store
        .metric_history(&run, key, max_results, token.as_deref())?;
    super::page("metrics", &page.items, page.next_page_token)
}

pub(super) fn get_bulk(service: &Service, params: &Params) -> Result<Body> {
    let mut runs: Vec<RunId> = params.list("run_id")?;
    if runs.is_empty() {
        return Err(TrackingError::invalid(
            "GetMetricHistoryBulk request must specify at least one run_id.",
        ));
    }
    if runs.len() > MAX_RUNS {
        return Err(TrackingError::invalid(format!(
            "GetMetricHistoryBulk request cannot specify more than {MAX_RUNS} run_ids. Received \
             {} run_ids.",
            runs.len()
        )));
    }
    let Some(key) = params.text("metric_key")? else {
        return Err(TrackingError::invalid(
            "GetMetricHistoryBulk request must specify a metric_key.",
        ));
    };
    runs.sort();
    runs.dedup();
    let wanted = params
        .int("max_results")?
        .map_or(MAX_POINTS, |wanted| wanted.min(MAX_POINTS));
    let limit = if wanted < 0 { MAX_POINTS } else { wanted };
    let mut points = Vec::new();
    for run in runs {
        let rest = limit - points.len() as i64;
        if rest <= 0 {
            break;
        }
        let page = service.store.metric_history(&run, key, Some(rest), None)?;
        points.extend(of_run(page.items, &run));
    }
    if wanted < 0 {
        // In MLflow's Python such a number leaves out so many at the end.
        let left_out = usize::try_from(wanted.unsigned_abs()).unwrap_or(usize::MAX);
        points.truncate(points.len().saturating_sub(left_out));
    }
    // The page of MLflow's charts wants the list even when it is empty.
    crate::server::reply::body(&serde_json::json!({ "metrics": points }))
}

pub(super) fn get_bulk_interval(service: &Service, params: &Params) -> Result<Body> {
    let runs: Vec<RunId> = params.list("run_ids")?;
    if runs.is_empty() {
        return Err(crate::server::params::missing("run_ids"));
    }
    if runs.len() > MAX_RUNS {
        return Err(refused(&format!(
            "GetMetricHistoryBulkInterval request must specify at most {MAX_RUNS} run_ids. \
             Received {} run_ids.",
            runs.len()
        )));
    }
    let key = params.required("metric_key")?;
    let steps = match (params.int("start_step")?, params.int("end_step")?) {
        (None, None) => None,
        (Some(first), Some(last)) if first <= last => Some((first, last)),
        (Some(first), Some(last)) => {
            return Err(TrackingError::invalid(format!(
                "end_step must be greater than start_step. Found start_step={first} and \
                 end_step={last}."
            )));
        }
        _ => {
            return Err(TrackingError::invalid(
                "If either start step or end step are specified, both must be specified.",
            ));
        }
    };
    let max_points = params.int("max_results")?.unwrap_or(MAX_SAMPLED_POINTS);
    if !(1..=MAX_SAMPLED_POINTS).contains(&max_points) {
        return Err(refused(&format!(
            "max_results must be between 1 and {MAX_SAMPLED_POINTS}."
        )));
    }
    let mut points = Vec::new();
    for run in runs {
        let sample = service
            .store
            .sampled_metric_history(&run, key, steps, max_points as usize)?;
        points.extend(of_run(sample, &run));
    }
    super::page("metrics", &points, None)
}

fn refused(why: &str) -> TrackingError {
    TrackingError::invalid(format!(
        "{why} See the API docs for more information about request parameters."
    ))
}

fn of_run(points: Vec<Metric>, run: &RunId) -> impl Iterator<Item = Metric> {
    points.into_iter().map(|point| Metric {
        run_id: Some(run.clone()),
        ..point
    })
}
