//! Reviewed recordings, examples, the demo, and what is counted.

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, Sender, channel};

use axum::body::Body;
use biophony_model::Bundle;
use biophony_web::{DemoProgress, DemoTrainer, ExampleClip, ExampleClips, WebState};

use crate::support::{Answer, Place, ask, form, get, tone, until, wav};

fn review(state: &WebState, parts: &[(&str, Option<&str>, &[u8])]) -> Answer {
    let (kind, body) = form(parts);
    ask(
        state,
        "POST",
        "/api/v1/feedback",
        &[("content-type", &kind)],
        body,
    )
}

#[test]
fn a_reviewed_recording_is_kept_with_its_label() {
    let place = Place::with_champion();
    let state = place.state();
    let sound = wav(&tone(400.0, 0.6, 8_000));
    let answer = review(
        &state,
        &[
            ("file", Some("dawn.mp3"), &sound),
            ("label", None, b"tawny owl"),
            ("predicted", None, b"frog"),
            ("correct", None, b"false"),
            ("model_version", None, b"1"),
        ],
    );
    assert_eq!(answer.status, 201, "{}", answer.text());
    let digest = blake3::hash(&sound).to_hex();
    // Named by its content, the name's ending included: it is a WAV file.
    let path = format!("tawny owl/{digest}.wav");
    assert_eq!(answer.json()["path"], path.as_str());
    let kept = std::fs::read(place.path().join("reviewed").join(&path)).expect("is kept");
    assert_eq!(kept, sound);
    let table = std::fs::read_to_string(place.path().join("reviewed/reviewed.csv"));
    let table = table.expect("a table");
    assert!(table.starts_with("path,label,predicted,correct,model_version,filename\n"));
    assert!(
        table.contains(&format!("{path},tawny owl,frog,false,1,dawn.mp3")),
        "{table}"
    );
}

#[test]
fn what_is_no_review_is_refused_and_nothing_is_written() {
    let place = Place::with_champion();
    let state = place.state();
    let sound = wav(&tone(400.0, 0.6, 8_000));
    let file = ("file", Some("a.wav"), &sound[..]);
    let (label, correct) = (
        ("label", None, &b"owl"[..]),
        ("correct", None, &b"true"[..]),
    );
    for (parts, code) in [
        (vec![label, correct], "bad_request"),
        (vec![file, correct], "bad_request"),
        (vec![file, label], "bad_request"),
        (
            vec![file, label, ("correct", None, b"perhaps")],
            "bad_request",
        ),
        (
            vec![file, ("label", None, b"../../etc"), correct],
            "bad_request",
        ),
        (vec![file, ("label", None, b""), correct], "bad_request"),
        (vec![file, file, label, correct], "bad_request"),
        (vec![file, label, label, correct], "bad_request"),
        (
            vec![file, ("label", None, b".hidden"), correct],
            "bad_request",
        ),
        (
            vec![file, label, correct, ("other", None, b"x")],
            "bad_request",
        ),
        (
            vec![file, label, correct, ("predicted", None, b"frog")],
            "bad_request",
        ),
        (
            vec![
                ("file", Some("a.wav"), b"<script>alert(1)</script>"),
                label,
                correct,
            ],
            "unreadable_audio",
        ),
    ] {
        let answer = review(&state, &parts);
        assert_eq!(answer.refusal().1, code, "{parts:?}");
    }
    assert!(!place.path().join("reviewed").exists());
}

struct TwoExamples;

impl ExampleClips for TwoExamples {
    fn list(&self, model: Option<&Bundle>) -> Vec<ExampleClip> {
        let labels = model.map(|bundle| bundle.labels.names().to_vec());
        let of = |label: String| ExampleClip {
            name: format!("{label}.wav"),
            label,
            source: "made for a test".to_owned(),
            synthetic: true,
        };
        labels.unwrap_or_default().into_iter().map(of).collect()
    }

    fn read(&self, _: Option<&Bundle>, name: &str) -> Option<Vec<u8>> {
        (name == "owl.wav").then(|| wav(&tone(400.0, 0.6, 8_000)))
    }
}

