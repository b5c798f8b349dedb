//! The pages of models and their twins; who may change which version is in use.

use std::io::Read;

use crate::fixture::House;
use crate::support::{Answer, ask, get};
use axum::body::Body;
use biophony_tracking::{CHAMPION, KeyValue};
use biophony_web::WebState;

/// A house with two versions, the second in use.
fn two_versions() -> House {
    let house = House::new();
    house.place.deploy(&["frog", "owl", "wren"], 2);
    house
}

fn post(state: &WebState, path: &str, headers: &[(&str, &str)]) -> Answer {
    ask(state, "POST", path, headers, Body::empty())
}

fn champion(house: &House) -> u32 {
    let version = house
        .store()
        .get_model_version_by_alias("biophony", CHAMPION);
    version.expect("there is one").version
}

const EDITOR: (&str, &str) = ("authorization", "Bearer editor-0123456789abcdef");
const VIEWER: (&str, &str) = ("authorization", "Bearer viewer-0123456789abcdef");

#[test]
fn the_page_shows_versions_and_which_is_in_use() {
    let house = two_versions();
    let state = house.state();
    let page = get(&state, "/models");
    assert_eq!(page.status, 200);
    for text in [
        "Version 2",
        "champion",
        "previous",
        "Roll back to version 1",
        "Put into use",
    ] {
        assert!(page.text().contains(text), "{text}:\n{}", page.text());
    }
    let json = get(&state, "/api/v1/models").json();
    assert_eq!(json["models"][0]["versions"][0]["version"], 2);
    assert_eq!(json["models"][0]["history"][0]["to_version"], 2);
    assert_eq!(json["models"][0]["history"][0]["from_version"], 1);
}

#[test]
fn a_version_is_put_into_use_and_taken_back() {
    let house = two_versions();
    let state = house.state();
    let promoted = post(&state, "/models/biophony/1/promote", &[]);
    assert_eq!(promoted.status, 303);
    assert_eq!(promoted.header("location"), "/models/biophony/1");
    assert_eq!(champion(&house), 1);
    let back = post(&state, "/api/v1/models/biophony/rollback", &[]);
    assert_eq!(back.status, 200);
    assert_eq!(back.json()["version"], 2);
    assert_eq!(champion(&house), 2);
    assert_eq!(post(&state, "/models/biophony/rollback", &[]).status, 303);
    assert_eq!(champion(&house), 1);
}

#[test]
fn only_editors_change_what_is_in_use() {
    let house = two_versions();
    let state = house.state_with_tokens();
    for path in [
        "/models/biophony/1/promote",
        "/api/v1/models/biophony/1/promote",
        "/models/biophony/rollback",
        "/api/v1/models/biophony/rollback",
    ] {
        assert_eq!(post(&state, path, &[VIEWER]).status, 403, "{path}");
        let stranger = post(&state, path, &[]).status;
        assert!(stranger == 401 || stranger == 303, "{path}: {stranger}");
        assert_eq!(champion(&house), 2);
    }
    assert_eq!(
        post(&state, "/api/v1/models/biophony/1/promote", &[EDITOR]).status,
        200
    );
    assert_eq!(champion(&house), 1);
    let page = ask(&state, "GET", "/models", &[VIEWER], Body::empty());
    assert!(
        !page.text().contains("action=\"/models"),
        "what a viewer may not do is not offered"
    );
    assert!(page.text().contains("editors can put another version"));
}

#[test]
fn a_page_of_another_site_changes_nothing() {
    let house = two_versions();
    let state = house.state();
    for path in [
        "/models/biophony/1/promote",
        "/api/v1/models/biophony/1/promote",
        "/models/biophony/rollback",
    ] {
        let forged = post(&state, path, &[("origin", "https://evil.example")]);
        assert_eq!(forged.status, 403, "{path}");
        let rebound = post(&state, path, &[("host", "evil.example")]);
        assert_eq!(rebound.status, 403, "{path}");
    }
    assert_eq!(champion(&house), 2);
    let own = post(
        &state,
        "/models/biophony/1/promote",
        &[("origin", "http://127.0.0.1:8080")],
    );
    assert_eq!(own.status, 303);
}

#[test]
fn what_is_not_there_is_said_so() {
    let house = two_versions();
    let state = house.state();
    for (path, status) in [
        ("/api/v1/models/biophony/9/promote", 404),
        ("/api/v1/models/biophony/x/promote", 404),
        ("/api/v1/models/nobody/1/promote", 404),
        ("/api/v1/models/nobody/rollback", 404),
    ] {
        assert_eq!(post(&state, path, &[]).refusal().0, status, "{path}");
    }
    let fresh = House::new();
    let refused = post(&fresh.state(), "/api/v1/models/biophony/rollback", &[]);
    assert_eq!(refused.refusal(), (409, "conflict".to_owned()));
    assert_eq!(get(&state, "/models/biophony/9").status, 404);
}

#[test]
fn a_version_shows_its_bundle_and_the_gates_reasons() {
    let house = two_versions();
    let root = house.recordings();
    let pipeline = house.pipeline(&root, 3).expect("runs");
    let tag = KeyValue::new("biophony.pipeline_run", pipeline.id().as_str());
    house
        .store()
        .set_model_version_tag("biophony", 2, &tag)
        .expect("tags");
    let state = house.state();
    let page = get(&state, "/models/biophony/2");
    assert_eq!(page.status, 200);
    for text in [
        "frog, owl, wren",
        "8000 Hz",
        "Refused",
        "accuracy is 0.500, at least 0.9 is wanted",
        "3.5 ms",
        pipeline.id().as_str(),
    ] {
        assert!(page.text().contains(text), "{text}:\n{}", page.text());
    }
    let json = get(&state, "/api/v1/models/biophony/2").json();
    assert_eq!(json["decision"]["checks"][0]["holds"], false);
    assert_eq!(json["bundle"]["labels"][2], "wren");
}

