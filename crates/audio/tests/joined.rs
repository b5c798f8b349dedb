//! MP3 files that were joined end to end: all of them are heard, though the header of the
//! first counts its own frames only.

#[path = "made/files.rs"]
mod files;

use files::{data, decode};

/// Samples before the first one of a sound that its encoder adds: 576, and 529 of the decoder.
const DELAY: usize = 1105;

/// An ID3 tag with these bytes in it.
fn tag(content: &[u8]) -> Vec<u8> {
    let size = content.len();
    let size = [0, 0, (size >> 7) as u8, (size & 0x7F) as u8];
    [&b"ID3\x03\0\0"[..], &size, content].concat()
}

fn samples(parts: &[&[u8]]) -> Vec<f32> {
    let decoded = decode(parts.concat()).expect("decodes");
    assert_eq!(decoded.warnings, [""; 0]);
    decoded.clip.samples().to_vec()
}

/// Of what is between the parts, nothing must be heard.
#[track_caller]
fn check_joined(parts: &[&[u8]]) {
    let single = samples(&[&data("tone.mp3")]);
    let joined = samples(parts);
    assert_eq!(joined[..single.len()], single, "the first part");
    // What the second has for its encoder alone stays: no header says where it is.
    let second = &joined[single.len()..];
    let n_filling = second.len() - single.len();
    assert!((DELAY..DELAY + 2 * 576).contains(&n_filling), "{n_filling}");
    assert_eq!(second[DELAY..][..single.len()], single, "the second part");
}

#[test]
fn the_second_of_two_files_is_heard() {
    let file = data("tone.mp3");
    check_joined(&[&file, &file]);
    let tagged = [&tag(&[7; 300])[..], &file].concat();
    check_joined(&[&tagged, &tagged]);
}

#[test]
fn the_end_of_a_tag_is_not_taken_for_sound() {
    let file = data("tone.mp3");
    let single = samples(&[&file]);
    // The header of a frame of 288 bytes, and room for it.
    let frame = [&[0xFF, 0xF3, 0x88, 0xC4][..], &[0x55; 284]].concat();
    for end in [&tag(&[9; 900])[..], &[frame.as_slice(), b"TAG"].concat()] {
        assert_eq!(samples(&[&file, end]), single);
    }
}

#[test]
fn a_count_that_is_too_small_is_not_believed() {
    let mut file = data("tone.mp3");
    let whole = samples(&[&file]);
    let at = file.windows(4).position(|name| name == b"Info");
    let count = &mut file[at.expect("a header") + 8..][..4];
    assert_eq!(count[..3], [0; 3]);
    count[3] = 5;
    let read = decode(file).expect("decodes").clip.samples().len();
    // The filling that the header tells of is taken away where it says.
    assert!(read.abs_diff(whole.len()) <= 1152, "{read} samples");
}
