//! `biophony bench`: how fast this machine is at what takes the time, with the
//! settings as they are.
//!
//! Sounds and weights are made up, so that no recordings are needed; the work is the
//! same as with real ones. How the program compares with others is in `bench/` of
//! its repository.

use std::hint::black_box;
use std::time::{Duration, Instant};

use anyhow::Result;
use biophony_audio::{Clip, FeatureExtractor};
use biophony_model::{Bundle, Calibration, Example, FrontEnd, LabelSet, Normalizer};
use biophony_model::{Predictor, Provenance};
use biophony_nn::{
    LossConfig, Network, Optimizer, OptimizerConfig, Shape, Training, softmax_cross_entropy,
};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::json;

use super::{load_settings, print};
use crate::Outcome;
use crate::arguments::{BenchArguments, Common};
use crate::settings::Settings;

/// The sound that features are taken of and that is classified.
const SECONDS: f64 = 60.0;

/// Classes that the made-up network tells apart.
const CLASSES: usize = 10;

/// Each figure is the median of repetitions for at least this long.
const AT_LEAST: Duration = Duration::from_secs(1);

pub(crate) fn run(common: &Common, arguments: &BenchArguments) -> Result<Outcome> {
    let settings = load_settings(common, Vec::new())?;
    let speed = Speed::measure(&settings)?;
    let threads = rayon::current_num_threads();
    let instructions = biophony_nn::instruction_set();
    print(&if arguments.json {
        let figures = json!({
            "threads": threads,
            "instructions": instructions,
            "features_times_real_time": speed.features,
            "training_examples_per_second": speed.training,
            "classifying_times_real_time": speed.classifying,
        });
        format!("{figures:#}\n")
    } else {
        format!(
            "{instructions}, {threads} threads\n\
             features     {:>8.0} x real time   (sound to log-mel, one thread)\n\
             training     {:>8.0} examples/s    ({}, windows of {} s, batches of {})\n\
             classifying  {:>8.0} x real time   (sound to probabilities)\n",
            speed.features,
            speed.training,
            settings.train.architecture,
            settings.clip.clip_seconds,
            settings.train.batch_size,
            speed.classifying,
        )
    })?;
    Ok(Outcome::Complete)
}

/// What a machine does in a second.
struct Speed {
    /// Seconds of sound.
    features: f64,
    /// Examples.
    training: f64,
    /// Seconds of sound.
    classifying: f64,
}

impl Speed {
    fn measure(settings: &Settings) -> Result<Self> {
        let front_end = FrontEnd {
            features: settings.feature_config()?,
            clip: settings.clip.clone(),
        };
        let sound = noise(&front_end);
        let extractor = FeatureExtractor::new(&front_end.features);
        let features = median_seconds(|| Ok(extractor.extract(sound.samples())?))?;
        let network = network(settings, &front_end)?;
        let training = training_seconds(settings, network.clone())?;
        let predictor = Predictor::new(bundle(front_end, network, &sound)?)?;
        let classifying = median_seconds(|| Ok(predictor.predict(&sound)?))?;
        Ok(Self {
            features: SECONDS / features,
            training: settings.train.batch_size as f64 / training,
            classifying: SECONDS / classifying,
        })
    }
}

/// A minute of faint noise.
fn noise(front_end: &FrontEnd) -> Clip {
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    let n_samples = (SECONDS * f64::from(front_end.rate().hertz())) as usize;
    let samples = (0..n_samples).map(|_| rng.random_range(-0.1..0.1_f32));
    Clip::new(samples.collect(), front_end.rate())
}

/// The network of the settings, with the weights that training begins with.
fn network(settings: &Settings, front_end: &FrontEnd) -> Result<Network> {
    let input = Shape {
        height: front_end.features.n_mels(),
        width: front_end.window_frames(),
        channels: 1,
    };
    let architecture = settings.train.architecture;
    let spec = architecture.network(input, CLASSES, settings.train.scale())?;
    Ok(Network::new(&spec, settings.train.seed)?)
}

/// How long one step takes: forward, loss, backward, optimizer.
fn training_seconds(settings: &Settings, mut network: Network) -> Result<f64> {
    let n = settings.train.batch_size;
    let mut rng = ChaCha8Rng::seed_from_u64(2);
    let inputs = (0..n * network.spec().input.n_values()).map(|_| rng.random_range(-1.0..1.0));
    let inputs: Vec<f32> = inputs.collect();
    let mut targets = vec![0.0; n * CLASSES];
    for (index, row) in targets.chunks_exact_mut(CLASSES).enumerate() {
        row[index % CLASSES] = 1.0;
    }
    let mut d_logits = vec![0.0; targets.len()];
    let mut training = Training::new(&network, n);
    let mut optimizer = Optimizer::new(OptimizerConfig::default(), &network);
    let loss = LossConfig::default();
    median_seconds(|| {
        let logits = training.forward(&mut network, &inputs, n, 0);
        softmax_cross_entropy(logits, &targets, CLASSES, &loss, &mut d_logits);
        training.backward(&network, &d_logits);
        optimizer.step(&mut network, &training, 1e-3, None);
        Ok(())
    })
}

fn bundle(front_end: FrontEnd, network: Network, sound: &Clip) -> Result<Bundle> {
    let example = Example {
        name: "noise".to_owned(),
        label: 0,
        features: front_end.prepare(sound)?,
    };
    Ok(Bundle {
        labels: LabelSet::new((0..CLASSES).map(|class| format!("class {class}")))?,
        normalizer: Normalizer::fit(&[example])?,
        front_end,
        network,
        calibration: Calibration::default(),
        metrics: json!({}),
        provenance: Provenance::default(),
    })
}

/// The median of repetitions, of which the first, which warms up, does not count.
fn median_seconds<R>(mut work: impl FnMut() -> Result<R>) -> Result<f64> {
    work()?;
    let started = Instant::now();
    let mut times = Vec::new();
    while times.len() < 3 || started.elapsed() < AT_LEAST {
        let began = Instant::now();
        black_box(work()?);
        times.push(began.elapsed().as_secs_f64());
    }
    times.sort_by(f64::total_cmp);
    Ok(times[times.len() / 2])
}
