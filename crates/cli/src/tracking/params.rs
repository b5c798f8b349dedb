//! Settings as parameters of a run: under the names by which MLflow's
//! autologging of Keras and of PyTorch records them, and under our own.
//!
//! # What autologging records there and is left out here
//!
//! - Parameters of things that are not here: `opt_loss_scale_factor`,
//!   `opt_gradient_accumulation_steps`, `opt_clipnorm`, `opt_clipvalue`, `foreach`,
//!   `fused`, `capturable`, and arguments of `fit()` such as `steps_per_epoch`.
//! - Checkpoints and the tag `mlflow.latest_checkpoint_artifact`: they are for going on
//!   with a training, lie below the home folder while it lasts, and the best of them is
//!   in the model, which is recorded.
//! - `tensorboard_logs/`: the curves are metrics, and `history.json`.
//! - `best_score`, `wait_count` and restored values of an ensemble: each member stops and
//!   is restored at an epoch of its own.

use biophony_model::TrainingConfig;
use biophony_model::train::config::{Monitor, OptimizerName};
use biophony_tracking::Param;
use toml::Value;

use crate::settings::{SETTINGS, lookup};
use crate::stages::Request;

/// The parameters that are known before anything runs.
pub(super) fn of_request(request: &Request) -> Vec<Param> {
    let mut params = of_training(&request.settings.train);
    let mut add = |name: &str, value: String| params.push(Param::new(name, value));
    if let Some(folds) = request.folds {
        add("folds", folds.to_string());
    }
    add("compare_naive", python_bool(request.compare_naive));
    let table = request.settings.of_model();
    for setting in SETTINGS {
        if let Some(value) = lookup(&table, setting.key) {
            add(setting.key, text(value));
        }
    }
    params
}

/// As `mlflow.tensorflow.autolog` names them, with `opt_` before what belongs to
/// the optimizer, and as `mlflow.pytorch.autolog` does, without.
fn of_training(train: &TrainingConfig) -> Vec<Param> {
    let rate = train.learning_rate.to_string();
    let decay = train.weight_decay.to_string();
    let name = match train.optimizer {
        OptimizerName::Adamw => "AdamW",
        OptimizerName::Adam => "Adam",
        OptimizerName::Sgd => "SGD",
    };
    let mut pairs = vec![
        ("epochs", train.epochs.to_string()),
        ("batch_size", train.batch_size.to_string()),
        ("shuffle", python_bool(true)),
        ("opt_name", name.to_owned()),
        ("opt_learning_rate", rate.clone()),
        ("opt_weight_decay", decay.clone()),
        ("opt_use_ema", python_bool(train.average_decay > 0.0)),
        ("optimizer_name", name.to_owned()),
        ("lr", rate),
        ("weight_decay", decay),
        ("maximize", python_bool(false)),
    ];
    if train.average_decay > 0.0 {
        pairs.push(("opt_ema_momentum", train.average_decay.to_string()));
    }
    if train.max_gradient_norm > 0.0 {
        pairs.push(("opt_global_clipnorm", train.max_gradient_norm.to_string()));
    }
    match train.optimizer {
        OptimizerName::Sgd => pairs.extend([
            ("opt_momentum", train.momentum.to_string()),
            ("opt_nesterov", python_bool(train.momentum > 0.0)),
            ("momentum", train.momentum.to_string()),
        ]),
        OptimizerName::Adam | OptimizerName::Adamw => pairs.extend([
            ("opt_beta_1", "0.9".to_owned()),
            ("opt_beta_2", "0.999".to_owned()),
            ("opt_epsilon", "1e-08".to_owned()),
            ("opt_amsgrad", python_bool(false)),
            ("amsgrad", python_bool(false)),
            ("betas", "(0.9, 0.999)".to_owned()),
            ("eps", "1e-08".to_owned()),
        ]),
    }
    if stops_early(train) {
        let mode = match train.monitor {
            Monitor::Loss => "min",
            _ => "max",
        };
        pairs.extend([
            ("monitor", monitor(train.monitor).to_owned()),
            ("mode", mode.to_owned()),
            ("baseline", "None".to_owned()),
            ("patience", train.patience.to_string()),
            ("min_delta", "0".to_owned()),
            ("restore_best_weights", python_bool(true)),
        ]);
    }
    let pairs = pairs.into_iter();
    pairs.map(|(name, value)| Param::new(name, value)).collect()
}

/// Whether training may end before its last epoch.
pub(super) fn stops_early(train: &TrainingConfig) -> bool {
    train.patience > 0 && train.monitor != Monitor::Last
}

/// What is watched, by its metric's name.
pub(super) fn monitor(monitor: Monitor) -> &'static str {
    match monitor {
        Monitor::MacroF1 => "val_macro_f1",
        Monitor::Accuracy => "val_accuracy",
        Monitor::BalancedAccuracy => "val_balanced_accuracy",
        Monitor::Loss => "val_loss",
        Monitor::Last => "last",
    }
}

/// A truth as Python writes it, for those who compare with runs from there.
fn python_bool(value: bool) -> String {
    if value { "True" } else { "False" }.to_owned()
}

fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Boolean(value) => python_bool(*value),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use biophony_tracking::value_of;

    use super::*;

    #[test]
    fn names_are_those_of_keras_and_pytorch() {
        let mut train = TrainingConfig {
            epochs: 7,
            ..TrainingConfig::default()
        };
        let params = of_training(&train);
        let value = |name: &str| value_of(&params, name);
        assert_eq!(value("epochs"), Some("7"));
        assert_eq!(value("opt_name"), Some("AdamW"));
        assert_eq!(value("opt_learning_rate"), value("lr"));
        assert_eq!(value("patience"), None);
        assert_eq!(value("opt_use_ema"), Some("True"));
        assert_eq!(value("opt_ema_momentum"), Some("0.99"));
        assert_eq!(value("opt_global_clipnorm"), Some("5"));
        assert_eq!(value("opt_amsgrad"), Some("False"));
        train.patience = 3;
        train.optimizer = OptimizerName::Sgd;
        train.max_gradient_norm = 0.0;
        let params = of_training(&train);
        assert_eq!(value_of(&params, "opt_momentum"), Some("0.9"));
        assert_eq!(value_of(&params, "opt_global_clipnorm"), None);
        assert_eq!(
            value_of(&params, "patience"),
            None,
            "the last epoch is kept"
        );
        for (monitor, name, mode) in [
            (Monitor::Loss, "val_loss", "min"),
            (Monitor::MacroF1, "val_macro_f1", "max"),
        ] {
            train.monitor = monitor;
            let params = of_training(&train);
            for (key, value) in [
                ("monitor", name),
                ("mode", mode),
                ("patience", "3"),
                ("min_delta", "0"),
                ("baseline", "None"),
                ("restore_best_weights", "True"),
            ] {
                assert_eq!(value_of(&params, key), Some(value), "{key}");
            }
        }
    }
}
