//! Whatever the bytes, decoding ends with finite samples or an error.
#![no_main]

use std::path::Path;

use biophony_audio::{DecodeLimits, Seconds, decode_bytes};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let limits = DecodeLimits { max_duration: Seconds(60.0), ..DecodeLimits::default() };
    if let Ok(decoded) = decode_bytes(bytes.to_vec(), Path::new("fuzz"), &limits) {
        assert!(!decoded.clip.samples().is_empty());
        assert!(decoded.clip.samples().iter().all(|value| value.is_finite()));
    }
});
