//! `biophony serve` as a process: what it prints, that it answers as `classify` does,
//! and that it ends when it is asked to; and training on what people reviewed.

mod support;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use biophony_tracking::{Search, TrackingStore, ViewType};
use serde_json::Value;
use support::{Place, trained, write_sound};

/// A server of this home folder, ended with the test.
struct Serving {
    process: Child,
    address: String,
}

impl Serving {
    fn start(folder: &Path, arguments: &[&str]) -> Self {
        let mut process = Command::new(assert_cmd::cargo::cargo_bin!("biophony"))
            .current_dir(folder)
            .args(["serve", "--addr", "127.0.0.1:0"])
            .args(arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("starts");
        let mut line = String::new();
        let out = process.stdout.take().expect("is piped");
        BufReader::new(out).read_line(&mut line).expect("reads");
        let address = line.trim().rsplit('/').next().unwrap_or_default();
        Self {
            address: address.to_owned(),
            process,
        }
    }

    fn ask(&self, method: &str, path: &str, body: &[u8]) -> (u16, String) {
        let mut stream = TcpStream::connect(&self.address).expect("connects");
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: {}\r\nContent-Length: {}\r\n\
             Connection: close\r\n\r\n",
            self.address,
            body.len()
        );
        stream.write_all(head.as_bytes()).expect("sends");
        stream.write_all(body).expect("sends");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("reads");
        let (head, body) = answer.split_once("\r\n\r\n").expect("an answer");
        let status = head.split(' ').nth(1).and_then(|code| code.parse().ok());
        (status.expect("a status"), body.to_owned())
    }

