//! Register tiles of depthwise convolutions: a few pixels × one vector of channels.
//!
//! Each channel sees only itself, so that the lanes are channels throughout and no
//! value is broadcast. Who calls a tile is in [`super::conv`].

use super::simd::Simd;
use super::tile::{ConvCall, WeightCall, finish_vector};

/// `y[p][c] = bias[c] + Σ taps[p][c] · weights[c]` for `P` pixels and one vector of channels
/// in each tile: all channels of a few pixels are still in the cache when the next pixels
/// see some of them again.
///
/// A tap is a whole pixel here: the run of [`super::tile::Taps`] is 1, and the
/// weights of one tap are `steps.tap` values after those of the one before, those
/// of a row of taps `steps.row`.
///
/// # Safety
///
/// The processor has the instructions of `S`; `x` is readable for `n_tiles` vectors at
/// each tap of `P` pixels, `weights` and `bias` for as many (per tap), and `y` is writable
/// for all but the last of them and `last` values of `P` pixels.
#[inline(always)]
pub(super) unsafe fn conv<S: Simd, const P: usize>(call: &ConvCall, steps: WeightSteps) {
    let ConvCall {
        n_tiles,
        x_pixel,
        taps,
        y_pixel,
        finish,
        ..
    } = *call;
    // SAFETY: the loops stay within the extents that this function's contract names.
    unsafe {
        for tile in 0..n_tiles {
            let channel = tile * S::LANES;
            let mut sums = [S::load(call.bias.add(channel)); P];
            for row in 0..taps.rows {
                let mut seen = call.x.add(row * taps.row_stride + channel);
                let mut weights = call.weights.add(row * steps.row + channel);
                for _ in 0..taps.segments {
                    let w = S::load(weights);
                    for (p, sum) in sums.iter_mut().enumerate() {
                        *sum = S::fma(S::load(seen.add(p * x_pixel)), w, *sum);
                    }
                    seen = seen.wrapping_add(taps.segment_stride);
                    weights = weights.wrapping_add(steps.tap);
                }
            }
            let n = if tile + 1 < n_tiles {
                S::LANES
            } else {
                call.last
            };
            for (p, &sum) in sums.iter().enumerate() {
                finish_vector::<S>(sum, n, call.y.add(p * y_pixel + channel), finish);
            }
        }
    }
}

/// From the weights of one tap to those of the next, and of the tap below.
#[derive(Debug, Clone, Copy)]
pub(super) struct WeightSteps {
    pub(super) tap: usize,
    pub(super) row: usize,
}

/// A [`conv`] with its instructions and pixels chosen.
pub(super) type DepthwiseTile = unsafe fn(&ConvCall, WeightSteps);

/// `dw[t][c] = Σ x[pixel + t · tap][c] · dy[pixel][c]`, or `+=` if it [adds](WeightCall::adds),
/// for `T` taps and one vector of channels.
///
/// # Safety
///
/// The processor has the instructions of `S`; for every pixel `x` is readable for
/// one vector at each of `T` taps and `dy` for one vector; `dw` is readable and
/// writable for one vector per tap.
#[inline(always)]
pub(super) unsafe fn weight<S: Simd, const T: usize>(call: &WeightCall, x_tap: usize) {
    // SAFETY: the loops stay within the extents that this function's contract names.
    unsafe {
        let mut sums = [S::splat(0.0); T];
        for row in 0..call.rows {
            let mut x = call.x.add(row * call.x_row);
            let mut dy = call.dy.add(row * call.dy_row);
            for _ in 0..call.columns {
                let d = S::load(dy);
                for (t, sum) in sums.iter_mut().enumerate() {
                    *sum = S::fma(S::load(x.add(t * x_tap)), d, *sum);
                }
                x = x.wrapping_add(call.x_pixel);
                dy = dy.wrapping_add(call.dy_pixel);
            }
        }
        for (t, &sum) in sums.iter().enumerate() {
            let to = call.dw.add(t * call.dw_tap);
            let sum = if call.adds {
                S::add(S::load(to), sum)
            } else {
                sum
            };
            S::store(sum, to);
        }
    }
}

/// A [`weight`] with its instructions and taps chosen.
pub(super) type DepthwiseWeightTile = unsafe fn(&WeightCall, usize);
