//! `/login` and `/logout`: a token once, and the browser keeps it in a cookie that no
//! script can read.

use askama::Template;
use axum::Router;
use axum::extract::{Form, Query, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use biophony_tracking::server::{Role, TOKEN_COOKIE};
use serde::Deserialize;

use super::{Frame, render};
use crate::state::WebState;

/// How long a browser keeps a token, in seconds: 30 days.
const MAX_AGE: u32 = 30 * 24 * 3600;

pub(super) fn router() -> Router<WebState> {
    Router::new()
        .route("/login", get(ask).post(log_in))
        .route("/logout", post(log_out))
}

#[derive(Debug, Default, Deserialize)]
struct Goal {
    /// Where to go afterwards.
    #[serde(default)]
    next: String,
}

#[derive(Debug, Deserialize)]
struct Presented {
    token: String,
    #[serde(default)]
    next: String,
}

#[derive(Template)]
#[template(path = "login.html")]
struct LoginPage {
    frame: Frame,
    next: String,
    /// Whether a wrong token was given just now.
    was_wrong: bool,
    /// What this browser's token allows already.
    known_as: Option<&'static str>,
}

async fn ask(
    State(state): State<WebState>,
    headers: HeaderMap,
    Query(Goal { next }): Query<Goal>,
) -> Response {
    if !state.access().asks_for_tokens() {
        return Redirect::to(own_path(&next)).into_response();
    }
    let role = state.access().admit(&Method::GET, &headers, true).ok();
    let known_as = role.map(|role| match role {
        Role::Viewer => "a viewer, who looks and classifies",
        Role::Editor => "an editor, who may change things",
    });
    page(next, false, known_as)
}

async fn log_in(
    State(state): State<WebState>,
    headers: HeaderMap,
    Form(presented): Form<Presented>,
) -> Response {
    let token = presented.token.trim();
    if state.access().asks_for_tokens() && state.access().role_of(token).is_none() {
        let mut response = page(presented.next, true, None);
        *response.status_mut() = StatusCode::UNAUTHORIZED;
        return response;
    }
    let cookie = format!("{TOKEN_COOKIE}={token}; Max-Age={MAX_AGE}");
    with_cookie(&state, &headers, cookie, own_path(&presented.next))
}

async fn log_out(State(state): State<WebState>, headers: HeaderMap) -> Response {
    let cookie = format!("{TOKEN_COOKIE}=; Max-Age=0");
    with_cookie(&state, &headers, cookie, "/login")
}

fn page(next: String, was_wrong: bool, known_as: Option<&'static str>) -> Response {
    let title = if known_as.is_some() {
        "Logged in"
    } else {
        "Log in"
    };
    render(&LoginPage {
        frame: Frame::new(title, ""),
        next,
        was_wrong,
        known_as,
    })
}

fn with_cookie(state: &WebState, headers: &HeaderMap, cookie: String, goal: &str) -> Response {
    // A proxy in front of us speaks TLS for us, and says so.
    let proxied = headers
        .get("x-forwarded-proto")
        .is_some_and(|scheme| scheme == "https");
    let secure = if state.is_encrypted() || proxied {
        "; Secure"
    } else {
        ""
    };
    let cookie = format!("{cookie}; Path=/; HttpOnly; SameSite=Lax{secure}");
    let mut response = Redirect::to(goal).into_response();
    // Tokens of a token file are plain text; another one was refused above.
    if let Ok(cookie) = HeaderValue::from_str(&cookie) {
        response.headers_mut().insert(header::SET_COOKIE, cookie);
    }
    response
}

/// A path of this server, and nothing that a browser would take for another host.
fn own_path(next: &str) -> &str {
    let is_own = next.starts_with('/')
        && !next[1..].starts_with(['/', '\\'])
        && !next.contains(|c: char| c.is_control() || c == '\\');
    if is_own { next } else { "/" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_is_led_away() {
        for own in ["/", "/runs?filter=a&b=c", "/models/biophony/3"] {
            assert_eq!(own_path(own), own);
        }
        for foreign in [
            "",
            "//evil.example",
            "/\\evil.example",
            "https://evil.example",
            "/a\r\nSet-Cookie: x",
            "javascript:alert(1)",
        ] {
            assert_eq!(own_path(foreign), "/");
        }
    }
}
