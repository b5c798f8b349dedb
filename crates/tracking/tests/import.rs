//! Databases of MLflow's, read: what was exported here, and the schema of today's
//! MLflow as far as it differs.

use std::path::Path;

use biophony_tracking::{
    CreateExperiment, CreateLoggedModel, CreateModelVersion, CreateRegisteredModel, CreateRun,
    Dataset, DatasetInput, Imported, LogBatch, Metric, ModelOutput, Param, RunId, RunStatus,
    Search, SqliteStore, Tag, TrackingStore, ViewType, experiment_named, value_of,
};
use rusqlite::Connection;

/// A run with everything, and a registered model with two versions.
fn fill(store: &SqliteStore, experiment: &str) {
    let id = experiment_named(store, experiment).expect("an experiment");
    store
        .set_experiment_tag(&id, &Tag::new("site", "pond"))
        .expect("tags");
    let run = store
        .create_run(CreateRun {
            run_name: Some("night".to_owned()),
            start_time: 5,
            ..CreateRun::new(id)
        })
        .expect("a run")
        .info;
    let metric = |key: &str, value, step| Metric::new(key, value, 7, step);
    store
        .log_batch(
            &run.run_id,
            &LogBatch {
                metrics: vec![
                    metric("loss", 0.5, 0),
                    metric("loss", 0.25, 1),
                    metric("odd", f64::NAN, 0),
                    metric("vast", f64::INFINITY, 0),
                ],
                params: vec![Param::new("epochs", "2")],
                tags: vec![Tag::new("note", "x")],
            },
        )
        .expect("logs");
    let dataset = Dataset {
        name: "animals".to_owned(),
        digest: "abc".to_owned(),
        source_type: "local".to_owned(),
        source: "{}".to_owned(),
        schema: None,
        profile: Some("{}".to_owned()),
    };
    let tags = vec![Tag::new("mlflow.data.context", "train")];
    store
        .log_inputs(&run.run_id, &[DatasetInput { tags, dataset }], &[])
        .expect("logs");
    store
        .finish_run(&run.run_id, RunStatus::Finished, 9)
        .expect("ends");
    store
        .create_registered_model(CreateRegisteredModel {
            name: "birds".to_owned(),
            description: Some("what sings".to_owned()),
            tags: vec![Tag::new("team", "a")],
        })
        .expect("registers");
    let model = store.create_logged_model(CreateLoggedModel {
        experiment_id: run.experiment_id.clone(),
        name: Some("model".to_owned()),
        model_type: None,
        source_run_id: Some(run.run_id.clone()),
        params: vec![Param::new("depth", "4")],
        tags: vec![Tag::new("kind", "cnn")],
    });
    let model = model.expect("a model").info;
    let (model_id, step) = (model.model_id.clone(), 3);
    let made = ModelOutput { model_id, step };
    store.log_outputs(&run.run_id, &[made]).expect("logs");
    for i in 0..2 {
        let request = CreateModelVersion {
            name: "birds".to_owned(),
            source: match i {
                0 => model.artifact_uri.clone(),
                _ => format!("models:/{}", model.model_id),
            },
            model_id: Some(model.model_id.clone()),
            run_id: Some(run.run_id.clone()),
            tags: vec![Tag::new("number", i.to_string())],
            ..CreateModelVersion::default()
        };
        store.create_model_version(request).expect("registers");
    }
    store.promote("birds", 1).expect("promotes");
    store.promote("birds", 2).expect("promotes");
}

fn exported(store: &SqliteStore, folder: &Path) -> std::path::PathBuf {
    let file = folder.join("mlflow.db");
    store.export_mlflow(&file).expect("exports");
    file
}

/// All runs of an experiment and their models, metrics' histories included.
fn picture(store: &SqliteStore, experiment: &str) -> Vec<String> {
    let id = store.get_experiment_by_name(experiment).expect("asks");
    let id = id.expect("there is one").experiment_id;
    let runs = store.search_runs(std::slice::from_ref(&id), &Search::default(), ViewType::All);
    let mut lines = Vec::new();
    for run in runs.expect("searches").items {
        for metric in &run.data.metrics {
            let points = store.metric_history(&run.info.run_id, &metric.key, None, None);
            lines.push(format!("{:?}", points.expect("a history").items));
        }
        let mut info = run.info.clone();
        info.experiment_id = id.clone();
        lines.push(format!(
            "{info:?} {:?} {:?} {:?}",
            run.data, run.inputs, run.outputs
        ));
        for made in &run.outputs.model_outputs {
            let mut model = store.get_logged_model(&made.model_id).expect("there");
            model.info.experiment_id = id.clone();
            lines.push(format!("{model:?}"));
        }
    }
    lines
}

