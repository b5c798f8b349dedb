//! The files of `data/`, and decoding of what tests make of them.

use std::path::Path;

use biophony_audio::{AudioError, DecodeLimits, Decoded, decode_bytes};

pub(crate) fn decode(bytes: Vec<u8>) -> Result<Decoded, AudioError> {
    decode_bytes(bytes, Path::new("test.bin"), &DecodeLimits::default())
}

pub(crate) fn data(name: &str) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/data")
        .join(name);
    std::fs::read(path).expect("the file is in the repository")
}
