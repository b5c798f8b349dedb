//! What a training leaves in the tracking store with no call by its user.

mod support;

use biophony_tracking::{
    CHAMPION, ExperimentId, LoggedModelStatus, Run, RunStatus, Search, SearchLoggedModels,
    SqliteStore, TrackingStore, ViewType, value_of,
};
use support::{Place, json, trained};

fn experiment(store: &SqliteStore, name: &str) -> ExperimentId {
    let found = store.get_experiment_by_name(name).expect("asks");
    found.expect("there is such an experiment").experiment_id
}

/// The runs of an experiment, the oldest first.
fn runs(store: &SqliteStore, name: &str) -> Vec<Run> {
    let search = Search {
        order_by: vec!["start_time ASC".to_owned()],
        ..Search::default()
    };
    let page = store.search_runs(&[experiment(store, name)], &search, ViewType::All);
    page.expect("searches").items
}

fn metric(run: &Run, key: &str) -> Option<f64> {
    let found = run.data.metrics.iter().find(|metric| metric.key == key);
    found.map(|metric| metric.value)
}

/// The steps of a metric, in their order.
fn steps(store: &SqliteStore, run: &Run, key: &str) -> Vec<i64> {
    let points = store.metric_history(&run.info.run_id, key, None, None);
    let mut steps: Vec<i64> = points
        .unwrap()
        .items
        .iter()
        .map(|point| point.step)
        .collect();
    steps.sort_unstable();
    steps
}

#[test]
fn training_is_recorded_with_no_call_by_the_user() {
    let store = trained().tracking_store();
    let runs = runs(&store, "clips");
    let [run] = &runs[..] else {
        panic!("one training, one run: {}", runs.len());
    };
    assert_eq!(run.info.status, RunStatus::Finished);
    assert!(run.info.end_time.unwrap() >= run.info.start_time);
    for (key, value) in [
        ("epochs", "3"),
        ("batch_size", "8"),
        ("opt_name", "AdamW"),
        ("train.architecture", "mobile"),
        ("n_test", "4"),
    ] {
        assert_eq!(value_of(&run.data.params, key), Some(value), "{key}");
    }
    for key in [
        "loss",
        "accuracy",
        "val_loss",
        "val_accuracy",
        "val_macro_f1",
    ] {
        assert_eq!(steps(&store, run, key), [0, 1, 2], "{key}");
    }
    let accuracy = metric(run, "test_accuracy").unwrap();
    assert!(metric(run, "test_accuracy_low").unwrap() <= accuracy);
    for key in [
        "mlflow.user",
        "mlflow.runName",
        "mlflow.source.name",
        "biophony.pipeline_run",
        "biophony.data_digest",
        "biophony.host",
    ] {
        let value = value_of(&run.data.tags, key);
        assert!(value.is_some_and(|value| !value.is_empty()), "{key}");
    }
    if cfg!(target_os = "linux") {
        let memory = metric(run, "system/system_memory_usage_megabytes").unwrap();
        assert!(memory > 1.0);
        assert!(metric(run, "system/cpu_utilization_percentage").is_some());
    }
    let inputs = &run.inputs.dataset_inputs;
    let mut contexts: Vec<_> = inputs
        .iter()
        .map(|input| {
            assert_eq!(input.dataset.name, "clips");
            assert_eq!(input.dataset.digest.len(), 32);
            value_of(&input.tags, "mlflow.data.context").unwrap()
        })
        .collect();
    contexts.sort_unstable();
    assert_eq!(contexts, ["eval", "test", "train"]);
    let files = trained().path(".biophony/mlartifacts").join(
        run.info
            .artifact_uri
            .strip_prefix("mlflow-artifacts:/")
            .unwrap(),
    );
    for name in [
        "report.html",
        "metrics.json",
        "confusion.csv",
        "confusion.json",
        "confusion.svg",
        "learning_curves.svg",
        "model_summary.txt",
        "audit.json",
        "settings.toml",
    ] {
        assert!(files.join(name).is_file(), "{name}");
    }
}