#[test]
fn a_bundle_is_downloaded_as_one_zip() {
    let house = two_versions();
    for path in [
        "/models/biophony/2/bundle.zip",
        "/api/v1/models/biophony/2/bundle.zip",
    ] {
        let answer = get(&house.state(), path);
        assert_eq!(answer.status, 200);
        assert_eq!(answer.header("content-type"), "application/zip");
        assert_eq!(
            answer.header("content-disposition"),
            "attachment; filename=\"biophony-2.zip\""
        );
        let mut zip = zip::ZipArchive::new(std::io::Cursor::new(&answer.body)).expect("a zip");
        let names: Vec<String> = zip
            .file_names()
            .map(|name| name.expect("a name").into_owned())
            .collect();
        let on_disk = std::fs::read_dir(house.place.bundle(2))
            .expect("lists")
            .count();
        assert_eq!(names.len(), on_disk, "{names:?}");
        for name in [
            "bundle.json",
            "weights.safetensors",
            "model.onnx",
            "MLmodel",
        ] {
            let mut content = Vec::new();
            let mut file = zip.by_name(&format!("biophony-2/{name}")).expect(name);
            file.read_to_end(&mut content).expect("reads");
            let kept = std::fs::read(house.place.bundle(2).join(name)).expect("reads");
            assert!(content == kept, "{name} is another one");
        }
    }
}

#[test]
fn files_that_lie_elsewhere_are_not_fetched() {
    let house = House::new();
    let version = biophony_tracking::CreateModelVersion {
        name: "biophony".to_owned(),
        source: "s3://bucket/model".to_owned(),
        ..biophony_tracking::CreateModelVersion::default()
    };
    house
        .store()
        .create_model_version(version)
        .expect("registers");
    let state = house.state();
    let page = get(&state, "/models/biophony/2");
    assert_eq!(page.status, 200);
    assert!(page.text().contains("s3://bucket/model"));
    assert!(
        !page.text().contains("bundle.zip"),
        "nothing to download is offered"
    );
    assert!(
        get(&state, "/api/v1/models/biophony/2/bundle.zip")
            .status
            .is_client_error()
            || get(&state, "/api/v1/models/biophony/2/bundle.zip")
                .status
                .is_server_error()
    );
}

#[test]
fn without_models_the_page_says_how_to_come_by_one() {
    let place = crate::support::Place::empty();
    let page = get(&place.state(), "/models");
    assert!(page.text().contains("No model yet") && page.text().contains("biophony train"));
}

/// Registers a version whose run predicted this of the recording `owl/a.wav`.
fn version_with_prediction(house: &House, pipeline_run: &str, probability: f32) -> u32 {
    let experiment = house.experiment(&format!("parity {probability}"));
    let run = house.run(&experiment, "trained", 2);
    let table = format!(
        "path,label,probability,accepted,truth,part,fold\nowl/a.wav,owl,{probability},true,owl,test,split\n"
    );
    house.file(&run, "predictions.csv", table.as_bytes());
    let version = biophony_tracking::CreateModelVersion {
        name: "biophony".to_owned(),
        source: "mlflow-artifacts:/models/m-1/artifacts".to_owned(),
        run_id: Some(run),
        tags: vec![KeyValue::new("biophony.pipeline_run", pipeline_run)],
        ..biophony_tracking::CreateModelVersion::default()
    };
    let version = house.store().create_model_version(version);
    version.expect("registers").version
}

#[test]
fn a_version_is_asked_whether_it_answers_as_when_it_was_trained() {
    let house = House::new();
    let root = house.recordings();
    let pipeline = house.pipeline(&root, 3).expect("runs");
    let predictor = biophony_model::Predictor::open(&house.place.bundle(1)).expect("opens");
    let clip = biophony_audio::decode_file(&root.join("owl/a.wav"), &Default::default());
    let answer = predictor
        .predict(&clip.expect("decodes").clip)
        .expect("predicts");
    let owl = answer.ranked.iter().find(|ranked| ranked.label == "owl");
    let then = owl.expect("a class").probability;

    let state = house.state();
    for (probability, holds) in [(then, true), (then + 0.01, false)] {
        let version = version_with_prediction(&house, pipeline.id().as_str(), probability);
        let json = get(
            &state,
            &format!("/api/v1/models/biophony/{version}?parity=1"),
        )
        .json();
        assert_eq!(json["parity"]["holds"], holds, "{json}");
        assert_eq!(json["parity"]["n_recordings"], 1);
        let page = get(&state, &format!("/models/biophony/{version}?parity=1"));
        assert!(page.text().contains("differ by"), "{}", page.text());
    }
    let unasked = get(&state, "/api/v1/models/biophony/1").json();
    assert!(
        unasked["parity"].is_null(),
        "it costs time, so it is not done unasked"
    );
    let without = get(&state, "/api/v1/models/biophony/1?parity=1").json();
    assert!(
        without["parity"]["holds"].is_null(),
        "there is nothing to compare with"
    );
}
