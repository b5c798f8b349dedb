//! Training for a server elsewhere: told while it goes on, or later, and each thing
//! once, whatever breaks in between.

#[path = "support/http.rs"]
mod http;
mod support;

use std::collections::BTreeMap;
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use biophony_tracking::{
    ArtifactPath, CHAMPION, CreateModelVersion, CreateRegisteredModel, LoggedModelStatus, Metric,
    PREVIOUS, Run, RunStatus, Search, SearchLoggedModels, SqliteStore, TrackingStore, ViewType,
    experiment_named, value_of,
};
use http::{Remote, breaking_every, free_port};
use support::Place;

/// All runs of the experiment that the tests train in.
fn runs(store: &SqliteStore) -> Vec<Run> {
    let experiment = store.get_experiment_by_name("clips").expect("asks");
    let experiments: Vec<_> = experiment.into_iter().map(|e| e.experiment_id).collect();
    let page = store.search_runs(&experiments, &Search::default(), ViewType::All);
    page.expect("searches").items
}

fn histories(store: &SqliteStore, run: &Run) -> BTreeMap<String, Vec<Metric>> {
    let points = |key: &str| {
        let page = store.metric_history(&run.info.run_id, key, None, None);
        let without_model = |metric| Metric {
            model_id: None,
            ..metric
        };
        page.unwrap().items.into_iter().map(without_model).collect()
    };
    let keys = run.data.metrics.iter().map(|metric| metric.key.clone());
    keys.map(|key| (key.clone(), points(&key))).collect()
}

/// The server has of the only run what is here, once.
#[track_caller]
fn check_copy(place: &Place, remote: &Remote) {
    let here = place.tracking_store();
    let (ours, theirs) = (runs(&here), runs(&remote.store));
    assert_eq!((ours.len(), theirs.len()), (1, 1));
    let (ours, theirs) = (&ours[0], &theirs[0]);
    assert_eq!(ours.info.status, theirs.info.status);
    assert_eq!(ours.info.end_time, theirs.info.end_time);
    assert_eq!(ours.data.params, theirs.data.params);
    assert_eq!(ours.inputs, theirs.inputs);
    assert_eq!(histories(&here, ours), histories(&remote.store, theirs));

    let files = |artifacts: &biophony_tracking::ArtifactStore, uri: &str| {
        artifacts.list(&ArtifactPath::of_uri(uri).unwrap()).unwrap()
    };
    let own_artifacts =
        biophony_tracking::ArtifactStore::open(place.path(".biophony/mlartifacts")).unwrap();
    let report = files(&remote.artifacts, &theirs.info.artifact_uri);
    assert_eq!(files(&own_artifacts, &ours.info.artifact_uri), report);
    assert!(report.iter().any(|file| file.path == "report.html"));

    let models = remote.store.search_logged_models(&SearchLoggedModels {
        experiment_ids: vec![theirs.info.experiment_id.clone()],
        ..SearchLoggedModels::default()
    });
    let models = models.unwrap().items;
    assert_eq!(models.len(), 1, "one model");
    assert_eq!(models[0].info.status, LoggedModelStatus::Ready);
    assert_eq!(
        theirs.outputs.model_outputs[0].model_id,
        models[0].info.model_id
    );
    let versions = remote
        .store
        .search_model_versions(&Search::matching("name = 'biophony'"))
        .unwrap();
    assert_eq!(versions.items.len(), 1, "one version");
    let champion = remote
        .store
        .get_model_version_by_alias("biophony", CHAMPION)
        .unwrap();
    assert_eq!(champion.run_id.as_ref(), Some(&theirs.info.run_id));
    let uri = remote
        .store
        .model_version_download_uri("biophony", champion.version)
        .unwrap();
    let there = remote.artifacts.local_path(&uri).unwrap();
    let own = here
        .get_model_version_by_alias("biophony", CHAMPION)
        .unwrap();
    let own = own_artifacts.local_path(&own.source).unwrap();
    for name in [
        "bundle.json",
        "model.onnx",
        "MLmodel",
        "weights.safetensors",
    ] {
        let read = |folder: &std::path::Path| std::fs::read(folder.join(name)).unwrap();
        assert!(read(&own) == read(&there), "{name} is the same");
    }
    assert!(value_of(&champion.tags, "biophony.gate").is_some());
}

