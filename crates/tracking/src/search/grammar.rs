//! What may be asked for, entity by entity.

use super::parse::{Comparison, between, list_of_texts, number, without_quotes};
use super::tokens::{Kind, Token};
use super::{Clause, Comparator, Field, Order, Value};
use crate::error::{Result, TrackingError};

/// The keys of one kind of entity, and how they may be compared.
#[derive(Debug)]
pub(crate) struct Grammar {
    entity: Entity,
    /// Attributes that hold texts.
    texts: &'static [&'static str],
    /// Attributes that hold numbers.
    numbers: &'static [&'static str],
    /// Attributes that can be sorted by.
    orders: &'static [&'static str],
    /// Attributes that can be compared with a list.
    lists: &'static [&'static str],
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Entity {
    Run,
    Experiment,
    RegisteredModel,
    ModelVersion,
    LoggedModel,
}

pub(crate) const RUNS: Grammar = Grammar {
    entity: Entity::Run,
    texts: &["artifact_uri", "run_id", "run_name", "status", "user_id"],
    numbers: &["end_time", "start_time"],
    orders: &[
        "artifact_uri",
        "end_time",
        "run_id",
        "run_name",
        "start_time",
        "status",
        "user_id",
    ],
    lists: &["run_id"],
};

pub(crate) const EXPERIMENTS: Grammar = Grammar {
    entity: Entity::Experiment,
    texts: &["experiment_id", "name"],
    numbers: &["creation_time", "last_update_time"],
    orders: &["creation_time", "experiment_id", "last_update_time", "name"],
    lists: &["experiment_id"],
};

pub(crate) const REGISTERED_MODELS: Grammar = Grammar {
    entity: Entity::RegisteredModel,
    texts: &["name"],
    numbers: &[],
    orders: &["last_updated_timestamp", "name", "timestamp"],
    lists: &["name"],
};

pub(crate) const MODEL_VERSIONS: Grammar = Grammar {
    entity: Entity::ModelVersion,
    texts: &["name", "run_id", "source_path"],
    numbers: &["version_number"],
    orders: &[
        "creation_timestamp",
        "last_updated_timestamp",
        "name",
        "version_number",
    ],
    lists: &["name", "run_id"],
};

pub(crate) const LOGGED_MODELS: Grammar = Grammar {
    entity: Entity::LoggedModel,
    texts: &[
        "artifact_location",
        "experiment_id",
        "model_id",
        "model_type",
        "name",
        "source_run_id",
    ],
    numbers: &[
        "creation_timestamp_ms",
        "last_updated_timestamp_ms",
        "status",
    ],
    orders: &[],
    lists: &[
        "experiment_id",
        "model_id",
        "model_type",
        "name",
        "source_run_id",
    ],
};

