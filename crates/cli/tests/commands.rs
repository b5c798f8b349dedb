//! The program as its users run it: real files in a fresh folder, the real
//! binary, its output and its exit code.

mod support;

use biophony_tracking::{RunStatus, Search, TrackingStore, ViewType};
use serde_json::Value;
use support::{Place, json, trained, write_sound};

#[test]
fn training_leaves_a_report_tables_and_a_bundle() {
    let place = Place::with_collection();
    let figures = json(&place.expect(0, &["train", "clips", "--json"]));
    for name in ["accuracy", "macro_f1", "balanced_accuracy", "weighted_f1"] {
        assert!(figures[name].is_number(), "`{name}` in {figures}");
    }
    let run = place.path(figures["run"].as_str().unwrap());
    for name in [
        "report.html",
        "metrics.json",
        "per_class.csv",
        "confusion.csv",
        "predictions.csv",
        "audit.html",
        "model_summary.txt",
    ] {
        assert!(run.join(name).is_file(), "{name}");
    }
    let report = std::fs::read_to_string(run.join("report.html")).unwrap();
    assert!(!report.contains("<script"), "the report runs nothing");
    let model = place.path(figures["model"].as_str().unwrap());
    for name in [
        "bundle.json",
        "weights.safetensors",
        "model.onnx",
        "MLmodel",
    ] {
        assert!(model.join(name).is_file(), "{name}");
    }
}

#[test]
fn the_same_seed_gives_the_same_weights_at_any_number_of_threads() {
    let place = Place::with_collection();
    let weights = |threads: &str| {
        let figures = json(&place.expect(0, &["train", "clips", "--json", "--threads", threads]));
        let model = place.path(figures["model"].as_str().unwrap());
        std::fs::read(model.join("weights.safetensors")).unwrap()
    };
    let one = weights("1");
    assert!(
        one == weights("2"),
        "two threads gave other weights than one"
    );
    assert!(
        one == weights("3"),
        "three threads gave other weights than one"
    );
}

#[test]
fn cross_validation_tests_every_recording_once() {
    let place = Place::with_collection();
    let figures = json(&place.expect(
        0,
        &[
            "train",
            "clips",
            "--folds",
            "2",
            "--compare-naive",
            "--epochs",
            "1",
            "--json",
        ],
    ));
    assert_eq!(figures["n_clips"], 30);
    assert_eq!(figures["folds"].as_array().unwrap().len(), 2);
    assert!(figures["naive"]["accuracy"].is_number());
}

#[test]
fn folds_keep_a_validation_part_only_to_choose_an_epoch() {
    let place = Place::with_collection();
    let parts = |monitor: &str| {
        let monitor = format!("train.monitor={monitor}");
        let arguments = ["train", "clips", "--folds", "2", "--epochs", "1", "--json"];
        let arguments = [&arguments[..], &["--set", &monitor]].concat();
        let figures = json(&place.expect(0, &arguments));
        let fold = &figures["folds"][0];
        ["n_train", "n_validation", "n_test"].map(|part| fold[part].as_u64().unwrap())
    };
    assert_eq!(parts("last"), [15, 0, 15]);
    let [train, validation, test] = parts("loss");
    assert!(validation > 0);
    assert_eq!([train + validation, test], [15, 15]);
}

#[test]
fn a_manifest_decides_labels_and_folds() {
    let place = Place::with_collection();
    let mut table = String::from("path,label,fold\n");
    for label in ["hum", "hiss", "ticks"] {
        for index in 0..10 {
            table.push_str(&format!(
                "clips/{label}/{label}_{index}.wav,{label},{}\n",
                index % 2
            ));
        }
    }
    std::fs::write(place.path("table.csv"), table).unwrap();
    let arguments = [
        "train",
        "--manifest",
        "table.csv",
        "--folds",
        "manifest",
        "--epochs",
        "1",
        "--json",
    ];
    let report = || {
        let figures = json(&place.expect(0, &arguments));
        assert_eq!(figures["n_clips"], 30);
        std::fs::read_to_string(place.path(figures["report"].as_str().unwrap())).unwrap()
    };
    assert!(report().contains("30 recordings, none of which has a copy"));
    // The manifest puts a recording and its copy into different folds.
    let [one, other] = [0, 1].map(|index| place.path(&format!("clips/hum/hum_{index}.wav")));
    std::fs::copy(one, other).unwrap();
    assert!(report().contains("30 recordings, 2 of which have a copy"));
}

