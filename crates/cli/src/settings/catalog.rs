//! What every setting means: the text of `biophony config`.

/// One setting that a user can change.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Setting {
    /// `section.name`, as in a settings file.
    pub(crate) key: &'static str,
    /// What it does, in one or two sentences.
    pub(crate) meaning: &'static str,
    /// The words it may be set to, where it takes words.
    pub(crate) choices: &'static [&'static str],
}

const fn value(key: &'static str, meaning: &'static str) -> Setting {
    Setting {
        key,
        meaning,
        choices: &[],
    }
}

const fn choice(
    key: &'static str,
    meaning: &'static str,
    choices: &'static [&'static str],
) -> Setting {
    Setting {
        key,
        meaning,
        choices,
    }
}

/// Every setting, in the order in which they are printed.
pub(crate) const SETTINGS: &[Setting] = &[
    value(
        "data.folder",
        "The folder of recordings that `biophony run` takes, with one subfolder per class.",
    ),
    value(
        "data.manifest",
        "In its place a table with the columns path,label and, if wanted, group,fold,split.",
    ),
    value(
        "data.reviewed",
        "Whether recordings that people have reviewed in the browser are trained on, too. They and their copies then judge no model.",
    ),
    value(
        "features.sample_rate",
        "Samples per second that every recording is brought to first.",
    ),
    value("features.n_fft", "Samples per analysis frame."),
    value("features.hop_length", "Samples from one frame to the next."),
    value(
        "features.win_length",
        "Samples under the window; n_fft when not set.",
    ),
    choice(
        "features.window",
        "The window's shape.",
        &[
            "hann",
            "hamming",
            "blackman",
            "blackmanharris",
            "nuttall",
            "flattop",
            "bartlett",
            "rectangular",
        ],
    ),
    value(
        "features.center",
        "Whether frames are centered on multiples of the hop, or begin there.",
    ),
    choice(
        "features.pad_mode",
        "What a centered frame finds beyond the ends.",
        &["constant", "reflect", "edge", "symmetric", "wrap"],
    ),
    value(
        "features.power",
        "The exponent of the magnitude: 2 for power, 1 for amplitude.",
    ),
    value("features.n_mels", "Mel bands."),
    value(
        "features.fmin",
        "The lower edge of the lowest band, in hertz.",
    ),
    value(
        "features.fmax",
        "The upper edge of the highest band, in hertz; half the rate when not set.",
    ),
    choice(
        "features.mel_scale",
        "The formula of the mel scale.",
        &["slaney", "htk"],
    ),
    choice(
        "features.norm",
        "The height of the mel filters: slaney for equal areas, none for equal peaks.",
        &["slaney", "none"],
    ),
    choice(
        "features.scale.kind",
        "Decibels, or the power as it is.",
        &["db", "power"],
    ),
    value(
        "features.scale.ref",
        "The power of 0 dB: a number, or \"max\" for each recording's loudest value.",
    ),
    value("features.scale.amin", "Powers below this count as this."),
    value(
        "features.scale.top_db",
        "Decibels kept below each recording's loudest value, or \"none\" for all.",
    ),
    value(
        "clip.clip_seconds",
        "The length of the windows that the network hears, in seconds.",
    ),
    choice(
        "clip.pad",
        "What follows a recording shorter than a window: silence, itself again, or its mirror image.",
        &["zeros", "repeat", "reflect"],
    ),
    choice(
        "clip.cut",
        "Which windows of a longer recording are scored; the scores of all_windows are averaged.",
        &["start", "center", "loudest", "all_windows"],
    ),
    value(
        "clip.overlap",
        "The share of a window that the next one repeats, with all_windows.",
    ),
    choice(
        "train.architecture",
        "The network.",
        &["cnn", "cnn-bn", "mobile", "resnet"],
    ),
    value(
        "train.width",
        "Multiplies the channels of every layer, by 0.01 to 16.",
    ),
    value(
        "train.dropout",
        "The share of values dropped before the last layer while training.",
    ),
    value(
        "train.seed",
        "Every random choice of training follows from it.",
    ),
    value(
        "train.members",
        "So many networks are trained with seeds of their own and act as one, which averages them. Training and prediction take as many times longer.",
    ),
    value("train.epochs", "Passes over the training part."),
    value("train.batch_size", "Examples per step."),
    value(
        "train.crop_seconds",
        "The length of training windows in seconds; 0 for clip_seconds.",
    ),
    choice(
        "train.optimizer",
        "How weights follow their gradients.",
        &["adamw", "adam", "sgd"],
    ),
    value(
        "train.learning_rate",
        "The greatest learning rate of the schedule.",
    ),
    value(
        "train.weight_decay",
        "How strongly weights are drawn to zero.",
    ),
    value("train.momentum", "The momentum of sgd."),
    choice(
        "train.schedule",
        "How the learning rate changes from step to step: cosine rises along a line and falls along a cosine, one_cycle rises from a 25th of it and falls along a cosine, step multiplies it by 0.1 after each third of the epochs, constant leaves it as it is.",
        &["cosine", "one_cycle", "step", "constant"],
    ),
    value(
        "train.warmup",
        "The share of steps in which the learning rate rises, for cosine and one_cycle.",
    ),
    value(
        "train.max_gradient_norm",
        "Gradients of a greater norm are scaled down to it; 0 for never.",
    ),
    value(
        "train.label_smoothing",
        "The share of each label that is spread over all classes.",
    ),
    value(
        "train.balanced_sampling",
        "How far rare classes are drawn more often: 0 for as they come, 1 for all alike.",
    ),
    value(
        "train.balanced_loss",
        "How far rare classes count more in the loss: 0 for as they come, 1 for all alike.",
    ),
    value(
        "train.average_decay",
        "Decay of the moving average of the weights, which is what is kept; 0 for the weights themselves.",
    ),
    choice(
        "train.monitor",
        "Which epoch is kept: the last, or the best on the validation part by a figure. A small validation part tells the best epoch mostly by luck.",
        &["last", "macro_f1", "accuracy", "balanced_accuracy", "loss"],
    ),
    value(
        "train.patience",
        "Training stops after so many epochs without one that is better by train.monitor, which must name a figure then; 0 for never.",
    ),
    value(
        "train.augment.random_crop",
        "Whether training windows come from anywhere in a longer recording, or from its middle.",
    ),
    value(
        "train.augment.pace_probability",
        "How often a window is read faster or slower than it was recorded.",
    ),
    value(
        "train.augment.pace_factor",
        "The greatest factor of that: 1.25 for up to a quarter faster or slower.",
    ),
    value(
        "train.augment.pitch_probability",
        "How often a window is moved up or down in pitch.",
    ),
    value(
        "train.augment.pitch_share",
        "The greatest move, as a share of the bands.",
    ),
    value(
        "train.augment.roll_probability",
        "How often a window is rotated in time by a random amount.",
    ),
    value(
        "train.augment.gain_probability",
        "How often the level is changed; without effect where features.scale.ref is \"max\".",
    ),
    value(
        "train.augment.gain_db",
        "The greatest change of level up or down, in decibels.",
    ),
    value(
        "train.augment.noise_probability",
        "How often white noise is added.",
    ),
    value(
        "train.augment.noise_snr_db",
        "The least and the greatest signal-to-noise ratio of that, in decibels.",
    ),
    value(
        "train.augment.background_probability",
        "How often another training recording is mixed in quietly, the label kept.",
    ),
    value(
        "train.augment.background_snr_db",
        "The least and the greatest ratio of a recording to that, in decibels.",
    ),
    value(
        "train.augment.mask_probability",
        "How often masks are applied (SpecAugment).",
    ),
    value(
        "train.augment.time_masks",
        "How many stretches of time are masked.",
    ),
    value(
        "train.augment.time_mask_share",
        "The longest of them, as a share of the window.",
    ),
    value(
        "train.augment.band_masks",
        "How many ranges of bands are masked.",
    ),
    value(
        "train.augment.band_mask_share",
        "The widest of them, as a share of the bands.",
    ),
    value(
        "train.augment.mixup_probability",
        "How often an example is mixed with another and takes a share of its label (mixup).",
    ),
    value(
        "train.augment.mixup_alpha",
        "The shape of the mixing ratio, Beta(alpha, alpha); small values leave most mixtures near one of the two.",
    ),
    value(
        "split.seed",
        "Another seed, another split of the same quality.",
    ),
    value(
        "split.validation",
        "The share of recordings that calibrates and, with train.monitor, decides which epoch is kept. Folds are calibrated on each other and need none unless an epoch is chosen.",
    ),
    value("split.test", "The share of recordings that is judged."),
    value(
        "audit.silence_dbfs",
        "Recordings are called silent below this level of their loudest 50 ms, in dB of full scale.",
    ),
    value(
        "audit.clipped_fraction",
        "Recordings are called clipped above this share of samples at full scale.",
    ),
    value(
        "audit.dc_offset",
        "Recordings are said to have an offset above this mean, 1 being full scale.",
    ),
    value(
        "audit.min_seconds",
        "Recordings are called very short below this.",
    ),
    value(
        "audit.bandwidth_fraction",
        "Recordings are called narrow below this share of the Nyquist frequency.",
    ),
    value(
        "audit.imbalance",
        "A collection is called imbalanced when its largest class has this many times as many recordings as its smallest.",
    ),
    value(
        "audit.min_per_class",
        "Classes are called small below this many independent recordings.",
    ),
    value(
        "evaluate.precision",
        "The precision that accepted answers shall have, 0 to accept all; the threshold for it is worked out on the validation part or, where folds have none, on all folds.",
    ),
    value(
        "evaluate.bootstrap",
        "Resamplings behind the 95 % intervals, at least 20; 0 for no intervals.",
    ),
    value(
        "deploy.min_accuracy",
        "The least accuracy of a model that is put into use.",
    ),
    value("deploy.min_macro_f1", "Its least macro-F1."),
    value(
        "deploy.min_class_recall",
        "The least recall of each of its classes.",
    ),
    value(
        "deploy.max_calibration_error",
        "Its greatest expected calibration error.",
    ),
    value(
        "deploy.max_latency_ms",
        "The longest time that it may take for one window, in milliseconds; 0 for any.",
    ),
    value(
        "deploy.max_champion_risk",
        "The greatest probability, by a paired bootstrap on the same recordings, that it is worse than the model in use; 1 for any.",
    ),
    value(
        "deploy.min_unseen",
        "On how many independent recordings that neither of the two was trained on this has to rest, or on all that are tested where these are fewer; with less the model in use stays.",
    ),
    value(
        "run.retries",
        "How often a step of the pipeline that failed is tried again.",
    ),
    value(
        "run.backoff_seconds",
        "The wait before the first of these, in seconds; each further wait is twice as long.",
    ),
    value(
        "run.timeout_seconds",
        "How long a step may take, in seconds; 0 for any time.",
    ),
    value(
        "run.on_success",
        "A command (words separated by spaces) or an http address that is given a finished run as JSON.",
    ),
    value("run.on_failure", "The same for a run that failed."),
    value(
        "tracking.experiment",
        "The experiment that runs are recorded in; empty for one named like the folder of \
         recordings. MLFLOW_EXPERIMENT_NAME sets it, too.",
    ),
    value(
        "tracking.model",
        "The registered model whose versions accepted models become.",
    ),
    value(
        "tracking.uri",
        "An MLflow server (http:// or https://) that is told of everything as well; empty for \
         none. MLFLOW_TRACKING_URI sets it, too; a token or password comes from \
         MLFLOW_TRACKING_TOKEN, or MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD.",
    ),
    value(
        "tracking.insecure_tls",
        "Whether the server's certificate may be anybody's. MLFLOW_TRACKING_INSECURE_TLS sets it, \
         too.",
    ),
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use toml::{Table, Value};

    use super::*;
    use crate::settings::{Settings, lookup};

    /// Settings that are absent by default.
    const OPTIONAL: [&str; 2] = ["features.win_length", "features.fmax"];

    #[test]
    fn every_setting_is_in_the_catalog_and_every_entry_is_a_setting() {
        let mut keys = BTreeSet::from(OPTIONAL.map(str::to_owned));
        collect("", &Settings::default().to_table(), &mut keys);
        let described: BTreeSet<String> = SETTINGS.iter().map(|s| s.key.to_owned()).collect();
        assert_eq!(described, keys);
        assert_eq!(
            described.len(),
            SETTINGS.len(),
            "no setting is described twice"
        );
    }

    #[test]
    fn every_choice_is_accepted_and_the_default_is_among_them() {
        let defaults = Settings::default().to_table();
        for setting in SETTINGS
            .iter()
            .filter(|setting| !setting.choices.is_empty())
        {
            let default = lookup(&defaults, setting.key).and_then(Value::as_str);
            assert!(
                default.is_some_and(|d| setting.choices.contains(&d)),
                "{}",
                setting.key
            );
            for word in setting.choices {
                let flag = format!("{}={word}", setting.key);
                let sources = crate::settings::Sources {
                    flags: vec![flag],
                    ..Default::default()
                };
                Settings::load(&sources).unwrap_or_else(|error| panic!("{error}"));
            }
        }
    }

    fn collect(prefix: &str, table: &Table, keys: &mut BTreeSet<String>) {
        for (name, value) in table {
            let key = if prefix.is_empty() {
                name.clone()
            } else {
                format!("{prefix}.{name}")
            };
            match value {
                Value::Table(inner) => collect(&key, inner, keys),
                _ => {
                    keys.insert(key);
                }
            }
        }
    }
}
