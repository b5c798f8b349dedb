//! Which sources a model version may be registered from.
//!
//! The registry never opens a source, but whoever loads the version does, with the
//! rights they have. So a source must be inside the run or logged model it is said
//! to come from, or name another entity here; it never names a file of the machine
//! or a host that a client chose.

use super::hosts::{check_no_host, has_host, scheme_of};
use super::path::percent_decoded;
use crate::entities::{LoggedModelId, RunId};
use crate::error::{Result, TrackingError};
use crate::store::TrackingStore;

/// Checks the source of a new model version.
pub(crate) fn check_model_source(
    store: &dyn TrackingStore,
    source: &str,
    run: Option<&RunId>,
    model: Option<&LoggedModelId>,
) -> Result<()> {
    check_no_host(source, "source")?;
    let scheme = scheme_of(source).to_ascii_lowercase();
    let scheme = scheme.as_str();
    let owner = match (scheme, model) {
        ("models", _) | (_, Some(_)) => "model_id",
        _ => "run_id",
    };
    if matches!(scheme, "" | "file") {
        return Err(TrackingError::invalid(format!(
            "Invalid model version source: '{source}'. To use a local path as a model version \
             source, the {owner} request parameter has to be specified and the local path has to \
             be contained within the artifact directory of the run specified by the {owner}."
        )));
    }
    let decoded = fully_decoded(source);
    let is_winding = decoded
        .split(['/', '\\'])
        .any(|part| matches!(part, "." | ".."));
    if is_winding || decoded.contains(['\0', '#', '?']) {
        return Err(TrackingError::invalid(format!(
            "Invalid model version source: '{source}'. If supplying a source as an http, https, \
             local file path, ftp, objectstore, or mlflow-artifacts uri, an absolute path must be \
             provided without relative path references present. Please provide an absolute path."
        )));
    }
    let foreign = || {
        TrackingError::invalid(format!(
            "Invalid model version source: '{source}'. The {owner} request parameter must identify \
             the resource that contains the source."
        ))
    };
    let is_inside = match scheme {
        "mlflow-artifacts" => match (model, run) {
            (Some(id), _) => store
                .get_logged_model(id)
                .is_ok_and(|model| is_within(&decoded, &model.info.artifact_uri)),
            (None, Some(id)) => store
                .get_run(id)
                .is_ok_and(|run| is_within(&decoded, &run.info.artifact_uri)),
            (None, None) => false,
        },
        "runs" if has_host(&source[scheme.len() + 1..]) => false,
        "runs" => run.is_some_and(|id| is_within(&decoded, &format!("runs:/{id}"))),
        "models" => match decoded.strip_prefix("models:/") {
            Some(reference) if reference.starts_with('/') => false,
            // Another version: it was checked when it was registered.
            Some(reference) if reference.contains(['/', '@']) => true,
            Some(reference) => model.is_some_and(|id| id.as_str() == reference),
            None => false,
        },
        // Object stores: whoever loads the model has their own keys to them.
        _ => true,
    };
    if is_inside { Ok(()) } else { Err(foreign()) }
}

fn fully_decoded(text: &str) -> String {
    let mut text = text.to_owned();
    loop {
        let next = percent_decoded(&text);
        if next == text {
            return text;
        }
        text = next;
    }
}

fn is_within(source: &str, root: &str) -> bool {
    let parts = |uri: &str| -> Vec<String> {
        uri.split('/')
            .filter(|part| !part.is_empty())
            .map(str::to_owned)
            .collect()
    };
    parts(source).starts_with(&parts(root))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{CreateRun, ExperimentId, SqliteStore};

    #[test]
    fn sources_lie_inside_their_run() {
        let store = SqliteStore::in_memory().expect("a store");
        let run = store
            .create_run(CreateRun::new(ExperimentId::default_experiment()))
            .expect("a run")
            .info;
        let id = &run.run_id;
        let inside = format!("{}/model", run.artifact_uri);
        let check =
            |source: &str, run: Option<&RunId>| check_model_source(&store, source, run, None);
        assert!(check(&inside, Some(id)).is_ok());
        assert!(check(&format!("runs:/{id}/model"), Some(id)).is_ok());
        assert!(check("models:/birds/1", None).is_ok());
        assert!(check("s3://bucket/model", None).is_ok());
        assert!(check(&inside, None).is_err());
        assert!(check("runs:/other/model", Some(id)).is_err());
        for bad in [
            "/etc/passwd",
            "file:///etc",
            "//proc/self/root",
            "FILE:/etc",
            "http://169.254.169.254/latest",
            "https://evil/x#../../",
            "mlflow-artifacts:/../../etc",
            "mlflow-artifacts:/%2e%2e/x",
            "mlflow-artifacts:/%252e%252e/x",
            "s3://bucket/a#b",
            "C:\\x",
            "models://elsewhere/x/1",
            "hdfs://h/x",
            "viewfs://h/x",
            "abfss://c@h/x",
        ] {
            assert!(check(bad, Some(id)).is_err(), "{bad}");
        }
        // A run's own place and identifier, with one slash more than they have.
        let experiment_as_host = inside.replacen(":/", "://", 1);
        let run_as_host = format!("runs://{id}/model");
        for bad in [experiment_as_host, run_as_host] {
            assert!(check(&bad, Some(id)).is_err(), "{bad}");
        }
        let beside = format!("{}x/model", run.artifact_uri);
        assert!(check(&beside, Some(id)).is_err());
    }
}
