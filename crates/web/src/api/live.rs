//! `GET /api/v1/live?rate=48000`: a WebSocket that takes sound and tells what is heard.
//!
//! The client sends binary messages of little-endian `f32` samples, and
//! `{"type":"stop"}` at its end. Sound is always taken from the socket at once, so that
//! a slow server never makes the browser's buffers grow: what cannot be heard in time
//! is dropped from the [`Inbox`], the oldest first, and the client is told. A client
//! that says what is not understood is told so when what it sent before has been heard,
//! and that is the end; one that does not listen is not spoken to for long.

use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::extract::ws::{Message as Frame, WebSocket, WebSocketUpgrade};
use axum::extract::{FromRequest, Query, Request, State};
use axum::response::Response;
use axum::routing::get;
use biophony_audio::{SampleRate, Seconds};
use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt, StreamExt};
use serde::Deserialize;
use tokio::sync::Notify;
use tokio::time::{sleep, timeout};

use crate::client::Client;
use crate::error::ApiError;
use crate::live::{Inbox, Message, Session};
use crate::pool::Lane;
use crate::state::WebState;

/// Rates that microphones have, with room.
const RATES: std::ops::RangeInclusive<u32> = 4_000..=384_000;

/// The largest message: a second and more at the highest rate.
const MAX_MESSAGE_BYTES: usize = 2 << 20;

/// Sound is heard in pieces of at least and at most this length.
const PIECE: (Seconds, Seconds) = (Seconds(0.1), Seconds(1.0));

/// How long a client may say nothing, and how long it may not listen.
const SILENCE: Duration = Duration::from_secs(60);
const DEAFNESS: Duration = Duration::from_secs(20);

/// How much is repeated of words that are not understood, in characters.
const QUOTED: usize = 60;

/// The wait when there is no room to classify.
const BUSY_WAIT: Duration = Duration::from_millis(50);

pub(super) fn router() -> Router<WebState> {
    Router::new().route("/api/v1/live", get(live))
}

#[derive(Debug, Deserialize)]
struct Parameters {
    rate: u32,
}

async fn live(
    State(state): State<WebState>,
    parameters: Result<Query<Parameters>, axum::extract::rejection::QueryRejection>,
    request: Request,
) -> Result<Response, ApiError> {
    let client = Client::of(request.extensions(), request.headers());
    let refuse = |reason: &str| ApiError::BadRequest(reason.to_owned());
    let Query(Parameters { rate }) = parameters
        .map_err(|_| refuse("say how many samples a second follow, such as `?rate=48000`"))?;
    let rate = SampleRate::from_hertz(rate)
        .filter(|rate| RATES.contains(&rate.hertz()))
        .ok_or_else(|| refuse("the rate must lie between 4,000 and 384,000 samples a second"))?;
    let upgrade = WebSocketUpgrade::from_request(request, &state).await;
    let upgrade = upgrade.map_err(|_| refuse("this address speaks WebSocket only"))?;
    Ok(upgrade
        .max_message_size(MAX_MESSAGE_BYTES)
        .max_frame_size(MAX_MESSAGE_BYTES)
        .on_upgrade(move |socket| converse(socket, state, client, rate)))
}

/// What the two directions of a conversation share.
struct Shared {
    inbox: Mutex<Inbox>,
    changed: Notify,
    /// Why the client is not listened to any more, where it did not stop by itself.
    refusal: OnceLock<ApiError>,
}

