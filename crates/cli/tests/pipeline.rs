//! The pipeline as its users run it: what is run again and what is not, why, and
//! what becomes of the model.

mod support;

use std::process::Stdio;

use biophony_tracking::TrackingStore;
use serde_json::Value;
use support::{Place, json, write_sound};

/// Runs the pipeline and returns the states of its steps: `ingest ran, …`.
#[track_caller]
fn states(place: &Place, more: &[&str]) -> String {
    let mut arguments = vec!["run", "--data", "clips"];
    arguments.extend(more);
    place.expect(0, &arguments);
    states_of_newest(place)
}

/// Starts the program and lets it run.
fn start(place: &Place, arguments: &[&str]) -> std::process::Child {
    let mut command = std::process::Command::new(assert_cmd::cargo::cargo_bin!("biophony"));
    command.current_dir(place.path("")).args(arguments);
    let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn();
    child.expect("the program starts")
}

fn states_of_newest(place: &Place) -> String {
    let run = json(&place.expect(0, &["runs", "show", "newest", "--json"]));
    let steps = run["steps"].as_array().expect("a run has steps");
    let state = |step: &Value| {
        let word = |name: &str| step[name].as_str().unwrap_or_default().to_owned();
        format!("{} {}", word("step"), word("state"))
    };
    steps.iter().map(state).collect::<Vec<_>>().join(", ")
}

#[test]
fn what_did_not_change_is_not_run_again() {
    let place = Place::with_collection();
    let all = "ingest ran, split ran, train-split ran, evaluate ran, deploy ran";
    assert_eq!(states(&place, &[]), all);
    // Also the decision: that the model itself is in use now changes nothing about it.
    let none = "ingest cached, split cached, train-split cached, evaluate cached, deploy cached";
    assert_eq!(states(&place, &[]), none);

    let judged_anew = "ingest cached, split cached, train-split cached, evaluate ran, deploy ran";
    assert_eq!(
        states(&place, &["--set", "evaluate.bootstrap=60"]),
        judged_anew
    );
    let explained = place.expect(0, &["runs", "explain", "newest", "evaluate"]);
    assert!(
        explained.contains("bootstrap") && explained.contains("50") && explained.contains("60"),
        "{explained}"
    );
    assert_eq!(states(&place, &["--fresh"]), all);
}

#[test]
fn a_run_goes_on_when_nobody_listens_any_more() {
    let place = Place::with_collection();
    let mut command = std::process::Command::new(assert_cmd::cargo::cargo_bin!("biophony"));
    command
        .current_dir(place.path(""))
        .args(["run", "--data", "clips"]);
    let child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn();
    let mut child = child.expect("the program starts");
    drop(child.stderr.take());
    assert!(child.wait().expect("it ends").success());
    assert!(states_of_newest(&place).ends_with("deploy ran"));
}

#[test]
fn a_folder_that_was_moved_is_the_same_and_a_changed_clip_is_not() {
    let place = Place::with_collection();
    states(&place, &[]);
    states(&place, &[]);
    std::fs::create_dir(place.path("elsewhere")).unwrap();
    std::fs::rename(place.path("clips"), place.path("elsewhere/clips")).unwrap();
    place.expect(0, &["run", "--data", "elsewhere/clips"]);
    let none = "ingest cached, split cached, train-split cached, evaluate cached, deploy cached";
    assert_eq!(states_of_newest(&place), none);

    write_sound(&place.path("elsewhere/clips/hum/hum_3.wav"), 0, 77);
    place.expect(0, &["run", "--data", "elsewhere/clips"]);
    assert!(states_of_newest(&place).starts_with("ingest ran"));
    let log = place.expect(0, &["runs", "logs", "newest", "ingest"]);
    assert!(
        log.contains("examined: 1 computed, 29 from the cache"),
        "{log}"
    );
    assert!(
        log.contains("features: 1 computed, 29 from the cache"),
        "{log}"
    );
    let explained = place.expect(0, &["runs", "explain", "newest", "ingest"]);
    assert!(
        explained.contains("`recordings`: 1 file changed (hum/hum_3.wav)"),
        "{explained}"
    );
}

#[test]
fn a_clip_that_was_edited_since_shows_where_it_went_before() {
    let place = Place::with_collection();
    states(&place, &[]);
    let clip = "clips/hum/hum_3.wav";
    let before = place.expect(0, &["lineage", clip]);
    write_sound(&place.path(clip), 0, 77);
    let output = place.run(&["lineage", clip]);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(errors.contains("has changed since"), "{errors}");
    assert_eq!(String::from_utf8_lossy(&output.stdout), before);
    std::fs::remove_file(place.path(clip)).unwrap();
    assert_eq!(place.expect(0, &["lineage", clip]), before);
}