#[test]
fn what_was_exported_is_read_back_and_a_second_time_adds_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let from = SqliteStore::in_memory().expect("a store");
    fill(&from, "pond");
    let file = exported(&from, folder.path());
    let to = SqliteStore::in_memory().expect("a store");
    let imported = to.import_mlflow(&file, None).expect("imports");
    assert_eq!(
        imported,
        Imported {
            experiments: 1,
            runs: 1,
            metrics: 4,
            params: 1,
            tags: 2,
            datasets: 1,
            logged_models: 1,
            registered_models: 1,
            versions: 2,
            aliases: 2,
            left_out: 0,
            files_elsewhere: 0,
        }
    );
    assert_eq!(picture(&from, "pond"), picture(&to, "pond"));
    assert_eq!(
        from.get_registered_model("birds").expect("there"),
        to.get_registered_model("birds").expect("there")
    );
    assert_eq!(
        to.import_mlflow(&file, None).expect("imports"),
        Imported::default()
    );
    // What was imported goes on as if it had been made here.
    assert_eq!(to.rollback("birds").expect("rolls back").version, 1);
}

#[test]
fn what_is_here_stays_and_numbers_that_are_taken_give_way() {
    let folder = tempfile::tempdir().expect("a folder");
    let from = SqliteStore::in_memory().expect("a store");
    fill(&from, "pond");
    let file = exported(&from, folder.path());
    let to = SqliteStore::in_memory().expect("a store");
    // The number that `pond` has there means another experiment here.
    to.create_experiment(CreateExperiment {
        name: "wood".to_owned(),
        ..CreateExperiment::default()
    })
    .expect("new");
    fill(&to, "wood");
    let before = to.get_registered_model("birds").expect("there");
    let imported = to.import_mlflow(&file, None).expect("imports");
    assert_eq!((imported.experiments, imported.versions), (1, 2));
    assert_eq!(imported.aliases, 0, "the names mean what they meant");
    let after = to.get_registered_model("birds").expect("there");
    assert_eq!(after.aliases, before.aliases);
    let third = to.get_model_version("birds", 3).expect("there");
    assert_eq!(value_of(&third.tags, "number"), Some("0"));
    assert_eq!(picture(&from, "pond").len(), picture(&to, "pond").len());
    assert_eq!(
        to.import_mlflow(&file, None).expect("imports"),
        Imported::default()
    );
}

/// A store with a run of the experiment `pond`.
fn pond_with_a_run() -> (SqliteStore, RunId) {
    let store = SqliteStore::in_memory().expect("a store");
    let id = experiment_named(&store, "pond").expect("an experiment");
    let run = store.create_run(CreateRun::new(id)).expect("a run");
    (store, run.info.run_id)
}

#[test]
fn a_run_that_was_under_way_takes_its_end() {
    let folder = tempfile::tempdir().expect("a folder");
    let (from, run) = pond_with_a_run();
    let to = SqliteStore::in_memory().expect("a store");
    let first = folder.path().join("first.db");
    from.export_mlflow(&first).expect("exports");
    to.import_mlflow(&first, None).expect("imports");
    assert_eq!(
        to.get_run(&run).expect("there").info.status,
        RunStatus::Running
    );
    from.log_metric(&run, Metric::new("loss", 1.0, 3, 0))
        .expect("logs");
    from.finish_run(&run, RunStatus::Failed, 8).expect("ends");
    let second = folder.path().join("second.db");
    from.export_mlflow(&second).expect("exports");
    let imported = to.import_mlflow(&second, None).expect("imports");
    assert_eq!((imported.runs, imported.metrics), (0, 1));
    let info = to.get_run(&run).expect("there").info;
    assert_eq!((info.status, info.end_time), (RunStatus::Failed, Some(8)));
}

#[test]
fn of_a_run_that_has_grown_only_the_new_points_are_added() {
    let folder = tempfile::tempdir().expect("a folder");
    let (from, run) = pond_with_a_run();
    let to = SqliteStore::in_memory().expect("a store");
    // A batch's points are in several blocks of steps, and some in the same as the last's.
    for (i, (steps, added)) in [(-10..50, 60), (40..100, 50), (0..100, 0), (70..101, 1)]
        .into_iter()
        .enumerate()
    {
        let metrics = steps.map(|step| Metric::new("loss", step as f64, 7, step));
        let batch = LogBatch {
            metrics: metrics.collect(),
            ..LogBatch::default()
        };
        from.log_batch(&run, &batch).expect("logs");
        let file = folder.path().join(format!("{i}.db"));
        from.export_mlflow(&file).expect("exports");
        let imported = to.import_mlflow(&file, None).expect("imports");
        assert_eq!(imported.metrics, added);
        let again = to.import_mlflow(&file, None).expect("imports");
        assert_eq!(again.metrics, 0);
    }
    assert_eq!(picture(&from, "pond"), picture(&to, "pond"));
    let points = to.metric_history(&run, "loss", None, None).expect("there");
    assert_eq!(points.items.len(), 111);
}

