//! Evaluation figures against scikit-learn's, on the cases of
//! `tests/golden/metrics.json` (made by `tests/golden/make_metrics.py`).

use biophony_model::calibrate::fit_temperature;
use biophony_model::{Evaluation, EvaluationOptions, LabelSet, evaluate};
use serde_json::Value;

const TOLERANCE: f64 = 1e-9;

/// Evaluates every case and hands it over beside what is expected.
fn for_each_case(check: impl Fn(&str, &Evaluation, &Value)) {
    let golden: Value = serde_json::from_str(include_str!("golden/metrics.json")).unwrap();
    let cases = golden["cases"].as_array().unwrap();
    assert!(cases.len() >= 13, "only {} cases", cases.len());
    for case in cases {
        let name = case["name"].as_str().unwrap();
        let truth: Vec<usize> = serde_json::from_value(case["truth"].clone()).unwrap();
        let scores: Vec<Vec<f32>> = serde_json::from_value(case["scores"].clone()).unwrap();
        let labels =
            LabelSet::new((0..scores[0].len()).map(|class| format!("class {class:02}"))).unwrap();
        let options = EvaluationOptions {
            top_k: (1..scores[0].len()).collect(),
            n_bins: golden["n_bins"].as_u64().unwrap() as usize,
            bootstrap: None,
            ..EvaluationOptions::default()
        };
        check(
            name,
            &evaluate(&labels, &truth, &scores, &options).unwrap(),
            &case["expected"],
        );
    }
}

/// Both undefined, or both defined and equal but for rounding.
#[track_caller]
fn assert_close(what: &str, ours: Option<f64>, theirs: &Value) {
    let is_close = match (ours, theirs.as_f64()) {
        (Some(ours), Some(theirs)) => (ours - theirs).abs() <= TOLERANCE,
        (ours, theirs) => ours.is_none() && theirs.is_none(),
    };
    assert!(is_close, "{what}: {ours:?} here, {theirs} there");
}

#[test]
fn the_single_figures_are_those_of_scikit_learn() {
    for_each_case(|name, evaluation, expected| {
        let ours = serde_json::to_value(evaluation).unwrap();
        for figure in [
            "accuracy",
            "balanced_accuracy",
            "macro_precision",
            "macro_recall",
            "macro_f1",
            "weighted_precision",
            "weighted_recall",
            "weighted_f1",
            "macro_average_precision",
            "macro_roc_auc",
            "log_loss",
        ] {
            assert!(
                expected.get(figure).is_some(),
                "{figure} is not among the golden values"
            );
            assert_close(
                &format!("{name}: {figure}"),
                ours[figure].as_f64(),
                &expected[figure],
            );
        }
    });
}

#[test]
fn the_figures_of_each_class_are_those_of_scikit_learn() {
    for_each_case(|name, evaluation, expected| {
        for (class, ours) in evaluation.per_class.iter().enumerate() {
            let what = |figure: &str| format!("{name}: {figure} of class {class}");
            assert_eq!(
                expected["support"][class], ours.support,
                "{name}: class {class}"
            );
            assert_close(
                &what("precision"),
                Some(ours.precision),
                &expected["precision"][class],
            );
            assert_close(
                &what("recall"),
                Some(ours.recall),
                &expected["recall"][class],
            );
            assert_close(&what("f1"), Some(ours.f1), &expected["f1"][class]);
            assert_close(
                &what("AP"),
                ours.average_precision,
                &expected["average_precision"][class],
            );
            assert_close(&what("AUC"), ours.roc_auc, &expected["roc_auc"][class]);
        }
    });
}

#[test]
fn the_confusion_matrix_is_that_of_scikit_learn() {
    for_each_case(|name, evaluation, expected| {
        let ours = serde_json::to_value(&evaluation.confusion_matrix).unwrap();
        assert_eq!(ours, expected["confusion_matrix"], "{name}");
    });
}

#[test]
fn top_k_accuracy_is_that_of_scikit_learn_with_ties_in_class_order() {
    for_each_case(|name, evaluation, expected| {
        let theirs = expected["top_k"].as_array().unwrap();
        assert_eq!(evaluation.top_k.len(), theirs.len(), "{name}");
        for (ours, theirs) in evaluation.top_k.iter().zip(theirs) {
            assert_close(
                &format!("{name}: top-{}", ours.k),
                Some(ours.accuracy),
                &theirs["accuracy"],
            );
        }
    });
}

#[test]
fn reliability_bins_are_those_of_scikit_learns_calibration_curve() {
    for_each_case(|name, evaluation, expected| {
        let (ours, theirs) = (&evaluation.calibration.after, &expected["calibration"]);
        let error = Some(ours.expected_calibration_error);
        assert_close(
            &format!("{name}: ECE"),
            error,
            &theirs["expected_calibration_error"],
        );
        let counts: Vec<u64> = ours.bins.iter().map(|bin| bin.n_clips).collect();
        assert_eq!(
            serde_json::to_value(counts).unwrap(),
            theirs["bin_counts"],
            "{name}"
        );
        // Their curve leaves empty bins out.
        let filled = ours.bins.iter().filter(|bin| bin.n_clips > 0);
        for (place, bin) in filled.enumerate() {
            let what = format!("{name}: bin above {:.2}", bin.low);
            assert_close(&what, bin.accuracy, &theirs["bin_accuracy"][place]);
            assert_close(&what, bin.confidence, &theirs["bin_confidence"][place]);
        }
    });
}

#[test]
fn the_fitted_temperature_is_where_scipy_finds_the_least_loss() {
    let golden: Value = serde_json::from_str(include_str!("golden/metrics.json")).unwrap();
    let mut n_fitted = 0;
    for case in golden["cases"].as_array().unwrap() {
        let truth: Vec<usize> = serde_json::from_value(case["truth"].clone()).unwrap();
        let scores: Vec<Vec<f32>> = serde_json::from_value(case["scores"].clone()).unwrap();
        let (ours, theirs) = (
            fit_temperature(&truth, &scores),
            &case["expected"]["temperature"],
        );
        let name = &case["name"];
        let Some(log_loss) = theirs["log_loss"].as_f64() else {
            assert_eq!(ours.temperature, 1.0, "{name}");
            continue;
        };
        n_fitted += 1;
        let ratio = ours.temperature / theirs["temperature"].as_f64().unwrap();
        assert!(
            (ratio - 1.0).abs() < 1e-4,
            "{name}: {ours:?} here, {theirs} there"
        );
        // At the limit scipy stops short of the end by its tolerance.
        assert!(
            (ours.nll_after - log_loss).abs() < 1e-6,
            "{name}: {ours:?} here, {theirs} there"
        );
    }
    assert!(
        n_fitted >= 9,
        "only {n_fitted} cases have a temperature to find"
    );
}