impl Shared {
    fn inbox<T>(&self, f: impl FnOnce(&mut Inbox) -> T) -> T {
        // Nothing that holds the lock panics half-way.
        f(&mut self.inbox.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

async fn converse(socket: WebSocket, state: WebState, client: Client, rate: SampleRate) {
    let (sink, stream) = socket.split();
    let mut speaker = Speaker { sink, client };
    // Errors are told after the handshake: browsers hide the answers to a failed one.
    let session = match state.live_place() {
        Some(place) => Session::new(state.models().clone(), rate).map(|session| (session, place)),
        None => Err(ApiError::Busy),
    };
    let (session, place) = match session {
        Ok(session) => session,
        Err(error) => return speaker.fail(&error).await,
    };
    let shared = Shared {
        inbox: Mutex::new(Inbox::new(rate.samples_in(state.limits().live_backlog))),
        changed: Notify::new(),
        refusal: OnceLock::new(),
    };
    let listening = async {
        if let Err(refusal) = listen(stream, &shared).await {
            shared.refusal.get_or_init(|| refusal);
        }
        shared.inbox(Inbox::end);
        shared.changed.notify_one();
        // The other direction decides when it is over.
        std::future::pending::<()>().await;
    };
    tokio::select! {
        () = speaker.speak(&state, session, rate, &shared) => {}
        () = listening => {}
    }
    drop(place);
}

/// Takes sound in until the client stops, goes away, falls silent, or says what is not
/// understood.
async fn listen(mut stream: SplitStream<WebSocket>, shared: &Shared) -> Result<(), ApiError> {
    while let Ok(Some(Ok(frame))) = timeout(SILENCE, stream.next()).await {
        match frame {
            Frame::Binary(bytes) if !bytes.len().is_multiple_of(size_of::<f32>()) => {
                return Err(ApiError::BadRequest(format!(
                    "a binary message of {} bytes holds no whole number of 32-bit floats",
                    bytes.len()
                )));
            }
            Frame::Binary(bytes) => {
                shared.inbox(|inbox| inbox.push(&bytes));
                shared.changed.notify_one();
            }
            Frame::Text(text) if is_stop(&text) => break,
            Frame::Text(text) => {
                let text: String = text.chars().take(QUOTED).collect();
                return Err(ApiError::BadRequest(format!(
                    "`{text}` is not understood: the only message in words is {{\"type\":\"stop\"}}"
                )));
            }
            Frame::Close(_) => break,
            // Pings are answered below us.
            Frame::Ping(_) | Frame::Pong(_) => {}
        }
    }
    Ok(())
}

fn is_stop(text: &str) -> bool {
    serde_json::from_str::<serde_json::Value>(text).is_ok_and(|message| message["type"] == "stop")
}

/// The way to the client.
struct Speaker {
    sink: SplitSink<WebSocket, Frame>,
    client: Client,
}

fn lock(session: &Mutex<Session>) -> MutexGuard<'_, Session> {
    // After a panic the conversation ends anyway.
    session.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The client does not listen any more.
struct Gone;

impl Speaker {
    /// Hears what comes in and tells of it, until it is over.
    async fn speak(
        &mut self,
        state: &WebState,
        session: Session,
        rate: SampleRate,
        shared: &Shared,
    ) {
        if self.say(&session.greeting()).await.is_err() {
            return;
        }
        let session = Arc::new(Mutex::new(session));
        let [least, most] = [PIECE.0, PIECE.1].map(|piece| rate.samples_in(piece));
        loop {
            let taken = shared.inbox(|inbox| inbox.take(least, most));
            let Some(taken) = taken else {
                if shared.inbox(|inbox| inbox.is_over()) {
                    break;
                }
                tokio::select! {
                    () = shared.changed.notified() => continue,
                    () = state.stopped() => break,
                }
            };
            if let Some((_, n_samples)) = taken.gap {
                let seconds = rate.duration_of(n_samples as usize);
                state.stats().dropped(seconds);
            }
            lock(&session).give(taken);
            let heard = loop {
                let session = Arc::clone(&session);
                let job = move || lock(&session).hear();
                match state.pool().run(self.client, Lane::Quick, job).await {
                    // Meanwhile the inbox sees to it that nothing grows.
                    Err(ApiError::Busy) => sleep(BUSY_WAIT).await,
                    heard => break heard,
                }
            };
            match heard {
                Ok(messages) => {
                    for message in &messages {
                        if self.say(message).await.is_err() {
                            return;
                        }
                    }
                }
                Err(error) => return self.fail(&error).await,
            }
        }
        match shared.refusal.get() {
            Some(refusal) => self.fail(refusal).await,
            None => self.close().await,
        }
    }

    async fn say(&mut self, message: &Message) -> Result<(), Gone> {
        let text = serde_json::to_string(message).map_err(|_| Gone)?;
        let sent = timeout(DEAFNESS, self.sink.send(Frame::Text(text.into()))).await;
        match sent {
            Ok(Ok(())) => Ok(()),
            _ => Err(Gone),
        }
    }

    async fn fail(&mut self, error: &ApiError) {
        let error = error.to_json();
        if self.say(&Message::Error { error }).await.is_ok() {
            self.close().await;
        }
    }

    async fn close(&mut self) {
        // Whoever has gone cannot be told.
        let _ = timeout(DEAFNESS, self.sink.close()).await;
    }
}
