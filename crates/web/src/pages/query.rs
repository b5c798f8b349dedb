//! Questions in addresses: read with repeated keys, and written safely.

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use std::convert::Infallible;

/// What stands behind the `?`, in order; a key may come several times.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Query(Vec<(String, String)>);

impl<S: Sync> FromRequestParts<S> for Query {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(Self::parse(parts.uri.query().unwrap_or_default()))
    }
}

impl Query {
    pub(crate) fn parse(text: &str) -> Self {
        Self(
            form_urlencoded::parse(text.as_bytes())
                .into_owned()
                .collect(),
        )
    }

    /// The first value of a key, unless it is empty.
    pub(crate) fn one(&self, key: &str) -> Option<&str> {
        self.all(key).next()
    }

    /// The values of a key that are not empty.
    pub(crate) fn all<'a>(&'a self, key: &str) -> impl Iterator<Item = &'a str> {
        let of_key = self
            .0
            .iter()
            .filter(move |(k, v)| k == key && !v.is_empty());
        of_key.map(|(_, value)| value.as_str())
    }

    /// The same question with one key answered differently; `None` leaves it out.
    #[must_use]
    pub(crate) fn with(&self, key: &str, value: Option<&str>) -> Self {
        let mut pairs: Vec<_> = self.0.iter().filter(|(k, _)| k != key).cloned().collect();
        pairs.extend(value.map(|value| (key.to_owned(), value.to_owned())));
        Self(pairs)
    }

    /// The address of `path` with this question.
    pub(crate) fn address(&self, path: &str) -> String {
        let asked = self.0.iter().filter(|(_, value)| !value.is_empty());
        let text = form_urlencoded::Serializer::new(String::new())
            .extend_pairs(asked)
            .finish();
        match text.as_str() {
            "" => path.to_owned(),
            text => format!("{path}?{text}"),
        }
    }
}

/// A name as one part of an address's path.
pub(crate) fn path_part(name: &str) -> String {
    form_urlencoded::byte_serialize(name.as_bytes())
        .collect::<String>()
        .replace('+', "%20")
}

/// A path whose slashes stay, as the rest of an address's path.
pub(crate) fn path_tail(path: &str) -> String {
    let parts: Vec<String> = path.split('/').map(path_part).collect();
    parts.join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_may_be_repeated_and_one_may_be_changed() {
        let query = Query::parse("run=a&run=b+c&filter=&page=2");
        assert_eq!(query.all("run").collect::<Vec<_>>(), ["a", "b c"]);
        assert_eq!(query.one("filter"), None);
        let other = query.with("page", Some("x&y"));
        assert_eq!(other.address("/runs"), "/runs?run=a&run=b+c&page=x%26y");
        assert_eq!(Query::default().address("/runs"), "/runs");
    }

    #[test]
    fn names_cannot_leave_their_part_of_an_address() {
        assert_eq!(path_part("a b/c?d#e%"), "a%20b%2Fc%3Fd%23e%25");
        assert_eq!(path_tail("a b/c?.txt"), "a%20b/c%3F.txt");
    }
}
