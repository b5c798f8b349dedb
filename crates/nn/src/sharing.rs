//! Planning which values may lie in the same buffer, one after the other.

use crate::buffer::Buffer;

/// Buffers in the making: their sizes, and which of them no value needs any more.
#[derive(Debug, Default)]
pub(crate) struct Sharing {
    sizes: Vec<usize>,
    idle: Vec<usize>,
}

impl Sharing {
    /// The idle buffer that fits best, grown if it must be, or a new one.
    pub(crate) fn borrow(&mut self, size: usize) -> usize {
        let misfit = |slot: usize| self.sizes[slot].abs_diff(size);
        let best = (0..self.idle.len()).min_by_key(|&place| misfit(self.idle[place]));
        let slot = match best {
            Some(place) => self.idle.swap_remove(place),
            None => {
                self.sizes.push(0);
                self.sizes.len() - 1
            }
        };
        self.sizes[slot] = self.sizes[slot].max(size);
        slot
    }

    /// Marks a buffer as no longer needed by its value.
    pub(crate) fn give_back(&mut self, slot: usize) {
        self.idle.push(slot);
    }

    /// The buffers, large enough for all their values.
    pub(crate) fn allocate(&self) -> Vec<Buffer> {
        self.sizes.iter().map(|&size| Buffer::zeros(size)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_idle_buffer_of_like_size_is_used_again() {
        let mut sharing = Sharing::default();
        let (large, small) = (sharing.borrow(100), sharing.borrow(10));
        sharing.give_back(large);
        sharing.give_back(small);
        assert_eq!(sharing.borrow(12), small);
        assert_eq!(sharing.borrow(50), large);
        let sizes: Vec<usize> = sharing
            .allocate()
            .iter()
            .map(|buffer| buffer.len())
            .collect();
        assert_eq!(sizes, [100, 12]);
    }
}
