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
    /// Pixels that there are, of the rows of a tile and of the columns of all tiles.
    pub(super) n_rows: usize,
    pub(super) n_columns: usize,
    pub(super) finish: Finish,
}

/// A transform with its instructions chosen.
pub(in super::super) type TileRowKernel = unsafe fn(&TileRow);

// Everything below is inlined into functions that are compiled for the instructions of
// `S`, and so there are no closures in it and no array is mapped: these would not be.

/// Minimal filtering of three weights in a line: `SIDE` pixels see `SEEN` values, which
/// become as many frequencies.
///
/// # Safety
///
/// Of all methods: the processor has the instructions of `S`.
pub(in super::super) trait Filtering<const SIDE: usize, const SEEN: usize> {
    /// The frequencies of what is seen.
    unsafe fn sight<S: Simd>(seen: [S::Vector; SEEN]) -> [S::Vector; SEEN];

    /// The pixels that frequencies stand for.
    unsafe fn pixels<S: Simd>(frequencies: [S::Vector; SEEN]) -> [S::Vector; SIDE];

    /// The gradients of frequencies from those of pixels.
    unsafe fn spread<S: Simd>(gradients: [S::Vector; SIDE]) -> [S::Vector; SEEN];
}

/// F(2, 3), with the points 0, 1, −1 and ∞.
pub(in super::super) struct Two;

impl Filtering<2, 4> for Two {
    #[inline(always)]
    unsafe fn sight<S: Simd>(seen: [S::Vector; 4]) -> [S::Vector; 4] {
        let [a, b, c, d] = seen;
        // SAFETY: the caller's.
        unsafe { [S::sub(a, c), S::add(b, c), S::sub(c, b), S::sub(b, d)] }
    }

    #[inline(always)]
    unsafe fn pixels<S: Simd>(frequencies: [S::Vector; 4]) -> [S::Vector; 2] {
        let [a, b, c, d] = frequencies;
        // SAFETY: the caller's.
        unsafe { [S::add(a, S::add(b, c)), S::sub(S::sub(b, c), d)] }
    }

    #[inline(always)]
    unsafe fn spread<S: Simd>(gradients: [S::Vector; 2]) -> [S::Vector; 4] {
        let [a, b] = gradients;
        // SAFETY: the caller's.
        unsafe { [a, S::add(a, b), S::sub(a, b), S::sub(S::splat(0.0), b)] }
    }
}

/// F(3, 3), with the points 0, 1, −1, 2 and ∞.
pub(in super::super) struct Three;

impl Filtering<3, 5> for Three {
    #[inline(always)]
    unsafe fn sight<S: Simd>(seen: [S::Vector; 5]) -> [S::Vector; 5] {
        let [a, b, c, d, e] = seen;
        // SAFETY: the caller's.
        unsafe {
            let (two, less_two) = (S::splat(2.0), S::splat(-2.0));
            let outer = S::sub(d, b);
            [
                S::fma(S::sub(a, c), two, outer),
                S::fma(b, less_two, S::sub(d, c)),
                S::fma(c, S::splat(-3.0), S::fma(b, two, d)),
                outer,
                S::fma(outer, less_two, S::sub(e, c)),
            ]
        }
    }

    #[inline(always)]
    unsafe fn pixels<S: Simd>(frequencies: [S::Vector; 5]) -> [S::Vector; 3] {
        let [a, b, c, d, e] = frequencies;
        // SAFETY: the caller's.
        unsafe {
            let sum = S::add(b, c);
            [
                S::add(S::add(a, d), sum),
                S::fma(d, S::splat(2.0), S::sub(b, c)),
                S::fma(d, S::splat(4.0), S::add(sum, e)),
            ]
        }
    }

    #[inline(always)]
    unsafe fn spread<S: Simd>(gradients: [S::Vector; 3]) -> [S::Vector; 5] {
        let [a, b, c] = gradients;
        // SAFETY: the caller's.
        unsafe {
            let outer = S::add(a, c);
            let far = S::fma(c, S::splat(4.0), S::fma(b, S::splat(2.0), a));
            [a, S::add(outer, b), S::sub(outer, b), far, c]
        }
    }
}