#[test]
fn one_bad_recording_is_reported_and_the_rest_is_trained_on() {
    let place = Place::with_collection();
    std::fs::write(
        place.path("clips/hum/broken.wav"),
        b"RIFF\x00\x00\x00\x00WAVEnothing",
    )
    .unwrap();
    let output = place.run(&["train", "clips", "--epochs", "1", "--json"]);
    assert_eq!(output.status.code(), Some(1));
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(errors.contains("hum/broken.wav"), "{errors}");
    let figures = json(&String::from_utf8_lossy(&output.stdout));
    assert_eq!(figures["unreadable"].as_array().unwrap().len(), 1);
}

#[test]
fn a_rate_beyond_what_can_be_resampled_is_reported_and_stops_nothing() {
    let place = Place::with_collection();
    let sound = std::fs::read(place.path("clips/hum/hum_0.wav")).unwrap();
    let mut fast = sound.clone();
    fast[24..28].copy_from_slice(&4_000_000_u32.to_le_bytes());
    std::fs::write(place.path("clips/hum/fast.wav"), fast).unwrap();
    let slow = ["--set", "features.sample_rate=3000", "--epochs", "1"];
    let train = [&["train", "clips", "--json"][..], &slow].concat();
    let output = place.run(&train);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{errors}");
    let reason = "resampling from 4000000 Hz to 3000 Hz";
    assert!(
        errors.contains("hum/fast.wav") && errors.contains(reason),
        "{errors}"
    );
    let figures = json(&String::from_utf8_lossy(&output.stdout));
    assert_eq!(figures["unreadable"].as_array().unwrap().len(), 1);
    // Once more, from what is remembered of each recording.
    std::fs::write(place.path("clips/hum/more.wav"), &sound[..4000]).unwrap();
    let again = place.complaint(1, &train);
    assert!(again.contains(reason), "{again}");

    for command in [
        &["classify", "clips/hum/fast.wav", "clips/hum/hum_0.wav"][..],
        &["evaluate", "clips"],
    ] {
        let errors = place.complaint(1, command);
        assert!(
            errors.contains("fast.wav") && errors.contains(reason),
            "{errors}"
        );
    }
}

#[test]
fn classify_answers_for_every_good_file_and_reports_the_bad_one() {
    let place = trained();
    std::fs::write(place.path("noise.txt"), "no sound").unwrap();
    let files = ["clips/hum/hum_1.wav", "noise.txt", "clips/hiss/hiss_1.wav"];
    let mut arguments = vec!["classify", "--csv"];
    arguments.extend(files);
    let output = place.run(&arguments);
    assert_eq!(output.status.code(), Some(1));
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(
        errors.contains("1 file could not be used") && errors.contains("noise.txt"),
        "{errors}"
    );

    let table = String::from_utf8(output.stdout).unwrap();
    let lines: Vec<&str> = table.lines().collect();
    assert!(
        lines[0].starts_with("path,label,probability,accepted"),
        "{table}"
    );
    assert_eq!(lines.len(), 3, "{table}");
    assert!(lines[1].starts_with("clips/hum/hum_1.wav,"), "{table}");
    assert!(lines[2].starts_with("clips/hiss/hiss_1.wav,"), "{table}");
}

#[test]
fn classify_as_json_ranks_every_class() {
    let place = trained();
    let rows = json(&place.expect(0, &["classify", "--json", "clips/ticks/ticks_3.wav"]));
    let ranked = rows[0]["predictions"].as_array().unwrap();
    let sum: f64 = ranked
        .iter()
        .map(|one| one["probability"].as_f64().unwrap())
        .sum();
    assert_eq!(ranked.len(), 3);
    assert!((sum - 1.0).abs() < 1e-5, "probabilities sum to {sum}");
    assert_eq!(rows[0]["label"], ranked[0]["label"]);
}

#[test]
fn an_answer_below_the_threshold_is_unknown() {
    let place = trained();
    let file = "clips/hum/hum_2.wav";
    let rows = json(&place.expect(0, &["classify", "--json", "--threshold", "1.0", file]));
    assert_eq!(rows[0]["accepted"], false);
    let rows = json(&place.expect(0, &["classify", "--json", "--threshold", "0.0", file]));
    assert_eq!(rows[0]["accepted"], true);
}

#[test]
fn without_a_model_classify_says_how_to_make_one() {
    let place = Place::with_collection();
    let errors = place.complaint(1, &["classify", "clips/hum/hum_1.wav"]);
    assert!(errors.contains("biophony train"), "{errors}");
}

