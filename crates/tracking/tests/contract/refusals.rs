//! What is refused, and in which words: MLflow's, where they were measured.

use biophony_tracking::{
    CreateExperiment, ErrorCode, ExperimentId, LogBatch, Metric, Param, Result, RunId, Tag,
    TrackingStore,
};

use crate::{run_at, with_each_store};

#[track_caller]
fn check<T: std::fmt::Debug>(result: Result<T>, code: ErrorCode, message: &str) {
    let error = result.expect_err("refused");
    assert_eq!(error.to_string(), message);
    assert_eq!(error.code(), code);
}

#[track_caller]
fn check_invalid<T: std::fmt::Debug>(result: Result<T>, message: &str) {
    check(result, ErrorCode::InvalidParameterValue, message);
}

#[test]
fn what_is_not_there_is_named() {
    with_each_store(|store| {
        let missing = ErrorCode::ResourceDoesNotExist;
        check(
            store.get_experiment(&ExperimentId::from("999")),
            missing,
            "No Experiment with id=999 exists",
        );
        check(
            store.get_run(&RunId::from("nope")),
            missing,
            "Run with id=nope not found",
        );
        check(
            store.get_registered_model("zz"),
            missing,
            "Registered Model with name=zz not found",
        );
        check(
            store.get_model_version("zz", 99),
            missing,
            "Model Version (name=zz, version=99) not found",
        );
        check(
            store.set_registered_model_alias("zz", "champion", 1),
            missing,
            "Model Version (name=zz, version=1) not found",
        );
        let run = run_at(store, 1);
        check(
            store.delete_tag(&run, "zz"),
            missing,
            &format!("No tag with name: zz in run with id {run}"),
        );
        check_invalid(
            store.get_experiment(&ExperimentId::from("abc")),
            "Invalid experiment ID 'abc'. Experiment ID must be a valid integer.",
        );
    });
}

fn create(store: &dyn TrackingStore, name: &str, location: &str) -> Result<ExperimentId> {
    store.create_experiment(CreateExperiment {
        name: name.to_owned(),
        artifact_location: Some(location.to_owned()),
        tags: Vec::new(),
    })
}

#[test]
fn experiments_have_new_names_and_plain_locations() {
    with_each_store(|store| {
        let taken = create(store, "Default", "").expect_err("taken");
        assert_eq!(taken.code(), ErrorCode::ResourceAlreadyExists);
        // MLflow goes on with the SQL that failed.
        let words = "Experiment(name=Default) already exists.";
        assert!(taken.to_string().starts_with(words), "{taken}");
        // A rename to a name that is taken has another code.
        let other = create(store, "other", "").expect("an experiment");
        let taken = store.rename_experiment(&other, "Default");
        let taken = taken.expect_err("taken");
        assert_eq!(taken.code(), ErrorCode::BadRequest);
        let other = store.get_experiment(&other).expect("it is there");
        assert_eq!(other.name, "other");
        check_invalid(
            create(store, &"x".repeat(501), ""),
            "'name' exceeds the maximum length of 500 characters",
        );
        check_invalid(
            create(store, "x", "runs:/a"),
            "Artifact location cannot be a runs:/ URI. Given: 'runs:/a'",
        );
        for location in ["../a?b#c", "s3://a#b"] {
            check_invalid(
                create(store, "y", location),
                "'artifact_location' URL can't include fragments or params.",
            );
        }
        for (location, scheme) in [
            ("mlflow-artifacts://127.0.0.1:5699/x", "mlflow-artifacts"),
            ("http://h/x", "http"),
            ("HTTPS://h/x", "https"),
            (" ht\ttp://h/x", "http"),
            ("ftp://h/x", "ftp"),
            ("sftp://h/x", "sftp"),
            ("hdfs://h/x", "hdfs"),
            ("viewfs://h/x", "viewfs"),
            ("r2://b@h/x", "r2"),
            ("b2://b@h/x", "b2"),
            ("abfss://c@h/x", "abfss"),
        ] {
            check_invalid(
                create(store, "z", location),
                &format!(
                    "'artifact_location' cannot use the '{scheme}' scheme: the '{scheme}' scheme \
                     addresses a host other than the tracking server's configured artifact \
                     storage, so the server would connect to the host named in the URI. Set the \
                     MLFLOW_ALLOWED_HOST_ADDRESSED_ARTIFACT_SCHEMES environment variable on the \
                     server to allow it."
                ),
            );
        }
        for (name, location) in [
            ("own", "mlflow-artifacts:/somewhere"),
            ("own2", "mlflow-artifacts:///somewhere"),
            ("bucket", "s3://bucket/x"),
        ] {
            create(store, name, location).expect("goes where users have keys");
        }
    });
}

