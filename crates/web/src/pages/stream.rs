//! Bodies that are made piece by piece, so that nothing is ever whole in memory.

use std::fs::File;
use std::io::{self, Read, Write};

use axum::body::Bytes;
use futures_util::Stream;
use tokio::sync::mpsc;

/// How much is read or written at once.
const PIECE_BYTES: usize = 64 << 10;

/// How many pieces wait for a slow reader.
const N_WAITING: usize = 4;

/// The bytes of a file.
pub(crate) fn of_file(mut file: File) -> impl Stream<Item = io::Result<Bytes>> + Send + 'static {
    of_writer(move |sink| {
        let mut piece = vec![0; PIECE_BYTES];
        loop {
            match file.read(&mut piece)? {
                0 => return Ok(()),
                n => sink.write_all(&piece[..n])?,
            }
        }
    })
}

/// What `write` writes, on a thread of its own that waits when the reader is slow and
/// ends when the reader is gone.
pub(crate) fn of_writer(
    write: impl FnOnce(&mut Sink) -> io::Result<()> + Send + 'static,
) -> impl Stream<Item = io::Result<Bytes>> + Send + 'static {
    let (sender, receiver) = mpsc::channel(N_WAITING);
    tokio::task::spawn_blocking(move || {
        let mut sink = Sink {
            sender: sender.clone(),
        };
        if let Err(error) = write(&mut sink) {
            // A reader that is gone hears nothing either.
            let _ = sender.blocking_send(Err(error));
        }
    });
    futures_util::stream::unfold(receiver, |mut receiver| async {
        let piece = receiver.recv().await?;
        Some((piece, receiver))
    })
}

/// Where a body is written to.
pub(crate) struct Sink {
    sender: mpsc::Sender<io::Result<Bytes>>,
}

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let piece = &bytes[..bytes.len().min(PIECE_BYTES)];
        self.sender
            .blocking_send(Ok(Bytes::copy_from_slice(piece)))
            .map_err(|_| io::ErrorKind::BrokenPipe)?;
        Ok(piece.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
