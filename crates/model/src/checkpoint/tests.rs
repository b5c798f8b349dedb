//! Round trips, refusals, and what a kill may leave behind.

use std::fs;

use biophony_audio::Spectrogram;

use super::*;
use crate::labels::LabelSet;
use crate::prepare::{Example, FrontEnd};
use crate::train::config::TrainingConfig;

fn tensor(name: &str, value: f32) -> NamedTensor {
    NamedTensor {
        name: name.to_owned(),
        shape: vec![2, 1],
        values: vec![value, f32::MIN_POSITIVE],
        trainable: false,
    }
}

fn checkpoint(n_epochs: usize) -> Checkpoint {
    let record = |epoch| EpochRecord {
        epoch,
        learning_rate: 0.1,
        train_loss: 1.0 / 3.0,
        train_accuracy: 0.7,
        validation: None,
    };
    Checkpoint {
        network: vec![tensor("layers.0.weight", 0.1), tensor("layers.1.bias", 2.0)],
        optimizer: OptimizerState {
            n_steps: 17,
            tensors: vec![tensor("first.layers.0.weight", 3.0)],
        },
        average: Some(SavedAverage {
            n_updates: 5,
            tensors: vec![tensor("layers.0.weight", 4.0)],
        }),
        best: Some((1, vec![tensor("layers.0.weight", 5.0)])),
        history: (1..=n_epochs).map(record).collect(),
    }
}

fn identity(config: &TrainingConfig, value: f32) -> Identity {
    let labels = LabelSet::new(["a", "b"]).unwrap();
    let example = Example {
        name: "clip".to_owned(),
        label: 0,
        features: Spectrogram::new(1, 1, vec![value]),
    };
    Identity::of(config, &FrontEnd::default(), &labels, &[example], &[])
}

fn plain_identity() -> Identity {
    identity(&TrainingConfig::default(), 0.0)
}

#[test]
fn what_is_saved_is_what_is_loaded() {
    let folder = tempfile::tempdir().unwrap();
    let saved = checkpoint(2);
    saved.save(folder.path(), &plain_identity()).unwrap();
    let loaded = Checkpoint::load(folder.path(), &plain_identity()).unwrap();
    assert_eq!(loaded, Some(saved));
}

#[test]
fn an_empty_folder_holds_no_checkpoint() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("not yet there");
    assert_eq!(Checkpoint::load(&path, &plain_identity()).unwrap(), None);
}

#[test]
fn only_the_newest_tensors_stay() {
    let folder = tempfile::tempdir().unwrap();
    for n_epochs in 1..4 {
        checkpoint(n_epochs)
            .save(folder.path(), &plain_identity())
            .unwrap();
    }
    let mut names: Vec<String> = fs::read_dir(folder.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert_eq!(names, ["checkpoint.json", "epoch-000003.safetensors"]);
}

#[test]
fn a_kill_before_the_last_step_leaves_the_previous_checkpoint() {
    let folder = tempfile::tempdir().unwrap();
    checkpoint(1)
        .save(folder.path(), &plain_identity())
        .unwrap();
    fs::write(folder.path().join("epoch-000002.safetensors"), b"half of").unwrap();
    fs::write(folder.path().join("checkpoint.new"), b"{").unwrap();
    let loaded = Checkpoint::load(folder.path(), &plain_identity()).unwrap();
    assert_eq!(loaded, Some(checkpoint(1)));
}

#[track_caller]
fn check_refused(identity: &Identity, expected: &[&str]) {
    let folder = tempfile::tempdir().unwrap();
    checkpoint(1)
        .save(folder.path(), &plain_identity())
        .unwrap();
    let error = Checkpoint::load(folder.path(), identity)
        .unwrap_err()
        .to_string();
    for part in expected {
        assert!(error.contains(part), "{error}");
    }
}

#[test]
fn other_settings_are_refused_by_name_with_both_values() {
    let mut config = TrainingConfig::default();
    config.augment.gain_db = 1.25;
    let found = identity(&config, 0.0);
    check_refused(
        &found,
        &["`training.augment.gain_db`", "was 6.0", "is 1.25"],
    );
}

#[test]
fn other_clips_are_refused() {
    let found = identity(&TrainingConfig::default(), 1.0);
    check_refused(&found, &["the training clips"]);
}

#[test]
fn damaged_tensors_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    checkpoint(1)
        .save(folder.path(), &plain_identity())
        .unwrap();
    let path = folder.path().join("epoch-000001.safetensors");
    let mut bytes = fs::read(&path).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(&path, bytes).unwrap();
    let error = Checkpoint::load(folder.path(), &plain_identity()).unwrap_err();
    assert!(
        error.to_string().contains("epoch-000001.safetensors"),
        "{error}"
    );
    fs::remove_file(&path).unwrap();
    assert!(Checkpoint::load(folder.path(), &plain_identity()).is_err());
}

#[test]
fn a_checkpoint_that_points_elsewhere_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    checkpoint(1)
        .save(folder.path(), &plain_identity())
        .unwrap();
    let path = folder.path().join(DOCUMENT);
    let json = fs::read_to_string(&path).unwrap();
    fs::write(&path, json.replace("epoch-000001", "../epoch-000001")).unwrap();
    assert!(Checkpoint::load(folder.path(), &plain_identity()).is_err());
}
