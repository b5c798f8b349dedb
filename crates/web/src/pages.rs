//! Pages for people: server-rendered, each a template of `templates/`.
//!
//! A page's file offers its route and that of its JSON twin. What all pages share is
//! [`Frame`] and `templates/base.html`.

pub(crate) mod answer;
mod chart;
mod confusion;
pub(crate) mod data;
mod figures;
mod home;
mod login;
pub(crate) mod models;
pub(crate) mod pipelines;
mod query;
pub(crate) mod runs;
mod stream;

use askama::Template;
use axum::Router;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use biophony_tracking::server::Role;

use crate::error::ApiError;
use crate::state::WebState;

/// The routes of all pages.
pub(crate) fn router() -> Router<WebState> {
    Router::new()
        .merge(home::router())
        .merge(login::router())
        .merge(runs::routes::router())
        .merge(models::routes::router())
        .merge(pipelines::routes::router())
        .merge(data::routes::router())
}

tokio::task_local! {
    /// What the token of whoever is being answered allows: the guard knows, and every
    /// page's head shows it. Nothing where no tokens are asked for.
    pub(crate) static KNOWN_AS: Option<Role>;
}

/// What `base.html` needs to know: every page's template has a field `frame`.
#[derive(Debug, Clone)]
pub(crate) struct Frame {
    /// Stands in the browser's tab.
    pub(crate) title: String,
    /// The entry of the navigation that is lit: `classify`, `runs`, `models`,
    /// `pipelines`, `data`, or nothing.
    pub(crate) place: &'static str,
    /// As whom one is logged in, where the server asks.
    pub(crate) known_as: Option<&'static str>,
}

impl Frame {
    pub(crate) fn new(title: impl Into<String>, place: &'static str) -> Self {
        Self {
            title: title.into(),
            place,
            known_as: KNOWN_AS.try_get().ok().flatten().map(|role| match role {
                Role::Viewer => "Viewer",
                Role::Editor => "Editor",
            }),
        }
    }
}

/// Fills a template in.
pub(crate) fn render(page: &impl Template) -> Response {
    match page.render() {
        Ok(html) => {
            let kind = HeaderValue::from_static("text/html; charset=utf-8");
            ([(header::CONTENT_TYPE, kind)], html).into_response()
        }
        Err(error) => {
            ApiError::Internal(format!("a page cannot be drawn: {error}")).into_response()
        }
    }
}

/// A page that says what went wrong, with the error's status.
pub(crate) fn error_page(error: &ApiError) -> Response {
    error_page_with(error, ("/", "To the start page"))
}

/// The same with the way to go on: an address, and what its link says.
pub(crate) fn error_page_with(error: &ApiError, way: (&'static str, &'static str)) -> Response {
    if let ApiError::Internal(reason) = error {
        eprintln!("web server: {reason}");
    }
    let page = ErrorPage {
        frame: Frame::new("Something is missing", ""),
        message: error.to_string(),
        status: error.status().as_u16(),
        way,
    };
    let mut response = render(&page);
    *response.status_mut() = error.status();
    response
}

#[derive(Template)]
#[template(path = "error.html")]
struct ErrorPage {
    frame: Frame,
    message: String,
    status: u16,
    way: (&'static str, &'static str),
}
