//! Putting clauses and orders together from tokens.
//!
//! What is allowed for which entity is asked of the [`Grammar`].

use super::grammar::Grammar;
use super::tokens::{Kind, Token, tokens};
use super::{Clause, Comparator, Order, Value};
use crate::check::python_repr;
use crate::error::{Result, TrackingError};

/// The most clauses in a filter, and keys to sort by: more would take the database too
/// long, or are more than it takes.
const MAX_CLAUSES: usize = 2000;
const MAX_ORDERS: usize = 50;

/// Refuses more keys to sort by than a database takes.
///
/// # Errors
///
/// When there are too many.
pub(crate) fn at_most_orders(count: usize) -> Result<()> {
    if count <= MAX_ORDERS {
        return Ok(());
    }
    Err(TrackingError::invalid(format!(
        "`order_by` has {count} keys; at most {MAX_ORDERS} are allowed"
    )))
}

/// A comparison as it was written.
pub(super) struct Comparison<'a> {
    pub(super) name: &'a str,
    pub(super) comparator: Comparator,
    pub(super) value: Option<Token<'a>>,
}

impl Grammar {
    /// The clauses of a filter.
    ///
    /// # Errors
    ///
    /// When the filter is not in the language, in MLflow's words.
    pub(crate) fn parse_filter(&self, filter: &str) -> Result<Vec<Clause>> {
        let tokens = tokens(filter);
        if tokens.is_empty() && !filter.is_empty() {
            return Err(TrackingError::invalid(format!(
                "Invalid filter '{filter}'. Could not be parsed."
            )));
        }
        let end = tokens
            .iter()
            .position(|token| token.kind == Kind::Semicolon);
        if end.is_some_and(|end| tokens.len() > end + 1) {
            return Err(TrackingError::invalid(format!(
                "Search filter contained multiple expression {}. Provide AND-ed expression list.",
                python_repr(filter)
            )));
        }
        let mut rest = tokens.as_slice();
        let mut comparisons = Vec::new();
        let mut strays = Vec::new();
        while let Some(token) = rest.first() {
            if let Some((comparison, length)) = comparison(rest, self)? {
                comparisons.push(comparison);
                rest = &rest[length..];
            } else {
                if !token.is_word("AND") {
                    strays.push(token.text);
                }
                rest = &rest[1..];
            }
        }
        if !strays.is_empty() {
            return Err(self.invalid_clauses(filter, &strays));
        }
        if comparisons.len() > MAX_CLAUSES {
            return Err(TrackingError::invalid(format!(
                "the filter has {} clauses; at most {MAX_CLAUSES} are allowed",
                comparisons.len()
            )));
        }
        comparisons
            .iter()
            .map(|comparison| self.clause(comparison))
            .collect()
    }

    /// The keys to sort by.
    ///
    /// # Errors
    ///
    /// When one is no key that can be sorted by, in MLflow's words.
    pub(crate) fn parse_order(&self, clauses: &[String]) -> Result<Vec<Order>> {
        at_most_orders(clauses.len())?;
        let mut orders: Vec<Order> = Vec::with_capacity(clauses.len());
        for clause in clauses {
            let order = self.order(clause)?;
            if orders.iter().any(|earlier| earlier.field == order.field) {
                let list: Vec<String> = clauses.iter().map(|clause| python_repr(clause)).collect();
                return Err(TrackingError::invalid(format!(
                    "`order_by` contains duplicate fields: [{}]",
                    list.join(", ")
                )));
            }
            orders.push(order);
        }
        Ok(orders)
    }

    fn order(&self, clause: &str) -> Result<Order> {
        let tokens = tokens(clause);
        let is_ascending = match tokens.as_slice() {
            [name] if name.kind == Kind::Name => true,
            [name, direction] if name.kind == Kind::Name && direction.is_word("ASC") => true,
            [name, direction] if name.kind == Kind::Name && direction.is_word("DESC") => false,
            [name, direction] if name.kind == Kind::Name && direction.kind == Kind::Name => {
                return Err(TrackingError::invalid(format!(
                    "Invalid ordering key in order_by clause '{clause}'."
                )));
            }
            _ => {
                return Err(TrackingError::invalid(format!(
                    "Invalid order_by clause '{clause}'. Could not be parsed."
                )));
            }
        };
        let name = tokens[0].text;
        // Beside a direction, quotes around the whole are taken off.
        let inner = ['`', '"']
            .iter()
            .find_map(|&quote| between(name, quote).filter(|inner| !inner.contains(quote)))
            .filter(|_| tokens.len() == 2);
        self.order_key(inner.unwrap_or(name), is_ascending)
    }
}

