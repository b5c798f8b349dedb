//! The routes of runs.

use askama::Template;
use axum::Router;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::get;

use super::artifacts::{self, Folder};
use super::compare::ComparePage;
use super::curves::Curves;
use super::detail::RunPage;
use super::table::RunsPage;
use super::{Experiments, RunHead, find};
use crate::error::ApiError;
use crate::openapi::ErrorBody;
use crate::pages::chart::Drawing;
use crate::pages::query::Query;
use crate::pages::{Frame, answer, error_page, error_page_with};
use crate::state::WebState;

pub(crate) fn router() -> Router<WebState> {
    Router::new()
        .route("/runs", get(table_page))
        .route("/runs/compare", get(compare_page))
        .route("/runs/{run_id}", get(run_page))
        .route("/runs/{run_id}/artifacts", get(artifacts_page))
        .route("/runs/{run_id}/files/{*path}", get(file))
        .route("/api/v1/runs", get(runs))
        .route("/api/v1/runs/compare", get(compare_runs))
        .route("/api/v1/runs/{run_id}", get(run))
        .route("/api/v1/runs/{run_id}/curves", get(curves))
        .route("/api/v1/runs/{run_id}/artifacts", get(artifacts_of_run))
}

#[derive(Template)]
#[template(path = "runs.html")]
struct TableTemplate {
    frame: Frame,
    page: RunsPage,
}

#[derive(Template)]
#[template(path = "run.html")]
struct RunTemplate {
    frame: Frame,
    page: RunPage,
    drawings: Vec<Drawing>,
    system: Vec<Drawing>,
}

#[derive(Template)]
#[template(path = "artifacts.html")]
struct ArtifactsTemplate {
    frame: Frame,
    head: RunHead,
    folder: Folder,
}

#[derive(Template)]
#[template(path = "compare.html")]
struct CompareTemplate {
    frame: Frame,
    page: ComparePage,
    /// Curves with their headings: of the runs, and of the networks of an ensemble.
    groups: [(&'static str, Vec<Drawing>); 2],
}

async fn table_page(State(state): State<WebState>, query: Query) -> Response {
    let found = state
        .blocking(move |state| RunsPage::load(&**state.tracking(), query))
        .await;
    match found {
        Ok(page) => {
            let is_refused = page.problem.is_some();
            let frame = Frame::new("Runs", "runs");
            let mut response = crate::pages::render(&TableTemplate { frame, page });
            if is_refused {
                *response.status_mut() = StatusCode::BAD_REQUEST;
            }
            response
        }
        Err(error) => error_page(&error),
    }
}

/// Runs that match a search
#[utoipa::path(get, path = "/api/v1/runs", tag = "runs",
    params(
        ("experiment" = Option<Vec<String>>, Query, description = "Identifiers of the experiments to search; all of them if there is none"),
        ("filter" = Option<String>, Query, description = "In MLflow's filter language, such as `metrics.test_accuracy > 0.9`"),
        ("order_by" = Option<Vec<String>>, Query, description = "Such as `metrics.val_loss ASC`"),
        ("view" = Option<String>, Query, description = "`active`, `deleted` or `all`"),
        ("page_token" = Option<String>, Query, description = "From `next_page_token` of the page before"),
    ),
    responses((status = 200, body = RunsPage), (status = 400, body = ErrorBody, description = "The filter, order or page makes no sense; `message` says why"))
)]
pub(crate) async fn runs(State(state): State<WebState>, query: Query) -> Response {
    answer::json(&state, move |state| {
        let page = RunsPage::load(&**state.tracking(), query)?;
        match page.problem {
            Some(problem) => Err(ApiError::BadRequest(problem.message)),
            None => Ok(page),
        }
    })
    .await
}

async fn run_page(State(state): State<WebState>, Path(run_id): Path<String>) -> Response {
    let load = move |state: &WebState| {
        let store = &**state.tracking();
        let page = RunPage::load(store, state.artifacts(), state.pipelines(), &run_id)?;
        let curves = Curves::load(store, &find(store, &run_id)?)?;
        Ok((page, curves))
    };
    answer::page(&state, load, |(page, curves)| RunTemplate {
        frame: Frame::new(format!("Run {}", page.head.name), "runs"),
        drawings: curves.charts.iter().map(|chart| chart.drawing()).collect(),
        system: curves.system.iter().map(|chart| chart.drawing()).collect(),
        page,
    })
    .await
}

