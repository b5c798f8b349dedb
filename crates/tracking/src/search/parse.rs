//! Putting clauses and orders together from tokens.
//!
//! What is allowed for which entity is asked of the [`Grammar`].

use super::grammar::{Entity, Grammar};
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

/// Words that SQL has a meaning for, as far as filters are likely to have them; none is
/// the name of an attribute.
const KEYWORDS: [&str; 31] = [
    "ALIAS", "AND", "BETWEEN", "CLASS", "COMMENT", "COUNT", "DATA", "EXISTS", "FALSE", "ILIKE",
    "IN", "INDEX", "IS", "KEY", "LEVEL", "LIKE", "LOCATION", "MAX", "MIN", "NOT", "NULL", "OR",
    "OWNER", "PATH", "SOURCE", "TIME", "TRUE", "TYPE", "USER", "VALUES", "VERSION",
];

/// A comparison as it was written.
pub(super) struct Comparison<'a> {
    pub(super) name: &'a str,
    pub(super) comparator: Comparator,
    pub(super) value: Option<Token<'a>>,
}

impl Comparison<'_> {
    /// Whether a key, an operator and a value stand side by side.
    fn is_by_operator(&self) -> bool {
        self.value.is_some() && !matches!(self.comparator, Comparator::In | Comparator::NotIn)
    }
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
        let comparisons = self.comparisons(filter, &tokens)?;
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

    /// The comparisons of a filter, between which only `AND` may stand.
    fn comparisons<'a>(
        &self,
        filter: &'a str,
        tokens: &[Token<'a>],
    ) -> Result<Vec<Comparison<'a>>> {
        let mut rest = tokens;
        let mut comparisons = Vec::new();
        let mut strays = Vec::new();
        while let Some(token) = rest.first() {
            let found = comparison(filter, rest, self)?;
            let length = found.as_ref().map_or(1, |(_, length)| *length);
            // A name after something is another name of it, which no clause has.
            let takes_alias = match &found {
                Some((comparison, _)) => comparison.is_by_operator(),
                None => token.kind != Kind::Text && is_value(token),
            };
            if takes_alias && has_alias(filter, &rest[length - 1..], self)? {
                strays.push(written(filter, &rest[..=length]));
                rest = &rest[length + 1..];
                continue;
            }
            match found {
                Some((comparison, _)) => comparisons.push(comparison),
                None if token.is_word("AND") => {}
                None => strays.push(token.text),
            }
            rest = &rest[length..];
        }
        if strays.is_empty() {
            return Ok(comparisons);
        }
        Err(self.invalid_clauses(filter, &strays))
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
            let is_repeated = orders.iter().any(|earlier| earlier.field == order.field);
            // MLflow lets the first one count there.
            if is_repeated && self.entity != Entity::Experiment {
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
            _ if clause.trim() != clause => return Err(not_parsed(clause)),
            [name] if name.kind == Kind::Name => true,
            [name, direction] if name.kind == Kind::Name && direction.is_word("ASC") => true,
            [name, direction] if name.kind == Kind::Name && direction.is_word("DESC") => false,
            [name, direction] if name.kind == Kind::Name && direction.kind == Kind::Name => {
                return Err(TrackingError::invalid(format!(
                    "Invalid ordering key in order_by clause '{clause}'."
                )));
            }
            _ => return Err(not_parsed(clause)),
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

/// The error for an order of another form.
fn not_parsed(clause: &str) -> TrackingError {
    TrackingError::invalid(format!(
        "Invalid order_by clause '{clause}'. Could not be parsed."
    ))
}

/// Whether the first token is followed by a name that SQL takes for another name of it.
fn has_alias(filter: &str, tokens: &[Token<'_>], grammar: &Grammar) -> Result<bool> {
    Ok(match tokens {
        [_, alias, ..] if is_identifier(alias) => {
            comparison(filter, &tokens[1..], grammar)?.is_none()
        }
        _ => false,
    })
}

/// The tokens as they were written.
fn written<'a>(filter: &'a str, tokens: &[Token<'_>]) -> &'a str {
    match (tokens.first(), tokens.last()) {
        (Some(first), Some(last)) => &filter[first.at..last.at + last.text.len()],
        _ => "",
    }
}

/// The comparison that `tokens` begin with, and how many of them it takes.
fn comparison<'a>(
    filter: &'a str,
    tokens: &[Token<'a>],
    grammar: &Grammar,
) -> Result<Option<(Comparison<'a>, usize)>> {
    let n_names = n_names(tokens);
    let (names, rest) = tokens.split_at(n_names.min(tokens.len()));
    let ([name, ..], [operator, rest @ ..]) = (names, rest) else {
        return Ok(None);
    };
    let is_by_operator =
        operator.kind == Kind::Operator || Comparator::of_operator(operator.text).is_some();
    if matches!(name.kind, Kind::Expression | Kind::Text)
        && is_by_operator
        && rest.first().is_some_and(is_value)
    {
        return Err(TrackingError::invalid(format!(
            "Invalid comparison clause. Expected 'Identifier' found '{}'",
            name.text
        )));
    }
    if n_names == 1 && !is_identifier(name) {
        return Ok(None);
    }
    let name = written(filter, names);
    let with = |comparator, value: Option<&Token<'a>>, length: usize| {
        let comparison = Comparison {
            name,
            comparator,
            value: value.copied(),
        };
        Ok(Some((comparison, n_names + length)))
    };
    if let Some(comparator) = Comparator::of_operator(operator.text) {
        return match rest.first() {
            Some(value) if is_value(value) => with(comparator, Some(value), 2),
            _ => Ok(None),
        };
    }
    match (operator, rest) {
        (word, [list, ..]) if word.is_word("IN") && list.kind == Kind::List => {
            with(Comparator::In, Some(list), 2)
        }
        (word, [second, list, ..])
            if word.is_word("NOT") && second.is_word("IN") && list.kind == Kind::List =>
        {
            with(Comparator::NotIn, Some(list), 3)
        }
        (word, [null, ..]) if word.is_word("IS") && null.is_word("NULL") => {
            with(Comparator::IsNull, None, 2)
        }
        (word, [not, null, ..])
            if word.is_word("IS") && not.is_word("NOT") && null.is_word("NULL") =>
        {
            with(Comparator::IsNotNull, None, 3)
        }
        (word, [like, value, ..])
            if word.is_word("NOT") && (like.is_word("LIKE") || like.is_word("ILIKE")) =>
        {
            Err(grammar.bad_comparator(name, &format!("{} {}", word.text, like.text), Some(value)))
        }
        (operator, [value, ..]) if operator.kind == Kind::Operator => {
            Err(grammar.bad_comparator(name, operator.text, Some(value)))
        }
        _ => Ok(None),
    }
}

/// How many tokens the key of a comparison takes. Asked whether it is there, a key may
/// have a space in it, because SQL reads `a b` as a thing and another name of it.
fn n_names(tokens: &[Token<'_>]) -> usize {
    match tokens {
        [name, alias, is, ..]
            if is.is_word("IS")
                && is_identifier(alias)
                && (is_identifier(name) || name.kind == Kind::Expression) =>
        {
            2
        }
        _ => 1,
    }
}

/// Whether a token is a name, and no word that SQL has a meaning for.
fn is_identifier(token: &Token<'_>) -> bool {
    token.kind == Kind::Name && !KEYWORDS.iter().any(|word| token.is_word(word))
}

/// Whether something may be compared with a token.
fn is_value(token: &Token<'_>) -> bool {
    match token.kind {
        Kind::Name => is_identifier(token) || token.is_word("NULL"),
        Kind::Operator | Kind::Semicolon | Kind::Other => false,
        _ => true,
    }
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
            (true, Some(token)) if is_text(&token) => {
                texts.push(text_in_list(&token));
                wants_text = false;
            }
            // Two texts side by side are one, as in Python, which MLflow reads lists with.
            (false, Some(token)) if is_text(&token) => {
                texts
                    .last_mut()
                    .expect("one is there")
                    .push_str(&text_in_list(&token));
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

fn is_text(token: &Token<'_>) -> bool {
    token.kind == Kind::Text || token.text.starts_with('"')
}

/// The text in a token of a list, where a doubled quote ends a text and begins another.
fn text_in_list(token: &Token<'_>) -> String {
    let text = without_quotes(token.text);
    match token.kind {
        Kind::Text => text.replace("''", ""),
        _ => text.to_owned(),
    }
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
