//! Memory that begins where a line of the cache does.
//!
//! A vector of sixteen values that lies across two lines is read twice, and allocators
//! promise no more than sixteen bytes. With channels in whole vectors, all pixels of an
//! aligned buffer are aligned too.

use std::ops::{Deref, DerefMut};

/// Bytes of a line of the cache, and of the widest vector.
const LINE: usize = 64;

/// As many values as it was made for, from the beginning of a line on.
#[derive(Debug, Default)]
pub(crate) struct Buffer {
    values: Vec<f32>,
    /// Values before the line begins.
    before: usize,
    len: usize,
}

impl Buffer {
    /// `len` zeros. Memory for them is taken when they are first written.
    pub(crate) fn zeros(len: usize) -> Self {
        let values = vec![0.0; len + LINE / size_of::<f32>() - 1];
        // Where the way to the next line is not known, any place will do.
        let before = values.as_ptr().align_offset(LINE);
        Self {
            before: if before + len <= values.len() {
                before
            } else {
                0
            },
            values,
            len,
        }
    }
}

impl Deref for Buffer {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        &self.values[self.before..self.before + self.len]
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [f32] {
        &mut self.values[self.before..self.before + self.len]
    }
}

impl Clone for Buffer {
    fn clone(&self) -> Self {
        let mut copy = Self::zeros(self.len);
        copy.copy_from_slice(self);
        copy
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_and_their_copies_begin_with_a_line() {
        for len in [0, 1, 15, 16, 1000, 100_000] {
            let mut buffer = Buffer::zeros(len);
            buffer.fill(1.5);
            for buffer in [&buffer, &buffer.clone()] {
                assert_eq!(buffer.as_ptr() as usize % LINE, 0);
                assert_eq!(**buffer, vec![1.5; len]);
            }
        }
        assert!(Buffer::default().is_empty());
    }
}
