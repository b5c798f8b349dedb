//! The loops that take the time, compiled for several instruction sets.
//!
//! A [`Kernels`] is a table of functions for one instruction set. [`Kernels::best`]
//! picks the widest that the processor has, or the one that the environment
//! variable `BIOPHONY_SIMD` names (`portable`, `avx2`, `avx512` or `neon`).
//! Everything here checks its slices and is safe to call. What is convolved with
//! what, and how images are shared among threads, is the business of `crate::conv`.
//!
//! This module is the only one with `unsafe` code, for two reasons: functions
//! compiled for instructions that not every processor has may only be called after
//! asking the processor, and the register tiles in [`tile`] and [`depthwise`] and the
//! transforms in [`winograd`] use pointers, because bounds checks within would cost more
//! than the arithmetic. Each is tested against a scalar version over random shapes.
#![allow(unsafe_code)]

pub(crate) mod conv;
mod depthwise;
mod descent;
mod elementwise;
#[cfg(test)]
mod elementwise_tests;
mod instruction_sets;
#[cfg(target_arch = "aarch64")]
mod neon;
mod pool;
mod simd;
mod tile;
pub(crate) mod winograd;
#[cfg(target_arch = "x86_64")]
mod x86;

use std::sync::OnceLock;

use depthwise::{DepthwiseTile, DepthwiseWeightTile};
pub(crate) use descent::{AdamRule, SQUARE_SUMS, SgdRule};
pub(crate) use elementwise::{NormConstants, PoolRow, PooledGradient, period, repeat_channels};
use instruction_sets::Elementwise;
use pool::PoolRowKernel;
use tile::{ConvTile, WeightTile};
pub(crate) use tile::{Finish, Sums, Taps};
use winograd::Transforms;

/// The kernels of one instruction set. Holding one means that the processor has it.
pub(crate) struct Kernels {
    name: &'static str,
    lanes: usize,
    /// By the vectors of a tile less one, then by its pixels less one.
    conv: [&'static [ConvTile]; 3],
    /// By the vectors of a tile less one, then by its taps less one.
    weight: [&'static [WeightTile]; 3],
    /// By the pixels of a tile less one.
    depthwise: &'static [DepthwiseTile],
    /// By the taps of a tile less one.
    depthwise_weight: &'static [DepthwiseWeightTile],
    /// The transforms of [`winograd`].
    tiles_of_two: Transforms,
    tiles_of_three: Transforms,
    tiles_of_four: Transforms,
    max_pool: PoolRowKernel,
    max_pool_scaled: PoolRowKernel,
    elementwise: Elementwise,
}

impl std::fmt::Debug for Kernels {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}

impl Kernels {
    /// The kernels to use: those that `BIOPHONY_SIMD` names if the processor has
    /// them, otherwise the widest that it has.
    pub(crate) fn best() -> &'static Self {
        static BEST: OnceLock<&'static Kernels> = OnceLock::new();
        BEST.get_or_init(|| {
            let wanted = std::env::var("BIOPHONY_SIMD").unwrap_or_default();
            let supported = Self::supported();
            let named = supported.iter().find(|kernels| kernels.name == wanted);
            named.unwrap_or(&supported[0])
        })
    }

    /// All that this processor can run, widest first; the last is portable.
    pub(crate) fn supported() -> Vec<&'static Self> {
        let mut supported: Vec<&'static Self> = Vec::new();
        #[cfg(target_arch = "x86_64")]
        {
            let avx2 = is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma");
            let avx512 = avx2
                && is_x86_feature_detected!("avx512f")
                && is_x86_feature_detected!("avx512bw")
                && is_x86_feature_detected!("avx512dq")
                && is_x86_feature_detected!("avx512vl");
            if avx512 {
                supported.push(&instruction_sets::avx512::KERNELS);
            }
            if avx2 {
                supported.push(&instruction_sets::avx2::KERNELS);
            }
        }
        #[cfg(target_arch = "aarch64")]
        supported.push(&instruction_sets::neon::KERNELS);
        supported.push(&instruction_sets::portable::KERNELS);
        supported
    }

    /// The name that `BIOPHONY_SIMD` knows these by.
    pub(crate) fn name(&self) -> &'static str {
        self.name
    }

    /// Values per vector.
    pub(crate) fn lanes(&self) -> usize {
        self.lanes
    }
}
