//! The description of `/api/v1` for programs: OpenAPI, made from the routes' own
//! types, at `/api/v1/openapi.json`.
//!
//! `tests/openapi.rs` holds it against the routes: what is described is there, and
//! what is there is described. MLflow's API beside it is described by MLflow.

mod sounds;

use axum::routing::get;
use axum::{Json, Router};
use serde::Serialize;
use utoipa::{OpenApi, ToSchema};

use crate::pages::{data, models, pipelines, runs};
use crate::state::WebState;

pub(crate) fn router() -> Router<WebState> {
    Router::new().route("/api/v1/openapi.json", get(document))
}

/// Every answer that is not what was asked for.
#[derive(Serialize, ToSchema)]
pub(crate) struct ErrorBody {
    error: ErrorDetail,
}

/// What went wrong.
#[derive(Serialize, ToSchema)]
pub(crate) struct ErrorDetail {
    /// By which programs tell errors apart.
    #[schema(example = "not_found")]
    code: String,
    /// For people: what went wrong and what to do.
    message: String,
}

#[derive(OpenApi)]
#[openapi(
    info(
        title = "biophony",
        description = "Classify sounds, and look at the runs, models, pipelines and recordings \
                       that lead to an answer. Errors are `{\"error\": {\"code\", \"message\"}}`. \
                       Where the server asks for tokens, send `Authorization: Bearer TOKEN`.",
    ),
    paths(
        document,
        sounds::classify,
        sounds::model,
        sounds::examples,
        sounds::example,
        sounds::feedback,
        sounds::demo_state,
        sounds::demo,
        runs::routes::runs,
        runs::routes::compare_runs,
        runs::routes::run,
        runs::routes::curves,
        runs::routes::artifacts_of_run,
        models::routes::models,
        models::routes::version,
        models::routes::bundle_of_version,
        models::routes::promote,
        models::routes::roll_back,
        pipelines::routes::pipelines,
        pipelines::routes::pipeline,
        pipelines::routes::lineage,
        data::routes::data,
        data::routes::clips,
        data::routes::audio,
        data::routes::picture,
    ),
    components(schemas(ErrorBody))
)]
struct Description;

/// This description
#[utoipa::path(get, path = "/api/v1/openapi.json", tag = "about",
    responses((status = 200, description = "OpenAPI"))
)]
pub(crate) async fn document() -> Json<utoipa::openapi::OpenApi> {
    Json(Description::openapi())
}
