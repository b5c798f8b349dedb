//! Writes bundles with random weights, and the probabilities that they give.
//!
//! ```text
//! cargo run --example random_bundle -- DIRECTORY
//! ```
//!
//! makes one folder per case, each with a `bundle`, waveforms as raw
//! little-endian `f32`, and `cases.json`, which says what the waveforms are and
//! what [`Predictor`] makes of them. `scripts/check_bundle.py` reads all this
//! and asks other programs the same questions.
//!
//! The weights are random but not small: probabilities spread over their range,
//! so that a difference in the features shows in them.

use std::error::Error;
use std::fs;
use std::path::Path;

use biophony_audio::{
    Clip, FeatureConfig, FeatureScale, FeatureSettings, PadMode, Reference, Window,
};
use biophony_audio::{MelNorm, MelScale};
use biophony_model::architecture::architecture;
use biophony_model::normalize::Normalizer;
use biophony_model::predict::Prediction;
use biophony_model::prepare::{ClipShape, Cut, Example, FrontEnd, Pad};
use biophony_model::{Bundle, Calibration, Existing, LabelSet, Predictor, Provenance};
use biophony_nn::{Inference, NamedTensor, Network, Shape};
use serde_json::json;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

fn main() -> Result<()> {
    let directory = std::env::args()
        .nth(1)
        .ok_or("usage: random_bundle DIRECTORY")?;
    for (seed, case) in cases()?.into_iter().enumerate() {
        write_case(&Path::new(&directory).join(&case.name), &case, seed as u64)?;
    }
    Ok(())
}

/// One bundle to be written.
struct Case {
    name: String,
    architecture: &'static str,
    front_end: FrontEnd,
    temperature: f64,
}

/// Every architecture, every way to pad and cut, and features of every kind.
fn cases() -> Result<Vec<Case>> {
    let mut cases = Vec::new();
    for architecture in ["cnn", "cnn-bn", "mobile", "resnet"] {
        let front_end = FrontEnd {
            features: FeatureConfig::default(),
            clip: clip_shape(2.0),
        };
        let name = format!("architecture-{architecture}");
        cases.push(Case {
            name,
            architecture,
            front_end,
            temperature: 1.3,
        });
    }
    for pad in [Pad::Zeros, Pad::Repeat, Pad::Reflect] {
        for cut in [Cut::Start, Cut::Center, Cut::Loudest, Cut::AllWindows] {
            for overlap in [0.0, 0.7] {
                let clip = ClipShape {
                    clip_seconds: 0.9,
                    pad,
                    cut,
                    overlap,
                };
                let front_end = FrontEnd {
                    features: FeatureConfig::default(),
                    clip,
                };
                let name = format!("clip-{pad:?}-{cut:?}-{overlap}").to_lowercase();
                cases.push(Case {
                    name,
                    architecture: "mobile",
                    front_end,
                    temperature: 0.8,
                });
            }
        }
    }
    for (name, settings) in feature_settings() {
        let features = FeatureConfig::new(settings)?;
        let front_end = FrontEnd {
            features,
            clip: clip_shape(1.2),
        };
        let name = format!("features-{name}");
        cases.push(Case {
            name,
            architecture: "cnn-bn",
            front_end,
            temperature: 1.0,
        });
    }
    Ok(cases)
}

fn clip_shape(clip_seconds: f64) -> ClipShape {
    ClipShape {
        clip_seconds,
        ..ClipShape::default()
    }
}

