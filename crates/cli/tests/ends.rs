//! How runs end when something breaks: between the last step and the end of the run,
//! in the files of the model in use, or because another run was faster.

mod support;

use biophony_tracking::{CHAMPION, TrackingStore};
use rusqlite::Connection;
use support::{Place, json};

const CLIP: &str = "clips/hum/hum_0.wav";

/// The version in use.
fn champion(place: &Place) -> u32 {
    let version = place
        .tracking_store()
        .get_model_version_by_alias("biophony", CHAMPION);
    version.expect("a model is in use").version
}

/// Runs SQL on the registry behind the program's back.
fn sabotage(place: &Place, sql: &str) {
    let database = Connection::open(place.path(".biophony/tracking.db")).expect("opens");
    database.execute_batch(sql).expect("is SQL");
}

/// The checks of the gate in the newest run.
fn decision(place: &Place) -> String {
    place.expect(0, &["runs", "logs", "newest", "deploy"])
}

/// A file of the version in use.
fn file_in_use(place: &Place, name: &str) -> std::path::PathBuf {
    let shown = json(&place.expect(0, &["models", "show", "--json"]));
    let folder = shown["path"].as_str().expect("it is here").to_owned();
    place.path(&folder).join(name)
}

#[test]
fn a_report_that_cannot_be_laid_out_leaves_a_run_to_be_resumed() {
    let place = Place::with_collection();
    std::fs::create_dir(place.path(".biophony")).unwrap();
    std::fs::write(place.path(".biophony/runs"), "in the way").unwrap();
    let told = ["--set", "run.on_success=touch told"];
    let run = [&["run", "--data", "clips"][..], &told].concat();
    let errors = place.complaint(1, &run);
    assert!(errors.contains("`biophony run --resume 2"), "{errors}");
    let listed = place.expect(0, &["runs", "list"]);
    assert!(listed.contains("failed"), "{listed}");
    assert!(!place.path("told").exists(), "no success is told of");

    std::fs::remove_file(place.path(".biophony/runs")).unwrap();
    let finished = json(&place.expect(0, &[&["run", "--resume", "--json"][..], &told].concat()));
    assert!(place.path(finished["report"].as_str().unwrap()).exists());
    assert!(place.path("told").exists());
    place.expect(0, &["classify", CLIP]);
}

#[test]
fn train_resumes_what_was_interrupted_and_not_what_failed_by_itself() {
    let place = Place::with_collection();
    let hurried = ["--set", "run.timeout_seconds=0.000001"];
    place.complaint(1, &[&["train", "clips"][..], &hurried].concat());
    let runs = || json(&place.expect(0, &["runs", "list", "--json"]));
    let first = runs()[0]["id"].as_str().unwrap().to_owned();
    let resume = ["train", "clips", "--resume"];
    let errors = place.complaint(1, &resume);
    assert!(errors.contains("no interrupted run"), "{errors}");
    assert!(errors.contains(&format!("`--resume {first}`")), "{errors}");

    let pipelines = Connection::open(place.path(".biophony/pipeline.db")).unwrap();
    pipelines
        .execute("UPDATE runs SET state = 'interrupted'", [])
        .unwrap();
    let other = ["train", "clips", "--epochs", "2"];
    place.complaint(1, &[&other[..], &hurried].concat());
    place.expect(0, &resume);
    let states: Vec<_> = (runs().as_array().unwrap().iter())
        .map(|run| (run["id"] == first.as_str(), run["state"].clone()))
        .collect();
    assert_eq!(
        states,
        [(false, "failed".into()), (true, "finished".into())]
    );
}

#[test]
fn what_is_put_into_use_has_its_lineage_kept_before() {
    let place = Place::with_collection();
    let refused = [
        "run",
        "--data",
        "clips",
        "--set",
        "deploy.max_latency_ms=0.000001",
    ];
    place.expect(0, &refused);
    sabotage(
        &place,
        "CREATE TRIGGER broken BEFORE INSERT ON alias_moves BEGIN SELECT raise(ABORT, 'broken'); END",
    );
    let errors = place.complaint(1, &["run", "--data", "clips"]);
    assert!(errors.contains("broken"), "{errors}");
    // Registered, not in use yet, and kept whatever happens to the run.
    let pipelines = Connection::open(place.path(".biophony/pipeline.db")).unwrap();
    let owner: String = pipelines
        .query_row("SELECT owner FROM pins", [], |row| row.get(0))
        .expect("is kept");
    assert_eq!(owner, "model biophony/1");
    sabotage(&place, "DROP TRIGGER broken");
    place.expect(0, &["run", "--resume"]);
    assert_eq!(champion(&place), 1, "registered once");
    place.expect(0, &["runs", "remove", "newest"]);
    place.expect(0, &["lineage", "champion"]);
}