#[test]
fn evaluate_points_out_recordings_that_were_trained_on() {
    let place = trained();
    let output = place.run(&["evaluate", "clips", "--json", "--out", "judged"]);
    assert_eq!(output.status.code(), Some(0));
    let figures = json(&String::from_utf8_lossy(&output.stdout));
    assert_eq!(figures["n_clips"], 30);
    assert!(figures["n_trained_on"].as_u64().unwrap() > 10, "{figures}");
    assert!(String::from_utf8_lossy(&output.stderr).contains("too good"));
    assert!(place.path("judged/report.html").is_file());
}

#[test]
fn the_audit_finds_a_copy_under_two_labels() {
    let place = Place::with_collection();
    std::fs::copy(
        place.path("clips/hum/hum_0.wav"),
        place.path("clips/hiss/again.wav"),
    )
    .unwrap();
    let table = place.expect(0, &["audit", "clips", "--html", "audit.html"]);
    assert!(table.contains("again.wav"), "{table}");
    assert!(place.path("audit.html").is_file());
    let audit = json(&place.expect(0, &["audit", "clips", "--json"]));
    assert!(
        audit["findings"]
            .as_array()
            .is_some_and(|findings| !findings.is_empty())
    );
}

#[test]
fn features_are_written_as_an_array_and_as_a_picture() {
    let place = Place::with_collection();
    let arguments = [
        "features",
        "clips/hum/hum_0.wav",
        "--out",
        "x.npy",
        "--sample-rate",
        "8000",
        "--n-fft",
        "512",
        "--hop-length",
        "128",
        "--n-mels",
        "20",
        "--fmin",
        "0",
        "--fmax",
        "4000",
        "--scale",
        "db",
        "--top-db",
        "20",
    ];
    place.expect(0, &arguments);
    let bytes = std::fs::read(place.path("x.npy")).unwrap();
    let header = String::from_utf8_lossy(&bytes[..128]).into_owned();
    // 4,800 samples, centered frames every 128.
    assert!(header.contains("(20, 38)"), "{header}");

    let mut otherwise = arguments.to_vec();
    otherwise.extend(["--set", "features.scale.ref=max"]);
    place.expect(0, &otherwise);
    let again = std::fs::read(place.path("x.npy")).unwrap();
    assert!(again == bytes, "decibels are always against 1.0");

    let mut unlimited = arguments.to_vec();
    *unlimited.last_mut().unwrap() = "none";
    place.expect(0, &unlimited);
    let low = |bytes: &[u8]| {
        let values = bytes[128..]
            .chunks(4)
            .map(|b| f32::from_le_bytes(b.try_into().unwrap()));
        values.fold(f32::INFINITY, f32::min)
    };
    let all = std::fs::read(place.path("x.npy")).unwrap();
    assert!(
        low(&all) < low(&bytes),
        "nothing is cut off 20 dB below the loudest"
    );
    let by_setting = [
        &arguments[..arguments.len() - 2],
        &["--set", "features.scale.top_db=none"],
    ];
    place.expect(0, &by_setting.concat());
    assert!(std::fs::read(place.path("x.npy")).unwrap() == all);

    place.expect(0, &["features", "clips/hum/hum_0.wav", "--out", "x.png"]);
    let picture = std::fs::read(place.path("x.png")).unwrap();
    assert!(picture.starts_with(b"\x89PNG"));
}

#[test]
fn a_killed_run_resumes_to_the_same_weights() {
    let place = Place::with_collection();
    let arguments = ["train", "clips", "--epochs", "40", "--json"];
    let undisturbed = json(&place.expect(0, &arguments));

    let mut child = std::process::Command::new(assert_cmd::cargo::cargo_bin!("biophony"))
        .current_dir(place.path("."))
        .args(["--home", "other"])
        .args(arguments)
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .spawn()
        .expect("the program starts");
    while !place.has_checkpoint("other") && child.try_wait().expect("a child").is_none() {
        std::thread::yield_now();
    }
    child.kill().expect("it can be killed");
    child.wait().expect("it ends");

    let mut resume = vec!["--home", "other"];
    resume.extend(arguments);
    resume.push("--resume");
    let resumed = json(&place.expect(0, &resume));
    let weights = |figures: &Value| {
        let model = place.path(figures["model"].as_str().unwrap());
        std::fs::read(model.join("weights.safetensors")).unwrap()
    };
    assert!(
        weights(&resumed) == weights(&undisturbed),
        "the resumed run ended elsewhere"
    );
    let errors = place.complaint(1, &resume);
    assert!(errors.contains("no interrupted run"), "{errors}");
}

