//! The pages of pipelines and their twins.

use crate::fixture::House;
use crate::support::get;

#[test]
fn without_runs_the_page_says_what_to_do() {
    let house = House::new();
    let page = get(&house.state(), "/pipelines");
    assert!(page.text().contains("Nothing has run yet") && page.text().contains("biophony init"));
    let place = crate::support::Place::empty();
    assert_eq!(
        get(&place.state(), "/pipelines").status,
        200,
        "also without a store"
    );
}

#[test]
fn runs_are_listed_with_what_their_steps_did() {
    let house = House::new();
    let root = house.recordings();
    let first = house.pipeline(&root, 3).expect("runs");
    let second = house.pipeline(&root, 5).expect("runs");
    let page = get(&house.state(), "/pipelines");
    for text in ["3 ran", "1 ran, 2 cached", first.id().as_str(), "finished"] {
        assert!(page.text().contains(text), "{text}:\n{}", page.text());
    }
    let json = get(&house.state(), "/api/v1/pipelines").json();
    assert_eq!(
        json["runs"][0]["run"],
        second.id().as_str(),
        "the newest first"
    );
    assert_eq!(json["runs"][0]["steps"]["cached"], 2);
}

#[test]
fn a_run_has_a_picture_reasons_and_a_log() {
    let house = House::new();
    let root = house.recordings();
    let first = house.pipeline(&root, 3).expect("runs");
    let second = house.pipeline(&root, 5).expect("runs");
    let page = get(&house.state(), &format!("/pipelines/{}", second.id()));
    assert_eq!(page.status, 200);
    for text in [
        "<svg xmlns",
        "class=\"cached\"",
        "parameter `epochs`",
        first.id().as_str(),
        "few recordings",
        "Why each step ran",
        "href=\"/pipelines/lineage/",
        &root.display().to_string(),
    ] {
        assert!(page.text().contains(text), "{text}:\n{}", page.text());
    }
    assert!(
        !page.text().contains("<style"),
        "what is inline would not count"
    );
    let json = get(
        &house.state(),
        &format!("/api/v1/pipelines/{}", second.id()),
    )
    .json();
    let change = &json["steps"][1]["changes"][0];
    assert_eq!([&change["old"], &change["new"]], ["3", "5"]);
    assert_eq!(json["steps"][0]["state"], "cached");
    assert_eq!(json["log"][0]["level"], "warn");
}

#[test]
fn a_log_is_that_of_one_step_if_wished_and_is_text() {
    let house = House::new();
    let run = house.pipeline(&house.recordings(), 3).expect("runs");
    let state = house.state();
    let page = get(&state, &format!("/pipelines/{}", run.id()));
    assert!(
        page.text().contains("looked at &#60;all&#62; recordings"),
        "{}",
        page.text()
    );
    let json = get(
        &state,
        &format!("/api/v1/pipelines/{}?step=train", run.id()),
    )
    .json();
    assert_eq!(json["n_lines"], 1);
    assert_eq!(json["log"][0]["text"], "few recordings");
}

#[test]
fn lineage_leads_from_a_decision_to_recordings_and_back() {
    let house = House::new();
    let root = house.recordings();
    let run = house.pipeline(&root, 3).expect("runs");
    let state = house.state();
    let decision = &run.record.step("deploy").expect("there").outputs[0];
    let json = get(
        &state,
        &format!("/api/v1/pipelines/lineage/{}", decision.content),
    )
    .json();
    let steps: Vec<_> = json["upstream"]
        .as_array()
        .expect("steps")
        .iter()
        .map(|s| s["step"].clone())
        .collect();
    assert_eq!(steps, ["deploy", "train", "ingest"]);
    assert_eq!(json["n_sources"], 5);
    let clip = house
        .pipelines
        .content_of(&root.join("owl/a.wav"))
        .expect("reads");
    let page = get(
        &state,
        &format!("/pipelines/lineage/{}", &clip.to_string()[..12]),
    );
    assert_eq!(page.status, 200);
    assert!(page.text().contains("What came of it") && page.text().contains(run.id().as_str()));
}

#[test]
fn what_is_not_there_is_said_so() {
    let house = House::new();
    let state = house.state();
    for path in [
        "/pipelines/20260101-000000-000000",
        "/pipelines/%2e%2e%2fx",
        "/pipelines/lineage/0000",
        "/pipelines/lineage/%25",
    ] {
        assert_eq!(get(&state, path).status, 404, "{path}");
        assert_eq!(
            get(&state, &format!("/api/v1{path}")).refusal().0,
            404,
            "{path}"
        );
    }
}
