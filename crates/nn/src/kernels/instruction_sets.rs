//! Every kernel, compiled once for each instruction set.
//!
//! The generic kernels are `#[inline(always)]`; wrapping them into functions with
//! `#[target_feature]` is what makes the compiler use the instructions.

use super::Kernels;
use super::descent::{AdamRule, SQUARE_SUMS, SgdRule};
use super::elementwise::{NormConstants, PoolRow, PooledGradient};

/// Hands the signatures of all functions in [`super::elementwise`] and [`super::descent`] to another macro.
macro_rules! with_elementwise {
    ($callback:ident $($arguments:tt)*) => {
        $callback! {
            $($arguments)*
            fn affine(x: &[f32], scale: &[f32], shift: &[f32], y: &mut [f32]);
            fn affine_relu(x: &[f32], scale: &[f32], shift: &[f32], y: &mut [f32]);
            fn relu(x: &[f32], y: &mut [f32]);
            fn relu_in_place(y: &mut [f32]);
            fn relu_backward(dy: &[f32], y: &[f32], dx: &mut [f32]);
            fn add(a: &[f32], b: &[f32], y: &mut [f32]);
            fn add_relu(a: &[f32], b: &[f32], y: &mut [f32]);
            fn accumulate(x: &[f32], y: &mut [f32]);
            fn sum(x: &[f32], sums: &mut [f32]);
            fn sum_squares(x: &[f32], mean: &[f32], sums: &mut [f32]);
            fn norm_sums(
                dy: &[f32], x: &[f32], norm: &NormConstants,
                d_shift: &mut [f32], d_scale: &mut [f32]
            );
            fn norm_relu_sums(
                dy: &[f32], x: &[f32], norm: &NormConstants,
                d_shift: &mut [f32], d_scale: &mut [f32]
            );
            fn norm_backward(dy: &[f32], x: &[f32], norm: &NormConstants, dx: &mut [f32]);
            fn norm_relu_backward(dy: &[f32], x: &[f32], norm: &NormConstants, dx: &mut [f32]);
            fn norm_relu_unpool(
                row: &PoolRow, tap_row: usize, pooled: &PooledGradient,
                x: &[f32], norm: &NormConstants, dx: &mut [f32]
            );
            fn max_pool_values(row: &PoolRow, x: &[f32], y: &mut [f32]);
            fn max_unpool(
                row: &PoolRow, tap_row: usize, dy: &[f32], places: &[u8], dx: &mut [f32]
            );
            fn adam(
                rule: &AdamRule, gradients: &[f32],
                weights: &mut [f32], first: &mut [f32], second: &mut [f32]
            );
            fn sgd(
                rule: &SgdRule, gradients: &[f32], weights: &mut [f32], velocity: &mut [f32]
            );
            fn approach(x: &[f32], share: f32, average: &mut [f32]);
            fn add_squares(x: &[f32], sums: &mut [f64; SQUARE_SUMS]);
        }
    };
}

/// A table of the elementwise functions, and safe methods that call them.
macro_rules! elementwise_table {
    ($(fn $name:ident($($argument:ident: $type:ty),*);)*) => {
        pub(super) struct Elementwise {
            $($name: unsafe fn($($type),*),)*
        }

        /// The functions of [`super::elementwise`], which see.
        impl Kernels {
            $(
                #[allow(clippy::too_many_arguments)]
                pub(crate) fn $name(&self, $($argument: $type),*) {
                    // SAFETY: the function is safe but for its instructions, and holding
                    // a `Kernels` means that the processor has them.
                    unsafe { (self.elementwise.$name)($($argument),*) }
                }
            )*
        }
    };
}

with_elementwise! { elementwise_table }

/// A table of tiles with 1, 2, … pixels or taps.
macro_rules! tiles {
    ($tile:ident, [$($n:literal)*]) => { &[$($tile::<$n>),*] };
    ($tile:ident, [$($n:literal)*], $vectors:literal) => { &[$($tile::<$n, $vectors>),*] };
}

