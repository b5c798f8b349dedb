//! Loops over whole rows of pixels, in safe Rust that compilers turn into vectors.
//!
//! Values per channel come as *periodic* slices: the channels repeated to some
//! hundred values (see [`repeat_channels`]), so that the inner loops are long and
//! whole whatever the number of channels. A row starts at channel 0.
//!
//! The functions are compiled once for each instruction set, in [`super`].

// The table of functions has one home for all that have no tiles.
pub(super) use super::descent::{adam, add_squares, approach, sgd};

/// Inner loops are at least this long, if there are as many values.
const MIN_PERIOD: usize = 256;

/// The length of periodic slices for so many channels: a multiple of it.
pub(crate) fn period(channels: usize) -> usize {
    channels * MIN_PERIOD.div_ceil(channels)
}

/// Repeats values per channel to a whole period.
pub(crate) fn repeat_channels(channels: &[f32], periodic: &mut [f32]) {
    for repeat in periodic.chunks_exact_mut(channels.len()) {
        repeat.copy_from_slice(channels);
    }
}

#[inline(always)]
pub(super) fn relu_value(value: f32) -> f32 {
    // In this order a NaN stays a NaN.
    if value < 0.0 { 0.0 } else { value }
}

/// `y = x · scale + shift`
#[inline(always)]
pub(super) fn affine(x: &[f32], scale: &[f32], shift: &[f32], y: &mut [f32]) {
    let period = scale.len();
    for (x, y) in x.chunks(period).zip(y.chunks_mut(period)) {
        for (((x, y), scale), shift) in x.iter().zip(y).zip(scale).zip(shift) {
            *y = x * scale + shift;
        }
    }
}

/// `y = relu(x · scale + shift)`
#[inline(always)]
pub(super) fn affine_relu(x: &[f32], scale: &[f32], shift: &[f32], y: &mut [f32]) {
    let period = scale.len();
    for (x, y) in x.chunks(period).zip(y.chunks_mut(period)) {
        for (((x, y), scale), shift) in x.iter().zip(y).zip(scale).zip(shift) {
            *y = relu_value(x * scale + shift);
        }
    }
}

/// `y = relu(x)`
#[inline(always)]
pub(super) fn relu(x: &[f32], y: &mut [f32]) {
    for (x, y) in x.iter().zip(y) {
        *y = relu_value(*x);
    }
}

/// `y = relu(y)`
#[inline(always)]
pub(super) fn relu_in_place(y: &mut [f32]) {
    for y in y {
        *y = relu_value(*y);
    }
}

/// `dx = dy` where `y` is positive, else 0.
#[inline(always)]
pub(super) fn relu_backward(dy: &[f32], y: &[f32], dx: &mut [f32]) {
    for ((dy, y), dx) in dy.iter().zip(y).zip(dx) {
        *dx = if *y > 0.0 { *dy } else { 0.0 };
    }
}

/// `y = a + b`
#[inline(always)]
pub(super) fn add(a: &[f32], b: &[f32], y: &mut [f32]) {
    for ((a, b), y) in a.iter().zip(b).zip(y) {
        *y = a + b;
    }
}

/// `y = relu(a + b)`
#[inline(always)]
pub(super) fn add_relu(a: &[f32], b: &[f32], y: &mut [f32]) {
    for ((a, b), y) in a.iter().zip(b).zip(y) {
        *y = relu_value(a + b);
    }
}

/// `y = y + x`
#[inline(always)]
pub(super) fn accumulate(x: &[f32], y: &mut [f32]) {
    for (x, y) in x.iter().zip(y) {
        *y += x;
    }
}

/// `sums = sums + x`, period by period.
#[inline(always)]
pub(super) fn sum(x: &[f32], sums: &mut [f32]) {
    for x in x.chunks(sums.len()) {
        for (x, sum) in x.iter().zip(&mut *sums) {
            *sum += x;
        }
    }
}

