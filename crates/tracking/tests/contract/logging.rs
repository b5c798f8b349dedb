//! What is logged is there afterwards, in full or not at all.

use biophony_tracking::{
    CreateLoggedModel, ErrorCode, ExperimentId, LogBatch, LoggedModelId, LoggedModelStatus, Metric,
    Param, Result, RunId, Tag, TrackingStore, value_of,
};

use crate::{message, run_at, with_each_store};

fn history(store: &dyn TrackingStore, run: &RunId, key: &str) -> Vec<(i64, i64, f64)> {
    store
        .metric_history(run, key, None, None)
        .expect("a history")
        .items
        .into_iter()
        .map(|metric| (metric.step, metric.timestamp, metric.value))
        .collect()
}

fn latest(store: &dyn TrackingStore, run: &RunId, key: &str) -> f64 {
    let metrics = store.get_run(run).expect("there").data.metrics;
    metrics
        .iter()
        .find(|metric| metric.key == key)
        .expect("logged")
        .value
}

#[test]
fn the_latest_metric_is_the_greatest_in_step_then_time_then_value() {
    with_each_store(|store| {
        let run = run_at(store, 1);
        for (step, time, value) in [
            (0, 5, 1.0),
            (2, 1, 0.5),
            (1, 9, 9.0),
            (2, 1, 0.7),
            (2, 0, 8.0),
        ] {
            store
                .log_metric(&run, Metric::new("loss", value, time, step))
                .expect("logs");
        }
        assert_eq!(latest(store, &run, "loss"), 0.7);
        assert_eq!(
            history(store, &run, "loss"),
            [
                (2, 0, 8.0),
                (2, 1, 0.5),
                (2, 1, 0.7),
                (0, 5, 1.0),
                (1, 9, 9.0)
            ]
        );
    });
}

#[test]
fn a_batch_sent_twice_is_stored_once() {
    with_each_store(|store| {
        let run = run_at(store, 1);
        let batch = LogBatch {
            metrics: (0..1000)
                .map(|i| Metric::new(format!("k{}", i % 3), f64::from(i), 1, i64::from(i)))
                .collect(),
            ..LogBatch::default()
        };
        for _ in 0..2 {
            store.log_batch(&run, &batch).expect("logs");
        }
        assert_eq!(history(store, &run, "k0").len(), 334);
        assert_eq!(latest(store, &run, "k0"), 999.0);
    });
}

#[test]
fn a_point_that_comes_again_in_other_company_is_kept_once() {
    with_each_store(|store| {
        let run = run_at(store, 1);
        let point = |step: i64| match step {
            8 => Metric::new("m", f64::NAN, 1, step),
            9 => Metric::new("m", -0.0, 1, step),
            10 => Metric::new("m", 0.0, 1, 9),
            _ => Metric::new("m", step as f64, 1, step),
        };
        for steps in [-40..-30, 0..20, 8..10, 5..40, 9..11, 0..20] {
            let mut metrics: Vec<_> = steps.rev().map(point).collect();
            metrics.push(metrics[0].clone());
            let batch = LogBatch {
                metrics,
                ..LogBatch::default()
            };
            store.log_batch(&run, &batch).expect("logs");
        }
        store.log_metric(&run, point(3)).expect("logs");
        let steps: Vec<i64> = (-40..-30).chain((0..40).filter(|&n| n != 10)).collect();
        let found = history(store, &run, "m");
        assert_eq!(found.iter().map(|p| p.0).collect::<Vec<_>>(), steps);
        assert!(found[18].2.is_nan() && found[19].2 == 0.0);
        let sample = |range| -> Vec<i64> {
            let sample = store.sampled_metric_history(&run, "m", range, 100);
            let sample = sample.expect("a sample");
            sample.iter().map(|metric| metric.step).collect()
        };
        assert_eq!(sample(None), steps);
        assert_eq!(sample(Some((-31, 2))), [-31, 0, 1, 2]);
        assert_eq!(sample(Some((-1000, -39))), [-40, -39]);
        assert_eq!(sample(Some((39, 1000))), [39]);
    });
}

