//! Sound that waits to be heard: bounded, the oldest is dropped first, and how much
//! of it is told.

use std::collections::VecDeque;

/// Sound that waits. Positions count samples since the session began.
#[derive(Debug)]
pub(crate) struct Inbox {
    waiting: VecDeque<f32>,
    capacity: usize,
    /// The position of the first sample that waits.
    first: u64,
    /// The position of the first sample that was dropped since the last take.
    dropped_from: Option<u64>,
    has_ended: bool,
}

/// A stretch of sound, and what is missing before it.
#[derive(Debug, PartialEq)]
pub(crate) struct Taken {
    /// The stretch just before this one that was dropped: position and length.
    pub(crate) gap: Option<(u64, u64)>,
    pub(crate) start: u64,
    pub(crate) samples: Vec<f32>,
}

impl Inbox {
    /// Room for so many samples.
    pub(crate) fn new(capacity: usize) -> Self {
        Self {
            waiting: VecDeque::new(),
            capacity: capacity.max(1),
            first: 0,
            dropped_from: None,
            has_ended: false,
        }
    }

    /// Takes little-endian `f32` samples in; what is no number becomes silence. Bytes
    /// that do not fill a sample are left out.
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        for sample in bytes.chunks_exact(4) {
            let sample = sample.try_into().map(f32::from_le_bytes);
            let sample = sample.ok().filter(|sample| sample.is_finite());
            if self.waiting.len() == self.capacity {
                self.waiting.pop_front();
                self.dropped_from.get_or_insert(self.first);
                self.first += 1;
            }
            self.waiting.push_back(sample.unwrap_or(0.0));
        }
    }

    /// No more sound follows.
    pub(crate) fn end(&mut self) {
        self.has_ended = true;
    }

    /// Whether no more sound follows and all of it was taken.
    pub(crate) fn is_over(&self) -> bool {
        self.has_ended && self.waiting.is_empty()
    }

    /// At most `most` samples, once `least` are there or no more follow.
    pub(crate) fn take(&mut self, least: usize, most: usize) -> Option<Taken> {
        let n = self.waiting.len().min(most);
        if n == 0 || (n < least && !self.has_ended) {
            return None;
        }
        let start = self.first;
        let gap = self.dropped_from.take().map(|from| (from, start - from));
        self.first += n as u64;
        Some(Taken {
            gap,
            start,
            samples: self.waiting.drain(..n).collect(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(samples: &[f32]) -> Vec<u8> {
        samples.iter().flat_map(|x| x.to_le_bytes()).collect()
    }

    #[test]
    fn what_comes_in_goes_out_in_order() {
        let mut inbox = Inbox::new(10);
        inbox.push(&bytes(&[1.0, 2.0, f32::NAN]));
        assert_eq!(inbox.take(4, 10), None, "too little");
        inbox.push(&bytes(&[4.0, f32::INFINITY]));
        let taken = inbox.take(4, 4).expect("enough");
        assert_eq!((taken.gap, taken.start), (None, 0));
        assert_eq!(taken.samples, [1.0, 2.0, 0.0, 4.0]);
        assert!(!inbox.is_over());
        inbox.end();
        let taken = inbox.take(4, 4).expect("the rest");
        assert_eq!((taken.start, taken.samples), (4, vec![0.0]));
        assert!(inbox.is_over());
    }

    #[test]
    fn the_oldest_is_dropped_and_every_sample_is_accounted_for() {
        let mut inbox = Inbox::new(100);
        let (mut heard, mut dropped) = (0, 0);
        for round in 0..50_u64 {
            inbox.push(&bytes(&[0.5; 70]));
            if round % 3 == 0 {
                let taken = inbox.take(1, 60).expect("there is sound");
                let missing = taken.gap.map_or(0, |(from, n)| {
                    assert_eq!(from, heard + dropped);
                    n
                });
                dropped += missing;
                assert_eq!(taken.start, heard + dropped);
                heard += taken.samples.len() as u64;
            }
            assert!(inbox.waiting.len() <= 100);
        }
        assert!(dropped > 0);
        inbox.end();
        while let Some(taken) = inbox.take(1, 60) {
            dropped += taken.gap.map_or(0, |(_, n)| n);
            heard += taken.samples.len() as u64;
        }
        assert_eq!(heard + dropped, 50 * 70);
    }
}