#[test]
fn a_server_has_everything_when_training_ends() {
    let place = Place::with_collection();
    let remote = Remote::start(&place.path("remote"));
    let mut command = place.command(&["train", "clips"]);
    let told = command
        .env("MLFLOW_TRACKING_URI", remote.uri())
        .output()
        .unwrap();
    assert!(told.status.success());
    let told = String::from_utf8_lossy(&told.stderr).into_owned();
    assert!(!told.contains("not sent"), "{told}");
    check_copy(&place, &remote);
    // Promotions are told at once.
    place.expect(
        0,
        &[
            "train",
            "clips",
            "--epochs",
            "4",
            "--set",
            &uri_setting(&remote),
        ],
    );
    place.expect(0, &["models", "rollback", "--set", &uri_setting(&remote)]);
    let means = |alias: &str| {
        let version = remote.store.get_model_version_by_alias("biophony", alias);
        version.unwrap().version
    };
    assert_eq!((means(CHAMPION), means(PREVIOUS)), (1, 2));
}

fn uri_setting(remote: &Remote) -> String {
    format!("tracking.uri={}", remote.uri())
}

#[test]
fn training_goes_on_without_its_server_and_is_sent_once_later() {
    let place = Place::with_collection();
    let port = free_port();
    let uri = format!("tracking.uri=http://127.0.0.1:{port}");
    let told = place.run(&["train", "clips", "--set", &uri]);
    assert!(told.status.success());
    let errors = String::from_utf8_lossy(&told.stderr).into_owned();
    assert!(errors.contains("biophony tracking sync"), "{errors}");
    let status = place.expect(0, &["tracking", "status", "--set", &uri]);
    assert!(status.contains("does not answer"), "{status}");
    assert!(status.contains("to send  1 run"), "{status}");
    place.complaint(1, &["tracking", "sync", "--set", &uri]);

    let remote = Remote::at(&place.path("remote"), port);
    let sent = place.expect(0, &["tracking", "sync", "--set", &uri]);
    assert!(sent.starts_with("1 run sent"), "{sent}");
    check_copy(&place, &remote);
    let sent = place.expect(0, &["tracking", "sync", "--set", &uri]);
    assert!(sent.starts_with("0 runs sent"), "{sent}");
    check_copy(&place, &remote);
    let status = place.expect(0, &["tracking", "status", "--set", &uri]);
    assert!(status.contains("answers in"), "{status}");
    assert!(status.contains("to send  nothing"), "{status}");
}

#[test]
fn runs_that_were_recorded_for_no_server_are_sent_only_when_asked_for() {
    let place = Place::with_collection();
    place.expect(0, &["train", "clips"]);
    let remote = Remote::start(&place.path("remote"));
    let uri = uri_setting(&remote);
    let sent = place.expect(0, &["tracking", "sync", "--set", &uri]);
    assert!(sent.starts_with("0 runs sent"), "{sent}");
    let further = "1 run was made before this server was named; `biophony tracking sync --all` \
                   sends it, too\n";
    assert!(sent.ends_with(&format!("\n{further}")), "{sent}");
    let status = ["tracking", "status", "--set", &uri];
    let said = place.expect(0, &status);
    let standing = format!("sent     0 runs\nto send  nothing\nfurther  {further}");
    assert!(said.ends_with(&standing), "{said}");
    let said = place.expect(0, &["tracking", "status", "--json", "--set", &uri]);
    assert!(said.contains("\"only_with_all\": 1"), "{said}");
    let away = format!("tracking.uri=http://127.0.0.1:{}", free_port());
    let said = place.expect(0, &["tracking", "status", "--set", &away]);
    assert!(said.ends_with(&standing), "{said}");
    let sent = place.expect(0, &["tracking", "sync", "--all", "--set", &uri]);
    assert!(sent.starts_with("1 run sent"), "{sent}");
    assert!(!sent.contains("--all"), "{sent}");
    let said = place.expect(0, &status);
    assert!(!said.contains("further"), "{said}");
    check_copy(&place, &remote);
    let errors = place.complaint(1, &["tracking", "sync"]);
    assert!(errors.contains("MLFLOW_TRACKING_URI"), "{errors}");
}

