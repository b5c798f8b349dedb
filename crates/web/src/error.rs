//! What can go wrong: while the server is set up ([`WebError`]), and while it
//! answers ([`ApiError`]).
//!
//! The second is where every error of the domain is translated to the outside, once:
//! a status, a code for programs and a sentence for people.

use std::path::PathBuf;

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use biophony_audio::{AudioError, Seconds};
use biophony_model::ModelError;
use biophony_pipeline::PipelineError;
use biophony_tracking::{ErrorCode, TrackingError};
use serde_json::json;

/// The server cannot be set up.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WebError {
    /// The address cannot be listened on.
    #[error("cannot listen on {address}")]
    Listen {
        /// The address.
        address: std::net::SocketAddr,
        /// What the system said.
        source: std::io::Error,
    },

    /// The system refuses something that serving needs.
    #[error("cannot {doing}")]
    System {
        /// What was being done.
        doing: &'static str,
        /// What the system said.
        source: std::io::Error,
    },

    /// A certificate or its key cannot be used.
    #[error("cannot use `{path}` for encrypted connections: {reason}")]
    Certificate {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },

    /// The model that was asked for cannot be used.
    #[error("cannot use the model `{path}`")]
    Model {
        /// Its folder.
        path: PathBuf,
        /// What is wrong with it.
        source: ModelError,
    },
}

/// A request that is not answered with what was asked for.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ApiError {
    /// There is no model to ask.
    #[error("there is no model yet; make one with `biophony train DIR`, or try `biophony demo`")]
    NoModel,

    /// What was sent is no sound that can be read.
    #[error("{0}")]
    UnreadableAudio(String),

    /// More bytes than are taken.
    #[error("the file is larger than {} MB, the most that this server takes", max_bytes / 1_000_000)]
    TooLarge {
        /// The limit.
        max_bytes: u64,
    },

    /// A longer sound than is taken.
    #[error("{0}")]
    TooLong(String),

    /// There is no such thing.
    #[error("{0}")]
    NotFound(String),

    /// The route does not take this method.
    #[error("{0}")]
    WrongMethod(String),

    /// The request makes no sense.
    #[error("{0}")]
    BadRequest(String),

    /// The request clashes with what is there.
    #[error("{0}")]
    Conflict(String),

    /// Too much is being asked for at once.
    #[error("the server has more to do than it can; try again in a few seconds")]
    Busy,

    /// The client takes too long to send.
    #[error("the upload was too slow and was given up")]
    Timeout,

    /// The caller has not said who they are.
    #[error(
        "this server asks for a token: send `Authorization: Bearer TOKEN`, or log in at /login"
    )]
    Unauthenticated,

    /// The caller may not do this.
    #[error("{0}")]
    Forbidden(String),

    /// Something failed inside. The reason is for the operator: it names paths.
    #[error("something failed inside the server; its log says more")]
    Internal(String),
}

