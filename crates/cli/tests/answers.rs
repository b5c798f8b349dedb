//! What is said of recordings: by a model, by the audit, and of those that cannot be
//! read.

mod support;

use support::{Place, json, trained};

/// Runs `biophony` in a folder and returns what it wrote, whatever its code.
fn output(place: &Place, arguments: &[&str]) -> (String, String) {
    let output = place.run(arguments);
    let text = |bytes| String::from_utf8(bytes).expect("is UTF-8");
    (text(output.stdout), text(output.stderr))
}

#[test]
fn evaluate_gives_its_figures_with_their_intervals() {
    let text = trained().expect(0, &["evaluate", "clips"]);
    for figure in ["accuracy", "macro-F1", "balanced accuracy"] {
        let line = text
            .lines()
            .find(|line| line.trim_start().starts_with(figure));
        let line = line.unwrap_or_else(|| panic!("no {figure} in {text}"));
        assert!(
            line.contains("(95 %: 0.") && line.contains(" to "),
            "{line}"
        );
    }
}

#[test]
fn evaluate_takes_recordings_of_one_class() {
    let place = trained();
    let only = place.path("only/hum");
    std::fs::create_dir_all(&only).unwrap();
    for name in ["hum_0.wav", "hum_1.wav"] {
        std::fs::copy(place.path("clips/hum").join(name), only.join(name)).unwrap();
    }
    let figures = json(&place.expect(0, &["evaluate", "only", "--json"]));
    assert_eq!(figures["n_clips"], 2);
}

#[test]
fn the_table_of_answers_ends_with_the_warnings() {
    let place = trained();
    let whole = std::fs::read(place.path("clips/hum/hum_0.wav")).unwrap();
    std::fs::write(place.path("cut.wav"), &whole[..whole.len() / 2]).unwrap();
    std::fs::write(place.path("text.wav"), "no sound").unwrap();
    let files = ["clips/hum/hum_0.wav", "text.wav", "cut.wav"];
    let (table, errors) = output(place, &[&["classify", "--csv"], &files[..]].concat());
    let mut table = csv::Reader::from_reader(table.as_bytes());
    let header: Vec<_> = table.headers().unwrap().iter().map(str::to_owned).collect();
    assert_eq!(
        header[..4],
        ["path", "label", "probability", "accepted"].map(str::to_owned)
    );
    assert_eq!(header.last().unwrap(), "warnings");
    let rows: Vec<_> = table.records().map(|row| row.unwrap()).collect();
    assert_eq!(rows.len(), 2, "what cannot be read has no row");
    assert_eq!(&rows[0][header.len() - 1], "");
    assert!(!rows[1][header.len() - 1].is_empty(), "{:?}", rows[1]);
    assert!(errors.contains("text.wav"), "and is told of: {errors}");

    let (rows, _) = output(place, &[&["classify", "--json"], &files[..]].concat());
    let rows = json(&rows);
    let rows = rows.as_array().unwrap();
    assert_eq!(rows.len(), 3);
    let failed = rows.iter().find(|row| row["path"] == "text.wav").unwrap();
    let error = failed["error"].as_str().unwrap();
    assert!(error.contains("not audio"), "{error}");
}

#[test]
fn a_collection_of_one_class_is_audited_and_not_trained_on() {
    let place = Place::with_collection();
    std::fs::create_dir(place.path("one")).unwrap();
    std::fs::rename(place.path("clips/hum"), place.path("one/hum")).unwrap();
    std::fs::write(place.path("one.csv"), "path,label\none/hum/hum_0.wav,hum\n").unwrap();
    for (named, n) in [(&["one"][..], 10), (&["--manifest", "one.csv"], 1)] {
        let audit = json(&place.expect(0, &[&["audit", "--json"], named].concat()));
        assert_eq!(audit["classes"][0]["n_readable"], n);
        let errors = place.complaint(2, &[&["train"], named].concat());
        assert!(errors.contains("has one class only, `hum`"), "{errors}");
    }
    assert!(!place.path(".biophony").exists(), "nothing was begun");
}

