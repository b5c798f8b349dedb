//! What every store refuses: bad names, values out of range, batches too large.
//!
//! Limits and messages are MLflow's.

use crate::artifacts::check_no_host;
use crate::entities::{DatasetInput, Metric, Param, Tag};
use crate::error::{Result, TrackingError};
use crate::requests::LogBatch;

const MAX_KEY_CHARS: usize = 250;
const MAX_PARAM_VALUE_CHARS: usize = 6000;
const MAX_RUN_TAG_VALUE_CHARS: usize = 8000;
const MAX_EXPERIMENT_NAME_CHARS: usize = 500;
const MAX_EXPERIMENT_TAG_VALUE_CHARS: usize = 20_000;
const MAX_REGISTRY_TAG_VALUE_CHARS: usize = 100_000;
const MAX_ALIAS_CHARS: usize = 255;
const MAX_METRICS_PER_BATCH: usize = 1000;
const MAX_PARAMS_OR_TAGS_PER_BATCH: usize = 100;
const MAX_ENTITIES_PER_BATCH: usize = 1000;
const MAX_LOCATION_CHARS: usize = 2048;

/// Whether a request logs one thing or several, which the messages tell apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phrasing {
    Single,
    Batch,
}

/// Checks a batch and cuts values that are too long, as MLflow does.
pub(crate) fn batch(batch: &LogBatch, phrasing: Phrasing) -> Result<(Vec<Param>, Vec<Tag>)> {
    let path = |list: &str, index: usize, field: &str| match phrasing {
        Phrasing::Single => field.to_owned(),
        Phrasing::Batch => format!("{list}[{index}].{field}"),
    };
    // MLflow reads all metrics before it checks the first.
    batch.metrics.iter().try_for_each(whole_dataset)?;
    for (index, metric) in batch.metrics.iter().enumerate() {
        check_metric(metric, |field| path("metrics", index, field))?;
    }
    let mut params = Vec::with_capacity(batch.params.len());
    for (index, param) in batch.params.iter().enumerate() {
        name(&param.key, &path("params", index, "key"))?;
        at_most("Param key", &param.key, MAX_KEY_CHARS)?;
        params.push(Param::new(
            &param.key,
            cut(&param.value, MAX_PARAM_VALUE_CHARS),
        ));
    }
    let mut tags = Vec::with_capacity(batch.tags.len());
    for (index, tag) in batch.tags.iter().enumerate() {
        let path = path("tags", index, "key");
        name(&tag.key, &path)?;
        at_most(&path, &tag.key, MAX_KEY_CHARS)?;
        tags.push(Tag::new(&tag.key, cut(&tag.value, MAX_RUN_TAG_VALUE_CHARS)));
    }
    batch_limits(batch)?;
    param_keys_are_unique(&params)?;
    Ok((params, tags))
}

/// Refuses half a reference to a data set. What is empty counts as missing.
fn whole_dataset(metric: &Metric) -> Result<()> {
    let is_given = |text: &Option<String>| text.as_ref().is_some_and(|text| !text.is_empty());
    if is_given(&metric.dataset_name) == is_given(&metric.dataset_digest) {
        return Ok(());
    }
    Err(TrackingError::invalid(
        "Both dataset_name and dataset_digest must be provided if one is provided",
    ))
}

fn check_metric(metric: &Metric, path: impl Fn(&str) -> String) -> Result<()> {
    name_called(&metric.key, || path("name"))?;
    if metric.timestamp < 0 {
        return Err(TrackingError::invalid(format!(
            "Invalid value {} for parameter '{}' supplied: metric '{}' (value={}). Timestamp must \
             be a nonnegative long (64-bit integer) ",
            metric.timestamp,
            path("timestamp"),
            metric.key,
            python_float(metric.value),
        )));
    }
    at_most("Metric name", &metric.key, MAX_KEY_CHARS)
}

