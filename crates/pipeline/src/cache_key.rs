//! What decides whether a step has to run: the ingredients of its cache key.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::canonical::canonical_json;
use crate::hash::ContentHash;

/// Everything that a step's result may depend on. Equal ingredients, equal
/// result: the step is then not run but answered from the cache.
///
/// - the step's name and version;
/// - its parameters, as canonical JSON (sorted keys, no spaces);
/// - for each input, in order: the name it is read under and the BLAKE3 of its
///   content. Paths and times stay out: a file that moved is the same file, a
///   file that changed is another one;
/// - the version of the program, as its caller states it. To be safe against
///   changed helper functions, state something that changes with every build,
///   as a hash of the executable.
///
/// Clock, host, environment, number of workers and the names of runs are no
/// part of it: steps must not let their results depend on them.
///
/// The key is the BLAKE3 of all this as canonical JSON. The ingredients are
/// kept beside every result, so that a change can be named afterwards.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Ingredients {
    /// The step's name.
    pub step: String,
    /// The step's version.
    pub version: u32,
    /// The step's parameters.
    pub params: Value,
    /// Name and content of each input.
    pub inputs: Vec<(String, ContentHash)>,
    /// The version of the program.
    pub program: String,
}

impl Ingredients {
    /// Names the result of these ingredients.
    pub fn key(&self) -> ContentHash {
        ContentHash::of(format!("biophony step 1\n{}", self.text()).as_bytes())
    }

    /// The ingredients as canonical JSON.
    pub(crate) fn text(&self) -> String {
        let value = serde_json::to_value(self).expect("ingredients are JSON");
        canonical_json(&value)
    }

    /// What differs from `old`, ingredient by ingredient.
    pub fn changes_since(&self, old: &Ingredients) -> Vec<Change> {
        let mut changes = Vec::new();
        let mut note = |ingredient: String, old: Option<String>, new: Option<String>| {
            if old != new {
                changes.push(Change {
                    ingredient,
                    old,
                    new,
                });
            }
        };
        note(
            "step name".into(),
            Some(old.step.clone()),
            Some(self.step.clone()),
        );
        let version = |of: &Ingredients| Some(of.version.to_string());
        note("step version".into(), version(old), version(self));
        note(
            "program".into(),
            Some(old.program.clone()),
            Some(self.program.clone()),
        );
        for change in json_changes(&old.params, &self.params) {
            let ingredient = match change.ingredient.as_str() {
                "" => "parameters".to_owned(),
                path => format!("parameter `{path}`"),
            };
            note(ingredient, change.old, change.new);
        }
        let n_inputs = old.inputs.len().max(self.inputs.len());
        for index in 0..n_inputs {
            let [before, after] = [old, self].map(|of| of.inputs.get(index));
            let name = after.or(before).map_or("", |(name, _)| name);
            let text = |input: Option<&(String, ContentHash)>| {
                input.map(|(of, content)| {
                    if of == name {
                        content.short()
                    } else {
                        format!("{of} {}", content.short())
                    }
                })
            };
            note(format!("input `{name}`"), text(before), text(after));
        }
        changes
    }
}

/// The fields that differ, by their paths as `net.width`; one path that is empty
/// where it is not two objects that differ.
pub(crate) fn json_changes(old: &Value, new: &Value) -> Vec<Change> {
    let mut changes = Vec::new();
    note_changes("", Some(old), Some(new), &mut changes);
    changes
}

/// Goes down into objects, so that the one changed field is named.
fn note_changes(path: &str, old: Option<&Value>, new: Option<&Value>, changes: &mut Vec<Change>) {
    if old == new {
        return;
    }
    if let (Some(Value::Object(old)), Some(Value::Object(new))) = (old, new) {
        let names: BTreeSet<_> = old.keys().chain(new.keys()).collect();
        for name in names {
            let dot = if path.is_empty() { "" } else { "." };
            let path = format!("{path}{dot}{name}");
            note_changes(&path, old.get(name), new.get(name), changes);
        }
        return;
    }
    changes.push(Change {
        ingredient: path.to_owned(),
        old: old.map(canonical_json),
        new: new.map(canonical_json),
    });
}

/// One ingredient that is not as it was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Change {
    /// Which: `` parameter `epochs` ``, `` input `clips` ``, `program`.
    pub ingredient: String,
    /// What it was; `None` if it was not there.
    pub old: Option<String>,
    /// What it is; `None` if it is gone.
    pub new: Option<String>,
}

impl std::fmt::Display for Change {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let [old, new] = [&self.old, &self.new].map(|v| v.as_deref().unwrap_or("nothing"));
        write!(f, "{} changed from {old} to {new}", self.ingredient)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn ingredients() -> Ingredients {
        Ingredients {
            step: "train".to_owned(),
            version: 1,
            params: json!({"epochs": 3, "net": {"width": 8}}),
            inputs: vec![("features".to_owned(), ContentHash::of(b"f"))],
            program: "0.1.0".to_owned(),
        }
    }

    #[track_caller]
    fn check_change(alter: impl FnOnce(&mut Ingredients), expected: &[&str]) {
        let old = ingredients();
        let mut new = ingredients();
        alter(&mut new);
        assert_ne!(old.key(), new.key());
        let changes = new.changes_since(&old);
        let changes: Vec<_> = changes.iter().map(ToString::to_string).collect();
        assert_eq!(changes, expected);
    }

    #[test]
    fn every_ingredient_changes_the_key_and_is_named() {
        check_change(|i| i.version = 2, &["step version changed from 1 to 2"]);
        check_change(
            |i| i.program = "0.2.0".to_owned(),
            &["program changed from 0.1.0 to 0.2.0"],
        );
        check_change(
            |i| i.params = json!({"epochs": 3, "net": {"width": 9}}),
            &["parameter `net.width` changed from 8 to 9"],
        );
        check_change(
            |i| i.params = json!({"epochs": 3, "net": {"width": 8}, "seed": 1}),
            &["parameter `seed` changed from nothing to 1"],
        );
        let [old, new] = [b"f", b"g"].map(|bytes| ContentHash::of(bytes).short());
        check_change(
            |i| i.inputs[0].1 = ContentHash::of(b"g"),
            &[&format!("input `features` changed from {old} to {new}")],
        );
        check_change(
            |i| i.inputs.clear(),
            &[&format!("input `features` changed from {old} to nothing")],
        );
    }

    #[test]
    fn ingredients_come_back_from_their_text() {
        let text = ingredients().text();
        let back: Ingredients = serde_json::from_str(&text).expect("is JSON");
        assert_eq!(back.key(), ingredients().key());
    }
}
