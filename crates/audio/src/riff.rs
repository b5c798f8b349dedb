//! The chunks of IFF files: RIFF, RF64 and BW64 (little-endian) and IFF
//! (big-endian), and what their headers claim against what the file holds.
//!
//! What the chunks of a sound file mean is in `decode/wav.rs` and
//! `decode/aiff.rs`.

use std::ops::Range;

/// A chunk size that means "ask the `ds64` chunk", or "not known when the
/// header was written".
const SIZE_ELSEWHERE: u64 = 0xFFFF_FFFF;

/// Which end of a number comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ByteOrder {
    /// As in RIFF.
    LittleEndian,
    /// As in IFF.
    BigEndian,
}

impl ByteOrder {
    /// The two bytes at `at` as a number.
    pub(crate) fn u16(self, bytes: &[u8], at: usize) -> Option<u16> {
        let raw = bytes.get(at..at.checked_add(2)?)?.try_into().ok()?;
        Some(match self {
            Self::LittleEndian => u16::from_le_bytes(raw),
            Self::BigEndian => u16::from_be_bytes(raw),
        })
    }

    /// The four bytes at `at` as a number.
    pub(crate) fn u32(self, bytes: &[u8], at: usize) -> Option<u32> {
        let raw = bytes.get(at..at.checked_add(4)?)?.try_into().ok()?;
        Some(match self {
            Self::LittleEndian => u32::from_le_bytes(raw),
            Self::BigEndian => u32::from_be_bytes(raw),
        })
    }

    /// The eight bytes at `at` as a number.
    pub(crate) fn u64(self, bytes: &[u8], at: usize) -> Option<u64> {
        let raw = bytes.get(at..at.checked_add(8)?)?.try_into().ok()?;
        Some(match self {
            Self::LittleEndian => u64::from_le_bytes(raw),
            Self::BigEndian => u64::from_be_bytes(raw),
        })
    }
}

/// A chunk as far as the file holds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Chunk {
    /// Its four-letter name.
    pub(crate) id: [u8; 4],
    /// Where its content lies in the file.
    pub(crate) body: Range<usize>,
    /// How long its header says that the content is, if it says so.
    pub(crate) claimed: Option<u64>,
}

/// Lists the chunks that follow the twelve bytes of the file's own header.
///
/// Stops at the end of the file, whatever the sizes claim. A size that was
/// never filled in takes everything up to the end of the file.
pub(crate) fn chunks(file: &[u8], order: ByteOrder) -> Vec<Chunk> {
    let mut found = Vec::new();
    let mut data_size = None;
    let mut at = 12;
    while let Some(chunk) = read_chunk(file, at, order, data_size) {
        if &chunk.id == b"ds64" {
            data_size = order.u64(&file[chunk.body.clone()], 8);
        }
        at = next_chunk(file, &chunk);
        found.push(chunk);
        if found.len() == MAX_CHUNKS {
            break;
        }
    }
    found
}

/// Files have a dozen chunks; a damaged one could be read as millions of empty
/// ones.
const MAX_CHUNKS: usize = 4096;

fn read_chunk(file: &[u8], at: usize, order: ByteOrder, data_size: Option<u64>) -> Option<Chunk> {
    let id: [u8; 4] = file.get(at..at.checked_add(4)?)?.try_into().ok()?;
    let size = u64::from(order.u32(file, at + 4)?);
    let start = at + 8;
    let rest = file.len() - start;
    let claimed = match (size, &id) {
        (SIZE_ELSEWHERE, b"data") => data_size,
        _ => Some(size),
    };
    let length = claimed
        .and_then(|claimed| usize::try_from(claimed).ok())
        .unwrap_or(rest)
        .min(rest);
    Some(Chunk {
        id,
        body: start..start + length,
        claimed,
    })
}

/// Chunks begin at even positions, but some programs forget the filling byte
/// after one of odd length.
fn next_chunk(file: &[u8], chunk: &Chunk) -> usize {
    let end = chunk.body.end;
    let is_name = |at: usize| {
        file.get(at..at + 4)
            .is_some_and(|id| id.iter().all(|byte| matches!(byte, b' '..=b'~')))
    };
    if chunk.body.len() % 2 == 1 && (is_name(end + 1) || !is_name(end)) {
        end + 1
    } else {
        end
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(chunks: &[(&[u8; 4], u32, &[u8])]) -> Vec<u8> {
        let mut bytes = b"RIFF\0\0\0\0WAVE".to_vec();
        for (id, size, body) in chunks {
            bytes.extend_from_slice(*id);
            bytes.extend_from_slice(&size.to_le_bytes());
            bytes.extend_from_slice(body);
        }
        bytes
    }

    #[track_caller]
    fn check(bytes: &[u8], expected: &[(&[u8; 4], Range<usize>, Option<u64>)]) {
        let found: Vec<_> = chunks(bytes, ByteOrder::LittleEndian)
            .into_iter()
            .map(|chunk| (chunk.id, chunk.body.clone(), chunk.claimed))
            .collect();
        let expected: Vec<_> = expected
            .iter()
            .map(|(id, body, claimed)| (**id, body.clone(), *claimed))
            .collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn chunks_follow_each_other_at_even_positions() {
        let bytes = file(&[(b"fmt ", 3, &[1, 2, 3, 0]), (b"data", 2, &[7, 8])]);
        check(
            &bytes,
            &[(b"fmt ", 20..23, Some(3)), (b"data", 32..34, Some(2))],
        );
    }

    #[test]
    fn a_forgotten_filling_byte_is_forgiven() {
        let bytes = file(&[(b"fmt ", 3, &[1, 2, 3]), (b"data", 2, &[7, 8])]);
        check(
            &bytes,
            &[(b"fmt ", 20..23, Some(3)), (b"data", 31..33, Some(2))],
        );
    }

    #[test]
    fn a_chunk_ends_with_the_file_and_knows_what_was_claimed() {
        check(
            &file(&[(b"data", 100, &[7; 10])]),
            &[(b"data", 20..30, Some(100))],
        );
    }

    #[test]
    fn a_size_that_was_never_known_means_the_rest_of_the_file() {
        check(
            &file(&[(b"data", u32::MAX, &[7; 10])]),
            &[(b"data", 20..30, None)],
        );
    }

    #[test]
    fn the_ds64_chunk_gives_the_size_that_does_not_fit() {
        let mut sizes = vec![0; 28];
        sizes[8..16].copy_from_slice(&6_u64.to_le_bytes());
        let bytes = file(&[
            (b"ds64", 28, &sizes),
            (b"data", u32::MAX, &[7; 6]),
            (b"LIST", 0, &[]),
        ]);
        check(
            &bytes,
            &[
                (b"ds64", 20..48, Some(28)),
                (b"data", 56..62, Some(6)),
                (b"LIST", 70..70, Some(0)),
            ],
        );
    }

    #[test]
    fn a_file_of_empty_chunks_does_not_fill_the_memory() {
        let bytes = [b"RIFF\0\0\0\0WAVE".to_vec(), vec![0; 1 << 20]].concat();
        assert_eq!(chunks(&bytes, ByteOrder::LittleEndian).len(), MAX_CHUNKS);
    }
}
