//! A made-up report with everything in it, for the tests.

use biophony_model::bootstrap::BootstrapConfig;
use biophony_model::calibrate::threshold::threshold_for_precision;
use biophony_model::calibrate::{calibrated, fit_temperature};
use biophony_model::{Evaluation, EvaluationOptions, KeptEpochs, LabelSet, evaluate};
use biophony_nn::{LayerSummary, Shape};

use super::*;

const CLASSES: [(&str, usize); 10] = [
    ("bear", 22),
    ("bird", 128),
    ("cat", 110),
    ("chicken", 24),
    ("cow", 63),
    ("dog", 120),
    ("donkey", 18),
    ("frog", 31),
    ("lion", 41),
    ("sheep", 34),
];

/// A complete report on made-up figures.
pub(crate) fn report() -> Report {
    let n_clips = CLASSES.iter().map(|class| class.1).sum();
    Report {
        title: "Farm and forest calls".to_owned(),
        subtitle: "591 recordings of 10 classes, network cnn-bn, five-fold cross-validation"
            .to_owned(),
        evaluated_on:
            "591 clips, each scored by a network that was trained on no clip of its group"
                .to_owned(),
        notes: vec!["The class donkey has 18 clips; its figures are rough.".to_owned()],
        evaluation: evaluation(),
        naive: Some(NaiveComparison {
            evaluation: evaluation_with(11, 3.1),
            n_leaked: Some(173),
        }),
        folds: folds(),
        training: training(),
        thresholds: thresholds(),
        mistakes: mistakes(),
        pictures_show:
            "first 5 s, 128 mel bands from 50 Hz to 16 kHz, brighter is louder (80 dB range)"
                .to_owned(),
        audit: Some(audit(n_clips)),
        network: Some(network()),
        settings: settings(),
        provenance: provenance(),
    }
}

/// Figures of a fair classifier.
pub(crate) fn evaluation() -> Evaluation {
    evaluation_with(3, 2.5)
}

fn evaluation_with(seed: u64, skill: f64) -> Evaluation {
    let (truth, scores) = scorings(seed, skill);
    let temperature = fit_temperature(&truth, &scores).temperature;
    let probabilities: Vec<Vec<f32>> = scores
        .iter()
        .map(|row| calibrated(row, temperature))
        .collect();
    let groups: Vec<usize> = (0..truth.len()).map(|clip| clip * 2 / 3).collect();
    let options = EvaluationOptions {
        groups: Some(&groups),
        uncalibrated: Some(&scores),
        temperature: Some(temperature),
        bootstrap: Some(BootstrapConfig {
            n_resamples: 400,
            ..BootstrapConfig::default()
        }),
        ..EvaluationOptions::default()
    };
    let labels = LabelSet::new(CLASSES.map(|class| class.0)).unwrap();
    evaluate(&labels, &truth, &probabilities, &options).unwrap()
}

/// Overconfident scores that lean towards the truth by `skill`.
fn scorings(seed: u64, skill: f64) -> (Vec<usize>, Vec<Vec<f32>>) {
    let mut noise = Noise(seed);
    let mut truth = Vec::new();
    let mut scores = Vec::new();
    for (class, (_, n_clips)) in CLASSES.iter().enumerate() {
        for _ in 0..*n_clips {
            let lean = |other: usize| if other == class { skill } else { 0.0 };
            let logits: Vec<f64> = (0..CLASSES.len())
                .map(|other| 2.2 * (lean(other) + noise.normal()))
                .collect();
            let sum: f64 = logits.iter().map(|logit| logit.exp()).sum();
            truth.push(class);
            scores.push(
                logits
                    .iter()
                    .map(|logit| (logit.exp() / sum) as f32)
                    .collect(),
            );
        }
    }
    (truth, scores)
}

/// Numbers from a multiplicative generator (Steele et al. 2014, "SplitMix").
struct Noise(u64);

