//! Speaking HTTP with a remote server: addresses, credentials, answers, errors.

use std::fs::File;
use std::sync::OnceLock;
use std::time::Duration;

use base64::Engine;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::error::{ErrorCode, Result, TrackingError};
use crate::requests::Page;

/// How long an answer may take.
const TIMEOUT: Duration = Duration::from_secs(120);

/// How long it may take to be connected.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// The largest answer that is read.
const MAX_ANSWER_BYTES: u64 = 1 << 30;

/// A remote MLflow server.
#[derive(Debug)]
pub struct RemoteStore {
    agent: ureq::Agent,
    base: String,
    authorization: Option<String>,
    timeout: Duration,
    trusts_any: bool,
    /// Which store is behind it, once it has said so.
    identity: OnceLock<String>,
}

impl RemoteStore {
    /// A server at `uri`, such as `http://localhost:5000`. Nothing is sent yet.
    ///
    /// # Errors
    ///
    /// When `uri` begins with neither `http://` nor `https://`, or with the latter
    /// in a program that was built without `remote-tls`.
    pub fn new(uri: &str) -> Result<Self> {
        let is_secure = uri.starts_with("https://");
        if !is_secure && !uri.starts_with("http://") {
            return Err(TrackingError::invalid(format!(
                "the tracking URI `{uri}` begins with neither http:// nor https://"
            )));
        }
        if is_secure && cfg!(not(feature = "remote-tls")) {
            return Err(TrackingError::invalid(format!(
                "the tracking URI `{uri}` needs HTTPS, which this program was built without"
            )));
        }
        Ok(Self {
            agent: agent(TIMEOUT, false),
            base: uri.trim_end_matches('/').to_owned(),
            authorization: None,
            timeout: TIMEOUT,
            trusts_any: false,
            identity: OnceLock::new(),
        })
    }

    /// Gives answers so much time and no more; files have more.
    #[must_use]
    pub fn with_timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self.agent = agent(self.timeout, self.trusts_any);
        self
    }

    /// Believes that a server is who it says whatever certificate it shows, as
    /// `MLFLOW_TRACKING_INSECURE_TLS` does: whoever sits between can read and change
    /// everything.
    #[must_use]
    pub fn trusting_any_certificate(mut self) -> Self {
        self.trusts_any = true;
        self.agent = agent(self.timeout, self.trusts_any);
        self
    }

    /// Where the server is, without a slash at the end.
    pub fn uri(&self) -> &str {
        &self.base
    }

    /// Which store is behind the server, asked once; its address, where it does not say.
    pub(super) fn known_identity(
        &self,
        ask: impl FnOnce() -> Result<Option<String>>,
    ) -> Result<String> {
        if let Some(known) = self.identity.get() {
            return Ok(known.clone());
        }
        let said = ask()?.filter(|id| crate::check::name(id, "store_id").is_ok());
        let identity = said.unwrap_or_else(|| address_as_name(&self.base));
        Ok(self.identity.get_or_init(|| identity).clone())
    }

    /// Shows a token, as `MLFLOW_TRACKING_TOKEN` does.
    #[must_use]
    pub fn with_token(mut self, token: &str) -> Self {
        self.authorization = Some(format!("Bearer {token}"));
        self
    }

    /// Shows a name and password, as `MLFLOW_TRACKING_USERNAME` and
    /// `MLFLOW_TRACKING_PASSWORD` do.
    #[must_use]
    pub fn with_password(mut self, name: &str, password: &str) -> Self {
        let pair = base64::engine::general_purpose::STANDARD.encode(format!("{name}:{password}"));
        self.authorization = Some(format!("Basic {pair}"));
        self
    }

    pub(super) fn get(&self, route: &str, query: &[(&str, &str)]) -> Result<Answer> {
        let mut url = self.url(route);
        for (index, (key, value)) in query.iter().enumerate() {
            url.push(if index == 0 { '?' } else { '&' });
            url.push_str(&format!("{key}={}", encoded(value)));
        }
        let mut request = self.agent.get(&url);
        if let Some(authorization) = &self.authorization {
            request = request.header("Authorization", authorization);
        }
        self.answer(request.call())
    }

    pub(super) fn post(&self, route: &str, body: &Value) -> Result<Answer> {
        self.send(self.agent.post(self.url(route)), body)
    }

    pub(super) fn patch(&self, route: &str, body: &Value) -> Result<Answer> {
        self.send(self.agent.patch(self.url(route)), body)
    }

    pub(super) fn delete(&self, route: &str, body: &Value) -> Result<Answer> {
        let request = self.agent.delete(self.url(route));
        self.send(request.force_send_body(), body)
    }

    /// The URL of a route below MLflow's usual prefix, or of one that has its own.
    fn url(&self, route: &str) -> String {
        match route.starts_with('/') {
            true => format!("{}{route}", self.base),
            false => format!("{}/api/2.0/mlflow/{route}", self.base),
        }
    }

    /// Sends a file as the body of a request, which may take so long.
    pub(super) fn put_file(&self, route: &str, file: File, timeout: Duration) -> Result<()> {
        let mut request = self
            .agent
            .put(self.url(route))
            .config()
            .timeout_global(Some(timeout))
            .build()
            .header("Content-Type", "application/octet-stream");
        if let Some(authorization) = &self.authorization {
            request = request.header("Authorization", authorization);
        }
        self.text(request.send(file)).map(drop)
    }

    fn send(
        &self,
        mut request: ureq::RequestBuilder<ureq::typestate::WithBody>,
        body: &Value,
    ) -> Result<Answer> {
        if let Some(authorization) = &self.authorization {
            request = request.header("Authorization", authorization);
        }
        let body = without_nulls(body).to_string();
        self.answer(
            request
                .header("Content-Type", "application/json")
                .send(body),
        )
    }

    fn answer(
        &self,
        sent: std::result::Result<ureq::http::Response<ureq::Body>, ureq::Error>,
    ) -> Result<Answer> {
        match serde_json::from_str(&self.text(sent)?) {
            Ok(Value::Object(fields)) => Ok(Answer(fields)),
            _ => Err(TrackingError::Unreachable {
                uri: self.base.clone(),
                reason: "the answer is no JSON object; is this an MLflow server?".to_owned(),
            }),
        }
    }

    /// The body of a good answer.
    fn text(
        &self,
        sent: std::result::Result<ureq::http::Response<ureq::Body>, ureq::Error>,
    ) -> Result<String> {
        let unreachable = |error: ureq::Error| TrackingError::Unreachable {
            uri: self.base.clone(),
            reason: error.to_string(),
        };
        let mut response = sent.map_err(unreachable)?;
        let status = response.status();
        let text = response
            .body_mut()
            .with_config()
            .limit(MAX_ANSWER_BYTES)
            .read_to_string()
            .map_err(unreachable)?;
        if !status.is_success() {
            return Err(refusal(status.as_u16(), &text));
        }
        Ok(text)
    }
}