#[test]
fn a_damaged_champion_is_laid_out_anew() {
    let place = Place::with_collection();
    place.expect(0, &["train", "clips"]);
    for name in ["weights.safetensors", "bundle.json"] {
        let file = file_in_use(&place, name);
        let whole = std::fs::read(&file).unwrap();
        let mut damaged = whole.clone();
        let middle = damaged.len() / 2;
        damaged[middle] ^= 1;
        std::fs::write(&file, &damaged).unwrap();
        place.expect(0, &["classify", CLIP]);
        assert!(std::fs::read(&file).unwrap() == whole, "{name}");
        std::fs::remove_file(&file).unwrap();
        place.expect(0, &["train", "clips", "--epochs", "2"]);
        assert!(std::fs::read(&file).is_ok_and(|now| now == whole), "{name}");
        place.expect(0, &["models", "promote", "1"]);
    }
}

#[test]
fn a_champion_that_cannot_be_read_holds_nobody_up() {
    let place = Place::with_collection();
    place.expect(0, &["train", "clips"]);
    sabotage(
        &place,
        "UPDATE model_versions SET storage_location = 's3://elsewhere/model'",
    );
    place.expect(0, &["classify", CLIP]); // from what it was copied from
    let pipelines = Connection::open(place.path(".biophony/pipeline.db")).unwrap();
    pipelines.execute("DELETE FROM pins", []).unwrap();
    let errors = place.complaint(1, &["classify", CLIP]);
    for word in ["biophony/1", "models promote", "models rollback"] {
        assert!(errors.contains(word), "{errors}");
    }
    let strict = ["--set", "deploy.max_latency_ms=0.000001"];
    let other = ["train", "clips", "--epochs", "1"];
    place.expect(0, &[&other[..], &strict].concat());
    assert_eq!(champion(&place), 1, "the other criteria stand");
    let figures = json(&place.expect(0, &["train", "clips", "--epochs", "2", "--json"]));
    let checks = figures["deployment"]["decision"]["checks"].to_string();
    assert!(checks.contains("biophony/1 cannot be read"), "{checks}");
    assert_eq!(champion(&place), 2);
    place.expect(0, &["classify", CLIP]);
    let errors = place.complaint(1, &["models", "rollback"]);
    assert!(errors.contains("biophony/1"), "{errors}");
    place.expect(0, &["models", "promote", "2"]);
}

#[test]
fn a_model_is_held_against_the_champion_whose_place_it_takes() {
    let place = Place::with_collection();
    let any = ["--set", "deploy.max_champion_risk=1"];
    place.expect(0, &["train", "clips"]);
    place.expect(
        0,
        &[&["train", "clips", "--epochs", "2"][..], &any].concat(),
    );
    place.expect(0, &["models", "promote", "1"]);
    assert_eq!(champion(&place), 1);
    // Another process is faster: between the gate's answer and what follows from it.
    sabotage(
        &place,
        "CREATE TRIGGER faster AFTER INSERT ON model_versions BEGIN
             UPDATE model_aliases SET version = 2 WHERE alias = 'champion'; END",
    );
    let third = ["train", "clips", "--epochs", "4", "--json"];
    let figures = json(&place.expect(0, &[&third[..], &any].concat()));
    assert_eq!(figures["deployment"]["champion"], "biophony/2", "{figures}");
    assert_eq!(champion(&place), 3);
    let told = decision(&place);
    assert_eq!(told.matches("attempt").count(), 0, "{told}");
    let runs = json(&place.expect(0, &["runs", "list", "--json"]));
    assert_eq!(runs.as_array().unwrap().len(), 3, "it is one run");
    assert!(
        runs.as_array()
            .unwrap()
            .iter()
            .all(|run| run["state"] == "finished")
    );
}

#[test]
fn a_rollback_stands_whatever_runs_again() {
    let place = Place::with_collection();
    place.expect(0, &["train", "clips"]);
    let second = [
        "train",
        "clips",
        "--epochs",
        "2",
        "--set",
        "deploy.max_champion_risk=1",
    ];
    place.expect(0, &second);
    assert_eq!(champion(&place), 2);
    place.expect(0, &["models", "rollback"]);
    let told = place.expect(0, &second);
    assert_eq!(champion(&place), 1);
    assert!(told.contains("`biophony models promote 2`"), "{told}");
}