#[test]
fn a_training_that_ends_early_says_what_autologging_says_of_it() {
    let place = Place::with_collection();
    let mut arguments = vec!["train", "clips", "--epochs", "20"];
    // It learns so slowly that no epoch is better than the first.
    for setting in [
        "train.learning_rate=1e-7",
        "train.monitor=accuracy",
        "train.patience=2",
    ] {
        arguments.extend(["--set", setting]);
    }
    place.expect(0, &arguments);
    let store = place.tracking_store();
    let run = &runs(&store, "clips")[0];
    for (key, value) in [
        ("mode", "max"),
        ("baseline", "None"),
        ("monitor", "val_accuracy"),
    ] {
        assert_eq!(value_of(&run.data.params, key), Some(value), "{key}");
    }
    for (key, value) in [
        ("stopped_epoch", 2.0),
        ("restored_epoch", 0.0),
        ("wait_count", 2.0),
    ] {
        assert_eq!(metric(run, key), Some(value), "{key}");
    }
    for key in ["loss", "val_loss", "val_accuracy"] {
        assert_eq!(steps(&store, run, key), [0, 1, 2, 3], "{key}");
        let points = store.metric_history(&run.info.run_id, key, None, None);
        let points = points.expect("a history").items;
        let at = |step: i64| {
            points
                .iter()
                .find(|point| point.step == step)
                .map(|one| one.value)
        };
        assert_eq!(at(3), at(0), "{key}: the first epoch was restored");
    }
    assert_eq!(metric(run, "best_score"), metric(run, "val_accuracy"));
    assert_eq!(value_of(&run.data.tags, "Mode"), Some("testing"));
}

#[test]
fn the_model_of_a_run_is_a_version_in_use() {
    let store = trained().tracking_store();
    let run = &runs(&store, "clips")[0];
    let version = store
        .get_model_version_by_alias("biophony", CHAMPION)
        .expect("a champion");
    assert_eq!(version.version, 1);
    assert_eq!(version.run_id.as_ref(), Some(&run.info.run_id));
    let search = SearchLoggedModels {
        experiment_ids: vec![run.info.experiment_id.clone()],
        ..SearchLoggedModels::default()
    };
    let models = store.search_logged_models(&search).expect("searches").items;
    assert_eq!(models.len(), 1);
    assert_eq!(models[0].info.status, LoggedModelStatus::Ready);
    assert_eq!(models[0].info.name, "model");
    assert_eq!(version.source, models[0].info.artifact_uri);
    assert_eq!(
        run.outputs.model_outputs[0].model_id,
        models[0].info.model_id
    );
    let gate = value_of(&version.tags, "biophony.gate").expect("the decision");
    assert!(gate.contains("\"accepted\":true"), "{gate}");
    assert_eq!(
        value_of(&version.tags, "biophony.data_digest"),
        value_of(&run.data.tags, "biophony.data_digest")
    );
}

#[test]
fn what_comes_from_the_cache_is_a_run_and_no_new_version() {
    let place = Place::with_collection();
    place.expect(0, &["train", "clips"]);
    place.expect(0, &["train", "clips"]);
    let store = place.tracking_store();
    let runs = runs(&store, "clips");
    let cached = |run: &Run| value_of(&run.data.tags, "biophony.cached").map(str::to_owned);
    let told: Vec<_> = runs.iter().map(cached).collect();
    assert_eq!(told, [Some("false".to_owned()), Some("true".to_owned())]);
    // The curves are those of the training that it stands for.
    let last = |run: &Run| metric(run, "val_loss").unwrap();
    assert_eq!(steps(&store, &runs[1], "val_loss"), [0, 1, 2]);
    assert_eq!(last(&runs[0]), last(&runs[1]));
    let model = store.get_registered_model("biophony").expect("a model");
    assert_eq!(model.latest_versions[0].version, 1);
}

