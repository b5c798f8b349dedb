//! What is said of a value that its setting cannot have.
//!
//! The deserializer speaks of the types of this program; here they become what a
//! person can write in their place.

use super::catalog::Setting;

/// Why the value is refused, by what the deserializer said, in one line.
pub(super) fn in_words(setting: Option<&Setting>, reason: &str) -> String {
    let reason = reason.lines().next().unwrap_or_default();
    let is_about_type = ["invalid type", "invalid value", "invalid length"]
        .iter()
        .any(|beginning| reason.starts_with(beginning));
    if !is_about_type && !reason.starts_with("unknown variant") {
        return reason.to_owned();
    }
    let choices = setting.map_or(&[][..], |setting| setting.choices);
    if let [others @ .., last] = choices {
        let others: Vec<String> = others.iter().map(|one| format!("`{one}`")).collect();
        return format!("it takes {} or `{last}`", others.join(", "));
    }
    let wanted = match reason.rsplit_once(", expected ") {
        Some((_, "usize" | "u32" | "u64")) => "a whole number, 0 or more",
        Some((_, "a nonzero u32")) => "a whole number, 1 or more",
        Some((_, "f32" | "f64")) => "a number",
        Some((_, "a boolean")) => "`true` or `false`",
        Some((_, "a string")) => "a text",
        Some((_, "path string")) => "a path",
        Some((_, "an array of length 2")) => "two numbers, as `[5, 40]`",
        _ => return reason.to_owned(),
    };
    format!("it takes {wanted}")
}
