//! Does it learn, and does it learn the same again?

mod sounds;

use std::ops::ControlFlow;
use std::path::Path;

use biophony_model::{
    Architecture, BatchReport, EpochReport, ModelError, Monitor, OptimizerName, StopReason,
    Trained, TrainingConfig, TrainingObserver, score, train,
};
use biophony_nn::NamedTensor;
use sounds::{examples, front, labels, one_window_examples, quick, varied};

/// Trains on eight clips and validates on four others.
fn run(
    config: &TrainingConfig,
    checkpoints: Option<&Path>,
    observer: &mut dyn TrainingObserver,
) -> Result<Trained, ModelError> {
    let (part, validation) = (examples(8, 0), examples(4, 10));
    train(
        config,
        &labels(),
        &part,
        &validation,
        &front(),
        checkpoints,
        observer,
    )
}

fn tensors(trained: &Trained) -> Vec<NamedTensor> {
    trained.network.tensors()
}

/// Asks to stop after so many steps or epochs, and counts both.
#[derive(Default)]
struct Stopper {
    after_batches: Option<usize>,
    after_epochs: Option<usize>,
    batches: usize,
    epochs: usize,
}

fn break_at(n: usize, limit: Option<usize>) -> ControlFlow<()> {
    match limit {
        Some(limit) if n >= limit => ControlFlow::Break(()),
        _ => ControlFlow::Continue(()),
    }
}

impl TrainingObserver for Stopper {
    fn batch_finished(&mut self, report: &BatchReport) -> ControlFlow<()> {
        assert!(report.loss.is_finite() && report.examples_per_second > 0.0);
        self.batches += 1;
        break_at(self.batches, self.after_batches)
    }

    fn epoch_finished(&mut self, report: &EpochReport) -> ControlFlow<()> {
        self.epochs += 1;
        assert!(report.best_epoch <= report.record.epoch);
        break_at(self.epochs, self.after_epochs)
    }
}

#[track_caller]
fn check_overfits(config: &TrainingConfig) {
    let part = one_window_examples(8);
    let trained = train(config, &labels(), &part, &[], &front(), None, &mut ()).unwrap();
    let last = trained.history.last().unwrap();
    assert!(last.train_loss < 0.1, "{last:?}");
    let scores = score(&trained.network, &trained.normalizer, &front(), &part).unwrap();
    for (scores, example) in scores.iter().zip(&part) {
        let name = (config.architecture, &example.name);
        assert!(scores[example.label] > 0.8, "{name:?}: {scores:?}");
    }
}

#[test]
fn every_network_overfits_eight_clips() {
    for architecture in Architecture::ALL {
        check_overfits(&TrainingConfig {
            architecture,
            ..quick(60)
        });
    }
}

#[test]
fn every_optimizer_overfits_eight_clips() {
    for (optimizer, learning_rate) in [(OptimizerName::Adam, 5e-3), (OptimizerName::Sgd, 0.03)] {
        check_overfits(&TrainingConfig {
            optimizer,
            learning_rate,
            ..quick(60)
        });
    }
}

#[test]
fn what_is_learnt_with_variations_holds_for_new_clips() {
    let trained = run(&varied(40), None, &mut ()).unwrap();
    let best = trained.validation.unwrap();
    assert!(best.accuracy == 1.0 && best.macro_f1 == 1.0, "{best:?}");
    assert_eq!(trained.stopped, StopReason::Finished);
}

#[test]
fn the_weights_are_the_same_at_any_number_of_threads() {
    let with_threads = |n| {
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(n)
            .build()
            .unwrap();
        pool.install(|| run(&varied(2), None, &mut ()).unwrap())
    };
    let (one, three) = (with_threads(1), with_threads(3));
    assert_eq!(tensors(&one), tensors(&three));
    assert_eq!(one.history, three.history);
}

#[test]
fn another_seed_gives_other_weights() {
    let with_seed = |seed| {
        let config = TrainingConfig { seed, ..varied(1) };
        tensors(&run(&config, None, &mut ()).unwrap())
    };
    assert_eq!(with_seed(1), with_seed(1));
    assert_ne!(with_seed(1), with_seed(2));
}

#[track_caller]
fn check_resumes(mut interruption: Stopper) {
    let config = varied(4);
    let whole = run(&config, None, &mut ()).unwrap();

    let folder = tempfile::tempdir().unwrap();
    let first = run(&config, Some(folder.path()), &mut interruption).unwrap();
    assert_eq!(first.stopped, StopReason::Interrupted);
    assert_eq!(first.history, whole.history[..first.history.len()]);
    let mut counter = Stopper::default();
    let resumed = run(&config, Some(folder.path()), &mut counter).unwrap();

    assert_eq!(counter.epochs, 4 - first.history.len());
    assert_eq!(tensors(&resumed), tensors(&whole));
    assert_eq!(resumed.history, whole.history);
    assert_eq!(resumed.kept_epochs, whole.kept_epochs);
}

#[test]
fn a_run_stopped_between_epochs_resumes_to_the_same_weights() {
    check_resumes(Stopper {
        after_epochs: Some(2),
        ..Stopper::default()
    });
}

#[test]
fn a_run_stopped_within_an_epoch_resumes_to_the_same_weights() {
    check_resumes(Stopper {
        after_batches: Some(5),
        ..Stopper::default()
    });
}

