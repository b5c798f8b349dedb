//! Histories of metrics over HTTP: of one run, or of many for a chart.

use crate::entities::{Metric, RunId};
use crate::error::{Result, TrackingError};
use crate::server::Service;
use crate::server::params::Params;
use crate::server::reply::Body;

/// The most points of one run in a request for many runs.
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
    let runs: Vec<RunId> = params.list("run_id")?;
    if runs.is_empty() {
        return Err(TrackingError::invalid(
            "GetMetricHistoryBulk request must specify at least one run_id.",
        ));
    }
    check_number(&runs, "run_id")?;
    let Some(key) = params.filled("metric_key")? else {
        return Err(TrackingError::invalid(
            "GetMetricHistoryBulk request must specify a metric_key.",
        ));
    };
    let limit = params
        .int("max_results")?
        .unwrap_or(MAX_POINTS)
        .clamp(1, MAX_POINTS);
    let mut points = Vec::new();
    for run in runs {
        let page = service
            .store
            .metric_history(&run, &key, Some(limit), None)?;
        points.extend(of_run(page.items, &run));
    }
    // The page of MLflow's charts wants the list even when it is empty.
    crate::server::reply::body(&serde_json::json!({ "metrics": points }))
}

pub(super) fn get_bulk_interval(service: &Service, params: &Params) -> Result<Body> {
    let runs: Vec<RunId> = params.list("run_ids")?;
    if runs.is_empty() {
        return Err(crate::server::params::missing("run_ids"));
    }
    check_number(&runs, "run_ids")?;
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
    let wanted = params.int("max_results")?.unwrap_or(MAX_SAMPLED_POINTS);
    let max_points = wanted.clamp(1, MAX_SAMPLED_POINTS) as usize;
    let mut points = Vec::new();
    for run in runs {
        let sample = service
            .store
            .sampled_metric_history(&run, key, steps, max_points)?;
        points.extend(of_run(sample, &run));
    }
    super::page("metrics", &points, None)
}

fn check_number(runs: &[RunId], name: &str) -> Result<()> {
    if runs.len() <= MAX_RUNS {
        return Ok(());
    }
    Err(TrackingError::invalid(format!(
        "at most {MAX_RUNS} values of {name} are allowed in one request, got {}",
        runs.len()
    )))
}

fn of_run(points: Vec<Metric>, run: &RunId) -> impl Iterator<Item = Metric> {
    points.into_iter().map(|point| Metric {
        run_id: Some(run.clone()),
        ..point
    })
}
