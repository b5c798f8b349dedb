//! Files that end too early: what is there is read, and a warning says what is
//! missing, as far as that can be told.

#[path = "made/files.rs"]
mod files;
#[path = "made/wav_file.rs"]
mod wav_file;

use files::{data, decode};
use wav_file::WavFile;

#[test]
fn a_cut_file_gives_what_is_there_and_a_warning() {
    for name in [
        "tone.flac",
        "tone.mp3",
        "tone.ogg",
        "tone.m4a",
        "tone.aac",
        "tone_mp3.wav",
        "tone_ima.wav",
        "tone_ms.wav",
        "tone_alaw.wav",
        "tone.aiff",
    ] {
        let bytes = match name {
            // The index of this file comes last; one of a phone comes first.
            "tone.m4a" => wav_file::with_index_first(&data(name)),
            _ => data(name),
        };
        let whole = decode(bytes.clone()).expect("decodes").clip.duration().0;
        let decoded = decode(bytes[..bytes.len() * 9 / 10].to_vec())
            .unwrap_or_else(|error| panic!("{name}: {error}"));
        let half = decoded.clip.duration().0;
        assert!(half > 0.0 && half < whole, "{name}: {half} of {whole} s");
        let [warning] = &decoded.warnings[..] else {
            panic!("{name}: {:?}", decoded.warnings);
        };
        assert!(warning.contains("cut short"), "{name}: {warning}");
    }
}

/// The two lengths in "announces 0.509 s of sound and 0.445 s are there".
fn lengths(warning: &str) -> Option<[f64; 2]> {
    let (_, lengths) = warning.split_once("announces ")?;
    let (announced, there) = lengths.split_once(" s of sound and ")?;
    let there = there.strip_suffix(" s are there.")?;
    Some([announced.parse().ok()?, there.parse().ok()?])
}

#[test]
fn a_warning_names_the_lengths_that_were_announced_and_found() {
    for name in [
        "tone.flac",
        "tone_mp3.wav",
        "tone_ima.wav",
        "tone_ms.wav",
        "tone_alaw.wav",
        "tone.aiff",
    ] {
        let bytes = data(name);
        let whole = decode(bytes.clone()).expect("decodes").clip.duration().0;
        for percent in [88, 90] {
            let decoded = decode(bytes[..bytes.len() * percent / 100].to_vec()).expect("decodes");
            let there = decoded.clip.duration().0;
            let [announced, found] = lengths(&decoded.warnings[0])
                .unwrap_or_else(|| panic!("{name}: {:?}", decoded.warnings));
            // MP3 gives whole frames, of which the last is not all announced.
            let tolerance = if name.contains("mp3") { 0.036 } else { 0.001 };
            assert!(
                (announced - whole).abs() < tolerance,
                "{name}: {announced} of {whole}"
            );
            assert!((found - there).abs() < 0.001, "{name}: {found} of {there}");
        }
    }
}

/// The file with another number in four bytes of it, behind a name.
fn with_number(mut bytes: Vec<u8>, name: &[u8], offset: usize, number: u32) -> Vec<u8> {
    let at = bytes.windows(name.len()).position(|window| window == name);
    let at = at.expect("the name is there") + name.len() + offset;
    bytes[at..at + 4].copy_from_slice(&number.to_le_bytes());
    bytes
}

#[test]
fn without_frames_in_the_header_a_cut_mp3_in_wav_is_told_in_bytes() {
    let bytes = with_number(data("tone_mp3.wav"), b"fact", 4, 0);
    assert_eq!(decode(bytes.clone()).expect("decodes").warnings, [""; 0]);
    let cut = decode(bytes[..3000].to_vec()).expect("decodes");
    assert_eq!(
        cut.warnings,
        ["The file was cut short: its header announces 4608 bytes of sound and 2930 are there."]
    );
}

#[test]
fn a_cut_stream_of_no_stated_length_is_noticed_where_it_can_be() {
    // Sizes as a pipe leaves them, and FLAC without its number of samples.
    let unknown = |name| with_number(data(name), b"data", 0, u32::MAX);
    let mut flac = data("tone.flac");
    flac[21] &= 0xF0;
    flac[22..26].fill(0);
    let pcm = WavFile {
        claimed: Some(u32::MAX),
        ..WavFile::tone()
    };
    for (name, bytes) in [
        ("tone.flac", flac),
        ("tone_mp3.wav", unknown("tone_mp3.wav")),
        ("tone_ima.wav", unknown("tone_ima.wav")),
        ("tone_ms.wav", unknown("tone_ms.wav")),
        ("tone.aac", data("tone.aac")),
        ("tone.mp3", data("tone.mp3")),
        ("tone.ogg", data("tone.ogg")),
        ("tone.wav", pcm.bytes()),
    ] {
        let whole = decode(bytes.clone()).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(whole.warnings, [""; 0], "{name}");
        for missing in [1, 3, 100, 501] {
            let cut = decode(bytes[..bytes.len() - missing].to_vec())
                .unwrap_or_else(|error| panic!("{name}: {error}"));
            let [warning] = &cut.warnings[..] else {
                // A cut between two samples leaves nothing to tell it by.
                assert!(
                    name == "tone.wav" && missing == 100,
                    "{name}, {missing} bytes less"
                );
                continue;
            };
            assert!(warning.contains("cut short"), "{name}: {warning}");
        }
    }
}

#[test]
fn an_mp3_that_ends_between_two_frames_is_measured_by_its_header() {
    let bytes = data("tone.mp3");
    // The frames have 288 bytes, the first of them with the number of all.
    let start = bytes
        .windows(2)
        .position(|pair| pair == [0xFF, 0xF3])
        .expect("a frame");
    let cut = decode(bytes[..start + 9 * 288].to_vec()).expect("decodes");
    let [announced, there] = lengths(&cut.warnings[0]).expect("lengths");
    assert!((announced - 0.5).abs() < 0.001, "{announced}");
    assert!(
        (there - cut.clip.duration().0).abs() < 0.001 && there < 0.4,
        "{there}"
    );
}

#[test]
fn a_header_that_was_never_completed_is_read_with_a_warning() {
    let file = WavFile {
        claimed: Some(0),
        ..WavFile::tone()
    };
    let decoded = decode(file.bytes()).expect("decodes");
    assert_eq!(decoded.clip.samples().len(), 4000);
    assert!(
        decoded.warnings[0].contains("never completed"),
        "{:?}",
        decoded.warnings
    );
}

#[test]
fn a_number_of_frames_that_leaves_out_whole_blocks_is_not_believed() {
    for name in ["tone_ima.wav", "tone_ms.wav"] {
        let whole = decode(data(name)).expect("decodes").clip;
        for frames in [1, whole.samples().len() as u32 / 2] {
            let wrong = with_number(data(name), b"fact", 4, frames);
            let decoded = decode(wrong.clone()).expect("decodes");
            assert_eq!(decoded.warnings, [""; 0], "{name}");
            let n_more = decoded.clip.samples().len() - whole.samples().len();
            assert!(n_more < 2048, "{name}: {n_more} samples of filling");
            let cut = decode(wrong[..wrong.len() * 9 / 10].to_vec()).expect("decodes");
            let [announced, _] = lengths(&cut.warnings[0]).expect("lengths");
            assert!((announced - decoded.clip.duration().0).abs() < 0.001);
        }
    }
}