/// `sums = sums + (x - mean)²`, period by period.
#[inline(always)]
pub(super) fn sum_squares(x: &[f32], mean: &[f32], sums: &mut [f32]) {
    for x in x.chunks(sums.len()) {
        for ((x, mean), sum) in x.iter().zip(mean).zip(&mut *sums) {
            let centered = x - mean;
            *sum += centered * centered;
        }
    }
}

/// The constants of a normalization, periodic.
#[derive(Debug, Default)]
pub(crate) struct NormConstants {
    /// `y = x · scale + shift`
    pub(crate) scale: Vec<f32>,
    pub(crate) shift: Vec<f32>,
    /// `x_hat = x · inverse_std + offset`
    pub(crate) inverse_std: Vec<f32>,
    pub(crate) offset: Vec<f32>,
    /// `dx = a · dy + b · x + c`
    pub(crate) a: Vec<f32>,
    pub(crate) b: Vec<f32>,
    pub(crate) c: Vec<f32>,
}

/// The two sums of a normalization's gradient, period by period:
/// `d_shift += dy` and `d_scale += dy · x_hat`.
#[inline(always)]
pub(super) fn norm_sums(
    dy: &[f32],
    x: &[f32],
    norm: &NormConstants,
    d_shift: &mut [f32],
    d_scale: &mut [f32],
) {
    norm_sums_where(dy, x, norm, d_shift, d_scale, |_| true);
}

/// The same for `relu(y)`: without gradient where `y` is not positive.
#[inline(always)]
pub(super) fn norm_relu_sums(
    dy: &[f32],
    x: &[f32],
    norm: &NormConstants,
    d_shift: &mut [f32],
    d_scale: &mut [f32],
) {
    norm_sums_where(dy, x, norm, d_shift, d_scale, |y| y > 0.0);
}

#[inline(always)]
fn norm_sums_where(
    dy: &[f32],
    x: &[f32],
    norm: &NormConstants,
    d_shift: &mut [f32],
    d_scale: &mut [f32],
    passes: impl Fn(f32) -> bool,
) {
    let period = d_shift.len();
    for (dy, x) in dy.chunks(period).zip(x.chunks(period)) {
        let sums = d_shift.iter_mut().zip(&mut *d_scale);
        let forward = norm.scale.iter().zip(&norm.shift);
        let normalized = norm.inverse_std.iter().zip(&norm.offset);
        for ((((dy, x), (d_shift, d_scale)), (scale, shift)), (inverse_std, offset)) in
            dy.iter().zip(x).zip(sums).zip(forward).zip(normalized)
        {
            let dy = if passes(x * scale + shift) { *dy } else { 0.0 };
            *d_shift += dy;
            *d_scale += dy * (x * inverse_std + offset);
        }
    }
}

/// The gradient of a normalization's input.
#[inline(always)]
pub(super) fn norm_backward(dy: &[f32], x: &[f32], norm: &NormConstants, dx: &mut [f32]) {
    norm_backward_where(dy, x, norm, dx, |_| true);
}

/// The same for `relu(y)`: without gradient where `y` is not positive.
#[inline(always)]
pub(super) fn norm_relu_backward(dy: &[f32], x: &[f32], norm: &NormConstants, dx: &mut [f32]) {
    norm_backward_where(dy, x, norm, dx, |y| y > 0.0);
}

#[inline(always)]
fn norm_backward_where(
    dy: &[f32],
    x: &[f32],
    norm: &NormConstants,
    dx: &mut [f32],
    passes: impl Fn(f32) -> bool,
) {
    let period = norm.a.len();
    for ((dy, x), dx) in dy
        .chunks(period)
        .zip(x.chunks(period))
        .zip(dx.chunks_mut(period))
    {
        let forward = norm.scale.iter().zip(&norm.shift);
        let backward = norm.a.iter().zip(&norm.b).zip(&norm.c);
        for ((((dy, x), dx), (scale, shift)), ((a, b), c)) in
            dy.iter().zip(x).zip(dx).zip(forward).zip(backward)
        {
            let dy = if passes(x * scale + shift) { *dy } else { 0.0 };
            *dx = a * dy + (b * x + c);
        }
    }
}