/// Compiles every kernel for one instruction set into a module with a table `KERNELS`.
///
/// The tile sizes fill the registers with sums: 24 of 32, or 12 of 16, which
/// leaves room for the weights and one value. Where vectors are few, more pixels
/// would only make remainders longer.
macro_rules! instruction_set {
    (
        $(#[$condition:meta])*
        mod $module:ident($simd:path, $attribute:meta)
        tiles $one:tt $two:tt $three:tt depthwise $depthwise:tt
        $(fn $name:ident($($argument:ident: $type:ty),*);)*
    ) => {
        $(#[$condition])*
        pub(super) mod $module {
            use super::super::depthwise::{self, DepthwiseTile, DepthwiseWeightTile, WeightSteps};
            use super::super::descent::{AdamRule, SQUARE_SUMS, SgdRule};
            use super::super::elementwise::{self, NormConstants, PoolRow, PooledGradient};
            use super::super::pool::{self, PoolCall};
            use super::super::simd::Simd;
            use super::super::tile::{self, ConvCall, ConvTile, WeightCall, WeightTile};
            use super::super::winograd::{self, Filtering, Four, Three, TileRow, Transforms, Two};
            use super::super::Kernels;
            use super::Elementwise;

            pub(in super::super) static KERNELS: Kernels = Kernels {
                name: stringify!($module),
                lanes: <$simd as Simd>::LANES,
                conv: [CONV_1, CONV_2, CONV_3],
                weight: [WEIGHT_1, WEIGHT_2, WEIGHT_3],
                depthwise: DEPTHWISE,
                depthwise_weight: DEPTHWISE_WEIGHT,
                tiles_of_two: transforms::<Two, 2, 4>(),
                tiles_of_three: transforms::<Three, 3, 5>(),
                tiles_of_four: transforms::<Four, 4, 6>(),
                max_pool: max_pool::<false>,
                max_pool_scaled: max_pool::<true>,
                elementwise: Elementwise { $($name),* },
            };

            const CONV_1: &[ConvTile] = tiles!(conv, $one, 1);
            const CONV_2: &[ConvTile] = tiles!(conv, $two, 2);
            const CONV_3: &[ConvTile] = tiles!(conv, $three, 3);
            const WEIGHT_1: &[WeightTile] = tiles!(weight, $one, 1);
            const WEIGHT_2: &[WeightTile] = tiles!(weight, $two, 2);
            const WEIGHT_3: &[WeightTile] = tiles!(weight, $three, 3);
            const DEPTHWISE: &[DepthwiseTile] = tiles!(depthwise_conv, $depthwise);
            const DEPTHWISE_WEIGHT: &[DepthwiseWeightTile] = tiles!(depthwise_weight, $depthwise);

            const fn transforms<F, const SIDE: usize, const SEEN: usize>() -> Transforms
            where
                F: Filtering<SIDE, SEEN>,
            {
                Transforms {
                    look: look::<F, SIDE, SEEN>,
                    see: see::<F, SIDE, SEEN>,
                    unsee: unsee::<F, SIDE, SEEN>,
                }
            }

            // SAFETY of the eight calls: the contracts are those of the functions called.

            #[$attribute]
            unsafe fn conv<const P: usize, const V: usize>(call: &ConvCall) {
                unsafe { tile::conv::<$simd, P, V>(call) }
            }

            #[$attribute]
            unsafe fn weight<const T: usize, const V: usize>(call: &WeightCall) {
                unsafe { tile::weight::<$simd, T, V>(call) }
            }

            #[$attribute]
            unsafe fn depthwise_conv<const P: usize>(call: &ConvCall, steps: WeightSteps) {
                unsafe { depthwise::conv::<$simd, P>(call, steps) }
            }

            #[$attribute]
            unsafe fn depthwise_weight<const T: usize>(call: &WeightCall, x_tap: usize) {
                unsafe { depthwise::weight::<$simd, T>(call, x_tap) }
            }

            #[$attribute]
            unsafe fn look<F: Filtering<SIDE, SEEN>, const SIDE: usize, const SEEN: usize>(
                call: &TileRow,
            ) {
                unsafe { winograd::look::<$simd, F, SIDE, SEEN>(call) }
            }

            #[$attribute]
            unsafe fn see<F: Filtering<SIDE, SEEN>, const SIDE: usize, const SEEN: usize>(
                call: &TileRow,
            ) {
                unsafe { winograd::see::<$simd, F, SIDE, SEEN>(call) }
            }

            #[$attribute]
            unsafe fn unsee<F: Filtering<SIDE, SEEN>, const SIDE: usize, const SEEN: usize>(
                call: &TileRow,
            ) {
                unsafe { winograd::unsee::<$simd, F, SIDE, SEEN>(call) }
            }

            #[$attribute]
            unsafe fn max_pool<const SCALED: bool>(call: &PoolCall) {
                unsafe { pool::max_pool::<$simd, SCALED>(call) }
            }

            $(
                #[$attribute]
                unsafe fn $name($($argument: $type),*) {
                    elementwise::$name($($argument),*)
                }
            )*
        }
    };
}

with_elementwise! {
    instruction_set
    #[cfg(target_arch = "x86_64")]
    mod avx512(
        crate::kernels::x86::Avx512,
        target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")
    )
    tiles [1 2 3 4 5 6 7 8 9 10 11 12] [1 2 3 4 5 6 7 8 9 10 11 12] [1 2 3 4 5 6 7 8]
    depthwise [1 2 3 4 5 6 7 8]
}

with_elementwise! {
    instruction_set
    #[cfg(target_arch = "x86_64")]
    mod avx2(crate::kernels::x86::Avx2, target_feature(enable = "avx2,fma"))
    tiles [1 2 3 4 5 6 7 8] [1 2 3 4 5 6] [1 2 3 4]
    depthwise [1 2 3 4 5 6 7 8]
}

with_elementwise! {
    instruction_set
    #[cfg(target_arch = "aarch64")]
    mod neon(crate::kernels::neon::Neon, target_feature(enable = "neon"))
    tiles [1 2 3 4 5 6 7 8 9 10 11 12] [1 2 3 4 5 6 7 8 9 10 11 12] [1 2 3 4 5 6 7 8]
    depthwise [1 2 3 4 5 6 7 8]
}

with_elementwise! {
    instruction_set
    mod portable(crate::kernels::simd::Portable, inline(never))
    tiles [1 2 3 4 5 6 7 8] [1 2 3 4 5 6] [1 2 3 4]
    depthwise [1 2 3 4 5 6 7 8]
}
