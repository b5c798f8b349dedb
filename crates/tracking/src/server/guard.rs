//! Who may ask at all: host names, origins, tokens and roles; and the headers that
//! every answer carries.
//!
//! A page of another site, open in the same browser, can send requests to a server
//! on the user's machine, and by rebinding a name it can even read the answers. The
//! check of `Host` stops the latter, that of `Origin` the former.

use std::collections::BTreeMap;
use std::net::IpAddr;

use axum::extract::{Request, State};
use axum::http::header::{AUTHORIZATION, HOST, HeaderMap, HeaderValue, ORIGIN, WWW_AUTHENTICATE};
use axum::http::{HeaderName, Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use base64::Engine;

use super::{Service, reply};
use crate::error::TrackingError;

/// What a token allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// Reading.
    Viewer,
    /// Reading and writing.
    Editor,
}

/// Who may use the server. The default is for one machine: local and private host
/// names, no tokens.
#[derive(Debug, Clone, Default)]
pub struct Access {
    tokens: BTreeMap<String, Role>,
    hosts: Vec<String>,
    origins: Vec<String>,
}

impl Access {
    /// Lets only bearers of tokens in.
    ///
    /// The text has a role and a token per line, such as `editor 3f9c…`; empty lines
    /// and lines that begin with `#` do not count.
    ///
    /// # Errors
    ///
    /// When a line is of another form, a token has fewer than 16 characters, or
    /// there is no token at all.
    pub fn with_tokens(mut self, text: &str) -> crate::Result<Self> {
        for (index, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let bad = |reason: &str| {
                TrackingError::invalid(format!("token file, line {}: {reason}", index + 1))
            };
            let (role, token) = line
                .split_once(char::is_whitespace)
                .ok_or_else(|| bad("expected a role and a token"))?;
            let role = match role {
                "viewer" => Role::Viewer,
                "editor" => Role::Editor,
                _ => return Err(bad("the role is neither `viewer` nor `editor`")),
            };
            let token = token.trim();
            if token.len() < 16 {
                return Err(bad("the token has fewer than 16 characters"));
            }
            self.tokens.insert(token.to_owned(), role);
        }
        if self.tokens.is_empty() {
            return Err(TrackingError::invalid("the token file has no token in it"));
        }
        Ok(self)
    }

    /// Answers to this host name too, beside local and private ones.
    #[must_use]
    pub fn with_host(mut self, host: impl Into<String>) -> Self {
        self.hosts.push(host.into().to_ascii_lowercase());
        self
    }

    /// Takes changes from pages of this origin too, such as `https://lab.example`.
    #[must_use]
    pub fn with_origin(mut self, origin: impl Into<String>) -> Self {
        self.origins.push(origin.into());
        self
    }

    fn allows_host(&self, host: &str) -> bool {
        let name = without_port(host).to_ascii_lowercase();
        is_local_name(&name) || is_private_address(&name) || self.hosts.contains(&name)
    }

    fn allows_origin(&self, origin: &str) -> bool {
        let name = origin.split_once("://").map_or("", |(_, host)| host);
        is_local_name(&without_port(name).to_ascii_lowercase())
            || self.origins.iter().any(|allowed| allowed == origin)
    }

    /// The role of whoever sends these headers.
    fn role(&self, headers: &HeaderMap) -> Option<Role> {
        if self.tokens.is_empty() {
            return Some(Role::Editor);
        }
        let presented = credential(headers)?;
        // Every token is compared in full, so that the time tells nothing.
        self.tokens
            .iter()
            .filter(|(token, _)| equal_in_constant_time(token.as_bytes(), presented.as_bytes()))
            .map(|(_, role)| *role)
            .max()
    }
}

/// Turns away who may not ask, and adds the headers that every answer carries.
pub(super) async fn guard(
    State(service): State<Service>,
    request: Request,
    next: Next,
) -> Response {
    let mut response = match refusal(&service.access, &request) {
        Some(refusal) => refusal,
        None => next.run(request).await,
    };
    for (name, value) in [
        ("x-content-type-options", "nosniff"),
        ("x-frame-options", "SAMEORIGIN"),
        ("referrer-policy", "no-referrer"),
        ("cache-control", "no-store"),
        // Artifacts are other people's files: a page among them must not act.
        ("content-security-policy", "default-src 'none'; sandbox"),
    ] {
        response
            .headers_mut()
            .entry(HeaderName::from_static(name))
            .or_insert(HeaderValue::from_static(value));
    }
    response
}

