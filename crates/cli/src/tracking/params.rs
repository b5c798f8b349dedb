//! Settings as parameters of a run: under the names by which MLflow's
//! autologging of Keras and of PyTorch records them, and under our own.

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
        ("optimizer_name", name.to_owned()),
        ("lr", rate),
        ("weight_decay", decay),
    ];
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
            ("betas", "(0.9, 0.999)".to_owned()),
            ("eps", "1e-08".to_owned()),
        ]),
    }
    if train.patience > 0 {
        pairs.extend([
            ("monitor", monitor(train.monitor).to_owned()),
            ("patience", train.patience.to_string()),
            ("min_delta", "0".to_owned()),
            ("restore_best_weights", python_bool(true)),
        ]);
    }
    let pairs = pairs.into_iter();
    pairs.map(|(name, value)| Param::new(name, value)).collect()
}

/// What is watched, by its metric's name.
fn monitor(monitor: Monitor) -> &'static str {
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
        train.patience = 3;
        train.optimizer = OptimizerName::Sgd;
        let params = of_training(&train);
        assert_eq!(value_of(&params, "opt_momentum"), Some("0.9"));
        assert_eq!(value_of(&params, "patience"), Some("3"));
    }
}