#[test]
fn what_others_have_in_use_on_a_shared_server_is_left_to_a_person() {
    let place = Place::with_collection();
    let remote = Remote::start(&place.path("remote"));
    let theirs = CreateRegisteredModel {
        name: "biophony".to_owned(),
        ..CreateRegisteredModel::default()
    };
    remote
        .store
        .create_registered_model(theirs)
        .expect("is new");
    let theirs = CreateModelVersion {
        name: "biophony".to_owned(),
        source: "s3://others/model".to_owned(),
        ..CreateModelVersion::default()
    };
    remote.store.create_model_version(theirs).expect("is new");
    remote.store.promote("biophony", 1).expect("is in use");
    let uri = uri_setting(&remote);
    let means = |alias: &str| {
        let version = remote.store.get_model_version_by_alias("biophony", alias);
        version.ok().map(|version| version.version)
    };

    let told = place.complaint(0, &["train", "clips", "--set", &uri]);
    let conflict = "`champion` of `biophony` means version 1 there, which was not set from here; \
                    here it means version 1, which is 2 there";
    assert!(told.contains(conflict), "{told}");
    let told = place.complaint(1, &["tracking", "sync", "--set", &uri]);
    assert!(told.contains(conflict), "{told}");
    assert!(told.contains("--overwrite-aliases"), "{told}");
    let status = place.expect(0, &["tracking", "status", "--set", &uri]);
    assert!(status.contains("to send  nothing"), "{status}");
    assert!(status.contains(&format!("differs  {conflict}")), "{status}");
    assert_eq!((means(CHAMPION), means(PREVIOUS)), (Some(1), None));

    let sync = ["tracking", "sync", "--overwrite-aliases", "--set", &uri];
    place.expect(0, &sync);
    assert_eq!((means(CHAMPION), means(PREVIOUS)), (Some(2), Some(1)));
    let status = place.expect(0, &["tracking", "status", "--set", &uri]);
    assert!(!status.contains("differs"), "{status}");
}

#[test]
fn a_server_of_the_same_home_folder_is_told_nothing() {
    let place = Place::with_collection();
    let own = Remote::start(&place.path(".biophony"));
    let uri = uri_setting(&own);
    let told = place.complaint(0, &["train", "clips", "--set", &uri]);
    assert!(told.contains("serves this home folder"), "{told}");
    assert!(!told.contains("not sent"), "{told}");
    assert_eq!(runs(&own.store).len(), 1);
    let status = place.expect(0, &["tracking", "status", "--set", &uri]);
    assert!(status.contains("serves this home folder"), "{status}");
    assert!(!status.contains("to send"), "{status}");
    for all in [&["--all"][..], &[]] {
        let sync = [&["tracking", "sync", "--set", &uri], all].concat();
        let told = place.complaint(1, &sync);
        assert!(told.contains("serves this home folder"), "{told}");
    }
    assert_eq!(runs(&own.store).len(), 1);
    // It was recorded for a server that it need not be sent to: no other one gets it.
    let other = Remote::start(&place.path("other"));
    let sent = place.expect(0, &["tracking", "sync", "--set", &uri_setting(&other)]);
    assert!(sent.starts_with("0 runs sent"), "{sent}");
}

