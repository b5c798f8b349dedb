//! The pipeline of a model, killed at random instants and resumed: what it leaves is,
//! byte for byte, what an undisturbed run leaves.
//!
//! `KILLS` says how often a run is killed, 50 times if it does not.

mod support;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use support::Place;

const TRAIN: [&str; 5] = ["run", "--data", "clips", "--set", "train.epochs=12"];

#[test]
fn a_killed_run_leaves_what_an_undisturbed_one_leaves() {
    let n_kills = std::env::var("KILLS").ok();
    let n_kills: u32 = n_kills.map_or(50, |n| n.parse().expect("a number"));
    let place = Place::with_collection();
    let begun = Instant::now();
    place.expect(0, &[&["--home", "undisturbed"][..], &TRAIN].concat());
    let whole = begun.elapsed();
    let expected = Remains::of(&place, "undisturbed");
    assert!(expected.files.len() > 10, "{:?}", expected.files.keys());

    let mut random = 0x2545_f491_4f6c_dd1d_u64;
    let (mut n_killed, mut round) = (0, 0);
    while n_killed < n_kills {
        round += 1;
        let home = format!("home-{round}");
        let mut resumes = false;
        loop {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            // Often enough near the end, where the model is put into use.
            let share = (random % 1100) as f64 / 1000.0;
            let last: &[&str] = if resumes {
                &["run", "--resume"]
            } else {
                &TRAIN
            };
            let was_killed = kill_after(&place, &home, last, whole.mul_f64(share));
            n_killed += u32::from(was_killed);
            if !was_killed {
                break;
            }
            // Killed before the run was written down, it begins anew.
            let listed = place.expect(0, &["--home", &home, "runs", "list", "--json"]);
            let runs: Value = serde_json::from_str(&listed).expect("is JSON");
            let runs = runs.as_array().expect("a list");
            assert!(runs.len() <= 1, "{runs:?}");
            if runs.iter().any(|run| run["state"] == "finished") {
                break;
            }
            resumes = !runs.is_empty();
        }
        let found = Remains::of(&place, &home);
        found.check(&expected, &format!("round {round} after {n_killed} kills"));
        std::fs::remove_dir_all(place.path(&home)).expect("is removed");
    }
    println!("{n_killed} kills in {round} runs of {whole:?} each");
}

/// Runs the program and kills it after so long; false if it was done before.
fn kill_after(place: &Place, home: &str, arguments: &[&str], time: Duration) -> bool {
    let mut child = Command::new(assert_cmd::cargo::cargo_bin!("biophony"))
        .current_dir(place.path("."))
        .args(["--home", home])
        .args(arguments)
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    let deadline = Instant::now() + time;
    while Instant::now() < deadline {
        if child.try_wait().expect("a child").is_some() {
            break;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    let was_killed = child.try_wait().expect("a child").is_none();
    if was_killed {
        child.kill().expect("it can be killed");
    }
    let output = child.wait_with_output().expect("it ends");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(was_killed || output.status.success(), "{errors}");
    was_killed
}

/// What a run leaves.
struct Remains {
    /// Each step's outputs by their content.
    outputs: BTreeMap<String, String>,
    /// The report, the model laid out, and the files of the version in use.
    files: BTreeMap<PathBuf, Vec<u8>>,
}

impl Remains {
    fn of(place: &Place, home: &str) -> Self {
        let run = place.expect(0, &["--home", home, "runs", "show", "newest", "--json"]);
        let run: Value = serde_json::from_str(&run).expect("is JSON");
        let name = run["id"].as_str().expect("has a name");
        let mut outputs = BTreeMap::new();
        for step in run["steps"].as_array().expect("has steps") {
            for output in step["outputs"].as_array().expect("has outputs") {
                let text = |value: &Value| value.as_str().expect("a text").to_owned();
                let name = format!("{}.{}", text(&step["step"]), text(&output["name"]));
                let content = text(&output["content"]);
                let artifact = format!("{home}/artifacts/{}/{content}", &content[..2]);
                assert!(place.path(&artifact).exists(), "{name}");
                outputs.insert(name, content);
            }
        }
        let shown = place.expect(0, &["--home", home, "models", "show", "--json"]);
        let shown: Value = serde_json::from_str(&shown).expect("is JSON");
        assert_eq!(shown["version"], 1, "the model is registered once");
        let in_use = place.path(shown["path"].as_str().expect("it is here"));
        let mut files = BTreeMap::new();
        let folders = [
            ("report", place.path(&format!("{home}/runs/{name}"))),
            ("model", place.path(&format!("{home}/models/{name}"))),
            ("in use", in_use),
        ];
        for (what, folder) in folders {
            read_all(&folder, Path::new(what), &mut files);
        }
        Self { outputs, files }
    }

    fn check(&self, expected: &Self, when: &str) {
        assert_eq!(self.outputs, expected.outputs, "{when}");
        let names = |remains: &Self| remains.files.keys().cloned().collect::<Vec<_>>();
        assert_eq!(names(self), names(expected), "{when}");
        for (name, bytes) in &self.files {
            assert!(*bytes == expected.files[name], "{when}: {}", name.display());
        }
    }
}

fn read_all(folder: &Path, name: &Path, files: &mut BTreeMap<PathBuf, Vec<u8>>) {
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("readable").path();
        let name = name.join(path.file_name().expect("a name"));
        match path.is_dir() {
            true => read_all(&path, &name, files),
            false => drop(files.insert(name, std::fs::read(&path).expect("readable"))),
        }
    }
}
