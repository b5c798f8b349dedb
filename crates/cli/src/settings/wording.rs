//! What is said of a value that its setting cannot have.
//!
//! The deserializer speaks of the types of this program; here they become what a
//! person can write in their place.

use toml::Value;

use super::catalog::Setting;

/// The largest whole number that a settings file can hold: what TOML has.
pub(crate) const LARGEST: u64 = i64::MAX.unsigned_abs();

/// Why the value is refused, by what the deserializer said, in one line.
pub(super) fn in_words(setting: Option<&Setting>, value: &Value, reason: &str) -> String {
    let reason = reason.lines().next().unwrap_or_default();
    let is_about_type = ["invalid type", "invalid value", "invalid length"]
        .iter()
        .any(|beginning| reason.starts_with(beginning));
    if !is_about_type && !reason.starts_with("unknown variant") {
        return reason.to_owned();
    }
    let choices = setting.map_or(&[][..], |setting| setting.choices);
    if !choices.is_empty() {
        return format!("it takes {}", one_of(choices));
    }
    let wanted = match reason.rsplit_once(", expected ") {
        Some((_, "usize" | "u64")) => whole_number(0, LARGEST, value),
        Some((_, "u32")) => whole_number(0, u32::MAX.into(), value),
        Some((_, "a nonzero u32")) => whole_number(1, u32::MAX.into(), value),
        Some((_, "f32" | "f64")) => "a number".to_owned(),
        Some((_, "a boolean")) => "`true` or `false`".to_owned(),
        Some((_, "a string")) => "a text".to_owned(),
        Some((_, "path string")) => "a path".to_owned(),
        Some((_, "an array of length 2")) => "two numbers, as `[5, 40]`".to_owned(),
        _ => return reason.to_owned(),
    };
    format!("it takes {wanted}")
}

/// `` `adamw`, `adam` or `sgd` ``.
pub(super) fn one_of(choices: &[&str]) -> String {
    let quoted: Vec<String> = choices.iter().map(|one| format!("`{one}`")).collect();
    match &quoted[..] {
        [others @ .., last] if !others.is_empty() => format!("{} or {last}", others.join(", ")),
        _ => quoted.concat(),
    }
}

/// The largest number there is only helps who has given a larger one.
fn whole_number(least: u64, largest: u64, given: &Value) -> String {
    let is_too_large = match given {
        Value::Integer(number) => u64::try_from(*number).is_ok_and(|number| number > largest),
        // Too large for TOML, which left it a text.
        Value::String(text) => !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()),
        _ => false,
    };
    match is_too_large {
        true => format!("a whole number from {least} to {largest}"),
        false => format!("a whole number, {least} or more"),
    }
}
