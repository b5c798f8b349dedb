//! Pages: where one begins, how long it is, and the token for the next.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::error::{Result, TrackingError};
use crate::requests::Search;

/// A page's place among all results.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PageWindow {
    /// Results before it.
    pub(crate) offset: i64,
    /// The most results on it.
    pub(crate) limit: i64,
}

impl PageWindow {
    /// The window of a search, at most `limit` long.
    pub(crate) fn of(search: &Search, limit: i64) -> Result<Self> {
        Self::new(search.max_results, search.page_token.as_deref(), limit)
    }

    /// As [`PageWindow::of`], from the two settings themselves.
    pub(crate) fn new(
        max_results: Option<i64>,
        page_token: Option<&str>,
        limit: i64,
    ) -> Result<Self> {
        let wanted = max_results.unwrap_or(limit);
        if wanted < 1 {
            return Err(TrackingError::invalid(format!(
                "Invalid value {wanted} for parameter 'max_results' supplied. It must be a \
                 positive integer"
            )));
        }
        if wanted > limit {
            return Err(TrackingError::invalid(format!(
                "Invalid value {wanted} for parameter 'max_results' supplied. It must be at most \
                 {limit}"
            )));
        }
        Ok(Self {
            offset: offset_of(page_token)?,
            limit: wanted,
        })
    }

    /// SQL that asks for the page and one result more, which tells whether there is
    /// another page.
    pub(crate) fn limit_sql(&self) -> String {
        format!("LIMIT {} OFFSET {}", self.limit + 1, self.offset)
    }

    /// The token for the page after this one.
    pub(crate) fn next_token(&self) -> String {
        token_for(self.offset + self.limit)
    }
}

/// The token for the page that begins after `offset` results.
pub(crate) fn token_for(offset: i64) -> String {
    STANDARD.encode(format!("{{\"offset\": {offset}}}"))
}

/// Where the page of a token begins; without a token, at the start.
pub(crate) fn offset_of(token: Option<&str>) -> Result<i64> {
    let Some(token) = token.filter(|token| !token.is_empty()) else {
        return Ok(0);
    };
    let decoded = STANDARD
        .decode(token)
        .map_err(|_| TrackingError::invalid("Invalid page token, could not base64-decode"))?;
    let parsed: serde_json::Value = serde_json::from_slice(&decoded).map_err(|_| {
        TrackingError::invalid(format!(
            "Invalid page token, decoded value={}",
            python_bytes(&decoded)
        ))
    })?;
    parsed
        .get("offset")
        .and_then(serde_json::Value::as_i64)
        .filter(|&offset| (1..=i64::MAX / 2).contains(&offset))
        .ok_or_else(|| TrackingError::invalid(format!("Invalid page token, parsed value={parsed}")))
}

/// Python's `repr` of bytes.
fn python_bytes(bytes: &[u8]) -> String {
    let mut text = String::from("b'");
    for &byte in bytes {
        match byte {
            b'\'' => text.push_str("\\'"),
            b'\\' => text.push_str("\\\\"),
            b'\n' => text.push_str("\\n"),
            b'\r' => text.push_str("\\r"),
            b'\t' => text.push_str("\\t"),
            0x20..=0x7e => text.push(char::from(byte)),
            _ => text.push_str(&format!("\\x{byte:02x}")),
        }
    }
    text.push('\'');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_leads_back_to_its_offset() {
        assert_eq!(token_for(1), "eyJvZmZzZXQiOiAxfQ==");
        assert_eq!(offset_of(Some(&token_for(4711))).expect("valid"), 4711);
        assert_eq!(offset_of(None).expect("none"), 0);
    }

    #[test]
    fn junk_is_refused_in_mlflows_words() {
        let refused = offset_of(Some("junk")).expect_err("junk");
        assert_eq!(
            refused.to_string(),
            r"Invalid page token, decoded value=b'\x8e\xe9\xe4'"
        );
        for token in ["%%%", "W10=", "eyJvZmZzZXQiOiAtMX0=", "MQ=="] {
            assert!(offset_of(Some(token)).is_err(), "{token}");
        }
    }
}