/// One run
#[utoipa::path(get, path = "/api/v1/runs/{run_id}", tag = "runs",
    params(("run_id" = String, Path)),
    responses((status = 200, body = RunPage), (status = 404, body = ErrorBody))
)]
pub(crate) async fn run(State(state): State<WebState>, Path(run_id): Path<String>) -> Response {
    answer::json(&state, move |state| {
        let store = &**state.tracking();
        RunPage::load(store, state.artifacts(), state.pipelines(), &run_id)
    })
    .await
}

/// A run's learning curves; ask again while `is_live`
#[utoipa::path(get, path = "/api/v1/runs/{run_id}/curves", tag = "runs",
    params(("run_id" = String, Path)),
    responses((status = 200, body = Curves), (status = 404, body = ErrorBody))
)]
pub(crate) async fn curves(State(state): State<WebState>, Path(run_id): Path<String>) -> Response {
    answer::json(&state, move |state| {
        let store = &**state.tracking();
        Curves::load(store, &find(store, &run_id)?)
    })
    .await
}

async fn artifacts_page(
    State(state): State<WebState>,
    Path(run_id): Path<String>,
    query: Query,
) -> Response {
    let load = move |state: &WebState| {
        let store = &**state.tracking();
        let run = find(store, &run_id)?;
        let head = RunHead::new(&run, &Experiments::load(store)?);
        let path = query.one("path").unwrap_or_default();
        Ok((head, Folder::load(state.artifacts(), &run, path)?))
    };
    answer::page(&state, load, |(head, folder)| ArtifactsTemplate {
        frame: Frame::new(format!("Artifacts of {}", head.name), "runs"),
        head,
        folder,
    })
    .await
}

/// A folder among a run's artifacts
#[utoipa::path(get, path = "/api/v1/runs/{run_id}/artifacts", tag = "runs",
    params(
        ("run_id" = String, Path),
        ("path" = Option<String>, Query, description = "The folder; the outermost if there is none"),
    ),
    responses((status = 200, body = Folder), (status = 400, body = ErrorBody, description = "The path leads out of the run's artifacts"), (status = 404, body = ErrorBody))
)]
pub(crate) async fn artifacts_of_run(
    State(state): State<WebState>,
    Path(run_id): Path<String>,
    query: Query,
) -> Response {
    answer::json(&state, move |state| {
        let run = find(&**state.tracking(), &run_id)?;
        Folder::load(
            state.artifacts(),
            &run,
            query.one("path").unwrap_or_default(),
        )
    })
    .await
}

async fn file(
    State(state): State<WebState>,
    Path((run_id, path)): Path<(String, String)>,
    query: Query,
) -> Response {
    let is_download = query.one("download").is_some();
    let load = move |state: &WebState| {
        let run = find(&**state.tracking(), &run_id)?;
        let (file, size) = artifacts::open(state.artifacts(), &run, &path)?;
        Ok((path, file, size))
    };
    match state.blocking(load).await {
        Ok((path, file, size)) => artifacts::answer(&path, file, size, is_download),
        Err(error) => error_page(&error),
    }
}

async fn compare_page(State(state): State<WebState>, query: Query) -> Response {
    let found = state.blocking(move |state| compared(state, &query)).await;
    let page = match found {
        Ok(page) => page,
        // Whoever chose too few chooses anew.
        Err(error) => return error_page_with(&error, ("/runs", "Back to the runs")),
    };
    let (of_members, of_runs): (Vec<_>, Vec<_>) = page
        .charts
        .iter()
        .map(|chart| colored_by_run(chart.drawing(), &page))
        .partition(|drawing| drawing.title.starts_with("member_"));
    crate::pages::render(&CompareTemplate {
        frame: Frame::new("Compare runs", "runs"),
        groups: [
            ("Curves", of_runs),
            ("Curves of single networks", of_members),
        ],
        page,
    })
}

/// A run has the same color in every chart, also where others have no line.
fn colored_by_run(mut drawing: Drawing, page: &ComparePage) -> Drawing {
    for line in &mut drawing.lines {
        let place = page.runs.iter().position(|run| run.name == line.name);
        line.color = place.map_or(line.color, |place| place + 1);
    }
    drawing
}

/// Runs beside each other
#[utoipa::path(get, path = "/api/v1/runs/compare", tag = "runs",
    params(("run" = Vec<String>, Query, description = "The identifier of each run: two to six")),
    responses((status = 200, body = ComparePage), (status = 400, body = ErrorBody), (status = 404, body = ErrorBody))
)]
pub(crate) async fn compare_runs(State(state): State<WebState>, query: Query) -> Response {
    answer::json(&state, move |state| compared(state, &query)).await
}

fn compared(state: &WebState, query: &Query) -> Result<ComparePage, ApiError> {
    let runs: Vec<&str> = query.all("run").collect();
    ComparePage::load(&**state.tracking(), state.artifacts(), &runs)
}