#[cfg(unix)]
/// Runs the program until it has a checkpoint, and then presses Ctrl-C.
fn interrupted(place: &Place, arguments: &[&str]) -> std::process::Output {
    let mut child = std::process::Command::new(assert_cmd::cargo::cargo_bin!("biophony"))
        .current_dir(place.path("."))
        .args(arguments)
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::null())
        .spawn()
        .expect("the program starts");
    while !place.has_checkpoint(".biophony") && child.try_wait().expect("a child").is_none() {
        std::thread::yield_now();
    }
    let pid = child.id().to_string();
    let sent = std::process::Command::new("kill")
        .args(["-INT", &pid])
        .status();
    assert!(sent.expect("kill is there").success());
    child.wait_with_output().expect("it ends")
}

#[test]
fn an_interrupt_within_the_folds_puts_no_model_into_use() {
    let place = Place::with_collection();
    let folds = [
        "train", "clips", "--epochs", "100000", "--folds", "2", "--json",
    ];
    let output = interrupted(&place, &folds);
    assert_eq!(output.status.code(), Some(1));
    let decision = place.expect(0, &["runs", "logs", "newest", "deploy"]);
    assert!(decision.contains("training was interrupted"), "{decision}");
    // Folds are trained side by side: those that have learned nothing yet are not judged.
    let figures = json(&String::from_utf8_lossy(&output.stdout));
    let judged: Vec<_> = (figures["folds"].as_array().unwrap().iter())
        .map(|fold| fold["name"].as_str().unwrap())
        .collect();
    let stopped = figures["stopped"].as_str().unwrap();
    for fold in ["fold-1", "fold-2"] {
        let has_none = stopped.contains(&format!("{fold} has no whole epoch"));
        assert_eq!(judged.contains(&fold), !has_none, "{stopped}");
    }
    let store = place.tracking_store();
    let champion = store.get_model_version_by_alias("biophony", "champion");
    assert!(champion.is_err(), "{champion:?}");
}

#[test]
fn an_interrupt_keeps_the_best_weights_so_far() {
    let place = Place::with_collection();
    let output = interrupted(&place, &["train", "clips", "--epochs", "100000", "--json"]);
    assert_eq!(output.status.code(), Some(1));
    let figures = json(&String::from_utf8_lossy(&output.stdout));
    assert_eq!(figures["interrupted"], true);
    assert!(
        place
            .path(figures["model"].as_str().unwrap())
            .join("model.onnx")
            .is_file()
    );
    let store = place.tracking_store();
    let experiment = store.get_experiment_by_name("clips").unwrap().unwrap();
    let runs = store.search_runs(
        &[experiment.experiment_id],
        &Search::default(),
        ViewType::ActiveOnly,
    );
    assert_eq!(runs.unwrap().items[0].info.status, RunStatus::Killed);
}

#[test]
fn the_machine_is_measured_with_the_settings_as_they_are() {
    let place = Place::with_collection();
    let found = json(&place.expect(0, &["bench", "--json", "--threads", "1"]));
    assert_eq!(found["threads"], 1);
    for figure in ["features_times_real_time", "training_examples_per_second"] {
        assert!(found[figure].as_f64().expect("a number") > 0.0, "{figure}");
    }
    let text = place.expect(0, &["bench"]);
    assert!(
        text.contains("mobile, windows of 0.5 s, batches of 8"),
        "{text}"
    );
}

#[test]
fn help_is_there_for_every_command() {
    let place = Place::with_collection();
    for command in [
        "train",
        "classify",
        "evaluate",
        "audit",
        "features",
        "demo",
        "bench",
        "config",
        "export",
        "completions",
    ] {
        assert!(
            place.expect(0, &[command, "--help"]).contains("Usage:"),
            "{command}"
        );
    }
    assert!(
        place
            .expect(0, &["completions", "bash"])
            .contains("biophony")
    );
}

#[test]
fn a_clip_outside_the_collection_is_heard_as_what_it_is_like() {
    let place = Place::with_collection();
    place.expect(0, &["train", "clips", "--epochs", "20"]);
    write_sound(&place.path("new.wav"), 1, 77);
    let rows = json(&place.expect(0, &["classify", "--json", "new.wav"]));
    assert_eq!(rows[0]["label"], "hiss", "{rows}");
}
