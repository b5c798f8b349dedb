//! Receiving a file: never more than is allowed, never for longer, and never more
//! of all uploads together than the server has memory for.
//!
//! An upload takes its share of the common [`Budget`] as its bytes arrive, so that one
//! that announces much and sends little holds little, and gives it back when the sound
//! has been decoded. One client holds half of it at most. While an upload waits for
//! its share, the sender is held up by the network itself.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, header};
use futures_util::{Stream, StreamExt};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{sleep, timeout};

use crate::client::{Client, Held, Tally};
use crate::error::ApiError;
use crate::limits::Limits;

/// The unit in which memory is given out.
const UNIT: u64 = 16 << 10;

/// What an upload gets at its beginning; then its share doubles as it needs more.
const FIRST_BYTES: u64 = 512 << 10;

/// How often a client that holds its part looks whether some of it is free again.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// The memory that all uploads may hold together.
pub(crate) struct Budget {
    units: Arc<Semaphore>,
    tally: Tally,
    /// Units that one client may hold.
    most: u64,
    patience: Duration,
    max_bytes: u64,
    idle: Duration,
    total: Duration,
}

/// A file that was received, and its share of memory.
pub(crate) struct Upload {
    pub(crate) bytes: Vec<u8>,
    /// Given back when the upload is dropped.
    pub(crate) share: Share,
}

/// A share of the memory for uploads.
#[derive(Default)]
pub(crate) struct Share(Vec<(OwnedSemaphorePermit, Held)>);

impl Budget {
    pub(crate) fn new(limits: &Limits) -> Self {
        // One upload of the greatest size always fits.
        let bytes = limits.uploads_bytes.max(limits.max_bytes + UNIT);
        let most = (bytes / 2).max(limits.max_bytes + UNIT);
        Self {
            units: Arc::new(Semaphore::new(units(bytes) as usize)),
            tally: Tally::default(),
            most: u64::from(units(most)),
            patience: limits.patience,
            max_bytes: limits.max_bytes,
            idle: limits.upload_idle,
            total: limits.upload_total,
        }
    }

    /// Bytes that further uploads may take.
    pub(crate) fn free_bytes(&self) -> u64 {
        self.units.available_permits() as u64 * UNIT
    }

    /// Receives the body of a request.
    pub(crate) async fn receive_body(
        &self,
        client: Client,
        headers: &HeaderMap,
        body: Body,
    ) -> Result<Upload, ApiError> {
        let length = headers
            .get(header::CONTENT_LENGTH)
            .and_then(|value| value.to_str().ok())
            .and_then(|value| value.parse().ok());
        self.receive(client, length, body.into_data_stream()).await
    }

    /// Receives pieces until there are none; `length` is what the sender announced.
    pub(crate) async fn receive<E>(
        &self,
        client: Client,
        length: Option<u64>,
        mut pieces: impl Stream<Item = Result<Bytes, E>> + Unpin,
    ) -> Result<Upload, ApiError> {
        let max_bytes = self.max_bytes;
        let too_large = || ApiError::TooLarge { max_bytes };
        if length.is_some_and(|length| length > max_bytes) {
            return Err(too_large());
        }
        let mut upload = Upload {
            bytes: Vec::new(),
            share: Share::default(),
        };
        let most = length.unwrap_or(max_bytes);
        let mut held = 0;
        let started = Instant::now();
        loop {
            let left = self.total.saturating_sub(started.elapsed());
            let next = timeout(self.idle.min(left), pieces.next()).await;
            let piece = match next.map_err(|_| ApiError::Timeout)? {
                None => return Ok(upload),
                Some(Ok(piece)) => piece,
                Some(Err(_)) => {
                    let reason = "the upload ended before all of it had arrived";
                    return Err(ApiError::BadRequest(reason.to_owned()));
                }
            };
            let n_bytes = (upload.bytes.len() + piece.len()) as u64;
            if n_bytes > max_bytes {
                return Err(too_large());
            }
            if n_bytes > held {
                // Doubling what it holds keeps the number of waits small.
                let doubled = (2 * held).max(FIRST_BYTES).min(most).max(n_bytes);
                held += self.take(client, doubled - held, &mut upload.share).await?;
                let room = doubled as usize - upload.bytes.len();
                upload.bytes.reserve_exact(room);
            }
            upload.bytes.extend_from_slice(&piece);
        }
    }

    /// Takes a share of memory; returns its size in bytes.
    async fn take(&self, client: Client, bytes: u64, share: &mut Share) -> Result<u64, ApiError> {
        let n_units = units(bytes);
        let taken = async {
            let held = loop {
                match self.tally.hold(client, n_units.into(), self.most) {
                    Some(held) => break held,
                    None => sleep(LOOK_AGAIN).await,
                }
            };
            let permit = Arc::clone(&self.units).acquire_many_owned(n_units).await;
            permit.map(|permit| (permit, held))
        };
        // An upload that holds a part and waits for more, beside another one that
        // does the same, could wait for ever: it is given up after a while.
        match timeout(self.patience, taken).await {
            Ok(Ok(taken)) => {
                share.0.push(taken);
                Ok(u64::from(n_units) * UNIT)
            }
            _ => Err(ApiError::Busy),
        }
    }
}

fn units(bytes: u64) -> u32 {
    u32::try_from(bytes.div_ceil(UNIT)).unwrap_or(u32::MAX)
}
