//! Cutting filters and orders into tokens, as far as the language needs it.

/// A piece of a filter, with its text as it was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Token<'a> {
    pub(super) kind: Kind,
    pub(super) text: &'a str,
    /// Where it begins in the whole, in bytes.
    pub(super) at: usize,
}

/// What a piece is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A name, perhaps of several parts: `metrics.loss`, ``tags.`a b` ``, `tags.'a b'`,
    /// `"name"`.
    Name,
    /// `a-b` or `x%y`, which calculates where names without quotes are meant.
    Expression,
    /// `12` or `-3`.
    Integer,
    /// `0.5` or `1e-3`.
    Float,
    /// `'…'`.
    Text,
    /// `=`, `<=` and the like.
    Operator,
    /// `(…)`.
    List,
    /// `;`.
    Semicolon,
    /// Anything else; never allowed.
    Other,
}

impl Token<'_> {
    /// Whether this is the keyword `word`, in any case.
    pub(super) fn is_word(&self, word: &str) -> bool {
        self.kind == Kind::Name && self.text.eq_ignore_ascii_case(word)
    }
}

/// The tokens of `text`, white space left out.
pub(super) fn tokens(text: &str) -> Vec<Token<'_>> {
    let mut found = Vec::new();
    let mut rest = text.trim_start();
    // Looking for what is not there once is enough: each time takes the whole text.
    let mut may_have_lists = true;
    while let Some(first) = rest.chars().next() {
        let list = match first {
            '(' if may_have_lists => list(rest),
            _ => None,
        };
        may_have_lists &= first != '(' || list.is_some();
        let (kind, length) = match list {
            Some(length) => (Kind::List, length),
            None => next(rest, first),
        };
        let (token, after) = rest.split_at(length);
        found.push(Token {
            kind,
            text: token,
            at: text.len() - rest.len(),
        });
        rest = after.trim_start();
    }
    found
}

/// The kind and the length in bytes of the token that `rest` begins with, if that is no
/// list.
fn next(rest: &str, first: char) -> (Kind, usize) {
    match first {
        '\'' => match quoted(rest, '\'') {
            Some(length) => (Kind::Text, length),
            None => (Kind::Other, 1),
        },
        ';' => (Kind::Semicolon, 1),
        '<' | '>' | '=' | '!' | '~' => {
            let length = rest
                .find(|c| !matches!(c, '<' | '>' | '=' | '!' | '~'))
                .unwrap_or(rest.len());
            (Kind::Operator, length)
        }
        _ => hexadecimal(rest)
            .or_else(|| number(rest))
            .or_else(|| name_or_expression(rest))
            .unwrap_or((Kind::Other, first.len_utf8())),
    }
}

/// The length of a quoted piece.
///
/// A single quote that is doubled or follows a backslash does not end a text, unless
/// nothing else does.
fn quoted(text: &str, quote: char) -> Option<usize> {
    let mut chars = text.char_indices().skip(1).peekable();
    let mut last_resort = None;
    while let Some((at, c)) = chars.next() {
        let end = if quote == '\'' && c == '\\' {
            chars.next_if(|&(_, next)| next == quote).map(|_| at + 2)
        } else if c != quote {
            None
        } else if quote == '\'' && chars.next_if(|&(_, next)| next == quote).is_some() {
            Some(at + 1)
        } else {
            return Some(at + quote.len_utf8());
        };
        last_resort = end.or(last_resort);
    }
    last_resort
}

/// The length of a parenthesis, up to the one that closes it.
fn list(text: &str) -> Option<usize> {
    let mut at = 1;
    while let Some(c) = text[at..].chars().next() {
        match c {
            ')' => return Some(at + 1),
            // A quote that is not closed, as in `'it's'`, is a character like others.
            '\'' | '"' => at += quoted(&text[at..], c).unwrap_or(1),
            _ => at += c.len_utf8(),
        }
    }
    None
}

/// `0x1f`, which no field is compared with.
fn hexadecimal(text: &str) -> Option<(Kind, usize)> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let digits = digits.strip_prefix("0x").or(digits.strip_prefix("0X"))?;
    let end = digits
        .find(|c: char| !c.is_ascii_hexdigit())
        .unwrap_or(digits.len());
    (end > 0).then(|| (Kind::Other, text.len() - digits.len() + end))
}

fn number(text: &str) -> Option<(Kind, usize)> {
    let sign = usize::from(text.starts_with('-'));
    let digits = |from: usize| text[from..].bytes().take_while(u8::is_ascii_digit).count();
    let whole = digits(sign);
    let mut end = sign + whole;
    let mut kind = Kind::Integer;
    let mut fraction = 0;
    if text[end..].starts_with('.') {
        fraction = digits(end + 1);
        if fraction > 0 || whole > 0 {
            kind = Kind::Float;
            end += 1 + fraction;
        }
    }
    if whole + fraction == 0 {
        return None;
    }
    if text[end..].starts_with(['e', 'E']) {
        let sign = usize::from(text[end + 1..].starts_with(['+', '-']));
        let exponent = digits(end + 1 + sign);
        if exponent > 0 {
            kind = Kind::Float;
            end += 1 + sign + exponent;
        }
    }
    // `3d` is a name that begins with a digit, not a number and a name.
    match text[end..].chars().next() {
        Some(c) if is_name_char(c) => None,
        _ => Some((kind, end)),
    }
}

