//! Many channels become one, and their levels are noted on the way.

use crate::instructions::{self, dispatch};

/// Values beyond this in a floating-point file are damage rather than sound:
/// files that hold integers as floats stay below it.
const LARGEST_CREDIBLE: f32 = 1e10;

/// Gathers the mean of all channels.
pub(super) struct Mixer {
    samples: Vec<f32>,
    max_samples: usize,
    /// How many samples a header announces, which nobody has to believe.
    announced: usize,
    /// The magnitude from which on a sample counts as clipped.
    full_scale: f32,
    /// The largest magnitude so far, as bits: magnitudes order as their bits do,
    /// and whole-number comparisons vectorize where `f32::max` does not.
    peak_bits: u32,
    clipped: u64,
    replaced: u64,
}

/// Why no more sound is taken.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Full {
    /// It is longer than the limits allow.
    Limit,
    /// There is no memory for so many samples.
    Memory { n_samples: usize },
}

impl Mixer {
    /// A mixer that takes `max_samples` at most.
    pub(super) fn new(full_scale: f32, max_samples: usize) -> Self {
        let samples = Vec::new();
        Self {
            samples,
            max_samples,
            announced: 0,
            full_scale,
            peak_bits: 0,
            clipped: 0,
            replaced: 0,
        }
    }

    /// Says how many samples a header announces. Room is still made only for what
    /// comes, but not for more than that.
    pub(super) fn announce(&mut self, n_samples: usize) {
        self.announced = n_samples;
    }

    /// Makes room for as many samples in all, which the caller knows to exist.
    pub(super) fn reserve(&mut self, n_samples: usize) -> Result<(), Full> {
        let n_more = n_samples
            .min(self.max_samples)
            .saturating_sub(self.samples.len());
        self.samples
            .try_reserve_exact(n_more)
            .map_err(|_| Full::Memory { n_samples })
    }

    /// How many samples there are so far, which is the same in each channel.
    pub(super) fn n_samples(&self) -> usize {
        self.samples.len()
    }

    /// Takes samples that go round the channels.
    pub(super) fn push_interleaved(
        &mut self,
        frames: &mut [f32],
        channels: usize,
    ) -> Result<(), Full> {
        self.note_levels(frames);
        let share = 1.0 / channels as f32;
        self.make_room(frames.len() / channels)?;
        match channels {
            1 => self.samples.extend_from_slice(frames),
            // Weighted before they are added, so that two large values cannot
            // overflow.
            2 => self.samples.extend(
                frames
                    .chunks_exact(2)
                    .map(|pair| 0.5 * pair[0] + 0.5 * pair[1]),
            ),
            _ => {
                let mean = |frame: &[f32]| frame.iter().map(|value| value * share).sum::<f32>();
                self.samples.extend(frames.chunks_exact(channels).map(mean));
            }
        }
        Ok(())
    }

    /// Takes one slice for each channel, all equally long.
    pub(super) fn push_planar(&mut self, planes: &mut [Vec<f32>]) -> Result<(), Full> {
        let share = 1.0 / planes.len() as f32;
        for plane in planes.iter_mut() {
            self.note_levels(plane);
        }
        let Some((first, others)) = planes.split_first() else {
            return Ok(());
        };
        self.make_room(first.len())?;
        let start = self.samples.len();
        self.samples.extend(first.iter().map(|value| value * share));
        for plane in others {
            for (sum, value) in self.samples[start..].iter_mut().zip(plane) {
                *sum += value * share;
            }
        }
        Ok(())
    }

    /// Room for so many more samples. It doubles as it grows, so that few pieces are
    /// moved, but not beyond what can come, and not where memory is short.
    fn make_room(&mut self, n_more: usize) -> Result<(), Full> {
        let needed = self.samples.len() + n_more;
        if needed > self.max_samples {
            return Err(Full::Limit);
        }
        if needed <= self.samples.capacity() {
            return Ok(());
        }
        let most = match self.announced >= needed {
            true => self.announced.min(self.max_samples),
            false => self.max_samples,
        };
        let doubled = (2 * self.samples.capacity()).clamp(needed, most);
        self.reserve(doubled)
            .or_else(|_| self.reserve(needed))
            .map_err(|_| Full::Memory {
                n_samples: needed.max(self.announced),
            })
    }