#[test]
fn examples_are_listed_and_sent() {
    let place = Place::with_champion();
    let mut config = place.config();
    config.examples = Arc::new(TwoExamples);
    let state = WebState::new(config).expect("opens");
    let listed = get(&state, "/api/v1/examples").json();
    assert_eq!(listed["examples"][1]["name"], "owl.wav");
    assert_eq!(listed["examples"][1]["synthetic"], true);
    let sound = get(&state, "/api/v1/examples/owl.wav");
    assert_eq!(sound.header("content-type"), "audio/wav");
    let answer = ask(&state, "POST", "/api/v1/classify", &[], sound.body);
    assert_eq!(answer.status, 200);
    let missing = get(&state, "/api/v1/examples/..%2ftracking.db");
    assert_eq!(missing.refusal(), (404, "not_found".to_owned()));
}

/// Waits for leave to end.
struct Trainer {
    leave: Mutex<Receiver<Result<(), String>>>,
}

impl Trainer {
    fn new() -> (Arc<Self>, Sender<Result<(), String>>) {
        let (sender, receiver) = channel();
        let leave = Mutex::new(receiver);
        (Arc::new(Self { leave }), sender)
    }
}

impl DemoTrainer for Trainer {
    fn train(&self, progress: &DemoProgress<'_>) -> Result<(), String> {
        progress.say("epoch 1");
        let leave = self.leave.lock().expect("one training at a time");
        leave.recv().expect("the test decides")
    }
}

#[test]
fn a_demo_is_trained_once_at_a_time_and_tells_how_it_ended() {
    let place = Place::empty();
    let (trainer, leave) = Trainer::new();
    let mut config = place.config();
    config.demo = Some(trainer);
    let state = WebState::new(config).expect("opens");
    let start = |headers| ask(&state, "POST", "/api/v1/demo", headers, Body::empty());
    let phase = || get(&state, "/api/v1/demo").json();
    assert_eq!(
        (&phase()["offered"], &phase()["phase"]),
        (&true.into(), &"idle".into())
    );
    assert!(
        get(&state, "/")
            .text()
            .contains("nothing in it was recorded")
    );
    assert_eq!(start(&[]).status, 202);
    assert_eq!(start(&[]).refusal(), (409, "conflict".to_owned()));
    until(|| phase()["lines"][0] == "epoch 1");
    assert!(get(&state, "/").text().contains("epoch 1"));
    leave
        .send(Err("no room on the disk".to_owned()))
        .expect("listens");
    until(|| phase()["phase"] == "failed");
    assert!(get(&state, "/").text().contains("no room on the disk"));
    let by_form = [("content-type", "application/x-www-form-urlencoded")];
    assert_eq!(start(&by_form).header("location"), "/");
    leave.send(Ok(())).expect("listens");
    until(|| phase()["phase"] == "done");
}

#[test]
fn a_demo_does_not_take_the_place_of_a_model() {
    let place = Place::with_champion();
    let (trainer, _leave) = Trainer::new();
    let mut config = place.config();
    config.demo = Some(trainer);
    let state = WebState::new(config).expect("opens");
    let answer = ask(&state, "POST", "/api/v1/demo", &[], Body::empty());
    assert_eq!(answer.refusal(), (409, "conflict".to_owned()));
    assert_eq!(get(&state, "/api/v1/demo").json()["phase"], "idle");
}

#[test]
fn a_server_without_a_demo_says_so() {
    let place = Place::empty();
    let state = place.state();
    assert_eq!(get(&state, "/api/v1/demo").json()["offered"], false);
    let answer = ask(&state, "POST", "/api/v1/demo", &[], Body::empty());
    assert_eq!(answer.refusal(), (404, "not_found".to_owned()));
}

#[test]
fn requests_are_counted_by_route_and_not_by_what_clients_make_up() {
    let place = Place::with_champion();
    let state = place.state();
    ask(
        &state,
        "POST",
        "/api/v1/classify",
        &[],
        wav(&tone(400.0, 0.6, 8_000)),
    );
    get(&state, "/made-up/1");
    get(&state, "/made-up/2");
    let metrics = get(&state, "/metrics");
    assert!(
        metrics
            .header("content-type")
            .starts_with("text/plain; version=0.0.4")
    );
    for line in [
        "biophony_requests_total{route=\"/api/v1/classify\",method=\"POST\",status=\"200\"} 1",
        "biophony_requests_total{route=\"none\",method=\"GET\",status=\"404\"} 2",
        "biophony_classify_seconds_count 1",
        "biophony_model_version 1",
        "biophony_classify_waiting 0",
        "biophony_live_sessions 0",
    ] {
        assert!(
            metrics.text().lines().any(|found| found == line),
            "{line}\n{}",
            metrics.text()
        );
    }
}
