//! Telling what a file is by its first bytes.

use super::Container;

/// Recognizes a sound file by its first bytes, whatever its name; 4 kB are
/// enough.
///
/// MPEG and ADTS streams have no signature, only frames that begin with eleven
/// set bits; two of them must follow each other at the distance that the first
/// announces, so that other data is hardly ever taken for sound.
///
/// ```
/// # use biophony_audio::{Container, sniff};
/// assert_eq!(sniff(b"RIFF\x24\0\0\0WAVEfmt "), Some(Container::Wav));
/// assert_eq!(sniff(b"# Field notes of May"), None);
/// ```
pub fn sniff(head: &[u8]) -> Option<Container> {
    let form = head.get(8..12).unwrap_or_default();
    match (head.get(..4)?, form) {
        (b"RIFF" | b"RF64" | b"BW64", b"WAVE") => return Some(Container::Wav),
        (b"FORM", b"AIFF" | b"AIFC") => return Some(Container::Aiff),
        (b"fLaC", _) => return Some(Container::Flac),
        (b"OggS", _) => return Some(Container::Ogg),
        _ => {}
    }
    if head.get(4..8) == Some(b"ftyp") {
        return (!is_picture(form)).then_some(Container::IsoMedia);
    }
    if let Some(name) = unread_format(head) {
        return Some(Container::Other(name));
    }
    if head.starts_with(b"ID3") {
        return Some(match head.get(tag_length(head)..) {
            Some(rest) if rest.starts_with(b"fLaC") => Container::Flac,
            Some(rest) if are_frames(rest, adts_frame_length) => Container::Adts,
            _ => Container::Mpeg,
        });
    }
    let padding = head.iter().take_while(|&&byte| byte == 0).count();
    if are_frames(&head[padding..], mpeg_frame_length) {
        return Some(Container::Mpeg);
    }
    are_frames(&head[padding..], adts_frame_length).then_some(Container::Adts)
}

/// Pictures share the boxes of ISO media and begin with these brands.
fn is_picture(brand: &[u8]) -> bool {
    matches!(
        brand,
        b"heic" | b"heix" | b"heim" | b"heis" | b"mif1" | b"msf1" | b"avif" | b"avis" | b"crx "
    )
}

/// Formats of sound that are recognized so that a message can name them.
fn unread_format(head: &[u8]) -> Option<&'static str> {
    let signatures: [(&[u8], &'static str); 11] = [
        (b"RIFX", "big-endian WAV (RIFX)"),
        (b"riff\x2E\x91\xCF\x11", "Sony Wave64"),
        (b"caff", "Apple Core Audio (CAF)"),
        (b"wvpk", "WavPack"),
        (b"MAC ", "Monkey's Audio"),
        (b"TTA1", "True Audio"),
        (b"#!AMR", "AMR"),
        (b".snd", "Sun/NeXT audio (AU)"),
        (b"DSD ", "DSD"),
        (b"\x30\x26\xB2\x75\x8E\x66\xCF\x11", "Windows Media (ASF)"),
        (b"\x1A\x45\xDF\xA3", "Matroska or WebM"),
    ];
    signatures
        .iter()
        .find(|(signature, _)| head.starts_with(signature))
        .map(|(_, name)| *name)
}

/// How long the ID3 tag at the beginning is, 0 if there is none. Its size has
/// seven bits in each byte.
pub(super) fn tag_length(head: &[u8]) -> usize {
    match head {
        [b'I', b'D', b'3', _, _, flags, a, b, c, d, ..] => {
            let size = [a, b, c, d]
                .iter()
                .fold(0, |size, byte| size << 7 | usize::from(**byte & 0x7F));
            // A footer repeats the ten bytes of the header.
            size + if flags & 0x10 == 0 { 10 } else { 20 }
        }
        _ => 0,
    }
}

/// How many bytes the last frame announces beyond the end of the file.
pub(super) fn missing_bytes(bytes: &[u8], frame_length: fn(&[u8]) -> Option<usize>) -> usize {
    let rest = after_whole_frames(bytes, frame_length);
    frame_length(rest).map_or(0, |length| length - rest.len())
}

/// Whether the file ends within a frame, be it within its first bytes, which do not
/// say yet how long it is.
pub(super) fn ends_within_frame(bytes: &[u8], frame_length: fn(&[u8]) -> Option<usize>) -> bool {
    let rest = after_whole_frames(bytes, frame_length);
    // Headers have four bytes or seven, and begin with eleven set bits.
    let is_header = rest.len() < 7 && matches!(rest, [0xFF] | [0xFF, 0xE0..=0xFF, ..]);
    frame_length(rest).is_some() || is_header
}

/// Whether something that is no frame follows the first ones, as where a file is damaged,
/// and not merely its end.
pub(super) fn is_interrupted(bytes: &[u8], frame_length: fn(&[u8]) -> Option<usize>) -> bool {
    let rest = after_whole_frames(bytes, frame_length);
    rest.len() >= 7 && frame_length(rest).is_none()
}

/// Walks from frame to frame up to one that is not whole, or to the first thing that
/// is none, such as a tag.
fn after_whole_frames(mut bytes: &[u8], frame_length: fn(&[u8]) -> Option<usize>) -> &[u8] {
    while let Some(rest) = frame_length(bytes).and_then(|length| bytes.get(length..)) {
        bytes = rest;
    }
    bytes
}

/// Whether two frames follow each other, or one ends with the bytes.
fn are_frames(bytes: &[u8], frame_length: fn(&[u8]) -> Option<usize>) -> bool {
    frame_length(bytes)
        .and_then(|length| bytes.get(length..))
        .is_some_and(|rest| rest.is_empty() || frame_length(rest).is_some())
}

