//! The pages of recordings; what can be heard, and what cannot.

use crate::fixture::House;
use crate::support::{Answer, ask, get, tone, wav};
use axum::body::Body;
use biophony_web::WebState;

/// A house whose recordings were audited.
fn audited() -> (House, std::path::PathBuf, WebState) {
    let house = House::new();
    let root = house.recordings();
    house.pipeline(&root, 3).expect("runs");
    let state = house.state();
    (house, root, state)
}

fn hear(state: &WebState, path: &str) -> Answer {
    get(state, &format!("/api/v1/data/audio?path={path}"))
}

#[test]
fn without_recordings_the_page_says_what_to_do() {
    let house = House::new();
    let page = get(&house.state(), "/data");
    assert!(page.text().contains("No recordings yet") && page.text().contains("biophony audit"));
    assert_eq!(get(&house.state(), "/data/clips").status, 404);
}

#[test]
fn the_audit_is_shown_in_its_own_words() {
    let (_house, root, state) = audited();
    let page = get(&state, "/data");
    assert_eq!(page.status, 200);
    for text in [
        "<h1>voices</h1>",
        "Unreadable recordings",
        "owl/broken.wav",
        "Exact copies",
        "Fetch them again or convert them",
        "and 1 that cannot be read",
        "/data/clips?run=",
    ] {
        assert!(page.text().contains(text), "{text}:\n{}", page.text());
    }
    let json = get(&state, "/api/v1/data").json();
    assert_eq!(json["collection"]["n_readable"], 4);
    assert_eq!(json["collection"]["root"], root.display().to_string());
    assert_eq!(json["classes"][0]["n_independent"], 2);
    assert_eq!(json["findings"][0]["severity"], "problem");
}

#[test]
fn recordings_are_listed_by_class_and_name() {
    let (_house, _, state) = audited();
    let json = get(&state, "/api/v1/data/clips?class=frog&contains=COPY").json();
    assert_eq!(json["n_clips"], 1);
    assert_eq!(json["clips"][0]["path"], "frog/copy of a.wav");
    let page = get(&state, "/data/clips?class=frog");
    assert!(
        page.text().contains("<audio controls preload=\"none\""),
        "{}",
        page.text()
    );
}

#[test]
fn a_recording_is_heard_in_full_or_in_part() {
    let (_house, root, state) = audited();
    let whole = hear(&state, "frog/copy+of+a.wav");
    assert_eq!(whole.status, 200, "{}", whole.text());
    assert_eq!(whole.header("content-type"), "audio/wav");
    assert_eq!(
        whole.body,
        std::fs::read(root.join("frog/a.wav")).expect("reads")
    );
    let range = [("range", "bytes=44-143")];
    let part = ask(
        &state,
        "GET",
        "/api/v1/data/audio?path=owl/a.wav",
        &range,
        Body::empty(),
    );
    assert_eq!(part.status, 206);
    assert_eq!(part.header("content-range"), "bytes 44-143/32044");
    assert_eq!(part.body.len(), 100);
    let picture = get(&state, "/api/v1/data/picture?path=owl/a.wav");
    assert!(picture.body.starts_with(b"\x89PNG"));
}

#[test]
fn only_what_was_audited_is_heard() {
    let (house, root, state) = audited();
    let outside = wav(&tone(500.0, 0.5, 8_000));
    std::fs::write(house.place.path().join("secret.wav"), &outside).expect("writes");
    std::fs::write(root.join("frog/later.wav"), &outside).expect("writes");
    let absolute = root.join("frog/a.wav").display().to_string();
    for path in [
        "../secret.wav",
        "..%2fsecret.wav",
        "frog/../../secret.wav",
        "frog/../frog/a.wav",
        "./frog/a.wav",
        absolute.as_str(),
        "frog/later.wav",
        "frog",
        "/etc/passwd",
        "frog/a.wav%00",
    ] {
        assert_eq!(hear(&state, path).refusal().0, 404, "{path}");
        let picture = get(&state, &format!("/api/v1/data/picture?path={path}"));
        assert_eq!(picture.refusal().0, 404, "{path}");
    }
    assert_eq!(hear(&state, "owl/broken.wav").refusal().0, 422);
    assert_eq!(hear(&state, "").refusal().0, 400);
}

#[test]
fn a_recording_that_changed_since_is_not_heard() {
    let (_house, root, state) = audited();
    std::fs::write(root.join("owl/a.wav"), wav(&tone(500.0, 0.5, 8_000))).expect("writes");
    let refused = hear(&state, "owl/a.wav");
    assert_eq!(refused.refusal().0, 404);
    assert!(refused.text().contains("has changed since"));
}

#[cfg(unix)]
#[test]
fn a_link_put_in_place_of_a_recording_leads_nowhere() {
    let (house, root, state) = audited();
    let secret = house.place.path().join("secret.wav");
    std::fs::write(&secret, wav(&tone(500.0, 0.5, 8_000))).expect("writes");
    std::fs::remove_file(root.join("owl/a.wav")).expect("removes");
    std::os::unix::fs::symlink(&secret, root.join("owl/a.wav")).expect("links");
    assert_eq!(hear(&state, "owl/a.wav").refusal().0, 404);
}

#[test]
fn near_copies_stand_side_by_side() {
    let house = House::new();
    let root = house.recordings();
    // The same sound, softer: no exact copy.
    let loud = tone(700.0, 2.0, 8_000);
    let soft = loud.samples().iter().map(|sample| 0.5 * sample).collect();
    let soft = biophony_audio::Clip::new(soft, loud.rate());
    std::fs::write(root.join("owl/soft.wav"), wav(&soft)).expect("writes");
    house.pipeline(&root, 3).expect("runs");
    let json = get(&house.state(), "/api/v1/data").json();
    let pairs = json["near_copies"].as_array().expect("pairs");
    assert!(!pairs.is_empty(), "{json}");
    assert_eq!(pairs[0]["is_conflict"], true, "{json}");
    let page = get(&house.state(), "/data");
    assert!(
        page.text().contains("Near copies, side by side") && page.text().contains("two labels")
    );
}
