//! Small synthetic clips that the integration tests share.

#![allow(dead_code, reason = "each test file uses its own part of this one")]

use biophony_audio::{Clip, FeatureConfig, FeatureSettings, SampleRate};
use biophony_model::{
    Architecture, AugmentConfig, ClipShape, Cut, Example, FrontEnd, LabelSet, Pad, Preparer,
    TrainingConfig,
};

/// Half a second at 8 kHz: 16 bands by 32 frames.
pub(crate) fn front() -> FrontEnd {
    let settings = FeatureSettings {
        sample_rate: rate(8_000),
        n_fft: 256,
        hop_length: 128,
        n_mels: 16,
        ..FeatureSettings::default()
    };
    FrontEnd {
        features: FeatureConfig::new(settings).unwrap(),
        clip: ClipShape {
            clip_seconds: 0.5,
            pad: Pad::Repeat,
            cut: Cut::AllWindows,
            overlap: 0.5,
        },
    }
}

pub(crate) fn rate(hertz: u32) -> SampleRate {
    SampleRate::from_hertz(hertz).unwrap()
}

pub(crate) fn labels() -> LabelSet {
    LabelSet::new(["falling", "rising"]).unwrap()
}

/// A chirp in noise: class 1 rises, class 0 falls.
pub(crate) fn chirp(class: usize, variant: usize, seconds: f64, hertz: u32) -> Clip {
    let n = (seconds * f64::from(hertz)) as usize;
    let mut state = (variant as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ class as u64;
    let mut phase = 0.0_f64;
    let samples = (0..n).map(|i| {
        let progress = i as f64 / n as f64;
        let progress = if class == 1 { progress } else { 1.0 - progress };
        let frequency = 500.0 + 60.0 * variant as f64 + 2000.0 * progress;
        phase += std::f64::consts::TAU * frequency / f64::from(hertz);
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        let noise = (state >> 40) as f64 / f64::from(1 << 24) - 0.5;
        (0.4 * phase.sin() + 0.05 * noise) as f32
    });
    Clip::new(samples.collect(), rate(hertz))
}

/// Clips of both classes in turn, of several lengths.
pub(crate) fn examples(n: usize, first_variant: usize) -> Vec<Example> {
    let preparer = Preparer::new(&front()).unwrap();
    let example = |i: usize| {
        let seconds = 0.4 + 0.1 * (i % 4) as f64;
        example(&preparer, i % 2, first_variant + i / 2, seconds)
    };
    (0..n).map(example).collect()
}

/// Clips of both classes in turn, as long as one window.
pub(crate) fn one_window_examples(n: usize) -> Vec<Example> {
    let preparer = Preparer::new(&front()).unwrap();
    (0..n)
        .map(|i| example(&preparer, i % 2, i / 2, 0.5))
        .collect()
}

fn example(preparer: &Preparer, label: usize, variant: usize, seconds: f64) -> Example {
    Example {
        name: format!("{label}/{variant}"),
        label,
        features: preparer
            .prepare(&chirp(label, variant, seconds, 8_000))
            .unwrap(),
    }
}

/// A small network that learns fast, without variation.
pub(crate) fn quick(epochs: usize) -> TrainingConfig {
    TrainingConfig {
        architecture: Architecture::CnnBn,
        width: 0.5,
        dropout: 0.0,
        epochs,
        batch_size: 4,
        learning_rate: 5e-3,
        label_smoothing: 0.0,
        balanced_sampling: 0.0,
        average_decay: 0.0,
        augment: AugmentConfig::none(),
        ..TrainingConfig::default()
    }
}

/// The same with everything that draws random numbers.
pub(crate) fn varied(epochs: usize) -> TrainingConfig {
    TrainingConfig {
        dropout: 0.2,
        balanced_sampling: 0.5,
        balanced_loss: 0.5,
        label_smoothing: 0.1,
        average_decay: 0.9,
        monitor: biophony_model::Monitor::Loss,
        augment: AugmentConfig {
            noise_probability: 0.5,
            background_probability: 0.5,
            ..AugmentConfig::default()
        },
        ..quick(epochs)
    }
}
