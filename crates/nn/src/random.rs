//! Random numbers that depend on nothing but a seed and a position.
//!
//! The generator is SplitMix64 (Steele, Lea and Flood, 2014). Its state is a
//! counter, so that the n-th number of a stream can be had without the ones
//! before it: threads can share a dropout mask without sharing a generator.

/// A stream of random numbers.
#[derive(Debug, Clone)]
pub(crate) struct Random {
    state: u64,
}

const GOLDEN_GAMMA: u64 = 0x9e37_79b9_7f4a_7c15;

impl Random {
    /// The stream with the given number of the given seed.
    pub(crate) fn new(seed: u64, stream: u64) -> Self {
        Self {
            state: mix(mix(seed.wrapping_add(GOLDEN_GAMMA)) ^ stream),
        }
    }

    /// The same stream, `n` numbers further on.
    pub(crate) fn skip(&self, n: u64) -> Self {
        Self {
            state: self.state.wrapping_add(n.wrapping_mul(GOLDEN_GAMMA)),
        }
    }

    /// 64 random bits.
    pub(crate) fn bits(&mut self) -> u64 {
        self.state = self.state.wrapping_add(GOLDEN_GAMMA);
        mix(self.state)
    }

    /// Uniform in `[0, 1)`.
    pub(crate) fn uniform(&mut self) -> f64 {
        (self.bits() >> 11) as f64 * (1.0 / (1u64 << 53) as f64)
    }

    /// Standard normal, by Box and Muller.
    pub(crate) fn normal(&mut self) -> f64 {
        let radius = (-2.0 * (1.0 - self.uniform()).ln()).sqrt();
        radius * (std::f64::consts::TAU * self.uniform()).cos()
    }
}

fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn skipping_is_the_same_as_drawing() {
        let mut drawn = Random::new(7, 3);
        let skipped = drawn.skip(5).bits();
        for _ in 0..5 {
            drawn.bits();
        }
        assert_eq!(drawn.bits(), skipped);
    }

    #[test]
    fn normal_numbers_have_mean_zero_and_variance_one() {
        let mut random = Random::new(1, 2);
        let n = 20_000;
        let values: Vec<f64> = (0..n).map(|_| random.normal()).collect();
        let mean = values.iter().sum::<f64>() / f64::from(n);
        let variance = values.iter().map(|v| v * v).sum::<f64>() / f64::from(n);
        assert!(mean.abs() < 0.03, "{mean}");
        assert!((variance - 1.0).abs() < 0.04, "{variance}");
    }
}
