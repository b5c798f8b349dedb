//! Where settings come from, and what is said of those that are wrong.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use toml::{Table, Value};

use super::nearest::{nearest_choice, nearest_key, nearest_variable};
use super::wording::{in_words, one_of};
use super::{SETTINGS, Settings, is_web_address, variable_name};
use crate::tracking::destination::split_credentials;

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

    #[error("there is no settings file `{path}`")]
    NoFile { path: PathBuf },

    #[error("the settings file `{path}` is a folder; name a TOML file")]
    IsFolder { path: PathBuf },

    #[error("settings file `{path}`, line {line}: not UTF-8; save the file as UTF-8")]
    NotUtf8 { path: PathBuf, line: usize },

    #[error("`{path}` is not valid TOML: {reason}")]
    NotToml { path: PathBuf, reason: String },
}

fn did_you_mean(nearest: &Option<String>) -> String {
    nearest.as_ref().map_or_else(String::new, |nearest| {
        format!("; did you mean `{nearest}`?")
    })
}

/// The variable that names the instructions to compute with.
pub(crate) const SIMD: &str = "BIOPHONY_SIMD";

/// One value that somebody set, and where.
struct Assignment {
    origin: String,
    key: String,
    value: Value,
}

/// Where settings come from besides the defaults, in the order of precedence.
#[derive(Debug, Default)]
pub(crate) struct Sources {
    /// `section.key=value` of what a command takes unless told otherwise.
    pub(crate) defaults: Vec<String>,
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
        from_flags(&sources.defaults, &mut assignments)?;
        if let Some(path) = &sources.file {
            from_file(path, &mut assignments)?;
        }
        for (name, value) in &sources.environment {
            from_mlflow_environment(name, value, &mut assignments);
        }
        for (name, value) in &sources.environment {
            from_environment(name, value, &mut assignments)?;
        }
        from_flags(&sources.flags, &mut assignments)?;
        Ok(apply(&assignments)?)
    }
}

fn from_flags(flags: &[String], assignments: &mut Vec<Assignment>) -> Result<(), SettingsError> {
    for flag in flags {
        let (key, value) = flag
            .split_once('=')
            .ok_or_else(|| SettingsError::NotAnAssignment(flag.clone()))?;
        assignments.push(Assignment {
            origin: format!("`--set {flag}`"),
            key: key.trim().to_owned(),
            value: parse_value(value),
        });
    }
    Ok(())
}

fn from_file(path: &Path, assignments: &mut Vec<Assignment>) -> Result<()> {
    let named = || path.to_owned();
    let bytes = match std::fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == ErrorKind::NotFound => {
            return Err(SettingsError::NoFile { path: named() }.into());
        }
        Err(_) if path.is_dir() => return Err(SettingsError::IsFolder { path: named() }.into()),
        Err(error) => {
            let what = format!("cannot read the settings file `{}`", path.display());
            return Err(error).context(what);
        }
    };
    let text = std::str::from_utf8(&bytes).map_err(|error| {
        let before = bytes[..error.valid_up_to()].iter();
        SettingsError::NotUtf8 {
            path: named(),
            line: 1 + before.filter(|&&byte| byte == b'\n').count(),
        }
    })?;
    let table: Table = toml::from_str(text).map_err(|error| SettingsError::NotToml {
        path: named(),
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
        "MLFLOW_TRACKING_URI" if is_web_address(value) => {
            // Whom to be there is not written down with the settings.
            ("tracking.uri", Value::from(split_credentials(value).0))
        }
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
    const OTHER_VARIABLES: [&str; 4] =
        ["BIOPHONY_HOME", "BIOPHONY_LOG", SIMD, "BIOPHONY_TEST_CLIPS"];
    if name == SIMD {
        check_simd(value)?;
    }
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

/// Which instructions to compute with. What reads it takes the best there are for any
/// name that it does not know, and a comparison of two would compare one with itself.
fn check_simd(value: &str) -> Result<(), SettingsError> {
    const NAMES: [&str; 4] = ["avx512", "avx2", "neon", "portable"];
    if value.is_empty() || NAMES.contains(&value) {
        return Ok(());
    }
    Err(SettingsError::BadValue {
        origin: "environment".to_owned(),
        key: SIMD.to_owned(),
        value: value.to_owned(),
        reason: format!("it takes {}", one_of(&NAMES)),
        nearest: nearest_choice(value, &NAMES),
    })
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
            // Alone, a value may also clash with a default that others have changed.
            let own = Settings::from_table(alone)
                .err()
                .filter(|own| *own == error);
            Some(bad_value(assignment, &own?))
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
    let setting = SETTINGS
        .iter()
        .find(|setting| setting.key == assignment.key);
    let reason = in_words(setting, &assignment.value, reason);
    let choices = setting.map_or(&[][..], |setting| setting.choices);
    let nearest = match assignment.value.as_str() {
        // Some reasons name it already.
        Some(given) if !reason.contains("did you mean") => nearest_choice(given, choices),
        _ => None,
    };
    SettingsError::BadValue {
        origin: assignment.origin.clone(),
        key: assignment.key.clone(),
        value: assignment.value.to_string(),
        nearest,
        reason,
    }
}

fn first_line(text: &str) -> String {
    text.lines().next().unwrap_or_default().to_owned()
}