/// Today's MLflow has workspaces.
#[test]
fn the_schema_of_todays_mlflow_is_read() {
    let folder = tempfile::tempdir().expect("a folder");
    let from = SqliteStore::in_memory().expect("a store");
    fill(&from, "pond");
    let file = exported(&from, folder.path());
    let db = Connection::open(&file).expect("opens");
    let run: String = db
        .query_row("SELECT run_uuid FROM runs", [], |row| row.get(0))
        .expect("a run");
    for table in [
        "experiments",
        "registered_models",
        "registered_model_tags",
        "registered_model_aliases",
        "model_versions",
        "model_version_tags",
    ] {
        db.execute_batch(&format!(
            "ALTER TABLE {table} ADD COLUMN workspace TEXT NOT NULL DEFAULT 'default'"
        ))
        .expect("alters");
    }
    db.execute_batch(&format!(
        "INSERT INTO logged_models VALUES ('m-1', 1, 'model', 'mlflow-artifacts:/1/models/m-1',
             3, 4, 2, 'active', NULL, '{run}', NULL);
         INSERT INTO logged_model_metrics
             VALUES ('m-1', 'auc', 5, 0, 0.75, 1, '{run}', NULL, 'animals', 'abc');
         INSERT INTO logged_model_tags VALUES ('m-1', 1, 'kind', 'cnn');
         INSERT INTO inputs VALUES ('u', 'RUN_OUTPUT', '{run}', 'MODEL_OUTPUT', 'm-1', 3);
         INSERT INTO experiments (experiment_id, name, lifecycle_stage, workspace)
             VALUES (77, 'lake', 'active', 'other');
         UPDATE alembic_version SET version_num = 'dc11669786a5';"
    ))
    .expect("is brought up to date");
    drop(db);

    let to = SqliteStore::in_memory().expect("a store");
    let imported = to.import_mlflow(&file, None).expect("imports");
    assert_eq!((imported.logged_models, imported.left_out), (2, 1));
    let model = to.get_logged_model(&"m-1".into()).expect("there");
    assert_eq!(value_of(&model.info.tags, "kind"), Some("cnn"));
    assert_eq!(model.data.metrics[0].value, 0.75);
    let run = to.get_run(&run.as_str().into()).expect("there");
    let mut outputs = run.outputs.model_outputs.iter();
    let output = outputs.find(|output| output.model_id.as_str() == "m-1");
    assert_eq!(output.expect("it made it").step, 3);
    let again = to.import_mlflow(&file, None).expect("imports");
    assert_eq!(
        again,
        Imported {
            left_out: 1,
            ..Imported::default()
        }
    );
}

/// Version numbers with their logged models and the places of their files.
fn versions(store: &SqliteStore) -> Vec<(u32, Option<String>, String)> {
    let search = Search::versions_of("birds").expect("a name");
    let page = store.search_model_versions(&search).expect("searches");
    let mut versions: Vec<_> = page
        .items
        .into_iter()
        .map(|one| {
            let place = store.model_version_download_uri("birds", one.version);
            let model = one.model_id.map(|id| id.to_string());
            (one.version, model, place.expect("there"))
        })
        .collect();
    versions.sort_unstable();
    versions
}

#[test]
fn versions_keep_their_logged_models() {
    let folder = tempfile::tempdir().expect("a folder");
    let from = SqliteStore::in_memory().expect("a store");
    fill(&from, "pond");
    let to = SqliteStore::in_memory().expect("a store");
    let file = exported(&from, folder.path());
    to.import_mlflow(&file, None).expect("imports");
    assert_eq!(versions(&from), versions(&to));
    assert!(versions(&to).iter().all(|(_, model, _)| model.is_some()));
}

/// What MLflow without a server leaves: paths of its folder in every URI.
fn local_database(folder: &Path, artifacts: &str) -> std::path::PathBuf {
    let from = SqliteStore::in_memory().expect("a store");
    fill(&from, "pond");
    let file = exported(&from, folder);
    let db = Connection::open(&file).expect("opens");
    for (table, column) in [
        ("experiments", "artifact_location"),
        ("runs", "artifact_uri"),
        ("logged_models", "artifact_location"),
        ("model_versions", "source"),
        ("model_versions", "storage_location"),
    ] {
        db.execute(
            &format!("UPDATE {table} SET {column} = replace({column}, 'mlflow-artifacts:', ?1)"),
            [artifacts],
        )
        .expect("updates");
    }
    file
}

