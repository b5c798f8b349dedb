//! Receiving a file: never more than is allowed, never for longer, and never more
//! of all uploads together than the server has memory for.
//!
//! An upload takes its share of the common [`Budget`] before its bytes are read, and
//! gives it back when the sound has been decoded. While it waits for its share, the
//! sender is held up by the network itself.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, header};
use futures_util::{Stream, StreamExt};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use crate::error::ApiError;
use crate::limits::Limits;

/// The unit in which memory is given out.
const UNIT: u64 = 16 << 10;

/// The memory that all uploads may hold together.
pub(crate) struct Budget {
    units: Arc<Semaphore>,
    patience: Duration,
    max_bytes: u64,
    idle: Duration,
    total: Duration,
}

/// A file that was received, and its share of memory.
pub(crate) struct Upload {
    pub(crate) bytes: Vec<u8>,
    /// Given back when the upload is dropped.
    pub(crate) share: Vec<OwnedSemaphorePermit>,
}

impl Budget {
    pub(crate) fn new(limits: &Limits) -> Self {
        // One upload of the greatest size always fits.
        let bytes = limits.uploads_bytes.max(limits.max_bytes + UNIT);
        Self {
            units: Arc::new(Semaphore::new(units(bytes) as usize)),
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
        headers: &HeaderMap,
        body: Body,
    ) -> Result<Upload, ApiError> {
        let length = headers
            .get(header::CONTENT_LENGTH)
            .and_then(|value| value.to_str().ok())
            .and_then(|value| value.parse().ok());
        self.receive(length, body.into_data_stream()).await
    }

    /// Receives pieces until there are none; `length` is what the sender announced.
    pub(crate) async fn receive<E>(
        &self,
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
            share: Vec::new(),
        };
        let mut held = 0;
        if let Some(length) = length {
            held = self.take(length, &mut upload.share).await?;
            upload.bytes.reserve_exact(length as usize);
        }
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
                // It did not say how long it is. Doubling what it holds, as the
                // buffer does, keeps the number of waits small.
                let more = (n_bytes - held).max(held).min(max_bytes - held);
                held += self.take(more, &mut upload.share).await?;
            }
            upload.bytes.extend_from_slice(&piece);
        }
    }

    /// Takes a share of memory; returns its size in bytes.
    async fn take(
        &self,
        bytes: u64,
        share: &mut Vec<OwnedSemaphorePermit>,
    ) -> Result<u64, ApiError> {
        let n_units = units(bytes);
        // An upload that holds a part and waits for more, beside another one that
        // does the same, could wait for ever: it is given up after a while.
        let permit = Arc::clone(&self.units).acquire_many_owned(n_units);
        match timeout(self.patience, permit).await {
            Ok(Ok(permit)) => {
                share.push(permit);
                Ok(u64::from(n_units) * UNIT)
            }
            _ => Err(ApiError::Busy),
        }
    }
}

fn units(bytes: u64) -> u32 {
    u32::try_from(bytes.div_ceil(UNIT)).unwrap_or(u32::MAX)
}
