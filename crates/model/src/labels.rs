//! The classes that a model tells apart, in the order of its outputs.
//!
//! Which recording carries which label is the dataset's business
//! (`biophony-dataset`); how a score becomes a ranked label is in
//! [`crate::predict`].

use serde::{Deserialize, Serialize};

use crate::error::ModelError;

/// The class names of a model: sorted, distinct, at least two.
///
/// The position of a name is the index of the network's output for it.
///
/// ```
/// # use biophony_model::LabelSet;
/// let labels = LabelSet::new(["wren", "owl", "wren"])?;
/// assert_eq!(labels.names(), ["owl", "wren"]);
/// assert_eq!(labels.index_of("wren"), Some(1));
/// # Ok::<(), biophony_model::ModelError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Vec<String>", into = "Vec<String>")]
pub struct LabelSet(Vec<String>);

impl LabelSet {
    /// Sorts `names` and drops repetitions.
    ///
    /// # Errors
    ///
    /// When fewer than two distinct names remain, or one of them is empty.
    pub fn new<S: Into<String>>(names: impl IntoIterator<Item = S>) -> Result<Self, ModelError> {
        let mut names: Vec<String> = names.into_iter().map(Into::into).collect();
        names.sort_unstable();
        names.dedup();
        if names.iter().any(|name| name.trim().is_empty()) {
            return Err(ModelError::EmptyLabel);
        }
        if names.len() < 2 {
            return Err(ModelError::TooFewClasses { names });
        }
        Ok(Self(names))
    }

    /// The names in the order of the network's outputs.
    pub fn names(&self) -> &[String] {
        &self.0
    }

    /// How many classes there are.
    #[expect(clippy::len_without_is_empty, reason = "a label set is never empty")]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// The output that stands for `name`.
    pub fn index_of(&self, name: &str) -> Option<usize> {
        self.0
            .binary_search_by(|known| known.as_str().cmp(name))
            .ok()
    }
}

impl TryFrom<Vec<String>> for LabelSet {
    type Error = ModelError;

    /// Takes names as a file lists them. Their order is the order of the
    /// network's outputs, so names out of order are refused, not sorted.
    fn try_from(names: Vec<String>) -> Result<Self, ModelError> {
        let labels = Self::new(names.iter().cloned())?;
        if labels.0 == names {
            Ok(labels)
        } else {
            Err(ModelError::UnsortedLabels { names })
        }
    }
}

impl From<LabelSet> for Vec<String> {
    fn from(labels: LabelSet) -> Self {
        labels.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_sorted_and_distinct() {
        let labels = LabelSet::new(["wren", "bear", "owl", "bear"]).unwrap();
        assert_eq!(labels.names(), ["bear", "owl", "wren"]);
        assert_eq!(labels.len(), 3);
        assert_eq!(labels.index_of("owl"), Some(1));
        assert_eq!(labels.index_of("cat"), None);
    }

    #[test]
    fn one_class_cannot_be_told_from_nothing() {
        let error = LabelSet::new(["owl", "owl"]).unwrap_err().to_string();
        assert!(error.contains("owl"), "{error}");
    }

    #[test]
    fn an_empty_name_is_refused() {
        assert!(LabelSet::new(["owl", " "]).is_err());
    }

    #[test]
    fn a_file_keeps_the_order_of_the_outputs() {
        let labels: LabelSet = serde_json::from_str(r#"["bear","owl"]"#).unwrap();
        assert_eq!(serde_json::to_string(&labels).unwrap(), r#"["bear","owl"]"#);
        assert!(serde_json::from_str::<LabelSet>(r#"["owl","bear"]"#).is_err());
        assert!(serde_json::from_str::<LabelSet>(r#"["owl","owl"]"#).is_err());
    }
}