/// Everything that is here leads to files below our own root.
#[track_caller]
fn check_places(to: &SqliteStore) {
    let experiment = to
        .get_experiment_by_name("pond")
        .expect("asks")
        .expect("there");
    let id = experiment.experiment_id;
    assert_eq!(
        experiment.artifact_location,
        format!("mlflow-artifacts:/{id}")
    );
    let runs = to
        .search_runs(&[id], &Search::default(), ViewType::All)
        .expect("searches");
    for run in runs.items {
        let id = &run.info.run_id;
        assert_eq!(
            run.info.artifact_uri,
            format!("mlflow-artifacts:/1/{id}/artifacts")
        );
        let model = &run.outputs.model_outputs[0].model_id;
        let place = to.get_logged_model(model).expect("there").info.artifact_uri;
        assert_eq!(
            place,
            format!("mlflow-artifacts:/1/models/{model}/artifacts")
        );
        assert!(versions(to).iter().all(|(_, _, uri)| *uri == place));
    }
}

#[test]
fn files_of_a_folder_that_is_taken_in_are_found_where_they_are_then() {
    for before in [
        "/home/ada/mlruns",
        "file:///home/ada/mlruns",
        "./mlruns",
        "mlruns",
    ] {
        let folder = tempfile::tempdir().expect("a folder");
        let artifacts = folder.path().join("taken");
        std::fs::create_dir_all(artifacts.join("1")).expect("creates");
        let file = local_database(folder.path(), before);
        let to = SqliteStore::in_memory().expect("a store");
        let first = to.import_mlflow(&file, Some(&artifacts)).expect("imports");
        assert_eq!((first.versions, first.files_elsewhere), (2, 0), "{before}");
        check_places(&to);
        let again = to.import_mlflow(&file, Some(&artifacts)).expect("imports");
        assert_eq!(again, Imported::default());
    }
}

#[test]
fn files_can_be_taken_in_later_and_until_then_it_is_said_that_they_are_elsewhere() {
    let folder = tempfile::tempdir().expect("a folder");
    let artifacts = folder.path().join("mlruns");
    std::fs::create_dir_all(&artifacts).expect("creates");
    // Its own path, without a folder of the experiment in it.
    let file = local_database(folder.path(), artifacts.to_str().expect("text"));
    let to = SqliteStore::in_memory().expect("a store");
    let first = to.import_mlflow(&file, None).expect("imports");
    assert_eq!((first.runs, first.files_elsewhere), (1, 1));
    let later = to.import_mlflow(&file, Some(&artifacts)).expect("imports");
    assert_eq!(later, Imported::default());
    check_places(&to);
}

#[test]
fn an_import_waits_for_its_turn_and_reads_a_file_that_cannot_be_written() {
    let folder = tempfile::tempdir().expect("a folder");
    let from = SqliteStore::in_memory().expect("a store");
    fill(&from, "pond");
    let file = exported(&from, folder.path());
    let mut permissions = std::fs::metadata(&file).expect("there").permissions();
    permissions.set_readonly(true);
    std::fs::set_permissions(&file, permissions).expect("sets");
    let path = folder.path().join("tracking.db");
    let to = SqliteStore::open(&path).expect("a store");
    // As a training in another process that writes at this moment.
    let other = Connection::open(&path).expect("opens");
    other
        .execute_batch("BEGIN IMMEDIATE; UPDATE experiments SET last_update_time = 1;")
        .expect("writes");
    let imported = std::thread::scope(|scope| {
        let import = scope.spawn(|| to.import_mlflow(&file, None));
        std::thread::sleep(std::time::Duration::from_millis(300));
        other.execute_batch("COMMIT").expect("commits");
        import.join().expect("ends")
    });
    assert_eq!(imported.expect("imports").runs, 1);
}

#[test]
fn a_store_of_our_own_is_told_from_mlflows() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("tracking.db");
    let own = SqliteStore::open(&file).expect("a store");
    for store in [&own, &SqliteStore::in_memory().expect("a store")] {
        let refused = store.import_mlflow(&file, None).expect_err("is refused");
        let told = refused.to_string();
        assert!(
            told.contains("a tracking store of biophony's own"),
            "{told}"
        );
    }
}

#[test]
fn other_files_are_refused_and_leave_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = SqliteStore::in_memory().expect("a store");
    let refused = |name: &str| {
        let error = store.import_mlflow(&folder.path().join(name), None);
        error.expect_err("it is refused").to_string()
    };
    assert!(refused("none.db").contains("there is no file"));
    std::fs::write(
        folder.path().join("text.db"),
        "no database at all".repeat(100),
    )
    .unwrap();
    let error = refused("text.db");
    assert!(error.contains("no SQLite database"), "{error}");
    let other = Connection::open(folder.path().join("other.db")).expect("opens");
    other
        .execute_batch("CREATE TABLE runs (a)")
        .expect("creates");
    let error = refused("other.db");
    assert!(error.contains("`experiments`"), "{error}");
    fill(&store, "pond");
}
