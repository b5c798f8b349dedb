//! Uploads in parts: a large file comes as several that are sent side by side, and
//! one request puts them together.
//!
//! The parts of an upload lie in a folder of its own below [`UPLOADS`]. A part is
//! named by its number and by a tag that is given anew each time the part is sent,
//! so what is put together is exactly what the sender means.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::{ArtifactPath, ArtifactStore, UPLOADS, failed};
use crate::error::{Result, TrackingError};

/// The most parts of one upload, as object stores have it.
pub(crate) const MAX_PARTS: u32 = 10_000;

/// An upload in parts. Holding one means that it leads to no other folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct UploadId(String);

/// One part of an upload, as it lies there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Part {
    number: u32,
    tag: String,
}

impl UploadId {
    /// Reads an identifier that [`ArtifactStore::start_parts`] gave.
    pub(crate) fn parse(text: &str) -> Result<Self> {
        if is_hex(text, 32) {
            return Ok(Self(text.to_owned()));
        }
        Err(unknown_upload(text))
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl Part {
    /// A part by its number, counted from 1, and the tag that its upload was given.
    pub(crate) fn new(number: u32, tag: &str) -> Result<Self> {
        let tag = tag.trim_matches('"');
        if !(1..=MAX_PARTS).contains(&number) || !is_hex(tag, 16) {
            return Err(unknown_part(number));
        }
        Ok(Self {
            number,
            tag: tag.to_owned(),
        })
    }

    fn in_folder(&self, folder: &Path) -> PathBuf {
        folder.join(format!("{}-{}", self.number, self.tag))
    }
}

impl ArtifactStore {
    /// Begins an upload in parts.
    pub(crate) fn start_parts(&self) -> Result<UploadId> {
        let id = UploadId(format!("{:032x}", rand::random::<u128>()));
        let folder = self.parts_folder(&id);
        fs::create_dir_all(&folder).map_err(failed("create", &folder))?;
        Ok(id)
    }

    /// Moves a staged file to its place among the parts and returns its tag.
    pub(crate) fn add_part(&self, id: &UploadId, number: u32, staged: &Path) -> Result<String> {
        let tag = format!("{:016x}", rand::random::<u64>());
        let moved = Part::new(number, &tag).and_then(|part| {
            let folder = self.existing_parts(id)?;
            let place = part.in_folder(&folder);
            fs::rename(staged, &place).map_err(failed("write", &place))
        });
        if moved.is_err() {
            self.discard(staged);
        }
        moved.map(|()| tag)
    }

    /// Puts parts together, in the order of their numbers, and ends the upload.
    ///
    /// # Errors
    ///
    /// [`TrackingError::InvalidParameter`] when the upload or a part is not there;
    /// the upload can then be gone on with.
    pub(crate) fn join_parts(
        &self,
        id: &UploadId,
        mut parts: Vec<Part>,
        path: &ArtifactPath,
    ) -> Result<()> {
        let folder = self.existing_parts(id)?;
        parts.sort_by_key(|part| part.number);
        if let Some(pair) = parts.windows(2).find(|w| w[0].number == w[1].number) {
            return Err(TrackingError::invalid(format!(
                "part {} is named twice",
                pair[0].number
            )));
        }
        let (staged, mut whole) = self.stage()?;
        let joined = parts.iter().try_for_each(|part| {
            let place = part.in_folder(&folder);
            let mut piece = fs::File::open(&place).map_err(|error| match error.kind() {
                io::ErrorKind::NotFound => unknown_part(part.number),
                _ => failed("open", &place)(error),
            })?;
            io::copy(&mut piece, &mut whole).map_err(failed("write", &staged))?;
            whole.flush().map_err(failed("write", &staged))
        });
        if let Err(error) = joined {
            self.discard(&staged);
            return Err(error);
        }
        self.publish(&staged, &whole, path)?;
        self.drop_parts(id)
    }

    /// Ends an upload without a file; nothing happens when there is none.
    pub(crate) fn drop_parts(&self, id: &UploadId) -> Result<()> {
        let folder = self.parts_folder(id);
        match fs::remove_dir_all(&folder) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(failed("delete", &folder)(error))
            }
            _ => Ok(()),
        }
    }