#[test]
fn a_thousand_points_of_one_step_are_kept() {
    with_each_store(|store| {
        let run = run_at(store, 1);
        let point = |i: i64| Metric::new("m", i as f64, i * i, -5);
        let batch = LogBatch {
            metrics: (0..1000).map(point).collect(),
            ..LogBatch::default()
        };
        for _ in 0..2 {
            store.log_batch(&run, &batch).expect("logs");
        }
        let points: Vec<_> = (0..1000).map(|i| (-5, i * i, i as f64)).collect();
        assert_eq!(history(store, &run, "m"), points);
    });
}

#[test]
fn not_a_number_stays_and_infinity_becomes_the_largest_number() {
    with_each_store(|store| {
        let run = run_at(store, 1);
        for (key, value) in [
            ("nan", f64::NAN),
            ("inf", f64::INFINITY),
            ("ninf", f64::NEG_INFINITY),
        ] {
            store
                .log_metric(&run, Metric::new(key, value, 1, 0))
                .expect("logs");
        }
        assert!(latest(store, &run, "nan").is_nan());
        assert!(history(store, &run, "nan")[0].2.is_nan());
        assert_eq!(latest(store, &run, "inf"), f64::MAX);
        assert_eq!(latest(store, &run, "ninf"), f64::MIN);
    });
}

#[test]
fn a_parameter_is_written_once() {
    with_each_store(|store| {
        let run = run_at(store, 1);
        store.log_param(&run, Param::new("p", "1")).expect("logs");
        store
            .log_param(&run, Param::new("p", "1"))
            .expect("the same again");
        assert_eq!(
            message(store.log_param(&run, Param::new("p", "2"))),
            format!(
                "Changing param values is not allowed. Param with key='p' was already logged with \
                 value='1' for run ID='{run}'. Attempted logging new value '2'."
            )
        );
        store
            .log_param(&run, Param::new("empty", ""))
            .expect("may be empty");
    });
}

#[test]
fn a_batch_that_is_refused_leaves_nothing_behind() {
    with_each_store(|store| {
        let run = run_at(store, 1);
        store.log_param(&run, Param::new("p", "1")).expect("logs");
        let refused = store.log_batch(
            &run,
            &LogBatch {
                metrics: vec![Metric::new("fresh_key", 1.0, 1, 0)],
                params: vec![Param::new("q", "1"), Param::new("p", "2")],
                tags: vec![Tag::new("t", "1")],
            },
        );
        assert_eq!(
            message(refused),
            format!(
                "Changing param values is not allowed. Params were already logged='[{{'key': 'p', \
                 'old_value': '1', 'new_value': '2'}}]' for run ID='{run}'."
            )
        );
        let data = store.get_run(&run).expect("there").data;
        assert_eq!(data.params, [Param::new("p", "1")]);
        assert_eq!(data.metrics, []);
        assert_eq!(value_of(&data.tags, "t"), None);
        // The key of the refused metric must not be remembered by a number it never got.
        store
            .log_metric(&run, Metric::new("other_key", 2.0, 1, 0))
            .expect("logs");
        store
            .log_metric(&run, Metric::new("fresh_key", 3.0, 1, 0))
            .expect("logs");
        assert_eq!(latest(store, &run, "other_key"), 2.0);
        assert_eq!(latest(store, &run, "fresh_key"), 3.0);
    });
}

#[test]
fn long_values_are_cut() {
    with_each_store(|store| {
        let run = run_at(store, 1);
        store
            .log_param(&run, Param::new("p", "ä".repeat(6001)))
            .expect("logs");
        store
            .set_tag(&run, Tag::new("t", "x".repeat(8001)))
            .expect("sets");
        let data = store.get_run(&run).expect("there").data;
        assert_eq!(data.params[0].value.chars().count(), 6000);
        assert_eq!(value_of(&data.tags, "t").map(str::len), Some(8000));
    });
}

