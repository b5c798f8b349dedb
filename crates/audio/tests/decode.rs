//! Decoding: every format that is promised, by content. Files that were cut short are
//! in `cut_short.rs`, damaged ones in `damaged.rs`.
//!
//! PCM files are written here; the others lie in `data/`, with the script that
//! made them. All hold the same sound: 440 Hz at 0.5 on the left, 1000 Hz at
//! 0.25 on the right.

#[path = "made/files.rs"]
mod files;
#[path = "made/wav_file.rs"]
mod wav_file;

use std::f64::consts::TAU;
use std::path::Path;

use biophony_audio::{
    AudioError, Container, DecodeLimits, Decoded, Seconds, decode_bytes, decode_file, sniff,
};
use files::{data, decode};
use wav_file::{WavFile, tone_frames};

/// The amplitude of a frequency, by projection.
fn amplitude(samples: &[f32], rate: u32, frequency: f64) -> f64 {
    let (mut re, mut im) = (0.0, 0.0);
    for (i, &value) in samples.iter().enumerate() {
        let phase = TAU * frequency * i as f64 / f64::from(rate);
        re += f64::from(value) * phase.cos();
        im += f64::from(value) * phase.sin();
    }
    2.0 * re.hypot(im) / samples.len() as f64
}

/// Checks that a file holds the mean of the two tones and nothing is wrong.
#[track_caller]
fn check_tone(decoded: &Decoded, codec: &str, seconds: f64, tolerance: f64) {
    assert_eq!(decoded.format.codec, codec);
    assert_eq!(
        (decoded.format.channels, decoded.format.rate.hertz()),
        (2, 16_000)
    );
    assert_eq!(decoded.warnings, [""; 0]);
    assert_eq!(decoded.clipped_samples, 0);
    let duration = decoded.clip.duration().0;
    assert!(
        (duration - seconds).abs() < 0.05,
        "{duration} s instead of {seconds}"
    );
    // Whole periods of both tones, away from the ends.
    let samples = &decoded.clip.samples()[decoded.clip.samples().len() / 5..];
    let middle = &samples[..samples.len() * 3 / 4 / 400 * 400];
    for (frequency, expected) in [(440.0, 0.25), (1000.0, 0.125), (2500.0, 0.0)] {
        let found = amplitude(middle, 16_000, frequency);
        assert!(
            (found - expected).abs() < tolerance,
            "{found} instead of {expected} at {frequency} Hz"
        );
    }
    // AAC overshoots where the tones begin.
    assert!((0.45..0.9).contains(&decoded.peak), "peak {}", decoded.peak);
}

#[test]
fn every_compressed_format_gives_the_tones() {
    for (name, container, codec, seconds) in [
        ("tone.flac", Container::Flac, "FLAC", 0.1),
        ("tone.mp3", Container::Mpeg, "MP3", 0.5),
        ("tone.ogg", Container::Ogg, "Vorbis", 0.5),
        ("tone.m4a", Container::IsoMedia, "AAC", 0.5),
        // Bare frames cannot say that the first 64 ms are the encoder's.
        ("tone.aac", Container::Adts, "AAC", 0.576),
        ("tone_mp3.wav", Container::Wav, "MP3", 0.576),
        ("tone_ima.wav", Container::Wav, "IMA ADPCM", 0.5),
        ("tone_ms.wav", Container::Wav, "MS ADPCM", 0.5),
        ("tone_alaw.wav", Container::Wav, "A-law", 0.25),
        ("tone_mulaw.wav", Container::Wav, "µ-law", 0.25),
        ("tone.aiff", Container::Aiff, "16-bit PCM", 0.14),
        ("tone_sowt.aiff", Container::Aiff, "16-bit PCM", 0.14),
        ("tone_float.aiff", Container::Aiff, "32-bit float", 0.07),
        ("tone_alaw.aiff", Container::Aiff, "A-law", 0.14),
    ] {
        let bytes = data(name);
        assert_eq!(
            sniff(&bytes[..bytes.len().min(4096)]),
            Some(container),
            "{name}"
        );
        let decoded = decode(bytes).unwrap_or_else(|error| panic!("{name}: {error}"));
        println!("{name}");
        // LAME makes everything five hundredths softer.
        check_tone(
            &decoded,
            codec,
            seconds,
            if codec == "MP3" { 0.015 } else { 0.01 },
        );
    }
}

#[test]
fn lossless_files_agree_to_the_sample() {
    let flac = decode(data("tone.flac")).expect("decodes");
    let aiff = decode(data("tone.aiff")).expect("decodes");
    let sowt = decode(data("tone_sowt.aiff")).expect("decodes");
    assert_eq!(*flac.clip.samples(), aiff.clip.samples()[..1600]);
    assert_eq!(sowt.clip, aiff.clip);
    assert_eq!(flac.format.bits_per_sample, Some(16));
}