fn feature_settings() -> Vec<(&'static str, FeatureSettings)> {
    let base = FeatureSettings::default;
    let db = |reference, amin, top_db| FeatureScale::Db {
        reference,
        amin,
        top_db,
    };
    let one = Reference::Value(1.0);
    vec![
        (
            "reflect",
            FeatureSettings {
                pad_mode: PadMode::Reflect,
                ..base()
            },
        ),
        (
            "edge",
            FeatureSettings {
                pad_mode: PadMode::Edge,
                ..base()
            },
        ),
        (
            "symmetric",
            FeatureSettings {
                pad_mode: PadMode::Symmetric,
                ..base()
            },
        ),
        (
            "wrap",
            FeatureSettings {
                pad_mode: PadMode::Wrap,
                ..base()
            },
        ),
        (
            "uncentered",
            FeatureSettings {
                center: false,
                ..base()
            },
        ),
        (
            "long-frames",
            FeatureSettings {
                n_fft: 2048,
                hop_length: 300,
                n_mels: 96,
                ..base()
            },
        ),
        (
            "short-window",
            FeatureSettings {
                win_length: Some(700),
                window: Window::Hamming,
                ..base()
            },
        ),
        (
            "not-a-power-of-two",
            FeatureSettings {
                n_fft: 1000,
                hop_length: 250,
                n_mels: 40,
                ..base()
            },
        ),
        (
            "narrow",
            FeatureSettings {
                fmin: 2000.0,
                fmax: Some(8000.0),
                ..base()
            },
        ),
        (
            "htk",
            FeatureSettings {
                mel_scale: MelScale::Htk,
                norm: MelNorm::None,
                ..base()
            },
        ),
        (
            "amplitude",
            FeatureSettings {
                power: 1.0,
                ..base()
            },
        ),
        (
            "odd-power",
            FeatureSettings {
                power: 1.5,
                ..base()
            },
        ),
        (
            "linear",
            FeatureSettings {
                scale: FeatureScale::Power,
                ..base()
            },
        ),
        (
            "whole-range",
            FeatureSettings {
                scale: db(one, 1e-8, None),
                ..base()
            },
        ),
        (
            "loudest-is-0-db",
            FeatureSettings {
                scale: db(Reference::Max, 1e-10, Some(60.0)),
                ..base()
            },
        ),
        (
            "other-reference",
            FeatureSettings {
                scale: db(Reference::Value(0.02), 1e-10, Some(80.0)),
                ..base()
            },
        ),
    ]
}

fn write_case(directory: &Path, case: &Case, seed: u64) -> Result<()> {
    fs::create_dir_all(directory)?;
    let waveforms = waveforms(&case.front_end, seed);
    let bundle = bundle(case, &waveforms, seed)?;
    bundle.save(&directory.join("bundle"), Existing::Replace)?;
    let predictor = Predictor::open(&directory.join("bundle"))?;

    let mut questions = Vec::new();
    for (index, batch) in waveforms.iter().enumerate() {
        let file = format!("{index}.f32");
        let bytes: Vec<u8> = batch
            .concat()
            .iter()
            .flat_map(|sample| sample.to_le_bytes())
            .collect();
        fs::write(directory.join(&file), bytes)?;
        let mut probabilities = Vec::new();
        for samples in batch {
            let clip = Clip::new(samples.clone(), case.front_end.rate());
            probabilities.push(in_order(&predictor.predict(&clip)?, &bundle.labels));
        }
        questions.push(json!({
            "waveform": file,
            "shape": [batch.len(), batch[0].len()],
            "probabilities": probabilities,
        }));
    }
    let window = case.front_end.window_samples();
    let description = json!({ "window_samples": window, "questions": questions });
    fs::write(
        directory.join("cases.json"),
        serde_json::to_vec_pretty(&description)?,
    )?;
    println!("{}: {} questions", case.name, waveforms.len());
    Ok(())
}

/// The probabilities in the order of the labels, rather than from the best down.
fn in_order(prediction: &Prediction, labels: &LabelSet) -> Vec<f32> {
    let mut probabilities = vec![f32::NAN; labels.len()];
    for ranked in &prediction.ranked {
        if let Some(index) = labels.index_of(&ranked.label) {
            probabilities[index] = ranked.probability;
        }
    }
    probabilities
}

/// Batches of one, and of three, of clips shorter than, as long as and longer
/// than a window.
fn waveforms(front_end: &FrontEnd, seed: u64) -> Vec<Vec<Vec<f32>>> {
    let window = front_end.window_samples();
    let lengths = [
        1,
        2,
        window / 5,
        window - 1,
        window,
        window + 1,
        window * 3 / 2,
        window * 36 / 5,
    ];
    let mut random = Random(seed);
    let mut batches = Vec::new();
    for n_samples in lengths {
        for n_clips in [1, 3] {
            batches.push(
                (0..n_clips)
                    .map(|_| sound(n_samples, &mut random))
                    .collect(),
            );
        }
    }
    let silence = vec![0.0; window * 2];
    batches.push(vec![silence]);
    batches
}