/// [`norm_relu_backward`] and [`max_unpool`] in one pass, for windows that lie side by
/// side: the gradient of one row of their inputs, the one at `tap_row` of the windows, of
/// which there may be none below the last.
#[inline(always)]
pub(super) fn norm_relu_unpool(
    row: &PoolRow,
    tap_row: usize,
    pooled: &PooledGradient,
    x: &[f32],
    norm: &NormConstants,
    dx: &mut [f32],
) {
    let channels = row.channels;
    let columns = row.kernel[1];
    let windows = pooled.dy.chunks_exact(channels);
    let windows = windows.zip(pooled.places.chunks_exact(channels));
    let n_reached = windows.len() * columns * channels;
    let of_windows = x.chunks_exact(columns * channels);
    let of_windows = of_windows.zip(dx.chunks_exact_mut(columns * channels));
    for ((dy, places), (x, dx)) in windows.zip(of_windows) {
        let pixels = x.chunks_exact(channels).zip(dx.chunks_exact_mut(channels));
        for (column, (x, dx)) in pixels.enumerate() {
            let place = (tap_row * columns + column) as u8;
            let forward = norm.scale.iter().zip(&norm.shift);
            let backward = norm.a.iter().zip(&norm.b).zip(&norm.c);
            let window = dy.iter().zip(places);
            for ((((x, dx), (dy, at)), (scale, shift)), ((a, b), c)) in
                x.iter().zip(dx).zip(window).zip(forward).zip(backward)
            {
                let passes = (*at == place) & (x * scale + shift > 0.0);
                let dy = if passes { *dy } else { 0.0 };
                *dx = a * dy + (b * x + c);
            }
        }
    }
    // No window reaches the last pixels, or the whole row.
    let rest = x[n_reached..].chunks_exact(channels);
    for (x, dx) in rest.zip(dx[n_reached..].chunks_exact_mut(channels)) {
        for (((x, dx), b), c) in x.iter().zip(dx).zip(&norm.b).zip(&norm.c) {
            *dx = b * x + c;
        }
    }
}

/// The gradient of one row of windows of a max-pooling.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PooledGradient<'a> {
    pub(crate) dy: &'a [f32],
    /// The places of the largest values, one for each value of `dy`.
    pub(crate) places: &'a [u8],
}

/// One row of windows of a max-pooling.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PoolRow {
    pub(crate) channels: usize,
    pub(crate) kernel: [usize; 2],
    /// From one window to the next, in pixels.
    pub(crate) stride: usize,
    /// From one input row to the next, in values.
    pub(crate) x_row: usize,
}

/// The largest value of each window, without its place.
#[inline(always)]
pub(super) fn max_pool_values(row: &PoolRow, x: &[f32], y: &mut [f32]) {
    let channels = row.channels;
    for (pixel, y) in y.chunks_exact_mut(channels).enumerate() {
        let x = &x[pixel * row.stride * channels..];
        y.copy_from_slice(&x[..channels]);
        for tap_row in 0..row.kernel[0] {
            for tap_column in 0..row.kernel[1] {
                let x = &x[tap_row * row.x_row + tap_column * channels..][..channels];
                for (y, x) in y.iter_mut().zip(x) {
                    *y = if *x > *y || x.is_nan() { *x } else { *y };
                }
            }
        }
    }
}

/// Adds the gradient of one row of windows to one row of its inputs, the one at
/// `tap_row` of the windows.
#[inline(always)]
pub(super) fn max_unpool(row: &PoolRow, tap_row: usize, dy: &[f32], places: &[u8], dx: &mut [f32]) {
    let channels = row.channels;
    let pixels = dy.chunks_exact(channels).zip(places.chunks_exact(channels));
    for (pixel, (dy, places)) in pixels.enumerate() {
        for tap_column in 0..row.kernel[1] {
            let place = (tap_row * row.kernel[1] + tap_column) as u8;
            let from = (pixel * row.stride + tap_column) * channels;
            let dx = &mut dx[from..from + channels];
            for ((dx, dy), at) in dx.iter_mut().zip(dy).zip(places) {
                *dx += if *at == place { *dy } else { 0.0 };
            }
        }
    }
}
