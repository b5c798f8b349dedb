//! Which comparators and values a key takes, and in which words others are refused.
//!
//! MLflow has one parser for each kind of entity, which check in different orders
//! and word their refusals differently; clients' tests match the words.

use super::grammar::{Entity, Grammar, Use, python_set, split};
use super::parse::{Comparison, list_of_texts, number, without_quotes};
use super::tokens::{Kind, Token};
use super::{Comparator, Field, Value};
use crate::error::{Result, TrackingError};

const NUMERIC: [Comparator; 6] = [
    Comparator::NotEqual,
    Comparator::Less,
    Comparator::LessOrEqual,
    Comparator::Equal,
    Comparator::Greater,
    Comparator::GreaterOrEqual,
];
const TEXTUAL: [Comparator; 4] = [
    Comparator::NotEqual,
    Comparator::Equal,
    Comparator::ILike,
    Comparator::Like,
];

impl Grammar {
    /// The value of a comparison with a field, which must take both it and the
    /// comparator.
    pub(super) fn operand(&self, field: &Field, comparison: &Comparison<'_>) -> Result<Value> {
        let comparator = comparison.comparator;
        let key = split(comparison.name).1;
        // Where values are read more freely, comparators are looked at first.
        let is_list = comparison
            .value
            .is_some_and(|token| token.kind == Kind::List);
        let comparator_first =
            self.entity == Entity::LoggedModel || (self.takes_both(field) && !is_list);
        if comparator_first && !self.comparators(field).contains(&comparator) {
            return Err(match comparison.value {
                Some(_) => self.unknown_comparator(field, comparator.as_str()),
                None => self.not_nullable(field, key, comparator),
            });
        }
        let Some(token) = &comparison.value else {
            return match self.comparators(field).contains(&comparator) {
                true => Ok(Value::Nothing),
                false => Err(self.not_nullable(field, key, comparator)),
            };
        };
        let value = self.value(field, key, token)?;
        if !self.comparators(field).contains(&comparator) {
            return Err(self.unknown_comparator(field, comparator.as_str()));
        }
        let wants_list = matches!(comparator, Comparator::In | Comparator::NotIn);
        match value {
            Value::List(_) if !wants_list => Err(TrackingError::invalid(format!(
                "Expected a quoted string value for attributes. Got value {}",
                token.text
            ))),
            value => Ok(value),
        }
    }

    /// The value that a token holds for a field, whose key was written as `key`.
    fn value(&self, field: &Field, key: &str, token: &Token<'_>) -> Result<Value> {
        let text = token.text;
        let is_text =
            token.kind == Kind::Text || (token.kind == Kind::Name && !token.is_word("NULL"));
        let is_number = matches!(token.kind, Kind::Integer | Kind::Float);
        let is_list = token.kind == Kind::List;
        match field {
            _ if is_text && self.takes_both(field) => self.number_in_text(key, text),
            Field::Attribute(_) if is_list && self.entity == Entity::ModelVersion => {
                self.list(field, text)
            }
            // Other fields of logged models are compared as texts, whatever is written.
            Field::Attribute(known)
                if is_number
                    && self.entity == Entity::LoggedModel
                    && !self.numbers.contains(&known.as_str()) =>
            {
                Ok(Value::Text(text.to_owned()))
            }
            Field::Param(_) | Field::Tag(_) if self.entity == Entity::LoggedModel => {
                match token.kind {
                    Kind::List => list_of_texts(text).map(Value::List),
                    _ if is_number => Ok(Value::Text(text.to_owned())),
                    _ => quoted_text(text),
                }
            }
            Field::Metric(_) => number(token).ok_or_else(|| {
                TrackingError::invalid(format!(
                    "Expected numeric value type for metric. Found {text}"
                ))
            }),
            Field::Param(_) | Field::Tag(_) if is_text => quoted_text(text),
            Field::Param(_) | Field::Tag(_) => {
                let kind = if matches!(field, Field::Tag(_)) {
                    "tag"
                } else {
                    "parameter"
                };
                Err(TrackingError::invalid(format!(
                    "Expected a quoted string value for {kind} (e.g. 'my-value'). Got value {text}"
                )))
            }
            Field::Attribute(known) if self.numbers.contains(&known.as_str()) => number(token)
                .ok_or_else(|| {
                    TrackingError::invalid(format!(
                        "Expected numeric value type for numeric attribute: {key}. Found {text}"
                    ))
                }),
            Field::Attribute(_) | Field::Dataset(_) if is_text => quoted_text(text),
            Field::Attribute(_) | Field::Dataset(_) if is_list => self.list(field, text),
            Field::Attribute(_) => Err(TrackingError::invalid(match self.entity {
                Entity::ModelVersion if is_number => "Only the '{'version_number', \
                     'creation_timestamp', 'last_updated_timestamp'}' attributes support \
                     comparison with numeric values."
                    .to_owned(),
                Entity::Run | Entity::Experiment => {
                    format!("Expected a quoted string value for attributes. Got value {text}")
                }
                _ => format!(
                    "Expected a quoted string value or a list of quoted string values for \
                     attributes. Got value {text}"
                ),
            })),
            Field::Dataset(_) => Err(TrackingError::invalid(format!(
                "Expected a quoted string value for dataset attributes. Got value {text}"
            ))),
        }
    }

