//! Reading requests: parameters from the URL or a JSON body, checked one by one.
//!
//! Unknown parameters are ignored, as MLflow does. Whole numbers may come as
//! strings; a parameter of another type is refused in MLflow's words.

use std::cell::OnceCell;

use axum::body::Bytes;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::entities::{ExperimentId, RunId};
use crate::error::{Result, TrackingError};
use crate::requests::{Search, ViewType};

/// The parameters of one request.
#[derive(Debug, Default)]
pub(super) struct Params {
    body: Bytes,
    /// Made from the body when it is first needed: batches are read without it. Of a body
    /// that is no JSON object, why it is none.
    fields: OnceCell<std::result::Result<Map<String, Value>, String>>,
    /// Parts of the path, which the body does not change.
    path: Vec<(String, String)>,
    /// Whether they come from a URL, which has texts only.
    is_query: bool,
}

impl Params {
    /// From the query of a URL and the parts of the path; a key that is repeated has a list of values.
    pub(super) fn of_query(query: &str, path: &[(String, String)]) -> Self {
        let mut params: Map<String, Value> = path
            .iter()
            .map(|(name, value)| (name.clone(), Value::from(value.as_str())))
            .collect();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            let value = Value::from(decoded(value));
            match params.entry(decoded(key)) {
                serde_json::map::Entry::Vacant(entry) => {
                    entry.insert(value);
                }
                serde_json::map::Entry::Occupied(mut entry) => match entry.get_mut() {
                    Value::Array(list) => list.push(value),
                    first => *first = Value::Array(vec![first.take(), value]),
                },
            }
        }
        Self {
            fields: OnceCell::from(Ok(params)),
            is_query: true,
            ..Self::default()
        }
    }

    /// From a body; one that is empty or `null` has no parameters.
    pub(super) fn of_body(body: Bytes, path: Vec<(String, String)>) -> Self {
        Self {
            body,
            path,
            ..Self::default()
        }
    }

    /// The whole body as one value, if it has that form. If it has not, reading it
    /// field by field tells why.
    pub(super) fn whole<T: DeserializeOwned>(&self) -> Option<T> {
        // Checked as UTF-8 at once, and not again string by string.
        let text = std::str::from_utf8(&self.body).ok()?;
        serde_json::from_str(text).ok()
    }

    fn field(&self, name: &str) -> Result<Option<&Value>> {
        let fields = self.fields.get_or_init(|| {
            let mut fields = object(&self.body)?;
            for (name, value) in &self.path {
                fields.insert(name.clone(), Value::from(value.as_str()));
            }
            Ok(fields)
        });
        match fields {
            Ok(fields) => Ok(fields.get(name)),
            Err(why) => Err(TrackingError::invalid(format!(
                "Bad Request. The body must be a JSON object: {why}."
            ))),
        }
    }

    /// A text that must be there and not be empty.
    pub(super) fn required(&self, name: &str) -> Result<&str> {
        self.text(name)?
            .filter(|text| !text.is_empty())
            .ok_or_else(|| missing(name))
    }

    /// A text that may be missing.
    pub(super) fn text(&self, name: &str) -> Result<Option<&str>> {
        match self.field(name)? {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(other) => Err(wrong_type(name, other)),
        }
    }

    /// A text that is `None` when it is empty.
    pub(super) fn filled(&self, name: &str) -> Result<Option<String>> {
        let text = self.text(name)?.filter(|text| !text.is_empty());
        Ok(text.map(str::to_owned))
    }

    /// A whole number that may be missing.
    pub(super) fn int(&self, name: &str) -> Result<Option<i64>> {
        let Some(value) = self.field(name)?.filter(|value| !value.is_null()) else {
            return Ok(None);
        };
        let number = match value {
            Value::Number(number) => number.as_i64().or_else(|| whole(number.as_f64()?)),
            Value::String(text) => text.parse().ok(),
            _ => None,
        };
        number.map(Some).ok_or_else(|| wrong_type(name, value))
    }

    /// A whole number of at most `limit`.
    pub(super) fn int_at_most(&self, name: &str, limit: i64) -> Result<Option<i64>> {
        match self.int(name)? {
            Some(number) if number > limit => Err(wrong_type(name, self.value(name)?)),
            number => Ok(number),
        }
    }

    /// Whether a switch is on. A text is one only in a query, where all are texts.
    pub(super) fn flag(&self, name: &str) -> Result<bool> {
        match self.field(name)? {
            None | Some(Value::Null) => Ok(false),
            Some(Value::Bool(flag)) => Ok(*flag),
            Some(Value::String(text)) if self.is_query => Ok(text.eq_ignore_ascii_case("true")),
            Some(other) => Err(wrong_type(name, other)),
        }
    }

    /// A list, empty if it is missing. A single value of a query is a list of one.
    pub(super) fn list<T: DeserializeOwned>(&self, name: &str) -> Result<Vec<T>> {
        let values = match self.field(name)? {
            None | Some(Value::Null) => return Ok(Vec::new()),
            Some(Value::Array(values)) => values.clone(),
            Some(text @ Value::String(_)) if self.is_query => vec![text.clone()],
            Some(other) => return Err(wrong_type(name, other)),
        };
        values
            .into_iter()
            .enumerate()
            .map(|(index, value)| {
                serde_json::from_value(value).map_err(|error| {
                    TrackingError::invalid(format!(
                        "Invalid value for parameter '{name}[{index}]' supplied: {error}. See the \
                         API docs for more information about request parameters."
                    ))
                })
            })
            .collect()
    }

    /// A list of texts and of nothing else.
    pub(super) fn texts(&self, name: &str) -> Result<Vec<String>> {
        match self.field(name)? {
            Some(list @ Value::Array(values)) if !values.iter().all(Value::is_string) => {
                Err(wrong_type(name, list))
            }
            _ => self.list(name),
        }
    }

    /// A list of experiments, which may be given as numbers.
    pub(super) fn experiment_ids(&self) -> Result<Vec<ExperimentId>> {
        match self.field("experiment_ids")? {
            Some(Value::Array(values)) if values.iter().any(Value::is_number) => {
                let id = |value: &Value| match value {
                    Value::Number(number) => Ok(ExperimentId::from(number.to_string())),
                    Value::String(text) => Ok(ExperimentId::from(text.as_str())),
                    other => Err(wrong_type("experiment_ids", other)),
                };
                values.iter().map(id).collect()
            }
            _ => self.list("experiment_ids"),
        }
    }

    /// Checks that each object of a list has these fields.
    pub(super) fn require_fields(&self, name: &str, fields: &[&str]) -> Result<()> {
        let Some(Value::Array(values)) = self.field(name)? else {
            return Ok(());
        };
        for (index, value) in values.iter().enumerate() {
            for field in fields {
                match value.get(field) {
                    None | Some(Value::Null) => {
                        return Err(missing(&format!("{name}[{index}].{field}")));
                    }
                    Some(Value::String(text)) if text.is_empty() => {
                        return Err(missing(&format!("{name}[{index}].{field}")));
                    }
                    Some(_) => {}
                }
            }
        }
        Ok(())
    }

    /// Any value that must be there.
    pub(super) fn value(&self, name: &str) -> Result<&Value> {
        self.field(name)?
            .filter(|value| !value.is_null())
            .ok_or_else(|| missing(name))
    }

    /// A number that must be there, in protobuf's forms.
    pub(super) fn float(&self, name: &str) -> Result<f64> {
        let value = self.value(name)?;
        let number = match value {
            Value::Number(number) => number.as_f64(),
            Value::String(text) => crate::entities::parse_float(text),
            _ => None,
        };
        number.ok_or_else(|| wrong_type(name, value))
    }

    /// The run, under its new or its old name.
    pub(super) fn run_id(&self) -> Result<RunId> {
        match self.filled("run_id")? {
            Some(id) => Ok(RunId::from(id)),
            None => self
                .filled("run_uuid")?
                .map(RunId::from)
                .ok_or_else(|| missing("run_id")),
        }
    }

    /// The experiment.
    pub(super) fn experiment_id(&self) -> Result<ExperimentId> {
        match self.field("experiment_id")? {
            Some(Value::Number(number)) => Ok(ExperimentId::from(number.to_string())),
            _ => self.required("experiment_id").map(ExperimentId::from),
        }
    }

    /// The version of a registered model. Numbers that no version has are missing ones.
    pub(super) fn version(&self) -> Result<u32> {
        let text = match self.field("version")? {
            Some(Value::Number(number)) => number.to_string(),
            _ => self.required("version")?.to_owned(),
        };
        let number: i64 = text.trim().parse().map_err(|_| {
            TrackingError::invalid(format!(
                "Parameter 'version' must be an integer, got '{text}'."
            ))
        })?;
        u32::try_from(number).or_else(|_| {
            Err(TrackingError::ModelVersionNotFound {
                name: self.required("name")?.to_owned(),
                version: number,
            })
        })
    }

    /// Which lifecycle stages are looked at; what is unknown means the active ones.
    pub(super) fn view_type(&self, name: &str) -> Result<ViewType> {
        Ok(match self.field(name)? {
            Some(Value::String(text)) => match text.as_str() {
                "DELETED_ONLY" | "2" => ViewType::DeletedOnly,
                "ALL" | "3" => ViewType::All,
                _ => ViewType::ActiveOnly,
            },
            Some(Value::Number(number)) => match number.as_i64() {
                Some(2) => ViewType::DeletedOnly,
                Some(3) => ViewType::All,
                _ => ViewType::ActiveOnly,
            },
            _ => ViewType::ActiveOnly,
        })
    }

    /// A search with at most `limit` results a page, `default` unless it is said.
    pub(super) fn search(&self, default: Option<i64>, limit: i64) -> Result<Search> {
        Ok(Search {
            filter: self.text("filter")?.unwrap_or_default().to_owned(),
            order_by: self.list("order_by")?,
            max_results: self.int_at_most("max_results", limit)?.or(default),
            page_token: self.filled("page_token")?,
        })
    }
}

