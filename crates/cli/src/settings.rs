//! Settings: defaults, then `biophony.toml`, then environment, then flags.
//!
//! Every setting has a line in [`SETTINGS`], which is where its meaning and its
//! choices are written; a test holds that table against the types. What each
//! section does with its values lives with the crate that owns the type.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use biophony_audio::{AudioError, FeatureConfig, FeatureScale, FeatureSettings, Reference};
use biophony_dataset::{AuditConfig, SplitConfig};
use biophony_model::{ClipShape, GateConfig, TrainingConfig};
use serde::{Deserialize, Serialize};
use toml::{Table, Value};

mod catalog;
mod nearest;

use nearest::{nearest, nearest_key, nearest_variable};

pub(crate) use catalog::{SETTINGS, Setting};

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

impl Default for EvaluateSettings {
    fn default() -> Self {
        Self {
            precision: 0.0,
            bootstrap: 1000,
        }
    }
}

/// A wrong key or value, told as a user would understand it. Ends the program
/// with the exit code for wrong usage.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SettingsError {
    #[error("{origin}: there is no setting `{key}`{}", did_you_mean(.nearest))]
    UnknownKey {
        origin: String,
        key: String,
        nearest: Option<String>,
    },

    #[error("{origin}: `{key} = {value}` is not possible: {reason}{}", did_you_mean(.nearest))]
    BadValue {
        origin: String,
        key: String,
        value: String,
        reason: String,
        nearest: Option<String>,
    },

    #[error("these settings do not go together: {0}")]
    Clash(String),

    #[error("`--set {0}`: write it as `section.key=value`")]
    NotAnAssignment(String),

    #[error("`{path}` is not valid TOML: {reason}")]
    NotToml { path: PathBuf, reason: String },
}

fn did_you_mean(nearest: &Option<String>) -> String {
    nearest.as_ref().map_or_else(String::new, |nearest| {
        format!("; did you mean `{nearest}`?")
    })
}

/// One value that somebody set, and where.
struct Assignment {
    origin: String,
    key: String,
    value: Value,
}

/// Where settings come from besides the defaults, in the order of precedence.
#[derive(Debug, Default)]
pub(crate) struct Sources {
    /// A settings file that must exist.
    pub(crate) file: Option<PathBuf>,
    /// Environment variables, as `(name, value)`.
    pub(crate) environment: Vec<(String, String)>,
    /// `section.key=value`, as given with `--set` or derived from other flags.
    pub(crate) flags: Vec<String>,
}

impl Settings {
    /// Lays the sources over the defaults.
    ///
    /// # Errors
    ///
    /// A [`SettingsError`] names the source, the key and the nearest right one.
    pub(crate) fn load(sources: &Sources) -> Result<Self> {
        let mut assignments = Vec::new();
        if let Some(path) = &sources.file {
            from_file(path, &mut assignments)?;
        }
        for (name, value) in &sources.environment {
            from_mlflow_environment(name, value, &mut assignments);
        }
        for (name, value) in &sources.environment {
            from_environment(name, value, &mut assignments)?;
        }
        for flag in &sources.flags {
            let (key, value) = flag
                .split_once('=')
                .ok_or_else(|| SettingsError::NotAnAssignment(flag.clone()))?;
            assignments.push(Assignment {
                origin: format!("`--set {flag}`"),
                key: key.trim().to_owned(),
                value: parse_value(value),
            });
        }
        Ok(apply(&assignments)?)
    }

    /// The feature settings, checked together.
    pub(crate) fn feature_config(&self) -> Result<FeatureConfig, AudioError> {
        FeatureConfig::new(self.features.clone())
    }