#[test]
fn a_finished_run_resumes_to_its_result_without_a_step() {
    let folder = tempfile::tempdir().unwrap();
    let first = run(&varied(2), Some(folder.path()), &mut ()).unwrap();
    let mut counter = Stopper::default();
    let second = run(&varied(2), Some(folder.path()), &mut counter).unwrap();
    assert_eq!(counter.batches, 0);
    assert_eq!(tensors(&first), tensors(&second));
}

#[test]
fn the_checkpoint_of_other_settings_or_clips_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    run(&quick(1), Some(folder.path()), &mut ()).unwrap();
    let error = run(&quick(2), Some(folder.path()), &mut ())
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("`training.epochs` was 1 and is 2"),
        "{error}"
    );

    let other = examples(6, 0);
    let result = train(
        &quick(1),
        &labels(),
        &other,
        &[],
        &front(),
        Some(folder.path()),
        &mut (),
    );
    let error = result.unwrap_err().to_string();
    assert!(error.contains("the training clips"), "{error}");
}

#[test]
fn a_stop_before_the_first_epoch_ends_still_gives_a_network() {
    let mut observer = Stopper {
        after_batches: Some(1),
        ..Stopper::default()
    };
    let trained = run(&quick(3), None, &mut observer).unwrap();
    assert_eq!(
        (trained.kept_epochs.common(), trained.stopped),
        (Some(0), StopReason::Interrupted)
    );
    assert!(trained.history.is_empty());
}

#[test]
fn what_was_trained_survives_being_kept_as_files() {
    let trained = run(&quick(2), None, &mut ()).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let kept = folder.path().join("trained");
    trained.save(&kept).unwrap();
    let found = Trained::load(&kept).unwrap();
    assert_eq!(tensors(&found), tensors(&trained));
    assert_eq!(found.history, trained.history);
    assert_eq!(found.normalizer, trained.normalizer);
    std::fs::write(kept.join("weights.safetensors"), b"damaged").unwrap();
    let error = Trained::load(&kept).unwrap_err().to_string();
    assert!(error.contains("weights.safetensors"), "{error}");
}

#[test]
fn training_stops_when_validation_stalls_and_keeps_the_best_weights() {
    let config = TrainingConfig {
        patience: 3,
        monitor: Monitor::Loss,
        learning_rate: 0.03,
        ..quick(200)
    };
    let trained = run(&config, None, &mut ()).unwrap();
    assert_eq!(trained.stopped, StopReason::Stalled);
    let kept = trained.kept_epochs.common().unwrap();
    assert_eq!(trained.history.len(), kept + 3);
    let best = trained.validation.unwrap();
    assert_eq!(trained.history[kept - 1].validation, Some(best));
    let losses = trained
        .history
        .iter()
        .map(|record| record.validation.unwrap().loss);
    assert_eq!(losses.fold(f64::INFINITY, f64::min), best.loss);

    let validation = examples(4, 10);
    let scores = score(&trained.network, &trained.normalizer, &front(), &validation).unwrap();
    let rows = scores.iter().zip(&validation);
    let loss: f64 = rows
        .map(|(row, example)| -f64::from(row[example.label]).ln())
        .sum();
    assert!((loss / 4.0 - best.loss).abs() < 1e-5);
}

#[test]
fn without_a_validation_part_the_last_weights_are_kept() {
    let part = examples(8, 0);
    let trained = train(&quick(3), &labels(), &part, &[], &front(), None, &mut ()).unwrap();
    assert_eq!(trained.kept_epochs.common(), Some(3));
    assert_eq!(trained.validation, None);
    assert!(
        trained
            .history
            .iter()
            .all(|record| record.validation.is_none())
    );
}

#[test]
fn a_loss_that_runs_away_is_an_error_that_says_what_to_try() {
    let config = TrainingConfig {
        optimizer: OptimizerName::Sgd,
        architecture: Architecture::Cnn,
        learning_rate: 100.0,
        max_gradient_norm: 0.0,
        warmup: 0.0,
        ..quick(20)
    };
    let error = run(&config, None, &mut ()).unwrap_err();
    assert!(matches!(error, ModelError::Diverged { .. }), "{error}");
    assert!(error.to_string().contains("learning_rate"));
}

#[test]
fn shorter_training_windows_serve_networks_that_pool_globally() {
    let config = TrainingConfig {
        crop_seconds: 0.3,
        ..quick(10)
    };
    let trained = run(&config, None, &mut ()).unwrap();
    assert_eq!(trained.network.spec().input.width, front().window_frames());
    assert!(trained.history[9].train_loss < trained.history[0].train_loss);
    for (architecture, crop_seconds) in [(Architecture::Cnn, 0.3), (Architecture::CnnBn, 0.7)] {
        let config = TrainingConfig {
            architecture,
            crop_seconds,
            ..config.clone()
        };
        let error = run(&config, None, &mut ()).unwrap_err().to_string();
        assert!(error.contains("crop_seconds"), "{error}");
    }
}

#[test]
fn clips_that_do_not_fit_are_named() {
    let mut part = examples(4, 0);
    part[3].label = 2;
    let result = train(&quick(1), &labels(), &part, &[], &front(), None, &mut ());
    assert!(result.unwrap_err().to_string().contains("`1/1`"));

    let mut other = front();
    other.clip.clip_seconds = 10.0;
    let part = examples(4, 0);
    let result = train(&quick(1), &labels(), &part, &[], &other, None, &mut ());
    assert!(result.unwrap_err().to_string().contains("`0/0`"));

    let result = train(&quick(1), &labels(), &[], &[], &front(), None, &mut ());
    assert!(matches!(result, Err(ModelError::NoExamples)));
}
