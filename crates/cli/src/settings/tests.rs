//! What is said of settings that are wrong, and which source wins.

use super::*;

fn with_flags(flags: &[&str]) -> Result<Settings> {
    let flags = flags.iter().map(|&flag| flag.to_owned()).collect();
    Settings::load(&Sources {
        flags,
        ..Sources::default()
    })
}

#[track_caller]
fn check_refused(flags: &[&str], expected: &[&str]) {
    let message = with_flags(flags).expect_err("it is wrong").to_string();
    for part in expected {
        assert!(message.contains(part), "`{message}` should say `{part}`");
    }
}

#[test]
fn a_wrong_key_names_the_nearest_right_one() {
    check_refused(
        &["train.epoch=3"],
        &["`train.epoch`", "did you mean `train.epochs`?"],
    );
}

#[test]
fn a_wrong_word_names_the_nearest_right_one() {
    check_refused(
        &["train.architecture=mobil"],
        &["train.architecture", "did you mean `mobile`?"],
    );
}

#[test]
fn the_nearest_right_one_is_named_once() {
    for setting in SETTINGS
        .iter()
        .filter(|setting| !setting.choices.is_empty())
    {
        let flag = format!("{}={}x", setting.key, setting.choices[0]);
        let message = with_flags(&[&flag]).expect_err("it is wrong").to_string();
        assert_eq!(message.matches("did you mean").count(), 1, "{message}");
    }
}

#[test]
fn a_wrong_number_is_refused_with_its_key() {
    check_refused(&["train.epochs=0"], &["`train.epochs = 0`"]);
    // These would only show when a run has begun.
    check_refused(&["clip.clip_seconds=0"], &["clip_seconds"]);
    check_refused(&["clip.overlap=1"], &["overlap"]);
    check_refused(&["train.dropout=1"], &["`train.dropout` is 1"]);
    check_refused(&["train.width=0"], &["`train.width` is 0"]);
    check_refused(
        &["train.width=50"],
        &["`train.width` is 50: at least 0.01 and at most 16"],
    );
    with_flags(&["train.width=16"]).expect("a network can be so wide");
    check_refused(&["split.test=-1"], &["`split.test` is -1"]);
    check_refused(
        &["split.test=0.5", "split.validation=0.5"],
        &["nothing to train on"],
    );
    check_refused(&["evaluate.precision=2"], &["`evaluate.precision` is 2"]);
    for value in ["1", "99999999999"] {
        check_refused(
            &[&format!("evaluate.bootstrap={value}")],
            &["at least 20 and at most 100000, or 0"],
        );
    }
    check_refused(&["audit.silence_dbfs=nan"], &["`audit.silence_dbfs` is"]);
    check_refused(&["audit.dc_offset=-1"], &["`audit.dc_offset` is -1"]);
    check_refused(&["audit.min_seconds=inf"], &["`audit.min_seconds` is inf"]);
    check_refused(&["audit.imbalance=0.5"], &["`audit.imbalance` is 0.5"]);
    check_refused(
        &["audit.clipped_fraction=-3"],
        &["`audit.clipped_fraction` is -3"],
    );
    check_refused(&["features.n_mels"], &["section.key=value"]);
    check_refused(&["run.timeout_seconds=-1"], &["run.timeout_seconds", "-1"]);
    check_refused(&["run.backoff_seconds=nan"], &["run.backoff_seconds"]);
}

#[test]
fn what_a_setting_takes_is_said_in_words() {
    for (flag, expected) in [
        ("train.epochs=many", "it takes a whole number, 0 or more"),
        ("train.epochs=2.5", "it takes a whole number, 0 or more"),
        ("train.seed=-1", "it takes a whole number, 0 or more"),
        (
            "train.seed=18446744073709551615",
            "it takes a whole number from 0 to 9223372036854775807",
        ),
        ("run.retries=4294967296", "from 0 to 4294967295"),
        (
            "features.sample_rate=4294967296",
            "it takes a whole number from 1 to 4294967295",
        ),
        (
            "features.sample_rate=0",
            "it takes a whole number, 1 or more",
        ),
        ("train.learning_rate=slow", "it takes a number"),
        ("features.center=yes", "it takes `true` or `false`"),
        ("run.on_success=1", "it takes a text"),
        ("train.augment.noise_snr_db=5", "it takes two numbers"),
        ("train.augment.noise_snr_db=[5]", "it takes two numbers"),
        ("train.augment.noise_snr_db=[40,5]", "the least comes first"),
        ("train.optimizer=3", "it takes `adamw`, `adam` or `sgd`"),
        ("train.monitor=f1", "did you mean `macro_f1`?"),
        (
            "train.monitor=auc",
            "it takes `last`, `macro_f1`, `accuracy`, `balanced_accuracy` or `loss`",
        ),
        ("features.scale.ref=true", "neither a number nor \"max\""),
        ("features.fmin=-1", "`fmin` is -1, not a number from 0 on"),
    ] {
        check_refused(&[flag], &[expected]);
    }
    // No setting answers with a type of this program.
    for setting in SETTINGS {
        for wrong in ["zzz", "-1", "1.5", "true", "[1]"] {
            let flag = format!("{}={wrong}", setting.key);
            if let Err(error) = with_flags(&[&flag]) {
                let message = error.to_string();
                for word in ["expected", "variant", "invalid type"] {
                    assert!(!message.contains(word), "`{message}`");
                }
            }
        }
    }
}

