//! Whole training steps against PyTorch; `golden/make.py` made the values.

use std::collections::BTreeMap;

use biophony_nn::{
    Inference, LossConfig, NamedTensor, Network, NetworkSpec, Optimizer, OptimizerConfig, Schedule,
    Training, softmax_cross_entropy,
};
use serde::Deserialize;

#[derive(Deserialize)]
struct Golden {
    cases: Vec<Case>,
    schedules: BTreeMap<String, Vec<f32>>,
}

#[derive(Deserialize)]
struct Case {
    name: String,
    spec: NetworkSpec,
    n: usize,
    label_smoothing: f32,
    weights: bool,
    soft: bool,
    optimizer: OptimizerConfig,
    learning_rate: f32,
    max_norm: Option<f32>,
    inference: Vec<f32>,
    logits: Vec<f32>,
    losses: Vec<f32>,
    gradient_norms: Vec<f32>,
    gradients: BTreeMap<String, Digest>,
    after: BTreeMap<String, Digest>,
}

/// What is kept of a tensor.
#[derive(Deserialize)]
struct Digest {
    norm: f64,
    largest: f64,
    samples: Vec<f32>,
}

const CLASSES: usize = 10;

fn golden() -> Golden {
    serde_json::from_str(include_str!("golden/torch.json")).expect("what make.py writes")
}

/// The values that make.py calls noise.
fn noise(n: usize, seed: u32) -> Vec<f32> {
    let value = |index: u32| {
        let mut x = index
            .wrapping_add(seed.wrapping_mul(7919))
            .wrapping_mul(2_654_435_761);
        x ^= x >> 16;
        x = x.wrapping_mul(0x045d_9f3b);
        x ^= x >> 16;
        (f64::from(x >> 8) / f64::from(1 << 23) - 1.0) as f32
    };
    (0..n as u32).map(value).collect()
}

/// The weights that make.py sets.
fn set_weights(network: &mut Network) {
    let mut tensors = network.tensors();
    for (index, tensor) in tensors.iter_mut().enumerate() {
        let values = noise(tensor.values.len(), index as u32);
        let fan_in: usize = tensor.shape[1..].iter().product();
        let scale = ((6.0 / fan_in as f64).sqrt()) as f32;
        let value = |noise: f32| match (tensor.shape.len(), tensor.name.as_str()) {
            (1, name) if name.ends_with("running_var") => 1.0 + 0.5 * noise,
            (1, name) if name.ends_with("weight") => 1.0 + 0.3 * noise,
            (1, _) => 0.2 * noise,
            _ => noise * scale,
        };
        tensor.values = values.into_iter().map(value).collect();
    }
    network.load_tensors(&tensors).expect("its own tensors");
}

fn targets(case: &Case) -> Vec<f32> {
    let mut targets = vec![0.0; case.n * CLASSES];
    for (example, row) in targets.chunks_exact_mut(CLASSES).enumerate() {
        let (first, second) = (example * 3 % CLASSES, example * 7 % CLASSES);
        row[first] = if case.soft { 0.75 } else { 1.0 };
        row[second] += if case.soft { 0.25 } else { 0.0 };
    }
    targets
}

#[track_caller]
fn assert_close(what: &str, found: f64, expected: f64, tolerance: f64) {
    let error = (found - expected).abs();
    assert!(
        error <= tolerance,
        "{what}: {found}, PyTorch {expected} ± {tolerance}"
    );
}

/// Compares norm and samples, relative to the norm and the largest value.
#[track_caller]
fn assert_digests(
    what: &str,
    tensors: &[NamedTensor],
    expected: &BTreeMap<String, Digest>,
    tolerance: f64,
) {
    assert_eq!(tensors.len(), expected.len(), "{what}: as many tensors");
    for tensor in tensors {
        let name = format!("{what} {}", tensor.name);
        let digest = &expected[&tensor.name];
        let norm = tensor
            .values
            .iter()
            .map(|&v| f64::from(v).powi(2))
            .sum::<f64>()
            .sqrt();
        // A bias before batch-norm has no gradient but rounding errors.
        assert_close(&name, norm, digest.norm, tolerance * digest.norm.max(1e-3));
        let last = digest.samples.len() - 1;
        for (index, sample) in digest.samples.iter().enumerate() {
            let place = (tensor.values.len() - 1) as f64 * index as f64 / last as f64;
            let found = f64::from(tensor.values[place as usize]);
            let tolerance = tolerance * digest.largest.max(1e-3);
            assert_close(&name, found, f64::from(*sample), tolerance);
        }
    }
}