    /// The text that a number, or a word that stands for one, was written as.
    fn number_in_text(&self, key: &str, text: &str) -> Result<Value> {
        let value = quoted_text(text)?;
        match &value {
            Value::Text(inner)
                if self.entity == Entity::ModelVersion && inner.trim().parse::<i64>().is_err() =>
            {
                Err(TrackingError::invalid(format!(
                    "Invalid value for numeric attribute '{key}': {text}"
                )))
            }
            _ => Ok(value),
        }
    }

    fn list(&self, field: &Field, text: &str) -> Result<Value> {
        if let Field::Attribute(key) = field
            && !self.lists.contains(&key.as_str())
        {
            return Err(TrackingError::invalid(format!(
                "Only ['{}'] attributes support comparison with a list of quoted string values.",
                self.lists.join("', '")
            )));
        }
        list_of_texts(text).map(Value::List)
    }

    /// Whether a number may be written as a text.
    fn takes_both(&self, field: &Field) -> bool {
        let keys = match self.entity {
            Entity::ModelVersion => self.numbers,
            Entity::LoggedModel => &["status"],
            _ => &[],
        };
        matches!(field, Field::Attribute(key) if keys.contains(&key.as_str()))
    }

    /// The error for a field that cannot be asked whether it is missing.
    fn not_nullable(&self, field: &Field, key: &str, comparator: Comparator) -> TrackingError {
        let kind = match field {
            Field::Tag(_) => "tag",
            Field::Param(_) => "parameter",
            Field::Metric(_) => "metric",
            Field::Attribute(_) => "attribute",
            Field::Dataset(_) => "dataset",
        };
        TrackingError::invalid(match self.entity {
            Entity::Experiment => {
                format!("IS NULL / IS NOT NULL is only supported for tags, not for {kind} '{key}'")
            }
            Entity::LoggedModel => format!(
                "Invalid comparison: {}{}. Expected a comparison with 3 tokens.",
                full_name(field),
                comparator.as_str()
            ),
            _ => format!(
                "IS NULL / IS NOT NULL is only supported for tags and params, not for '{kind}' \
                 '{key}'"
            ),
        })
    }

    fn comparators(&self, field: &Field) -> Vec<Comparator> {
        use Comparator::{In, IsNotNull, IsNull, NotIn};
        match field {
            Field::Metric(_) => NUMERIC.to_vec(),
            Field::Attribute(key) if self.numbers.contains(&key.as_str()) => NUMERIC.to_vec(),
            Field::Param(_) | Field::Tag(_)
                if self.entity == Entity::Run
                    || (self.entity == Entity::Experiment && matches!(field, Field::Tag(_))) =>
            {
                [&TEXTUAL[..], &[IsNotNull, IsNull]].concat()
            }
            Field::Param(_) | Field::Tag(_) if self.entity == Entity::LoggedModel => {
                [&TEXTUAL[..], &[In, NotIn]].concat()
            }
            Field::Param(_) | Field::Tag(_) => TEXTUAL.to_vec(),
            Field::Attribute(key)
                if self.entity != Entity::Run && !self.lists.contains(&key.as_str()) =>
            {
                TEXTUAL.to_vec()
            }
            Field::Attribute(key) if self.entity == Entity::Experiment && key != "name" => {
                vec![Comparator::Equal, Comparator::NotEqual, In, NotIn]
            }
            Field::Attribute(_) | Field::Dataset(_) => [&TEXTUAL[..], &[In, NotIn]].concat(),
        }
    }