#[test]
fn every_width_of_pcm_gives_the_tones() {
    for (tag, bits, codec, tolerance) in [
        (1, 8, "8-bit PCM", 0.005),
        (1, 16, "16-bit PCM", 0.001),
        (1, 24, "24-bit PCM", 0.001),
        (1, 32, "32-bit PCM", 0.001),
        (3, 32, "32-bit float", 0.001),
        (3, 64, "64-bit float", 0.001),
    ] {
        for extensible in [false, true] {
            let file = WavFile {
                tag,
                bits,
                extensible,
                ..WavFile::tone()
            };
            let decoded = decode(file.bytes()).expect("decodes");
            check_tone(&decoded, codec, 0.25, tolerance);
            assert_eq!(decoded.format.bits_per_sample, Some(u32::from(bits)));
        }
    }
}

#[test]
fn rf64_and_streamed_headers_are_read() {
    let plain = decode(WavFile::tone().bytes()).expect("decodes");
    let rf64 = decode(WavFile::tone().rf64()).expect("decodes");
    let streamed = decode(
        WavFile {
            claimed: Some(u32::MAX),
            ..WavFile::tone()
        }
        .bytes(),
    )
    .expect("decodes");
    assert_eq!(rf64, plain);
    assert_eq!(streamed, plain);
}

#[test]
fn a_format_chunk_with_extra_bytes_is_read() {
    let file = WavFile {
        format_padding: 10,
        ..WavFile::tone()
    };
    check_tone(
        &decode(file.bytes()).expect("decodes"),
        "16-bit PCM",
        0.25,
        0.001,
    );
}

#[test]
fn any_number_of_channels_is_mixed_to_the_mean() {
    for channels in [1_u16, 2, 3, 6, 64] {
        let frame = (0..channels).map(|c| f64::from(c) / 100.0);
        let samples = (0..50).flat_map(|_| frame.clone()).collect();
        let file = WavFile {
            channels,
            samples,
            tag: 3,
            bits: 32,
            ..WavFile::tone()
        };
        let decoded = decode(file.bytes()).expect("decodes");
        let mean = f32::from(channels - 1) / 200.0;
        assert_eq!(decoded.clip.samples().len(), 50);
        assert!(
            decoded
                .clip
                .samples()
                .iter()
                .all(|value| (value - mean).abs() < 1e-6)
        );
    }
}

#[test]
fn clipping_is_counted_in_every_channel() {
    let samples = vec![1.0, -1.0, 0.5, 1.0, 0.0, 0.0];
    for (tag, bits) in [(1, 8), (1, 16), (1, 24), (1, 32), (3, 32)] {
        let file = WavFile {
            tag,
            bits,
            samples: samples.clone(),
            ..WavFile::tone()
        };
        let decoded = decode(file.bytes()).expect("decodes");
        assert_eq!(decoded.clipped_samples, 3, "{bits} bits");
        assert!((decoded.peak - 1.0).abs() < 0.01);
    }
}

#[test]
fn what_is_no_number_becomes_silence_with_a_warning() {
    let samples = vec![f64::NAN, f64::INFINITY, 0.5, 0.25];
    let file = WavFile {
        tag: 3,
        bits: 32,
        channels: 1,
        samples,
        ..WavFile::tone()
    };
    let decoded = decode(file.bytes()).expect("decodes");
    assert_eq!(decoded.clip.samples(), [0.0, 0.0, 0.5, 0.25]);
    assert_eq!(
        decoded.warnings,
        [
            "2 samples were damaged (no number, infinite, or beyond ±1e10) and were replaced by silence."
        ]
    );
}

#[test]
fn a_stream_broken_in_the_middle_is_read_around_the_damage() {
    // Where there is sound in each, behind the headers.
    for (name, percent) in [
        ("tone.mp3", 60),
        ("tone.ogg", 90),
        ("tone.aac", 60),
        ("tone.flac", 90),
    ] {
        let mut bytes = data(name);
        let at = bytes.len() * percent / 100;
        bytes[at..at + 50].fill(0x55);
        let decoded = decode(bytes).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert!(decoded.clip.duration().0 > 0.05, "{name}");
        assert!(
            decoded.clip.samples().iter().all(|value| value.is_finite()),
            "{name}"
        );
    }
}

#[track_caller]
fn check_refused(bytes: Vec<u8>, expected: &str) {
    let error = decode(bytes).expect_err("is refused").to_string();
    assert_eq!(error, format!("`test.bin`: {expected}"));
}

