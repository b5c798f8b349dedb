//! How artifacts are written, and what a file of a known format says of itself:
//! whether it is one, and counts and shapes to show.
//!
//! The artifacts that are such files, [`CsvFile`](crate::CsvFile) and its like,
//! live in [`crate::artifact`]. Nothing here reads values: what steps do with a
//! table or a tensor, and with which library, is theirs.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

use serde_json::Value;

use crate::artifact::Metadata;
use crate::error::BoxError;

/// How an artifact's bytes are written, so that other programs can open it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// JSON, keys sorted.
    Json,
    /// A table with commas; its first line names the columns.
    Csv,
    /// A table in columns.
    Parquet,
    /// Named tensors.
    Safetensors,
    /// One tensor, as NumPy writes it.
    Npy,
    /// A file of any other kind.
    File,
    /// A folder of files.
    Folder,
    /// Bytes that only their step understands.
    Bytes,
}

/// A file of which nothing is known.
pub(crate) fn describe_any(_: &Path) -> Result<Metadata, BoxError> {
    Ok(Metadata::new())
}

/// Rows and columns. Every row must have as many fields as there are columns.
pub(crate) fn describe_csv(path: &Path) -> Result<Metadata, BoxError> {
    let mut table = csv::Reader::from_path(path)?;
    let n_columns = table.byte_headers()?.len();
    let (mut row, mut n_rows) = (csv::ByteRecord::new(), 0_u64);
    while table.read_byte_record(&mut row)? {
        n_rows += 1;
    }
    Ok(facts([
        ("columns", n_columns.into()),
        ("rows", n_rows.into()),
    ]))
}

/// Nothing to show, but it must begin and end as the format does: "PAR1" in the
/// first and last four bytes (Apache Parquet, "File Format").
pub(crate) fn describe_parquet(path: &Path) -> Result<Metadata, BoxError> {
    const MAGIC: [u8; 4] = *b"PAR1";
    let mut file = File::open(path)?;
    let mut ends = [[0; 4]; 2];
    if file.metadata()?.len() >= 12 {
        file.read_exact(&mut ends[0])?;
        file.seek(SeekFrom::End(-4))?;
        file.read_exact(&mut ends[1])?;
    }
    match ends == [MAGIC; 2] {
        true => Ok(Metadata::new()),
        false => Err("it is no Parquet file".into()),
    }
}

/// How many tensors and values. The file is as long as its header says (the
/// format's README: eight bytes of length, a JSON header, the values).
pub(crate) fn describe_safetensors(path: &Path) -> Result<Metadata, BoxError> {
    const MAX_HEADER_BYTES: u64 = 100_000_000; // the format's own limit
    let broken = || BoxError::from("it is no safetensors file");
    let mut file = File::open(path)?;
    let n_bytes = file.metadata()?.len();
    let mut length = [0; 8];
    file.read_exact(&mut length).map_err(|_| broken())?;
    let length = u64::from_le_bytes(length);
    if length > MAX_HEADER_BYTES.min(n_bytes - 8) {
        return Err(broken());
    }
    let header: Value = serde_json::from_reader(file.take(length)).map_err(|_| broken())?;
    let entries = header.as_object().ok_or_else(broken)?;
    let (mut n_tensors, mut n_values, mut end) = (0_u64, 0_u64, 0_u64);
    for (_, tensor) in entries.iter().filter(|(name, _)| *name != "__metadata__") {
        let shape = tensor["shape"].as_array().ok_or_else(broken)?;
        let sizes = shape.iter().map(Value::as_u64);
        let sizes: Vec<u64> = sizes.collect::<Option<_>>().ok_or_else(broken)?;
        n_values += n_values_of(&sizes).ok_or_else(broken)?;
        end = end.max(tensor["data_offsets"][1].as_u64().ok_or_else(broken)?);
        n_tensors += 1;
    }
    if Some(n_bytes) != end.checked_add(8 + length) {
        return Err("it is cut off, or longer than its header says".into());
    }
    Ok(facts([
        ("tensors", n_tensors.into()),
        ("values", n_values.into()),
    ]))
}

