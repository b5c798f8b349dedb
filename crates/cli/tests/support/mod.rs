//! A fresh folder with a tiny labelled collection in it, and the real binary to
//! run there.

#![allow(dead_code, reason = "each test file uses some of it")]

use std::path::{Path, PathBuf};
use std::process::Output;
use std::sync::OnceLock;

use assert_cmd::Command;
use biophony_tracking::{CHAMPION, SqliteStore, TrackingStore};
use serde_json::Value;

/// What a program printed as JSON.
pub(crate) fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error} in {text}"))
}

/// Settings under which training takes about a second.
pub(crate) const SMALL: &str = r#"
[features]
sample_rate = 8000
n_fft = 256
hop_length = 128
n_mels = 16
fmin = 50.0

[clip]
clip_seconds = 0.5

[train]
architecture = "mobile"
width = 0.5
members = 1
epochs = 3
batch_size = 8

[evaluate]
bootstrap = 50
"#;

/// The same as flags, as far as time depends on them.
pub(crate) const SMALL_FLAGS: [&str; 7] = [
    "features.sample_rate=8000",
    "features.n_fft=256",
    "features.n_mels=16",
    "clip.clip_seconds=0.5",
    "train.epochs=2",
    "train.members=1",
    "train.architecture=mobile",
];

/// A folder of its own for one test, removed when the test ends.
pub(crate) struct Place {
    folder: tempfile::TempDir,
}

impl Place {
    /// What is tracked here, opened as any other program would.
    pub(crate) fn tracking_store(&self) -> SqliteStore {
        SqliteStore::open(self.path(".biophony/tracking.db")).expect("opens")
    }

    /// The version in use.
    pub(crate) fn champion(&self) -> u32 {
        let store = self.tracking_store();
        let version = store.get_model_version_by_alias("biophony", CHAMPION);
        version.expect("there is one").version
    }

    /// Three classes of ten short clips in `clips/`, and [`SMALL`] settings.
    pub(crate) fn with_collection() -> Self {
        let place = Self {
            folder: tempfile::tempdir().expect("a temporary folder"),
        };
        std::fs::write(place.path("biophony.toml"), SMALL).expect("writable");
        for (class, label) in ["hum", "hiss", "ticks"].iter().enumerate() {
            std::fs::create_dir_all(place.path("clips").join(label)).expect("writable");
            for index in 0..10 {
                let path = place
                    .path("clips")
                    .join(label)
                    .join(format!("{label}_{index}.wav"));
                write_sound(&path, class, index);
            }
        }
        place
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Runs `biophony` here and returns whatever it did.
    pub(crate) fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments)
            .output()
            .expect("the program starts")
    }

    /// Runs `biophony` here, expects `code`, and returns standard output.
    #[track_caller]
    pub(crate) fn expect(&self, code: i32, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert_eq!(
            output.status.code(),
            Some(code),
            "{arguments:?} said: {errors}"
        );
        String::from_utf8(output.stdout).expect("output is UTF-8")
    }

    /// Runs `biophony` here, expects `code`, and returns standard error.
    #[track_caller]
    pub(crate) fn complaint(&self, code: i32, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        let errors = String::from_utf8(output.stderr).expect("errors are UTF-8");
        assert_eq!(
            output.status.code(),
            Some(code),
            "{arguments:?} said: {errors}"
        );
        errors
    }

    /// Whether a training below the home folder `home` has saved an epoch.
    pub(crate) fn has_checkpoint(&self, home: &str) -> bool {
        let trainings = std::fs::read_dir(self.path(home).join("checkpoints"));
        let folders = trainings.into_iter().flatten().flatten();
        folders
            .map(|training| std::fs::read_dir(training.path()))
            .any(|files| files.is_ok_and(|mut files| files.next().is_some()))
    }

    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(assert_cmd::cargo::cargo_bin!("biophony"));
        command.current_dir(self.folder.path()).args(arguments);
        for (name, _) in std::env::vars_os() {
            let name_text = name.to_string_lossy();
            if name_text.starts_with("BIOPHONY_") || name_text.starts_with("MLFLOW_") {
                command.env_remove(name);
            }
        }
        command
    }
}

/// A collection with a model trained on it, made once for all tests of a file.
pub(crate) fn trained() -> &'static Place {
    static PLACE: OnceLock<Place> = OnceLock::new();
    PLACE.get_or_init(|| {
        let place = Place::with_collection();
        place.expect(0, &["train", "clips"]);
        place
    })
}

/// Writes a clip of class 0 (a hum), 1 (noise) or 2 (clicks), 16-bit at 8 kHz.
pub(crate) fn write_sound(path: &Path, class: usize, index: u32) {
    let spec = hound::WavSpec {
        channels: 1,
        sample_rate: 8000,
        bits_per_sample: 16,
        sample_format: hound::SampleFormat::Int,
    };
    let mut writer = hound::WavWriter::create(path, spec).expect("writable");
    let mut state = (class as u32 * 1000 + index).wrapping_mul(2_654_435_769) | 1;
    let mut noise = || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        f64::from(state) / f64::from(u32::MAX) - 0.5
    };
    let pitch_hz = 300.0 + 40.0 * f64::from(index);
    for i in 0..(4800 + 160 * index) {
        let t = f64::from(i) / 8000.0;
        let value = match class {
            0 => 0.5 * (std::f64::consts::TAU * pitch_hz * t).sin() + 0.02 * noise(),
            1 => 0.6 * noise(),
            _ if i % (500 + 20 * index) < 30 => noise(),
            _ => 0.01 * noise(),
        };
        writer
            .write_sample((value * 20_000.0) as i16)
            .expect("writable");
    }
    writer.finalize().expect("writable");
}
