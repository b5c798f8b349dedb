//! Where every random number comes from: one seed, and what it is needed for.
//!
//! Each draw has a seed of its own, derived from its purpose and place. Results
//! do not depend on the order in which threads do their work, and a resumed
//! training draws what an uninterrupted one would have.

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

/// What a random number is needed for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// Initial weights.
    Weights = 1,
    /// Which examples an epoch takes, and in which order.
    Order = 2,
    /// What happens to one example.
    Augment = 3,
    /// Which examples of a batch are mixed, and how much.
    Mixup = 4,
    /// Which values dropout zeroes.
    Dropout = 5,
    /// The seed of another member, by its index.
    Member = 6,
}

/// The seed for one draw.
pub(crate) fn sub_seed(seed: u64, purpose: Purpose, epoch: usize, index: usize) -> u64 {
    [purpose as u64, epoch as u64, index as u64]
        .into_iter()
        .fold(mix(seed), |state, part| {
            mix(state.rotate_left(17) ^ mix(part))
        })
}

/// The generator for one draw.
pub(crate) fn generator(seed: u64, purpose: Purpose, epoch: usize, index: usize) -> ChaCha8Rng {
    ChaCha8Rng::seed_from_u64(sub_seed(seed, purpose, epoch, index))
}

/// One step of SplitMix64 (Steele, Lea and Flood 2014): every bit of the input
/// changes half of the bits of the output.
fn mix(state: u64) -> u64 {
    let mut z = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn no_two_draws_share_a_seed() {
        let mut seen = HashSet::new();
        for seed in 0..4 {
            for purpose in [Purpose::Weights, Purpose::Order, Purpose::Augment] {
                for epoch in 0..20 {
                    for index in 0..100 {
                        assert!(seen.insert(sub_seed(seed, purpose, epoch, index)));
                    }
                }
            }
        }
    }
}