impl ApiError {
    /// The word by which programs tell errors apart.
    pub fn code(&self) -> &'static str {
        match self {
            Self::NoModel => "no_model",
            Self::UnreadableAudio(_) => "unreadable_audio",
            Self::TooLarge { .. } => "too_large",
            Self::TooLong(_) => "too_long",
            Self::NotFound(_) => "not_found",
            Self::WrongMethod(_) => "wrong_method",
            Self::BadRequest(_) => "bad_request",
            Self::Conflict(_) => "conflict",
            Self::Busy => "busy",
            Self::Timeout => "timeout",
            Self::Unauthenticated => "unauthenticated",
            Self::Forbidden(_) => "forbidden",
            Self::Internal(_) => "internal",
        }
    }

    /// The status of the answer.
    pub fn status(&self) -> StatusCode {
        match self {
            Self::NoModel => StatusCode::CONFLICT,
            Self::UnreadableAudio(_) => StatusCode::UNPROCESSABLE_ENTITY,
            Self::TooLarge { .. } | Self::TooLong(_) => StatusCode::PAYLOAD_TOO_LARGE,
            Self::NotFound(_) => StatusCode::NOT_FOUND,
            Self::WrongMethod(_) => StatusCode::METHOD_NOT_ALLOWED,
            Self::BadRequest(_) => StatusCode::BAD_REQUEST,
            Self::Conflict(_) => StatusCode::CONFLICT,
            Self::Busy => StatusCode::SERVICE_UNAVAILABLE,
            Self::Timeout => StatusCode::REQUEST_TIMEOUT,
            Self::Unauthenticated => StatusCode::UNAUTHORIZED,
            Self::Forbidden(_) => StatusCode::FORBIDDEN,
            Self::Internal(_) => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// `{"code":…,"message":…}`.
    pub(crate) fn to_json(&self) -> serde_json::Value {
        json!({ "code": self.code(), "message": self.to_string() })
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        if let Self::Internal(reason) = &self {
            eprintln!("web server: {reason}");
        }
        let body = Json(json!({ "error": self.to_json() }));
        let mut response = (self.status(), body).into_response();
        let headers = response.headers_mut();
        match self {
            Self::Busy => {
                headers.insert(header::RETRY_AFTER, HeaderValue::from_static("2"));
            }
            Self::Unauthenticated => {
                let bearer = HeaderValue::from_static("Bearer realm=\"biophony\"");
                headers.insert(header::WWW_AUTHENTICATE, bearer);
            }
            // What is left of the upload would be taken for the next request.
            Self::Timeout | Self::TooLarge { .. } => {
                headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
            }
            _ => {}
        }
        response
    }
}

impl From<AudioError> for ApiError {
    fn from(error: AudioError) -> Self {
        match error {
            AudioError::TooManyBytes { max_bytes, .. } => Self::TooLarge { max_bytes },
            AudioError::TooLong { max_duration, .. } => Self::TooLong(format!(
                "the recording is longer than {}, the most that this server takes at its sample \
                 rate; cut it into pieces, or use `biophony classify`",
                length(max_duration)
            )),
            AudioError::Read { .. } | AudioError::Write { .. } => {
                Self::Internal(with_causes(&error))
            }
            // The messages begin with the name of the upload.
            error => Self::UnreadableAudio(error.to_string()),
        }
    }
}

impl From<ModelError> for ApiError {
    fn from(error: ModelError) -> Self {
        match error {
            ModelError::Audio(error) => error.into(),
            ModelError::NonFiniteSample { .. } => Self::UnreadableAudio(error.to_string()),
            error => Self::Internal(with_causes(&error)),
        }
    }
}

impl From<TrackingError> for ApiError {
    fn from(error: TrackingError) -> Self {
        match error.code() {
            ErrorCode::ResourceDoesNotExist => Self::NotFound(error.to_string()),
            ErrorCode::InvalidParameterValue | ErrorCode::BadRequest => {
                Self::BadRequest(error.to_string())
            }
            ErrorCode::ResourceAlreadyExists | ErrorCode::InvalidState => {
                Self::Conflict(error.to_string())
            }
            ErrorCode::PermissionDenied => Self::Forbidden(error.to_string()),
            _ => Self::Internal(with_causes(&error)),
        }
    }
}

impl From<PipelineError> for ApiError {
    fn from(error: PipelineError) -> Self {
        match error {
            PipelineError::RunNotFound { .. }
            | PipelineError::StepNotFound { .. }
            | PipelineError::ContentNotFound { .. } => Self::NotFound(error.to_string()),
            error => Self::Internal(with_causes(&error)),
        }
    }
}

/// `90 seconds`, `10 minutes`, `2 min 55 s`.
pub(crate) fn length(duration: Seconds) -> String {
    let seconds = duration.0.round() as u64;
    match (seconds / 60, seconds % 60) {
        (0 | 1, _) => format!("{seconds} seconds"),
        (minutes, 0) => format!("{minutes} minutes"),
        (minutes, rest) => format!("{minutes} min {rest} s"),
    }
}

/// An error with its causes, in one line.
pub(crate) fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(&format!(": {error}"));
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_said_as_people_say_them() {
        for (seconds, expected) in [
            (2.0, "2 seconds"),
            (90.0, "90 seconds"),
            (600.0, "10 minutes"),
            (174.76, "2 min 55 s"),
        ] {
            assert_eq!(length(Seconds(seconds)), expected);
        }
    }
}