/// How long the MPEG audio frame is whose header begins here (ISO/IEC 11172-3,
/// section 2.4.2.3, and 13818-3 for the lower rates).
pub(super) fn mpeg_frame_length(bytes: &[u8]) -> Option<usize> {
    const LAYER_1: [usize; 15] = [
        0, 32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448,
    ];
    const LAYER_2: [usize; 15] = [
        0, 32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384,
    ];
    const LAYER_3: [usize; 15] = [
        0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320,
    ];
    const LOW_1: [usize; 15] = [
        0, 32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256,
    ];
    const LOW_2_3: [usize; 15] = [0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160];

    let [0xFF, second, third, _] = *bytes.get(..4)? else {
        return None;
    };
    if second < 0xE0 {
        return None;
    }
    let rate = *[44_100, 48_000, 32_000].get(usize::from(third >> 2 & 3))?;
    let (rate, is_low) = match second >> 3 & 3 {
        3 => (rate, false),
        2 => (rate / 2, true),
        0 => (rate / 4, true),
        _ => return None,
    };
    let padding = usize::from(third >> 1 & 1);
    let bitrate = |table: [usize; 15]| {
        table
            .get(usize::from(third >> 4))
            .copied()
            .filter(|&kbit| kbit > 0)
            .map(|kbit| kbit * 1000)
    };
    match (second >> 1 & 3, is_low) {
        (3, false) => Some((12 * bitrate(LAYER_1)? / rate + padding) * 4),
        (3, true) => Some((12 * bitrate(LOW_1)? / rate + padding) * 4),
        (2, false) => Some(144 * bitrate(LAYER_2)? / rate + padding),
        (2, true) => Some(144 * bitrate(LOW_2_3)? / rate + padding),
        (1, false) => Some(144 * bitrate(LAYER_3)? / rate + padding),
        (1, true) => Some(72 * bitrate(LOW_2_3)? / rate + padding),
        _ => None,
    }
}

/// How long the AAC frame is whose ADTS header begins here (ISO/IEC 14496-3,
/// section 1.A.3).
pub(super) fn adts_frame_length(bytes: &[u8]) -> Option<usize> {
    let [first, second, third, fourth, fifth, sixth, _] = *bytes.get(..7)? else {
        return None;
    };
    let is_header = first == 0xFF && second & 0xF6 == 0xF0 && third >> 2 & 0x0F < 13;
    let length = usize::from(fourth & 3) << 11 | usize::from(fifth) << 3 | usize::from(sixth) >> 5;
    (is_header && length > 7).then_some(length)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(head: &[u8], expected: Option<Container>) {
        assert_eq!(sniff(head), expected);
    }

    #[test]
    fn signatures_are_recognized() {
        check(b"RF64\xFF\xFF\xFF\xFFWAVEds64", Some(Container::Wav));
        check(b"FORM\0\0\0\x20AIFCFVER", Some(Container::Aiff));
        check(b"OggS\0\x02", Some(Container::Ogg));
        check(b"fLaC\0\0\0\x22", Some(Container::Flac));
        check(b"\0\0\0\x20ftypM4A \0\0\0\0", Some(Container::IsoMedia));
        check(
            b"caff\0\x01\0\0",
            Some(Container::Other("Apple Core Audio (CAF)")),
        );
    }

    #[test]
    fn text_pictures_and_nothing_are_no_sound() {
        check(b"", None);
        check(b"ID", None);
        check(b"path,label\na.wav,frog\n", None);
        check(b"\x89PNG\r\n\x1A\n\0\0\0\rIHDR", None);
        check(
            b"\xFF\xD8\xFF\xE0\0\x10JFIF\0\x01\x01\0\0\x01\0\x01\0\0",
            None,
        );
        check(b"\0\0\0\x20ftypheic\0\0\0\0", None);
        check(b"RIFF\0\0\0\0AVI LIST", None);
    }

    #[test]
    fn an_mpeg_frame_counts_only_if_another_follows() {
        // 128 kbit/s at 44.1 kHz: 417 bytes.
        let mut stream = vec![0; 421];
        stream[..4].copy_from_slice(&[0xFF, 0xFB, 0x90, 0x00]);
        check(&stream, None);
        stream[417..].copy_from_slice(&[0xFF, 0xFB, 0x90, 0x00]);
        check(&stream, Some(Container::Mpeg));
        check(&[vec![0; 10], stream].concat(), Some(Container::Mpeg));
    }

    #[test]
    fn a_stream_that_ends_within_a_frame_is_told_from_a_whole_one() {
        let mut stream = vec![0; 2 * 417];
        for at in [0, 417] {
            stream[at..at + 4].copy_from_slice(&[0xFF, 0xFB, 0x90, 0x00]);
        }
        for (length, is_cut) in [
            (834, false),
            (833, true),
            (421, true),
            (418, true),
            (417, false),
        ] {
            let found = ends_within_frame(&stream[..length], mpeg_frame_length);
            assert_eq!(found, is_cut, "{length} bytes");
        }
        assert_eq!(missing_bytes(&stream[..421], mpeg_frame_length), 413);
        let tagged = [&stream[..], b"TAG"].concat();
        assert!(!ends_within_frame(&tagged, mpeg_frame_length));
    }

    #[test]
    fn a_tag_is_looked_behind() {
        check(b"ID3\x04\0\0\0\0\0\x02..fLaC", Some(Container::Flac));
        check(b"ID3\x04\0\0\0\0\x40\0", Some(Container::Mpeg));
    }
}
