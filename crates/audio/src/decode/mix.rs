//! Many channels become one, and their levels are noted on the way.

use crate::instructions::{self, dispatch};

/// Values beyond this in a floating-point file are damage rather than sound:
/// files that hold integers as floats stay below it.
const LARGEST_CREDIBLE: f32 = 1e10;

/// Gathers the mean of all channels.
pub(super) struct Mixer {
    samples: Vec<f32>,
    max_samples: usize,
    /// The magnitude from which on a sample counts as clipped.
    full_scale: f32,
    /// The largest magnitude so far, as bits: magnitudes order as their bits do,
    /// and whole-number comparisons vectorize where `f32::max` does not.
    peak_bits: u32,
    clipped: u64,
    replaced: u64,
}

/// The sound is longer than the limits allow.
#[derive(Debug)]
pub(super) struct LimitReached;

impl Mixer {
    /// A mixer that takes `max_samples` at most.
    pub(super) fn new(full_scale: f32, max_samples: usize) -> Self {
        let samples = Vec::new();
        Self {
            samples,
            max_samples,
            full_scale,
            peak_bits: 0,
            clipped: 0,
            replaced: 0,
        }
    }

    /// Makes room for as many more samples, which the caller knows to exist.
    pub(super) fn reserve(&mut self, n_samples: usize) {
        self.samples.reserve_exact(n_samples.min(self.max_samples));
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
    ) -> Result<(), LimitReached> {
        self.note_levels(frames);
        let share = 1.0 / channels as f32;
        self.check_room(frames.len() / channels)?;
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
    pub(super) fn push_planar(&mut self, planes: &mut [Vec<f32>]) -> Result<(), LimitReached> {
        let share = 1.0 / planes.len() as f32;
        for plane in planes.iter_mut() {
            self.note_levels(plane);
        }
        let Some((first, others)) = planes.split_first() else {
            return Ok(());
        };
        self.check_room(first.len())?;
        let start = self.samples.len();
        self.samples.extend(first.iter().map(|value| value * share));
        for plane in others {
            for (sum, value) in self.samples[start..].iter_mut().zip(plane) {
                *sum += value * share;
            }
        }
        Ok(())
    }

    fn check_room(&self, n_samples: usize) -> Result<(), LimitReached> {
        let fits = self.samples.len() + n_samples <= self.max_samples;
        if fits { Ok(()) } else { Err(LimitReached) }
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
        assert!(mixer.push_interleaved(&mut [0.0; 4], 1).is_err());
        assert!(mixer.push_interleaved(&mut [0.0; 3], 1).is_ok());
    }
}
