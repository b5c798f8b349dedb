//! Bodies that are made piece by piece, when their reader asks for more: nothing is
//! ever whole in memory, and a slow reader holds no thread.

use std::fs::File;
use std::io::{self, Read};

use axum::body::Bytes;
use futures_util::Stream;
use futures_util::stream::unfold;
use tokio::task::spawn_blocking;

/// How much is read at once, and all that waits for a slow reader.
pub(crate) const PIECE_BYTES: u64 = 128 << 10;

/// The bytes of a file.
pub(crate) fn of_file(mut file: File) -> impl Stream<Item = io::Result<Bytes>> + Send + 'static {
    of_pieces(move || {
        let mut piece = Vec::new();
        file.by_ref().take(PIECE_BYTES).read_to_end(&mut piece)?;
        Ok((!piece.is_empty()).then(|| piece.into()))
    })
}

/// What `next` gives until it gives nothing more. It may wait for disks: it is asked
/// where that holds nobody up.
pub(crate) fn of_pieces<F>(next: F) -> impl Stream<Item = io::Result<Bytes>> + Send + 'static
where
    F: FnMut() -> io::Result<Option<Bytes>> + Send + 'static,
{
    unfold(Some(next), |next| async {
        let mut next = next?;
        let asked = spawn_blocking(move || (next(), next)).await;
        match asked {
            Ok((Ok(piece), next)) => Some((Ok(piece?), Some(next))),
            Ok((Err(error), _)) => Some((Err(error), None)),
            Err(panicked) => Some((Err(io::Error::other(panicked)), None)),
        }
    })
}
