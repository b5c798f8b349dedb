//! Identifiers: strings that must not be mistaken for each other.

use std::fmt;

use serde::{Deserialize, Serialize};

macro_rules! identifier {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(String);

        impl $name {
            /// The identifier as it is written in URLs and JSON.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl From<String> for $name {
            fn from(id: String) -> Self {
                Self(id)
            }
        }

        impl From<&str> for $name {
            fn from(id: &str) -> Self {
                Self(id.to_owned())
            }
        }
    };
}

identifier! {
    /// An experiment's identifier: a decimal number, kept as MLflow sends it.
    ExperimentId
}

identifier! {
    /// A run's identifier: 32 hexadecimal digits.
    RunId
}

identifier! {
    /// A logged model's identifier: `m-` and 32 hexadecimal digits.
    LoggedModelId
}

impl RunId {
    /// A new identifier that no other run has.
    pub fn random() -> Self {
        Self(random_hex())
    }
}

impl LoggedModelId {
    /// A new identifier that no other logged model has.
    pub fn random() -> Self {
        Self(format!("m-{}", random_hex()))
    }
}

impl ExperimentId {
    /// The experiment `Default`, which every store has from the start.
    pub fn default_experiment() -> Self {
        Self("0".to_owned())
    }
}

/// A random UUID (version 4) without its hyphens, as Python's `uuid4().hex`.
fn random_hex() -> String {
    let random: u128 = rand::random();
    let versioned = (random & !(0xf << 76)) | (0x4 << 76);
    let uuid = (versioned & !(0x3 << 62)) | (0x2 << 62);
    format!("{uuid:032x}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn run_ids_are_version_4_uuids_without_hyphens() {
        let id = RunId::random();
        assert_eq!(id.as_str().len(), 32);
        assert_eq!(id.as_str().as_bytes()[12], b'4');
        assert!(matches!(
            id.as_str().as_bytes()[16],
            b'8' | b'9' | b'a' | b'b'
        ));
        assert_ne!(id, RunId::random());
    }
}
