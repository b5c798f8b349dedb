//! A state with a small model of random weights, sounds, and requests to the routes
//! without a socket.

// Each test program uses its own part of this.
#![allow(dead_code)]

use std::path::{Path, PathBuf};
use std::sync::Arc;

use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, Request, StatusCode};
use biophony_audio::{Clip, FeatureConfig, FeatureSettings, SampleRate};
use biophony_model::architecture::architecture;
use biophony_model::{
    Bundle, Calibration, ClipShape, Existing, FrontEnd, LabelSet, Normalizer, Provenance,
};
use biophony_nn::{Network, Shape};
use biophony_tracking::{
    ArtifactStore, CreateModelVersion, CreateRegisteredModel, SqliteStore, TrackingStore,
};
use biophony_web::{Config, WebState, app};
use tower::ServiceExt;

/// A home folder with stores, and the routes over them.
pub(crate) struct Place {
    folder: tempfile::TempDir,
    pub(crate) tracking: Arc<SqliteStore>,
    artifacts: ArtifactStore,
}

/// An answer, read to its end.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
}

impl Place {
    /// Without a model.
    pub(crate) fn empty() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let tracking = SqliteStore::open(folder.path().join("tracking.db")).expect("a store");
        let artifacts = ArtifactStore::open(folder.path().join("mlartifacts")).expect("a folder");
        Self {
            tracking: Arc::new(tracking),
            artifacts,
            folder,
        }
    }

    /// With one version of a model in use.
    pub(crate) fn with_champion() -> Self {
        let place = Self::empty();
        place.deploy(&["frog", "owl", "wren"], 1);
        place
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn config(&self) -> Config {
        let tracking: Arc<dyn TrackingStore> = self.tracking.clone();
        Config::new(self.path().to_owned(), tracking, self.artifacts.clone())
    }

    pub(crate) fn state(&self) -> WebState {
        WebState::new(self.config()).expect("opens")
    }

    /// Registers a model and makes it the champion; returns its version.
    pub(crate) fn deploy(&self, labels: &[&str], seed: u64) -> u32 {
        let version = self.register(labels, seed);
        let promoted = self.tracking.promote("biophony", version);
        promoted.expect("promotes").version
    }

    pub(crate) fn register(&self, labels: &[&str], seed: u64) -> u32 {
        let folder = self
            .path()
            .join(format!("mlartifacts/models/m-{seed}/artifacts"));
        write_bundle(&folder, labels, seed);
        if self.tracking.get_registered_model("biophony").is_err() {
            let model = CreateRegisteredModel {
                name: "biophony".to_owned(),
                ..CreateRegisteredModel::default()
            };
            self.tracking
                .create_registered_model(model)
                .expect("registers");
        }
        let version = CreateModelVersion {
            name: "biophony".to_owned(),
            source: format!("mlflow-artifacts:/models/m-{seed}/artifacts"),
            ..CreateModelVersion::default()
        };
        let version = self.tracking.create_model_version(version);
        version.expect("registers").version
    }

    /// Where the bundle of [`Place::register`] lies.
    pub(crate) fn bundle(&self, seed: u64) -> PathBuf {
        self.path()
            .join(format!("mlartifacts/models/m-{seed}/artifacts"))
    }
}

/// A model of random weights: half a second at 8 kHz.
pub(crate) fn write_bundle(folder: &Path, labels: &[&str], seed: u64) {
    let settings = FeatureSettings {
        sample_rate: rate(8_000),
        n_fft: 256,
        hop_length: 128,
        n_mels: 16,
        ..FeatureSettings::default()
    };
    let front_end = FrontEnd {
        features: FeatureConfig::new(settings).expect("valid"),
        clip: ClipShape {
            clip_seconds: 0.5,
            ..ClipShape::default()
        },
    };
    let input = Shape {
        height: 16,
        width: front_end.window_frames(),
        channels: 1,
    };
    let spec = architecture("mobile", input, labels.len()).expect("a network");
    let bundle = Bundle {
        labels: LabelSet::new(labels.iter().copied()).expect("labels"),
        front_end,
        normalizer: Normalizer {
            mean: vec![-40.0; 16],
            std: vec![10.0; 16],
        },
        network: Network::new(&spec, seed).expect("a network"),
        calibration: Calibration::default(),
        metrics: serde_json::Value::Null,
        provenance: Provenance::default(),
    };
    std::fs::create_dir_all(folder.parent().expect("a parent")).expect("writes");
    bundle.save(folder, Existing::Replace).expect("saves");
}