fn metric(store: &dyn TrackingStore, key: &str, timestamp: i64) -> Result<()> {
    let run = run_at(store, 1);
    store.log_metric(&run, Metric::new(key, 1.0, timestamp, 0))
}

#[test]
fn names_are_plain_and_short() {
    with_each_store(|store| {
        check_invalid(
            metric(store, "a%", 1),
            "Invalid value \"a%\" for parameter 'name' supplied: Names may only contain \
             alphanumerics, underscores (_), dashes (-), periods (.), spaces ( ), colon(:) and \
             slashes (/).",
        );
        check_invalid(
            metric(store, "a/../b", 1),
            "Invalid value \"a/../b\" for parameter 'name' supplied: Names may be treated as files \
             in certain cases, and must not resolve to other names when treated as such. This name \
             would resolve to 'b'",
        );
        check_invalid(
            metric(store, &"a".repeat(251), 1),
            "'Metric name' exceeds the maximum length of 250 characters",
        );
        check_invalid(
            metric(store, "a", -1),
            "Invalid value -1 for parameter 'timestamp' supplied: metric 'a' (value=1.0). \
             Timestamp must be a nonnegative long (64-bit integer) ",
        );
        let run = run_at(store, 1);
        check_invalid(
            store.set_tag(&run, Tag::new("k".repeat(251), "v")),
            "'key' exceeds the maximum length of 250 characters",
        );
    });
}

#[test]
fn a_batch_says_which_of_its_metrics_is_wrong() {
    with_each_store(|store| {
        let run = run_at(store, 1);
        let result = store.log_batch(
            &run,
            &LogBatch {
                metrics: vec![Metric::new("a", 1.0, 1, 0), Metric::new("b%", 1.0, 1, 0)],
                ..LogBatch::default()
            },
        );
        let message = result.expect_err("refused").to_string();
        assert!(
            message.starts_with("Invalid value \"b%\" for parameter 'metrics[1].name'"),
            "{message}"
        );
    });
}

#[test]
fn batches_have_limits() {
    with_each_store(|store| {
        let run = run_at(store, 1);
        let batch = |metrics: usize, params: usize| LogBatch {
            metrics: (0..metrics)
                .map(|i| Metric::new("m", 1.0, 1, i as i64))
                .collect(),
            params: (0..params)
                .map(|i| Param::new(format!("p{i}"), "1"))
                .collect(),
            tags: Vec::new(),
        };
        for (metrics, params, limit, got, what) in [
            (1001, 0, 1000, 1001, "metrics"),
            (0, 101, 100, 101, "params"),
            (999, 2, 1000, 1001, "metrics, params, and tags"),
        ] {
            check_invalid(
                store.log_batch(&run, &batch(metrics, params)),
                &format!(
                    "A batch logging request can contain at most {limit} {what}. Got {got} {what}. \
                     Please split up {what} across multiple requests and try again."
                ),
            );
        }
        let twice = LogBatch {
            params: vec![Param::new("d", "1"), Param::new("d", "2")],
            ..LogBatch::default()
        };
        check_invalid(
            store.log_batch(&run, &twice),
            "Duplicate parameter keys have been submitted: ['d']. Please ensure the request \
             contains only one param value per param key.",
        );
    });
}

#[test]
fn a_data_set_has_a_name_and_a_digest() {
    with_each_store(|store| {
        let run = run_at(store, 1);
        for (name, digest) in [
            (Some("animals"), None),
            (None, Some("abc")),
            (Some("animals"), Some("")),
        ] {
            let half = Metric {
                dataset_name: name.map(str::to_owned),
                dataset_digest: digest.map(str::to_owned),
                ..Metric::new("f1", 1.0, 1, 0)
            };
            let batch = LogBatch {
                metrics: vec![Metric::new("b%", 1.0, 1, 0), half.clone()],
                ..LogBatch::default()
            };
            for result in [store.log_metric(&run, half), store.log_batch(&run, &batch)] {
                check_invalid(
                    result,
                    "Both dataset_name and dataset_digest must be provided if one is provided",
                );
            }
        }
    });
}
