//! Register tiles of convolutions: a few pixels × a few vectors of channels.
//!
//! A tile keeps its sums in registers while it walks over everything that its
//! pixels see. Matrix products are the special case of one tap. Who calls a tile,
//! and with which pointers, is in [`super::conv`].

use super::simd::Simd;

/// The values that one output pixel sees, relative to the first of them, in the
/// order of the weights: rows of segments of consecutive values.
///
/// In NHWC the columns of a kernel row lie one after the other, so that a row is a
/// single segment of `columns · channels`, unless groups leave gaps between them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Taps {
    pub(crate) rows: usize,
    pub(crate) row_stride: usize,
    pub(crate) segments: usize,
    pub(crate) segment_stride: usize,
    /// Consecutive values of a segment.
    pub(crate) run: usize,
}

impl Taps {
    /// The number of values seen.
    pub(crate) fn count(&self) -> usize {
        self.rows * self.segments * self.run
    }

    /// The distance from the first value to the end of the last, if there are any.
    pub(crate) fn span(&self) -> usize {
        if self.count() == 0 {
            return 0;
        }
        (self.rows - 1) * self.row_stride + (self.segments - 1) * self.segment_stride + self.run
    }
}

/// What becomes of a tile's sums.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Finish {
    /// They are the result.
    Write,
    /// Negative ones become zero first.
    Relu,
    /// They are added to what is there.
    Add,
}

/// The pointers of a row of tiles of a convolution.
pub(super) struct ConvCall {
    /// Tiles of the same channels, each next to the pixels of the one before; in depthwise
    /// convolutions of the same pixels, each next to the channels of the one before.
    pub(super) n_tiles: usize,
    /// What the first pixel sees first.
    pub(super) x: *const f32,
    /// From what one pixel sees to what the next sees.
    pub(super) x_pixel: usize,
    pub(super) taps: Taps,
    /// For each tap, one weight per channel of the tile, whole vectors.
    pub(super) weights: *const f32,
    /// One value per channel of the tile, whole vectors.
    pub(super) bias: *const f32,
    pub(super) y: *mut f32,
    pub(super) y_pixel: usize,
    /// Channels in the last vector.
    pub(super) last: usize,
    pub(super) finish: Finish,
}

/// A [`conv`] with its instructions, pixels and vectors chosen.
pub(super) type ConvTile = unsafe fn(&ConvCall);

/// `y[p][c] = bias[c] + Σ taps[p] · weights[c]` for `P` pixels of each tile and `V` vectors
/// of channels.
///
/// # Safety
///
/// The processor has the instructions of `S`; `x` is readable as far as the pixels of
/// all tiles see, `weights` and `bias` for `V` vectors (per tap), and `y` is writable for
/// those pixels, `V - 1` vectors and `last` values each.
#[inline(always)]
pub(super) unsafe fn conv<S: Simd, const P: usize, const V: usize>(call: &ConvCall) {
    for tile in 0..call.n_tiles {
        // SAFETY: the caller's.
        unsafe { conv_tile::<S, P, V>(call, tile * P) };
    }
}

/// One tile of [`conv`], which begins with so many pixels after the first.
///
/// # Safety
///
/// As there.
#[inline(always)]
unsafe fn conv_tile<S: Simd, const P: usize, const V: usize>(call: &ConvCall, first: usize) {
    let ConvCall {
        x_pixel,
        taps,
        bias,
        y_pixel,
        last,
        finish,
        ..
    } = *call;
    let mut weights = call.weights;
    // SAFETY: the loops stay within the extents that this function's contract names.
    unsafe {
        let (x, y) = (call.x.add(first * x_pixel), call.y.add(first * y_pixel));
        let mut sums = [[S::splat(0.0); V]; P];
        for v in 0..V {
            let start = S::load(bias.add(v * S::LANES));
            for sum in &mut sums {
                sum[v] = start;
            }
        }
        for row in 0..taps.rows {
            for segment in 0..taps.segments {
                let mut seen = x.add(row * taps.row_stride + segment * taps.segment_stride);
                for _ in 0..taps.run {
                    let mut w = [S::splat(0.0); V];
                    for (v, w) in w.iter_mut().enumerate() {
                        *w = S::load(weights.add(v * S::LANES));
                    }
                    for (p, sum) in sums.iter_mut().enumerate() {
                        let value = S::splat(*seen.add(p * x_pixel));
                        for v in 0..V {
                            sum[v] = S::fma(value, w[v], sum[v]);
                        }
                    }
                    seen = seen.add(1);
                    weights = weights.add(V * S::LANES);
                }
            }
        }
        for (p, sum) in sums.iter().enumerate() {
            let pixel = y.add(p * y_pixel);
            for (v, &sum) in sum.iter().enumerate() {
                let n = if v + 1 == V { last } else { S::LANES };
                finish_vector::<S>(sum, n, pixel.add(v * S::LANES), finish);
            }
        }
    }
}