#[test]
fn a_refusal_names_path_codec_and_reason() {
    let wav = |edit: &dyn Fn(&mut WavFile)| {
        let mut file = WavFile::tone();
        edit(&mut file);
        file.bytes()
    };
    check_refused(Vec::new(), "not audio of a known format: the file is empty");
    check_refused(
        b"no sound".to_vec(),
        "not audio of a known format: it begins with `no sound`",
    );
    check_refused(
        wav(&|file| file.channels = 0),
        "cannot decode `WAV`: it claims to have no channels",
    );
    check_refused(
        wav(&|file| file.channels = 65_535),
        "it claims 65535 channels, more than the limit of 64",
    );
    check_refused(
        wav(&|file| file.rate = 0),
        "cannot decode `WAV`: it claims a sample rate of 0 Hz, and sound has 50 to 4000000",
    );
    check_refused(
        wav(&|file| file.tag = 0x0161),
        "no decoder for codec `Windows Media Audio (WAV format 0x0161)`: convert the file to PCM or FLAC first",
    );
    check_refused(
        wav(&|file| file.bits = 64),
        "no decoder for codec `PCM`: 64 bits in 8 bytes per sample",
    );
    check_refused(
        wav(&|file| file.samples.clear()),
        "there is no sound in it: `WAV, 16-bit PCM` without a single sample",
    );
    check_refused(
        b"RIFF\0\0\0\0WAVE".to_vec(),
        "cannot decode `WAV`: it has no `fmt ` chunk",
    );
    check_refused(
        data("tone.opus"),
        "no decoder for codec `Opus`: convert the file to FLAC or WAV first",
    );
    check_refused(
        data("tone_alac.m4a"),
        "no decoder for codec `Apple Lossless`: convert the file to FLAC or WAV first",
    );
    check_refused(
        b"caff\0\x01\0\0".to_vec(),
        "no decoder for codec `Apple Core Audio (CAF)`: convert the file to FLAC or WAV first",
    );
}

#[test]
fn limits_are_kept() {
    let limits = DecodeLimits {
        max_bytes: 1000,
        ..DecodeLimits::default()
    };
    let refused = decode_bytes(WavFile::tone().bytes(), Path::new("a"), &limits);
    assert!(matches!(refused, Err(AudioError::TooManyBytes { .. })));
    let limits = DecodeLimits {
        max_duration: Seconds(0.1),
        ..DecodeLimits::default()
    };
    for bytes in [
        WavFile::tone().bytes(),
        data("tone.mp3"),
        data("tone.aiff"),
        data("tone_ima.wav"),
    ] {
        let refused = decode_bytes(bytes, Path::new("a"), &limits);
        assert!(matches!(refused, Err(AudioError::TooLong { .. })));
    }
    let limits = DecodeLimits {
        max_samples: 2_000,
        ..DecodeLimits::default()
    };
    for bytes in [WavFile::tone().bytes(), data("tone.mp3"), data("tone.aiff")] {
        match decode_bytes(bytes, Path::new("a"), &limits) {
            Err(AudioError::TooLong { max_duration, .. }) => assert!(max_duration.0 < 1.0),
            other => panic!("{other:?}"),
        }
    }
    let limits = DecodeLimits {
        max_channels: 1,
        ..DecodeLimits::default()
    };
    for bytes in [WavFile::tone().bytes(), data("tone.flac")] {
        let refused = decode_bytes(bytes, Path::new("a"), &limits);
        assert!(matches!(
            refused,
            Err(AudioError::TooManyChannels { channels: 2, .. })
        ));
    }
}

#[test]
fn a_file_is_read_from_its_path_whatever_its_name() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("frog.txt");
    std::fs::write(&path, WavFile::tone().bytes()).expect("writes");
    assert_eq!(
        decode_file(&path, &DecodeLimits::default())
            .expect("decodes")
            .format
            .container,
        "WAV"
    );
    for missing in [folder.path().join("none.wav"), folder.path().to_path_buf()] {
        let refused = decode_file(&missing, &DecodeLimits::default());
        assert!(matches!(refused, Err(AudioError::Read { .. })));
    }
    let limits = DecodeLimits {
        max_bytes: 100,
        ..DecodeLimits::default()
    };
    assert!(matches!(
        decode_file(&path, &limits),
        Err(AudioError::TooManyBytes { .. })
    ));
}

#[test]
fn the_tones_of_the_tests_are_what_they_claim() {
    let left: Vec<f32> = tone_frames()
        .iter()
        .step_by(2)
        .map(|&value| value as f32)
        .collect();
    assert!((amplitude(&left[..4000], 16_000, 440.0) - 0.5).abs() < 1e-3);
}

/// Needs real recordings: `BIOPHONY_TEST_CLIPS` names their folder.
#[test]
fn real_clips_decode_without_exception() {
    let Some(folder) = std::env::var_os("BIOPHONY_TEST_CLIPS") else {
        println!("skipped: BIOPHONY_TEST_CLIPS names no folder of recordings");
        return;
    };
    let mut folders = vec![folder.into()];
    let mut n_decoded = 0;
    while let Some(folder) = folders.pop() {
        let folder: std::path::PathBuf = folder;
        for entry in std::fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let decoded = decode_file(&path, &DecodeLimits::default()).expect("decodes");
                assert!(decoded.clip.samples().iter().all(|value| value.is_finite()));
                n_decoded += 1;
            }
        }
    }
    assert!(n_decoded > 0, "the folder holds no recordings");
}
