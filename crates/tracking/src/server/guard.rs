//! Who may ask at all: host names, origins, tokens and roles; and the headers that
//! every answer carries.
//!
//! A page of another site, open in the same browser, can send requests to a server
//! on the user's machine, and by rebinding a name it can even read the answers. The
//! check of `Host` stops the latter, that of `Origin` the former.
//!
//! A server that has other routes beside these asks [`Access::admit`] about all of
//! them and says no in its own words; [`Access::role_of`] is for a page that asks
//! for a token.

use std::collections::BTreeMap;
use std::net::IpAddr;

use axum::extract::{Request, State};
use axum::http::header::{
    AUTHORIZATION, COOKIE, HOST, HeaderMap, HeaderValue, ORIGIN, UPGRADE, WWW_AUTHENTICATE,
};
use axum::http::{HeaderName, Method, StatusCode, Uri};
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

/// Why a request is turned away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// The host name is not one of this server: perhaps a rebound one.
    ForeignHost,
    /// The page that asks for a change is of another site.
    ForeignOrigin,
    /// It came without a token, or with a wrong one.
    Unauthenticated,
    /// Its token is a viewer's, and it would change something.
    NeedsEditor,
}

/// The cookie in which a browser keeps its token.
pub const TOKEN_COOKIE: &str = "biophony_token";

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

    /// Whether there are tokens, so that people have to say who they are.
    pub fn asks_for_tokens(&self) -> bool {
        !self.tokens.is_empty()
    }

    /// What a token allows, if it is one of ours.
    pub fn role_of(&self, token: &str) -> Option<Role> {
        // Every token is compared in full, so that the time tells nothing.
        self.tokens
            .iter()
            .filter(|(known, _)| equal_in_constant_time(known.as_bytes(), token.as_bytes()))
            .map(|(_, role)| *role)
            .max()
    }

    /// Decides about one request. `only_asks` says that it changes nothing although
    /// its method could.
    ///
    /// # Errors
    ///
    /// The reason for which it is to be turned away.
    pub fn admit(
        &self,
        method: &Method,
        headers: &HeaderMap,
        only_asks: bool,
    ) -> Result<Role, Refusal> {
        let text = |name: HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
        let host = text(HOST).ok_or(Refusal::ForeignHost)?;
        if !self.allows_host(host) {
            return Err(Refusal::ForeignHost);
        }
        let is_reading = matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS);
        // A browser lets any page open a socket, and says which one it was.
        let acts = !is_reading || headers.contains_key(UPGRADE);
        let origin = headers
            .get(ORIGIN)
            .map(|value| value.to_str().unwrap_or_default());
        let is_own_page = origin.is_none_or(|origin| is_same_place(origin, host));
        if acts && !is_own_page && !origin.is_some_and(|origin| self.allows_origin(origin)) {
            return Err(Refusal::ForeignOrigin);
        }
        if !self.asks_for_tokens() {
            return Ok(Role::Editor);
        }
        let presented = match credential(headers) {
            // Browsers send cookies along whichever page asks.
            None if is_own_page => cookie(headers),
            found => found,
        };
        let role = presented
            .and_then(|token| self.role_of(&token))
            .ok_or(Refusal::Unauthenticated)?;
        let needed = match is_reading || only_asks {
            true => Role::Viewer,
            false => Role::Editor,
        };
        match role >= needed {
            true => Ok(role),
            false => Err(Refusal::NeedsEditor),
        }
    }

    fn allows_host(&self, host: &str) -> bool {
        let name = without_port(host).to_ascii_lowercase();
        is_local_name(&name) || is_address(&name) || self.hosts.contains(&name)
    }

    fn allows_origin(&self, origin: &str) -> bool {
        let name = origin.split_once("://").map_or("", |(_, host)| host);
        is_local_name(&without_port(name).to_ascii_lowercase())
            || self.origins.iter().any(|allowed| allowed == origin)
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
    if is_public(request.uri()) {
        return None;
    }
    let only_asks = is_search(request.method(), request.uri());
    let admitted = access.admit(request.method(), request.headers(), only_asks);
    admitted.err().map(refuse)
}

/// Whether everybody may ask this, from wherever: it tells nothing.
pub fn is_public(uri: &Uri) -> bool {
    matches!(uri.path(), "/health" | "/version")
}

