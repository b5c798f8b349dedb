//! Files that are damaged in the middle: what is around the damage is read, and a
//! warning says what is missing.

#[path = "made/files.rs"]
mod files;
#[path = "made/flac_file.rs"]
mod flac_file;

use biophony_audio::Decoded;
use files::{data, decode};
use flac_file::FlacFile;

/// Thirty tenths of a second.
fn flac() -> FlacFile {
    FlacFile {
        rate: 16_000,
        block: 1600,
        blocks: (0..30).map(|i| 100 * i).collect(),
    }
}

#[track_caller]
fn check(decoded: &Decoded, seconds: f64, warnings: &[&str]) {
    let found = decoded.clip.duration().0;
    assert!((found - seconds).abs() < 1e-9, "{found} s");
    assert_eq!(decoded.warnings, warnings);
}

#[test]
fn a_flac_file_with_damaged_frames_is_not_taken_for_one_that_was_cut() {
    let file = flac();
    let mut bytes = file.bytes();
    for i in [7, 12] {
        let frame = file.frame(i);
        let at = bytes.windows(frame.len()).position(|part| part == frame);
        bytes[at.expect("the frame is there") + frame.len() - 1] ^= 1;
    }
    let warning = "The file is damaged: of 3.000 s of sound 2.800 s can be read.";
    check(&decode(bytes.clone()).expect("decodes"), 2.8, &[warning]);
    // Nor is one whose header does not say how long it is.
    bytes[21] &= 0xF0;
    bytes[22..26].fill(0);
    check(&decode(bytes.clone()).expect("decodes"), 2.8, &[warning]);
    let cut = decode(bytes[..bytes.len() - 1].to_vec()).expect("decodes");
    assert!(cut.warnings[0].contains("cut short"), "{:?}", cut.warnings);
}

/// FLAC in Ogg: each frame in a page of its own, behind two pages of headers.
fn ogg_pages() -> Vec<Vec<u8>> {
    let file = flac();
    // One packet of headers follows, comments of nobody about nothing.
    let mut head = b"\x7FFLAC\x01\0\0\x01".to_vec();
    head.extend(file.head());
    let at = head.len() - 38;
    head[at] = 0;
    let comment = b"\x84\0\0\x08\0\0\0\0\0\0\0\0".to_vec();
    let frames = (0..file.blocks.len()).map(|i| (1600 * (i as u64 + 1), file.frame(i)));
    let packets = [(0, head), (0, comment)].into_iter().chain(frames);
    let n_pages = 2 + file.blocks.len();
    let page = |(number, (end, packet)): (usize, (u64, Vec<u8>))| {
        let flags = 2 * u8::from(number == 0) + 4 * u8::from(number + 1 == n_pages);
        let mut page = [&b"OggS\0"[..], &[flags], &end.to_le_bytes(), b"tone"].concat();
        page.extend((number as u32).to_le_bytes());
        page.extend([0, 0, 0, 0, 1, packet.len() as u8]);
        page.extend(packet);
        let sum = flac_file::checksum(&page, 0x04C1_1DB7, 32);
        page[22..26].copy_from_slice(&sum.to_le_bytes());
        page
    };
    packets.enumerate().map(page).collect()
}

/// What is read of an Ogg file after one bit of each of these pages was flipped.
fn with_damage(numbers: &[usize]) -> Decoded {
    let mut pages = ogg_pages();
    for &number in numbers {
        *pages[number].last_mut().expect("a page") ^= 1;
    }
    decode(pages.concat()).expect("decodes")
}

#[test]
fn pages_of_ogg_that_are_damaged_are_counted_and_their_sound_is_missed() {
    check(&with_damage(&[]), 3.0, &[]);
    let one = "The file is damaged: 1 page is damaged or missing; of 3.000 s of sound 2.900 s can be read.";
    check(&with_damage(&[10]), 2.9, &[one]);
    // The first one of sound is no reason to read none.
    check(&with_damage(&[2]), 2.9, &[one]);
    let two = "The file is damaged: 2 pages are damaged or missing; of 3.000 s of sound 2.800 s can be read.";
    check(&with_damage(&[10, 20]), 2.8, &[two]);
    check(&with_damage(&[30, 10]), 2.8, &[two]);
    // With the last one goes what says where the sound ends.
    check(
        &with_damage(&[31]),
        2.9,
        &["The file is damaged: 1 page is damaged or missing."],
    );
}

#[test]
fn a_file_that_ends_within_a_large_page_of_ogg_is_read_up_to_it() {
    let mut pages = ogg_pages();
    pages.truncate(30);
    let mut large = [&b"OggS\0\0\0\0\0\0\0\0\0\0tone"[..], &30_u32.to_le_bytes()].concat();
    large.extend([0, 0, 0, 0, 255]);
    large.resize(27 + 255, 255);
    large.resize(65_306, 0);
    pages.push(large);
    let warning = "The file was cut short: its last page is not there or not complete.";
    check(&decode(pages.concat()).expect("decodes"), 2.8, &[warning]);
}

#[test]
fn headers_of_ogg_that_are_damaged_are_called_so() {
    let mut bytes = data("tone.ogg");
    // The second page has the tables of the decoder.
    let pages: Vec<usize> = (0..bytes.len() - 4)
        .filter(|&at| &bytes[at..at + 4] == b"OggS")
        .collect();
    bytes[pages[2] - 1] ^= 1;
    let refused = decode(bytes).map(|decoded| decoded.warnings);
    let error = refused.expect_err("has no headers").to_string();
    assert!(
        error.ends_with("`Vorbis`: a page of its headers is damaged"),
        "{error}"
    );
}

#[test]
fn a_page_of_ogg_that_is_not_there_is_missed() {
    let mut pages = ogg_pages();
    pages.remove(10);
    let warning = "The file is damaged: 1 page is damaged or missing; of 3.000 s of sound 2.900 s can be read.";
    check(&decode(pages.concat()).expect("decodes"), 2.9, &[warning]);
}

#[test]
fn a_packet_that_asks_for_what_cannot_be_decoded_amid_others_is_left_out() {
    let mut bytes = data("tone.aac");
    let whole = decode(bytes.clone()).expect("decodes").clip.duration().0;
    // The fifth frame begins with an element that describes another program.
    let starts: Vec<usize> = (0..bytes.len() - 1)
        .filter(|&at| bytes[at] == 0xFF && bytes[at + 1] & 0xF6 == 0xF0)
        .collect();
    let at = starts[4] + 7;
    bytes[at] = bytes[at] & 0x1F | 5 << 5;
    let decoded = decode(bytes).expect("decodes");
    let frame = 1024.0 / f64::from(decoded.clip.rate().hertz());
    let [warning] = &decoded.warnings[..] else {
        panic!("{:?}", decoded.warnings);
    };
    assert!(warning.starts_with("1 of "), "{warning}");
    let found = decoded.clip.duration().0;
    assert!(
        (found - (whole - frame)).abs() < 1e-9,
        "{found} of {whole} s"
    );
}

#[test]
fn an_mp3_with_damaged_frames_is_not_taken_for_one_that_was_cut() {
    let mut bytes = data("tone.mp3");
    // More than three of its frames of 288 bytes.
    let at = bytes.len() / 2;
    bytes[at..at + 1000].fill(0);
    let decoded = decode(bytes).expect("decodes");
    let read = decoded.clip.duration().0;
    let warning = format!("The file is damaged: of 0.500 s of sound {read:.3} s can be read.");
    // Where the sound goes on, frames need bits of those that are lost.
    assert_eq!(decoded.warnings.last(), Some(&warning));
    assert!(read < 0.45, "{read}");
}