    /// Updates peak and clipping, and silences what is damaged.
    fn note_levels(&mut self, values: &mut [f32]) {
        let largest = dispatch!(instructions::level(), _simd => largest_magnitude(values));
        if largest > LARGEST_CREDIBLE.to_bits() {
            for value in values
                .iter_mut()
                .filter(|value| magnitude(**value) > LARGEST_CREDIBLE.to_bits())
            {
                *value = 0.0;
                self.replaced += 1;
            }
            return self.note_levels(values);
        }
        self.peak_bits = self.peak_bits.max(largest);
        let full_scale = self.full_scale.to_bits();
        if largest >= full_scale {
            self.clipped += values
                .iter()
                .filter(|value| magnitude(**value) >= full_scale)
                .count() as u64;
        }
    }

    /// Ends the mix.
    pub(super) fn finish(mut self) -> Mix {
        // Room was made for what a header claimed to lie in the file; give back
        // what a damaged stream did not fill.
        if self.samples.capacity() > 2 * self.samples.len() {
            self.samples.shrink_to_fit();
        }
        Mix {
            samples: self.samples,
            peak: f32::from_bits(self.peak_bits),
            clipped: self.clipped,
            replaced: self.replaced,
        }
    }
}

/// The bits of a value without its sign.
#[inline(always)]
fn magnitude(value: f32) -> u32 {
    value.to_bits() & 0x7FFF_FFFF
}

#[inline(always)]
fn largest_magnitude(values: &[f32]) -> u32 {
    let magnitudes = values.iter().map(|&value| magnitude(value));
    magnitudes.fold(0, |largest, magnitude| magnitude.max(largest))
}

/// One channel made of many, and what they were like.
pub(super) struct Mix {
    pub(super) samples: Vec<f32>,
    /// The largest magnitude in any channel.
    pub(super) peak: f32,
    /// How many samples, over all channels, were at full scale.
    pub(super) clipped: u64,
    /// How many samples, over all channels, were damaged.
    pub(super) replaced: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn channels_are_mixed_to_their_mean() {
        let mut mixer = Mixer::new(1.0, 10);
        mixer
            .push_interleaved(&mut [0.5, -0.5, 0.25, 0.75], 2)
            .expect("fits");
        mixer
            .push_interleaved(&mut [0.0, 0.5, 0.25], 3)
            .expect("fits");
        mixer
            .push_planar(&mut [vec![0.5, 0.0], vec![0.25, -1.0]])
            .expect("fits");
        let mix = mixer.finish();
        assert_eq!(mix.samples, [0.0, 0.5, 0.25, 0.375, -0.5]);
        assert_eq!((mix.peak, mix.clipped, mix.replaced), (1.0, 1, 0));
    }

    #[test]
    fn clipping_is_counted_before_channels_cancel_out() {
        let mut mixer = Mixer::new(1.0, 10);
        mixer.push_interleaved(&mut [1.0, -1.0], 2).expect("fits");
        let mix = mixer.finish();
        assert_eq!((mix.samples, mix.clipped), (vec![0.0], 2));
    }

    #[test]
    fn what_is_no_number_becomes_silence_and_is_counted() {
        let mut mixer = Mixer::new(1.0, 10);
        mixer
            .push_interleaved(&mut [f32::NAN, 0.5, f32::NEG_INFINITY, 3e38], 1)
            .expect("fits");
        let mix = mixer.finish();
        assert_eq!(mix.samples, [0.0, 0.5, 0.0, 0.0]);
        assert_eq!((mix.peak, mix.replaced), (0.5, 3));
    }

    #[test]
    fn more_samples_than_the_limit_are_refused() {
        let mut mixer = Mixer::new(1.0, 3);
        assert_eq!(mixer.push_interleaved(&mut [0.0; 4], 1), Err(Full::Limit));
        assert_eq!(mixer.push_interleaved(&mut [0.0; 3], 1), Ok(()));
    }

    #[test]
    fn room_grows_no_further_than_what_can_come() {
        let room = |announced, max_samples| {
            let mut mixer = Mixer::new(1.0, max_samples);
            mixer.announce(announced);
            for _ in 0..5 {
                mixer.push_interleaved(&mut [0.0; 100], 1).expect("fits");
            }
            mixer.samples.capacity()
        };
        assert_eq!(room(500, usize::MAX), 500);
        assert_eq!(room(0, 550), 550);
        // A header that announces too little or far too much changes nothing.
        assert_eq!(room(300, usize::MAX), 600);
        assert_eq!(room(usize::MAX, usize::MAX), 800);
    }

    #[test]
    fn memory_that_cannot_be_had_is_an_error() {
        let mut mixer = Mixer::new(1.0, usize::MAX);
        let n_samples = usize::MAX / 8;
        assert_eq!(mixer.reserve(n_samples), Err(Full::Memory { n_samples }));
    }
}
