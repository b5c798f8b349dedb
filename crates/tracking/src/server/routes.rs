//! The table of routes, and how a request reaches its function.
//!
//! A route's function takes parameters and gives the body of an answer; it knows
//! nothing of HTTP. Each route is under `/api` and `/ajax-api`.

mod experiments;
mod history;
mod logged_models;
mod model_versions;
mod registered_models;
mod runs;
mod server_info;

use axum::Router;
use axum::extract::State;
use axum::http::Method;
use axum::response::Response;
use axum::routing::{MethodFilter, MethodRouter, get, on};

use super::params::Params;
use super::received::Received;
use super::reply::{self, Body};
use super::{MLFLOW_VERSION, Service};
use crate::error::{Result, TrackingError};

/// What answers a request.
type Answer = fn(&Service, &Params) -> Result<Body>;

const GET: Method = Method::GET;
const POST: Method = Method::POST;
const PATCH: Method = Method::PATCH;
const DELETE: Method = Method::DELETE;

/// Every route below `/api/2.0/mlflow/`.
#[rustfmt::skip]
const ROUTES: &[(Method, &str, Answer)] = &[
    (POST, "experiments/create", experiments::create),
    (GET, "experiments/get", experiments::get),
    (GET, "experiments/get-by-name", experiments::get_by_name),
    (GET, "experiments/search", experiments::search),
    (POST, "experiments/search", experiments::search),
    (POST, "experiments/search-datasets", experiments::search_datasets),
    (POST, "experiments/update", experiments::update),
    (POST, "experiments/delete", experiments::delete),
    (POST, "experiments/restore", experiments::restore),
    (POST, "experiments/set-experiment-tag", experiments::set_tag),
    (POST, "experiments/delete-experiment-tag", experiments::delete_tag),

    (POST, "runs/create", runs::create),
    (GET, "runs/get", runs::get),
    (POST, "runs/update", runs::update),
    (POST, "runs/delete", runs::delete),
    (POST, "runs/restore", runs::restore),
    (POST, "runs/search", runs::search),
    (POST, "runs/log-metric", runs::log_metric),
    (POST, "runs/log-parameter", runs::log_param),
    (POST, "runs/log-batch", runs::log_batch),
    (POST, "runs/set-tag", runs::set_tag),
    (POST, "runs/delete-tag", runs::delete_tag),
    (POST, "runs/log-inputs", runs::log_inputs),
    (POST, "runs/outputs", runs::log_outputs),
    (POST, "runs/log-model", runs::log_model),

    (GET, "metrics/get-history", history::get),
    (GET, "metrics/get-history-bulk", history::get_bulk),
    (GET, "metrics/get-history-bulk-interval", history::get_bulk_interval),

    (POST, "logged-models", logged_models::create),
    (POST, "logged-models/search", logged_models::search),
    (GET, "logged-models/{model_id}", logged_models::get),
    (PATCH, "logged-models/{model_id}", logged_models::finalize),
    (DELETE, "logged-models/{model_id}", logged_models::delete),
    (POST, "logged-models/{model_id}/params", logged_models::log_params),
    (PATCH, "logged-models/{model_id}/tags", logged_models::set_tags),
    (DELETE, "logged-models/{model_id}/tags/{tag_key}", logged_models::delete_tag),
    (GET, "logged-models/{model_id}/artifacts/directories", logged_models::list_artifacts),

    (POST, "registered-models/create", registered_models::create),
    (GET, "registered-models/get", registered_models::get),
    (PATCH, "registered-models/update", registered_models::update),
    (POST, "registered-models/rename", registered_models::rename),
    (DELETE, "registered-models/delete", registered_models::delete),
    (GET, "registered-models/search", registered_models::search),
    (GET, "registered-models/get-latest-versions", registered_models::get_latest_versions),
    (POST, "registered-models/get-latest-versions", registered_models::get_latest_versions),
    (POST, "registered-models/set-tag", registered_models::set_tag),
    (DELETE, "registered-models/delete-tag", registered_models::delete_tag),
    (GET, "registered-models/alias", registered_models::get_by_alias),
    (POST, "registered-models/alias", registered_models::set_alias),
    (DELETE, "registered-models/alias", registered_models::delete_alias),

    (POST, "model-versions/create", model_versions::create),
    (GET, "model-versions/get", model_versions::get),
    (PATCH, "model-versions/update", model_versions::update),
    (DELETE, "model-versions/delete", model_versions::delete),
    (GET, "model-versions/search", model_versions::search),
    (GET, "model-versions/get-download-uri", model_versions::download_uri),
    (POST, "model-versions/transition-stage", model_versions::transition_stage),
    (POST, "model-versions/set-tag", model_versions::set_tag),
    (DELETE, "model-versions/delete-tag", model_versions::delete_tag),

    (GET, "artifacts/list", runs::list_artifacts),
];

/// The routes of the table, and those about the server itself.
pub(super) fn router() -> Router<Service> {
    let mut router = Router::new()
        .route("/health", get(async || "OK"))
        .route("/version", get(async || MLFLOW_VERSION));
    for prefix in ["/api", "/ajax-api"] {
        for (method, path, answer) in ROUTES {
            let path = format!("{prefix}/2.0/mlflow/{path}");
            router = router.route(&path, answering(method, *answer));
        }
        let path = format!("{prefix}/3.0/mlflow/server-info");
        router = router.route(&path, answering(&GET, server_info::get));
    }
    router
}

fn answering(method: &Method, answer: Answer) -> MethodRouter<Service> {
    let filter = match *method {
        Method::GET => MethodFilter::GET,
        Method::POST => MethodFilter::POST,
        Method::PATCH => MethodFilter::PATCH,
        _ => MethodFilter::DELETE,
    };
    on(
        filter,
        async move |State(service): State<Service>, Received(params): Received| -> Response {
            let answered = async {
                let params = params?;
                blocking(move || answer(&service, &params)).await
            };
            reply::respond(answered.await)
        },
    )
}

/// Runs what waits for disks or locks where it holds nobody up.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    tokio::task::spawn_blocking(work)
        .await
        .unwrap_or(Err(TrackingError::Panicked))
}

/// An answer with a list and, if there is more, the token for the next page. An empty
/// list is left out, as protobuf does.
fn page<T: serde::Serialize>(name: &str, items: &[T], next: Option<String>) -> Result<Body> {
    use serde::ser::SerializeMap;

    struct Page<'a, T>(&'a str, &'a [T], Option<String>);
    impl<T: serde::Serialize> serde::Serialize for Page<'_, T> {
        fn serialize<S: serde::Serializer>(
            &self,
            serializer: S,
        ) -> std::result::Result<S::Ok, S::Error> {
            let mut map = serializer.serialize_map(None)?;
            if !self.1.is_empty() {
                map.serialize_entry(self.0, self.1)?;
            }
            if let Some(token) = &self.2 {
                map.serialize_entry("next_page_token", token)?;
            }
            map.end()
        }
    }
    reply::body(&Page(name, items, next))
}
