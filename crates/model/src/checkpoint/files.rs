//! Reading checkpoint files, and replacing them in one step.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::Path;

use crate::error::ModelError;

/// More than any checkpoint holds.
const MAX_BYTES: u64 = 4 << 30;

/// The content of a file; none when there is no such file.
pub(super) fn read(path: &Path) -> Result<Option<Vec<u8>>, ModelError> {
    let failed = |source| ModelError::Read {
        path: path.into(),
        source,
    };
    let file = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        file => file.map_err(failed)?,
    };
    let mut bytes = Vec::new();
    file.take(MAX_BYTES)
        .read_to_end(&mut bytes)
        .map_err(failed)?;
    Ok(Some(bytes))
}

pub(super) fn create_directory(path: &Path) -> Result<(), ModelError> {
    fs::create_dir_all(path).map_err(|source| ModelError::Write {
        path: path.into(),
        source,
    })
}

/// Writes a file so that after a crash it has its old content or the new, whole.
pub(super) fn replace(path: &Path, bytes: &[u8]) -> Result<(), ModelError> {
    let new = path.with_extension("new");
    let written = (|| {
        let mut file = File::create(&new)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&new, path)?;
        sync_directory(path.parent().unwrap_or(Path::new(".")))
    })();
    written.map_err(|source| ModelError::Write {
        path: path.into(),
        source,
    })
}

/// Makes a directory's entries survive a power cut.
fn sync_directory(path: &Path) -> io::Result<()> {
    if cfg!(unix) {
        File::open(path)?.sync_all()
    } else {
        Ok(())
    }
}

/// Removes the tensors of earlier epochs. One that stays behind does no harm.
pub(super) fn remove_other_weights(directory: &Path, kept: &str) {
    let Ok(entries) = fs::read_dir(directory) else {
        return;
    };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        let is_ours = name.starts_with("epoch-") && name.ends_with(".safetensors");
        if is_ours && name != kept {
            let _ = fs::remove_file(entry.path());
        }
    }
}
