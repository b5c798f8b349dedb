//! Receiving a file: never more than is allowed, never for longer, and never more
//! of all uploads together than the server has memory for.
//!
//! An upload takes its share of the common [`Budget`] as its bytes arrive, so that one
//! that announces much and sends little holds little, and gives it back when the sound
//! has been decoded. One client holds half of it at most. While an upload waits for
//! its share, the sender is held up by the network itself.
//!
//! Uploads that hold a part each and wait for more could wait for each other until all
//! of them are given up. A part of the memory is therefore set aside that is enough for
//! one of the greatest size: who has waited longest takes it, comes to its end, and
//! gives back what it held besides.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::{Body, BodyDataStream, Bytes};
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

/// How long what is still sent is read after an upload was refused, and how long the
/// wait is for more of it.
const HEAR_OUT: (Duration, Duration) = (Duration::from_secs(10), Duration::from_secs(2));

/// The memory that all uploads may hold together.
pub(crate) struct Budget {
    units: Arc<Semaphore>,
    /// What is set aside, for one upload at a time.
    reserve: Arc<Semaphore>,
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
pub(crate) struct Share {
    parts: Vec<(OwnedSemaphorePermit, Held)>,
    reserve: Option<OwnedSemaphorePermit>,
}

impl Budget {
    pub(crate) fn new(limits: &Limits) -> Self {
        // Beside what is set aside, one upload of the greatest size fits at least.
        let greatest = limits.max_bytes + UNIT;
        let common = limits.uploads_bytes.saturating_sub(greatest).max(greatest);
        Self {
            units: Arc::new(Semaphore::new(units(common) as usize)),
            reserve: Arc::new(Semaphore::new(1)),
            tally: Tally::default(),
            most: u64::from(units(common / 2)),
            patience: limits.patience,
            max_bytes: limits.max_bytes,
            idle: limits.upload_idle,
            total: limits.upload_total,
        }
    }

    /// Bytes that further uploads may take.
    pub(crate) fn free_bytes(&self) -> u64 {
        let reserve = self.reserve.available_permits() as u64 * (self.max_bytes + UNIT);
        self.units.available_permits() as u64 * UNIT + reserve
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
        let max_bytes = self.max_bytes;
        if length.is_some_and(|length| length > max_bytes) {
            return Err(ApiError::TooLarge { max_bytes });
        }
        let mut pieces = body.into_data_stream();
        let received = self.receive(client, length, &mut pieces).await;
        if received.is_err() {
            let (whole, pause) = HEAR_OUT;
            tokio::spawn(timeout(whole, hear_out(pieces, pause.min(self.idle))));
        }
        received
    }

    /// Receives pieces until there are none; `length` is what the sender announced.
    pub(crate) async fn receive<E>(
        &self,
        client: Client,
        length: Option<u64>,
        mut pieces: impl Stream<Item = Result<Bytes, E>> + Unpin,
    ) -> Result<Upload, ApiError> {
        let max_bytes = self.max_bytes;
        let mut upload = Upload {
            bytes: Vec::new(),
            share: Share::default(),
        };
        let most = length.unwrap_or(max_bytes);
        let mut held = 0;
        let mut ends = Instant::now() + self.total;
        loop {
            let left = ends.saturating_duration_since(Instant::now());
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
                return Err(ApiError::TooLarge { max_bytes });
            }
            if n_bytes > held {
                // Doubling what it holds keeps the number of waits small.
                let doubled = (2 * held).max(FIRST_BYTES).min(most).max(n_bytes);
                let asked = Instant::now();
                held += self.take(client, doubled - held, &mut upload.share).await?;
                // The sender is not the one who was slow.
                ends += asked.elapsed();
                let room = held.min(most.max(n_bytes)) as usize - upload.bytes.len();
                upload.bytes.reserve_exact(room);
            }
            upload.bytes.extend_from_slice(&piece);
        }
    }

