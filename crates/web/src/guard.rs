//! What stands before every route: who may ask, decided by tracking's
//! [`Access`](biophony_tracking::server::Access), and the headers of every answer.
//!
//! The same refusal is said in the words of whoever asked: a page leads to the login,
//! `/api/v1` answers with its JSON, and MLflow's API as MLflow's server would.

use std::sync::Arc;
use std::time::Instant;

use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, Uri, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Redirect, Response};
use biophony_tracking::server::{self as tracking, Refusal};

use crate::error::ApiError;
use crate::pages::{self, Visit};
use crate::state::WebState;

/// What pages may load: their own scripts and styles, and what the browser made
/// itself. Nothing inline, no other host.
const PAGE_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; \
    img-src 'self' data: blob:; media-src 'self' blob:; connect-src 'self'; font-src 'self'; \
    worker-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'";

/// Everything else is data: should a browser show it as a page, it may do nothing.
const DATA_POLICY: &str = "default-src 'none'; sandbox; frame-ancestors 'none'";

/// Turns away who may not ask, and adds the headers that every answer carries.
pub(crate) async fn guard(State(state): State<WebState>, request: Request, next: Next) -> Response {
    let speech = Speech::of(request.uri());
    let refusal = match is_public(request.uri()) {
        true => None,
        false => {
            let only_asks = only_asks(request.method(), request.uri());
            let access = state.access();
            access
                .admit(request.method(), request.headers(), only_asks)
                .err()
                // Whoever is to log in cannot have done so.
                .filter(|refusal| *refusal != Refusal::Unauthenticated || !is_login(request.uri()))
                .filter(|refusal| *refusal != Refusal::NeedsEditor || !is_login(request.uri()))
        }
    };
    let target = request.uri().clone();
    let method = request.method().clone();
    let route = request.extensions().get::<MatchedPath>().cloned();
    let visit = visit(&state, request.headers());
    let started = Instant::now();
    let answering = async {
        match refusal {
            Some(refusal) => speech.refuse(refusal, &target),
            None => next.run(request).await,
        }
    };
    let response = pages::VISIT.scope(visit, answering).await;
    // What is no route has any name that a client likes.
    let route = route.as_ref().map_or("none", MatchedPath::as_str);
    let status = response.status().as_u16();
    let stats = state.stats();
    stats.answered(route, method.as_str(), status, started.elapsed());
    with_headers(response)
}

/// What pages are told of whoever asks.
fn visit(state: &WebState, headers: &HeaderMap) -> Visit {
    Visit {
        role: state.access().admit(&Method::GET, headers, true).ok(),
        is_logged_in: state.access().asks_for_tokens(),
        program: Arc::clone(state.program()),
    }
}

/// In whose words an answer is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Speech {
    Page,
    Api,
    Mlflow,
}

impl Speech {
    pub(crate) fn of(uri: &Uri) -> Self {
        let path = uri.path();
        let is_below = |prefix: &str| path.starts_with(prefix);
        match path {
            _ if is_below("/api/v1/") || path == "/api/v1" => Self::Api,
            "/metrics" | "/ready" => Self::Api,
            "/get-artifact" | "/model-versions/get-artifact" | "/graphql" => Self::Mlflow,
            _ if is_below("/api/") || is_below("/ajax-api/") => Self::Mlflow,
            _ => Self::Page,
        }
    }

    fn refuse(self, refusal: Refusal, target: &Uri) -> Response {
        match (self, refusal) {
            (Self::Mlflow, _) => tracking::refuse(refusal),
            (Self::Page, Refusal::Unauthenticated) => {
                let back = target.path_and_query().map_or("/", |back| back.as_str());
                let back =
                    percent_encoding::utf8_percent_encode(back, percent_encoding::NON_ALPHANUMERIC);
                Redirect::to(&format!("/login?next={back}")).into_response()
            }
            (Self::Page, _) => pages::error_page(&api_error(refusal)),
            (Self::Api, _) => api_error(refusal).into_response(),
        }
    }
}

fn api_error(refusal: Refusal) -> ApiError {
    match refusal {
        Refusal::Unauthenticated => ApiError::Unauthenticated,
        Refusal::ForeignHost => ApiError::Forbidden(
            "this server does not answer to that host name; start it with `--allow-host NAME`"
                .to_owned(),
        ),
        Refusal::ForeignOrigin => {
            ApiError::Forbidden("pages of other sites may not do this".to_owned())
        }
        Refusal::NeedsEditor => ApiError::Forbidden(
            "your token is a viewer's, and this changes something; log in with an editor's \
                 at /login"
                .to_owned(),
        ),
    }
}

/// What everybody may ask, from wherever: it tells nothing.
fn is_public(uri: &Uri) -> bool {
    tracking::is_public(uri) || uri.path() == "/ready" || uri.path().starts_with("/assets/")
}

fn is_login(uri: &Uri) -> bool {
    matches!(uri.path(), "/login" | "/logout")
}

/// Whether a request changes nothing although its method could.
fn only_asks(method: &Method, uri: &Uri) -> bool {
    tracking::is_search(method, uri)
        || (*method == Method::POST && uri.path() == "/api/v1/classify")
}

fn with_headers(mut response: Response) -> Response {
    let headers = response.headers_mut();
    let is_page = headers
        .get(header::CONTENT_TYPE)
        .is_some_and(|kind| kind.as_bytes().starts_with(b"text/html"));
    let policy = if is_page { PAGE_POLICY } else { DATA_POLICY };
    for (name, value) in [
        ("x-content-type-options", "nosniff"),
        ("x-frame-options", "DENY"),
        ("referrer-policy", "same-origin"),
        ("cross-origin-opener-policy", "same-origin"),
        ("cross-origin-resource-policy", "same-origin"),
        (
            "permissions-policy",
            "microphone=(self), camera=(), geolocation=()",
        ),
        ("cache-control", "no-store"),
        ("content-security-policy", policy),
    ] {
        headers
            .entry(HeaderName::from_static(name))
            .or_insert(HeaderValue::from_static(value));
    }
    response
}
