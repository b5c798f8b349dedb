//! Paths that stay below the root.

use crate::error::{Result, TrackingError};

use super::{SCHEME, UPLOADS};

/// A path below the root of artifacts. Holding one means that it was checked: it is
/// relative, has no `..`, no `.`, no backslash, no drive letter, no `#`, no control
/// character, and none of that either after any number of percent-decodings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ArtifactPath(String);

impl ArtifactPath {
    /// Checks a path; the empty one is the root.
    ///
    /// # Errors
    ///
    /// [`TrackingError::InvalidParameter`] for a path that could lead elsewhere.
    pub fn new(path: &str) -> Result<Self> {
        let mut decoded = path.to_owned();
        loop {
            check(&decoded)?;
            let next = percent_decoded(&decoded);
            if next == decoded {
                break;
            }
            decoded = next;
        }
        let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
        if parts.first() == Some(&UPLOADS) {
            return Err(invalid());
        }
        Ok(Self(parts.join("/")))
    }

    /// The path that a URI of the scheme `mlflow-artifacts` names.
    ///
    /// # Errors
    ///
    /// When it is of another scheme, or its path could lead elsewhere.
    pub fn of_uri(uri: &str) -> Result<Self> {
        let path = uri.strip_prefix(SCHEME).ok_or_else(|| {
            TrackingError::NotImplemented(format!(
                "artifacts at '{uri}' are not kept here; only URIs that begin with '{SCHEME}' are"
            ))
        })?;
        // With two slashes a host follows, and the path begins after it.
        let path = match path.strip_prefix("//") {
            Some(with_host) if !with_host.starts_with('/') => {
                with_host.split_once('/').map_or("", |(_, path)| path)
            }
            _ => path,
        };
        Self::new(path.trim_start_matches('/'))
    }

    /// The path below this one.
    ///
    /// # Errors
    ///
    /// As [`ArtifactPath::new`].
    pub fn join(&self, below: &str) -> Result<Self> {
        let below = Self::new(below)?;
        Self::new(format!("{}/{}", self.0, below.0).trim_start_matches('/'))
    }

    /// The path with slashes, without one at either end.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it is the root itself.
    pub fn is_root(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn parts(&self) -> impl Iterator<Item = &str> {
        self.0.split('/').filter(|part| !part.is_empty())
    }
}

fn check(path: &str) -> Result<()> {
    let first = path.split('/').next().unwrap_or_default();
    let is_bad = path.starts_with('/')
        || path.contains(['\\', '#'])
        || path.contains(char::is_control)
        // A drive letter, or a scheme such as `file:`.
        || first.contains(':')
        || path.split('/').any(|part| matches!(part, "." | ".."));
    if is_bad { Err(invalid()) } else { Ok(()) }
}

fn invalid() -> TrackingError {
    TrackingError::invalid("Invalid path")
}

/// `text` with its `%XX` replaced once; what is no UTF-8 afterwards is replaced too.
pub(super) fn percent_decoded(text: &str) -> String {
    percent_encoding::percent_decode_str(text)
        .decode_utf8_lossy()
        .into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_that_lead_elsewhere_are_refused() {
        for bad in [
            "..",
            "../a",
            "a/..",
            "a/../b",
            "..%2f..%2fetc",
            "%2e%2e/a",
            "..%252f..%252fetc",
            "%25252e%25252e/x",
            "/etc/passwd",
            "//proc/self/root",
            "%2fetc",
            "a\\b",
            "..\\..\\x",
            "c:/x",
            "file:///etc",
            "a#b",
            "a%23b",
            "a\0b",
            "a%00b",
            "a\nb",
            ".",
            "a/./b",
            ".uploads/x",
            ".uploads",
        ] {
            assert!(ArtifactPath::new(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn ordinary_paths_are_kept() {
        for (good, kept) in [
            ("", ""),
            ("a/b.txt", "a/b.txt"),
            ("a//b/", "a/b"),
            ("images/spec+step+0.png", "images/spec+step+0.png"),
            ("100%", "100%"),
            ("..a/b..", "..a/b.."),
            ("ä/%zz", "ä/%zz"),
            ("a/x:y", "a/x:y"),
        ] {
            assert_eq!(ArtifactPath::new(good).expect(good).as_str(), kept);
        }
    }

    #[test]
    fn uris_name_paths() {
        for uri in [
            "mlflow-artifacts:/1/r/artifacts",
            "mlflow-artifacts:///1/r/artifacts",
            "mlflow-artifacts://host:5000/1/r/artifacts",
        ] {
            assert_eq!(
                ArtifactPath::of_uri(uri).expect(uri).as_str(),
                "1/r/artifacts"
            );
        }
        for bad in [
            "file:///etc",
            "s3://b/k",
            "mlflow-artifacts:/../etc",
            "/etc",
        ] {
            assert!(ArtifactPath::of_uri(bad).is_err(), "{bad}");
        }
    }
}