#[test]
fn a_run_that_fails_is_recorded_as_failed() {
    let place = Place::with_collection();
    for label in ["hiss", "ticks"] {
        for clip in std::fs::read_dir(place.path("clips").join(label)).unwrap() {
            std::fs::write(clip.unwrap().path(), "no sound").unwrap();
        }
    }
    place.complaint(1, &["train", "clips"]);
    let run = &runs(&place.tracking_store(), "clips")[0];
    assert_eq!(run.info.status, RunStatus::Failed);
    let error = value_of(&run.data.tags, "biophony.error").unwrap();
    assert!(error.contains("at least two classes"), "{error}");
}

#[test]
fn folds_are_runs_within_the_run() {
    let place = Place::with_collection();
    place.expect(0, &["train", "clips", "--folds", "2"]);
    let store = place.tracking_store();
    let runs = runs(&store, "clips");
    let parent = &runs[0];
    let nested: Vec<&Run> = runs
        .iter()
        .filter(|run| {
            value_of(&run.data.tags, "mlflow.parentRunId") == Some(parent.info.run_id.as_str())
        })
        .collect();
    let mut divisions: Vec<_> = nested
        .iter()
        .map(|run| value_of(&run.data.tags, "biophony.division").unwrap())
        .collect();
    divisions.sort_unstable();
    assert_eq!(divisions, ["final", "fold-1", "fold-2"]);
    for run in &nested {
        assert_eq!(run.info.status, RunStatus::Finished);
        assert_eq!(steps(&store, run, "loss"), [0, 1, 2]);
    }
    assert!(steps(&store, parent, "loss").is_empty());
    assert!(metric(parent, "test_accuracy").is_some());
    let fold = nested
        .iter()
        .find(|run| run.info.run_name.ends_with("fold-1"));
    assert!(metric(fold.unwrap(), "test_accuracy").is_some());
}

#[test]
fn members_have_curves_of_their_own_beside_their_mean() {
    let place = Place::with_collection();
    let arguments = ["train", "clips", "--set", "train.members=2", "--json"];
    let output = place.command(&arguments).output().unwrap();
    let figures = json(&String::from_utf8_lossy(&output.stdout));
    let store = place.tracking_store();
    let run = &runs(&store, "clips")[0];
    for key in ["loss", "member_1/loss", "member_2/loss"] {
        assert_eq!(steps(&store, run, key), [0, 1, 2], "{key}");
    }
    let history = |key: &str| metric(run, key).unwrap();
    let mean = (history("member_1/val_loss") + history("member_2/val_loss")) / 2.0;
    assert!((history("val_loss") - mean).abs() < 1e-12);

    // What they reach as one is told apart, everywhere alike.
    let fold = &figures["folds"][0];
    assert_eq!(fold["kept_epochs"], serde_json::json!([3, 3]));
    let together = fold["validation"]["loss"].as_f64().unwrap();
    assert_eq!(history("ensemble_val_loss"), together);
    assert!((together - mean).abs() > 1e-6);
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(told.contains("parameters 2 × "), "{told}");
    let accuracy = fold["validation"]["accuracy"].as_f64().unwrap();
    let said = format!("validation accuracy {accuracy:.3}");
    assert!(told.contains(&said), "{told}");
}

#[test]
fn names_come_from_the_settings_and_from_mlflows_variables() {
    let place = Place::with_collection();
    let mut command = place.command(&["train", "clips", "--set", "tracking.model=birds"]);
    command.env("MLFLOW_EXPERIMENT_NAME", "pond");
    // For other programs in the same shell.
    command.env("MLFLOW_TRACKING_URI", "sqlite:///mlflow.db");
    let output = command.output().unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{told}");
    assert!(told.contains("recorded here alone"), "{told}");
    assert!(
        told.contains("`biophony import mlflow-sqlite mlflow.db`"),
        "{told}"
    );
    for (uri, said) in [
        ("sqlite:///mlflow.db", "a database"),
        ("file:///data/mlruns", "a folder"),
        ("databricks", "no address"),
    ] {
        for (command, code) in [("status", 0), ("sync", 1)] {
            let mut command = place.command(&["tracking", command]);
            let output = command.env("MLFLOW_TRACKING_URI", uri).output().unwrap();
            let told = [output.stdout, output.stderr].concat();
            let told = String::from_utf8_lossy(&told).into_owned();
            assert_eq!(output.status.code(), Some(code), "{told}");
            assert!(
                told.contains(&format!("MLFLOW_TRACKING_URI is `{uri}`: {said}")),
                "{told}"
            );
        }
    }
    let store = place.tracking_store();
    assert_eq!(runs(&store, "pond").len(), 1);
    assert!(store.get_registered_model("birds").is_ok());
    // The commands look for the model under the name that is set.
    place.complaint(1, &["classify", "clips/hum/hum_1.wav"]);
    let set = ["--set", "tracking.model=birds"];
    place.expect(0, &["classify", "clips/hum/hum_1.wav", set[0], set[1]]);
}

