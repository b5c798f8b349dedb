//! The words for sound: a sample rate, a span of time, and a mono waveform.
//!
//! Where clips come from is in [`crate::decode`]; how one changes its rate is in
//! [`crate::resample`].

use std::fmt;
use std::num::NonZeroU32;

use serde::{Deserialize, Serialize};

/// Samples per second in one channel. Never zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SampleRate(NonZeroU32);

impl SampleRate {
    /// Returns `None` when `hertz` is zero.
    pub const fn from_hertz(hertz: u32) -> Option<Self> {
        match NonZeroU32::new(hertz) {
            Some(hertz) => Some(Self(hertz)),
            None => None,
        }
    }

    /// The frequency in hertz.
    pub const fn hertz(self) -> u32 {
        self.0.get()
    }

    /// How long `n_samples` last at this rate.
    pub fn duration_of(self, n_samples: usize) -> Seconds {
        Seconds(n_samples as f64 / f64::from(self.hertz()))
    }

    /// How many samples the span holds at this rate, rounded to the nearest.
    ///
    /// A negative span and one that is not a number hold none.
    pub fn samples_in(self, span: Seconds) -> usize {
        (span.0 * f64::from(self.hertz())).round() as usize
    }
}

impl fmt::Display for SampleRate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} Hz", self.hertz())
    }
}

/// A span of time in seconds.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Seconds(pub f64);

impl fmt::Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} s", self.0)
    }
}

/// A mono waveform: samples in time order, full scale at ±1, and their rate.
#[derive(Debug, Clone, PartialEq)]
pub struct Clip {
    samples: Vec<f32>,
    rate: SampleRate,
}

impl Clip {
    /// A clip of these samples.
    pub fn new(samples: Vec<f32>, rate: SampleRate) -> Self {
        Self { samples, rate }
    }

    /// The samples in time order.
    pub fn samples(&self) -> &[f32] {
        &self.samples
    }

    /// Samples per second.
    pub fn rate(&self) -> SampleRate {
        self.rate
    }

    /// How long the clip lasts.
    pub fn duration(&self) -> Seconds {
        self.rate.duration_of(self.samples.len())
    }

    /// Gives the samples away.
    pub fn into_samples(self) -> Vec<f32> {
        self.samples
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hertz(hertz: u32) -> SampleRate {
        SampleRate::from_hertz(hertz).expect("the tests use real rates")
    }

    #[test]
    fn a_rate_of_zero_does_not_exist() {
        assert_eq!(SampleRate::from_hertz(0), None);
        assert!(serde_json::from_str::<SampleRate>("0").is_err());
    }

    #[test]
    fn a_rate_is_written_as_a_plain_integer() {
        assert_eq!(
            serde_json::to_string(&hertz(22_050)).expect("serializes"),
            "22050"
        );
        assert_eq!(
            serde_json::from_str::<SampleRate>("22050").expect("parses"),
            hertz(22_050)
        );
    }

    #[test]
    fn a_second_holds_as_many_samples_as_the_rate_says() {
        assert_eq!(hertz(8_000).samples_in(Seconds(1.0)), 8_000);
        assert_eq!(hertz(8_000).samples_in(Seconds(-1.0)), 0);
        assert_eq!(hertz(8_000).samples_in(Seconds(f64::NAN)), 0);
        assert_eq!(
            Clip::new(vec![0.0; 4_000], hertz(8_000)).duration(),
            Seconds(0.5)
        );
    }
}
