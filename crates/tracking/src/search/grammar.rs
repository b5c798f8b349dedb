//! What may be asked for, entity by entity.
//!
//! Which values and comparators a key takes lives in `operands.rs`.

use super::parse::{Comparison, between, without_quotes};
use super::{Clause, Field, Order, Value};
use crate::error::{Result, TrackingError};

/// The keys of one kind of entity, and how they may be compared.
#[derive(Debug)]
pub(crate) struct Grammar {
    pub(super) entity: Entity,
    /// Attributes that hold texts.
    texts: &'static [&'static str],
    /// Attributes that hold numbers.
    pub(super) numbers: &'static [&'static str],
    /// Attributes that can be sorted by.
    orders: &'static [&'static str],
    /// Attributes that can be compared with a list.
    pub(super) lists: &'static [&'static str],
}

/// The kinds of entities that can be searched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Entity {
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

impl Grammar {
    /// Checks a comparison and gives its clause.
    pub(super) fn clause(&self, comparison: &Comparison<'_>) -> Result<Clause> {
        let field = self.field(comparison.name, Use::Filter)?;
        let value = self.operand(&field, comparison)?;
        if let (Field::Attribute(key), Value::Float(float)) = (&field, &value)
            && let Some(quote) = match self.entity {
                Entity::Experiment => Some("'"),
                Entity::ModelVersion => Some(""),
                _ => None,
            }
        {
            return Err(TrackingError::invalid(format!(
                "Invalid value for numeric attribute '{key}': {quote}{float:?}{quote}"
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

    pub(super) fn field(&self, name: &str, purpose: Use) -> Result<Field> {
        let (entity, key) = split(name);
        let Some(entity) = entity else {
            return self.attribute(key, purpose);
        };
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
            (Entity::Run, "run name" | "Run name" | "Run Name")
                if matches!(purpose, Use::Filter) =>
            {
                "run_name"
            }
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
pub(super) enum Use {
    Filter,
    Order,
}

/// The entity that a name begins with, if there is one, and its key.
pub(super) fn split(name: &str) -> (Option<&str>, &str) {
    // A quoted name may have a dot of its own.
    let is_one = between(name, '`').is_some_and(|inner| !inner.contains('`'));
    match name.split_once('.') {
        Some((entity, key)) if !is_one => {
            (Some(between(entity, '`').unwrap_or(entity)), unquoted(key))
        }
        _ => (None, unquoted(name)),
    }
}

/// A key without quotes or backticks.
fn unquoted(key: &str) -> &str {
    let key = without_quotes(key);
    between(key, '`').unwrap_or(key)
}

/// A set as Python prints it, but in one order: Python's differs from run to run.
pub(super) fn python_set(items: &[&str]) -> String {
    format!("{{'{}'}}", items.join("', '"))
}