/// F(4, 3), with the points 0, ±√½, ±√2 and ∞: with ±1 and ±2, which are usual, rounding
/// would weigh twice as much.
pub(in super::super) struct Four;

/// The point whose double is √2.
const NEAR: f32 = std::f32::consts::FRAC_1_SQRT_2;
const FAR: f32 = std::f32::consts::SQRT_2;

impl Filtering<4, 6> for Four {
    #[inline(always)]
    unsafe fn sight<S: Simd>(seen: [S::Vector; 6]) -> [S::Vector; 6] {
        let [a, b, c, d, e, f] = seen;
        // SAFETY: the caller's.
        unsafe {
            let (half, two, middle) = (S::splat(-0.5), S::splat(-2.0), S::splat(-2.5));
            let near = [S::fma(c, two, e), S::fma(b, two, d)];
            let far = [S::fma(c, half, e), S::fma(b, half, d)];
            [
                S::fma(c, middle, S::add(a, e)),
                S::fma(near[1], S::splat(NEAR), near[0]),
                S::fma(near[1], S::splat(-NEAR), near[0]),
                S::fma(far[1], S::splat(FAR), far[0]),
                S::fma(far[1], S::splat(-FAR), far[0]),
                S::fma(d, middle, S::add(b, f)),
            ]
        }
    }

    #[inline(always)]
    unsafe fn pixels<S: Simd>(frequencies: [S::Vector; 6]) -> [S::Vector; 4] {
        let [a, b, c, d, e, f] = frequencies;
        // SAFETY: the caller's.
        unsafe {
            let near = [S::add(b, c), S::sub(b, c)];
            let far = [S::add(d, e), S::sub(d, e)];
            // Powers of the points: (√2)³ is 2√2, (√½)³ a quarter of √2.
            let odd = S::fma(far[1], S::splat(2.0), near[1]);
            let cubes = S::fma(near[1], S::splat(0.25), S::add(far[1], far[1]));
            [
                S::add(a, S::add(near[0], far[0])),
                S::fma(odd, S::splat(NEAR), S::splat(0.0)),
                S::fma(near[0], S::splat(0.5), S::add(far[0], far[0])),
                S::fma(cubes, S::splat(FAR), f),
            ]
        }
    }