fn refusal(access: &Access, request: &Request) -> Option<Response> {
    let path = request.uri().path();
    if matches!(path, "/health" | "/version") {
        return None;
    }
    let headers = request.headers();
    let text = |name: HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    if !text(HOST).is_some_and(|host| access.allows_host(host)) {
        return Some(
            (
                StatusCode::FORBIDDEN,
                "Invalid Host header - possible DNS rebinding attack detected",
            )
                .into_response(),
        );
    }
    let is_change = !matches!(
        *request.method(),
        Method::GET | Method::HEAD | Method::OPTIONS
    );
    let is_foreign = headers.contains_key(ORIGIN)
        && !text(ORIGIN).is_some_and(|origin| access.allows_origin(origin));
    if is_change && is_foreign {
        return Some((StatusCode::FORBIDDEN, "Cross-origin request blocked").into_response());
    }
    let needed = if is_change && !is_search(request.method(), path) {
        Role::Editor
    } else {
        Role::Viewer
    };
    match access.role(headers) {
        Some(role) if role >= needed => None,
        Some(_) => Some(reply::error(&TrackingError::PermissionDenied(
            "Permission denied: the token is a viewer's, and this changes something".to_owned(),
        ))),
        None => {
            let mut response = reply::error(&TrackingError::Unauthenticated(
                "You are not authenticated. Set MLFLOW_TRACKING_TOKEN to a token of this server."
                    .to_owned(),
            ));
            response.headers_mut().insert(
                WWW_AUTHENTICATE,
                HeaderValue::from_static("Bearer realm=\"mlflow\""),
            );
            Some(response)
        }
    }
}

/// Whether a request with a body only asks.
fn is_search(method: &Method, path: &str) -> bool {
    let route = ["/api/2.0/mlflow/", "/ajax-api/2.0/mlflow/"]
        .iter()
        .find_map(|prefix| path.strip_prefix(prefix));
    *method == Method::POST
        && matches!(
            route,
            Some(
                "experiments/search"
                    | "experiments/search-datasets"
                    | "runs/search"
                    | "logged-models/search"
                    | "registered-models/get-latest-versions"
            )
        )
}

/// The token in the headers: a bearer's, or the password of a name and password, as
/// MLflow's client sends either.
fn credential(headers: &HeaderMap) -> Option<String> {
    let value = headers.get(AUTHORIZATION)?.to_str().ok()?;
    let (scheme, rest) = value.split_once(' ')?;
    if scheme.eq_ignore_ascii_case("bearer") {
        return Some(rest.trim().to_owned());
    }
    if scheme.eq_ignore_ascii_case("basic") {
        let decoded = base64::engine::general_purpose::STANDARD
            .decode(rest.trim())
            .ok()?;
        let pair = String::from_utf8(decoded).ok()?;
        return pair
            .split_once(':')
            .map(|(_, password)| password.to_owned());
    }
    None
}

fn equal_in_constant_time(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len()
        && a.iter()
            .zip(b)
            .fold(0, |different, (a, b)| different | (a ^ b))
            == 0
}

fn without_port(host: &str) -> &str {
    match host.strip_prefix('[') {
        Some(v6) => v6.split(']').next().unwrap_or_default(),
        // An address of version 6 without brackets has several colons and no port.
        None if host.matches(':').count() > 1 => host,
        None => host.split(':').next().unwrap_or_default(),
    }
}

fn is_local_name(name: &str) -> bool {
    name == "localhost" || name.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

/// A name can be rebound to any address, an address cannot.
fn is_private_address(name: &str) -> bool {
    match name.parse() {
        Ok(IpAddr::V4(ip)) => ip.is_private() || ip.is_unspecified(),
        Ok(IpAddr::V6(ip)) => ip.is_unique_local(),
        Err(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_local_private_or_named() {
        let access = Access::default().with_host("Lab.example");
        for good in [
            "localhost",
            "localhost:5000",
            "127.0.0.1:80",
            "[::1]:5000",
            "192.168.1.7:5000",
            "10.1.2.3",
            "lab.example:443",
            "LOCALHOST",
        ] {
            assert!(access.allows_host(good), "{good}");
        }
        for bad in [
            "evil.example",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "8.8.8.8",
            "",
            "evil.example:127.0.0.1",
            "localhost@evil.example",
            "192.168.evil.example",
        ] {
            assert!(!access.allows_host(bad), "{bad}");
        }
    }

    #[test]
    fn origins_are_local_or_named() {
        let access = Access::default().with_origin("https://lab.example");
        for good in [
            "http://localhost:3000",
            "http://127.0.0.1",
            "http://[::1]:8",
            "https://lab.example",
        ] {
            assert!(access.allows_origin(good), "{good}");
        }
        for bad in [
            "http://evil.example",
            "null",
            "http://localhost.evil.example",
            "http://lab.example",
            "https://lab.example.evil",
            "",
        ] {
            assert!(!access.allows_origin(bad), "{bad}");
        }
    }

    #[test]
    fn a_token_file_has_a_role_and_a_token_per_line() {
        let text = "# ours\neditor 0123456789abcdef\n\nviewer\tfedcba9876543210\n";
        let access = Access::default().with_tokens(text).expect("reads");
        assert_eq!(access.tokens.len(), 2);
        for bad in [
            "",
            "# none",
            "editor short",
            "admin 0123456789abcdef",
            "0123456789abcdef",
        ] {
            assert!(Access::default().with_tokens(bad).is_err(), "{bad}");
        }
    }
}
