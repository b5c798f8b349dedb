//! The gate as its users meet it: which models come into use, and which do not.

mod support;

use support::{Place, json};

/// Runs the pipeline.
#[track_caller]
fn run(place: &Place, more: &[&str]) {
    place.expect(0, &[&["run", "--data", "clips"], more].concat());
}

/// What the gate said of the newest run.
fn verdict(place: &Place) -> String {
    place.expect(0, &["runs", "logs", "newest", "deploy"])
}

#[test]
fn a_model_that_fails_the_gate_is_kept_as_a_run_and_not_put_into_use() {
    let place = Place::with_collection();
    let refused = [
        "run",
        "--data",
        "clips",
        "--json",
        "--set",
        "deploy.max_latency_ms=0.000001",
    ];
    let figures = json(&place.expect(0, &refused));
    assert!(figures["model"].is_null(), "{figures}");
    let check = &figures["deployment"]["decision"]["checks"][0];
    assert_eq!(check["criterion"], "max_latency_ms");
    assert_eq!(check["holds"], false);
    let errors = place.complaint(1, &["classify", "clips/hum/hum_0.wav"]);
    assert!(errors.contains("no model"), "{errors}");

    place.expect(0, &["run", "--data", "clips"]);
    place.expect(0, &["classify", "clips/hum/hum_0.wav"]);
    let in_use = place.champion();
    place.expect(0, &[&refused[..], &["--set", "train.epochs=2"]].concat());
    assert_eq!(
        place.champion(),
        in_use,
        "a refused model leaves the champion in its place"
    );
}

#[test]
fn a_champion_that_cannot_be_compared_with_stays() {
    let place = Place::with_collection();
    // After a cross-validation, the champion is trained on all recordings.
    run(&place, &["--folds", "2"]);
    let first = place.champion();
    let retrained = ["--folds", "2", "--set", "train.epochs=2"];
    run(&place, &retrained);
    assert_eq!(place.champion(), first);
    let log = verdict(&place);
    assert!(
        log.contains("fails: the champion biophony/1 was trained on every"),
        "{log}"
    );
    let any = ["--set", "deploy.max_champion_risk=1"];
    run(&place, &[&retrained[..], &any].concat());
    assert_eq!(place.champion(), first + 1);
}

#[test]
fn a_comparison_on_too_few_recordings_leaves_the_champion_in_its_place() {
    let place = Place::with_collection();
    run(&place, &[]);
    let first = place.champion();
    // Another split: most that is tested now was trained on before.
    let reseeded = ["--set", "split.seed=2"];
    run(&place, &reseeded);
    assert_eq!(place.champion(), first);
    let log = verdict(&place);
    assert!(
        log.contains("fails: new to both models: 1 of the 5"),
        "{log}"
    );
    assert!(log.contains("`deploy.min_unseen="), "{log}");
    let any = ["--set", "deploy.min_unseen=1"];
    run(&place, &[&reseeded[..], &any].concat());
    let log = verdict(&place);
    assert!(log.contains("clips that are new to both"), "{log}");
}

#[test]
fn a_model_that_knows_less_does_not_take_the_place_of_one_that_knows_more() {
    let place = Place::with_collection();
    run(&place, &[]);
    let first = place.champion();
    std::fs::rename(place.path("clips/ticks"), place.path("ticks")).unwrap();
    run(&place, &[]);
    assert_eq!(place.champion(), first);
    let log = verdict(&place);
    assert!(log.contains("knows `ticks`, which this model"), "{log}");
    run(&place, &["--set", "deploy.max_champion_risk=1"]);
    assert_eq!(place.champion(), first + 1);
    // One class more is no loss.
    std::fs::rename(place.path("ticks"), place.path("clips/ticks")).unwrap();
    run(&place, &["--set", "deploy.min_unseen=1"]);
    let log = verdict(&place);
    assert!(!log.contains("which this model does not"), "{log}");
}

#[test]
fn a_demo_takes_nobodys_place_and_yields_to_anybody() {
    let place = Place::with_collection();
    let demo = ["demo", "--set", "train.epochs=1"];
    place.expect(0, &demo);
    let first = place.champion();
    // Not one class in common.
    run(&place, &[]);
    assert_eq!(place.champion(), first + 1);
    let told = place.expect(0, &["demo", "--seed", "2", "--set", "train.epochs=1"]);
    assert_eq!(place.champion(), first + 1);
    assert!(told.contains("synthetic"), "{told}");
    let log = verdict(&place);
    assert!(log.contains("fails: these sounds are synthetic"), "{log}");
}

#[test]
fn a_demo_takes_what_the_user_sets() {
    let place = Place::with_collection();
    // Of the demo's own: two seconds. From the file: another network, and 3 epochs.
    place.expect(0, &["demo", "--set", "train.epochs=2"]);
    let run = json(&place.expect(0, &["runs", "show", "newest", "--json"]));
    let settings = &run["config"]["settings"];
    assert_eq!(settings["train"]["epochs"], 2, "{run}");
    assert_eq!(settings["train"]["architecture"], "mobile");
    assert_eq!(settings["clip"]["clip_seconds"], 0.5);
}
