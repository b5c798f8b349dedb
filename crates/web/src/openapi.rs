//! The description of `/api/v1` for programs: OpenAPI, made from the routes' own
//! types, at `/api/v1/openapi.json`.
//!
//! `tests/openapi.rs` holds it against the routes: what is described is there, and
//! what is there is described. MLflow's API beside it is described by MLflow.

mod sounds;

use axum::routing::get;
use axum::{Json, Router};
use serde::Serialize;
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityRequirement, SecurityScheme};
use utoipa::openapi::{self, ContentBuilder, ResponseBuilder};
use utoipa::{Modify, OpenApi, ToSchema};

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
        sounds::live,
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
    components(schemas(ErrorBody)),
    modifiers(&Guarded),
)]
struct Description;

/// What stands before every route: tokens, where they are asked for, and refusals.
struct Guarded;

impl Modify for Guarded {
    fn modify(&self, document: &mut openapi::OpenApi) {
        let components = document.components.get_or_insert_default();
        let bearer = Http::new(HttpAuthScheme::Bearer);
        components.add_security_scheme("token", SecurityScheme::Http(bearer));
        // Either none, or a token: a server need not ask.
        let token: [String; 0] = [];
        document.security = Some(vec![
            SecurityRequirement::default(),
            SecurityRequirement::new("token", token),
        ]);
        for path in document.paths.paths.values_mut() {
            for operation in [&mut path.get, &mut path.post].into_iter().flatten() {
                for (status, why) in REFUSALS {
                    let body = ContentBuilder::new()
                        .schema(Some(openapi::Ref::from_schema_name("ErrorBody")))
                        .build();
                    let response = ResponseBuilder::new()
                        .description(why)
                        .content("application/json", body)
                        .build();
                    let responses = &mut operation.responses.responses;
                    responses.insert(status.to_owned(), response.into());
                }
            }
        }
    }
}

const REFUSALS: [(&str, &str); 2] = [
    ("401", "The server asks for a token"),
    (
        "403",
        "The token is a viewer's and this changes something, or the request comes from another \
         site or under a host name that this server does not have",
    ),
];

/// This description
#[utoipa::path(get, path = "/api/v1/openapi.json", tag = "about",
    responses((status = 200, description = "OpenAPI"))
)]
pub(crate) async fn document() -> Json<utoipa::openapi::OpenApi> {
    Json(Description::openapi())
}