#[test]
fn another_server_is_told_on_its_own_and_what_was_received_stays() {
    let place = Place::with_collection();
    let (first, second) = (
        Remote::start(&place.path("first")),
        Remote::start(&place.path("second")),
    );
    place.expect(0, &["train", "clips", "--set", &uri_setting(&first)]);
    check_copy(&place, &first);
    let second_uri = uri_setting(&second);
    let status = place.expect(0, &["tracking", "status", "--set", &second_uri]);
    assert!(
        status.contains("sent     0 runs\nto send  nothing\nfurther  1 run was made before"),
        "{status}"
    );
    // Nothing is claimed of one that cannot be asked.
    let nobody = "tracking.uri=http://127.0.0.1:9";
    let status = place.expect(0, &["tracking", "status", "--set", nobody]);
    assert!(status.contains("sent     0 runs\n"), "{status}");
    let sent = place.expect(0, &["tracking", "sync", "--all", "--set", &second_uri]);
    assert!(sent.starts_with("1 run sent"), "{sent}");
    check_copy(&place, &second);
    // The first server's own folder has nothing to send on.
    let home = ["--home", "first"];
    let sync = [
        &["tracking", "sync", "--all", "--set", &second_uri][..],
        &home,
    ]
    .concat();
    let sent = place.expect(0, &sync);
    assert!(sent.starts_with("0 runs sent"), "{sent}");
    let status = place.expect(0, &[&["tracking", "status"][..], &home].concat());
    assert!(
        status.starts_with("here     1 run, 1 received from elsewhere\n"),
        "{status}"
    );
    assert!(!status.contains("to send"), "{status}");
    check_copy(&place, &second);
}

#[test]
fn a_run_that_the_server_refuses_keeps_no_other_one_back() {
    let place = Place::with_collection();
    place.expect(0, &["train", "clips", "--set", "tracking.experiment=gone"]);
    place.expect(0, &["train", "clips"]);
    let remote = Remote::start(&place.path("remote"));
    let gone = experiment_named(&*remote.store, "gone").expect("is made");
    remote.store.delete_experiment(&gone).expect("is deleted");
    let sync = ["tracking", "sync", "--all", "--set", &uri_setting(&remote)];
    let errors = place.complaint(1, &sync);
    assert!(errors.contains("not sent: "), "{errors}");
    assert!(errors.contains("deleted experiment 'gone'"), "{errors}");
    assert_eq!(runs(&remote.store).len(), 1);
    remote.store.restore_experiment(&gone).expect("is restored");
    let sent = place.expect(0, &sync);
    assert!(sent.starts_with("1 run sent"), "{sent}");
}

#[test]
fn a_server_that_breaks_at_every_so_many_requests_has_everything_once() {
    let place = Place::with_collection();
    place.expect(0, &["train", "clips"]);
    for n in [17, 23] {
        let remote = Remote::start(&place.path(&format!("remote-{n}")));
        let way = breaking_every(n, remote.address(), || {});
        let uri = format!("tracking.uri={way}");
        let mut n_failed = 0;
        while !place
            .run(&["tracking", "sync", "--all", "--set", &uri])
            .status
            .success()
        {
            n_failed += 1;
            assert!(n_failed < 100, "it never gets through");
        }
        assert!(n_failed > 0, "nothing broke");
        check_copy(&place, &remote);
    }
}

