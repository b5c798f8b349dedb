//! The database for MLflow has everything in it, and is there in full or not at all.
//!
//! MLflow 3.17.2 was seen to bring such a file up to date and to read it; this suite
//! has no MLflow and checks the tables alone.

use biophony_tracking::{
    CreateLoggedModel, CreateModelVersion, CreateRegisteredModel, CreateRun, Dataset, DatasetInput,
    ExperimentId, LogBatch, Metric, ModelOutput, Param, SqliteStore, Tag, TrackingStore,
};
use rusqlite::Connection;

fn filled() -> SqliteStore {
    let store = SqliteStore::in_memory().expect("a store");
    let request = CreateRun::new(ExperimentId::default_experiment());
    let run = store.create_run(request).expect("a run").info.run_id;
    let batch = LogBatch {
        metrics: vec![
            Metric::new("loss", 0.5, 1, 0),
            Metric::new("loss", f64::NAN, 2, 1),
            Metric::new("loss", f64::INFINITY, 3, 2),
        ],
        params: vec![Param::new("p", "1")],
        tags: vec![Tag::new("t", "1")],
    };
    store.log_batch(&run, &batch).expect("logs");
    // Once more, in other company.
    store
        .log_batch(
            &run,
            &LogBatch {
                metrics: batch.metrics[1..].to_vec(),
                ..LogBatch::default()
            },
        )
        .expect("logs");
    let dataset = Dataset {
        name: "animals".to_owned(),
        digest: "abc".to_owned(),
        source_type: "local".to_owned(),
        source: "{}".to_owned(),
        schema: None,
        profile: None,
    };
    let tags = vec![Tag::new("mlflow.data.context", "training")];
    store
        .log_inputs(&run, &[DatasetInput { tags, dataset }], &[])
        .expect("logs");
    store
        .create_registered_model(CreateRegisteredModel {
            name: "birds".to_owned(),
            ..CreateRegisteredModel::default()
        })
        .expect("a model");
    for _ in 0..2 {
        store
            .create_model_version(CreateModelVersion {
                name: "birds".to_owned(),
                source: "s3://models/birds".to_owned(),
                run_id: Some(run.clone()),
                ..CreateModelVersion::default()
            })
            .expect("a version");
    }
    let experiment_id = ExperimentId::default_experiment();
    let model = store.create_logged_model(CreateLoggedModel {
        experiment_id,
        name: Some("model".to_owned()),
        model_type: None,
        source_run_id: Some(run.clone()),
        params: vec![Param::new("depth", "4")],
        tags: vec![Tag::new("kind", "cnn")],
    });
    let id = model.expect("a model").info.model_id;
    let of_model = |value: f64, step: i64| Metric {
        model_id: Some(id.clone()),
        dataset_name: Some("animals".to_owned()),
        dataset_digest: Some("abc".to_owned()),
        ..Metric::new("auc", value, 4, step)
    };
    for (value, step) in [(0.75, 0), (f64::NAN, 1)] {
        store.log_metric(&run, of_model(value, step)).expect("logs");
    }
    let made = ModelOutput {
        model_id: id,
        step: 3,
    };
    store.log_outputs(&run, &[made]).expect("logs");
    store.promote("birds", 1).expect("promotes");
    store.delete_model_version("birds", 2).expect("deletes");
    store
}

#[test]
fn every_table_is_filled() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("mlflow.db");
    let store = filled();
    store.export_mlflow(&file).expect("exports");
    let db = Connection::open(&file).expect("opens");
    let n_rows = |table: &str| -> i64 {
        let count = format!("SELECT count(*) FROM {table}");
        db.query_row(&count, [], |row| row.get(0)).expect("counts")
    };
    for (table, expected) in [
        ("alembic_version", 1),
        ("experiments", 1),
        ("runs", 1),
        ("metrics", 5),
        ("latest_metrics", 2),
        ("params", 1),
        ("tags", 2),
        ("datasets", 1),
        ("inputs", 2),
        ("input_tags", 1),
        ("registered_models", 1),
        ("registered_model_aliases", 1),
        ("model_versions", 2),
        ("model_version_tags", 1),
        ("logged_models", 1),
        ("logged_model_metrics", 2),
        ("logged_model_params", 1),
        ("logged_model_tags", 1),
    ] {
        assert_eq!(n_rows(table), expected, "{table}");
    }
    let deleted: i64 = db
        .query_row(
            "SELECT version FROM model_versions WHERE current_stage = 'Deleted_Internal'",
            [],
            |row| row.get(0),
        )
        .expect("the deleted version keeps its number");
    assert_eq!(deleted, 2);
    let violations: i64 = db
        .query_row("SELECT count(*) FROM pragma_foreign_key_check", [], |row| {
            row.get(0)
        })
        .expect("checks");
    assert_eq!(violations, 0);
    // The store goes on working, and the file is not written over.
    store
        .export_mlflow(&folder.path().join("again.db"))
        .expect("exports again");
    assert!(store.export_mlflow(&file).is_err());
}

#[test]
fn a_file_that_cannot_be_written_leaves_nothing() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let store = filled();
    assert!(
        store
            .export_mlflow(&folder.path().join("none/mlflow.db"))
            .is_err()
    );
    let left = std::fs::read_dir(folder.path()).expect("lists").count();
    assert_eq!(left, 0);
    store
        .export_mlflow(&folder.path().join("mlflow.db"))
        .expect("works now");
}