#[track_caller]
fn check(name: &str) {
    let golden = golden();
    let case = golden
        .cases
        .iter()
        .find(|case| case.name == name)
        .expect("a case of make.py");
    let mut network = Network::new(&case.spec, 0).expect("a valid network");
    set_weights(&mut network);
    let batch = noise(case.n * case.spec.input.n_values(), 1000);

    let mut inference = Inference::new(&network, case.n);
    for (found, expected) in network
        .forward(&mut inference, &batch, case.n)
        .iter()
        .zip(&case.inference)
    {
        assert_close("inference", f64::from(*found), f64::from(*expected), 1e-4);
    }
    check_training(case, &mut network, &batch);
}

fn check_training(case: &Case, network: &mut Network, batch: &[f32]) {
    let mut training = Training::new(network, case.n);
    let mut optimizer = Optimizer::new(case.optimizer, network);
    let class_weights = case.weights.then(|| {
        noise(CLASSES, 2000)
            .iter()
            .map(|noise| 1.0 + 0.5 * noise)
            .collect()
    });
    let config = LossConfig {
        label_smoothing: case.label_smoothing,
        class_weights,
    };
    let targets = targets(case);
    let mut d_logits = vec![0.0; targets.len()];
    for (step, (&loss, &norm)) in case.losses.iter().zip(&case.gradient_norms).enumerate() {
        let logits = training.forward(network, batch, case.n, 0);
        if step == 0 {
            for (found, expected) in logits.iter().zip(&case.logits) {
                assert_close("logit", f64::from(*found), f64::from(*expected), 2e-5);
            }
        }
        let found = softmax_cross_entropy(logits, &targets, CLASSES, &config, &mut d_logits);
        // Later steps begin from weights that rounding has already moved apart.
        let tolerance = if step == 0 { 1e-5 } else { 1e-4 };
        assert_close("loss", f64::from(found), f64::from(loss), tolerance);
        training.backward(network, &d_logits);
        if step == 0 {
            assert_digests("gradient of", &training.gradients(), &case.gradients, 1e-4);
        }
        let found = optimizer.step(network, &training, case.learning_rate, case.max_norm);
        assert_close(
            "gradient norm",
            f64::from(found),
            f64::from(norm),
            1e-3 * f64::from(norm),
        );
    }
    assert_digests("after training", &network.tensors(), &case.after, 2e-3);
}

#[test]
fn the_reference_network_trains_with_adam_as_in_pytorch() {
    check("reference");
}

#[test]
fn a_mobile_network_trains_with_nesterov_and_clipping_as_in_pytorch() {
    check("mobile");
}

#[test]
fn a_residual_network_trains_with_adamw_and_label_smoothing_as_in_pytorch() {
    check("residual");
}

#[test]
fn a_classic_network_trains_with_soft_targets_and_class_weights_as_in_pytorch() {
    check("classic");
}

#[test]
fn schedules_are_those_of_pytorch() {
    let one_cycle = Schedule::OneCycle {
        rise: 0.3,
        first_divisor: 25.0,
        last_divisor: 1e4,
    };
    for (name, schedule) in [
        ("one_cycle", one_cycle),
        ("cosine", Schedule::Cosine { warmup: 0.0 }),
        (
            "step",
            Schedule::Step {
                period: 0.25,
                factor: 0.3,
            },
        ),
    ] {
        for (step, expected) in golden().schedules[name].iter().enumerate() {
            let found = schedule.learning_rate(0.1, step as u64, 20);
            assert_close(name, f64::from(found), f64::from(*expected), 1e-7);
        }
    }
}
