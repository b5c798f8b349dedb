//! Artifact URIs that name a host.
//!
//! Clients connect to the host of such a URI and send it their files, some with the
//! token that they have for this server. So a URI that others will follow never names
//! one: files go to this server, or to a store that its users have keys of their own
//! to, such as a bucket.

use crate::error::{Result, TrackingError};

/// The schemes whose URIs say which host to connect to: MLflow's list, and WebSockets.
const WITH_HOST: [&str; 12] = [
    "abfss",
    "b2",
    "ftp",
    "hdfs",
    "http",
    "https",
    "mlflow-artifacts",
    "r2",
    "sftp",
    "viewfs",
    "ws",
    "wss",
];

/// Refuses a URI that makes those who follow it connect to a host that it names.
/// `field` is what the message calls it.
///
/// # Errors
///
/// [`TrackingError::InvalidParameter`], in MLflow's words.
pub(crate) fn check_no_host(uri: &str, field: &str) -> Result<()> {
    // Clients read URIs as Python does, which skips these characters.
    let uri: String = uri
        .trim_start_matches(|c: char| c <= ' ')
        .chars()
        .filter(|c| !matches!(c, '\t' | '\r' | '\n'))
        .collect();
    let scheme = scheme_of(&uri).to_ascii_lowercase();
    if !WITH_HOST.contains(&scheme.as_str()) {
        return Ok(());
    }
    // Without a host, this one means the server that it came from.
    if scheme == "mlflow-artifacts" && !has_host(&uri[scheme.len() + 1..]) {
        return Ok(());
    }
    Err(TrackingError::invalid(format!(
        "'{field}' cannot use the '{scheme}' scheme: the '{scheme}' scheme addresses a host other \
         than the tracking server's configured artifact storage, so the server would connect to \
         the host named in the URI. Set the MLFLOW_ALLOWED_HOST_ADDRESSED_ARTIFACT_SCHEMES \
         environment variable on the server to allow it."
    )))
}

/// Whether what follows a scheme begins with a host.
pub(super) fn has_host(after_scheme: &str) -> bool {
    after_scheme
        .strip_prefix("//")
        .is_some_and(|rest| !rest.is_empty() && !rest.starts_with(['/', '?', '#']))
}

/// The scheme of a URI, or nothing for a plain path.
pub(super) fn scheme_of(uri: &str) -> &str {
    let Some((scheme, _)) = uri.split_once(':') else {
        return "";
    };
    let is_scheme = scheme.len() > 1
        && scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && scheme
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.'));
    if is_scheme { scheme } else { "" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_seen_however_it_is_written() {
        for good in [
            "",
            "/a/b",
            "C:\\x",
            "file:///a",
            "s3://bucket/a",
            "gs://bucket",
            "wasbs://c@a.blob.core.windows.net/x",
            "mlflow-artifacts:/1",
            "mlflow-artifacts:///1",
            "mlflow-artifacts://",
            "models:/birds/1",
        ] {
            assert!(check_no_host(good, "x").is_ok(), "{good}");
        }
        for bad in [
            "http://h/x",
            "https:h",
            "HTTP://h/x",
            " \u{1}http://h/x",
            "ht\ttp://h/x",
            "h\nttps://h/x",
            "ftp:///x",
            "sftp://u@h/x",
            "hdfs://h:9000/x",
            "viewfs://h/x",
            "r2://b@h/x",
            "b2://b@h/x",
            "abfss://c@h/x",
            "wss://h/x",
            "mlflow-artifacts://127.0.0.1:5699/x",
            "MLflow-Artifacts://h",
            "mlflow-artifacts:/\n/h/x",
            "mlflow-artifacts://\\h/x",
        ] {
            assert!(check_no_host(bad, "x").is_err(), "{bad}");
        }
    }
}