fn batch_limits(batch: &LogBatch) -> Result<()> {
    let (metrics, params, tags) = (batch.metrics.len(), batch.params.len(), batch.tags.len());
    for (what, count, limit) in [
        ("metrics", metrics, MAX_METRICS_PER_BATCH),
        ("params", params, MAX_PARAMS_OR_TAGS_PER_BATCH),
        ("tags", tags, MAX_PARAMS_OR_TAGS_PER_BATCH),
        (
            "metrics, params, and tags",
            metrics + params + tags,
            MAX_ENTITIES_PER_BATCH,
        ),
    ] {
        if count > limit {
            return Err(TrackingError::invalid(format!(
                "A batch logging request can contain at most {limit} {what}. Got {count} {what}. \
                 Please split up {what} across multiple requests and try again."
            )));
        }
    }
    Ok(())
}

fn param_keys_are_unique(params: &[Param]) -> Result<()> {
    let mut seen = std::collections::HashSet::new();
    let repeated: Vec<String> = params
        .iter()
        .filter(|param| !seen.insert(&param.key))
        .map(|param| python_repr(&param.key))
        .collect();
    if repeated.is_empty() {
        return Ok(());
    }
    Err(TrackingError::invalid(format!(
        "Duplicate parameter keys have been submitted: [{}]. Please ensure the request contains \
         only one param value per param key.",
        repeated.join(", ")
    )))
}

/// Checks the key of a metric, parameter or tag. `path` is what the message calls it.
pub(crate) fn name(name: &str, path: &str) -> Result<()> {
    name_called(name, || path.to_owned())
}

/// As [`name`], for names that come by the thousand and are mostly good.
fn name_called(name: &str, path: impl FnOnce() -> String) -> Result<()> {
    let is_plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b' ' | b':');
    if !name.is_empty() && name.bytes().all(is_plain) {
        return Ok(());
    }
    let path = path();
    let allowed = |c: char| c.is_alphanumeric() || matches!(c, '/' | '_' | '.' | '-' | ' ' | ':');
    // Python's `$` also matches before a final line feed.
    if !name.strip_suffix('\n').unwrap_or(name).chars().all(allowed) {
        return Err(TrackingError::invalid(format!(
            "Invalid value {} for parameter '{path}' supplied: Names may only contain \
             alphanumerics, underscores (_), dashes (-), periods (.), spaces ( ), colon(:) and \
             slashes (/).",
            serde_json::Value::from(name)
        )));
    }
    its_own_path(name, &path)
}

/// Refuses a name that another name would share a file with.
fn its_own_path(name: &str, path: &str) -> Result<()> {
    let normal = normal_path(name);
    if normal == name && normal != "." && !normal.starts_with("..") && !normal.starts_with('/') {
        return Ok(());
    }
    Err(TrackingError::invalid(format!(
        "Invalid value {} for parameter '{path}' supplied: Names may be treated as files in \
         certain cases, and must not resolve to other names when treated as such. This name would \
         resolve to {}",
        serde_json::Value::from(name),
        python_repr(&normal)
    )))
}

/// Python's `posixpath.normpath`.
fn normal_path(path: &str) -> String {
    // Two leading slashes, and only two, stay two: POSIX leaves their meaning open.
    let root = match path.len() - path.trim_start_matches('/').len() {
        0 => "",
        2 => "//",
        _ => "/",
    };
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." if !root.is_empty() && parts.is_empty() => {}
            ".." if parts.last().is_some_and(|last| *last != "..") => {
                parts.pop();
            }
            _ => parts.push(part),
        }
    }
    let normal = format!("{root}{}", parts.join("/"));
    if normal.is_empty() {
        ".".to_owned()
    } else {
        normal
    }
}

/// Refuses a text of more than `limit` characters.
fn at_most(what: &str, text: &str, limit: usize) -> Result<()> {
    // The number of bytes is an upper bound and costs nothing.
    if text.len() <= limit || text.chars().count() <= limit {
        return Ok(());
    }
    Err(TrackingError::invalid(format!(
        "'{what}' exceeds the maximum length of {limit} characters"
    )))
}