/// A good answer.
#[derive(Debug)]
pub(super) struct Answer(Map<String, Value>);

impl Answer {
    /// What the answer has under `name`.
    pub(super) fn take<T: DeserializeOwned>(&mut self, name: &str) -> Result<T> {
        let value = self.0.remove(name).unwrap_or_default();
        serde_json::from_value(value).map_err(|error| TrackingError::Remote {
            code: ErrorCode::InternalError,
            message: format!("the server's answer has no usable `{name}`: {error}"),
        })
    }

    /// A page of a list; one that is left out is empty.
    pub(super) fn page<T: DeserializeOwned>(mut self, name: &str) -> Result<Page<T>> {
        let items = match self.0.contains_key(name) {
            true => self.take(name)?,
            false => Vec::new(),
        };
        let token = self.0.remove("next_page_token");
        Ok(Page {
            items,
            next_page_token: token
                .and_then(|token| token.as_str().map(str::to_owned))
                .filter(|token| !token.is_empty()),
        })
    }

    /// An answer that says nothing.
    pub(super) fn nothing(self) -> Result<()> {
        Ok(())
    }
}

fn agent(timeout: Duration, trusts_any: bool) -> ureq::Agent {
    // Without TLS there are no certificates to trust.
    #[cfg(not(feature = "remote-tls"))]
    let _ = trusts_any;
    let config = ureq::Agent::config_builder()
        .http_status_as_error(false)
        // A redirection could carry the token to another host.
        .max_redirects(0)
        .timeout_connect(Some(timeout.min(CONNECT_TIMEOUT)))
        .timeout_global(Some(timeout));
    #[cfg(feature = "remote-tls")]
    let config = config.tls_config(
        ureq::tls::TlsConfig::builder()
            .root_certs(ureq::tls::RootCerts::PlatformVerifier)
            .disable_verification(trusts_any)
            .unversioned_rustls_crypto_provider(std::sync::Arc::new(
                rustls::crypto::ring::default_provider(),
            ))
            .build(),
    );
    config.build().new_agent()
}

/// An address in the characters that a tag's key may have, without its scheme.
fn address_as_name(uri: &str) -> String {
    let address = uri.split_once("://").map_or(uri, |(_, address)| address);
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | ':');
    let plain = |c: char| if is_plain(c) { c } else { '_' };
    address
        .to_lowercase()
        .chars()
        .map(plain)
        .take(200)
        .collect()
}

/// The error that the server describes, or one about an answer that is no MLflow's.
fn refusal(status: u16, text: &str) -> TrackingError {
    let body: Value = serde_json::from_str(text).unwrap_or_default();
    let field = |name: &str| body.get(name).and_then(Value::as_str);
    TrackingError::Remote {
        code: field("error_code")
            .and_then(ErrorCode::of_name)
            .unwrap_or(match status {
                401 => ErrorCode::Unauthenticated,
                403 => ErrorCode::PermissionDenied,
                404 => ErrorCode::ResourceDoesNotExist,
                501 => ErrorCode::NotImplemented,
                _ => ErrorCode::InternalError,
            }),
        message: field("message").map_or_else(
            || format!("the server answered with status {status}"),
            str::to_owned,
        ),
    }
}

/// Protobuf's JSON has no null: what is not set is left out.
fn without_nulls(body: &Value) -> Value {
    match body {
        Value::Object(fields) => fields
            .iter()
            .filter(|(_, value)| !value.is_null())
            .map(|(key, value)| (key.clone(), without_nulls(value)))
            .collect(),
        Value::Array(items) => items.iter().map(without_nulls).collect(),
        other => other.clone(),
    }
}

/// A text as it is written in a URL.
pub(super) fn encoded(text: &str) -> String {
    utf8_percent_encode(text, NON_ALPHANUMERIC).to_string()
}