/// Turns a request away as MLflow's server would.
pub fn refuse(refusal: Refusal) -> Response {
    let plain = |text: &'static str| (StatusCode::FORBIDDEN, text).into_response();
    match refusal {
        Refusal::ForeignHost => {
            plain("Invalid Host header - possible DNS rebinding attack detected")
        }
        Refusal::ForeignOrigin => plain("Cross-origin request blocked"),
        Refusal::NeedsEditor => reply::error(&TrackingError::PermissionDenied(
            "Permission denied: the token is a viewer's, and this changes something".to_owned(),
        )),
        Refusal::Unauthenticated => {
            let mut response = reply::error(&TrackingError::Unauthenticated(
                "You are not authenticated. Set MLFLOW_TRACKING_TOKEN to a token of this server."
                    .to_owned(),
            ));
            response.headers_mut().insert(
                WWW_AUTHENTICATE,
                HeaderValue::from_static("Bearer realm=\"mlflow\""),
            );
            response
        }
    }
}

/// Whether a request to this API only asks, although it has a body.
pub fn is_search(method: &Method, uri: &Uri) -> bool {
    let route = ["/api/2.0/mlflow/", "/ajax-api/2.0/mlflow/"]
        .iter()
        .find_map(|prefix| uri.path().strip_prefix(prefix));
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

/// The token that a browser keeps.
fn cookie(headers: &HeaderMap) -> Option<String> {
    let lines = headers.get_all(COOKIE).iter();
    lines
        .filter_map(|line| line.to_str().ok())
        .flat_map(|line| line.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .find(|(name, _)| *name == TOKEN_COOKIE)
        .map(|(_, value)| value.to_owned())
}

/// Whether a page's origin is the very server that is asked, port and all.
fn is_same_place(origin: &str, host: &str) -> bool {
    let scheme_and_host = origin.split_once("://");
    scheme_and_host.is_some_and(|(_, origin)| origin.eq_ignore_ascii_case(host))
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
fn is_address(name: &str) -> bool {
    name.parse::<IpAddr>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_local_addresses_or_named() {
        let access = Access::default().with_host("Lab.example");
        for good in [
            "localhost",
            "localhost:5000",
            "127.0.0.1:80",
            "[::1]:5000",
            "192.168.1.7:5000",
            "10.1.2.3",
            "192.0.2.2:8443",
            "[2001:db8::7]:443",
            "lab.example:443",
            "LOCALHOST",
        ] {
            assert!(access.allows_host(good), "{good}");
        }
        for bad in [
            "evil.example",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "8.8.8.8.evil.example",
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

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let pairs = pairs.iter().map(|(name, value)| {
            let name = HeaderName::from_static(name);
            (name, HeaderValue::from_static(value))
        });
        pairs.collect()
    }

    #[test]
    fn a_page_of_this_server_may_act_under_whichever_name_it_was_opened() {
        let access = Access::default();
        let phone = [
            ("host", "192.168.1.7:8443"),
            ("origin", "https://192.168.1.7:8443"),
        ];
        assert_eq!(
            access.admit(&Method::POST, &headers(&phone), false),
            Ok(Role::Editor)
        );
        let neighbour = [
            ("host", "192.168.1.7:8443"),
            ("origin", "https://192.168.1.8:8443"),
        ];
        let refused = access.admit(&Method::POST, &headers(&neighbour), false);
        assert_eq!(refused, Err(Refusal::ForeignOrigin));
    }

    #[test]
    fn a_socket_is_not_opened_for_a_page_of_another_site() {
        let asked = [
            ("host", "127.0.0.1:8080"),
            ("origin", "http://evil.example"),
            ("upgrade", "websocket"),
        ];
        let refused = Access::default().admit(&Method::GET, &headers(&asked), false);
        assert_eq!(refused, Err(Refusal::ForeignOrigin));
    }

    #[test]
    fn a_cookie_counts_for_pages_of_this_server_only() {
        let access = Access::default()
            .with_tokens("viewer fedcba9876543210")
            .expect("reads");
        let cookie = ("cookie", "a=b; biophony_token=fedcba9876543210");
        let own = [
            ("host", "localhost:80"),
            ("origin", "http://localhost:80"),
            cookie,
        ];
        assert_eq!(
            access.admit(&Method::GET, &headers(&own), false),
            Ok(Role::Viewer)
        );
        let refused = access.admit(&Method::POST, &headers(&own), false);
        assert_eq!(refused, Err(Refusal::NeedsEditor));
        assert_eq!(
            access.admit(&Method::POST, &headers(&own), true),
            Ok(Role::Viewer)
        );
        let other = [
            ("host", "localhost:80"),
            ("origin", "http://localhost:81"),
            cookie,
        ];
        let refused = access.admit(&Method::GET, &headers(&other), false);
        assert_eq!(refused, Err(Refusal::Unauthenticated));
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