/// The first `limit` characters of `text`.
fn cut(text: &str, limit: usize) -> &str {
    match text.char_indices().nth(limit) {
        Some((end, _)) => &text[..end],
        None => text,
    }
}

/// Checks an experiment's name.
pub(crate) fn experiment_name(name: &str) -> Result<()> {
    if name.is_empty() {
        return Err(TrackingError::invalid("Invalid experiment name: ''"));
    }
    at_most("name", name, MAX_EXPERIMENT_NAME_CHARS)
}

/// Checks where an experiment's artifacts shall go.
pub(crate) fn artifact_location(location: &str) -> Result<()> {
    if location.contains(['#', '?', ';']) {
        return Err(TrackingError::invalid(
            "'artifact_location' URL can't include fragments or params.",
        ));
    }
    check_no_host(location, "artifact_location")?;
    if location.starts_with("runs:") {
        return Err(TrackingError::invalid(format!(
            "Artifact location cannot be a runs:/ URI. Given: '{location}'"
        )));
    }
    if location.split(['/', '\\']).any(|part| part == "..") {
        return Err(TrackingError::invalid(format!(
            "Invalid artifact location '{location}': it must not contain '..'"
        )));
    }
    if location.chars().count() > MAX_LOCATION_CHARS {
        return Err(TrackingError::invalid(format!(
            "Invalid artifact path length. The length of the artifact path cannot be greater than \
             {MAX_LOCATION_CHARS} characters. To configure this limit, please set the \
             MLFLOW_ARTIFACT_LOCATION_MAX_LENGTH environment variable."
        )));
    }
    Ok(())
}

/// Checks a tag of an experiment.
pub(crate) fn experiment_tag(tag: &Tag) -> Result<()> {
    tag_within(tag, MAX_EXPERIMENT_TAG_VALUE_CHARS)
}

/// Checks a tag of a registered model or a version.
pub(crate) fn registry_tag(tag: &Tag) -> Result<()> {
    tag_within(tag, MAX_REGISTRY_TAG_VALUE_CHARS)
}

fn tag_within(tag: &Tag, limit: usize) -> Result<()> {
    name(&tag.key, "key")?;
    at_most("key", &tag.key, MAX_KEY_CHARS)?;
    at_most("value", &tag.value, limit)
}

/// Checks the name of a registered model.
pub(crate) fn model_name(model: &str) -> Result<()> {
    if model.trim().is_empty() {
        return Err(TrackingError::invalid(
            "Missing value for required parameter 'name'.",
        ));
    }
    if model.contains(['/', ':']) {
        return Err(TrackingError::invalid(format!(
            "Invalid model name '{model}'. Names cannot contain '/' or ':'."
        )));
    }
    its_own_path(model, "name")
}

/// Checks the name of a logged model.
pub(crate) fn logged_model_name(model: &str) -> Result<()> {
    if model.is_empty() || model.contains(['/', ':', '.', '%', '"', '\'']) {
        return Err(TrackingError::invalid(format!(
            "Invalid model name ({}) provided. Model name must be a non-empty string and cannot \
             contain the following characters: ('/', ':', '.', '%', '\"', \"'\")",
            python_repr(model)
        )));
    }
    Ok(())
}

/// Checks a name for a version. Names that MLflow gives itself are `reserved`.
pub(crate) fn alias(alias: &str) -> Result<()> {
    if alias.is_empty() {
        return Err(TrackingError::invalid(
            "Registered model alias name cannot be empty.",
        ));
    }
    if !alias
        .chars()
        .all(|c| c.is_alphanumeric() || matches!(c, '_' | '-'))
    {
        return Err(TrackingError::invalid(format!(
            "Invalid alias name: '{alias}'. Names may only contain alphanumerics, underscores \
             (_), and dashes (-)."
        )));
    }
    at_most("Registered model alias name", alias, MAX_ALIAS_CHARS)
}