    /// The error for a comparator that the language does not have.
    pub(super) fn bad_comparator(
        &self,
        name: &str,
        comparator: &str,
        value: Option<&Token<'_>>,
    ) -> TrackingError {
        let check = || {
            let field = self.field(name, Use::Filter)?;
            if let Some(value) = value {
                self.value(&field, split(name).1, value)?;
            }
            Ok(self.unknown_comparator(&field, comparator))
        };
        check().unwrap_or_else(|earlier| earlier)
    }

    /// The error for a comparator that this field does not have. MLflow's messages
    /// differ in their quotes, and its clients' tests match them.
    fn unknown_comparator(&self, field: &Field, comparator: &str) -> TrackingError {
        let is_number =
            |key: &str| matches!(field, Field::Attribute(_)) && self.numbers.contains(&key);
        TrackingError::invalid(match (self.entity, field) {
            (
                Entity::Experiment | Entity::RegisteredModel | Entity::ModelVersion,
                Field::Tag(_),
            ) => format!("Invalid comparator for tag: {comparator}"),
            (Entity::Experiment, Field::Attribute(key)) if key == "experiment_id" => {
                format!("Invalid comparator for experiment_id: {comparator}")
            }
            (Entity::LoggedModel, _) => {
                let valid = match self.comparators(field).contains(&Comparator::Less) {
                    true => "'<', '<=', '>', '>=', '=', '!='",
                    false => "'=', '!=', 'LIKE', 'ILIKE', 'IN', 'NOT IN'",
                };
                format!(
                    "Invalid comparison operator for {}: '{comparator}'. Expected one of \
                     ({valid}).",
                    full_name(field)
                )
            }
            (Entity::ModelVersion, Field::Attribute(key)) if is_number(key) => {
                format!("Invalid comparator for attribute {key}: {comparator}")
            }
            (Entity::RegisteredModel | Entity::ModelVersion, _) => {
                format!("Invalid comparator for attribute: {comparator}")
            }
            _ => {
                let mut valid = self.comparators(field);
                let mut end = "";
                match field {
                    Field::Attribute(key) if is_number(key) => {
                        valid = [&TEXTUAL[..], &[Comparator::In, Comparator::NotIn]].concat();
                    }
                    Field::Attribute(_) if self.entity == Entity::Experiment => {
                        valid = [&TEXTUAL[..], &[Comparator::In, Comparator::NotIn]].concat();
                        end = "'";
                    }
                    Field::Attribute(_) | Field::Param(_) => end = "'",
                    Field::Metric(_) | Field::Tag(_) | Field::Dataset(_) => {}
                }
                let valid: Vec<&str> = valid.iter().map(|valid| valid.as_str()).collect();
                format!(
                    "Invalid comparator '{comparator}' not one of '{}{end}",
                    python_set(&valid)
                )
            }
        })
    }
}

/// A field with the kind that it is of, as MLflow names the two together.
fn full_name(field: &Field) -> String {
    match field {
        Field::Metric(key) => format!("metrics.{key}"),
        Field::Param(key) => format!("params.{key}"),
        Field::Tag(key) => format!("tags.{key}"),
        Field::Attribute(key) => format!("attributes.{key}"),
        Field::Dataset(key) => format!("datasets.{key}"),
    }
}

fn quoted_text(text: &str) -> Result<Value> {
    let inner = without_quotes(text);
    if inner.len() == text.len() {
        return Err(TrackingError::invalid(format!(
            "Parameter value is either not quoted or unidentified quote types used for string \
             value {text}. Use either single or double quotes."
        )));
    }
    Ok(Value::Text(inner.to_owned()))
}