#[test]
fn commands_that_only_look_leave_nothing_behind() {
    let place = Place::with_collection();
    assert_eq!(place.expect(0, &["runs", "list"]), "");
    assert_eq!(place.expect(0, &["runs", "list", "--json"]), "[]\n");
    place.complaint(1, &["runs", "show", "newest"]);
    place.complaint(1, &["run", "--resume"]);
    place.complaint(1, &["lineage", "clips/hum/hum_0.wav"]);
    for wrong in [
        "run.on_success=https://example.org/",
        "run.on_failure=http://",
    ] {
        let errors = place.complaint(2, &["run", "--data", "clips", "--set", wrong]);
        assert!(errors.contains("`run.on_"), "{errors}");
    }
    assert!(!place.path(".biophony").exists());
}

#[test]
fn a_run_is_removed_once_and_with_its_unfinished_trainings() {
    let place = Place::with_collection();
    states(&place, &[]);
    let mut child = start(&place, &["train", "clips", "--epochs", "100000"]);
    while !place.has_checkpoint(".biophony") {
        assert!(child.try_wait().unwrap().is_none(), "it trains");
        std::thread::yield_now();
    }
    child.kill().unwrap();
    child.wait().unwrap();
    place.expect(0, &["runs", "remove", "newest", "newest"]);
    assert!(!place.has_checkpoint(".biophony"));
    let runs = json(&place.expect(0, &["runs", "list", "--json"]));
    assert_eq!(runs.as_array().unwrap().len(), 1);
}

#[test]
fn a_clip_that_changes_while_networks_are_trained_stops_nothing() {
    let place = Place::with_collection();
    states(&place, &["--set", "train.epochs=1"]);
    let mut child = start(&place, &["train", "clips", "--epochs", "60"]);
    while !place.has_checkpoint(".biophony") {
        assert!(child.try_wait().unwrap().is_none(), "it trains");
        std::thread::yield_now();
    }
    for index in 0..10 {
        write_sound(&place.path(&format!("clips/hum/hum_{index}.wav")), 0, 77);
    }
    assert!(child.wait().unwrap().success());
    let log = place.expect(0, &["runs", "logs", "newest", "deploy"]);
    assert!(log.contains("changed since it was examined"), "{log}");
}

#[test]
fn a_run_is_resumed_from_whatever_folder() {
    let place = Place::with_collection();
    let hurried = [
        "run",
        "--data",
        "clips",
        "--set",
        "run.timeout_seconds=0.000001",
    ];
    place.complaint(1, &hurried);
    std::fs::create_dir(place.path("other")).unwrap();
    let mut command = place.command(&["--home", "../.biophony", "run", "--resume"]);
    let output = command.current_dir(place.path("other")).output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    std::fs::rename(place.path("clips"), place.path("moved")).unwrap();
    place.complaint(
        1,
        &[
            &hurried[..2],
            &["moved", "--set", "run.timeout_seconds=0.000001"],
        ]
        .concat(),
    );
    let runs = json(&place.expect(0, &["runs", "list", "--json"]));
    let newest = runs[0]["id"].as_str().expect("has a name");
    let errors = place.complaint(2, &["train", "other", "--resume", newest]);
    assert!(
        errors.contains("moved") && errors.contains("other"),
        "{errors}"
    );
}

#[cfg(unix)]
#[test]
fn what_a_run_leaves_may_be_read_by_whom_the_umask_lets() {
    use std::os::unix::fs::PermissionsExt;

    let place = Place::with_collection();
    let umasked = "umask 026; exec \"$0\" train clips --epochs 1";
    let output = std::process::Command::new("sh")
        .args(["-c", umasked])
        .arg(assert_cmd::cargo::cargo_bin!("biophony"))
        .current_dir(place.path("."))
        .output()
        .expect("there is a shell");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    let runs = json(&place.expect(0, &["runs", "list", "--json"]));
    let name = runs[0]["id"].as_str().expect("has a name");
    for (path, expected) in [
        (format!("runs/{name}/report.html"), 0o640),
        (format!("runs/{name}/metrics.json"), 0o640),
        (format!("models/{name}"), 0o751),
        (format!("models/{name}/bundle.json"), 0o640),
    ] {
        let metadata = place.path(".biophony").join(&path).metadata();
        let mode = metadata.expect("is there").permissions().mode() & 0o777;
        assert_eq!(mode, expected, "{path} has {mode:o}");
    }
}

#[test]
fn a_run_that_failed_says_how_to_go_on_and_may_be_given_more_time() {
    let place = Place::with_collection();
    let hurried = [
        "run",
        "--data",
        "clips",
        "--set",
        "run.timeout_seconds=0.000001",
    ];
    let errors = place.complaint(1, &hurried);
    let told = errors.matches("longer than its limit").count();
    assert_eq!(told, 2, "by the step and at the end: {errors}");
    assert!(errors.contains("`biophony run --resume 2"), "{errors}");
    let errors = place.complaint(2, &["run", "--resume", "--set", "train.epochs=9"]);
    assert!(
        errors.contains("only settings of the section [run]"),
        "{errors}"
    );
    place.expect(0, &["run", "--resume", "--set", "run.timeout_seconds=0"]);
    assert!(states_of_newest(&place).ends_with("deploy ran"));
}

