//! Serving gives what training saw.

mod sounds;

use biophony_audio::Clip;
use biophony_model::{
    Bundle, Calibration, Example, ModelError, Normalizer, Predictor, Provenance, Trained, score,
    train,
};
use sounds::{chirp, examples, front, labels, quick, rate};

fn trained() -> Trained {
    let part = examples(8, 0);
    train(&quick(60), &labels(), &part, &[], &front(), None, &mut ()).unwrap()
}

fn bundle(trained: &Trained, calibration: Calibration) -> Bundle {
    Bundle {
        labels: labels(),
        front_end: front(),
        normalizer: trained.normalizer.clone(),
        network: trained.network.clone(),
        calibration,
        metrics: serde_json::Value::Null,
        provenance: Provenance::default(),
    }
}

fn predictor() -> Predictor {
    Predictor::new(bundle(&trained(), Calibration::default())).unwrap()
}

/// Clips shorter and longer than a window, at the model's rate and at others.
fn clips() -> Vec<Clip> {
    [
        (0.2, 8_000),
        (0.5, 8_000),
        (0.7, 22_050),
        (3.1, 8_000),
        (9.0, 11_025),
    ]
    .into_iter()
    .enumerate()
    .map(|(variant, (seconds, hertz))| chirp(variant % 2, variant, seconds, hertz))
    .collect()
}

#[test]
fn serving_and_training_score_the_same_clip_alike() {
    let trained = trained();
    let predictor = Predictor::new(bundle(&trained, Calibration::default())).unwrap();
    let example = |clip: &Clip| Example {
        name: String::new(),
        label: 0,
        features: front().prepare(clip).unwrap(),
    };
    let part: Vec<Example> = clips().iter().map(example).collect();
    let scores = score(&trained.network, &trained.normalizer, &front(), &part).unwrap();
    for (clip, scores) in clips().iter().zip(scores) {
        for ranked in predictor.predict(clip).unwrap().ranked {
            let class = labels().index_of(&ranked.label).unwrap();
            assert!((ranked.probability - scores[class]).abs() < 1e-5);
        }
    }
}

#[test]
fn classes_are_ranked_and_probabilities_sum_to_one() {
    let predictor = predictor();
    for (variant, expected) in [(0, "falling"), (1, "rising")] {
        let prediction = predictor.predict(&chirp(variant, 20, 0.5, 8_000)).unwrap();
        assert_eq!(prediction.ranked[0].label, expected);
        assert!(prediction.ranked[0].probability >= prediction.ranked[1].probability);
        let sum: f32 = prediction
            .ranked
            .iter()
            .map(|ranked| ranked.probability)
            .sum();
        assert!((sum - 1.0).abs() < 1e-6);
    }
}

#[test]
fn windows_have_times_and_average_to_the_clip() {
    let prediction = predictor().predict(&chirp(1, 3, 1.3, 8_000)).unwrap();
    let windows = &prediction.windows;
    assert!(windows.len() > 3);
    assert_eq!(windows[0].start_seconds, 0.0);
    assert!((windows[1].start_seconds - 0.256).abs() < 1e-9);
    assert!((windows.last().unwrap().end_seconds - 1.3).abs() < 0.02);
    let mean = windows
        .iter()
        .map(|window| window.probabilities[1])
        .sum::<f32>();
    let rising = prediction
        .ranked
        .iter()
        .find(|ranked| ranked.label == "rising")
        .unwrap();
    assert!((mean / windows.len() as f32 - rising.probability).abs() < 1e-6);
}

#[test]
fn a_window_ends_where_a_short_clip_does() {
    let prediction = predictor().predict(&chirp(1, 3, 0.2, 8_000)).unwrap();
    assert_eq!(prediction.windows.len(), 1);
    assert!((prediction.windows[0].end_seconds - 0.2).abs() < 1e-9);
}

#[test]
fn a_clip_below_the_threshold_is_not_accepted() {
    let mut predictor = predictor();
    let clip = chirp(1, 3, 0.5, 8_000);
    assert!(predictor.predict(&clip).unwrap().accepted);
    predictor.set_threshold(Some(1.1));
    assert!(!predictor.predict(&clip).unwrap().accepted);
    let best = predictor.predict(&clip).unwrap().ranked[0].probability;
    predictor.set_threshold(Some(best));
    assert!(predictor.predict(&clip).unwrap().accepted);
}

#[test]
fn a_temperature_softens_probabilities_and_keeps_their_order() {
    let trained = trained();
    let clip = chirp(1, 3, 0.5, 8_000);
    let with_temperature = |temperature| {
        let calibration = Calibration {
            temperature,
            ..Calibration::default()
        };
        let predictor = Predictor::new(bundle(&trained, calibration)).unwrap();
        predictor.predict(&clip).unwrap().ranked[0].clone()
    };
    let (plain, soft) = (with_temperature(1.0), with_temperature(3.0));
    assert_eq!(plain.label, soft.label);
    assert!(soft.probability < plain.probability && soft.probability > 0.5);
}

#[test]
fn threads_share_one_predictor_and_get_the_same_answers() {
    let (predictor, clips) = (predictor(), clips());
    let alone: Vec<_> = clips
        .iter()
        .map(|clip| predictor.predict(clip).unwrap())
        .collect();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for (clip, expected) in clips.iter().zip(&alone) {
                    assert_eq!(&predictor.predict(clip).unwrap(), expected);
                }
            });
        }
    });
}

#[test]
fn a_bundle_on_disk_predicts_what_it_did_in_memory() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model");
    let bundle = bundle(&trained(), Calibration::default());
    bundle
        .save(&path, biophony_model::Existing::Refuse)
        .unwrap();
    let (memory, disk) = (
        Predictor::new(bundle).unwrap(),
        Predictor::open(&path).unwrap(),
    );
    for clip in clips() {
        assert_eq!(memory.predict(&clip).unwrap(), disk.predict(&clip).unwrap());
    }
}

#[test]
fn clips_that_cannot_be_scored_are_errors() {
    let predictor = predictor();
    assert!(
        predictor
            .predict(&Clip::new(Vec::new(), rate(8_000)))
            .is_err()
    );
    let error = predictor.predict(&Clip::new(vec![0.0, f32::NAN], rate(8_000)));
    assert!(matches!(error, Err(ModelError::NonFiniteSample { at: 1 })));
}

#[test]
fn parts_that_do_not_fit_together_are_refused() {
    let trained = trained();
    let mut other = bundle(&trained, Calibration::default());
    other.front_end.clip.clip_seconds = 1.0;
    assert!(matches!(
        Predictor::new(other),
        Err(ModelError::PartsDiffer { .. })
    ));

    let mut other = bundle(&trained, Calibration::default());
    other.normalizer = Normalizer {
        mean: vec![0.0],
        std: vec![1.0],
    };
    assert!(matches!(
        Predictor::new(other),
        Err(ModelError::PartsDiffer { .. })
    ));

    let mut other = bundle(&trained, Calibration::default());
    other.labels = biophony_model::LabelSet::new(["a", "b", "c"]).unwrap();
    assert!(matches!(
        Predictor::new(other),
        Err(ModelError::LabelCount { .. })
    ));
}