/// Writes the first `n` lanes of a sum.
///
/// # Safety
///
/// The processor has the instructions of `S`; `y` is writable (for [`Finish::Add`]
/// also readable) for `n` values.
#[inline(always)]
pub(super) unsafe fn finish_vector<S: Simd>(sum: S::Vector, n: usize, y: *mut f32, finish: Finish) {
    // SAFETY: exactly the `n` values of the contract are touched.
    unsafe {
        let sum = match finish {
            Finish::Write => sum,
            // In this order a NaN stays a NaN.
            Finish::Relu => S::max(S::splat(0.0), sum),
            Finish::Add if n == S::LANES => S::add(S::load(y), sum),
            Finish::Add => S::add(S::load_first(n, y), sum),
        };
        if n == S::LANES {
            S::store(sum, y);
        } else {
            S::store_first(n, sum, y);
        }
    }
}

/// What becomes of the sums of a weight gradient.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sums {
    /// They are the result, whatever was there.
    Write,
    /// They are added to what is there.
    Add,
}

impl Sums {
    /// Leaves the sums of nothing.
    pub(super) fn end_empty(self, dw: &mut [f32]) {
        if self == Self::Write {
            dw.fill(0.0);
        }
    }
}

/// The pointers of one tile of a weight gradient.
pub(super) struct WeightCall {
    /// What the first pixel sees at the first tap of the tile.
    pub(super) x: *const f32,
    pub(super) x_row: usize,
    pub(super) x_pixel: usize,
    /// The gradient of the first pixel's result.
    pub(super) dy: *const f32,
    pub(super) dy_row: usize,
    pub(super) dy_pixel: usize,
    pub(super) rows: usize,
    pub(super) columns: usize,
    /// For each tap of the tile, one sum per channel, whole vectors.
    pub(super) dw: *mut f32,
    pub(super) dw_tap: usize,
    /// Whether the sums are added to what is there, or take its place.
    pub(super) adds: bool,
}

/// A [`weight`] with its instructions, taps and vectors chosen.
pub(super) type WeightTile = unsafe fn(&WeightCall);

/// `dw[t][c] = Σ x[pixel + t] · dy[pixel][c]`, or `+=` if it [adds](WeightCall::adds), for `T`
/// consecutive taps and `V` vectors of channels.
///
/// # Safety
///
/// The processor has the instructions of `S`; for every pixel `x` is readable for
/// `T` values and `dy` for `V` whole vectors; `dw` is readable and writable for `T`
/// taps of `V` vectors.
#[inline(always)]
pub(super) unsafe fn weight<S: Simd, const T: usize, const V: usize>(call: &WeightCall) {
    // SAFETY: the loops stay within the extents that this function's contract names.
    unsafe {
        let mut sums = [[S::splat(0.0); V]; T];
        for row in 0..call.rows {
            let mut x = call.x.add(row * call.x_row);
            let mut dy = call.dy.add(row * call.dy_row);
            for _ in 0..call.columns {
                let mut d = [S::splat(0.0); V];
                for (v, d) in d.iter_mut().enumerate() {
                    *d = S::load(dy.add(v * S::LANES));
                }
                for (t, sum) in sums.iter_mut().enumerate() {
                    let value = S::splat(*x.add(t));
                    for v in 0..V {
                        sum[v] = S::fma(value, d[v], sum[v]);
                    }
                }
                x = x.wrapping_add(call.x_pixel);
                dy = dy.wrapping_add(call.dy_pixel);
            }
        }
        for (t, sum) in sums.iter().enumerate() {
            for (v, &sum) in sum.iter().enumerate() {
                let to = call.dw.add(t * call.dw_tap + v * S::LANES);
                let sum = if call.adds {
                    S::add(S::load(to), sum)
                } else {
                    sum
                };
                S::store(sum, to);
            }
        }
    }
}
