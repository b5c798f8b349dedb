//! The routes of pipelines.

use askama::Template;
use axum::Router;
use axum::extract::{Path, State};
use axum::response::Response;
use axum::routing::get;

use super::PipelinesPage;
use super::detail::PipelinePage;
use super::lineage::LineagePage;
use crate::error::ApiError;
use crate::openapi::ErrorBody;
use crate::pages::query::Query;
use crate::pages::{Frame, answer};
use crate::state::WebState;

pub(crate) fn router() -> Router<WebState> {
    Router::new()
        .route("/pipelines", get(pipelines_page))
        .route("/pipelines/{run}", get(pipeline_page))
        .route("/pipelines/lineage/{content}", get(lineage_page))
        .route("/api/v1/pipelines", get(pipelines))
        .route("/api/v1/pipelines/{run}", get(pipeline))
        .route("/api/v1/pipelines/lineage/{content}", get(lineage))
}

#[derive(Template)]
#[template(path = "pipelines.html")]
struct PipelinesTemplate {
    frame: Frame,
    page: PipelinesPage,
}

#[derive(Template)]
#[template(path = "pipeline.html")]
struct PipelineTemplate {
    frame: Frame,
    page: PipelinePage,
}

#[derive(Template)]
#[template(path = "lineage.html")]
struct LineageTemplate {
    frame: Frame,
    page: LineagePage,
}

async fn pipelines_page(State(state): State<WebState>, query: Query) -> Response {
    answer::page(
        &state,
        move |state| load_all(state, &query),
        |page| PipelinesTemplate {
            frame: Frame::new("Pipelines", "pipelines"),
            page,
        },
    )
    .await
}

/// Runs of pipelines, the newest first
#[utoipa::path(get, path = "/api/v1/pipelines", tag = "pipelines",
    params(("page" = Option<usize>, Query, description = "Counted from 1")),
    responses((status = 200, body = PipelinesPage))
)]
pub(crate) async fn pipelines(State(state): State<WebState>, query: Query) -> Response {
    answer::json(&state, move |state| load_all(state, &query)).await
}

fn load_all(state: &WebState, query: &Query) -> Result<PipelinesPage, ApiError> {
    let page = query
        .one("page")
        .and_then(|page| page.parse().ok())
        .unwrap_or(1);
    PipelinesPage::load(state.pipelines(), page)
}

async fn pipeline_page(
    State(state): State<WebState>,
    Path(run): Path<String>,
    query: Query,
) -> Response {
    answer::page(
        &state,
        move |state| load(state, &run, &query),
        |page| PipelineTemplate {
            frame: Frame::new(format!("Pipeline run {}", page.head.run), "pipelines"),
            page,
        },
    )
    .await
}

/// One run of a pipeline: steps, reasons, log
#[utoipa::path(get, path = "/api/v1/pipelines/{run}", tag = "pipelines",
    params(
        ("run" = String, Path),
        ("step" = Option<String>, Query, description = "The log of this step alone"),
    ),
    responses((status = 200, body = PipelinePage), (status = 404, body = ErrorBody))
)]
pub(crate) async fn pipeline(
    State(state): State<WebState>,
    Path(run): Path<String>,
    query: Query,
) -> Response {
    answer::json(&state, move |state| load(state, &run, &query)).await
}

fn load(state: &WebState, run: &str, query: &Query) -> Result<PipelinePage, ApiError> {
    PipelinePage::load(state.pipelines(), &**state.tracking(), run, query)
}

async fn lineage_page(State(state): State<WebState>, Path(content): Path<String>) -> Response {
    let load = move |state: &WebState| LineagePage::load(state.pipelines(), &content);
    answer::page(&state, load, |page| LineageTemplate {
        frame: Frame::new("Lineage", "pipelines"),
        page,
    })
    .await
}

/// Where an artifact or a file comes from, and what came of it
#[utoipa::path(get, path = "/api/v1/pipelines/lineage/{content}", tag = "pipelines",
    params(("content" = String, Path, description = "BLAKE3 in hexadecimal, or its first digits")),
    responses((status = 200, body = LineagePage), (status = 404, body = ErrorBody))
)]
pub(crate) async fn lineage(
    State(state): State<WebState>,
    Path(content): Path<String>,
) -> Response {
    answer::json(&state, move |state| {
        LineagePage::load(state.pipelines(), &content)
    })
    .await
}
