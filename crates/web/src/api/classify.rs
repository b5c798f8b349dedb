//! `POST /api/v1/classify`: a file body, or `multipart/form-data` with parts `file`.

use std::sync::Arc;
use std::time::Instant;

use axum::body::Body;
use axum::extract::multipart::Field;
use axum::extract::{DefaultBodyLimit, FromRequest, Multipart, Query, Request, State};
use axum::http::{HeaderMap, header};
use axum::routing::post;
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::classify::{Detail, Question, classify};
use crate::client::Client;
use crate::error::ApiError;
use crate::hearing::{Heard, hear};
use crate::model_slot::Served;
use crate::state::WebState;
use crate::upload::Upload;

pub(super) fn router() -> Router<WebState> {
    Router::new()
        .route("/api/v1/classify", post(answer))
        // Bodies are limited where they are read, to the byte and in time.
        .layer(DefaultBodyLimit::disable())
}

/// What may stand behind the question mark.
#[derive(Debug, Default, Deserialize)]
struct Parameters {
    /// What to call a file that is the body itself.
    filename: Option<String>,
    /// `full` for what a page draws.
    detail: Option<String>,
}

async fn answer(
    State(state): State<WebState>,
    Query(parameters): Query<Parameters>,
    request: Request,
) -> Result<Json<Value>, ApiError> {
    let detail = match parameters.detail.as_deref() {
        None => Detail::Plain,
        Some("full") => Detail::Full,
        Some(other) => {
            let reason = format!("`detail={other}` is not known; leave it out, or ask for `full`");
            return Err(ApiError::BadRequest(reason));
        }
    };
    // One model for all files of a request.
    let served = state.models().current().ok_or(ApiError::NoModel)?;
    let asked = Asked {
        client: Client::of(request.extensions(), request.headers()),
        state,
        served,
        detail,
    };
    if is_multipart(request.headers()) {
        let form = Multipart::from_request(request, &()).await;
        return asked.about_form(form.map_err(bad_form)?).await.map(Json);
    }
    let (parts, body) = request.into_parts();
    let filename = parameters.filename.unwrap_or_else(|| "upload".to_owned());
    let answer = asked.about_body(&parts.headers, body, filename).await?;
    Ok(Json(answer))
}

/// A request about one or more files.
struct Asked {
    state: WebState,
    client: Client,
    served: Arc<Served>,
    detail: Detail,
}

impl Asked {
    async fn about_body(
        &self,
        headers: &HeaderMap,
        body: Body,
        filename: String,
    ) -> Result<Value, ApiError> {
        let upload = self
            .state
            .budget()
            .receive_body(self.client, headers, body)
            .await?;
        self.about(upload, filename).await
    }

    /// One file answers as a file body does; several answer one by one, each with its
    /// answer or its error.
    async fn about_form(&self, mut form: Multipart) -> Result<Value, ApiError> {
        let mut answers: Vec<(String, Result<Value, ApiError>)> = Vec::new();
        while let Some(part) = form.next_field().await.map_err(bad_form)? {
            if part.name() != Some("file") {
                continue;
            }
            let max_files = self.state.limits().max_files;
            if answers.len() == max_files {
                return Err(ApiError::BadRequest(format!(
                    "one request may bring {max_files} files; send the others in another one"
                )));
            }
            let filename = part.file_name().unwrap_or("upload").to_owned();
            let answer = match self.receive_part(part).await {
                Ok(upload) => self.about(upload, filename.clone()).await,
                // The rest of the form lies behind what was not read.
                Err(error) if answers.is_empty() => return Err(error),
                Err(error) => Err(error),
            };
            let has_ended = matches!(answer, Err(ApiError::TooLarge { .. } | ApiError::Timeout));
            answers.push((filename, answer));
            if has_ended {
                break;
            }
        }
        match answers.len() {
            0 => Err(ApiError::BadRequest(
                "the form has no part named `file`".to_owned(),
            )),
            1 => answers.swap_remove(0).1,
            _ => Ok(json!({ "results": answers.into_iter().map(told).collect::<Vec<_>>() })),
        }
    }

    async fn receive_part(&self, part: Field<'_>) -> Result<Upload, ApiError> {
        self.state.budget().receive(self.client, None, part).await
    }

    /// Classifies one file where sounds are classified.
    async fn about(&self, upload: Upload, filename: String) -> Result<Value, ApiError> {
        let Upload { bytes, share } = upload;
        let served = Arc::clone(&self.served);
        let question = Question {
            filename: filename.clone(),
            detail: self.detail,
            received: Instant::now(),
        };
        let answer = move |heard: Heard| {
            // The upload has been decoded, and its memory is free again.
            drop(share);
            serde_json::to_value(classify(&served, heard, question)?)
                .map_err(|error| ApiError::Internal(format!("an answer is no JSON: {error}")))
        };
        hear(&self.state, self.client, bytes, filename, answer).await
    }
}

fn told((filename, answer): (String, Result<Value, ApiError>)) -> Value {
    match answer {
        Ok(answer) => answer,
        Err(error) => json!({ "filename": filename, "error": error.to_json() }),
    }
}

fn is_multipart(headers: &HeaderMap) -> bool {
    let kind = headers
        .get(header::CONTENT_TYPE)
        .and_then(|kind| kind.to_str().ok());
    kind.is_some_and(|kind| kind.starts_with("multipart/form-data"))
}

fn bad_form(error: impl std::fmt::Display) -> ApiError {
    ApiError::BadRequest(format!("the form cannot be read: {error}"))
}