/// Refuses the names that MLflow reads as versions.
pub(crate) fn alias_is_free(alias: &str) -> Result<()> {
    if alias.eq_ignore_ascii_case("latest") {
        return Err(TrackingError::invalid(
            "'latest' alias name (case insensitive) is reserved.",
        ));
    }
    let number = alias.strip_prefix(['v', 'V']).unwrap_or_default();
    if !number.is_empty() && number.chars().all(|c| c.is_ascii_digit()) {
        return Err(TrackingError::invalid(format!(
            "Version alias name '{alias}' is reserved."
        )));
    }
    Ok(())
}

/// Checks the data sets that a run reads.
pub(crate) fn dataset_inputs(inputs: &[DatasetInput]) -> Result<()> {
    if inputs.len() > MAX_ENTITIES_PER_BATCH {
        return Err(TrackingError::invalid(format!(
            "A batch logging request can contain at most {MAX_ENTITIES_PER_BATCH} datasets. Got \
             {0} datasets. Please split up datasets across multiple requests and try again.",
            inputs.len()
        )));
    }
    for input in inputs {
        let set = &input.dataset;
        for (what, text, limit) in [
            ("name", set.name.as_str(), 500),
            ("digest", set.digest.as_str(), 36),
            ("source", set.source.as_str(), 65_535),
            (
                "schema",
                set.schema.as_deref().unwrap_or_default(),
                1_048_575,
            ),
            (
                "profile",
                set.profile.as_deref().unwrap_or_default(),
                16_777_215,
            ),
        ] {
            at_most(what, text, limit)?;
        }
        for tag in &input.tags {
            at_most("key", &tag.key, 255)?;
            at_most("value", &tag.value, 500)?;
        }
    }
    Ok(())
}

/// Python's `repr` of a string, as far as messages need it.
pub(crate) fn python_repr(text: &str) -> String {
    let escaped = text
        .replace('\\', "\\\\")
        .replace('\n', "\\n")
        .replace('\t', "\\t")
        .replace('\r', "\\r");
    if escaped.contains('\'') && !escaped.contains('"') {
        format!("\"{escaped}\"")
    } else {
        format!("'{}'", escaped.replace('\'', "\\'"))
    }
}

/// Python's `str` of a float.
pub(crate) fn python_float(value: f64) -> String {
    if value.is_nan() {
        "nan".to_owned()
    } else if value.is_infinite() {
        if value > 0.0 { "inf" } else { "-inf" }.to_owned()
    } else {
        format!("{value:?}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_normal_as_python_has_it() {
        for (path, normal) in [
            ("a/b", "a/b"),
            ("a//b", "a/b"),
            ("a/../b", "b"),
            ("../a", "../a"),
            ("/a", "/a"),
            ("//a", "//a"),
            ("///a", "/a"),
            ("/../a", "/a"),
            ("a/", "a"),
            ("", "."),
            ("a/./b/..", "a"),
            ("../../a/..", "../.."),
        ] {
            assert_eq!(normal_path(path), normal, "{path}");
        }
    }

    #[test]
    fn names_are_their_own_paths() {
        for good in ["a", "loss/val", "a b", "läufe", "a.b-c:d", "a..b"] {
            assert!(name(good, "name").is_ok(), "{good}");
        }
        for bad in [
            "a%", "", ".", "..", "/a", "a/", "a//b", "../a", "a/../b", "a\u{0}", "a\"b",
        ] {
            assert!(name(bad, "name").is_err(), "{bad}");
        }
    }

    #[test]
    fn long_values_are_cut_between_characters() {
        assert_eq!(cut("äöü", 2), "äö");
        assert_eq!(cut("äöü", 3), "äöü");
    }

    #[test]
    fn aliases_that_look_like_versions_are_reserved() {
        for bad in ["latest", "Latest", "v1", "V22"] {
            assert!(alias_is_free(bad).is_err(), "{bad}");
        }
        for good in ["v", "v1a", "champion", "1"] {
            assert!(alias_is_free(good).is_ok(), "{good}");
        }
    }
}