#[test]
fn commands_that_look_leave_no_files_where_nothing_was_tracked() {
    let place = Place::with_collection();
    let errors = place.complaint(1, &["models", "list"]);
    assert!(errors.contains("no model"), "{errors}");
    assert!(!place.path(".biophony").exists());
}

#[test]
fn what_is_tracked_goes_to_mlflows_database_and_comes_back() {
    let place = Place::with_collection();
    place.complaint(1, &["export", "mlflow-sqlite", "mlflow.db"]);
    place.expect(0, &["train", "clips"]);
    let told = place.expect(0, &["export", "mlflow-sqlite", "mlflow.db"]);
    assert!(told.contains("mlflow server --backend-store-uri"), "{told}");
    place.complaint(1, &["export", "mlflow-sqlite", "mlflow.db"]);

    let elsewhere = ["--home", "elsewhere"];
    let import = ["import", "mlflow-sqlite", "mlflow.db", "--json"];
    let files = ["--artifacts", ".biophony/mlartifacts"];
    let arguments = [&import[..], &files, &elsewhere].concat();
    let added = json(&place.expect(0, &arguments));
    assert_eq!((&added["runs"], &added["versions"]), (&1.into(), &1.into()));
    assert!(added["files"].as_u64().unwrap() > 10, "{added}");
    // The model works there, under its alias.
    let classify = ["classify", "clips/hum/hum_0.wav", "--home", "elsewhere"];
    place.expect(0, &classify);
    let again = json(&place.expect(0, &arguments));
    assert!(
        again.as_object().unwrap().values().all(|n| n == 0),
        "{again}"
    );
    let errors = place.complaint(1, &["import", "mlflow-sqlite", "clips/hum/hum_0.wav"]);
    assert!(errors.contains("no SQLite database"), "{errors}");
}

#[test]
fn a_run_that_goes_on_after_a_kill_is_the_same_run_with_each_epoch_once() {
    let place = Place::with_collection();
    let mut child = std::process::Command::new(assert_cmd::cargo::cargo_bin!("biophony"))
        .current_dir(place.path("."))
        .args(["run", "--data", "clips", "--set", "train.epochs=300"])
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .spawn()
        .expect("the program starts");
    while !place.has_checkpoint(".biophony") && child.try_wait().expect("a child").is_none() {
        std::thread::yield_now();
    }
    child.kill().expect("is ours");
    child.wait().expect("ends");
    let store = place.tracking_store();
    let status = || runs(&store, "clips")[0].info.status;
    assert_eq!(status(), RunStatus::Running);
    // Whoever looks sees that nobody is at it any more.
    let told = place.expect(0, &["tracking", "status"]);
    assert!(told.starts_with("here     1 run\n"), "{told}");
    assert_eq!(status(), RunStatus::Killed);
    // It is gone on with as it was begun, or not at all.
    let errors = place.complaint(2, &["train", "clips", "--resume"]);
    assert!(
        errors.contains("train.epochs was 300 and is 3 now"),
        "{errors}"
    );
    place.expect(0, &["run", "--resume"]);
    let runs = runs(&store, "clips");
    assert_eq!(runs.len(), 1);
    assert_eq!(runs[0].info.status, RunStatus::Finished);
    assert_eq!(value_of(&runs[0].data.tags, "biophony.error"), None);
    let all: Vec<i64> = (0..300).collect();
    assert_eq!(steps(&store, &runs[0], "val_loss"), all);
}
