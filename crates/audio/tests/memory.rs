//! Sound that there is no memory for: an error of that file, not the end of the
//! program, which an allocation that fails would be.

#[path = "made/files.rs"]
#[expect(dead_code, reason = "the files here are all made")]
mod files;
#[path = "made/flac_file.rs"]
mod flac_file;
#[path = "made/wav_file.rs"]
mod wav_file;

use std::alloc::System;

use biophony_audio::AudioError;
use cap::Cap;
use files::decode;
use flac_file::FlacFile;
use wav_file::WavFile;

/// Beyond so many bytes allocations fail.
#[global_allocator]
static ALLOCATOR: Cap<System> = Cap::new(System, 64 << 20);

/// Hours of silence in kilobytes.
fn silence(n_blocks: usize) -> Vec<u8> {
    let file = FlacFile {
        rate: 192_000,
        block: 65_535,
        blocks: vec![0; n_blocks],
    };
    file.bytes()
}

/// As many samples of silence in a byte each.
fn silent_wav(n_samples: usize) -> Vec<u8> {
    let file = WavFile {
        bits: 8,
        channels: 1,
        claimed: Some(n_samples as u32),
        samples: Vec::new(),
        ..WavFile::tone()
    };
    let mut bytes = file.bytes();
    bytes.resize(bytes.len() + n_samples, 128);
    bytes
}

#[test]
fn sound_that_memory_cannot_hold_is_an_error_and_the_next_file_is_read() {
    // 22 million samples, which would take 85 MiB, and 16 million beside their file.
    for (bytes, seconds) in [(silence(340), 116.0), (silent_wav(16 << 20), 1048.6)] {
        match decode(bytes) {
            Err(AudioError::OutOfMemory { duration, .. }) => {
                assert!((duration.0 - seconds).abs() < 0.1, "{duration}");
            }
            other => panic!("{:?}", other.map(|decoded| decoded.clip.duration())),
        }
    }
    // 53 MiB fit where room does not grow to the double of what is needed.
    let decoded = decode(silence(211)).expect("fits");
    assert_eq!(decoded.clip.samples().len(), 211 * 65_535);
}
