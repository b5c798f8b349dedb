//! MLflow's search language: filters, orders and page tokens.
//!
//! A filter is a list of clauses joined by `AND`, such as
//! `metrics.val_loss < 0.3 AND params.optimizer = 'adam'`. Which keys may be asked
//! for, and how, differs from entity to entity; [`Grammar`] knows that.
//!
//! Here text becomes [`Clause`]s and [`Order`]s, in these steps: `tokens` cuts the
//! text up, `parse` puts clauses together, `grammar` and `operands` say what is allowed. How
//! clauses become SQL, with every value bound and none pasted in, lives beside the
//! store.

mod grammar;
mod operands;
mod page;
mod parse;
mod tokens;

pub(crate) use grammar::{EXPERIMENTS, LOGGED_MODELS, MODEL_VERSIONS, REGISTERED_MODELS, RUNS};
pub(crate) use page::PageWindow;
pub(crate) use parse::at_most_orders;

/// One condition.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Clause {
    /// What is compared.
    pub(crate) field: Field,
    /// How.
    pub(crate) comparator: Comparator,
    /// With what.
    pub(crate) value: Value,
}

/// What a clause or an order looks at.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Field {
    Metric(String),
    Param(String),
    Tag(String),
    Attribute(String),
    Dataset(String),
}

/// How a clause compares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Comparator {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    Like,
    ILike,
    In,
    NotIn,
    IsNull,
    IsNotNull,
}

impl Comparator {
    /// The comparator as filters and SQL write it.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Equal => "=",
            Self::NotEqual => "!=",
            Self::Less => "<",
            Self::LessOrEqual => "<=",
            Self::Greater => ">",
            Self::GreaterOrEqual => ">=",
            Self::Like => "LIKE",
            Self::ILike => "ILIKE",
            Self::In => "IN",
            Self::NotIn => "NOT IN",
            Self::IsNull => "IS NULL",
            Self::IsNotNull => "IS NOT NULL",
        }
    }

    fn of_operator(text: &str) -> Option<Self> {
        match text {
            "=" => Some(Self::Equal),
            "!=" => Some(Self::NotEqual),
            "<" => Some(Self::Less),
            "<=" => Some(Self::LessOrEqual),
            ">" => Some(Self::Greater),
            ">=" => Some(Self::GreaterOrEqual),
            _ if text.eq_ignore_ascii_case("LIKE") => Some(Self::Like),
            _ if text.eq_ignore_ascii_case("ILIKE") => Some(Self::ILike),
            _ => None,
        }
    }
}

/// What a clause compares with.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Value {
    Integer(i64),
    Float(f64),
    Text(String),
    List(Vec<String>),
    /// For `IS NULL` and `IS NOT NULL`.
    Nothing,
}

/// One key to sort by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Order {
    /// The key of the attribute, metric, parameter or tag.
    pub(crate) key: String,
    /// What is sorted by.
    pub(crate) field: Field,
    pub(crate) is_ascending: bool,
}

impl Order {
    /// The SQL word for the direction.
    pub(crate) fn direction(&self) -> &'static str {
        if self.is_ascending { "ASC" } else { "DESC" }
    }
}
