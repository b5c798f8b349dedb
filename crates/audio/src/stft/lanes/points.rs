//! Transforms of a few points, of every lane at once.
//!
//! They are written out, because a transform whose intermediate values stay in registers
//! is what all of this is for. How they are put together is told in [`super`].

use std::f64::consts::{FRAC_1_SQRT_2, PI};

use fearless_simd::{Simd, SimdBase};
use rustfft::num_complex::Complex;

use super::{PARTS, ROWS};
use crate::stft::real::Sample;

/// One complex number of each frame.
#[derive(Clone, Copy)]
pub(super) struct Lanes<V> {
    re: V,
    im: V,
}

impl<V> Lanes<V> {
    /// The number that begins at a place in a buffer.
    #[inline(always)]
    pub(super) fn load<S: Simd>(simd: S, buffer: &[V::Element], at: usize) -> Self
    where
        V: SimdBase<S>,
    {
        let (re, im) = buffer[at..][..2 * V::LEN].split_at(V::LEN);
        Self {
            re: V::from_slice(simd, re),
            im: V::from_slice(simd, im),
        }
    }

    #[inline(always)]
    pub(super) fn store<S: Simd>(self, _simd: S, buffer: &mut [V::Element], at: usize)
    where
        V: SimdBase<S>,
    {
        let (re, im) = buffer[at..][..2 * V::LEN].split_at_mut(V::LEN);
        self.re.store_slice(re);
        self.im.store_slice(im);
    }

    #[inline(always)]
    pub(super) fn times<S: Simd>(self, _simd: S, turn: Complex<V::Element>) -> Self
    where
        V: SimdBase<S>,
    {
        Self {
            re: self.re * turn.re - self.im * turn.im,
            im: self.re * turn.im + self.im * turn.re,
        }
    }

    /// `|z|²`
    #[inline(always)]
    pub(super) fn power<S: Simd>(self, _simd: S) -> V
    where
        V: SimdBase<S>,
    {
        self.re * self.re + self.im * self.im
    }

    #[inline(always)]
    fn plus<S: Simd>(self, _simd: S, other: Self) -> Self
    where
        V: SimdBase<S>,
    {
        Self {
            re: self.re + other.re,
            im: self.im + other.im,
        }
    }

    #[inline(always)]
    fn minus<S: Simd>(self, _simd: S, other: Self) -> Self
    where
        V: SimdBase<S>,
    {
        Self {
            re: self.re - other.re,
            im: self.im - other.im,
        }
    }

    /// `self + i · other`
    #[inline(always)]
    fn plus_i<S: Simd>(self, _simd: S, other: Self) -> Self
    where
        V: SimdBase<S>,
    {
        Self {
            re: self.re - other.im,
            im: self.im + other.re,
        }
    }

    /// `self - i · other`
    #[inline(always)]
    fn minus_i<S: Simd>(self, _simd: S, other: Self) -> Self
    where
        V: SimdBase<S>,
    {
        Self {
            re: self.re + other.im,
            im: self.im - other.re,
        }
    }
}

/// The transform of four points.
#[inline(always)]
pub(super) fn four_points<S: Simd, V: SimdBase<S>>(
    simd: S,
    [a, b, c, d]: [Lanes<V>; 4],
) -> [Lanes<V>; 4] {
    let (even, odd) = (a.plus(simd, c), b.plus(simd, d));
    let (even_less, odd_less) = (a.minus(simd, c), b.minus(simd, d));
    [
        even.plus(simd, odd),
        even_less.minus_i(simd, odd_less),
        even.minus(simd, odd),
        even_less.plus_i(simd, odd_less),
    ]
}

