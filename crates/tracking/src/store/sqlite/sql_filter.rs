//! Clauses as SQL conditions, every value bound and none pasted in.
//!
//! Keys of attributes do become SQL, but only as the columns that the functions
//! here name.

use rusqlite::types::Value as SqlValue;
use rusqlite::{MappedRows, Row};

use super::experiments::experiment_number;
use super::runs::RUN_NAME;
use super::search_runs::run_column;
use crate::entities::ExperimentId;
use crate::error::{Result, TrackingError};
use crate::requests::Page;
use crate::search::{Clause, Comparator, Field, PageWindow, Value};

/// The tag that tells prompts, which MLflow keeps among the models, from models.
const IS_PROMPT: &str = "mlflow.prompt.is_prompt";

/// Longer patterns make SQLite give up, which it says less clearly.
const MAX_PATTERN_BYTES: usize = 10_000;

/// SQL fragments with the values for their question marks.
#[derive(Debug, Default)]
pub(super) struct SqlFilter {
    fragments: Vec<String>,
    values: Vec<SqlValue>,
}

impl SqlFilter {
    pub(super) fn push(&mut self, fragment: impl Into<String>) {
        self.fragments.push(fragment.into());
    }

    pub(super) fn push_with(&mut self, fragment: impl Into<String>, value: impl Into<SqlValue>) {
        self.fragments.push(fragment.into());
        self.values.push(value.into());
    }

    pub(super) fn push_with_all(
        &mut self,
        fragment: impl Into<String>,
        values: impl IntoIterator<Item = String>,
    ) {
        self.fragments.push(fragment.into());
        self.values.extend(values.into_iter().map(SqlValue::from));
    }

    /// Takes over the values of a filter whose fragments were pasted into a fragment
    /// of this one.
    pub(super) fn bind_all(&mut self, other: &Self) {
        self.values.extend(other.values.iter().cloned());
    }

    /// All fragments, of which each must hold.
    pub(super) fn conditions(&self) -> String {
        if self.fragments.is_empty() {
            "TRUE".to_owned()
        } else {
            balanced(&self.fragments, " AND ")
        }
    }

    /// All fragments, of which one must hold; without any, nothing has to.
    pub(super) fn alternatives(&self) -> String {
        if self.fragments.is_empty() {
            "TRUE".to_owned()
        } else {
            balanced(&self.fragments, " OR ")
        }
    }

    /// The fragments one after the other.
    pub(super) fn joined(&self) -> String {
        self.fragments.join(" ")
    }

    /// The values, in the order of their question marks.
    pub(super) fn values(&self) -> impl Iterator<Item = &SqlValue> {
        self.values.iter()
    }

    /// A clause of a search for runs, whose table is `r`.
    pub(super) fn run_clause(&mut self, clause: &Clause) -> Result<()> {
        match &clause.field {
            Field::Metric(key) => self.metric_clause(
                "latest_metrics t WHERE t.run = r.id AND t.key = \
                 (SELECT id FROM metric_keys WHERE name = ?)",
                key,
                clause,
            ),
            Field::Param(key) => {
                self.keyed_clause("params t WHERE t.run = r.id AND t.key = ?", key, clause)
            }
            Field::Tag(key) => {
                self.keyed_clause("tags t WHERE t.run = r.id AND t.key = ?", key, clause)
            }
            // A run whose name tag was deleted has no name, as MLflow sees it.
            Field::Attribute(key) if key == "run_name" => {
                self.keyed_clause("tags t WHERE t.run = r.id AND t.key = ?", RUN_NAME, clause)
            }
            Field::Attribute(key) => self.compare(run_column(key), clause),
            Field::Dataset(key) if key == "context" => self.keyed_clause(
                "run_dataset_tags t WHERE t.run = r.id AND t.key = ?",
                "mlflow.data.context",
                clause,
            ),
            Field::Dataset(key) => {
                let column = if key == "name" { "d.name" } else { "d.digest" };
                let condition = self.comparison(column, clause)?;
                self.push(format!(
                    "EXISTS (SELECT 1 FROM run_datasets u JOIN datasets d ON d.id = u.dataset \
                     WHERE u.run = r.id AND {condition})"
                ));
                Ok(())
            }
        }
    }