    #[inline(always)]
    unsafe fn spread<S: Simd>(gradients: [S::Vector; 4]) -> [S::Vector; 6] {
        let [a, b, c, d] = gradients;
        // SAFETY: the caller's.
        unsafe {
            let (half, two) = (S::splat(0.5), S::splat(2.0));
            let near = [S::fma(c, half, a), S::fma(d, half, b)];
            let far = [S::fma(c, two, a), S::fma(d, two, b)];
            [
                a,
                S::fma(near[1], S::splat(NEAR), near[0]),
                S::fma(near[1], S::splat(-NEAR), near[0]),
                S::fma(far[1], S::splat(FAR), far[0]),
                S::fma(far[1], S::splat(-FAR), far[0]),
                d,
            ]
        }
    }
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

/// One row of a matrix of columns.
#[inline(always)]
unsafe fn row_of<S: Simd, const M: usize, const N: usize>(
    columns: &[[S::Vector; M]; N],
    row: usize,
) -> [S::Vector; N] {
    let mut vectors = [columns[0][row]; N];
    for (vector, column) in vectors.iter_mut().zip(columns) {
        *vector = column[row];
    }
    vectors
}

/// Transforms what the pixels of each tile see, `SEEN`×`SEEN` values.
///
/// # Safety
///
/// The processor has the instructions of `S`; `pixels` is readable for `SEEN` rows of
/// `SIDE · n_tiles + 2` columns, and `tiles` writable for all frequencies of all tiles.
#[inline(always)]
pub(in super::super) unsafe fn look<
    S: Simd,
    F: Filtering<SIDE, SEEN>,
    const SIDE: usize,
    const SEEN: usize,
>(
    call: &TileRow,
) {
    // SAFETY: the loops stay within the extents that this function's contract names.
    unsafe {
        for vector in 0..call.n_vectors {
            let mut seen = call.pixels.add(vector * S::LANES);
            let mut columns = [[S::splat(0.0); SEEN]; SEEN];
            for column in &mut columns[SIDE..] {
                *column = F::sight::<S>(load_each::<S, SEEN>(seen, call.row));
                seen = seen.add(call.column);
            }
            for tile in 0..call.n_tiles {
                // Neighboring tiles share two columns.
                columns[0] = columns[SIDE];
                columns[1] = columns[SIDE + 1];
                for column in &mut columns[2..] {
                    *column = F::sight::<S>(load_each::<S, SEEN>(seen, call.row));
                    seen = seen.add(call.column);
                }
                let to = call.tiles.add(tile * call.tile + vector * S::LANES);
                for row in 0..SEEN {
                    let across = F::sight::<S>(row_of::<S, SEEN, SEEN>(&columns, row));
                    for (column, &value) in across.iter().enumerate() {
                        S::store(value, to.add((SEEN * row + column) * call.frequency));
                    }
                }
            }
        }
    }
}

/// Transforms frequencies back to the pixels of each tile, `SIDE`×`SIDE` values.
///
/// # Safety
///
/// The processor has the instructions of `S`; `tiles` is readable for all frequencies
/// of all tiles, `bias` for all vectors, and `results` is writable (for
/// [`Finish::Add`] also readable) for `n_rows` rows of `n_columns` pixels.
#[inline(always)]
pub(in super::super) unsafe fn see<
    S: Simd,
    F: Filtering<SIDE, SEEN>,
    const SIDE: usize,
    const SEEN: usize,
>(
    call: &TileRow,
) {
    // SAFETY: the loops stay within the extents that this function's contract names.
    unsafe {
        for tile in 0..call.n_tiles {
            let n_columns = SIDE.min(call.n_columns - SIDE * tile);
            for vector in 0..call.n_vectors {
                let from = call.tiles.add(tile * call.tile + vector * S::LANES);
                let mut columns = [[S::splat(0.0); SIDE]; SEEN];
                for (index, column) in columns.iter_mut().enumerate() {
                    let from = from.add(index * call.frequency);
                    *column = F::pixels::<S>(load_each::<S, SEEN>(from, SEEN * call.frequency));
                }
                let bias = S::load(call.bias.add(vector * S::LANES));
                let first = call
                    .results
                    .add(SIDE * tile * call.column + vector * S::LANES);
                for row in 0..call.n_rows {
                    let found = F::pixels::<S>(row_of::<S, SIDE, SEEN>(&columns, row));
                    let mut to = first.add(row * call.row);
                    for &pixel in found.iter().take(n_columns) {
                        finish_vector::<S>(S::add(pixel, bias), S::LANES, to, call.finish);
                        to = to.wrapping_add(call.column);
                    }
                }
            }
        }
    }
}

/// Transforms the gradient of the pixels of each tile, `SIDE`×`SIDE` values, to frequencies.
///
/// # Safety
///
/// The processor has the instructions of `S`; `pixels` is readable for `SIDE` rows of
/// `SIDE · n_tiles` columns, and `tiles` writable for all frequencies of all tiles.
#[inline(always)]
pub(in super::super) unsafe fn unsee<
    S: Simd,
    F: Filtering<SIDE, SEEN>,
    const SIDE: usize,
    const SEEN: usize,
>(
    call: &TileRow,
) {
    // SAFETY: the loops stay within the extents that this function's contract names.
    unsafe {
        for tile in 0..call.n_tiles {
            for vector in 0..call.n_vectors {
                let from = call
                    .pixels
                    .add(SIDE * tile * call.column + vector * S::LANES);
                let mut columns = [[S::splat(0.0); SEEN]; SIDE];
                for (index, column) in columns.iter_mut().enumerate() {
                    let from = from.add(index * call.column);
                    *column = F::spread::<S>(load_each::<S, SIDE>(from, call.row));
                }
                let to = call.tiles.add(tile * call.tile + vector * S::LANES);
                for row in 0..SEEN {
                    let across = F::spread::<S>(row_of::<S, SEEN, SIDE>(&columns, row));
                    for (column, &value) in across.iter().enumerate() {
                        S::store(value, to.add((SEEN * row + column) * call.frequency));
                    }
                }
            }
        }
    }
}