/// The transform of eight points.
#[inline(always)]
pub(super) fn eight_points<T: Sample, S: Simd>(
    simd: S,
    [a, b, c, d, e, f, g, h]: [Lanes<T::Native<S>>; 8],
) -> [Lanes<T::Native<S>>; 8] {
    let root_half = T::rounded(FRAC_1_SQRT_2);
    let [e0, e1, e2, e3] = four_points(simd, [a, c, e, g]);
    let [o0, o1, o2, o3] = four_points(simd, [b, d, f, h]);
    // By one and by three eighths of a turn, clockwise.
    let o1 = Lanes {
        re: (o1.re + o1.im) * root_half,
        im: (o1.im - o1.re) * root_half,
    };
    let o3 = Lanes {
        re: (o3.im - o3.re) * root_half,
        im: (o3.im + o3.re) * -root_half,
    };
    [
        e0.plus(simd, o0),
        e1.plus(simd, o1),
        e2.minus_i(simd, o2),
        e3.plus(simd, o3),
        e0.minus(simd, o0),
        e1.minus(simd, o1),
        e2.plus_i(simd, o2),
        e3.minus(simd, o3),
    ]
}

/// The lower half of the transform of sixteen weighted samples.
///
/// # Shapes
///
/// - `samples`: `[16, lanes of single precision]`
#[inline(always)]
pub(super) fn sixteen_samples<T: Sample, S: Simd>(
    simd: S,
    samples: &[f32],
    window: &[T; ROWS],
) -> [Lanes<T::Native<S>>; PARTS] {
    let root_half = T::rounded(FRAC_1_SQRT_2);
    let (cos, sin) = (T::rounded((PI / 8.0).cos()), T::rounded((PI / 8.0).sin()));
    let zero = T::Native::<S>::splat(simd, T::ZERO);
    let (mut sums, mut differences) = ([zero; 8], [zero; 8]);
    for i in 0..8 {
        let near = T::lanes(simd, &samples[i * S::f32s::LEN..]) * window[i];
        let far = T::lanes(simd, &samples[(i + 8) * S::f32s::LEN..]) * window[i + 8];
        sums[i] = near + far;
        differences[i] = near - far;
    }

    // The even results: a transform of eight real numbers.
    let (s04, s15, s26, s37) = (
        sums[0] + sums[4],
        sums[1] + sums[5],
        sums[2] + sums[6],
        sums[3] + sums[7],
    );
    let (d04, d15, d26, d37) = (
        sums[0] - sums[4],
        sums[1] - sums[5],
        sums[2] - sums[6],
        sums[3] - sums[7],
    );
    let (even, odd) = (s04 + s26, s15 + s37);
    let (turned_re, turned_im) = ((d15 - d37) * root_half, (d15 + d37) * root_half);
    let r0 = Lanes {
        re: even + odd,
        im: zero,
    };
    let r8 = Lanes {
        re: even - odd,
        im: zero,
    };
    let r4 = Lanes {
        re: s04 - s26,
        im: s37 - s15,
    };
    let r2 = Lanes {
        re: d04 + turned_re,
        im: -(d26 + turned_im),
    };
    let r6 = Lanes {
        re: d04 - turned_re,
        im: d26 - turned_im,
    };

    // The odd ones: each difference as one number with the fourth after it, turned by
    // sixteenths, and a transform of four of those, which gives results 1, 5, 9 and 13.
    // The last two are those of 7 and 3 mirrored.
    let d = differences;
    let points = [
        Lanes {
            re: d[0],
            im: -d[4],
        },
        Lanes {
            re: d[1] * cos - d[5] * sin,
            im: -(d[1] * sin + d[5] * cos),
        },
        Lanes {
            re: (d[2] - d[6]) * root_half,
            im: (d[2] + d[6]) * -root_half,
        },
        Lanes {
            re: d[3] * sin - d[7] * cos,
            im: -(d[3] * cos + d[7] * sin),
        },
    ];
    let [r1, r5, r9, r13] = four_points(simd, points);
    let r3 = Lanes {
        re: r13.re,
        im: -r13.im,
    };
    let r7 = Lanes {
        re: r9.re,
        im: -r9.im,
    };
    [r0, r1, r2, r3, r4, r5, r6, r7, r8]
}