/// Other names of two attributes of runs.
const ALIASES: [&str; 5] = ["Created", "created", "Run Name", "Run name", "run name"];

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
    /// Checks a comparison and gives its clause.
    pub(super) fn clause(&self, comparison: &Comparison<'_>) -> Result<Clause> {
        let field = self.field(comparison.name, Use::Filter)?;
        let value = match &comparison.value {
            Some(token) => self.value(&field, token)?,
            None => self.nothing(&field)?,
        };
        self.check_comparator(&field, comparison.comparator)?;
        if self.entity == Entity::Experiment
            && let (Field::Attribute(key), Value::Float(float)) = (&field, &value)
        {
            return Err(TrackingError::invalid(format!(
                "Invalid value for numeric attribute '{key}': '{float:?}'"
            )));
        }
        Ok(Clause {
            field,
            comparator: comparison.comparator,
            value,
        })
    }

    /// The key to sort by that `name` is.
    pub(super) fn order_key(&self, name: &str, is_ascending: bool) -> Result<Order> {
        if self.entity == Entity::RegisteredModel && !self.orders.contains(&unquoted(name)) {
            return Err(TrackingError::invalid(format!(
                "Invalid order by key '{name}' specified. Valid keys are '{{'name', 'timestamp'}}'"
            )));
        }
        let field = self.field(name, Use::Order)?;
        let key = match &field {
            Field::Attribute(key) | Field::Metric(key) | Field::Param(key) | Field::Tag(key) => {
                key.clone()
            }
            Field::Dataset(_) => {
                return Err(TrackingError::invalid("Invalid identifier type 'dataset'"));
            }
        };
        if self.entity != Entity::Run && matches!(field, Field::Tag(_)) {
            return Err(TrackingError::invalid("Invalid order_by entity: tag"));
        }
        Ok(Order {
            key,
            field,
            is_ascending,
        })
    }

    /// The full name of an attribute.
    pub(crate) fn attribute_key(&self, name: &str) -> Result<String> {
        match self.attribute(name, Use::Filter)? {
            Field::Attribute(key) => Ok(key),
            _ => Ok(name.to_owned()),
        }
    }

    fn field(&self, name: &str, purpose: Use) -> Result<Field> {
        let (entity, key) = match name.split_once('.') {
            // A quoted name may have a dot of its own.
            Some((entity, key)) if between(name, '`').is_none() || !entity.starts_with('`') => {
                (Some(entity), key)
            }
            _ => (None, name),
        };
        let key = unquoted(key);
        let Some(entity) = entity else {
            return self.attribute(key, purpose);
        };
        let entity = between(entity, '`').unwrap_or(entity);
        match (self.entity, entity) {
            (_, "attribute") => self.attribute(key, purpose),
            (_, "tag" | "tags") => Ok(Field::Tag(key.to_owned())),
            (Entity::Run, "attr" | "attributes" | "run") => self.attribute(key, purpose),
            (Entity::Run, "metric" | "metrics") => Ok(Field::Metric(key.to_owned())),
            (Entity::Run, "param" | "params" | "parameter" | "parameters") => {
                Ok(Field::Param(key.to_owned()))
            }
            (Entity::Run, "dataset" | "datasets") => self.dataset(key),
            (Entity::LoggedModel, "attributes") => self.attribute(key, purpose),
            (Entity::LoggedModel, "metrics") => Ok(Field::Metric(key.to_owned())),
            (Entity::LoggedModel, "params") => Ok(Field::Param(key.to_owned())),
            (Entity::Run, _) => Err(TrackingError::invalid(format!(
                "Invalid entity type '{entity}'. Valid values are ['metric', 'parameter', 'tag', \
                 'attribute', 'dataset']"
            ))),
            (Entity::LoggedModel, _) => Err(TrackingError::invalid(format!(
                "Invalid entity type: '{entity}'. Expected one of ['attributes', 'metrics', \
                 'params', 'tags']."
            ))),
            _ => Err(TrackingError::invalid(format!(
                "Invalid entity type '{entity}'. Valid entity types are ('attribute', 'tag', \
                 'tags')"
            ))),
        }
    }

    fn attribute(&self, key: &str, purpose: Use) -> Result<Field> {
        let key = match (self.entity, key) {
            (Entity::Run, "created" | "Created") => "start_time",
            (Entity::Run, "run name" | "Run name" | "Run Name") => "run_name",
            (Entity::LoggedModel, "creation_time" | "creation_timestamp") => {
                "creation_timestamp_ms"
            }
            (Entity::LoggedModel, "last_updated_timestamp") => "last_updated_timestamp_ms",
            (_, key) => key,
        };
        let mut valid: Vec<&str> = match purpose {
            Use::Filter => self.texts.iter().chain(self.numbers).copied().collect(),
            Use::Order => self.orders.to_vec(),
        };
        if valid.contains(&key) {
            return Ok(Field::Attribute(key.to_owned()));
        }
        match (self.entity, purpose) {
            (Entity::Run, Use::Filter) => valid.extend(ALIASES),
            (Entity::Run, Use::Order) => valid.extend(&ALIASES[..2]),
            _ => {}
        }
        Err(TrackingError::invalid(format!(
            "Invalid attribute key '{key}' specified. Valid keys are '{}'",
            python_set(&valid)
        )))
    }

    fn dataset(&self, key: &str) -> Result<Field> {
        if ["context", "digest", "name"].contains(&key) {
            return Ok(Field::Dataset(key.to_owned()));
        }
        Err(TrackingError::invalid(format!(
            "Invalid dataset key '{key}' specified. Valid keys are '{{'context', 'digest', \
             'name'}}'"
        )))
    }

    fn value(&self, field: &Field, token: &Token<'_>) -> Result<Value> {
        let text = token.text;
        let is_text = token.kind == Kind::Text || token.kind == Kind::Name;
        match field {
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
            Field::Attribute(key) if self.numbers.contains(&key.as_str()) => number(token)
                .ok_or_else(|| {
                    TrackingError::invalid(format!(
                        "Expected numeric value type for numeric attribute: {key}. Found {text}"
                    ))
                }),
            Field::Attribute(_) | Field::Dataset(_) if is_text => quoted_text(text),
            Field::Attribute(key) if token.kind == Kind::List => {
                if !self.lists.contains(&key.as_str()) {
                    return Err(TrackingError::invalid(format!(
                        "Only ['{}'] attributes support comparison with a list of quoted string \
                         values.",
                        self.lists.join("', '")
                    )));
                }
                list_of_texts(text).map(Value::List)
            }
            Field::Dataset(_) if token.kind == Kind::List => list_of_texts(text).map(Value::List),
            Field::Attribute(_) => Err(TrackingError::invalid(match self.entity {
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

    /// Checks that a field can be missing.
    fn nothing(&self, field: &Field) -> Result<Value> {
        let (kind, key) = match field {
            Field::Tag(_) if matches!(self.entity, Entity::Run | Entity::Experiment) => {
                return Ok(Value::Nothing);
            }
            Field::Param(_) if self.entity == Entity::Run => return Ok(Value::Nothing),
            Field::Tag(key) => ("tag", key),
            Field::Param(key) => ("parameter", key),
            Field::Metric(key) => ("metric", key),
            Field::Attribute(key) => ("attribute", key),
            Field::Dataset(key) => ("dataset", key),
        };
        Err(TrackingError::invalid(match self.entity {
            Entity::Experiment => {
                format!("IS NULL / IS NOT NULL is only supported for tags, not for {kind} '{key}'")
            }
            _ => format!(
                "IS NULL / IS NOT NULL is only supported for tags and params, not for '{kind}' \
                 '{key}'"
            ),
        }))
    }

    fn check_comparator(&self, field: &Field, comparator: Comparator) -> Result<()> {
        let valid = self.comparators(field);
        if valid.contains(&comparator) {
            return Ok(());
        }
        Err(self.unknown_comparator(field, comparator.as_str()))
    }

    fn comparators(&self, field: &Field) -> Vec<Comparator> {
        use Comparator::{In, IsNotNull, IsNull, NotIn};
        match field {
            Field::Metric(_) => NUMERIC.to_vec(),
            Field::Attribute(key) if self.numbers.contains(&key.as_str()) => NUMERIC.to_vec(),
            Field::Param(_) | Field::Tag(_)
                if matches!(self.entity, Entity::Run | Entity::Experiment) =>
            {
                [&TEXTUAL[..], &[IsNotNull, IsNull]].concat()
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
                self.value(&field, value)?;
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
            (Entity::RegisteredModel | Entity::ModelVersion, Field::Tag(_)) => {
                format!("Invalid comparator for tag: {comparator}")
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

    /// The error for tokens that belong to no clause.
    pub(super) fn invalid_clauses(&self, filter: &str, strays: &[&str]) -> TrackingError {
        TrackingError::invalid(match self.entity {
            Entity::Run => format!(
                "Invalid clause(s) in filter string: '{}'",
                strays.join("', '")
            ),
            Entity::LoggedModel => format!(
                "Invalid filter string: {}. Expected a list of comparisons separated by 'AND' \
                 (e.g. 'metrics.loss > 0.1 AND params.lr = 0.01').",
                crate::check::python_repr(filter)
            ),
            _ => format!("Invalid clause(s) in filter string: {}", strays.join(", ")),
        })
    }
}

/// What a key is wanted for.
#[derive(Debug, Clone, Copy)]
enum Use {
    Filter,
    Order,
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

/// A key without quotes or backticks.
fn unquoted(key: &str) -> &str {
    let key = without_quotes(key);
    between(key, '`').unwrap_or(key)
}

/// A set as Python prints it, but in one order: Python's differs from run to run.
fn python_set(items: &[&str]) -> String {
    format!("{{'{}'}}", items.join("', '"))
}
