//! What the program says to those who ask for what cannot be, and which of several
//! settings it takes.

mod support;

use support::{Place, json};

#[test]
fn wrong_usage_ends_with_code_2() {
    let place = Place::with_collection();
    place.complaint(2, &["train"]);
    place.complaint(2, &["train", "clips", "--folds", "1"]);
    let errors = place.complaint(2, &["train", "clips", "--seed", "18446744073709551615"]);
    assert!(errors.contains("0..=9223372036854775807"), "{errors}");
    for threads in ["0", "100000"] {
        let errors = place.complaint(2, &["audit", "clips", "--threads", threads]);
        assert!(errors.contains("1..=1024"), "{errors}");
    }
    place.complaint(2, &["sing"]);
    place.complaint(2, &["features", "clips/hum/hum_0.wav", "--out", "x.jpg"]);
}

#[test]
fn what_is_named_and_not_there_or_not_that_is_wrong_usage() {
    let place = Place::with_collection();
    std::fs::write(place.path("odd.csv"), "where,label\na.wav,owl\n").unwrap();
    std::fs::write(place.path("latin1.toml"), b"[train]\n# \xe9t\xe9\n").unwrap();
    for (arguments, problem) in [
        (&["train", "nowhere"][..], "there is no folder `nowhere`"),
        (&["run", "--data", "nowhere"], "there is no folder"),
        (&["audit", "odd.csv"], "is not a folder"),
        (&["audit", "--manifest", "nowhere.csv"], "`nowhere.csv`"),
        (&["train", "--manifest", "odd.csv"], "no column `path`"),
        (
            &["config", "--config", "nowhere.toml"],
            "there is no settings file `nowhere.toml`",
        ),
        (
            &["config", "--config", "latin1.toml"],
            "`latin1.toml`, line 2: not UTF-8",
        ),
        (
            &["config", "--config", "clips"],
            "the settings file `clips` is a folder",
        ),
        (
            &["train", "--manifest", "clips"],
            "`clips` is a folder; a manifest is a CSV file",
        ),
        (
            &["train", "clips", "--config", "nowhere.toml"],
            "there is no settings file",
        ),
    ] {
        let errors = place.complaint(2, arguments);
        assert!(errors.contains(problem), "{errors}");
    }
    assert!(!place.path(".biophony").exists(), "nothing was begun");
}

#[test]
fn more_folds_than_recordings_are_refused_before_anything_is_done() {
    let place = Place::with_collection();
    let errors = place.complaint(2, &["train", "clips", "--folds", "31"]);
    assert!(errors.contains("there are 30 recordings"), "{errors}");
    assert!(!place.path(".biophony").exists(), "nothing was begun");
    // A fold without a class is no reason to refuse: it is tested without that class.
    let output = place.run(&["train", "clips", "--folds", "12", "--epochs", "1"]);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    assert!(errors.contains("fewer than 12 folds"), "{errors}");
}

#[test]
fn a_number_below_zero_is_a_value_and_no_flag() {
    let place = Place::with_collection();
    let features = ["features", "clips/hum/hum_0.wav", "--out", "x.npy"];
    for (flag, problem) in [
        ("--fmin", "`fmin` is -1, not a number from 0 on"),
        ("--fmax", "`fmax` is -1, not a number from 0 on"),
        ("--top-db", "`top_db` is -1, outside 0 to 10000"),
    ] {
        let errors = place.complaint(2, &[&features[..], &[flag, "-1"]].concat());
        assert!(errors.contains(problem), "{errors}");
    }
    let errors = place.complaint(2, &["classify", "x.wav", "--threshold", "-0.5"]);
    assert!(errors.contains("a number from 0 to 1"), "{errors}");
}

#[test]
fn a_wrong_setting_names_the_nearest_right_one_and_ends_with_code_2() {
    let place = Place::with_collection();
    let errors = place.complaint(2, &["train", "clips", "--set", "train.epoch=3"]);
    assert!(errors.contains("did you mean `train.epochs`?"), "{errors}");

    std::fs::write(
        place.path("wrong.toml"),
        "[train]\narchitecture = \"resnett\"\n",
    )
    .unwrap();
    let errors = place.complaint(2, &["config", "--config", "wrong.toml"]);
    assert!(
        errors.contains("wrong.toml") && errors.contains("`resnet`?"),
        "{errors}"
    );
}

#[test]
fn the_printed_settings_can_be_used_as_a_settings_file() {
    let place = Place::with_collection();
    let printed = place.expect(0, &["config"]);
    assert!(printed.contains("architecture = \"mobile\""), "{printed}");
    std::fs::write(place.path("printed.toml"), &printed).unwrap();
    assert_eq!(
        place.expect(0, &["config", "--config", "printed.toml"]),
        printed
    );
}