    /// Reads a whole table and checks what only shows when values meet.
    fn from_table(table: Table) -> Result<Self, String> {
        let settings = Self::deserialize(Value::Table(table)).map_err(|error| error.to_string())?;
        settings
            .feature_config()
            .map_err(|error| error.to_string())?;
        settings.train.check().map_err(|error| error.to_string())?;
        settings.deploy.check().map_err(|error| error.to_string())?;
        settings.tracking.check()?;
        settings.run.check()?;
        Ok(settings)
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

fn from_file(path: &Path, assignments: &mut Vec<Assignment>) -> Result<()> {
    let text = std::fs::read_to_string(path)
        .with_context(|| format!("cannot read the settings file `{}`", path.display()))?;
    let table: Table = toml::from_str(&text).map_err(|error| SettingsError::NotToml {
        path: path.to_owned(),
        reason: error.to_string().trim().to_owned(),
    })?;
    flatten(&format!("`{}`", path.display()), "", &table, assignments);
    Ok(())
}

fn flatten(origin: &str, prefix: &str, table: &Table, assignments: &mut Vec<Assignment>) {
    for (name, value) in table {
        let key = if prefix.is_empty() {
            name.clone()
        } else {
            format!("{prefix}.{name}")
        };
        match value {
            Value::Table(inner) => flatten(origin, &key, inner, assignments),
            value => assignments.push(Assignment {
                origin: origin.to_owned(),
                key,
                value: value.clone(),
            }),
        }
    }
}

/// The variables by which MLflow's users say where to track; ours win over them.
///
/// An address of another kind, such as a database, is for other programs in the
/// same shell: nothing here can be told there, and our own store is written anyway.
fn from_mlflow_environment(name: &str, value: &str, assignments: &mut Vec<Assignment>) {
    let value = value.trim();
    let (key, value) = match name {
        _ if value.is_empty() => return,
        "MLFLOW_TRACKING_URI" if is_web_address(value) => ("tracking.uri", Value::from(value)),
        "MLFLOW_EXPERIMENT_NAME" => ("tracking.experiment", Value::from(value)),
        "MLFLOW_TRACKING_INSECURE_TLS" => {
            let is_set = matches!(value.to_lowercase().as_str(), "true" | "1");
            ("tracking.insecure_tls", Value::from(is_set))
        }
        _ => return,
    };
    assignments.push(Assignment {
        origin: format!("environment variable `{name}`"),
        key: key.to_owned(),
        value,
    });
}

/// `BIOPHONY_TRAIN_EPOCHS=30` sets `train.epochs`. Variables of that prefix that
/// are no settings are refused, since a typing error would pass unseen otherwise.
fn from_environment(name: &str, value: &str, assignments: &mut Vec<Assignment>) -> Result<()> {
    const OTHER_VARIABLES: [&str; 4] = [
        "BIOPHONY_HOME",
        "BIOPHONY_LOG",
        "BIOPHONY_SIMD",
        "BIOPHONY_TEST_CLIPS",
    ];
    if !name.starts_with("BIOPHONY_") || OTHER_VARIABLES.contains(&name) {
        return Ok(());
    }
    let Some(setting) = SETTINGS
        .iter()
        .find(|setting| variable_name(setting.key) == name)
    else {
        return Err(SettingsError::UnknownKey {
            origin: "environment".to_owned(),
            key: name.to_owned(),
            nearest: nearest_variable(name),
        }
        .into());
    };
    assignments.push(Assignment {
        origin: format!("environment variable `{name}`"),
        key: setting.key.to_owned(),
        value: parse_value(value),
    });
    Ok(())
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

/// Reads a value as TOML would, or else takes it as text.
fn parse_value(text: &str) -> Value {
    let text = text.trim();
    toml::from_str::<Table>(&format!("value = {text}"))
        .ok()
        .and_then(|mut table| table.remove("value"))
        .unwrap_or_else(|| Value::String(text.to_owned()))
}

fn apply(assignments: &[Assignment]) -> Result<Settings, SettingsError> {
    let defaults = Settings::default().to_table();
    let mut table = defaults.clone();
    for assignment in assignments {
        check_key(assignment)?;
        insert(&mut table, assignment);
    }
    Settings::from_table(table).map_err(|error| {
        // The deserializer does not say whose fault it was, so each value is tried alone.
        let culprit = assignments.iter().find_map(|assignment| {
            let mut alone = defaults.clone();
            insert(&mut alone, assignment);
            let error = Settings::from_table(alone).err()?;
            Some(bad_value(assignment, &error))
        });
        culprit.unwrap_or_else(|| SettingsError::Clash(first_line(&error)))
    })
}

fn check_key(assignment: &Assignment) -> Result<(), SettingsError> {
    if SETTINGS.iter().any(|setting| setting.key == assignment.key) {
        return Ok(());
    }
    Err(SettingsError::UnknownKey {
        origin: assignment.origin.clone(),
        key: assignment.key.clone(),
        nearest: nearest_key(&assignment.key),
    })
}

fn insert(table: &mut Table, assignment: &Assignment) {
    let (path, name) = assignment
        .key
        .rsplit_once('.')
        .unwrap_or(("", &assignment.key));
    let mut inner = table;
    for part in path.split('.').filter(|part| !part.is_empty()) {
        let entry = inner
            .entry(part)
            .or_insert_with(|| Value::Table(Table::new()));
        let Value::Table(next) = entry else { return };
        inner = next;
    }
    // An integer is a fine way to write a real number.
    let value = match (inner.get(name), &assignment.value) {
        (Some(Value::Float(_)), Value::Integer(number)) => Value::Float(*number as f64),
        _ => assignment.value.clone(),
    };
    inner.insert(name.to_owned(), value);
}

fn bad_value(assignment: &Assignment, reason: &str) -> SettingsError {
    let choices = SETTINGS
        .iter()
        .find(|setting| setting.key == assignment.key)
        .map_or(&[][..], |setting| setting.choices);
    let given = assignment.value.as_str().unwrap_or_default();
    let nearest = nearest(given, choices.iter().map(|&choice| choice.to_owned()));
    SettingsError::BadValue {
        origin: assignment.origin.clone(),
        key: assignment.key.clone(),
        value: assignment.value.to_string(),
        // Some reasons name it already.
        nearest: nearest.filter(|_| !reason.contains("did you mean")),
        reason: first_line(reason),
    }
}

fn first_line(text: &str) -> String {
    text.lines().next().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests;
