//! Damaged and hostile files: whatever the bytes, decoding ends with a clip or
//! an error, without a panic and without filling the memory.

#[path = "made/wav_file.rs"]
mod wav_file;

use std::alloc::System;
use std::path::Path;

use biophony_audio::{DecodeLimits, Decoded, Seconds, decode_bytes, sniff};
use cap::Cap;
use proptest::prelude::*;
use wav_file::WavFile;

/// Every allocation is counted, and one beyond the limit ends the program.
#[global_allocator]
static ALLOCATOR: Cap<System> = Cap::new(System, 256 << 20);

const FILES: [&str; 12] = [
    "tone.flac",
    "tone.mp3",
    "tone.ogg",
    "tone.opus",
    "tone.m4a",
    "tone.aac",
    "tone_alac.m4a",
    "tone_mp3.wav",
    "tone_ima.wav",
    "tone_ms.wav",
    "tone.aiff",
    "tone_float.aiff",
];

fn sound_file() -> impl Strategy<Value = Vec<u8>> {
    let data = |name: &str| {
        let path = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("tests/data")
            .join(name);
        std::fs::read(path).expect("the file is in the repository")
    };
    let mut files: Vec<Vec<u8>> = FILES.into_iter().map(data).collect();
    for (tag, bits) in [(1, 8), (1, 16), (1, 24), (3, 32), (3, 64), (6, 8)] {
        files.push(
            WavFile {
                tag,
                bits,
                ..WavFile::tone()
            }
            .bytes(),
        );
    }
    files.push(
        WavFile {
            extensible: true,
            ..WavFile::tone()
        }
        .bytes(),
    );
    files.push(WavFile::tone().rf64());
    proptest::sample::select(files)
}

/// Bytes that are replaced: anywhere, or among the headers, where they do most.
fn damage() -> impl Strategy<Value = Vec<(usize, u8)>> {
    let byte = prop_oneof![Just(0), Just(0xFF), Just(0x7F), Just(0x80), any::<u8>()];
    let place = prop_oneof![0_usize..120, 0_usize..700, any::<usize>()];
    prop::collection::vec((place, byte), 0..12)
}

fn limits() -> DecodeLimits {
    DecodeLimits {
        max_duration: Seconds(60.0),
        ..DecodeLimits::default()
    }
}

fn check(bytes: Vec<u8>) {
    let _ = sniff(&bytes[..bytes.len().min(4096)]);
    let limits = limits();
    if let Ok(Decoded {
        clip, format, peak, ..
    }) = decode_bytes(bytes, Path::new("damaged"), &limits)
    {
        assert!(!clip.samples().is_empty());
        assert!(clip.duration().0 <= limits.max_duration.0 + 1.0);
        assert!((1..=limits.max_channels).contains(&format.channels));
        assert!(peak.is_finite() && clip.samples().iter().all(|value| value.is_finite()));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_damaged_file_gives_a_clip_or_an_error(mut bytes in sound_file(), damage in damage()) {
        for (place, byte) in damage {
            let n = bytes.len();
            bytes[place % n] = byte;
        }
        check(bytes);
    }

    #[test]
    fn a_file_cut_anywhere_gives_a_clip_or_an_error(bytes in sound_file(), share in 0.0..1.0) {
        let n = (bytes.len() as f64 * share) as usize;
        check(bytes[..n].to_vec());
    }

    #[test]
    fn random_bytes_behind_a_signature_give_a_clip_or_an_error(
        start in proptest::sample::select(vec![
            &b"RIFF\xFF\xFF\xFF\xFFWAVEfmt \x10\0\0\0"[..],
            b"FORM\xFF\xFF\xFF\xFFAIFFCOMM\0\0\0\x12",
            b"fLaC\0\0\0\x22",
            b"OggS\0\x02",
            b"\xFF\xFB\x90\x00",
            b"\xFF\xF1\x50\x80",
            b"ID3\x04\0\0\0\0\0\x04",
            b"\0\0\0\x18ftypM4A \0\0\0\0M4A isom\0\0\x02\0moov",
        ]),
        rest in prop::collection::vec(any::<u8>(), 0..600),
    ) {
        check([start, &rest].concat());
    }

    #[test]
    fn a_file_with_a_piece_left_out_or_doubled_gives_a_clip_or_an_error(
        bytes in sound_file(),
        from in 0.0..1.0,
        to in 0.0..1.0,
    ) {
        let at = |share: f64| (bytes.len() as f64 * share) as usize;
        check([&bytes[..at(from)], &bytes[at(to)..]].concat());
    }
}

#[test]
fn a_header_that_claims_four_gigabytes_costs_nothing() {
    for claimed in [u32::MAX - 1, u32::MAX, 0x8000_0000] {
        let bytes = WavFile {
            claimed: Some(claimed),
            ..WavFile::tone()
        }
        .bytes();
        let decoded = decode_bytes(bytes, Path::new("huge"), &limits()).expect("decodes");
        assert_eq!(decoded.clip.samples().len(), 4000);
    }
}

#[test]
fn every_field_of_a_format_chunk_may_be_anything() {
    for tag in [1, 2, 3, 6, 7, 0x11, 0x55, 0xFFFE] {
        for at in (20..36).step_by(2) {
            for value in [0_u16, 1, 3, 7, 255, 256, 0x7FFF, 0x8000, 0xFFFF] {
                let mut bytes = WavFile {
                    tag,
                    ..WavFile::tone()
                }
                .bytes();
                bytes[at..at + 2].copy_from_slice(&value.to_le_bytes());
                check(bytes);
            }
        }
    }
}

#[test]
fn a_rate_that_no_recorder_has_is_an_error() {
    for hertz in [1_u32, 49, 4_000_001, u32::MAX] {
        let mut bytes = WavFile::tone().bytes();
        bytes[24..28].copy_from_slice(&hertz.to_le_bytes());
        let error = decode_bytes(bytes, Path::new("odd"), &limits()).expect_err("no such rate");
        assert!(error.to_string().contains("sample rate"), "{error}");
    }
}