pub(crate) fn rate(hertz: u32) -> SampleRate {
    SampleRate::from_hertz(hertz).expect("not zero")
}

/// A tone in a little noise.
pub(crate) fn tone(hertz: f64, seconds: f64, at_hertz: u32) -> Clip {
    let n = (seconds * f64::from(at_hertz)) as usize;
    let mut state = 1_u32;
    let samples = (0..n).map(|i| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let noise = f64::from(state >> 8) / f64::from(1 << 24) - 0.5;
        let phase = std::f64::consts::TAU * hertz * i as f64 / f64::from(at_hertz);
        (0.5 * phase.sin() + 0.01 * noise) as f32
    });
    Clip::new(samples.collect(), rate(at_hertz))
}

/// A clip as a 16-bit WAV file.
pub(crate) fn wav(clip: &Clip) -> Vec<u8> {
    let data: Vec<u8> = clip
        .samples()
        .iter()
        .flat_map(|sample| ((sample * 32_767.0).round() as i16).to_le_bytes())
        .collect();
    let hertz = clip.rate().hertz();
    let mut bytes = b"RIFF".to_vec();
    bytes.extend((36 + data.len() as u32).to_le_bytes());
    bytes.extend(b"WAVEfmt \x10\0\0\0\x01\0\x01\0");
    bytes.extend(hertz.to_le_bytes());
    bytes.extend((2 * hertz).to_le_bytes());
    bytes.extend(b"\x02\0\x10\0data");
    bytes.extend((data.len() as u32).to_le_bytes());
    bytes.extend(data);
    bytes
}

/// The parts of a form: name, filename where it is a file, content.
pub(crate) fn form(parts: &[(&str, Option<&str>, &[u8])]) -> (String, Vec<u8>) {
    let boundary = "----between";
    let mut body = Vec::new();
    for (name, filename, content) in parts {
        body.extend(format!("--{boundary}\r\n").bytes());
        body.extend(format!("Content-Disposition: form-data; name=\"{name}\"").bytes());
        if let Some(filename) = filename {
            body.extend(format!("; filename=\"{filename}\"").bytes());
        }
        body.extend(b"\r\n\r\n");
        body.extend(*content);
        body.extend(b"\r\n");
    }
    body.extend(format!("--{boundary}--\r\n").bytes());
    (format!("multipart/form-data; boundary={boundary}"), body)
}

/// Asks the routes without a socket. A `Host` header is added where there is none.
pub(crate) fn ask(
    state: &WebState,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: impl Into<Body>,
) -> Answer {
    let mut request = Request::builder().method(method).uri(path);
    if !headers.iter().any(|(name, _)| *name == "host") {
        request = request.header("host", "127.0.0.1:8080");
    }
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request = request.body(body.into()).expect("a request");
    runtime().block_on(async {
        let response = app(state.clone()).oneshot(request).await.expect("answers");
        let (parts, body) = response.into_parts();
        let body = to_bytes(body, 1 << 26).await.expect("a body");
        Answer {
            status: parts.status,
            headers: parts.headers,
            body: body.to_vec(),
        }
    })
}

pub(crate) fn get(state: &WebState, path: &str) -> Answer {
    ask(state, "GET", path, &[], Body::empty())
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .expect("a runtime")
}

impl Answer {
    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("UTF-8")
    }

    #[track_caller]
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("no JSON: {self:?}"))
    }

    /// The status and the error's code.
    #[track_caller]
    pub(crate) fn refusal(&self) -> (u16, String) {
        let json = self.json();
        let code = json["error"]["code"].as_str().expect("a code");
        assert!(!json["error"]["message"].as_str().expect("words").is_empty());
        (self.status.as_u16(), code.to_owned())
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default()
    }
}

/// Waits for something that another thread is about to do.
#[track_caller]
pub(crate) fn until(is_so: impl Fn() -> bool) {
    for _ in 0..3_000 {
        if is_so() {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    panic!("it did not come to pass within half a minute");
}