/// Shape and kind of number (`numpy.lib.format`: magic, version, length, and a
/// header in Python's words).
pub(crate) fn describe_npy(path: &Path) -> Result<Metadata, BoxError> {
    let broken = || BoxError::from("it is no npy file");
    let mut file = File::open(path)?;
    let n_bytes = file.metadata()?.len();
    let mut start = [0; 8];
    file.read_exact(&mut start).map_err(|_| broken())?;
    if start[..6] != *b"\x93NUMPY" {
        return Err(broken());
    }
    // Version 1 has a length of two bytes, later ones of four.
    let width = if start[6] == 1 { 2 } else { 4 };
    let mut length = [0; 4];
    file.read_exact(&mut length[..width])
        .map_err(|_| broken())?;
    let length = u64::from(u32::from_le_bytes(length));
    let mut header = String::new();
    file.take(length)
        .read_to_string(&mut header)
        .map_err(|_| broken())?;
    let after = |key: &str, open: &str, close: char| {
        let (_, rest) = header.split_once(key)?;
        let (_, rest) = rest.split_once(open)?;
        rest.split_once(close).map(|(value, _)| value)
    };
    let kind = after("'descr':", "'", '\'').ok_or_else(broken)?;
    let shape = after("'shape':", "(", ')').ok_or_else(broken)?;
    let sizes = shape
        .split(',')
        .map(str::trim)
        .filter(|size| !size.is_empty());
    let sizes: Vec<u64> = sizes
        .map(str::parse)
        .collect::<Result<_, _>>()
        .map_err(|_| broken())?;
    // `<f4` is of four bytes.
    let value_bytes: u64 = kind[2.min(kind.len())..].parse().map_err(|_| broken())?;
    let values = n_values_of(&sizes).and_then(|n_values| n_values.checked_mul(value_bytes));
    if Some(n_bytes) != values.and_then(|n| n.checked_add(8 + width as u64 + length)) {
        return Err("it is cut off, or longer than its shape says".into());
    }
    Ok(facts([("dtype", kind.into()), ("shape", sizes.into())]))
}

fn n_values_of(sizes: &[u64]) -> Option<u64> {
    sizes.iter().try_fold(1_u64, |n, &size| n.checked_mul(size))
}

fn facts<const N: usize>(facts: [(&str, Value); N]) -> Metadata {
    let named = facts.map(|(name, value)| (name.to_owned(), value));
    Metadata::from(named)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    type Describe = fn(&Path) -> Result<Metadata, BoxError>;

    /// What is said of a file with these bytes, as JSON; a refusal as text.
    #[track_caller]
    fn check(describe: Describe, bytes: &[u8], expected: Value) {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("file");
        std::fs::write(&path, bytes).expect("writes");
        let said = match describe(&path) {
            Ok(metadata) => json!(metadata),
            Err(error) => json!(error.to_string()),
        };
        assert_eq!(said, expected);
    }

    #[test]
    fn a_table_has_rows_and_columns() {
        let table = b"path,label\na.wav,owl\n\"b, second\nof two.wav\",wren\n";
        check(describe_csv, table, json!({"columns": 2, "rows": 2}));
        check(describe_csv, b"a\n", json!({"columns": 1, "rows": 0}));
        let torn = "CSV error: record 1 (line: 2, byte: 4): found record with 1 fields, \
                    but the previous record has 2 fields";
        check(describe_csv, b"a,b\n1\n", json!(torn));
    }

    #[test]
    fn a_parquet_file_begins_and_ends_as_one() {
        check(describe_parquet, b"PAR1 some columns PAR1", json!({}));
        check(describe_parquet, b"PAR1", json!("it is no Parquet file"));
        check(
            describe_parquet,
            b"PAR1 cut of",
            json!("it is no Parquet file"),
        );
    }

    fn safetensors(header: &str, n_bytes: usize) -> Vec<u8> {
        let length = (header.len() as u64).to_le_bytes();
        [&length, header.as_bytes(), &vec![0; n_bytes]].concat()
    }

    #[test]
    fn tensors_are_counted_and_must_be_there() {
        let header = r#"{"__metadata__":{"by":"a test"},
            "bias":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},
            "weight":{"dtype":"F32","shape":[2,3],"data_offsets":[8,32]}}"#;
        let described = json!({"tensors": 2, "values": 8});
        check(describe_safetensors, &safetensors(header, 32), described);
        let cut = json!("it is cut off, or longer than its header says");
        check(describe_safetensors, &safetensors(header, 31), cut);
        let none = json!("it is no safetensors file");
        check(describe_safetensors, b"song", none.clone());
        check(describe_safetensors, &[255; 64], none.clone());
        check(describe_safetensors, &safetensors("[]", 0), none.clone());
        let unbounded = r#"{"a":{"shape":[18446744073709551615,2],"data_offsets":[0,0]}}"#;
        check(describe_safetensors, &safetensors(unbounded, 0), none);
    }

    fn npy(header: &str, n_bytes: usize) -> Vec<u8> {
        let length = u16::try_from(header.len()).expect("is short").to_le_bytes();
        [
            b"\x93NUMPY\x01\x00",
            &length[..],
            header.as_bytes(),
            &vec![0; n_bytes],
        ]
        .concat()
    }

    #[test]
    fn an_array_has_a_shape_and_must_be_there() {
        let header = "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }";
        let described = json!({"dtype": "<f4", "shape": [2, 3]});
        check(describe_npy, &npy(header, 24), described);
        let scalar = "{'descr': '|u1', 'fortran_order': False, 'shape': (), }";
        check(
            describe_npy,
            &npy(scalar, 1),
            json!({"dtype": "|u1", "shape": []}),
        );
        let cut = json!("it is cut off, or longer than its shape says");
        check(describe_npy, &npy(header, 23), cut);
        for bytes in [
            &b"song"[..],
            &npy("{}", 0),
            &npy("{'descr': 'é', 'shape': (1,)}", 4),
        ] {
            check(describe_npy, bytes, json!("it is no npy file"));
        }
    }
}
