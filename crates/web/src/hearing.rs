//! Decoding an upload where that holds nobody up.
//!
//! How long a sound is, one knows when it has been decoded: a header may say anything,
//! and a few kilobytes of silence can be hours. An upload is therefore decoded as far
//! as a quick job may go ([`Limits::decode_quickly`]), and if there is more of it, once
//! more from its beginning in the lane of long work.
//!
//! [`Limits::decode_quickly`]: crate::limits::Limits::decode_quickly

use std::path::Path;
use std::time::{Duration, Instant};

use biophony_audio::{AudioError, DecodeLimits, Decoded, decode_bytes};

use crate::client::Client;
use crate::error::ApiError;
use crate::pool::Lane;
use crate::state::WebState;

/// The largest file that is tried quickly; a larger one is copied and read for nothing.
const QUICK_BYTES: usize = 4_000_000;

/// A sound, and how long decoding it took.
pub(crate) struct Heard {
    pub(crate) decoded: Decoded,
    pub(crate) took: Duration,
}

/// What became of decoding quickly.
enum Attempt<T, W> {
    Done(T),
    /// There is more of it: the file, its name and what to do with its sound.
    Longer(Vec<u8>, String, W),
}

/// Decodes a file and does `work` with its sound, in the same job.
///
/// # Errors
///
/// When the file is no sound that can be read, or more than the limits allow; what
/// `work` says otherwise.
pub(crate) async fn hear<T: Send + 'static>(
    state: &WebState,
    client: Client,
    bytes: Vec<u8>,
    name: String,
    work: impl FnOnce(Heard) -> Result<T, ApiError> + Send + 'static,
) -> Result<T, ApiError> {
    let (bytes, name, work) = match bytes.len() <= QUICK_BYTES {
        false => (bytes, name, work),
        true => {
            let limits = state.limits().decode_quickly();
            let job = move || match decode(bytes.clone(), &name, &limits) {
                Err(AudioError::TooLong { .. } | AudioError::TooManyChannels { .. }) => {
                    Ok(Attempt::Longer(bytes, name, work))
                }
                heard => work(heard?).map(Attempt::Done),
            };
            match state.pool().run(client, Lane::Quick, job).await? {
                Attempt::Done(answer) => return Ok(answer),
                Attempt::Longer(bytes, name, work) => (bytes, name, work),
            }
        }
    };
    let limits = state.limits().decode();
    let job = move || work(decode(bytes, &name, &limits)?);
    state.pool().run(client, Lane::Long, job).await
}

fn decode(bytes: Vec<u8>, name: &str, limits: &DecodeLimits) -> Result<Heard, AudioError> {
    let started = Instant::now();
    let decoded = decode_bytes(bytes, Path::new(name), limits)?;
    let took = started.elapsed();
    Ok(Heard { decoded, took })
}