#[test]
fn a_model_that_was_removed_is_put_into_use_again() {
    let place = Place::with_collection();
    states(&place, &[]);
    for folder in ["models", "mlartifacts"] {
        std::fs::remove_dir_all(place.path(".biophony").join(folder)).unwrap();
    }
    let cached = "ingest cached, split cached, train-split cached, evaluate cached, deploy cached";
    assert_eq!(states(&place, &[]), cached);
    place.expect(0, &["classify", "clips/hum/hum_0.wav"]);
}

#[test]
fn lineage_leads_from_the_model_to_the_clips_and_back() {
    let place = Place::with_collection();
    states(&place, &[]);
    let clip = "clips/hum/hum_0.wav";
    let lineage = json(&place.expect(0, &["lineage", "champion", "--json"]));
    let files = lineage["upstream"]["sources"].as_array().unwrap();
    assert_eq!(files.len(), 30);
    let steps = lineage["upstream"]["steps"].as_array().unwrap();
    let train = steps
        .iter()
        .find(|step| step["ingredients"]["step"] == "train-split")
        .expect("the model was trained");
    assert_eq!(train["ingredients"]["params"]["train"]["epochs"], 3);
    let fate = place.expect(0, &["lineage", clip]);
    assert!(
        fate.contains("train-split") && fate.contains("model"),
        "{fate}"
    );
    let fate = json(&place.expect(0, &["lineage", clip, "--json"]));
    let [model] = fate["models"].as_array().unwrap().as_slice() else {
        panic!("it went into one model: {fate}")
    };
    let content = model["content"].as_str().unwrap();
    let bundle = format!(
        ".biophony/artifacts/{}/{content}/bundle.json",
        &content[..2]
    );
    let bundle = json(&std::fs::read_to_string(place.path(&bundle)).unwrap());
    let recordings = bundle["provenance"]["dataset"]["recordings"].as_array();
    let names = |recording: &&Value| recording["path"] == "hum/hum_0.wav";
    let recording = recordings.unwrap().iter().find(names);
    assert_eq!(
        model["part"],
        recording.expect("the model names it")["part"]
    );
    let settings = place.expect(0, &["lineage", "champion", "--settings"]);
    assert!(settings.contains(r#""epochs":3"#), "{settings}");
    let of_the_run = json(&place.expect(0, &["lineage", "newest", "--json"]));
    assert_eq!(of_the_run["upstream"], lineage["upstream"]);
}

#[test]
fn a_registered_model_keeps_its_lineage_when_its_run_is_removed() {
    let place = Place::with_collection();
    states(&place, &[]);
    let told = place.expect(0, &["runs", "remove", "newest"]);
    assert!(!told.contains("removed 0 artifacts"), "{told}");
    let lineage = json(&place.expect(0, &["lineage", "champion", "--json"]));
    let files = lineage["upstream"]["sources"].as_array().unwrap();
    assert_eq!(files.len(), 30);
    assert_eq!(lineage["upstream"]["steps"].as_array().unwrap().len(), 4);
    let content = lineage["upstream"]["content"].as_str().unwrap();
    let artifact = place.path(&format!(".biophony/artifacts/{}/{content}", &content[..2]));
    assert!(artifact.join("bundle.json").exists());

    let store = place.tracking_store();
    store
        .delete_model_version("biophony", place.champion())
        .unwrap();
    let told = place.expect(0, &["runs", "clean"]);
    assert!(told.contains("removed 1 artifact "), "{told}");
    assert!(!artifact.exists(), "a deleted version keeps nothing");
}

#[test]
fn init_writes_settings_that_run_takes() {
    let place = Place::with_collection();
    let errors = place.complaint(1, &["init"]);
    assert!(errors.contains("already"), "{errors}");
    std::fs::remove_file(place.path("biophony.toml")).unwrap();
    place.expect(0, &["init", "--data", "clips"]);
    let small: Vec<&str> = support::SMALL_FLAGS
        .iter()
        .flat_map(|flag| ["--set", flag])
        .collect();
    place.expect(0, &[&["run"], &small[..]].concat());
    let listed = place.expect(0, &["runs", "list"]);
    assert!(
        listed.contains("finished") && listed.contains("clips"),
        "{listed}"
    );
    let svg = place.path("graph.svg");
    place.expect(
        0,
        &["runs", "show", "newest", "--svg", svg.to_str().unwrap()],
    );
    assert!(
        std::fs::read_to_string(svg)
            .unwrap()
            .contains("train-split")
    );
    place.expect(0, &["runs", "remove", "newest"]);
    assert_eq!(place.expect(0, &["runs", "list"]), "");
    place.expect(0, &["classify", "clips/hum/hum_0.wav"]);
}

#[test]
fn without_recordings_it_says_how_to_name_them() {
    let place = Place::with_collection();
    let errors = place.complaint(2, &["run"]);
    assert!(errors.contains("--data"), "{errors}");
    let errors = place.complaint(1, &["run", "--resume"]);
    assert!(errors.contains("come to its end"), "{errors}");
}