#[test]
fn a_history_comes_in_pages() {
    with_each_store(|store| {
        let run = run_at(store, 1);
        for step in 0..5 {
            store
                .log_metric(&run, Metric::new("m", 0.0, step, step))
                .expect("logs");
        }
        let mut token = None;
        let mut sizes = Vec::new();
        loop {
            let page = store
                .metric_history(&run, "m", Some(2), token.as_deref())
                .expect("a page");
            sizes.push(page.items.len());
            token = page.next_page_token;
            if token.is_none() {
                break;
            }
        }
        assert_eq!(sizes, [2, 2, 1]);
        let nothing = store.metric_history(&RunId::from("none"), "m", None, None);
        assert_eq!(nothing.expect("no error").items, []);
    });
}

#[test]
fn a_sample_of_a_history_keeps_its_ends() {
    with_each_store(|store| {
        let run = run_at(store, 1);
        for step in 0..100 {
            store
                .log_metric(&run, Metric::new("m", 0.0, 1, step))
                .expect("logs");
        }
        let steps = |range, n| -> Vec<i64> {
            store
                .sampled_metric_history(&run, "m", range, n)
                .expect("a sample")
                .iter()
                .map(|metric| metric.step)
                .collect()
        };
        assert_eq!(steps(None, 4), [0, 25, 50, 99]);
        assert_eq!(steps(Some((10, 12)), 4), [10, 11, 12]);
    });
}

#[test]
fn metrics_of_a_logged_model_that_is_not_there_are_refused() {
    with_each_store(|store| {
        let run = run_at(store, 1);
        let of_none = Metric {
            model_id: Some("m-none".into()),
            ..Metric::new("f1", 0.9, 1, 0)
        };
        let refused = store
            .log_metric(&run, of_none.clone())
            .expect_err("no model");
        assert_eq!(refused.code(), ErrorCode::BadRequest);
        let batch = LogBatch {
            metrics: vec![Metric::new("loss", 0.1, 1, 0), of_none],
            ..LogBatch::default()
        };
        let refused = store.log_batch(&run, &batch).expect_err("no model");
        // MLflow's server has stored the run's part by then, and ours nothing.
        assert_eq!(refused.code(), ErrorCode::BadRequest);
    });
}

#[test]
fn metrics_of_a_logged_model_are_kept_with_it() {
    with_each_store(|store| {
        let run = run_at(store, 1);
        let model = store
            .create_logged_model(CreateLoggedModel {
                experiment_id: ExperimentId::default_experiment(),
                name: Some("cnn".to_owned()),
                model_type: None,
                source_run_id: Some(run.clone()),
                params: vec![Param::new("layers", "4")],
                tags: vec![Tag::new("a", "1")],
            })
            .expect("a model");
        let id = &model.info.model_id;
        assert_eq!(model.info.status, LoggedModelStatus::Pending);
        assert_eq!(
            model.info.artifact_uri,
            format!("mlflow-artifacts:/0/models/{id}/artifacts")
        );
        let metric = Metric {
            model_id: Some(id.clone()),
            dataset_name: Some("animals".to_owned()),
            dataset_digest: Some("abc".to_owned()),
            ..Metric::new("f1", 0.9, 1, 0)
        };
        store.log_metric(&run, metric.clone()).expect("logs");
        store.log_metric(&run, metric.clone()).expect("logs again");
        store
            .finalize_logged_model(id, LoggedModelStatus::Ready)
            .expect("ready");
        store
            .set_logged_model_tags(id, &[Tag::new("b", "2")])
            .expect("tags");
        store.delete_logged_model_tag(id, "a").expect("removes");
        let found = store.get_logged_model(id).expect("there");
        assert_eq!(found.info.status, LoggedModelStatus::Ready);
        assert_eq!(found.info.tags, [Tag::new("b", "2")]);
        assert_eq!(found.data.params, [Param::new("layers", "4")]);
        assert_eq!(
            found.data.metrics,
            [Metric {
                run_id: Some(run.clone()),
                ..metric
            }]
        );
        store.delete_logged_model(id).expect("deletes");
        assert!(store.get_logged_model(id).is_err());
        store.delete_logged_model(id).expect("is deleted already");
        let ended = store.finalize_logged_model(id, LoggedModelStatus::UploadFailed);
        assert_eq!(
            ended.expect("ends").info.status,
            LoggedModelStatus::UploadFailed
        );
        store
            .set_logged_model_tags(id, &[Tag::new("c", "3")])
            .expect("takes a tag");
        store
            .delete_logged_model_tag(id, "c")
            .expect("and gives it up");
        assert_eq!(
            message(store.delete_logged_model(&"m-none".into())),
            "Logged model with ID 'm-none' not found."
        );
    });
}

