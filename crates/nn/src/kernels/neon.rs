//! NEON, which every 64-bit ARM processor has.

use std::arch::aarch64::*;

use super::simd::Simd;

/// NEON: 4 lanes, 32 registers.
#[derive(Clone, Copy)]
pub(crate) struct Neon;

// SAFETY of every block below: the trait's contract hands its two conditions, that
// the processor has the instructions and that the pointers are valid for the lanes
// touched, to the caller.
impl Simd for Neon {
    const LANES: usize = 4;
    type Vector = float32x4_t;
    type Mask = uint32x4_t;

    #[inline(always)]
    unsafe fn splat(value: f32) -> float32x4_t {
        unsafe { vdupq_n_f32(value) }
    }

    #[inline(always)]
    unsafe fn load(from: *const f32) -> float32x4_t {
        unsafe { vld1q_f32(from) }
    }

    #[inline(always)]
    unsafe fn store(vector: float32x4_t, to: *mut f32) {
        unsafe { vst1q_f32(to, vector) }
    }

    #[inline(always)]
    unsafe fn load_first(n: usize, from: *const f32) -> float32x4_t {
        let mut values = [0.0f32; 4];
        // SAFETY: at most four of the `n` values that the caller promises are copied to four.
        unsafe {
            std::ptr::copy_nonoverlapping(from, values.as_mut_ptr(), n.min(4));
            vld1q_f32(values.as_ptr())
        }
    }

    #[inline(always)]
    unsafe fn store_first(n: usize, vector: float32x4_t, to: *mut f32) {
        let mut values = [0.0f32; 4];
        // SAFETY: at most four values are copied to the `n` that the caller promises.
        unsafe {
            vst1q_f32(values.as_mut_ptr(), vector);
            std::ptr::copy_nonoverlapping(values.as_ptr(), to, n.min(4));
        }
    }

    #[inline(always)]
    unsafe fn fma(a: float32x4_t, b: float32x4_t, c: float32x4_t) -> float32x4_t {
        unsafe { vfmaq_f32(c, a, b) }
    }

    #[inline(always)]
    unsafe fn add(a: float32x4_t, b: float32x4_t) -> float32x4_t {
        unsafe { vaddq_f32(a, b) }
    }

    #[inline(always)]
    unsafe fn sub(a: float32x4_t, b: float32x4_t) -> float32x4_t {
        unsafe { vsubq_f32(a, b) }
    }

    #[inline(always)]
    unsafe fn max(a: float32x4_t, b: float32x4_t) -> float32x4_t {
        unsafe { vbslq_f32(vcgtq_f32(a, b), a, b) }
    }

    #[inline(always)]
    unsafe fn greater_or_nan(a: float32x4_t, b: float32x4_t) -> uint32x4_t {
        unsafe { vorrq_u32(vcgtq_f32(a, b), vmvnq_u32(vceqq_f32(a, a))) }
    }

    #[inline(always)]
    unsafe fn select(mask: uint32x4_t, a: float32x4_t, b: float32x4_t) -> float32x4_t {
        unsafe { vbslq_f32(mask, a, b) }
    }
}