#[test]
fn flags_win_over_the_environment_and_that_over_the_file() {
    let place = Place::with_collection();
    let epochs = |command: &mut assert_cmd::Command| {
        let output = command.output().expect("the program starts");
        let rows = json(&String::from_utf8_lossy(&output.stdout));
        let row = rows
            .as_array()
            .unwrap()
            .iter()
            .find(|row| row["key"] == "train.epochs")
            .cloned();
        row.expect("it is a setting")["value"].clone()
    };
    assert_eq!(epochs(&mut place.command(&["config", "--json"])), 3);
    let mut with_variable = place.command(&["config", "--json"]);
    assert_eq!(epochs(with_variable.env("BIOPHONY_TRAIN_EPOCHS", "4")), 4);
    let mut with_both = place.command(&["config", "--json", "--set", "train.epochs=5"]);
    assert_eq!(epochs(with_both.env("BIOPHONY_TRAIN_EPOCHS", "4")), 5);
}

/// A manifest of the clips `hum` and `hiss`, with what each row has beyond them.
fn write_table(place: &Place, name: &str, header: &str, more: &dyn Fn(usize, &str) -> String) {
    let rows = (0..10).flat_map(|i| ["hum", "hiss"].map(|label| (i, label)));
    let row = |(i, label)| format!("clips/{label}/{label}_{i}.wav,{label}{}\n", more(i, label));
    let table = format!("{header}\n{}", rows.map(row).collect::<String>());
    std::fs::write(place.path(name), table).unwrap();
}

#[test]
fn a_split_that_leaves_nothing_to_learn_or_to_judge_is_missed_before_anything_is_done() {
    let place = Place::with_collection();
    let table = |name: &str, part: &dyn Fn(usize) -> &'static str| {
        write_table(&place, name, "path,label,split", &|i, _| {
            format!(",{}", part(i))
        });
    };
    table("some.csv", &|i| if i == 3 { "" } else { "train" });
    table("test.csv", &|_| "test");
    table("train.csv", &|i| {
        if i == 3 { "validation" } else { "train" }
    });
    table("whole.csv", &|i| if i < 5 { "train" } else { "test" });
    for (name, problem) in [
        (
            "some.csv",
            "`some.csv` has no `split` for `clips/hiss/hiss_3.wav` (2 in all)",
        ),
        ("test.csv", "`test.csv` puts no recording into `train`"),
        ("train.csv", "`train.csv` puts no recording into `test`"),
    ] {
        for command in ["train", "run"] {
            let errors = place.complaint(2, &[command, "--manifest", name]);
            assert!(errors.contains(problem), "{errors}");
        }
    }
    let no_test = ["--set", "split.test=0", "--epochs", "1"];
    let naive = ["--manifest", "whole.csv", "--compare-naive"];
    for collection in [&["clips"][..], &naive] {
        let errors = place.complaint(2, &[&["train"], collection, &no_test].concat());
        assert!(errors.contains("`split.test` is 0"), "{errors}");
    }
    assert!(!place.path(".biophony").exists(), "nothing was begun");
    // Here the setting means nothing.
    for collection in [&["--manifest", "whole.csv"][..], &["clips", "--folds", "2"]] {
        place.expect(0, &[&["train"], collection, &no_test].concat());
    }
}

#[test]
fn an_epoch_that_nothing_can_choose_is_refused_before_anything_is_done() {
    let place = Place::with_collection();
    for (name, second) in [("two.csv", "train"), ("three.csv", "validation")] {
        write_table(&place, name, "path,label,split", &|i, _| {
            let parts = ["test", second];
            format!(",{}", parts.get(i).unwrap_or(&"train"))
        });
    }
    let chosen = |more: &[&str]| {
        let early = ["--set", "train.monitor=loss", "--set", "train.patience=1"];
        let words = [&["train", "--epochs", "1"], more, &early].concat();
        words.into_iter().map(str::to_owned).collect::<Vec<_>>()
    };
    let none = ["--set", "split.validation=0"];
    for (arguments, problem) in [
        (vec!["clips"], "`split.validation` is 0: set it above 0"),
        (vec!["clips", "--folds", "2"], "`split.validation` is 0"),
        (
            vec!["--manifest", "three.csv", "--compare-naive"],
            "`split.validation` is 0",
        ),
        (
            vec!["--manifest", "two.csv"],
            "let its column `split` name `validation`",
        ),
    ] {
        let arguments = chosen(&[&arguments[..], &none].concat());
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let errors = place.complaint(2, &arguments);
        assert!(errors.contains(problem), "{errors}");
    }
    assert!(!place.path(".biophony").exists(), "nothing was begun");
    // Where the manifest divides, the setting means nothing.
    let arguments = chosen(&[&["--manifest", "three.csv"][..], &none].concat());
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    place.expect(0, &arguments);
}