fn name_or_expression(text: &str) -> Option<(Kind, usize)> {
    let mut end = name(text)?;
    let mut kind = Kind::Name;
    while let Some(operand) = text[end..].strip_prefix(['-', '/', '+', '*', '%'])
        && let Some(length) = name(operand)
    {
        end += 1 + length;
        kind = Kind::Expression;
    }
    Some((kind, end))
}

fn name(text: &str) -> Option<usize> {
    let mut end = 0;
    loop {
        let rest = &text[end..];
        let length = match rest.chars().next()? {
            quote @ ('`' | '"') => quoted(rest, quote)?,
            // Only the last part may be quoted so; alone, it is a text.
            '\'' if end > 0 => quoted(rest, '\'')?,
            _ => rest.find(|c| !is_name_char(c)).unwrap_or(rest.len()),
        };
        if length == 0 {
            return None;
        }
        end += length;
        if rest.starts_with('\'') {
            return Some(end);
        }
        // A dot must be followed by another part to belong to the name.
        let continues = text[end..].strip_prefix('.').is_some_and(|after| {
            after.starts_with(|c| is_name_char(c) || matches!(c, '`' | '"'))
                || (after.starts_with('\'') && quoted(after, '\'').is_some())
        });
        if !continues {
            return Some(end);
        }
        end += 1;
    }
}

fn is_name_char(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '_' | '$' | '@')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: &[(Kind, &str)]) {
        let found: Vec<_> = tokens(text).iter().map(|t| (t.kind, t.text)).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn names_have_parts_which_may_be_quoted() {
        check("metrics.loss", &[(Kind::Name, "metrics.loss")]);
        check("tags.`a b`", &[(Kind::Name, "tags.`a b`")]);
        check("params.\"a.b\"", &[(Kind::Name, "params.\"a.b\"")]);
        check("tags.'a.b c'", &[(Kind::Name, "tags.'a.b c'")]);
        check("tags.mlflow.user", &[(Kind::Name, "tags.mlflow.user")]);
    }

    #[test]
    fn names_that_calculate_are_no_names() {
        check("tags.a-b", &[(Kind::Expression, "tags.a-b")]);
        check("metrics.m/a.b", &[(Kind::Expression, "metrics.m/a.b")]);
        check("x%y", &[(Kind::Expression, "x%y")]);
    }

    #[test]
    fn an_endless_expression_is_one_token() {
        let text = format!("{}a", "a-".repeat(1_000_000));
        check(&text, &[(Kind::Expression, text.as_str())]);
    }

    #[test]
    fn operators_need_no_spaces() {
        check(
            "a>=-1.5e3",
            &[
                (Kind::Name, "a"),
                (Kind::Operator, ">="),
                (Kind::Float, "-1.5e3"),
            ],
        );
    }

    #[test]
    fn texts_may_hold_doubled_quotes_and_lists_may_hold_parentheses() {
        check("'it''s'", &[(Kind::Text, "'it''s'")]);
        check(r"'it\'s'", &[(Kind::Text, r"'it\'s'")]);
        check(r"'C:\'", &[(Kind::Text, r"'C:\'")]);
        check("('a)', \"b\")", &[(Kind::List, "('a)', \"b\")")]);
    }

    #[test]
    fn what_is_not_closed_is_of_no_kind() {
        check("'abc", &[(Kind::Other, "'"), (Kind::Name, "abc")]);
        check("('a'", &[(Kind::Other, "("), (Kind::Text, "'a'")]);
        check("('it's')", &[(Kind::List, "('it's')")]);
        check("`a", &[(Kind::Other, "`"), (Kind::Name, "a")]);
    }

    #[test]
    fn hexadecimal_numbers_are_of_no_kind() {
        check("0x1F", &[(Kind::Other, "0x1F")]);
        check("-0xa", &[(Kind::Other, "-0xa")]);
        check("0xy", &[(Kind::Name, "0xy")]);
    }

    #[test]
    fn every_byte_of_any_text_belongs_to_some_token() {
        for text in [
            "é%ü",
            "a.",
            ".a",
            "..",
            "-",
            "1.",
            "1e",
            "1.e5",
            "€ = 'x'",
            "\u{0}",
        ] {
            let joined: String = tokens(text).iter().map(|t| t.text).collect();
            assert_eq!(joined, text.replace(' ', ""));
        }
    }
}
