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

use std::sync::Arc;

use askama::Template;
use axum::Router;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use biophony_tracking::server::Role;

use crate::error::ApiError;
use crate::state::{PROGRAM, WebState};

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
    /// The visit that is being answered, which the guard knows.
    pub(crate) static VISIT: Visit;
}

/// What pages say depends on who asks, and of which server.
#[derive(Debug, Clone)]
pub(crate) struct Visit {
    /// What the token allows, or everything where none is asked for. Nothing before one
    /// has logged in.
    pub(crate) role: Option<Role>,
    /// Whether tokens are asked for: roles then have been logged in with one.
    pub(crate) is_logged_in: bool,
    /// How a person calls the program on this server's home in a terminal.
    pub(crate) program: Arc<str>,
}

impl Default for Visit {
    fn default() -> Self {
        Self {
            role: None,
            is_logged_in: false,
            program: PROGRAM.into(),
        }
    }
}

impl Visit {
    /// The role by name, where people have one.
    fn known_as(&self) -> Option<&'static str> {
        let role = self.role.filter(|_| self.is_logged_in)?;
        Some(match role {
            Role::Viewer => "Viewer",
            Role::Editor => "Editor",
        })
    }
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
    /// Whether whoever asks may change things: what they may not is not offered.
    pub(crate) can_edit: bool,
    program: Arc<str>,
}

impl Frame {
    pub(crate) fn new(title: impl Into<String>, place: &'static str) -> Self {
        let visit = VISIT.try_with(Visit::clone).unwrap_or_default();
        Self {
            title: title.into(),
            place,
            known_as: visit.known_as(),
            can_edit: visit.role == Some(Role::Editor),
            program: visit.program,
        }
    }

    /// What a person types to have the program do `what` on this server's home.
    pub(crate) fn command(&self, what: &str) -> String {
        format!("{} {what}", self.program)
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
        frame: Frame::new(title(error), ""),
        message: error.to_string(),
        status: error.status().as_u16(),
        way,
    };
    let mut response = render(&page);
    *response.status_mut() = error.status();
    response
}

/// What went wrong, in a few words.
fn title(error: &ApiError) -> &'static str {
    match error {
        ApiError::NotFound(_) => "There is no such page",
        ApiError::Forbidden(_) | ApiError::Unauthenticated => "This is not allowed",
        ApiError::Internal(_) => "Something failed",
        ApiError::Busy => "The server is busy",
        _ => "This does not work",
    }
}

#[derive(Template)]
#[template(path = "error.html")]
struct ErrorPage {
    frame: Frame,
    message: String,
    status: u16,
    way: (&'static str, &'static str),
}
