//! Max-pooling of one row of windows, with the places of the largest values.
//!
//! The running maxima have to stay in registers, which compilers do not manage with
//! arrays; hence vectors by hand.

use super::Kernels;
use super::elementwise::PoolRow;
use super::simd::Simd;

/// The pointers of one row of windows.
pub(super) struct PoolCall {
    row: PoolRow,
    x: *const f32,
    /// Per channel; only read where the order is that of scaled values.
    scale: *const f32,
    shift: *const f32,
    /// Windows in the row.
    columns: usize,
    y: *mut f32,
    places: *mut u8,
}

/// [`max_pool`] with its instructions and order chosen.
pub(super) type PoolRowKernel = unsafe fn(&PoolCall);

/// The value of each window that is largest, or that is largest once scaled and
/// shifted, and its place in the window.
///
/// # Safety
///
/// The processor has the instructions of `S`; `x` is readable for all windows of the
/// row, `scale` and `shift` (if `SCALED`) for its channels, `y` and `places` are
/// writable for one value per window and channel; a window has at most 256 places.
#[inline(always)]
pub(super) unsafe fn max_pool<S: Simd, const SCALED: bool>(call: &PoolCall) {
    let PoolRow {
        channels,
        kernel: [rows, columns],
        stride,
        x_row,
    } = call.row;
    for pixel in 0..call.columns {
        for channel in (0..channels).step_by(S::LANES) {
            let n = S::LANES.min(channels - channel);
            // SAFETY: all accesses are to `n` channels from `channel` on, of which there are
            // `channels`, in windows and results that the contract names.
            unsafe {
                let load = |from: *const f32| match n == S::LANES {
                    true => S::load(from),
                    false => S::load_first(n, from),
                };
                let window = call.x.add(pixel * stride * channels + channel);
                let (mut scale, mut shift) = (S::splat(1.0), S::splat(0.0));
                if SCALED {
                    scale = load(call.scale.add(channel));
                    shift = load(call.shift.add(channel));
                }
                let mut largest = S::splat(f32::NEG_INFINITY);
                let mut value = S::splat(0.0);
                let mut place = S::splat(0.0);
                let mut next = 0.0;
                for row in 0..rows {
                    for column in 0..columns {
                        let x = load(window.add(row * x_row + column * channels));
                        let rank = if SCALED { S::fma(x, scale, shift) } else { x };
                        // The first of equals wins, and a NaN wins over everything, as in PyTorch.
                        let wins = S::greater_or_nan(rank, largest);
                        largest = S::select(wins, rank, largest);
                        value = S::select(wins, x, value);
                        place = S::select(wins, S::splat(next), place);
                        next += 1.0;
                    }
                }
                let to = pixel * channels + channel;
                store_places::<S>(n, place, call.places.add(to));
                match n == S::LANES {
                    true => S::store(value, call.y.add(to)),
                    false => S::store_first(n, value, call.y.add(to)),
                }
            }
        }
    }
}

/// The widest vector of all instruction sets.
const MAX_LANES: usize = 16;

/// Writes the first `n` lanes, whole numbers below 256, as bytes.
///
/// # Safety
///
/// The processor has the instructions of `S`, and `to` is writable for `n` bytes.
#[inline(always)]
unsafe fn store_places<S: Simd>(n: usize, places: S::Vector, to: *mut u8) {
    let mut lanes = [0.0f32; MAX_LANES];
    // SAFETY: a vector fits into the array, numbers are in the range of the conversion,
    // and only the first `n` bytes are written.
    unsafe {
        S::store(places, lanes.as_mut_ptr());
        let bytes = lanes.map(|place| place.to_int_unchecked::<i32>() as u8);
        if n == S::LANES {
            // A length known to the compiler becomes one instruction.
            std::ptr::copy_nonoverlapping(bytes.as_ptr(), to, S::LANES);
        } else {
            std::ptr::copy_nonoverlapping(bytes.as_ptr(), to, n);
        }
    }
}

impl Kernels {
    /// The largest value of each window of a row and its place in the window.
    ///
    /// `x` begins at the upper left value of the first window.
    ///
    /// # Panics
    ///
    /// If a window lies beyond the end of `x`, or `y` and `places` are not as long as
    /// each other.
    pub(crate) fn max_pool(&self, row: &PoolRow, x: &[f32], y: &mut [f32], places: &mut [u8]) {
        let call = pool_call(row, x, y, places);
        // SAFETY: `Kernels` exist only for processors that have the instructions, and
        // `pool_call` has checked all lengths but those of scale and shift, not read here.
        unsafe { (self.max_pool)(&call) };
    }

    /// The value of each window of a row for which `x · scale + shift` is largest, and
    /// its place in the window.
    ///
    /// # Panics
    ///
    /// As [`Kernels::max_pool`], and if there are fewer constants than channels.
    pub(crate) fn max_pool_scaled(
        &self,
        row: &PoolRow,
        x: &[f32],
        [scale, shift]: [&[f32]; 2],
        y: &mut [f32],
        places: &mut [u8],
    ) {
        let channels = row.channels;
        assert!(
            scale.len() >= channels && shift.len() >= channels,
            "constants for all channels"
        );
        let call = PoolCall {
            scale: scale.as_ptr(),
            shift: shift.as_ptr(),
            ..pool_call(row, x, y, places)
        };
        // SAFETY: as above, and there are constants for all channels.
        unsafe { (self.max_pool_scaled)(&call) };
    }
}

/// Checks the lengths for a row of windows.
fn pool_call(row: &PoolRow, x: &[f32], y: &mut [f32], places: &mut [u8]) -> PoolCall {
    let [rows, columns] = row.kernel;
    let n_windows = y.len() / row.channels;
    assert_eq!(y.len(), places.len(), "a place for each value");
    assert!(rows * columns <= 256, "a place fits into a byte");
    if n_windows > 0 {
        let last =
            (rows - 1) * row.x_row + ((n_windows - 1) * row.stride + columns - 1) * row.channels;
        assert!(
            last + row.channels <= x.len(),
            "a window lies beyond the image"
        );
    }
    PoolCall {
        row: *row,
        x: x.as_ptr(),
        scale: std::ptr::null(),
        shift: std::ptr::null(),
        columns: n_windows,
        y: y.as_mut_ptr(),
        places: places.as_mut_ptr(),
    }
}
