//! Speaking HTTP with a ZenML server: addresses, tokens, answers, errors.

use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use serde_json::Value;

use crate::UsageError;

/// How long an answer may take.
const TIMEOUT: Duration = Duration::from_secs(60);

/// The longest message of a server that is repeated.
const MAX_MESSAGE_CHARS: usize = 600;

/// A ZenML server.
pub(super) struct Server {
    agent: ureq::Agent,
    url: String,
    version: String,
    token: Option<String>,
}

impl Server {
    /// A server at `url`, such as `http://127.0.0.1:8237`. Nothing is sent yet.
    ///
    /// # Errors
    ///
    /// When `url` does not begin with `http://`.
    pub(super) fn at(url: &str) -> Result<Self> {
        if url.starts_with("https://") {
            let reason = "this program speaks plain HTTP only; reach the server through a tunnel or a proxy on this machine";
            return Err(UsageError(format!("`{url}` needs HTTPS: {reason}")).into());
        }
        if !url.starts_with("http://") {
            return Err(UsageError(format!("`{url}` does not begin with http://")).into());
        }
        let config = ureq::Agent::config_builder()
            .http_status_as_error(false)
            // A redirection could carry the token to another host.
            .max_redirects(0)
            .timeout_global(Some(TIMEOUT));
        Ok(Self {
            agent: config.build().new_agent(),
            url: url.trim_end_matches('/').to_owned(),
            version: String::new(),
            token: None,
        })
    }

    pub(super) fn url(&self) -> &str {
        &self.url
    }

    /// The ZenML that the server is; empty until it was set.
    pub(super) fn version(&self) -> &str {
        &self.version
    }

    pub(super) fn set_version(&mut self, version: String) {
        self.version = version;
    }

    /// Exchanges a name or key for a token, and shows it from now on.
    pub(super) fn log_in(&mut self, fields: &[(&str, &str)]) -> Result<()> {
        let form: Vec<String> = fields
            .iter()
            .map(|(name, value)| format!("{name}={}", encoded(value)))
            .collect();
        let request = self.agent.post(self.address("/login"));
        let sent = request
            .header("Content-Type", "application/x-www-form-urlencoded")
            .send(form.join("&"));
        let answer = self.answer("POST /login", sent)?;
        let token = answer["access_token"].as_str();
        self.token = Some(
            token
                .context("POST /login: the answer has no token")?
                .into(),
        );
        Ok(())
    }

    pub(super) fn get(&self, route: &str) -> Result<Value> {
        let mut request = self.agent.get(self.address(route));
        if let Some(token) = &self.token {
            request = request.header("Authorization", format!("Bearer {token}"));
        }
        self.answer(&format!("GET {route}"), request.call())
    }

    /// The first page of a list.
    pub(super) fn items(&self, route: &str) -> Result<Vec<Value>> {
        match self.get(route)?["items"].take() {
            Value::Array(items) => Ok(items),
            _ => bail!("GET {route}: the answer has no items"),
        }
    }

    pub(super) fn post(&self, route: &str, body: &Value) -> Result<Value> {
        let request = self.agent.post(self.address(route));
        self.send(&format!("POST {route}"), request, body)
    }

    /// Makes something, and returns the name that the server gave it.
    pub(super) fn create(&self, route: &str, body: &Value) -> Result<String> {
        let answer = self.post(route, body)?;
        // Creating a run answers with the run and whether it is new.
        let made = answer.get(0).unwrap_or(&answer);
        id_of(made).with_context(|| format!("POST {route}: the answer has no id"))
    }

    pub(super) fn put(&self, route: &str, body: &Value) -> Result<Value> {
        let request = self.agent.put(self.address(route));
        self.send(&format!("PUT {route}"), request, body)
    }

    fn send(
        &self,
        call: &str,
        mut request: ureq::RequestBuilder<ureq::typestate::WithBody>,
        body: &Value,
    ) -> Result<Value> {
        if let Some(token) = &self.token {
            request = request.header("Authorization", format!("Bearer {token}"));
        }
        let request = request.header("Content-Type", "application/json");
        self.answer(call, request.send(body.to_string()))
    }

    /// # Errors
    ///
    /// Names the call, the status and what the server says.
    fn answer(
        &self,
        call: &str,
        sent: Result<ureq::http::Response<ureq::Body>, ureq::Error>,
    ) -> Result<Value> {
        let mut response = sent.with_context(|| format!("{call}: cannot reach `{}`", self.url))?;
        let status = response.status();
        let text = response.body_mut().read_to_string();
        let text = text.with_context(|| format!("{call}: the answer breaks off"))?;
        if !status.is_success() {
            return Err(anyhow!("{call}: status {status}: {}", message(&text)));
        }
        serde_json::from_str(&text).with_context(|| {
            format!(
                "{call}: the answer is no JSON; is `{}` a ZenML server?",
                self.url
            )
        })
    }

    fn address(&self, route: &str) -> String {
        format!("{}/api/v1{route}", self.url)
    }
}

/// What a refusal says: `{"detail": ["EntityExistsError", "…"]}`, or its text.
fn message(text: &str) -> String {
    let body: Value = serde_json::from_str(text).unwrap_or_default();
    let told = match &body["detail"] {
        Value::Null => text.to_owned(),
        Value::String(detail) => detail.clone(),
        Value::Array(parts) if parts.iter().all(Value::is_string) => {
            let parts: Vec<&str> = parts.iter().filter_map(Value::as_str).collect();
            parts.join(": ")
        }
        detail => detail.to_string(),
    };
    told.chars().take(MAX_MESSAGE_CHARS).collect()
}

/// The name that the server gave to what it answers with.
pub(super) fn id_of(answer: &Value) -> Option<String> {
    answer["id"].as_str().map(str::to_owned)
}

/// A text as it is written in a query or a form.
pub(super) fn encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_plain_http() {
        assert!(Server::at("http://127.0.0.1:8237/").is_ok());
        for (url, expected) in [
            ("https://zenml.example", "HTTPS"),
            ("127.0.0.1:8237", "does not begin with http://"),
        ] {
            let error = Server::at(url).err().expect("is refused").to_string();
            assert!(error.contains(expected), "{error}");
        }
    }

    #[test]
    fn refusals_are_repeated_in_the_servers_words() {
        assert_eq!(
            message(r#"{"detail": ["KeyError", "no such step"]}"#),
            "KeyError: no such step"
        );
        assert_eq!(message("<html>"), "<html>");
    }

    #[test]
    fn what_separates_fields_is_encoded() {
        assert_eq!(encoded("a b&c=é-1"), "a%20b%26c%3D%C3%A9-1");
    }
}
