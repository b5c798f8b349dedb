//! The transforms of tiles to frequencies and back, a vector of channels at a time.

use crate::kernels::simd::Simd;
use crate::kernels::tile::{Finish, finish_vector};

/// The pointers of one row of tiles, one vector of channels each.
pub(in super::super) struct TileRow {
    /// The first pixel's values.
    pub(super) pixels: *const f32,
    pub(super) results: *mut f32,
    pub(super) row: usize,
    pub(super) column: usize,
    /// Frequencies of the first tile.
    pub(super) tiles: *mut f32,
    pub(super) frequency: usize,
    pub(super) tile: usize,
    pub(super) n_tiles: usize,
    pub(super) n_vectors: usize,
    pub(super) bias: *const f32,
    /// Pixels that there are, of two rows and of the columns of all tiles.
    pub(super) n_rows: usize,
    pub(super) n_columns: usize,
    pub(super) finish: Finish,
}

/// A transform with its instructions chosen.
pub(in super::super) type TileRowKernel = unsafe fn(&TileRow);

// Everything below is inlined into functions that are compiled for the instructions of
// `S`, and so there are no closures in it and no array is mapped: these would not be.

/// What four neighbors become: their sums and differences that stand for two pixels.
#[inline(always)]
unsafe fn sight<S: Simd>(seen: [S::Vector; 4]) -> [S::Vector; 4] {
    let [a, b, c, d] = seen;
    // SAFETY: the caller's.
    unsafe { [S::sub(a, c), S::add(b, c), S::sub(c, b), S::sub(b, d)] }
}

/// The two pixels that four frequencies stand for.
#[inline(always)]
unsafe fn pixels<S: Simd>(frequencies: [S::Vector; 4]) -> [S::Vector; 2] {
    let [a, b, c, d] = frequencies;
    // SAFETY: the caller's.
    unsafe { [S::add(a, S::add(b, c)), S::sub(S::sub(b, c), d)] }
}

/// The gradients of four frequencies from those of two pixels.
#[inline(always)]
unsafe fn spread<S: Simd>(gradients: [S::Vector; 2]) -> [S::Vector; 4] {
    let [a, b] = gradients;
    // SAFETY: the caller's.
    unsafe { [a, S::add(a, b), S::sub(a, b), S::sub(S::splat(0.0), b)] }
}

/// As many vectors as an array has, `step` values from each to the next.
#[inline(always)]
unsafe fn load_each<S: Simd, const N: usize>(from: *const f32, step: usize) -> [S::Vector; N] {
    // SAFETY: the caller's.
    unsafe {
        let mut vectors = [S::splat(0.0); N];
        for (index, vector) in vectors.iter_mut().enumerate() {
            *vector = S::load(from.add(index * step));
        }
        vectors
    }
}

/// Transforms what the pixels of each tile see, 4×4 values.
///
/// # Safety
///
/// The processor has the instructions of `S`; `pixels` is readable for four rows of
/// `2 · n_tiles + 2` columns, and `tiles` writable for all frequencies of all tiles.
#[inline(always)]
pub(in super::super) unsafe fn look<S: Simd>(call: &TileRow) {
    // SAFETY: the loops stay within the extents that this function's contract names.
    unsafe {
        for vector in 0..call.n_vectors {
            let mut seen = call.pixels.add(vector * S::LANES);
            let mut columns = [[S::splat(0.0); 4]; 4];
            columns[2] = sight::<S>(load_each::<S, 4>(seen, call.row));
            columns[3] = sight::<S>(load_each::<S, 4>(seen.add(call.column), call.row));
            for tile in 0..call.n_tiles {
                // Neighboring tiles share two columns.
                seen = seen.add(2 * call.column);
                columns[0] = columns[2];
                columns[1] = columns[3];
                columns[2] = sight::<S>(load_each::<S, 4>(seen, call.row));
                columns[3] = sight::<S>(load_each::<S, 4>(seen.add(call.column), call.row));
                let to = call.tiles.add(tile * call.tile + vector * S::LANES);
                for row in 0..4 {
                    let [a, b, c, d] = columns;
                    let across = sight::<S>([a[row], b[row], c[row], d[row]]);
                    for (column, &value) in across.iter().enumerate() {
                        S::store(value, to.add((4 * row + column) * call.frequency));
                    }
                }
            }
        }
    }
}

/// Transforms frequencies back to the pixels of each tile, 2×2 values.
///
/// # Safety
///
/// The processor has the instructions of `S`; `tiles` is readable for all frequencies
/// of all tiles, `bias` for all vectors, and `results` is writable (for
/// [`Finish::Add`] also readable) for `n_rows` rows of `n_columns` pixels.
#[inline(always)]
pub(in super::super) unsafe fn see<S: Simd>(call: &TileRow) {
    // SAFETY: the loops stay within the extents that this function's contract names.
    unsafe {
        for tile in 0..call.n_tiles {
            for vector in 0..call.n_vectors {
                let from = call.tiles.add(tile * call.tile + vector * S::LANES);
                let mut columns = [[S::splat(0.0); 2]; 4];
                for (index, column) in columns.iter_mut().enumerate() {
                    let from = from.add(index * call.frequency);
                    *column = pixels::<S>(load_each::<S, 4>(from, 4 * call.frequency));
                }
                let [a, b, c, d] = columns;
                let bias = S::load(call.bias.add(vector * S::LANES));
                let first = call.results.add(2 * tile * call.column + vector * S::LANES);
                for row in 0..call.n_rows {
                    let found = pixels::<S>([a[row], b[row], c[row], d[row]]);
                    let to = first.add(row * call.row);
                    let (left, right) = (S::add(found[0], bias), S::add(found[1], bias));
                    finish_vector::<S>(left, S::LANES, to, call.finish);
                    if 2 * tile + 1 < call.n_columns {
                        finish_vector::<S>(right, S::LANES, to.add(call.column), call.finish);
                    }
                }
            }
        }
    }
}

/// Transforms the gradient of the pixels of each tile, 2×2 values, to frequencies.
///
/// # Safety
///
/// The processor has the instructions of `S`; `pixels` is readable for two rows of
/// `2 · n_tiles` columns, and `tiles` writable for all frequencies of all tiles.
#[inline(always)]
pub(in super::super) unsafe fn unsee<S: Simd>(call: &TileRow) {
    // SAFETY: the loops stay within the extents that this function's contract names.
    unsafe {
        for tile in 0..call.n_tiles {
            for vector in 0..call.n_vectors {
                let from = call.pixels.add(2 * tile * call.column + vector * S::LANES);
                let left = spread::<S>(load_each::<S, 2>(from, call.row));
                let right = spread::<S>(load_each::<S, 2>(from.add(call.column), call.row));
                let to = call.tiles.add(tile * call.tile + vector * S::LANES);
                for row in 0..4 {
                    let across = spread::<S>([left[row], right[row]]);
                    for (column, &value) in across.iter().enumerate() {
                        S::store(value, to.add((4 * row + column) * call.frequency));
                    }
                }
            }
        }
    }
}