#[test]
fn a_sync_that_is_killed_is_completed_by_the_next_and_nothing_comes_twice() {
    let place = Place::with_collection();
    place.expect(0, &["train", "clips"]);
    let remote = Remote::start(&place.path("remote"));
    let mut n_killed = 0;
    for n in [3, 5, 8, 13, 21, 34] {
        let (sender, breaks) = channel();
        let sender = Mutex::new(sender);
        // The way breaks where the process is killed: its last request may arrive.
        let way = breaking_every(n, remote.address(), move || {
            let _ = sender.lock().map(|sender| sender.send(()));
        });
        let program = assert_cmd::cargo::cargo_bin!("biophony");
        let mut child = Command::new(program)
            .current_dir(place.path("."))
            .args(["tracking", "sync", "--all", "--set"])
            .arg(format!("tracking.uri={way}"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("starts");
        // The later ones may have less to do than that.
        while child.try_wait().expect("asks").is_none() {
            if breaks.recv_timeout(Duration::from_millis(5)).is_ok() {
                child.kill().expect("is ours");
                n_killed += 1;
                child.wait().expect("ends");
            }
        }
    }
    assert!(n_killed >= 4, "{n_killed} were killed");
    place.expect(
        0,
        &["tracking", "sync", "--all", "--set", &uri_setting(&remote)],
    );
    check_copy(&place, &remote);
}

#[test]
fn curves_are_on_the_server_while_training_goes_on_and_a_kill_is_told_later() {
    let place = Place::with_collection();
    let remote = Remote::start(&place.path("remote"));
    let program = assert_cmd::cargo::cargo_bin!("biophony");
    let mut child = Command::new(program)
        .current_dir(place.path("."))
        .args(["train", "clips", "--epochs", "5000", "--set"])
        .arg(uri_setting(&remote))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("starts");
    let deadline = Instant::now() + Duration::from_secs(120);
    let n_epochs = loop {
        let found = runs(&remote.store);
        let points = found.first().map(|run| {
            let page = remote
                .store
                .metric_history(&run.info.run_id, "loss", None, None);
            page.unwrap().items.len()
        });
        if let Some(n @ 2..) = points {
            break n;
        }
        assert!(Instant::now() < deadline, "no epoch arrived");
        assert!(child.try_wait().expect("asks").is_none(), "it ended");
        std::thread::sleep(Duration::from_millis(20));
    };
    assert!(n_epochs < 5000);
    assert_eq!(runs(&remote.store)[0].info.status, RunStatus::Running);
    child.kill().expect("is ours");
    child.wait().expect("ends");

    assert_eq!(
        runs(&place.tracking_store())[0].info.status,
        RunStatus::Running
    );
    place.expect(0, &["tracking", "sync", "--set", &uri_setting(&remote)]);
    for store in [&place.tracking_store(), &*remote.store] {
        let run = &runs(store)[0];
        assert_eq!(run.info.status, RunStatus::Killed);
        let why = value_of(&run.data.tags, "biophony.error").unwrap();
        assert!(why.contains("ended without a word"), "{why}");
    }
}

/// Ends a server when the test does, however that ends.
struct Served(std::process::Child);

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_server_is_told_over_tls_and_its_certificate_has_to_be_trusted() {
    let place = Place::with_collection();
    place.expect(0, &["train", "clips"]);
    let program = assert_cmd::cargo::cargo_bin!("biophony");
    let child = Command::new(program)
        .current_dir(place.path("."))
        .args(["serve", "--addr", "127.0.0.1:0", "--tls", "self-signed"])
        .args(["--home", "elsewhere"])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("starts");
    let mut served = Served(child);
    let said = std::io::BufReader::new(served.0.stdout.take().expect("is piped"));
    let uri = std::io::BufRead::lines(said)
        .map(|line| line.expect("says where it listens"))
        .find_map(|line| {
            let word = line
                .split_whitespace()
                .find(|word| word.starts_with("https://"))?;
            let port = word.trim_end_matches('/').rsplit(':').next()?;
            Some(format!("tracking.uri=https://localhost:{port}"))
        })
        .expect("it has an address");
    let sync = ["tracking", "sync", "--all", "--set", &uri];
    let errors = place.complaint(1, &sync).to_lowercase();
    assert!(errors.contains("cert"), "{errors}");
    let mut command = place.command(&sync);
    let sent = command
        .env("MLFLOW_TRACKING_INSECURE_TLS", "true")
        .output()
        .unwrap();
    let (told, errors) = (
        String::from_utf8_lossy(&sent.stdout),
        String::from_utf8_lossy(&sent.stderr),
    );
    assert!(told.starts_with("1 run sent"), "{told} {errors}");
    let there = SqliteStore::open(place.path("elsewhere/tracking.db")).unwrap();
    assert_eq!(runs(&there)[0].info.status, RunStatus::Finished);
    assert!(
        there
            .get_model_version_by_alias("biophony", CHAMPION)
            .is_ok()
    );
}