    fn existing_parts(&self, id: &UploadId) -> Result<PathBuf> {
        let folder = self.parts_folder(id);
        if folder.is_dir() {
            return Ok(folder);
        }
        Err(unknown_upload(id.as_str()))
    }

    fn parts_folder(&self, id: &UploadId) -> PathBuf {
        self.root.join(UPLOADS).join(&id.0)
    }
}

fn is_hex(text: &str, length: usize) -> bool {
    text.len() == length && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

fn unknown_upload(id: &str) -> TrackingError {
    TrackingError::invalid(format!("there is no upload '{id}' under way"))
}

fn unknown_part(number: u32) -> TrackingError {
    TrackingError::invalid(format!("part {number} of the upload is not there"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    fn store() -> (tempfile::TempDir, ArtifactStore) {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let store = ArtifactStore::open(folder.path()).expect("opens");
        (folder, store)
    }

    fn add(store: &ArtifactStore, id: &UploadId, number: u32, text: &str) -> Result<Part> {
        let (staged, mut file) = store.stage().expect("stages");
        file.write_all(text.as_bytes()).expect("writes");
        Part::new(number, &store.add_part(id, number, &staged)?)
    }

    fn uploads(folder: &tempfile::TempDir) -> usize {
        fs::read_dir(folder.path().join(UPLOADS)).map_or(0, Iterator::count)
    }

    #[test]
    fn parts_are_joined_in_the_order_of_their_numbers() {
        let (folder, store) = store();
        let id = store.start_parts().expect("starts");
        let second = add(&store, &id, 2, "world").expect("adds");
        add(&store, &id, 1, "sent again, ").expect("adds");
        let first = add(&store, &id, 1, "hello ").expect("adds");
        let path = ArtifactPath::new("1/a.txt").expect("a path");
        store
            .join_parts(&id, vec![second, first], &path)
            .expect("joins");
        let mut text = String::new();
        let (mut file, _) = store.read(&path).expect("there");
        file.read_to_string(&mut text).expect("reads");
        assert_eq!(text, "hello world");
        assert_eq!(uploads(&folder), 0);
        assert!(add(&store, &id, 1, "late").is_err());
        assert_eq!(uploads(&folder), 0, "a late part leaves nothing");
    }

    #[test]
    fn an_upload_that_lacks_a_part_can_be_gone_on_with_or_given_up() {
        let (folder, store) = store();
        let id = store.start_parts().expect("starts");
        let first = add(&store, &id, 1, "x").expect("adds");
        let never_sent = Part::new(2, "0123456789abcdef").expect("well formed");
        let path = ArtifactPath::new("1/a.txt").expect("a path");
        let refused = store.join_parts(&id, vec![first.clone(), never_sent], &path);
        assert!(matches!(refused, Err(TrackingError::InvalidParameter(_))));
        let twice = store.join_parts(&id, vec![first.clone(), first.clone()], &path);
        assert!(twice.is_err());
        assert_eq!(uploads(&folder), 1);
        store.join_parts(&id, vec![first], &path).expect("joins");
        let id = store.start_parts().expect("starts");
        store.drop_parts(&id).expect("gives up");
        store.drop_parts(&id).expect("giving up twice does nothing");
        assert_eq!(uploads(&folder), 0);
    }

    #[test]
    fn identifiers_lead_nowhere_else() {
        for bad in ["", "..", "../x", "ABCDEF", &"g".repeat(32), &"/".repeat(32)] {
            assert!(UploadId::parse(bad).is_err(), "{bad}");
            assert!(Part::new(1, bad).is_err(), "{bad}");
        }
        for bad in [0, MAX_PARTS + 1] {
            assert!(Part::new(bad, "0123456789abcdef").is_err(), "{bad}");
        }
    }
}
