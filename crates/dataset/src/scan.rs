//! A folder with one subfolder per class becomes a data set.
//!
//! The other way to describe a data set is in [`crate::manifest`]. Nothing is
//! decoded here: a file counts as a recording when its first bytes are those of
//! audio, or when its name says so, and the audit finds out whether that is true.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use biophony_audio::sniff;

use crate::error::DatasetError;
use crate::recording::{Dataset, Recording, Skipped, relative_name};

/// Finds the recordings of a folder: the name of the subfolder is the class, and
/// recordings may lie at any depth below it.
///
/// Hidden files, files that are not audio, and files beside the class folders
/// are left out and listed in [`Dataset::skipped`]. Links are followed, loops
/// are not.
///
/// # Errors
///
/// When the folder cannot be listed, or holds no class.
pub fn scan(folder: &Path) -> Result<Dataset, DatasetError> {
    let mut walk = Walk::start(folder)?;
    for entry in list(folder).map_err(|source| read_error(folder, source))? {
        if is_hidden(&entry) {
            walk.skipped.hidden.push(walk.name_of(&entry));
        } else if entry.is_dir() {
            walk.class(&entry);
        } else if is_recording(&entry) {
            walk.skipped.unlabelled.push(walk.name_of(&entry));
        } else {
            walk.skipped.not_audio.push(walk.name_of(&entry));
        }
    }
    walk.finish()
}

/// What has been found so far.
struct Walk {
    root: PathBuf,
    recordings: Vec<Recording>,
    skipped: Skipped,
    /// The folders already listed, links resolved. Emptied for each class, so
    /// that a sound that two classes link to is found in both, and reported.
    seen: HashSet<PathBuf>,
}

impl Walk {
    fn start(folder: &Path) -> Result<Self, DatasetError> {
        let path = folder.to_path_buf();
        match folder.metadata() {
            Ok(metadata) if metadata.is_dir() => Ok(Self {
                root: path,
                recordings: Vec::new(),
                skipped: Skipped::default(),
                seen: HashSet::new(),
            }),
            Ok(_) => Err(DatasetError::NotAFolder { path }),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                Err(DatasetError::FolderMissing { path })
            }
            Err(source) => Err(read_error(folder, source)),
        }
    }

    /// Collects the recordings of one class.
    fn class(&mut self, folder: &Path) {
        let label = folder
            .file_name()
            .map(|name| name.to_string_lossy().into_owned())
            .unwrap_or_default();
        self.seen.clear();
        self.seen.extend(self.root.canonicalize().ok());
        let before = self.recordings.len();
        let mut pending = vec![folder.to_path_buf()];
        while let Some(folder) = pending.pop() {
            self.folder(&folder, &label, &mut pending);
        }
        if self.recordings.len() == before {
            self.skipped.empty_classes.push(label);
        }
    }

    /// Collects the recordings that lie directly in `folder`.
    fn folder(&mut self, folder: &Path, label: &str, pending: &mut Vec<PathBuf>) {
        let name = self.name_of(folder);
        let Ok(canonical) = folder.canonicalize() else {
            self.skipped.unlistable.push(name);
            return;
        };
        if !self.seen.insert(canonical) {
            self.skipped.loops.push(name);
            return;
        }
        let Ok(entries) = list(folder) else {
            self.skipped.unlistable.push(name);
            return;
        };
        for entry in entries {
            if is_hidden(&entry) {
                self.skipped.hidden.push(self.name_of(&entry));
            } else if !self.has_name(&entry) {
                self.skipped.unlistable.push(self.name_of(&entry));
            } else if entry.is_dir() {
                pending.push(entry);
            } else if is_recording(&entry) {
                self.recordings
                    .push(Recording::new(entry, label.to_owned()));
            } else {
                self.skipped.not_audio.push(self.name_of(&entry));
            }
        }
    }

    /// Whether tables and reports can hold the name: it is Unicode.
    fn has_name(&self, path: &Path) -> bool {
        path.strip_prefix(&self.root)
            .unwrap_or(path)
            .to_str()
            .is_some()
    }

    fn name_of(&self, path: &Path) -> String {
        relative_name(&self.root, path)
    }

    fn finish(mut self) -> Result<Dataset, DatasetError> {
        self.recordings.sort_by(|a, b| a.path.cmp(&b.path));
        let dataset = Dataset {
            root: self.root,
            recordings: self.recordings,
            skipped: self.skipped,
        };
        if dataset.recordings.is_empty() {
            return Err(DatasetError::NoClasses {
                path: dataset.root,
                n_loose: dataset.skipped.unlabelled.len(),
            });
        }
        Ok(dataset)
    }
}

/// The entries of a folder in the order of their names, so that nothing depends
/// on the file system's.
fn list(folder: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut entries = std::fs::read_dir(folder)?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<Result<Vec<_>, _>>()?;
    entries.sort_unstable();
    Ok(entries)
}

fn read_error(folder: &Path, source: std::io::Error) -> DatasetError {
    DatasetError::ReadFolder {
        path: folder.to_path_buf(),
        source,
    }
}

fn is_hidden(path: &Path) -> bool {
    path.file_name()
        .is_some_and(|name| name.as_encoded_bytes().starts_with(b"."))
}

/// Extensions of sound files. A file that bears one is a recording even when
/// its bytes are not audio, so that a broken download is reported rather than
/// silently left out.
const AUDIO_EXTENSIONS: [&str; 24] = [
    "aac", "aif", "aifc", "aiff", "alac", "amr", "ape", "au", "caf", "flac", "m4a", "m4b", "mka",
    "mp2", "mp3", "mp4", "oga", "ogg", "opus", "rf64", "snd", "wav", "wave", "wma",
];

