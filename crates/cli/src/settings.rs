//! Settings: what there is to set, with its defaults. What is laid over them, and in
//! which order, is in [`sources`].
//!
//! Every setting has a line in [`SETTINGS`], which is where its meaning and its
//! choices are written; a test holds that table against the types. What each
//! section does with its values lives with the crate that owns the type.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Result;
use biophony_audio::{AudioError, FeatureConfig, FeatureScale, FeatureSettings, Reference};
use biophony_dataset::{AuditConfig, SplitConfig};
use biophony_model::architecture::MAX_WIDTH;
use biophony_model::{ClipShape, FrontEnd, GateConfig, TrainingConfig};
use biophony_nn::{Layer, Shape};
use serde::{Deserialize, Serialize};
use toml::{Table, Value};

mod catalog;
mod nearest;
mod sources;
mod wording;

pub(crate) use catalog::{SETTINGS, Setting};
pub(crate) use sources::{SIMD, SettingsError, Sources};
pub(crate) use wording::LARGEST;

/// Everything that can be set, section by section.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Settings {
    /// Where the recordings are, for `biophony run`.
    pub(crate) data: DataSettings,
    /// How a waveform becomes a log-mel spectrogram.
    pub(crate) features: FeatureSettings,
    /// How clips of any length become network inputs of one shape.
    pub(crate) clip: ClipShape,
    /// Which network is trained, and how.
    pub(crate) train: TrainingConfig,
    /// How recordings are divided.
    pub(crate) split: SplitConfig,
    /// What the audit complains about.
    pub(crate) audit: AuditConfig,
    /// How a trained model is judged.
    pub(crate) evaluate: EvaluateSettings,
    /// When a trained model is put into use.
    pub(crate) deploy: GateConfig,
    /// How a run of the pipeline is carried out.
    pub(crate) run: RunSettings,
    /// Under which names runs and models are tracked, and where besides here.
    pub(crate) tracking: TrackingSettings,
}

/// Where the recordings are. Empty paths are not given.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct DataSettings {
    pub(crate) folder: PathBuf,
    pub(crate) manifest: PathBuf,
    /// Whether reviewed recordings are trained on, too.
    pub(crate) reviewed: bool,
}

/// How a run of the pipeline is carried out; its results do not depend on it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct RunSettings {
    /// How often a failed step is tried again.
    pub(crate) retries: u32,
    /// The wait before the first of these; each further wait is twice as long.
    pub(crate) backoff_seconds: f64,
    /// How long a step may take; 0 for any time.
    pub(crate) timeout_seconds: f64,
    /// A command or an http address that is told of a run that finished.
    pub(crate) on_success: String,
    /// The same for a run that failed.
    pub(crate) on_failure: String,
}

impl RunSettings {
    fn check(&self) -> Result<(), String> {
        let seconds = [
            ("run.backoff_seconds", self.backoff_seconds),
            ("run.timeout_seconds", self.timeout_seconds),
        ];
        for (key, seconds) in seconds {
            if Duration::try_from_secs_f64(seconds).is_err() {
                return Err(format!("`{key}` is {seconds}: at least 0 is wanted"));
            }
        }
        Ok(())
    }
}

impl Default for RunSettings {
    fn default() -> Self {
        Self {
            retries: 0,
            backoff_seconds: 1.0,
            timeout_seconds: 0.0,
            on_success: String::new(),
            on_failure: String::new(),
        }
    }
}

/// Under which names runs and models are tracked, and where besides here. Tokens
/// and passwords are no settings: they come from the environment alone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct TrackingSettings {
    /// The experiment; empty for one named like the recordings' folder.
    pub(crate) experiment: String,
    /// The registered model whose versions accepted models become.
    pub(crate) model: String,
    /// A server that is told as well; empty for none.
    pub(crate) uri: String,
    /// Whether its certificate may be anybody's.
    pub(crate) insecure_tls: bool,
}

impl Default for TrackingSettings {
    fn default() -> Self {
        Self {
            experiment: String::new(),
            model: "biophony".to_owned(),
            uri: String::new(),
            insecure_tls: false,
        }
    }
}

