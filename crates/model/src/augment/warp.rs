//! Sounds read faster or slower, and higher or lower, than they were recorded.
//!
//! Both happen on the spectrogram, by linear interpolation between its values: an
//! individual of another size and mood, not another recorder. A shift by bands is
//! a change of pitch where the mel scale is logarithmic (above 1 kHz for Slaney's)
//! and close to one below.

use biophony_audio::Spectrogram;

/// How a window is read from a spectrogram.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Warp {
    /// Frames of the clip to one frame of the window: above 1, faster.
    pub(super) pace: f64,
    /// By how many bands sounds move up.
    pub(super) shift: f64,
}

impl Warp {
    /// Everything as it was recorded.
    pub(super) const NONE: Self = Self {
        pace: 1.0,
        shift: 0.0,
    };

    /// How many frames of a clip a window of `n_frames` takes.
    pub(super) fn span(self, n_frames: usize) -> usize {
        1 + ((n_frames - 1) as f64 * self.pace).ceil() as usize
    }

    /// Reads a window that begins at a frame of the clip. What is missing at the
    /// clip's end comes from its beginning, and beyond the outermost bands there is
    /// what they hold.
    ///
    /// # Shapes
    ///
    /// - `window`: `[bands, n_frames]`, row-major
    pub(super) fn read(
        self,
        features: &Spectrogram,
        first: usize,
        n_frames: usize,
        window: &mut [f32],
    ) {
        if self == Self::NONE {
            for (band, row) in window.chunks_exact_mut(n_frames).enumerate() {
                row.copy_from_slice(&features.row(band)[first..first + n_frames]);
            }
            return;
        }
        let frames: Vec<Between> = (0..n_frames)
            .map(|frame| {
                let mut place = Between::of(first as f64 + frame as f64 * self.pace);
                place.low %= features.n_frames;
                place.high %= features.n_frames;
                place
            })
            .collect();
        let last = (features.n_bands - 1) as f64;
        for (band, row) in window.chunks_exact_mut(n_frames).enumerate() {
            let place = Between::of((band as f64 - self.shift).clamp(0.0, last));
            let low = features.row(place.low);
            let high = features.row(place.high.min(features.n_bands - 1));
            for (value, frame) in row.iter_mut().zip(&frames) {
                *value = lerp(frame.in_row(low), frame.in_row(high), place.share);
            }
        }
    }
}

/// A place between two neighbours.
#[derive(Debug, Clone, Copy)]
struct Between {
    low: usize,
    high: usize,
    /// How much of the higher one counts.
    share: f32,
}

impl Between {
    fn of(place: f64) -> Self {
        let low = place.floor();
        Self {
            low: low as usize,
            high: low as usize + 1,
            share: (place - low) as f32,
        }
    }

    fn in_row(self, row: &[f32]) -> f32 {
        lerp(row[self.low], row[self.high], self.share)
    }
}

fn lerp(from: f32, to: f32, share: f32) -> f32 {
    from + (to - from) * share
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Values by band and frame: `10 · band + frame`.
    fn clip(n_frames: usize) -> Spectrogram {
        let values = (0..4 * n_frames).map(|i| (10 * (i / n_frames) + i % n_frames) as f32);
        Spectrogram::new(4, n_frames, values.collect())
    }

    #[track_caller]
    fn check(warp: Warp, first: usize, band: usize, expected: [f32; 3]) {
        let mut window = vec![f32::NAN; 4 * 3];
        warp.read(&clip(6), first, 3, &mut window);
        assert_eq!(window[band * 3..][..3], expected);
    }

    #[test]
    fn unwarped_a_window_is_a_cut() {
        check(Warp::NONE, 2, 1, [12.0, 13.0, 14.0]);
    }

    #[test]
    fn a_faster_pace_takes_more_of_the_clip_and_wraps_at_its_end() {
        let faster = Warp {
            pace: 1.5,
            ..Warp::NONE
        };
        assert_eq!(faster.span(3), 4);
        check(faster, 0, 2, [20.0, 21.5, 23.0]);
        check(faster, 3, 0, [3.0, 4.5, 0.0]);
    }

    #[test]
    fn a_slower_pace_takes_less() {
        let slower = Warp {
            pace: 0.5,
            ..Warp::NONE
        };
        assert_eq!(slower.span(3), 2);
        check(slower, 4, 0, [4.0, 4.5, 5.0]);
    }

    #[test]
    fn a_shift_moves_sounds_up_and_repeats_the_outermost_band() {
        let up = Warp {
            shift: 1.5,
            ..Warp::NONE
        };
        check(up, 0, 3, [15.0, 16.0, 17.0]);
        check(up, 0, 1, [0.0, 1.0, 2.0]);
        let down = Warp {
            shift: -1.0,
            ..Warp::NONE
        };
        check(down, 0, 0, [10.0, 11.0, 12.0]);
        check(down, 0, 3, [30.0, 31.0, 32.0]);
    }
}