fn is_recording(path: &Path) -> bool {
    // Opening a pipe would wait for its writer, perhaps for ever.
    if path.metadata().is_ok_and(|metadata| !metadata.is_file()) {
        return false;
    }
    has_audio_extension(path) || has_audio_content(path)
}

fn has_audio_extension(path: &Path) -> bool {
    let Some(extension) = path.extension().and_then(OsStr::to_str) else {
        return false;
    };
    AUDIO_EXTENSIONS.contains(&extension.to_ascii_lowercase().as_str())
}

fn has_audio_content(path: &Path) -> bool {
    let mut head = Vec::new();
    let read = File::open(path).and_then(|file| file.take(4096).read_to_end(&mut head));
    read.is_ok() && sniff(&head).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A folder with these files, each beginning as a WAV file does unless its
    /// name says `text`.
    fn folder(files: &[&str]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().expect("a temporary folder");
        for file in files {
            let path = folder.path().join(file);
            std::fs::create_dir_all(path.parent().expect("files lie in the folder"))
                .expect("creates the parent");
            let content: &[u8] = match file.contains("text") {
                true => b"plain words",
                false => b"RIFF\x24\0\0\0WAVEfmt ",
            };
            std::fs::write(path, content).expect("writes the file");
        }
        folder
    }

    fn names(dataset: &Dataset) -> Vec<String> {
        let recordings = dataset.recordings.iter();
        recordings.map(|r| dataset.name_of(r)).collect()
    }

    #[test]
    fn the_first_subfolder_is_the_class_at_any_depth() {
        let folder = folder(&["owl/a.wav", "frog/2020/may/b.wav", "frog/c"]);
        let dataset = scan(folder.path()).expect("scans");
        assert_eq!(
            names(&dataset),
            ["frog/2020/may/b.wav", "frog/c", "owl/a.wav"]
        );
        assert_eq!(dataset.labels(), ["frog", "owl"]);
        assert_eq!(dataset.recordings[0].label, "frog");
        assert_eq!(dataset.skipped, Skipped::default());
    }

    #[test]
    fn a_broken_wav_is_kept_and_a_text_is_not() {
        let folder = folder(&["owl/a.wav", "owl/broken-text.WAV", "owl/text.md", "b/b.x"]);
        let dataset = scan(folder.path()).expect("scans");
        assert_eq!(
            names(&dataset),
            ["b/b.x", "owl/a.wav", "owl/broken-text.WAV"]
        );
        assert_eq!(dataset.skipped.not_audio, ["owl/text.md"]);
    }

    #[test]
    fn hidden_files_loose_files_and_empty_classes_are_named() {
        let folder = folder(&[
            "owl/a.wav",
            "owl/._a.wav",
            ".git/b.wav",
            "loose.wav",
            "frog/c.wav",
            "text.md",
            "newt/text",
        ]);
        let skipped = scan(folder.path()).expect("scans").skipped;
        assert_eq!(skipped.hidden, [".git", "owl/._a.wav"]);
        assert_eq!(skipped.unlabelled, ["loose.wav"]);
        assert_eq!(skipped.not_audio, ["newt/text", "text.md"]);
        assert_eq!(skipped.empty_classes, ["newt"]);
        assert_eq!(skipped.count(), 5);
    }

    #[cfg(unix)]
    #[test]
    fn links_are_followed_and_loops_are_not() {
        let folder = folder(&["owl/a.wav", "frog/b.wav"]);
        let link = |to: &str, at: &str| {
            std::os::unix::fs::symlink(folder.path().join(to), folder.path().join(at))
                .expect("links");
        };
        link("owl", "owl/again");
        link("", "owl/root");
        link("frog/b.wav", "owl/linked.wav");
        link("nothing", "owl/dangling.wav");
        let dataset = scan(folder.path()).expect("scans");
        assert_eq!(
            names(&dataset),
            [
                "frog/b.wav",
                "owl/a.wav",
                "owl/dangling.wav",
                "owl/linked.wav"
            ]
        );
        let mut loops = dataset.skipped.loops.clone();
        loops.sort();
        assert_eq!(loops, ["owl/again", "owl/root"]);
    }

    #[test]
    fn no_folder_and_no_class_are_told_apart_and_one_class_will_do() {
        let missing = scan(Path::new("no/such/folder")).unwrap_err();
        assert!(matches!(missing, DatasetError::FolderMissing { .. }));

        let loose = folder(&["a.wav", "b.wav"]);
        let error = scan(loose.path()).unwrap_err();
        assert!(matches!(error, DatasetError::NoClasses { n_loose: 2, .. }));

        let file = scan(&loose.path().join("a.wav")).unwrap_err();
        assert!(matches!(file, DatasetError::NotAFolder { .. }));

        let one = scan(folder(&["owl/a.wav"]).path()).expect("is a collection");
        assert_eq!(one.labels(), ["owl"]);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_name_that_is_not_unicode_is_left_out_and_told() {
        use std::os::unix::ffi::OsStrExt;

        let folder = folder(&["owl/1.wav", "frog/1.wav"]);
        let name = std::ffi::OsStr::from_bytes(b"owl/b\xffd.wav");
        let original = folder.path().join("owl/1.wav");
        std::fs::copy(original, folder.path().join(name)).expect("copies");
        let dataset = scan(folder.path()).expect("scans");
        assert_eq!(dataset.recordings.len(), 2);
        assert_eq!(dataset.skipped.unlistable, ["owl/b\u{fffd}d.wav"]);
    }
}
