//! Metrics: numbers that a run measures, step by step.

use serde::de::{self, Deserializer, Visitor};
use serde::{Deserialize, Serialize, Serializer};

use super::{LoggedModelId, RunId, UnixMillis};

/// One measurement.
///
/// Not-a-number and the infinities are allowed. A store keeps the infinities as
/// the largest finite numbers, as MLflow does, so that they can be compared and
/// sorted.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Metric {
    /// What was measured, such as `val_loss`.
    pub key: String,
    /// How much.
    #[serde(serialize_with = "write_float", deserialize_with = "read_float")]
    pub value: f64,
    /// When.
    #[serde(deserialize_with = "read_int")]
    pub timestamp: UnixMillis,
    /// At which step, often the epoch; may be negative.
    #[serde(deserialize_with = "read_step", default)]
    pub step: i64,
    /// The logged model that was measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model_id: Option<LoggedModelId>,
    /// The data set it was measured on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dataset_name: Option<String>,
    /// The digest of that data set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dataset_digest: Option<String>,
    /// The run that measured, where that does not follow from the context.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run_id: Option<RunId>,
}

impl Metric {
    /// A measurement without a model or data set of its own.
    pub fn new(key: impl Into<String>, value: f64, timestamp: UnixMillis, step: i64) -> Self {
        Self {
            key: key.into(),
            value,
            timestamp,
            step,
            ..Self::default()
        }
    }
}

pub(crate) fn is_zero(number: &i64) -> bool {
    *number == 0
}

/// JSON has no word for these three, so they are strings, as protobuf's JSON has it.
fn write_float<S: Serializer>(value: &f64, serializer: S) -> Result<S::Ok, S::Error> {
    if value.is_nan() {
        serializer.serialize_str("NaN")
    } else if value.is_infinite() {
        serializer.serialize_str(if *value > 0.0 {
            "Infinity"
        } else {
            "-Infinity"
        })
    } else {
        serializer.serialize_f64(*value)
    }
}

fn read_float<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    deserializer.deserialize_any(FloatVisitor)
}

fn read_int<'de, D: Deserializer<'de>>(deserializer: D) -> Result<i64, D::Error> {
    deserializer.deserialize_any(IntVisitor)
}

/// `null` is a step that is left out.
fn read_step<'de, D: Deserializer<'de>>(deserializer: D) -> Result<i64, D::Error> {
    #[derive(Deserialize)]
    struct Step(#[serde(deserialize_with = "read_int")] i64);
    let step = Option::<Step>::deserialize(deserializer)?;
    Ok(step.map_or(0, |Step(step)| step))
}

/// Takes a number, or a string that holds one, as protobuf's JSON does.
struct FloatVisitor;

impl Visitor<'_> for FloatVisitor {
    type Value = f64;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a number")
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<f64, E> {
        Ok(value)
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<f64, E> {
        Ok(value as f64)
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<f64, E> {
        Ok(value as f64)
    }

    fn visit_str<E: de::Error>(self, value: &str) -> Result<f64, E> {
        parse_float(value).ok_or_else(|| E::invalid_value(de::Unexpected::Str(value), &self))
    }
}

/// As protobuf reads a double from a string: decimal digits or one of the three
/// special names.
pub(crate) fn parse_float(text: &str) -> Option<f64> {
    match text {
        "NaN" => Some(f64::NAN),
        "Infinity" => Some(f64::INFINITY),
        "-Infinity" => Some(f64::NEG_INFINITY),
        _ => text
            .parse::<f64>()
            .ok()
            .filter(|_| text.bytes().any(|b| b.is_ascii_digit())),
    }
}

/// Takes an integer, or a string that holds one, as protobuf's JSON does.
struct IntVisitor;

impl Visitor<'_> for IntVisitor {
    type Value = i64;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("an integer")
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<i64, E> {
        Ok(value)
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<i64, E> {
        i64::try_from(value).map_err(|_| E::invalid_value(de::Unexpected::Unsigned(value), &self))
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<i64, E> {
        // Python clients send whole floats for integers now and then.
        if value.fract() == 0.0 && value.abs() < 9.0e15 {
            Ok(value as i64)
        } else {
            Err(E::invalid_value(de::Unexpected::Float(value), &self))
        }
    }

    fn visit_str<E: de::Error>(self, value: &str) -> Result<i64, E> {
        value
            .parse()
            .map_err(|_| E::invalid_value(de::Unexpected::Str(value), &self))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_reading(json: &str, expected: f64) {
        let metric: Metric = serde_json::from_str(json).expect("a metric");
        assert!(
            metric.value == expected || (metric.value.is_nan() && expected.is_nan()),
            "{json}"
        );
    }

    #[test]
    fn values_are_numbers_or_strings_that_hold_numbers() {
        check_reading(r#"{"key":"a","value":0.5,"timestamp":1}"#, 0.5);
        check_reading(r#"{"key":"a","value":3,"timestamp":"1"}"#, 3.0);
        check_reading(r#"{"key":"a","value":"0.25","timestamp":1}"#, 0.25);
        check_reading(r#"{"key":"a","value":"NaN","timestamp":1}"#, f64::NAN);
        check_reading(
            r#"{"key":"a","value":"-Infinity","timestamp":1}"#,
            f64::NEG_INFINITY,
        );
    }

    #[test]
    fn a_value_that_is_no_number_is_refused() {
        for json in [
            r#"{"key":"a","value":"x","timestamp":1}"#,
            r#"{"key":"a","value":true,"timestamp":1}"#,
            r#"{"key":"a","value":"inf","timestamp":1}"#,
        ] {
            assert!(serde_json::from_str::<Metric>(json).is_err(), "{json}");
        }
    }

    #[test]
    fn a_value_that_json_cannot_write_becomes_a_string() {
        let metric = Metric::new("a", f64::NAN, 1, 2);
        assert_eq!(
            serde_json::to_string(&metric).expect("serializes"),
            r#"{"key":"a","value":"NaN","timestamp":1,"step":2}"#
        );
    }
}
