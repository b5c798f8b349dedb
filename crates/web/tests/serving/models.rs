//! The model in use follows the registry, whole and without a restart.

use biophony_web::{ModelChoice, WebError, WebState};

use crate::support::{Place, ask, get, tone, until, wav, write_bundle};

fn version(state: &WebState) -> serde_json::Value {
    get(state, "/api/v1/model").json()["model"]["version"].clone()
}

#[test]
fn the_champion_is_followed_when_it_is_promoted_and_rolled_back() {
    use biophony_tracking::TrackingStore;
    let place = Place::empty();
    let state = place.state();
    assert_eq!(version(&state), serde_json::Value::Null);
    place.deploy(&["frog", "owl"], 1);
    until(|| version(&state) == 1);
    place.deploy(&["frog", "owl", "wren"], 2);
    until(|| version(&state) == 2);
    let sound = wav(&tone(400.0, 0.6, 8_000));
    let answer = ask(&state, "POST", "/api/v1/classify", &[], sound).json();
    assert_eq!(answer["model"]["version"], 2);
    assert_eq!(answer["predictions"].as_array().map(Vec::len), Some(3));
    place.tracking.rollback("biophony").expect("rolls back");
    until(|| version(&state) == 1);
}

#[test]
fn a_request_keeps_the_model_that_it_found() {
    let place = Place::with_champion();
    let state = place.state();
    let before = state.models().current().expect("a model");
    place.deploy(&["a", "b"], 2);
    until(|| version(&state) == 2);
    let clip = tone(400.0, 0.6, 8_000);
    let answer = before.predictor.predict(&clip).expect("still answers");
    assert_eq!(answer.ranked.len(), 3);
}

#[test]
fn half_a_model_is_never_served() {
    let place = Place::with_champion();
    let state = place.state();
    // Registered and promoted before its files are complete, and then damaged ones.
    let version_2 = place.register(&["a", "b"], 2);
    let weights = place.bundle(2).join("weights.safetensors");
    let whole = std::fs::read(&weights).expect("reads");
    std::fs::write(&weights, &whole[..whole.len() / 2]).expect("writes");
    {
        use biophony_tracking::TrackingStore;
        place
            .tracking
            .promote("biophony", version_2)
            .expect("promotes");
    }
    until(|| state.models().problem().is_some());
    assert_eq!(version(&state), 1, "the old one goes on");
    let problem = get(&state, "/api/v1/model").json()["problem"].to_string();
    assert!(problem.contains("weights.safetensors"), "{problem}");
    // Whole again: it is tried anew, at the latest after some seconds.
    write_bundle(&place.bundle(2), &["a", "b"], 2);
    until(|| version(&state) == 2);
    assert_eq!(state.models().problem(), None);
}

#[test]
fn another_alias_or_a_folder_can_be_served() {
    use biophony_tracking::TrackingStore;
    let place = Place::with_champion();
    let second = place.register(&["a", "b"], 2);
    let aliased = place
        .tracking
        .set_registered_model_alias("biophony", "canary", second);
    aliased.expect("is set");
    let mut config = place.config();
    config.model = ModelChoice::Alias("canary".to_owned());
    let state = WebState::new(config).expect("opens");
    assert_eq!(version(&state), 2);
    let folder = place.path().join("elsewhere/my-model");
    write_bundle(&folder, &["c", "d"], 3);
    let mut config = place.config();
    config.model = ModelChoice::Folder(folder);
    let state = WebState::new(config).expect("opens");
    let model = get(&state, "/api/v1/model").json()["model"].clone();
    assert_eq!(
        (&model["name"], &model["version"]),
        (&"my-model".into(), &().into())
    );
    assert_eq!(model["labels"], serde_json::json!(["c", "d"]));
}

#[test]
fn the_model_of_a_run_of_this_home_names_the_run() {
    use biophony_tracking::{CreateExperiment, CreateRun, KeyValue, TrackingStore};
    let place = Place::empty();
    let name = "20260801-120000-abcd";
    let experiment = place.tracking.create_experiment(CreateExperiment {
        name: "biophony".to_owned(),
        ..CreateExperiment::default()
    });
    let experiment = experiment.expect("creates");
    let begun = |tags: &[(&str, &str)]| {
        let tags = tags.iter().map(|(key, value)| KeyValue::new(*key, *value));
        let request = CreateRun {
            tags: tags.collect(),
            ..CreateRun::new(experiment.clone())
        };
        let run = place.tracking.create_run(request).expect("creates");
        run.info.run_id.to_string()
    };
    let run = begun(&[("biophony.pipeline_run", name)]);
    begun(&[
        ("biophony.pipeline_run", name),
        ("mlflow.parentRunId", run.as_str()),
    ]);
    let run_of = |folder: &str| {
        let folder = place.path().join(folder);
        write_bundle(&folder, &["c", "d"], 3);
        let mut config = place.config();
        config.model = ModelChoice::Folder(folder);
        let state = WebState::new(config).expect("opens");
        get(&state, "/api/v1/model").json()["model"]["run_id"].clone()
    };
    assert_eq!(run_of(&format!("models/{name}")), run.as_str());
    assert_eq!(run_of(&format!("runs/{name}/bundle")), run.as_str());
    for elsewhere in ["models/another", &format!("elsewhere/{name}")] {
        assert_eq!(run_of(elsewhere), serde_json::Value::Null, "{elsewhere}");
    }
}

#[test]
fn a_version_made_from_a_logged_model_is_served_from_its_files() {
    use biophony_tracking::{CreateLoggedModel, CreateModelVersion, ExperimentId, TrackingStore};
    let place = Place::with_champion();
    let request = CreateLoggedModel {
        experiment_id: ExperimentId::default_experiment(),
        name: None,
        model_type: None,
        source_run_id: None,
        params: Vec::new(),
        tags: Vec::new(),
    };
    let logged = place
        .tracking
        .create_logged_model(request)
        .expect("is logged")
        .info;
    let below_root = logged.artifact_uri.replace("mlflow-artifacts:/", "");
    let folder = place.path().join("mlartifacts").join(below_root);
    write_bundle(&folder, &["e", "f"], 4);
    let version = place.tracking.create_model_version(CreateModelVersion {
        name: "biophony".to_owned(),
        source: format!("models:/{}", logged.model_id),
        ..CreateModelVersion::default()
    });
    let version = version.expect("registers").version;
    place
        .tracking
        .promote("biophony", version)
        .expect("is put into use");
    let state = WebState::new(place.config()).expect("opens");
    let model = get(&state, "/api/v1/model").json()["model"].clone();
    assert_eq!(model["labels"], serde_json::json!(["e", "f"]));
}

#[test]
fn a_folder_without_a_model_is_said_at_once() {
    let place = Place::empty();
    let mut config = place.config();
    config.model = ModelChoice::Folder(place.path().join("none"));
    match WebState::new(config) {
        Err(WebError::Model { path, .. }) => assert!(path.ends_with("none")),
        _ => panic!("there is nothing to serve"),
    }
}
