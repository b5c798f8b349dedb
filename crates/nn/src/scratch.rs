//! Buffers that threads borrow while they work on one image.

use std::sync::{Mutex, PoisonError};

use crate::buffer::Buffer;

/// A stock of buffers: as many as threads ever work at once, kept for the next time.
#[derive(Debug, Default)]
pub(crate) struct ScratchPool {
    idle: Mutex<Vec<Scratch>>,
}

/// Buffers of one thread. Their contents are whatever the last user left.
#[derive(Debug, Default)]
pub(crate) struct Scratch {
    image: Buffer,
    frame: Buffer,
    row: Buffer,
    sums: [Buffer; 2],
}

/// The buffers of a [`Scratch`], at least as long as asked for.
pub(crate) struct Buffers<'s> {
    /// What a convolution sees of an image.
    pub(crate) image: &'s mut [f32],
    /// The gradient of a result with zeros around.
    pub(crate) frame: &'s mut [f32],
    /// One row of a gradient.
    pub(crate) row: &'s mut [f32],
    /// Sums per channel.
    pub(crate) sums: [&'s mut [f32]; 2],
}

/// The lengths of [`Buffers`].
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Lengths {
    pub(crate) image: usize,
    pub(crate) frame: usize,
    pub(crate) row: usize,
    pub(crate) sums: usize,
}

impl ScratchPool {
    /// Lends buffers of exactly these lengths. They grow to the longest ever asked for.
    pub(crate) fn with<R>(&self, lengths: Lengths, work: impl FnOnce(Buffers<'_>) -> R) -> R {
        let idle = self
            .idle
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .pop();
        let mut scratch = idle.unwrap_or_default();
        let result = work(scratch.buffers(lengths));
        self.idle
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(scratch);
        result
    }
}

impl Scratch {
    fn buffers(&mut self, lengths: Lengths) -> Buffers<'_> {
        let [first, second] = &mut self.sums;
        Buffers {
            image: prefix(&mut self.image, lengths.image),
            frame: prefix(&mut self.frame, lengths.frame),
            row: prefix(&mut self.row, lengths.row),
            sums: [prefix(first, lengths.sums), prefix(second, lengths.sums)],
        }
    }
}

fn prefix(buffer: &mut Buffer, len: usize) -> &mut [f32] {
    if buffer.len() < len {
        *buffer = Buffer::zeros(len);
    }
    &mut buffer[..len]
}