    /// Asks it to end, as a service manager does; returns its exit code.
    #[cfg(unix)]
    fn terminate(mut self) -> Option<i32> {
        let pid = self.process.id().to_string();
        let asked = Command::new("kill").args(["-TERM", &pid]).status();
        assert!(asked.expect("asks").success());
        self.process.wait().expect("ends").code()
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[cfg(unix)]
#[test]
fn the_server_answers_as_the_command_does_and_ends_when_asked() {
    let place = trained();
    let serving = Serving::start(&place.path("."), &[]);
    let (status, ready) = serving.ask("GET", "/ready", b"");
    assert_eq!((status, ready.contains("\"model\":true")), (200, true));
    let file = place.path("clips/hum/hum_3.wav");
    let bytes = std::fs::read(&file).expect("reads");
    let (status, answer) = serving.ask("POST", "/api/v1/classify", &bytes);
    assert_eq!(status, 200, "{answer}");
    let answer: Value = serde_json::from_str(&answer).expect("JSON");
    assert_eq!(answer["model"]["alias"], "champion");
    let name = file.to_str().expect("UTF-8");
    let said = place.expect(0, &["classify", "--json", name]);
    let said: Value = serde_json::from_str(&said).expect("JSON");
    let probabilities = |answer: &Value| -> Vec<(String, f32)> {
        let ranked = answer["predictions"].as_array().expect("a list").iter();
        ranked
            .map(|one| {
                let label = one["label"].as_str().expect("text").to_owned();
                (label, one["probability"].as_f64().expect("a number") as f32)
            })
            .collect()
    };
    assert_eq!(probabilities(&answer), probabilities(&said[0]));
    let (status, runs) = serving.ask(
        "GET",
        "/api/2.0/mlflow/registered-models/get?name=biophony",
        b"",
    );
    assert_eq!((status, runs.contains("champion")), (200, true), "{runs}");
    assert_eq!(serving.terminate(), Some(0));
}

#[cfg(unix)]
#[test]
fn a_server_without_a_model_starts_and_offers_the_demo() {
    let place = Place::with_collection();
    let serving = Serving::start(&place.path("."), &[]);
    let (status, page) = serving.ask("GET", "/", b"");
    assert_eq!((status, page.contains("biophony train")), (200, true));
    let (_, demo) = serving.ask("GET", "/api/v1/demo", b"");
    assert!(demo.contains("\"offered\":true"), "{demo}");
    let (_, examples) = serving.ask("GET", "/api/v1/examples", b"");
    assert!(examples.contains("cricket.wav") && examples.contains("\"synthetic\":true"));
    assert_eq!(serving.terminate(), Some(0));
}

#[cfg(unix)]
#[test]
fn a_model_is_named_by_alias_version_or_folder() {
    let place = trained();
    let bundles = std::fs::read_dir(place.path(".biophony/models")).expect("a folder");
    let folder = bundles.map(|bundle| bundle.expect("reads")).next();
    let name = folder
        .expect("a bundle")
        .file_name()
        .into_string()
        .expect("text");
    let folder = format!(".biophony/models/{name}");
    for (wanted, version, alias) in [
        ("champion", 1.into(), "champion".into()),
        ("models:/biophony@champion", 1.into(), "champion".into()),
        ("1", 1.into(), Value::Null),
        ("v1", 1.into(), Value::Null),
        ("biophony/1", 1.into(), Value::Null),
        ("models:/biophony/latest", 1.into(), Value::Null),
        (&folder, Value::Null, Value::Null),
        (&name, Value::Null, Value::Null),
    ] {
        let serving = Serving::start(&place.path("."), &["--model", wanted]);
        let bytes = std::fs::read(place.path("clips/hum/hum_3.wav")).expect("reads");
        let (status, answer) = serving.ask("POST", "/api/v1/classify", &bytes);
        assert_eq!(status, 200, "{wanted}: {answer}");
        let answer: Value = serde_json::from_str(&answer).expect("JSON");
        let model = &answer["model"];
        assert_eq!(
            (&model["version"], &model["alias"]),
            (&version, &alias),
            "{wanted}"
        );
        assert_eq!(serving.terminate(), Some(0));
    }
    let said = place.complaint(1, &["serve", "--model", "7"]);
    assert!(said.contains("`biophony` has no version `7`"), "{said}");
    let said = place.complaint(1, &["serve", "--model", "models:/owls@champion"]);
    let why = "there is no registered model `owls`; there is `biophony`";
    assert!(said.contains(why), "{said}");
}

#[test]
fn a_run_whose_process_died_is_shown_as_killed() {
    let place = Place::with_collection();
    let serving = Serving::start(&place.path("."), &[]);
    let mut training = Command::new(assert_cmd::cargo::cargo_bin!("biophony"))
        .current_dir(place.path("."))
        .args(["train", "clips", "--epochs", "5000"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("starts");
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(120);
    let wait_for = |status: &str| {
        loop {
            let path = "/api/2.0/mlflow/experiments/get-by-name?experiment_name=clips";
            let (_, experiment) = serving.ask("GET", path, b"");
            let experiment: Value = serde_json::from_str(&experiment).expect("JSON");
            let id = experiment["experiment"]["experiment_id"]
                .as_str()
                .unwrap_or("0");
            let store = place.tracking_store();
            let runs = store.search_runs(&[id.into()], &Search::default(), ViewType::All);
            let runs = runs.expect("searches").items;
            if runs.iter().any(|run| run.info.status.as_str() == status) {
                return;
            }
            assert!(
                std::time::Instant::now() < deadline,
                "no run is {status}: {runs:?}"
            );
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
    };
    wait_for("RUNNING");
    training.kill().expect("is ours");
    training.wait().expect("ends");
    wait_for("KILLED");
}

#[test]
fn wrong_wishes_are_told_apart() {
    let place = trained();
    std::fs::write(place.path("tokens"), "admin 0123456789abcdef\n").expect("writes");
    let said = place.complaint(2, &["serve", "--auth-token-file", "tokens"]);
    assert!(said.contains("neither `viewer` nor `editor`"), "{said}");
    let said = place.complaint(2, &["serve", "--tls", "cert.pem"]);
    assert!(said.contains("self-signed"), "{said}");
    let said = place.complaint(1, &["serve", "--tls", "none.pem,none.pem"]);
    assert!(said.contains("none.pem"), "{said}");
    let said = place.complaint(1, &["serve", "--model", "nowhere/model"]);
    assert!(said.contains("nowhere/model"), "{said}");
}

/// What the bundle of the newest run says of each recording.
fn parts(place: &Place) -> Vec<(String, String)> {
    let models = std::fs::read_dir(place.path(".biophony/models")).expect("a folder");
    // By time, as two runs may begin within the second that their names tell.
    let newest = models
        .map(|model| model.expect("reads").path().join("bundle.json"))
        .filter(|bundle| bundle.is_file())
        .max_by_key(|bundle| {
            bundle
                .metadata()
                .and_then(|file| file.modified())
                .expect("reads")
        });
    let bundle = std::fs::read(newest.expect("a model")).expect("reads");
    let bundle: Value = serde_json::from_slice(&bundle).expect("JSON");
    let recordings = bundle["provenance"]["dataset"]["recordings"].as_array();
    let text = |value: &Value| value.as_str().expect("text").to_owned();
    recordings
        .expect("a list")
        .iter()
        .map(|recording| (text(&recording["path"]), text(&recording["part"])))
        .collect()
}

#[test]
fn reviewed_recordings_are_trained_on_and_judge_nothing() {
    let place = Place::with_collection();
    place.expect(0, &["train", "clips"]);
    let before = parts(&place);
    let tested = before.iter().find(|(_, part)| part == "test");
    let tested = tested.expect("a test part").0.clone();
    // One new recording, a copy of one that was tested on, and one of another class.
    let reviewed = place.path(".biophony/reviewed");
    let label = tested.split('/').next().expect("a class").to_owned();
    for class in [label.as_str(), "hum", "bat"] {
        std::fs::create_dir_all(reviewed.join(class)).expect("writes");
    }
    write_sound(&reviewed.join("hum/new.wav"), 0, 77);
    write_sound(&reviewed.join("bat/other.wav"), 1, 78);
    std::fs::copy(
        place.path("clips").join(&tested),
        reviewed.join(&label).join("copy.wav"),
    )
    .expect("copies");
    std::fs::write(
        reviewed.join("reviewed.csv"),
        format!("path,label,predicted\nhum/new.wav,hum,hiss\n{label}/copy.wav,{label},x\nbat/other.wav,bat,x\n"),
    )
    .expect("writes");
    place.expect(0, &["train", "clips"]);
    assert_eq!(parts(&place), before, "only who asks for them gets them");

    // Whether it is put into use does not matter here.
    let accept = "deploy.max_champion_risk=1.0";
    let said = place.complaint(
        0,
        &[
            "train",
            "clips",
            "--set",
            "data.reviewed=true",
            "--set",
            accept,
        ],
    );
    assert!(said.contains("other classes"), "{said}");
    let after = parts(&place);
    let part_of = |ending: &str| {
        let found = after.iter().find(|(path, _)| path.ends_with(ending));
        found.map(|(_, part)| part.as_str())
    };
    assert_eq!(part_of("reviewed/hum/new.wav"), Some("train"));
    assert_eq!(part_of("bat/other.wav"), None);
    assert_eq!(
        part_of(&tested),
        Some("train"),
        "a copy of it is trained on"
    );
    assert!(after.iter().any(|(_, part)| part == "test"));
}