impl TrackingSettings {
    fn check(&self) -> Result<(), String> {
        let is_plain = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_' | '.' | ' ');
        if self.model.trim().is_empty()
            || self.model.starts_with('.')
            || !self.model.chars().all(is_plain)
        {
            return Err(
                "`tracking.model` is a name of letters, digits, `-`, `_`, `.` and spaces"
                    .to_owned(),
            );
        }
        if self.uri.is_empty() {
            return Ok(());
        }
        if !is_web_address(&self.uri) {
            return Err(
                "`tracking.uri` is an address that begins with http:// or https://".to_owned(),
            );
        }
        if self.uri.contains('@') {
            return Err(
                "`tracking.uri` holds no password; MLFLOW_TRACKING_USERNAME and \
                 MLFLOW_TRACKING_PASSWORD do"
                    .to_owned(),
            );
        }
        Ok(())
    }
}

fn is_web_address(uri: &str) -> bool {
    uri.starts_with("http://") || uri.starts_with("https://")
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            data: DataSettings::default(),
            features: FeatureSettings {
                scale: FeatureScale::Db {
                    // Recorders and distances differ: how loud a recording is says
                    // little about who calls in it. Measured against its own
                    // loudest value, it also says nothing to the network.
                    reference: Reference::Max,
                    amin: 1e-10,
                    top_db: Some(80.0),
                },
                // Voices differ more in pitch than in what happens within a thirtieth of
                // a second: of the same number of values, more bands of fewer frames
                // tell them apart better.
                n_mels: 96,
                hop_length: 768,
                ..FeatureSettings::default()
            },
            clip: ClipShape::default(),
            train: TrainingConfig {
                // Three short trainings that act as one network make fewer mistakes
                // than one long training, most of all with a few hundred recordings.
                members: 3,
                epochs: 30,
                ..TrainingConfig::default()
            },
            split: SplitConfig::default(),
            audit: AuditConfig::default(),
            evaluate: EvaluateSettings::default(),
            deploy: GateConfig::default(),
            run: RunSettings::default(),
            tracking: TrackingSettings::default(),
        }
    }
}

/// How a trained model is judged.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct EvaluateSettings {
    /// The precision that accepted answers shall have; 0 accepts every answer.
    pub(crate) precision: f64,
    /// Resamplings behind the 95 % intervals.
    pub(crate) bootstrap: usize,
}

/// The ends of a 95 % interval are guesses from fewer resamplings than this.
const MIN_BOOTSTRAP: usize = 20;
/// More change no digit that is shown, and all are in memory together.
const MAX_BOOTSTRAP: usize = 100_000;

impl Default for EvaluateSettings {
    fn default() -> Self {
        Self {
            precision: 0.0,
            bootstrap: 1000,
        }
    }
}

impl Settings {
    /// The feature settings, checked together.
    pub(crate) fn feature_config(&self) -> Result<FeatureConfig, AudioError> {
        FeatureConfig::new(self.features.clone())
    }

    /// Reads a whole table and checks what only shows when values meet.
    fn from_table(table: Table) -> Result<Self, String> {
        let settings = Self::deserialize(Value::Table(table)).map_err(|error| error.to_string())?;
        let features = settings
            .feature_config()
            .map_err(|error| error.to_string())?;
        let clip = settings.clip.clone();
        let front = FrontEnd { features, clip };
        front.check().map_err(|error| error.to_string())?;
        settings.check_ranges()?;
        settings.train.check().map_err(|error| error.to_string())?;
        settings.check_patience()?;
        settings.check_network(&front)?;
        settings.deploy.check().map_err(|error| error.to_string())?;
        settings.tracking.check()?;
        settings.run.check()?;
        Ok(settings)
    }

    /// What no other check looks at.
    fn check_ranges(&self) -> Result<(), String> {
        let Self {
            train,
            split,
            audit,
            evaluate,
            ..
        } = self;
        for (key, value, [least, greatest]) in [
            ("train.width", train.width, [0.01, MAX_WIDTH]),
            ("train.dropout", train.dropout, [0.0, 0.99]),
            ("split.validation", split.validation, [0.0, 0.9]),
            ("split.test", split.test, [0.0, 0.9]),
            ("audit.silence_dbfs", audit.silence_dbfs, [-200.0, 0.0]),
            ("audit.dc_offset", audit.dc_offset, [0.0, 1.0]),
            ("audit.min_seconds", audit.min_seconds, [0.0, 1e6]),
            ("audit.imbalance", audit.imbalance, [1.0, 1e6]),
            ("audit.clipped_fraction", audit.clipped_fraction, [0.0, 1.0]),
            (
                "audit.bandwidth_fraction",
                audit.bandwidth_fraction,
                [0.0, 1.0],
            ),
            ("evaluate.precision", evaluate.precision, [0.0, 1.0]),
        ] {
            if !(least..=greatest).contains(&value) {
                return Err(format!(
                    "`{key}` is {value}: at least {least} and at most {greatest}"
                ));
            }
        }
        let bootstrap = evaluate.bootstrap;
        if bootstrap != 0 && !(MIN_BOOTSTRAP..=MAX_BOOTSTRAP).contains(&bootstrap) {
            return Err(format!(
                "`evaluate.bootstrap` is {bootstrap}: at least {MIN_BOOTSTRAP} and at most \
                 {MAX_BOOTSTRAP}, or 0 for no intervals"
            ));
        }
        if split.validation + split.test >= 1.0 {
            return Err(format!(
                "`split.validation` and `split.test` are {} together, which leaves nothing to \
                 train on",
                split.validation + split.test
            ));
        }
        Ok(())
    }