fn logged_model(store: &dyn TrackingStore, params: Vec<Param>) -> Result<LoggedModelId> {
    let model = store.create_logged_model(CreateLoggedModel {
        experiment_id: ExperimentId::default_experiment(),
        name: None,
        model_type: None,
        source_run_id: None,
        params,
        tags: Vec::new(),
    })?;
    Ok(model.info.model_id)
}

#[test]
fn a_metric_of_a_logged_model_has_one_value_at_a_time_and_step() {
    with_each_store(|store| {
        let run = run_at(store, 1);
        let model = logged_model(store, Vec::new()).expect("a model");
        let of_model = |key: &str, value, dataset: Option<&str>| Metric {
            model_id: Some(model.clone()),
            dataset_name: dataset.map(str::to_owned),
            dataset_digest: dataset.map(str::to_owned),
            ..Metric::new(key, value, 1, 0)
        };
        let first = of_model("f1", 0.9, Some("a"));
        for metric in [&first, &first] {
            store.log_metric(&run, metric.clone()).expect("logs");
        }
        for other in [
            of_model("f1", 0.8, Some("a")),
            of_model("f1", 0.9, Some("b")),
            of_model("f1", 0.9, None),
        ] {
            let refused = store.log_metric(&run, other).expect_err("not the same");
            assert_eq!(refused.code(), ErrorCode::BadRequest);
        }
        let batch = |values: [f64; 2]| LogBatch {
            metrics: values.map(|value| of_model("loss", value, None)).into(),
            ..LogBatch::default()
        };
        let refused = store.log_batch(&run, &batch([0.1, 0.2]));
        assert_eq!(refused.expect_err("twice").code(), ErrorCode::BadRequest);
        store
            .log_batch(&run, &batch([0.3, 0.3]))
            .expect("the same twice");
        let metrics = store.get_logged_model(&model).expect("there").data.metrics;
        let mut kept: Vec<_> = metrics.iter().map(|m| (m.key.as_str(), m.value)).collect();
        kept.sort_by(|a, b| a.0.cmp(b.0));
        assert_eq!(kept, [("f1", 0.9), ("loss", 0.3)]);
        // Nor in the history of the run.
        assert_eq!(history(store, &run, "f1"), [(0, 1, 0.9)]);
    });
}

#[test]
fn a_param_of_a_logged_model_is_logged_once() {
    with_each_store(|store| {
        let lr = Param::new("lr", "1");
        let model = logged_model(store, vec![lr.clone()]).expect("a model");
        for again in [&lr, &Param::new("lr", "2")] {
            let params = [Param::new("seed", "7"), again.clone()];
            let refused = store.log_logged_model_params(&model, &params);
            assert_eq!(refused.expect_err("is there").code(), ErrorCode::BadRequest);
        }
        let twice = [Param::new("seed", "7"), Param::new("seed", "7")];
        let refused = store.log_logged_model_params(&model, &twice);
        assert_eq!(refused.expect_err("twice").code(), ErrorCode::BadRequest);
        let refused = logged_model(store, twice.into());
        assert_eq!(refused.expect_err("twice").code(), ErrorCode::BadRequest);
        let found = store.get_logged_model(&model).expect("there");
        assert_eq!(found.data.params, [lr]);
    });
}