/// The comparison that `tokens` begin with, and how many of them it takes.
fn comparison<'a>(
    tokens: &[Token<'a>],
    grammar: &Grammar,
) -> Result<Option<(Comparison<'a>, usize)>> {
    let [name, operator, rest @ ..] = tokens else {
        return Ok(None);
    };
    if name.kind == Kind::Expression
        && (operator.kind == Kind::Operator || Comparator::of_operator(operator.text).is_some())
        && !rest.is_empty()
    {
        return Err(TrackingError::invalid(format!(
            "Invalid comparison clause. Expected 'Identifier' found '{}'",
            name.text
        )));
    }
    if name.kind != Kind::Name || is_keyword(name) {
        return Ok(None);
    }
    let with = |comparator, value: Option<&Token<'a>>, length| {
        Ok(Some((
            Comparison {
                name: name.text,
                comparator,
                value: value.copied(),
            },
            length,
        )))
    };
    if let Some(comparator) = Comparator::of_operator(operator.text) {
        return match rest.first() {
            Some(value) if !is_keyword(value) => with(comparator, Some(value), 3),
            _ => Ok(None),
        };
    }
    match (operator, rest) {
        (word, [list, ..]) if word.is_word("IN") && list.kind == Kind::List => {
            with(Comparator::In, Some(list), 3)
        }
        (word, [second, list, ..])
            if word.is_word("NOT") && second.is_word("IN") && list.kind == Kind::List =>
        {
            with(Comparator::NotIn, Some(list), 4)
        }
        (word, [null, ..]) if word.is_word("IS") && null.is_word("NULL") => {
            with(Comparator::IsNull, None, 3)
        }
        (word, [not, null, ..])
            if word.is_word("IS") && not.is_word("NOT") && null.is_word("NULL") =>
        {
            with(Comparator::IsNotNull, None, 4)
        }
        (word, [like, value, ..])
            if word.is_word("NOT") && (like.is_word("LIKE") || like.is_word("ILIKE")) =>
        {
            Err(grammar.bad_comparator(
                name.text,
                &format!("{} {}", word.text, like.text),
                Some(value),
            ))
        }
        (operator, [value, ..]) if operator.kind == Kind::Operator => {
            Err(grammar.bad_comparator(name.text, operator.text, Some(value)))
        }
        _ => Ok(None),
    }
}

fn is_keyword(token: &Token<'_>) -> bool {
    ["AND", "OR", "NOT", "IN", "IS", "NULL", "LIKE", "ILIKE"]
        .iter()
        .any(|word| token.is_word(word))
}

/// The texts in `('a', "b")`.
pub(super) fn list_of_texts(list: &str) -> Result<Vec<String>> {
    let ill_formed = || {
        TrackingError::invalid(
            "While parsing a list in the query, expected a non-empty list of string values, but \
             got ill-formed list.",
        )
    };
    let inner = list
        .strip_prefix('(')
        .and_then(|list| list.strip_suffix(')'))
        .ok_or_else(ill_formed)?;
    let mut texts = Vec::new();
    let mut wants_text = true;
    for token in tokens_and_commas(inner) {
        match (wants_text, token) {
            (true, Some(token)) if token.kind == Kind::Text || token.text.starts_with('"') => {
                texts.push(without_quotes(token.text).to_owned());
                wants_text = false;
            }
            (true, Some(token)) if matches!(token.kind, Kind::Integer | Kind::Float) => {
                // Python writes a tuple of one with a comma.
                let list = match inner.contains(',') {
                    true => list.to_owned(),
                    false => format!("({inner},)"),
                };
                return Err(TrackingError::invalid(format!(
                    "While parsing a list in the query, expected string value, punctuation, or \
                     whitespace, but got different type in list: {list}"
                )));
            }
            (false, None) => wants_text = true,
            _ => return Err(ill_formed()),
        }
    }
    if texts.is_empty() {
        return Err(TrackingError::invalid(
            "While parsing a list in the query, expected a non-empty list of string values, but \
             got empty list",
        ));
    }
    Ok(texts)
}

/// Tokens, with `None` for a comma.
fn tokens_and_commas(text: &str) -> impl Iterator<Item = Option<Token<'_>>> {
    tokens(text)
        .into_iter()
        .map(|token| (token.text != ",").then_some(token))
}

/// `text` without the single or double quotes around it.
pub(super) fn without_quotes(text: &str) -> &str {
    ['\'', '"']
        .iter()
        .find_map(|&quote| between(text, quote))
        .unwrap_or(text)
}

/// What `text` has between two of `quote`, if it begins and ends with one.
pub(super) fn between(text: &str, quote: char) -> Option<&str> {
    text.strip_prefix(quote)?.strip_suffix(quote)
}

/// The number that a token holds.
pub(super) fn number(token: &Token<'_>) -> Option<Value> {
    match token.kind {
        // What does not fit is compared as a float.
        Kind::Integer => token
            .text
            .parse()
            .map(Value::Integer)
            .or_else(|_| token.text.parse().map(Value::Float))
            .ok(),
        Kind::Float => token.text.parse().map(Value::Float).ok(),
        _ => None,
    }
}
