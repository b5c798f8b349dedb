//! The vector instructions that the kernels are written in, and their portable version.

/// A set of vector instructions.
///
/// # Safety
///
/// Every method may compile to instructions that the processor lacks: callers
/// make sure that it has them. Pointers must be valid for the lanes that a method
/// reads or writes; they need no alignment.
pub(crate) trait Simd: Copy {
    /// Values per vector.
    const LANES: usize;

    /// A register of [`Simd::LANES`] values.
    type Vector: Copy;

    /// A choice for each lane.
    type Mask: Copy;

    /// The same value in every lane.
    unsafe fn splat(value: f32) -> Self::Vector;

    /// `LANES` values.
    unsafe fn load(from: *const f32) -> Self::Vector;

    /// Writes `LANES` values.
    unsafe fn store(vector: Self::Vector, to: *mut f32);

    /// Reads the first `n` values and leaves zero in the other lanes.
    unsafe fn load_first(n: usize, from: *const f32) -> Self::Vector;

    /// Writes the first `n` values and touches no memory beyond them.
    unsafe fn store_first(n: usize, vector: Self::Vector, to: *mut f32);

    /// `a · b + c`
    unsafe fn fma(a: Self::Vector, b: Self::Vector, c: Self::Vector) -> Self::Vector;

    /// `a + b`
    unsafe fn add(a: Self::Vector, b: Self::Vector) -> Self::Vector;

    /// `a - b`
    unsafe fn sub(a: Self::Vector, b: Self::Vector) -> Self::Vector;

    /// The larger of each pair; `b` if one is not a number.
    unsafe fn max(a: Self::Vector, b: Self::Vector) -> Self::Vector;

    /// Where `a > b`, or `a` is not a number.
    unsafe fn greater_or_nan(a: Self::Vector, b: Self::Vector) -> Self::Mask;

    /// `a` where the mask is set, else `b`.
    unsafe fn select(mask: Self::Mask, a: Self::Vector, b: Self::Vector) -> Self::Vector;
}

/// No instructions in particular: arrays that a compiler can keep in SSE registers.
#[derive(Clone, Copy)]
pub(crate) struct Portable;

const PORTABLE_LANES: usize = 4;

impl Simd for Portable {
    const LANES: usize = PORTABLE_LANES;
    type Vector = [f32; PORTABLE_LANES];
    type Mask = [bool; PORTABLE_LANES];

    #[inline(always)]
    unsafe fn splat(value: f32) -> Self::Vector {
        [value; PORTABLE_LANES]
    }

    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self::Vector {
        // SAFETY: the caller promises `LANES` readable values; no alignment is assumed.
        unsafe { from.cast::<Self::Vector>().read_unaligned() }
    }

    #[inline(always)]
    unsafe fn store(vector: Self::Vector, to: *mut f32) {
        // SAFETY: the caller promises `LANES` writable values; no alignment is assumed.
        unsafe { to.cast::<Self::Vector>().write_unaligned(vector) }
    }

    #[inline(always)]
    unsafe fn load_first(n: usize, from: *const f32) -> Self::Vector {
        let mut vector = [0.0; PORTABLE_LANES];
        for (lane, value) in vector.iter_mut().enumerate().take(n) {
            // SAFETY: `lane < n`, and the caller promises `n` readable values.
            *value = unsafe { from.add(lane).read() };
        }
        vector
    }

    #[inline(always)]
    unsafe fn store_first(n: usize, vector: Self::Vector, to: *mut f32) {
        for (lane, value) in vector.into_iter().enumerate().take(n) {
            // SAFETY: `lane < n`, and the caller promises `n` writable values.
            unsafe { to.add(lane).write(value) };
        }
    }

    #[inline(always)]
    unsafe fn fma(a: Self::Vector, b: Self::Vector, c: Self::Vector) -> Self::Vector {
        // `f32::mul_add` would call a library function on processors without the instruction.
        std::array::from_fn(|lane| a[lane] * b[lane] + c[lane])
    }

    #[inline(always)]
    unsafe fn add(a: Self::Vector, b: Self::Vector) -> Self::Vector {
        std::array::from_fn(|lane| a[lane] + b[lane])
    }

    #[inline(always)]
    unsafe fn sub(a: Self::Vector, b: Self::Vector) -> Self::Vector {
        std::array::from_fn(|lane| a[lane] - b[lane])
    }

    #[inline(always)]
    unsafe fn max(a: Self::Vector, b: Self::Vector) -> Self::Vector {
        std::array::from_fn(|lane| if a[lane] > b[lane] { a[lane] } else { b[lane] })
    }

    #[inline(always)]
    unsafe fn greater_or_nan(a: Self::Vector, b: Self::Vector) -> Self::Mask {
        std::array::from_fn(|lane| a[lane] > b[lane] || a[lane].is_nan())
    }

    #[inline(always)]
    unsafe fn select(mask: Self::Mask, a: Self::Vector, b: Self::Vector) -> Self::Vector {
        std::array::from_fn(|lane| if mask[lane] { a[lane] } else { b[lane] })
    }
}