    /// A clause of a search for experiments, whose table is `e`.
    pub(super) fn experiment_clause(&mut self, clause: &Clause) -> Result<()> {
        match &clause.field {
            Field::Attribute(key) => {
                let number = |text: &String| experiment_number(&ExperimentId::from(text.as_str()));
                match (key.as_str(), &clause.value) {
                    ("experiment_id", Value::Text(text)) => {
                        let value = Value::Integer(number(text)?);
                        self.compare(
                            "e.id",
                            &Clause {
                                value,
                                ..clause.clone()
                            },
                        )
                    }
                    ("experiment_id", Value::List(texts)) => {
                        let numbers = texts.iter().map(number).collect::<Result<Vec<i64>>>()?;
                        self.push_with(
                            format!(
                                "e.id {} (SELECT value FROM json_each(?))",
                                clause.comparator.as_str()
                            ),
                            serde_json::Value::from(numbers).to_string(),
                        );
                        Ok(())
                    }
                    ("name", _) => self.compare("e.name", clause),
                    ("creation_time", _) => self.compare("e.creation_time", clause),
                    _ => self.compare("e.last_update_time", clause),
                }
            }
            Field::Tag(key) => self.keyed_clause(
                "experiment_tags t WHERE t.experiment = e.id AND t.key = ?",
                key,
                clause,
            ),
            _ => Err(unsupported(clause)),
        }
    }

    /// The clauses of a search for registered models, whose table is `m`. Prompts
    /// are left out unless they are what is searched for.
    pub(super) fn registered_model_clauses(&mut self, clauses: &[Clause]) -> Result<()> {
        let tags = "registered_model_tags t WHERE t.model = m.id AND t.key = ?";
        for clause in self.without_prompts(clauses) {
            match &clause.field {
                Field::Attribute(_) => self.compare("m.name", clause)?,
                Field::Tag(key) => self.keyed_clause(tags, key, clause)?,
                _ => return Err(unsupported(clause)),
            }
        }
        Ok(())
    }

    /// The clauses of a search for versions, whose table is `v` beside that of
    /// their model, `m`.
    pub(super) fn model_version_clauses(&mut self, clauses: &[Clause]) -> Result<()> {
        let tags = "model_version_tags t WHERE t.model = v.model AND t.version = v.version \
                    AND t.key = ?";
        for clause in self.without_prompts(clauses) {
            match &clause.field {
                Field::Attribute(key) => {
                    let column = match key.as_str() {
                        "name" => "m.name",
                        "version_number" => "v.version",
                        "run_id" => "v.run_id",
                        _ => "v.source",
                    };
                    self.compare(column, clause)?;
                }
                Field::Tag(key) => self.keyed_clause(tags, key, clause)?,
                _ => return Err(unsupported(clause)),
            }
        }
        Ok(())
    }

    /// A clause of a search for logged models, whose table is `l`. `datasets` is a
    /// further condition on the points of a metric.
    pub(super) fn logged_model_clause(
        &mut self,
        clause: &Clause,
        datasets: &SqlFilter,
    ) -> Result<()> {
        match &clause.field {
            Field::Attribute(key) => self.compare(logged_model_column(key), clause),
            Field::Metric(key) => {
                let source = format!(
                    "logged_model_metrics t WHERE t.model_id = l.model_id AND ({}) AND t.key = ?",
                    datasets.alternatives()
                );
                self.bind_all(datasets);
                self.metric_clause(&source, key, clause)
            }
            Field::Param(key) => self.keyed_clause(
                "logged_model_params t WHERE t.model_id = l.model_id AND t.key = ?",
                key,
                clause,
            ),
            Field::Tag(key) => self.keyed_clause(
                "logged_model_tags t WHERE t.model_id = l.model_id AND t.key = ?",
                key,
                clause,
            ),
            Field::Dataset(_) => Err(unsupported(clause)),
        }
    }

