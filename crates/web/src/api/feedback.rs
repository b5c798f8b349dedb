//! `POST /api/v1/feedback`: "correct", or "wrong, it is …", with the recording.
//!
//! A form with the parts `file`, `label`, `predicted`, `correct` and `model_version`.
//! The recording is kept as [`crate::reviewed`] says; only what can be read as sound
//! is.

use std::collections::HashMap;

use axum::extract::multipart::MultipartError;
use axum::extract::{DefaultBodyLimit, FromRequest, Multipart, Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router};
use biophony_audio::sniff;
use serde_json::json;

use crate::client::Client;
use crate::error::ApiError;
use crate::hearing::hear;
use crate::reviewed::{Label, Review};
use crate::state::WebState;
use crate::upload::Upload;

/// The longest text of a part.
const MAX_TEXT_BYTES: usize = 1_000;

pub(super) fn router() -> Router<WebState> {
    Router::new()
        .route("/api/v1/feedback", post(feedback))
        // Bodies are limited where they are read.
        .layer(DefaultBodyLimit::disable())
}

/// What the parts of the form hold.
#[derive(Default)]
struct Form {
    file: Option<(Upload, String)>,
    texts: HashMap<String, String>,
}

async fn feedback(State(state): State<WebState>, request: Request) -> Result<Response, ApiError> {
    let client = Client::of(request.extensions(), request.headers());
    let form = Multipart::from_request(request, &()).await;
    let form = form.map_err(|error| ApiError::BadRequest(error.body_text()))?;
    let mut form = read(&state, client, form).await?;
    let (upload, filename) = form.file.take().ok_or_else(|| lacks("file"))?;
    let label = Label::try_from(form.text("label")?)?;
    let correct = match form.text("correct")? {
        "true" | "1" | "yes" => true,
        "false" | "0" | "no" => false,
        _ => {
            return Err(ApiError::BadRequest(
                "`correct` is `true` or `false`".to_owned(),
            ));
        }
    };
    let predicted = form.texts.remove("predicted").unwrap_or_default();
    if !predicted.is_empty() && correct != (predicted == label.as_str()) {
        return Err(ApiError::BadRequest(format!(
            "`correct` is {correct}, but the label is `{}` and what was predicted `{predicted}`",
            label.as_str()
        )));
    }
    let review = Review {
        path: String::new(),
        label: label.as_str().to_owned(),
        predicted,
        correct,
        model_version: form.texts.remove("model_version").unwrap_or_default(),
        filename,
    };
    let (keeper, Upload { bytes, share }) = (state.clone(), upload);
    let (copy, name) = (bytes.clone(), review.filename.clone());
    // What cannot be read as sound is not kept.
    let keep = move |_| {
        let container = sniff(&bytes)
            .ok_or_else(|| ApiError::UnreadableAudio("this is no audio".to_owned()))?;
        let kept = keeper.reviewed().keep(&bytes, container, &label, review);
        drop(share);
        kept
    };
    let path = hear(&state, client, copy, name, keep).await?;
    Ok((StatusCode::CREATED, Json(json!({ "path": path }))).into_response())
}

async fn read(
    state: &WebState,
    client: Client,
    mut multipart: Multipart,
) -> Result<Form, ApiError> {
    let bad = |error: MultipartError| ApiError::BadRequest(error.body_text());
    let mut form = Form::default();
    while let Some(mut part) = multipart.next_field().await.map_err(bad)? {
        let name = part.name().unwrap_or_default().to_owned();
        match name.as_str() {
            name if form.has(name) => {
                return Err(ApiError::BadRequest(format!(
                    "the form has more than one part `{name}`"
                )));
            }
            "file" => {
                let filename: String = part
                    .file_name()
                    .unwrap_or("upload")
                    .chars()
                    .take(200)
                    .collect();
                form.file = Some((state.budget().receive(client, None, part).await?, filename));
            }
            "label" | "predicted" | "correct" | "model_version" => {
                let mut text = Vec::new();
                while let Some(piece) = part.chunk().await.map_err(bad)? {
                    text.extend_from_slice(&piece);
                    if text.len() > MAX_TEXT_BYTES {
                        return Err(ApiError::BadRequest(format!("`{name}` is too long")));
                    }
                }
                let text = String::from_utf8(text)
                    .map_err(|_| ApiError::BadRequest(format!("`{name}` is no text")))?;
                form.texts.insert(name, text);
            }
            _ => return Err(ApiError::BadRequest(format!("there is no part `{name}`"))),
        }
    }
    Ok(form)
}

impl Form {
    fn has(&self, name: &str) -> bool {
        self.texts.contains_key(name) || (name == "file" && self.file.is_some())
    }

    fn text(&self, name: &'static str) -> Result<&str, ApiError> {
        let text = self.texts.get(name);
        text.map(String::as_str).ok_or_else(|| lacks(name))
    }
}

fn lacks(name: &str) -> ApiError {
    ApiError::BadRequest(format!("the form lacks the part `{name}`"))
}