/// The fields of a body, or why there are none.
fn object(body: &[u8]) -> std::result::Result<Map<String, Value>, String> {
    if body.is_empty() {
        return Ok(Map::new());
    }
    match serde_json::from_slice(body) {
        Ok(Value::Object(fields)) => Ok(fields),
        Ok(Value::Null) => Ok(Map::new()),
        Ok(other) => Err(format!("it is of type '{}'", python_type(&other))),
        Err(error) => Err(error.to_string()),
    }
}

/// The error for a parameter that must be there and is not.
pub(super) fn missing(name: &str) -> TrackingError {
    TrackingError::invalid(format!(
        "Missing value for required parameter '{name}'. See the API docs for more information \
         about request parameters."
    ))
}

/// A number without a fraction that is no larger than integers get.
fn whole(number: f64) -> Option<i64> {
    let limit = i64::MAX as f64;
    (number.fract() == 0.0 && number.abs() < limit).then_some(number as i64)
}

/// The error for a parameter of a type or value that is not taken.
pub(super) fn wrong_type(name: &str, value: &Value) -> TrackingError {
    TrackingError::invalid(format!(
        "Invalid value {value} for parameter '{name}' supplied:  Hint: Value was of type \
         '{}'. See the API docs for more information about request parameters.",
        python_type(value)
    ))
}

fn python_type(value: &Value) -> &'static str {
    match value {
        Value::Null => "NoneType",
        Value::Bool(_) => "bool",
        Value::Number(number) if number.is_f64() => "float",
        Value::Number(_) => "int",
        Value::String(_) => "str",
        Value::Array(_) => "list",
        Value::Object(_) => "dict",
    }
}

/// A piece of a query with its `+` and `%XX` replaced.
fn decoded(text: &str) -> String {
    let spaced = text.replace('+', " ");
    percent_encoding::percent_decode_str(&spaced)
        .decode_utf8_lossy()
        .into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_that_no_version_has_are_versions_that_are_missing() {
        let version = |text: &str| {
            let params = Params::of_query(&format!("name=birds&version={text}"), &[]);
            params.version().map_err(|error| error.to_string())
        };
        for good in ["7", "%2B7", "%207"] {
            assert_eq!(version(good), Ok(7), "{good}");
        }
        for number in ["-1", "99999999999"] {
            let missing = format!("Model Version (name=birds, version={number}) not found");
            assert_eq!(version(number), Err(missing));
        }
        for text in ["1.0", "x"] {
            let words = format!("Parameter 'version' must be an integer, got '{text}'.");
            assert_eq!(version(text), Err(words));
        }
    }
}