    /// Leaves prompts out, or drops the clause that is about them.
    fn without_prompts<'a>(&mut self, clauses: &'a [Clause]) -> Vec<&'a Clause> {
        let about_prompts = |clause: &Clause| clause.field == Field::Tag(IS_PROMPT.to_owned());
        let wants_prompts = clauses
            .iter()
            .find(|c| about_prompts(c))
            .is_some_and(|clause| match (&clause.value, clause.comparator) {
                (Value::Text(text), Comparator::Equal) => text.eq_ignore_ascii_case("true"),
                (Value::Text(text), Comparator::NotEqual) => text.eq_ignore_ascii_case("false"),
                _ => false,
            });
        if wants_prompts {
            return clauses.iter().collect();
        }
        self.push_with(
            "NOT EXISTS (SELECT 1 FROM registered_model_tags p WHERE p.model = m.id \
             AND p.key = ? AND p.value = 'true')",
            IS_PROMPT.to_owned(),
        );
        clauses.iter().filter(|c| !about_prompts(c)).collect()
    }

    /// A condition on the value of a key in another table; `source` has the key's
    /// question mark at its end.
    fn keyed_clause(&mut self, source: &str, key: &str, clause: &Clause) -> Result<()> {
        self.values.push(key.to_owned().into());
        let fragment = match clause.comparator {
            Comparator::IsNull => format!("NOT EXISTS (SELECT 1 FROM {source})"),
            Comparator::IsNotNull => format!("EXISTS (SELECT 1 FROM {source})"),
            _ => {
                let condition = self.comparison("t.value", clause)?;
                format!("EXISTS (SELECT 1 FROM {source} AND {condition})")
            }
        };
        self.push(fragment);
        Ok(())
    }

    /// As [`SqlFilter::keyed_clause`] for numbers, among which NaN differs from
    /// everything and is otherwise incomparable.
    fn metric_clause(&mut self, source: &str, key: &str, clause: &Clause) -> Result<()> {
        self.values.push(key.to_owned().into());
        let condition = self.comparison("t.value", clause)?;
        let nan = match clause.comparator {
            Comparator::NotEqual => "OR t.is_nan",
            _ => "AND NOT t.is_nan",
        };
        self.push(format!(
            "EXISTS (SELECT 1 FROM {source} AND ({condition} {nan}))"
        ));
        Ok(())
    }

    /// A condition on a column.
    fn compare(&mut self, column: &str, clause: &Clause) -> Result<()> {
        let condition = self.comparison(column, clause)?;
        self.push(condition);
        Ok(())
    }

    /// The condition, its value bound.
    fn comparison(&mut self, column: &str, clause: &Clause) -> Result<String> {
        let comparator = clause.comparator;
        let value = match &clause.value {
            Value::Integer(number) => SqlValue::from(*number),
            Value::Float(number) => SqlValue::from(*number),
            Value::Text(text) => {
                let is_pattern = matches!(comparator, Comparator::Like | Comparator::ILike);
                if is_pattern && text.len() > MAX_PATTERN_BYTES {
                    return Err(TrackingError::invalid(format!(
                        "the pattern of {} has {} bytes; at most {MAX_PATTERN_BYTES} are allowed",
                        comparator.as_str(),
                        text.len()
                    )));
                }
                SqlValue::from(text.clone())
            }
            Value::List(texts) => {
                SqlValue::from(serde_json::Value::from(texts.as_slice()).to_string())
            }
            Value::Nothing => return Err(unsupported(clause)),
        };
        self.values.push(value);
        Ok(match (comparator, &clause.value) {
            (Comparator::ILike, _) => format!("lower({column}) LIKE lower(?)"),
            (comparator, Value::List(_)) => {
                format!(
                    "{column} {} (SELECT value FROM json_each(?))",
                    comparator.as_str()
                )
            }
            (comparator, _) => format!("{column} {} ?", comparator.as_str()),
        })
    }
}

/// Conditions with an operator between them, in brackets such that the tree that SQLite
/// makes of them is as flat as it can be: there is a limit to its depth.
fn balanced(conditions: &[String], operator: &str) -> String {
    /// So many make a chain without brackets.
    const CHAIN: usize = 16;
    if conditions.len() <= CHAIN {
        return conditions.join(operator);
    }
    let (left, right) = conditions.split_at(conditions.len() / 2);
    let (left, right) = (balanced(left, operator), balanced(right, operator));
    format!("({left}){operator}({right})")
}

/// The column of an attribute that the grammar let through.
pub(super) fn logged_model_column(key: &str) -> &'static str {
    match key {
        "model_id" => "l.model_id",
        "name" => "l.name",
        "model_type" => "l.model_type",
        "status" => "l.status",
        "source_run_id" => "l.source_run_id",
        "experiment_id" => "l.experiment",
        "artifact_location" => "l.artifact_location",
        "creation_timestamp_ms" => "l.creation_time",
        _ => "l.last_update_time",
    }
}

fn unsupported(clause: &Clause) -> TrackingError {
    TrackingError::invalid(format!(
        "Invalid search expression type '{:?}'",
        clause.field
    ))
}

/// The page that rows make, of which there may be one more than fits on it.
pub(super) fn page_of<T, F>(rows: MappedRows<'_, F>, window: &PageWindow) -> Result<Page<T>>
where
    F: FnMut(&Row<'_>) -> rusqlite::Result<T>,
{
    let mut items: Vec<T> = rows.collect::<rusqlite::Result<_>>()?;
    let limit = usize::try_from(window.limit).unwrap_or(usize::MAX);
    let has_more = items.len() > limit;
    items.truncate(limit);
    Ok(Page {
        items,
        next_page_token: has_more.then(|| window.next_token()),
    })
}