#[cfg(unix)]
#[test]
fn a_pipe_is_no_recording_and_nobody_waits_for_it() {
    let place = trained();
    let pipe = |name: &str| {
        let made = std::process::Command::new("mkfifo")
            .arg(place.path(name))
            .status();
        assert!(made.expect("mkfifo is there").success());
    };
    pipe("pipe.wav");
    let errors = place.complaint(1, &["classify", "pipe.wav"]);
    assert!(errors.contains("it is a pipe or a device"), "{errors}");
    let errors = place.complaint(1, &["features", "pipe.wav", "--out", "pipe.npy"]);
    assert!(errors.contains("it is a pipe or a device"), "{errors}");

    // In a folder it is left out and counted, in a table it is told of.
    std::fs::create_dir_all(place.path("piped/hum")).unwrap();
    let clip = place.path("clips/hum/hum_0.wav");
    std::fs::copy(clip, place.path("piped/hum/hum_0.wav")).unwrap();
    pipe("piped/hum/pipe.wav");
    let audit = json(&place.expect(0, &["audit", "piped", "--json"]));
    assert_eq!(audit["skipped"]["not_audio"][0], "hum/pipe.wav");
    std::fs::write(
        place.path("piped.csv"),
        "path,label\npiped/hum/hum_0.wav,hum\npipe.wav,hiss\n",
    )
    .unwrap();
    for command in ["audit", "evaluate"] {
        let errors = place.complaint(1, &[command, "--manifest", "piped.csv"]);
        assert!(errors.contains("it is a pipe or a device"), "{errors}");
    }
}

#[test]
fn an_answer_about_silence_says_what_it_is_worth_and_is_not_accepted() {
    let place = trained();
    let spec = hound::WavSpec {
        channels: 1,
        sample_rate: 16_000,
        bits_per_sample: 16,
        sample_format: hound::SampleFormat::Int,
    };
    let mut silence = hound::WavWriter::create(place.path("silence.wav"), spec).unwrap();
    (0..16_000).for_each(|_| silence.write_sample(0_i16).unwrap());
    silence.finalize().unwrap();
    let files = ["silence.wav", "clips/hum/hum_2.wav"];
    let output = place.run(&["classify", files[0], files[1]]);
    let told = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{told}");
    assert!(told.contains("`silence.wav`: it is silent"), "{told}");
    assert!(!told.contains("hum_2"), "{told}");
    let rows = json(&place.expect(0, &["classify", "--json", files[0], files[1]]));
    let n_warnings = |row: usize| rows[row]["warnings"].as_array().unwrap().len();
    assert_eq!([n_warnings(0), n_warnings(1)], [1, 0]);
    let accepted = |row: usize| rows[row]["accepted"].as_bool().unwrap();
    assert_eq!([accepted(0), accepted(1)], [false, true]);
}

#[test]
fn features_keep_a_window_that_is_set_when_the_transform_has_another_length() {
    let place = Place::with_collection();
    let features = |name: &str, n_fft: &str, more: &[&str]| {
        let fixed = [
            "features",
            "clips/hum/hum_0.wav",
            "--out",
            name,
            "--n-fft",
            n_fft,
        ];
        let (_, told) = output(&place, &[&fixed[..], more].concat());
        std::fs::read(place.path(name)).unwrap_or_else(|_| panic!("{told}"))
    };
    let window = ["--set", "features.win_length=100"];
    let set = features("set.npy", "512", &window);
    assert!(
        set != features("long.npy", "512", &[]),
        "the window was left out"
    );
    // Longer than the transform of the settings, and not than the one asked for.
    let window = ["--set", "features.win_length=400"];
    let set = features("set.npy", "512", &window);
    assert!(
        set != features("long.npy", "512", &[]),
        "the window was left out"
    );
    let asked = [
        "features",
        "clips/hum/hum_0.wav",
        "--out",
        "x.npy",
        "--n-fft",
        "300",
    ];
    let errors = place.complaint(2, &[&asked[..], &window].concat());
    assert!(
        errors.contains("`win_length` is 400, longer than `n_fft` = 300"),
        "{errors}"
    );
}
