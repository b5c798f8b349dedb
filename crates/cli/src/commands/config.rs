//! `biophony config`: every setting with its value and meaning, as a file that
//! `--config` reads back.

use anyhow::Result;
use serde_json::json;
#[cfg(test)]
use toml::Table;
use toml::Value;

use super::{load_settings, print};
use crate::Outcome;
use crate::arguments::{Common, ConfigArguments};
use crate::settings::{SETTINGS, Setting, Settings, lookup, variable_name};

pub(crate) fn run(common: &Common, arguments: &ConfigArguments) -> Result<Outcome> {
    let settings = load_settings(common, Vec::new())?;
    let text = if arguments.json {
        as_json(&settings)?
    } else {
        as_toml(&settings)
    };
    print(&text)?;
    Ok(Outcome::Complete)
}

pub(crate) fn as_toml(settings: &Settings) -> String {
    let (values, defaults) = (settings.to_table(), Settings::default().to_table());
    let mut text = String::from(
        "# Settings of biophony. Each can also be given as a flag, `--set section.key=value`,\n\
         # or in the environment, BIOPHONY_SECTION_KEY=value; flags win over the environment,\n\
         # and the environment over this file.\n",
    );
    let mut section = "";
    for setting in SETTINGS {
        let (own_section, name) = setting.key.split_once('.').unwrap_or(("", setting.key));
        if own_section != section {
            section = own_section;
            text.push_str(&format!("\n[{section}]\n"));
        }
        text.push_str(&describe(setting, lookup(&defaults, setting.key)));
        match lookup(&values, setting.key) {
            Some(value) => text.push_str(&format!("{name} = {}\n", written(value))),
            None => text.push_str(&format!("# {name} =\n")),
        }
    }
    text
}

fn describe(setting: &Setting, default: Option<&Value>) -> String {
    let default = default.map_or_else(|| "none".to_owned(), written);
    let mut words = format!("{} Default: {default}.", setting.meaning);
    if !setting.choices.is_empty() {
        words.push_str(&format!(" One of: {}.", setting.choices.join(", ")));
    }
    let mut comment = String::new();
    let mut line = String::from("#");
    for word in words.split(' ') {
        if line.len() + 1 + word.len() > 88 {
            comment.push_str(&line);
            comment.push('\n');
            line = String::from("#");
        }
        line.push(' ');
        line.push_str(word);
    }
    comment.push_str(&line);
    comment.push('\n');
    comment
}

/// A value as TOML, very small numbers without rows of zeros.
fn written(value: &Value) -> String {
    match value {
        Value::Float(number) if *number != 0.0 && number.abs() < 1e-4 => format!("{number:e}"),
        value => value.to_string(),
    }
}

fn as_json(settings: &Settings) -> Result<String> {
    let (values, defaults) = (settings.to_table(), Settings::default().to_table());
    let rows: Vec<_> = SETTINGS
        .iter()
        .map(|setting| {
            json!({
                "key": setting.key,
                "value": lookup(&values, setting.key),
                "default": lookup(&defaults, setting.key),
                "environment": variable_name(setting.key),
                "choices": setting.choices,
                "meaning": setting.meaning,
            })
        })
        .collect();
    Ok(format!("{}\n", serde_json::to_string_pretty(&rows)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_printed_reads_back_as_the_same_settings() {
        let printed = as_toml(&Settings::default());
        let read: Table = toml::from_str(&printed).expect("it is TOML");
        assert_eq!(read, Settings::default().to_table());
    }

    #[test]
    fn numbers_are_printed_with_the_digits_that_were_written() {
        let printed = as_toml(&Settings::default());
        assert!(printed.contains("\nscale.amin = 1e-10\n"), "{printed}");
        let is_long = |word: &str| word.len() > 9 && word.parse::<f64>().is_ok();
        let long = printed
            .split([' ', '\n', ',', '[', ']'])
            .find(|word| is_long(word));
        assert_eq!(long, None);
    }
}