#[test]
fn values_that_clash_are_refused_together() {
    check_refused(
        &["features.sample_rate=8000", "features.fmax=6000"],
        &["6000", "4000"],
    );
}

#[test]
fn training_windows_are_no_longer_than_those_that_are_scored() {
    check_refused(
        &["train.crop_seconds=10"],
        &[
            "`train.crop_seconds = 10` is not possible",
            "at most `clip_seconds`, which is 3",
        ],
    );
    check_refused(
        &["clip.clip_seconds=1", "train.crop_seconds=2"],
        &["do not go together", "`crop_seconds` is 2"],
    );
    with_flags(&["clip.clip_seconds=10", "train.crop_seconds=10"]).expect("they are as long");
}

#[test]
fn a_network_that_cannot_be_built_is_refused_with_what_makes_it_so() {
    let resnet = "train.architecture=resnet";
    for small in ["features.n_mels=1", "clip.clip_seconds=0.01"] {
        with_flags(&[small]).expect("the default network takes it");
        let setting = small.split_once('=').expect("an assignment").0;
        check_refused(
            &[small, resnet],
            &["do not go together", "`resnet` cannot be built", setting],
        );
    }
    check_refused(&["train.crop_seconds=0.01", resnet], &["and 1 frames"]);
    for other in ["cnn", "cnn-bn"] {
        let other = format!("train.architecture={other}");
        check_refused(
            &["train.crop_seconds=0.01", &other],
            &["`train.crop_seconds` is 0.01", "would be another network"],
        );
    }
    with_flags(&["train.crop_seconds=1", "train.architecture=cnn-bn"]).expect("it pools globally");
}

#[test]
fn patience_wants_something_that_gets_better() {
    check_refused(
        &["train.patience=1"],
        &[
            "`train.patience = 1` is not possible",
            "set `train.monitor` to a figure, such as `macro_f1`",
        ],
    );
    with_flags(&["train.patience=1", "train.monitor=loss"]).expect("the loss gets better");
}

#[test]
fn a_value_that_only_clashes_with_a_default_is_not_blamed_for_another() {
    check_refused(
        &[
            "train.crop_seconds=4",
            "clip.clip_seconds=5",
            "train.dropout=1",
        ],
        &["`train.dropout = 1` is not possible"],
    );
}

#[test]
fn flags_win_over_the_environment() {
    let settings = Settings::load(&Sources {
        environment: vec![
            ("BIOPHONY_TRAIN_EPOCHS".to_owned(), "5".to_owned()),
            ("BIOPHONY_TRAIN_BATCH_SIZE".to_owned(), "7".to_owned()),
        ],
        flags: vec!["train.epochs=6".to_owned()],
        ..Sources::default()
    })
    .expect("both are settings");
    assert_eq!((settings.train.epochs, settings.train.batch_size), (6, 7));
}

#[test]
fn a_misspelt_variable_is_refused() {
    let environment = vec![("BIOPHONY_TRAIN_EPOCH".to_owned(), "5".to_owned())];
    let error = Settings::load(&Sources {
        environment,
        ..Sources::default()
    });
    let message = error.expect_err("there is none").to_string();
    assert!(message.contains("BIOPHONY_TRAIN_EPOCHS"), "{message}");
}

#[test]
fn a_whole_number_is_a_fine_real_number() {
    let settings = with_flags(&["clip.clip_seconds=2"]).expect("it is a number");
    assert_eq!(settings.clip.clip_seconds, 2.0);
}

#[test]
fn the_scale_can_be_switched_alone() {
    with_flags(&["features.scale.kind=power"]).expect("the rest does not matter then");
}
