//! NumPy's file format, written and read: version 1.0, `float32`, C order.
//!
//! The format is NEP 1: a magic string, a header that is a Python literal
//! padded to 64 bytes, and the numbers in little-endian order.

use std::io::{self, Read, Write};

use crate::spectrogram::Spectrogram;

/// Writes an array of any shape that `numpy.load` reads back.
///
/// # Panics
///
/// When `values` does not hold as many numbers as `shape` says.
///
/// # Errors
///
/// When the writer fails.
pub fn write_npy(mut to: impl Write, shape: &[usize], values: &[f32]) -> io::Result<()> {
    assert_eq!(
        shape.iter().product::<usize>(),
        values.len(),
        "the values of an array of shape {shape:?}"
    );
    to.write_all(&header(shape))?;
    let mut buffer = Vec::with_capacity(4 * CHUNK.min(values.len()));
    for chunk in values.chunks(CHUNK) {
        buffer.clear();
        buffer.extend(chunk.iter().flat_map(|value| value.to_le_bytes()));
        to.write_all(&buffer)?;
    }
    to.flush()
}

/// Numbers turned into bytes at a time.
const CHUNK: usize = 1 << 14;

/// Writes a spectrogram as an array `[n_bands, n_frames]`.
///
/// # Errors
///
/// When the writer fails.
pub fn write_spectrogram_npy(to: impl Write, spectrogram: &Spectrogram) -> io::Result<()> {
    let shape = [spectrogram.n_bands, spectrogram.n_frames];
    write_npy(to, &shape, spectrogram.values())
}

/// Reads what [`write_spectrogram_npy`] wrote.
///
/// # Errors
///
/// When the reader fails, or the file is none of ours: other types, orders and
/// numbers of dimensions are refused.
pub fn read_spectrogram_npy(mut from: impl Read) -> io::Result<Spectrogram> {
    let mut before = [0; 10];
    from.read_exact(&mut before)?;
    let mut literal = vec![0; usize::from(u16::from_le_bytes([before[8], before[9]]))];
    from.read_exact(&mut literal)?;
    let refused = || {
        io::Error::new(
            io::ErrorKind::InvalidData,
            "not a two-dimensional `float32` array",
        )
    };
    let shape = shape_of(&before, &literal).ok_or_else(refused)?;
    let mut bytes = Vec::new();
    from.read_to_end(&mut bytes)?;
    let expected = shape[0]
        .checked_mul(shape[1])
        .and_then(|n| n.checked_mul(4));
    if Some(bytes.len()) != expected || shape[0] == 0 {
        return Err(refused());
    }
    let (values, _) = bytes.as_chunks::<4>();
    let values = values
        .iter()
        .map(|&value| f32::from_le_bytes(value))
        .collect();
    Ok(Spectrogram::new(shape[0], shape[1], values))
}

fn shape_of(before: &[u8], literal: &[u8]) -> Option<[usize; 2]> {
    let literal = std::str::from_utf8(literal).ok()?;
    let shape = literal.split_once("'shape': (")?.1.split_once(')')?.0;
    let (n_bands, n_frames) = shape.split_once(", ")?;
    let shape = [n_bands.parse().ok()?, n_frames.parse().ok()?];
    // What we would have written is what we read.
    let ours = header(&shape);
    (ours[..before.len()] == *before && ours[before.len()..] == *literal.as_bytes())
        .then_some(shape)
}

fn header(shape: &[usize]) -> Vec<u8> {
    // As Python writes tuples: one of a single length has a comma behind it.
    let shape = match shape {
        [length] => format!("{length},"),
        lengths => lengths
            .iter()
            .map(usize::to_string)
            .collect::<Vec<_>>()
            .join(", "),
    };
    let literal = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': ({shape}), }}");
    const BEFORE: usize = 10;
    let total = (BEFORE + literal.len() + 1).next_multiple_of(64);
    let length = u16::try_from(total - BEFORE).expect("a shape has few dimensions");
    let mut header = b"\x93NUMPY\x01\x00".to_vec();
    header.extend(length.to_le_bytes());
    header.extend(literal.as_bytes());
    header.resize(total - 1, b' ');
    header.push(b'\n');
    header
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(shape: &[usize], values: &[f32], literal: &str) {
        let mut bytes = Vec::new();
        write_npy(&mut bytes, shape, values).expect("a vector takes all bytes");
        let data_at = bytes.len() - 4 * values.len();
        assert_eq!(data_at % 64, 0);
        assert_eq!(&bytes[..8], b"\x93NUMPY\x01\x00");
        let length = u16::from_le_bytes([bytes[8], bytes[9]]);
        assert_eq!(usize::from(length), data_at - 10);
        let header = std::str::from_utf8(&bytes[10..data_at]).expect("ascii");
        assert_eq!(header.trim_end_matches([' ', '\n']), literal);
        assert!(header.ends_with('\n'));
        let numbers: Vec<f32> = bytes[data_at..]
            .chunks_exact(4)
            .map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]))
            .collect();
        assert_eq!(numbers, values);
    }

    #[test]
    fn a_matrix_is_written_row_by_row() {
        check(
            &[2, 3],
            &[1.0, 2.0, 3.0, -4.0, 5.5, f32::MAX],
            "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }",
        );
    }

    #[test]
    fn a_vector_and_a_scalar_have_python_tuples_for_shapes() {
        check(
            &[2],
            &[1.0, 2.0],
            "{'descr': '<f4', 'fortran_order': False, 'shape': (2,), }",
        );
        check(
            &[],
            &[7.0],
            "{'descr': '<f4', 'fortran_order': False, 'shape': (), }",
        );
    }

    #[test]
    fn a_long_array_is_written_to_its_end() {
        let values: Vec<f32> = (0..2 * CHUNK + 5).map(|i| i as f32).collect();
        let mut bytes = Vec::new();
        write_npy(&mut bytes, &[values.len()], &values).expect("a vector takes all bytes");
        assert_eq!(
            bytes[bytes.len() - 4..],
            (values.len() as f32 - 1.0).to_le_bytes()
        );
    }

    #[test]
    fn a_spectrogram_comes_back_and_damage_is_noticed() {
        let spectrogram = Spectrogram::new(2, 3, vec![0.5, -1.0, 2.0, 3.0, 4.0, 5.0]);
        let mut bytes = Vec::new();
        write_spectrogram_npy(&mut bytes, &spectrogram).expect("a vector takes all bytes");
        assert_eq!(
            read_spectrogram_npy(&bytes[..]).expect("reads"),
            spectrogram
        );
        for n in 0..bytes.len() {
            assert!(read_spectrogram_npy(&bytes[..n]).is_err(), "{n} bytes");
        }
        bytes[12] ^= 1;
        assert!(read_spectrogram_npy(&bytes[..]).is_err());
    }

    #[test]
    fn a_writer_that_fails_is_reported() {
        let mut short = [0_u8; 70];
        assert!(write_npy(&mut short[..], &[8], &[0.0; 8]).is_err());
    }
}