    /// Takes a share of memory, or what is set aside; returns its size in bytes.
    async fn take(&self, client: Client, bytes: u64, share: &mut Share) -> Result<u64, ApiError> {
        let n_units = units(bytes);
        let part = async {
            let held = loop {
                match self.tally.hold(client, n_units.into(), self.most) {
                    Some(held) => break held,
                    None => sleep(LOOK_AGAIN).await,
                }
            };
            let permit = Arc::clone(&self.units).acquire_many_owned(n_units).await;
            permit.map(|permit| (permit, held))
        };
        let reserve = Arc::clone(&self.reserve).acquire_owned();
        let taken = async {
            tokio::select! {
                biased;
                part = part => part.map(|part| {
                    share.parts.push(part);
                    u64::from(n_units) * UNIT
                }),
                reserve = reserve => reserve.map(|reserve| {
                    share.reserve = Some(reserve);
                    self.max_bytes
                }),
            }
        };
        match timeout(self.patience, taken).await {
            Ok(Ok(bytes)) => Ok(bytes),
            _ => Err(ApiError::Busy),
        }
    }
}

/// Reads what is still sent, and forgets it: a connection that ends while its sender
/// sends takes the answer with it on many systems.
async fn hear_out(mut pieces: BodyDataStream, pause: Duration) {
    while let Ok(Some(Ok(_))) = timeout(pause, pieces.next()).await {}
}

fn units(bytes: u64) -> u32 {
    u32::try_from(bytes.div_ceil(UNIT)).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use futures_util::stream::poll_fn;
    use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
    use tokio::task::{JoinHandle, yield_now};

    use super::*;

    const MEGABYTE: usize = 1_000_000;

    type Pieces = UnboundedSender<Result<Bytes, Infallible>>;
    type Received = JoinHandle<Result<usize, ApiError>>;

    fn budget(patience: Duration) -> Arc<Budget> {
        Arc::new(Budget::new(&Limits {
            max_bytes: 2 * MEGABYTE as u64,
            uploads_bytes: 8 * MEGABYTE as u64,
            patience,
            ..Limits::default()
        }))
    }

    fn run(test: impl Future<Output = ()>) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build();
        runtime.expect("a runtime").block_on(test);
    }

    /// An upload of two megabytes, given back as soon as all of it has arrived; and the
    /// way to send its bytes.
    fn begin(budget: &Arc<Budget>, client: Client) -> (Pieces, Received) {
        let (sender, mut receiver) = unbounded_channel();
        let budget = Arc::clone(budget);
        let received = tokio::spawn(async move {
            let pieces = poll_fn(move |context| receiver.poll_recv(context));
            let length = Some(2 * MEGABYTE as u64);
            let upload = budget.receive(client, length, pieces).await?;
            Ok(upload.bytes.len())
        });
        (sender, received)
    }

    async fn send(pieces: &Pieces, n_bytes: usize) {
        for _ in 0..n_bytes / 100_000 {
            // Who was refused does not listen any more.
            let _ = pieces.send(Ok(Bytes::from_static(&[0; 100_000])));
            yield_now().await;
        }
    }

    #[test]
    fn uploads_that_hold_a_part_each_and_wait_for_more_all_come_to_their_end() {
        run(async {
            let budget = budget(Duration::from_secs(20));
            let before = budget.free_bytes();
            let uploads: Vec<_> = (0..8).map(|_| begin(&budget, Client::UNKNOWN)).collect();
            // Sixteen megabytes are to come, and there is room for fewer: what there is
            // goes to uploads of which none has all that it needs.
            for (pieces, _) in &uploads {
                send(pieces, 600_000).await;
            }
            for (pieces, _) in &uploads {
                send(pieces, 1_400_000).await;
            }
            // All senders are done, whichever upload gets its turn first.
            let uploads: Vec<_> = uploads.into_iter().map(|(_, received)| received).collect();
            for received in uploads {
                let received = received.await.expect("does not panic");
                assert_eq!(received.expect("comes to its end"), 2 * MEGABYTE);
            }
            assert_eq!(budget.free_bytes(), before);
        });
    }

    #[test]
    fn however_much_one_client_sends_there_is_room_for_another() {
        run(async {
            let budget = budget(Duration::ZERO);
            let uploads: Vec<_> = (0..8).map(|_| begin(&budget, Client::UNKNOWN)).collect();
            for (pieces, _) in &uploads {
                send(pieces, 600_000).await;
            }
            let (pieces, received) = begin(&budget, Client::at([10, 0, 0, 2].into()));
            send(&pieces, MEGABYTE).await;
            drop(pieces);
            let received = received.await.expect("does not panic");
            assert_eq!(received.expect("is received"), MEGABYTE);
        });
    }
}
