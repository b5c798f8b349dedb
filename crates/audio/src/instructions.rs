//! Which vector instructions the loops over samples and spectra run with.
//!
//! The loops are safe Rust, compiled once for each level that [`supported`] knows, by
//! [`dispatch`]; the `fearless_simd` crate asks the processor, and holds the `unsafe`
//! that calling them takes. Sums are cut into lanes by the sources, or each frame has a
//! lane of its own, and no product is fused with a sum: so all levels give the same bits.

use std::sync::OnceLock;

use fearless_simd::Level;

/// The widest instructions that the processor has, or those that the environment
/// variable `BIOPHONY_SIMD` names (`portable`, `avx2`, `avx512` or `neon`), as in
/// `biophony-nn`.
pub(crate) fn level() -> Level {
    static LEVEL: OnceLock<Level> = OnceLock::new();
    *LEVEL.get_or_init(|| {
        let wanted = std::env::var("BIOPHONY_SIMD").unwrap_or_default();
        let supported = supported();
        let named = supported.iter().find(|(name, _)| *name == wanted);
        named.unwrap_or(&supported[0]).1
    })
}

/// All that this processor can run, by name, the widest first; the last is what every
/// processor of its kind can.
pub(crate) fn supported() -> Vec<(&'static str, Level)> {
    let best = Level::new();
    let mut supported: Vec<(&'static str, Level)> = Vec::new();
    #[cfg(target_arch = "x86_64")]
    {
        let avx512 = best
            .as_avx512()
            .map(|token| ("avx512", Level::Avx512(token)));
        let avx2 = best.as_avx2().map(|token| ("avx2", Level::Avx2(token)));
        let sse2 = best.as_sse2().map(|token| ("portable", Level::Sse2(token)));
        supported.extend([avx512, avx2, sse2].into_iter().flatten());
    }
    #[cfg(target_arch = "aarch64")]
    supported.push(("neon", best));
    #[cfg(not(target_arch = "x86_64"))]
    supported.push(("portable", best));
    supported
}

/// Does some work with the instructions of a level, of which the work gets the token.
///
/// [`fearless_simd::dispatch`] would compile it for SSE4.2 too, which is hardly faster
/// than what every processor has.
macro_rules! dispatch {
    ($level:expr, $simd:pat => $work:expr) => {
        match $level {
            #[cfg(target_arch = "x86_64")]
            fearless_simd::Level::Avx512(token) => dispatch!(@with token, $simd => $work),
            #[cfg(target_arch = "x86_64")]
            fearless_simd::Level::Avx2(token) => dispatch!(@with token, $simd => $work),
            #[cfg(target_arch = "x86_64")]
            fearless_simd::Level::Sse2(token) => dispatch!(@with token, $simd => $work),
            #[cfg(target_arch = "x86_64")]
            _ => unreachable!("no other level is supported"),
            #[cfg(not(target_arch = "x86_64"))]
            level => fearless_simd::dispatch!(level, $simd => $work),
        }
    };
    (@with $token:ident, $simd:pat => $work:expr) => {{
        let $simd = $token;
        fearless_simd::Simd::vectorize(
            $token,
            #[inline(always)]
            || $work,
        )
    }};
}

pub(crate) use dispatch;
