//! Which vector instructions the loops over samples and spectra run with.
//!
//! The loops are safe Rust that compilers turn into vectors, compiled once for each
//! [`Level`] by [`fearless_simd::dispatch`], which asks the processor and holds the
//! `unsafe` that calling them takes. Sums are cut into lanes by the sources and no
//! product is fused with a sum, so that all levels give the same bits.

use std::sync::OnceLock;

use fearless_simd::Level;

/// The widest instructions that the processor has, or those that the environment
/// variable `BIOPHONY_SIMD` names (`portable`, `avx2`, `avx512` or `neon`), as in
/// `biophony-nn`.
pub(crate) fn level() -> Level {
    static LEVEL: OnceLock<Level> = OnceLock::new();
    *LEVEL.get_or_init(|| {
        let wanted = std::env::var("BIOPHONY_SIMD").unwrap_or_default();
        let named = supported().into_iter().find(|(name, _)| *name == wanted);
        named.map_or(Level::new(), |(_, level)| level)
    })
}

/// All that this processor can run, by name; the last is what every processor of its
/// kind can.
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