#[test]
fn a_class_that_is_not_trained_on_is_told_with_its_part_or_fold() {
    let place = Place::with_collection();
    let is_late = |i: usize, label: &str| i >= 5 || label == "hum";
    write_table(&place, "parts.csv", "path,label,split", &|i, label| {
        let part = if is_late(i, label) { ",test" } else { ",train" };
        part.to_owned()
    });
    write_table(&place, "folds.csv", "path,label,fold", &|i, label| {
        let fold = if is_late(i, label) { ",A" } else { ",B" };
        fold.to_owned()
    });
    let parts = ["--manifest", "parts.csv"];
    let folds = ["--manifest", "folds.csv", "--folds", "manifest"];
    for (arguments, where_to) in [(&parts[..], ""), (&folds, " of fold A")] {
        let warning = format!(
            "class `hum` has no recording in the training part{where_to}: the network does not learn it"
        );
        let train = ["train", "--epochs", "1", "--json"];
        let output = place.run(&[&train, arguments].concat());
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(told.contains(&warning), "{told}");
        let figures = json(&String::from_utf8_lossy(&output.stdout));
        assert_eq!(figures["warnings"], serde_json::json!([warning]));
        let report = place.path(figures["report"].as_str().unwrap());
        let report = std::fs::read_to_string(report).unwrap();
        assert!(report.contains("does not learn it"), "{where_to}");
    }
}

#[test]
fn folds_that_the_manifest_does_not_have_are_missed_before_anything_is_done() {
    let place = Place::with_collection();
    let table = |name: &str, header: &str, fold: &dyn Fn(usize) -> String| {
        write_table(&place, name, header, &|i, _| fold(i));
    };
    table("none.csv", "path,label", &|_| String::new());
    table("some.csv", "path,label,fold", &|i| match i {
        3 => ",".to_owned(),
        _ => format!(",{}", i % 2),
    });
    table("one.csv", "path,label,fold", &|_| ",1".to_owned());
    for (name, problem) in [
        (
            "none.csv",
            "`none.csv` gives no recording a fold: add a column `fold`",
        ),
        (
            "some.csv",
            "`some.csv` has no `fold` for `clips/hiss/hiss_3.wav` (2 in all)",
        ),
        ("one.csv", "`one.csv` has one fold only"),
    ] {
        for command in ["train", "run"] {
            let errors = place.complaint(2, &[command, "--manifest", name, "--folds", "manifest"]);
            assert!(errors.contains(problem), "{errors}");
        }
    }
    let errors = place.complaint(2, &["train", "clips", "--folds", "manifest"]);
    assert!(errors.contains("goes with `--manifest FILE`"), "{errors}");
    assert!(!place.path(".biophony").exists(), "nothing was begun");
}

#[test]
fn instructions_that_there_are_not_are_told() {
    let place = Place::with_collection();
    let with = |name: &str| {
        let mut command = place.command(&["config"]);
        let output = command.env("BIOPHONY_SIMD", name).output().unwrap();
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        (output.status.code(), errors)
    };
    let (code, errors) = with("AVX");
    assert_eq!(code, Some(2), "{errors}");
    let choices = "it takes `avx512`, `avx2`, `neon` or `portable`; did you mean";
    assert!(errors.contains(choices), "{errors}");
    let other = match cfg!(target_arch = "aarch64") {
        true => "avx2",
        false => "neon",
    };
    let (code, errors) = with(other);
    assert_eq!(code, Some(0), "{errors}");
    assert!(errors.contains("no such instructions; "), "{errors}");
    for name in ["", "portable"] {
        assert_eq!(with(name), (Some(0), String::new()));
    }
}

#[test]
fn a_column_that_may_be_misspelled_is_warned_of_and_one_of_ones_own_is_not() {
    let place = Place::with_collection();
    let rows = (0..10).map(|i| format!("clips/hum/hum_{i}.wav,hum,1,pond\n"));
    let table = format!(
        "path,label,folds,plot\n{}clips/hiss/hiss_0.wav,hiss,2,wood\n",
        rows.collect::<String>()
    );
    std::fs::write(place.path("table.csv"), table).unwrap();
    let warning = "column `folds` is ignored; `fold` would not be";
    let told = place.expect(0, &["audit", "--manifest", "table.csv"]);
    assert!(told.contains(warning) && !told.contains("plot"), "{told}");
    let train = ["train", "--manifest", "table.csv", "--folds", "manifest"];
    let errors = place.complaint(2, &train);
    assert!(
        errors.starts_with(&format!("warning: the manifest's {warning}\n")),
        "{errors}"
    );
}

#[cfg(unix)]
#[test]
fn names_of_files_and_classes_cannot_speak_to_the_terminal() {
    let place = Place::with_collection();
    let name = "ho\nwl/x\x1b]0;pwn\x07.wav";
    std::fs::create_dir(place.path("clips/ho\nwl")).unwrap();
    std::fs::write(place.path("clips").join(name), "no sound").unwrap();
    let output = place.run(&["audit", "clips"]);
    let errors = String::from_utf8(output.stderr).unwrap();
    let table = String::from_utf8(output.stdout).unwrap();
    for text in [&errors, &table] {
        assert!(!text.contains(['\x1b', '\x07']), "{text:?}");
        assert!(text.contains(r"x\u001b]0;pwn\u0007.wav"), "{text}");
    }
    assert!(table.contains("ho\\u000awl "), "{table}");
    let output = place.run(&["audit", "clips", "--json"]);
    let told = json(&String::from_utf8(output.stdout).unwrap());
    assert_eq!(told["findings"][0]["path"], name);
}