    /// Training that ends when nothing gets better needs something to get better.
    fn check_patience(&self) -> Result<(), String> {
        if self.train.patience == 0 || self.train.chooses_epoch() {
            return Ok(());
        }
        Err(
            "`train.patience` waits for a better epoch, and with `train.monitor = \"last\"` none \
             is better than another: set `train.monitor` to a figure, such as `macro_f1`, or \
             `train.patience` to 0"
                .to_owned(),
        )
    }

    /// Whether the network can be built, for the windows that it is trained on and for
    /// those that it scores, and is the same for both.
    fn check_network(&self, front: &FrontEnd) -> Result<(), String> {
        let (train, name) = (&self.train, self.train.architecture);
        let crop_frames = train.crop_frames(front);
        let crop_frames = crop_frames.map_err(|error| error.to_string())?;
        let trained = self.layers(front, crop_frames)?;
        if trained == self.layers(front, front.window_frames())? {
            return Ok(());
        }
        Err(format!(
            "`train.crop_seconds` is {}: `{name}` on other windows than are scored would be \
             another network; use 0 or another `train.architecture`",
            train.crop_seconds
        ))
    }

    /// What the network for windows of so many frames is made of: its layers, and the
    /// parameters of each. How many classes there will be makes no difference.
    fn layers(&self, front: &FrontEnd, frames: usize) -> Result<(Vec<Layer>, Vec<usize>), String> {
        let (train, bands) = (&self.train, front.features.n_mels());
        let input = Shape {
            height: bands,
            width: frames,
            channels: 1,
        };
        let built = train.architecture.network(input, 2, train.scale());
        let spec = built.map_err(|error| {
            format!(
                "`{}` cannot be built for windows of {bands} mel bands and {frames} frames \
                 ({error}); change `features.n_mels`, `clip.clip_seconds` or \
                 `train.crop_seconds`, or `train.architecture`",
                train.architecture
            )
        })?;
        let summary = spec.summary().map_err(|error| error.to_string())?;
        Ok((
            spec.layers,
            summary.iter().map(|layer| layer.parameters).collect(),
        ))
    }

    /// The settings that a model and its figures follow from.
    pub(crate) fn of_model(&self) -> Table {
        let mut table = self.to_table();
        for section in ["data", "deploy", "run", "tracking"] {
            table.remove(section);
        }
        table
    }

    /// The settings as `biophony.toml` would hold them.
    pub(crate) fn to_table(&self) -> Table {
        let table = Table::try_from(self).expect("settings are plain tables, numbers and strings");
        let Value::Table(table) = as_written(Value::Table(table)) else {
            unreachable!("a table stays a table");
        };
        table
    }
}

/// The value with the digits that somebody would write: 1e-10 where a number of
/// single precision has become 1.000000013351432e-10 on its way into a table.
fn as_written(value: Value) -> Value {
    match value {
        Value::Float(number) => {
            let single = number as f32;
            let is_single = f64::from(single) == number;
            let shortest = is_single.then(|| single.to_string().parse().ok()).flatten();
            Value::Float(shortest.unwrap_or(number))
        }
        Value::Array(values) => Value::Array(values.into_iter().map(as_written).collect()),
        Value::Table(table) => {
            let written = |(key, value)| (key, as_written(value));
            Value::Table(table.into_iter().map(written).collect())
        }
        other => other,
    }
}

/// The value of `section.key`.
pub(crate) fn lookup<'a>(table: &'a Table, key: &str) -> Option<&'a Value> {
    let mut parts = key.split('.');
    let first = table.get(parts.next()?)?;
    parts.try_fold(first, |value, part| value.get(part))
}

/// The environment variable that sets `key`.
pub(crate) fn variable_name(key: &str) -> String {
    format!("BIOPHONY_{}", key.replace(['.', '-'], "_").to_uppercase())
}

#[cfg(test)]
mod tests;