/// A gliding tone that comes and goes over noise, at a level of its own.
fn sound(n_samples: usize, random: &mut Random) -> Vec<f32> {
    let level = 10_f64.powf(-2.0 * random.uniform());
    let noise = 10_f64.powf(-1.0 - 3.0 * random.uniform());
    let (start, glide) = (0.02 + random.uniform(), 2e-5 * random.uniform());
    let pulse = 1e-4 + 1e-3 * random.uniform();
    let mut phase = 0.0;
    let sample = |i: usize| {
        let t = i as f64;
        phase += start + 0.3 * (glide * t).sin();
        let envelope = (pulse * t).sin().powi(2);
        let hiss = noise * (2.0 * random.uniform() - 1.0);
        (level * (envelope * phase.sin() + hiss)) as f32
    };
    (0..n_samples).map(sample).collect()
}

/// SplitMix64 (Steele et al. 2014): enough for test material.
struct Random(u64);

impl Random {
    fn uniform(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
    }

    fn between(&mut self, low: f64, high: f64) -> f32 {
        (low + (high - low) * self.uniform()) as f32
    }
}

fn bundle(case: &Case, waveforms: &[Vec<Vec<f32>>], seed: u64) -> Result<Bundle> {
    let labels = LabelSet::new(["bear", "cat", "dog", "Grünfink \"x\"", "owl's", "wren"])?;
    let mut examples = Vec::new();
    for batch in &waveforms[4..] {
        let features = case
            .front_end
            .prepare(&Clip::new(batch[0].clone(), case.front_end.rate()))?;
        examples.push(Example {
            name: String::new(),
            label: 0,
            features,
        });
    }
    let normalizer = Normalizer::fit(&examples)?;
    let input = Shape {
        height: case.front_end.features.n_mels(),
        width: case.front_end.window_frames(),
        channels: 1,
    };
    let mut network = Network::new(&architecture(case.architecture, input, labels.len())?, seed)?;
    let mut tensors = network.tensors();
    shake(&mut tensors, &mut Random(seed + 1000));
    network.load_tensors(&tensors)?;
    spread(
        &mut network,
        &mut tensors,
        &case.front_end,
        &normalizer,
        &examples,
    )?;
    Ok(Bundle {
        labels,
        front_end: case.front_end.clone(),
        normalizer,
        network,
        calibration: Calibration {
            temperature: case.temperature,
            ..Calibration::default()
        },
        metrics: json!({}),
        provenance: Provenance {
            program: "random_bundle".into(),
            ..Provenance::default()
        },
    })
}

/// Gives batch-norms statistics and biases as if they had been trained.
fn shake(tensors: &mut [NamedTensor], random: &mut Random) {
    for tensor in tensors {
        let (low, high) = match tensor.name.rsplit('.').next() {
            Some("running_var") => (0.5, 2.0),
            Some("running_mean" | "bias") => (-0.3, 0.3),
            Some("weight") if tensor.shape.len() == 1 => (0.5, 1.5),
            _ => continue,
        };
        tensor.values.fill_with(|| random.between(low, high));
    }
}

/// Scales the last layer so that logits have a standard deviation of 3.
fn spread(
    network: &mut Network,
    tensors: &mut [NamedTensor],
    front_end: &FrontEnd,
    normalizer: &Normalizer,
    examples: &[Example],
) -> Result<()> {
    let mut workspace = Inference::new(network, 1);
    let mut logits = Vec::new();
    for example in examples {
        let features = &example.features;
        let rows =
            (0..features.n_bands).map(|band| &features.row(band)[..front_end.window_frames()]);
        let mut window: Vec<f32> = rows.flatten().copied().collect();
        normalizer.apply(&mut window);
        logits.extend_from_slice(network.forward(&mut workspace, &window, 1));
    }
    let mean = logits.iter().sum::<f32>() / logits.len() as f32;
    let square = logits
        .iter()
        .map(|logit| (logit - mean).powi(2))
        .sum::<f32>();
    let factor = 3.0 / (square / logits.len() as f32).sqrt();
    let dense = tensors
        .iter_mut()
        .rev()
        .find(|tensor| tensor.shape.len() == 2);
    let dense = dense.ok_or("every architecture ends in a dense layer")?;
    dense.values.iter_mut().for_each(|value| *value *= factor);
    network.load_tensors(tensors)?;
    Ok(())
}