impl Noise {
    fn uniform(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((mixed ^ (mixed >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Twelve uniform numbers add up to about a normal one.
    fn normal(&mut self) -> f64 {
        (0..12).map(|_| self.uniform()).sum::<f64>() - 6.0
    }
}

fn folds() -> Vec<Fold> {
    let figures = [
        (0.907, 0.861, 0.849, 31),
        (0.915, 0.874, 0.868, 27),
        (0.883, 0.812, 0.804, 34),
    ];
    let fold = |(index, (accuracy, balanced_accuracy, macro_f1, kept_epoch)): (
        usize,
        (f64, f64, f64, usize),
    )| Fold {
        name: (index + 1).to_string(),
        n_training: 394,
        n_test: 197,
        accuracy,
        balanced_accuracy,
        macro_f1,
        kept_epochs: KeptEpochs::one(kept_epoch),
    };
    figures.into_iter().enumerate().map(fold).collect()
}

fn training() -> Vec<TrainingCurves> {
    let run = |index: u64| {
        let mut noise = Noise(40 + index);
        let epoch = |epoch: u32| {
            let decay = (-f64::from(epoch) / 9.0).exp();
            EpochFigures {
                training_loss: 0.22 + 2.0 * decay + 0.02 * noise.normal(),
                validation_loss: Some(
                    0.42 + 1.8 * decay + 0.002 * f64::from(epoch) + 0.05 * noise.normal(),
                ),
                validation_metric: Some(0.87 - 0.7 * decay + 0.015 * noise.normal()),
            }
        };
        TrainingCurves {
            name: format!("fold {}", index + 1),
            metric: "macro-F1".to_owned(),
            epochs: (1..=40).map(epoch).collect(),
            kept_epochs: KeptEpochs::one(27 + 3 * index as usize),
            validation: None,
        }
    };
    (0..3).map(run).collect()
}

fn thresholds() -> Vec<WantedPrecision> {
    let (truth, scores) = scorings(5, 2.6);
    let find = |wanted| WantedPrecision {
        wanted,
        found: threshold_for_precision(wanted, &truth, &scores),
    };
    [0.9, 0.95, 0.999].map(find).to_vec()
}

fn mistakes() -> Vec<Mistake> {
    let pairs = [
        ("cat", "sheep", 0.98),
        ("frog", "bird", 0.95),
        ("lion", "bear", 0.91),
        ("cow", "donkey", 0.88),
    ];
    let mistake = |(index, (truth, predicted, probability)): (usize, (&str, &str, f64))| Mistake {
        path: format!("{truth}/recording-{:04}.wav", 17 * index + 3),
        truth: truth.to_owned(),
        predicted: predicted.to_owned(),
        probability,
        truth_probability: 0.6 * (1.0 - probability),
        picture_png: (index != 3).then(|| vec![0x89, b'P', b'N', b'G']),
    };
    pairs.into_iter().enumerate().map(mistake).collect()
}

fn audit(n_clips: usize) -> AuditSummary {
    let finding = |what: &str, n_clips, meaning: &str| Finding {
        what: what.to_owned(),
        n_clips,
        meaning: meaning.to_owned(),
    };
    AuditSummary {
        n_clips,
        n_groups: 431,
        duration_seconds: 3412.0,
        classes: CLASSES
            .iter()
            .map(|&(label, n_clips)| ClassAudit {
                label: label.to_owned(),
                n_clips,
                duration_seconds: 5.7 * n_clips as f64,
            })
            .collect(),
        findings: vec![
            finding(
                "exact copies",
                45,
                "the same bytes twice; kept together in every split",
            ),
            finding(
                "near copies",
                128,
                "the same sound re-encoded, resampled or cut; kept together in every split",
            ),
            finding("clipped", 12, "samples at full scale; used as they are"),
            finding("unreadable", 1, "left out"),
        ],
    }
}

fn network() -> NetworkSummary {
    let layer =
        |name: &str, kind: &str, [height, width, channels]: [usize; 3], parameters, macs| {
            LayerSummary {
                name: name.to_owned(),
                kind: kind.to_owned(),
                output: Shape {
                    height,
                    width,
                    channels,
                },
                parameters,
                macs,
            }
        };
    NetworkSummary {
        architecture: "cnn-bn".to_owned(),
        members: 1,
        n_parameters: 19_562,
        layers: vec![
            layer("layers.0", "conv2d", [128, 216, 32], 288, 7_962_624),
            layer("layers.1", "batch_norm", [128, 216, 32], 64, 884_736),
            layer("layers.2", "relu", [128, 216, 32], 0, 0),
            layer("layers.3", "max_pool", [64, 108, 32], 0, 0),
            layer("layers.4", "conv2d", [64, 108, 64], 18_432, 127_401_984),
            layer("layers.5", "batch_norm", [64, 108, 64], 128, 442_368),
            layer("layers.6", "relu", [64, 108, 64], 0, 0),
            layer("layers.7", "global_pool", [1, 1, 64], 0, 0),
            layer("layers.8", "dense", [1, 1, 10], 650, 640),
        ],
    }
}

fn settings() -> Vec<Entry> {
    [
        ("architecture", "cnn-bn"),
        ("epochs", "40"),
        ("batch_size", "32"),
        ("optimizer", "adamw"),
        ("learning_rate", "0.002"),
        ("schedule", "one_cycle"),
        ("label_smoothing", "0.05"),
        ("augment.mixup", "0.3"),
        ("features.sample_rate", "22050"),
        ("features.n_fft", "2048"),
        ("features.hop_length", "512"),
        ("features.n_mels", "128"),
        ("clip.seconds", "5.0"),
        ("clip.pad", "repeat"),
    ]
    .map(|(name, value)| Entry::new(name, value))
    .to_vec()
}

fn provenance() -> Vec<Entry> {
    [
        ("program", "biophony 0.1.0"),
        ("date", "2026-01-02 03:04 UTC"),
        ("seed", "42"),
        (
            "data digest",
            "blake3 7d1f0c0e5b0d7a2f9f1a3c55c2e4a8d06f0b9be0a4e1c7d2b36a58f1d9c0e7a4",
        ),
        ("command", "biophony train calls --folds 3 --seed 42"),
    ]
    .map(|(name, value)| Entry::new(name, value))
    .to_vec()
}
