//! What Symphonia leaves undone in Ogg files: pages that are damaged or missing.
//!
//! Its reader passes over a damaged page without a word, and refuses a file in which
//! the first page of sound is one, or that ends within a large one. Pages are those of RFC 3533, section 6.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::Range;

use symphonia::core::checksum::Crc32;
use symphonia::core::io::Monitor;

use crate::riff::ByteOrder;

const LE: ByteOrder = ByteOrder::LittleEndian;

/// The bytes of a page before its table of segments.
const HEADER: usize = 27;

/// The bit of a page that says that no other follows.
const IS_LAST: u8 = 4;

/// The pages of a file.
pub(super) struct Pages<'a> {
    /// The file without what is not a whole page.
    pub(super) bytes: Cow<'a, [u8]>,
    /// How many are damaged or missing.
    pub(super) n_lost: u64,
    /// Where the sound ends in samples, if there is one stream and it says so.
    pub(super) end: Option<u64>,
    /// Whether the last page is there and marked as such.
    pub(super) is_complete: bool,
}

impl<'a> Pages<'a> {
    /// Looks through a file.
    pub(super) fn of(file: &'a [u8]) -> Self {
        let mut whole: Vec<Range<usize>> = Vec::new();
        // The number of the page that is next, for each stream.
        let mut next = BTreeMap::new();
        let (mut n_lost, mut end, mut at) = (0, None, 0);
        while let Some(start) = find(file, at) {
            let rest = &file[start..];
            let Some(length) = page_length(rest).filter(|&length| is_sound(&rest[..length])) else {
                at = start + 4;
                continue;
            };
            at = start + length;
            match whole.last_mut().filter(|last| last.end == start) {
                Some(last) => last.end = at,
                None => whole.push(start..at),
            }
            let (Some(serial), Some(number)) = (LE.u32(rest, 14), LE.u32(rest, 18)) else {
                continue;
            };
            let expected = next.insert(serial, number.wrapping_add(1));
            n_lost += u64::from(number.saturating_sub(expected.unwrap_or(number)));
            // All bits are set where no packet ends.
            end = LE.u64(rest, 6).filter(|&end| end != u64::MAX).or(end);
        }
        let tail = whole.last().map_or(0, |last| last.end);
        n_lost += u64::from(page_length(&file[tail..]).is_some());
        let bytes = match &whole[..] {
            [] => Cow::Borrowed(file),
            [all] => Cow::Borrowed(&file[all.clone()]),
            parts => {
                let parts: Vec<&[u8]> = parts.iter().map(|part| &file[part.clone()]).collect();
                Cow::Owned(parts.concat())
            }
        };
        Self {
            bytes,
            n_lost,
            end: end.filter(|_| next.len() == 1),
            is_complete: ends_with_last_page(file),
        }
    }
}

/// Whether the last page of an Ogg file is complete and marked as the last.
fn ends_with_last_page(bytes: &[u8]) -> bool {
    let page = bytes
        .windows(4)
        .rposition(|window| window == b"OggS")
        .map(|at| &bytes[at..]);
    page.is_some_and(|page| page_length(page).is_some() && page[5] & IS_LAST != 0)
}

fn find(file: &[u8], from: usize) -> Option<usize> {
    let rest = file.get(from..)?;
    let at = rest.windows(4).position(|window| window == b"OggS")?;
    Some(from + at)
}

/// How long the page is that begins here, if all of it is there.
fn page_length(bytes: &[u8]) -> Option<usize> {
    let n_segments = *bytes
        .get(HEADER - 1)
        .filter(|_| bytes.starts_with(b"OggS"))?;
    let table = bytes.get(HEADER..HEADER + usize::from(n_segments))?;
    let body: usize = table.iter().map(|&n| usize::from(n)).sum();
    let length = HEADER + table.len() + body;
    (bytes.len() >= length).then_some(length)
}

/// Whether the checksum of a page, which is taken with zeros in its own place, is
/// right, and the page of a version that can be read.
fn is_sound(page: &[u8]) -> bool {
    let mut sum = Crc32::new(0);
    sum.process_buf_bytes(&page[..22]);
    sum.process_buf_bytes(&[0; 4]);
    sum.process_buf_bytes(&page[26..]);
    LE.u32(page, 22) == Some(sum.crc()) && page[4] == 0
}
