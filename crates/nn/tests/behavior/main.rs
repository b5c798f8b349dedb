//! What networks promise beyond being right: equal bits, checked specifications,
//! weights that come back, robustness.

mod dropout;
mod specifications;
mod tensors;

use biophony_nn::{
    GlobalPoolKind, Inference, Layer, LossConfig, NamedTensor, Network, NetworkSpec, NnError,
    Optimizer, OptimizerConfig, Padding, Shape, Training, softmax_cross_entropy,
};

const INPUT: Shape = Shape {
    height: 12,
    width: 10,
    channels: 2,
};
const CLASSES: usize = 3;

fn conv(outputs: usize, stride: usize, groups: usize) -> Layer {
    Layer::Conv2d {
        outputs,
        kernel: [3, 3],
        stride: [stride; 2],
        padding: Padding::Same,
        groups,
        bias: false,
    }
}

/// A network with every kind of layer.
fn everything() -> NetworkSpec {
    let body = vec![
        conv(20, 1, 20),
        Layer::batch_norm(),
        Layer::Relu,
        conv(20, 1, 2),
    ];
    let layers = vec![
        conv(20, 1, 1),
        Layer::batch_norm(),
        Layer::Relu,
        Layer::MaxPool {
            kernel: [2, 2],
            stride: [2, 2],
        },
        Layer::Residual {
            body,
            shortcut: vec![conv(20, 1, 1), Layer::batch_norm()],
        },
        Layer::Relu,
        Layer::AveragePool {
            kernel: [2, 2],
            stride: [1, 1],
        },
        Layer::Dropout { rate: 0.3 },
        conv(24, 2, 1),
        Layer::GlobalPool {
            kind: GlobalPoolKind::AveragePlusMax,
        },
        Layer::Dense { outputs: 40 },
        Layer::batch_norm(),
        Layer::Relu,
        Layer::Dense { outputs: CLASSES },
    ];
    NetworkSpec {
        input: INPUT,
        layers,
    }
}

/// Whole vectors of channels: convolutions by tiles, with small images together.
fn by_tiles() -> NetworkSpec {
    let layers = vec![
        conv(16, 2, 1),
        conv(32, 1, 1),
        Layer::batch_norm(),
        Layer::Relu,
        conv(16, 1, 1),
        Layer::GlobalPool {
            kind: GlobalPoolKind::AveragePlusMax,
        },
        Layer::Dense { outputs: CLASSES },
    ];
    NetworkSpec {
        input: INPUT,
        layers,
    }
}

/// The same without a stride, on an image of any size.
fn by_tiles_throughout() -> NetworkSpec {
    let mut spec = by_tiles();
    spec.layers[0] = conv(16, 1, 1);
    spec
}

fn noise(n: usize) -> Vec<f32> {
    (0..n)
        .map(|index| ((index * 7919 + 13) % 997) as f32 / 500.0 - 1.0)
        .collect()
}

/// Everything that a few training steps leave behind.
#[derive(Debug, Clone, PartialEq)]
struct Outcome {
    tensors: Vec<NamedTensor>,
    losses: Vec<f32>,
    scores: Vec<f32>,
}

struct Session {
    input: Shape,
    network: Network,
    training: Training,
    optimizer: Optimizer,
    losses: Vec<f32>,
}

impl Session {
    const BATCH: usize = 19;

    fn start() -> Self {
        Self::of(&everything())
    }

    fn of(spec: &NetworkSpec) -> Self {
        let network = Network::new(spec, 3).expect("a valid network");
        Self {
            input: spec.input,
            training: Training::new(&network, Self::BATCH),
            optimizer: Optimizer::new(OptimizerConfig::default(), &network),
            network,
            losses: Vec::new(),
        }
    }

    fn step(&mut self, n: usize) {
        let batch = noise(n * self.input.n_values());
        let targets: Vec<f32> = (0..n * CLASSES)
            .map(|index| f32::from(u8::from(index % CLASSES == index / CLASSES % CLASSES)))
            .collect();
        let mut d_logits = vec![0.0; targets.len()];
        let seed = self.losses.len() as u64;
        let logits = self.training.forward(&mut self.network, &batch, n, seed);
        let config = LossConfig::default();
        let loss = softmax_cross_entropy(logits, &targets, CLASSES, &config, &mut d_logits);
        self.training.backward(&self.network, &d_logits);
        self.optimizer
            .step(&mut self.network, &self.training, 1e-2, Some(1.0));
        self.losses.push(loss);
    }

    fn outcome(&self) -> Outcome {
        let mut inference = Inference::new(&self.network, Self::BATCH);
        let batch = noise(Self::BATCH * self.input.n_values());
        let scores = self
            .network
            .forward(&mut inference, &batch, Self::BATCH)
            .to_vec();
        Outcome {
            tensors: self.network.tensors(),
            losses: self.losses.clone(),
            scores,
        }
    }
}

fn train(spec: &NetworkSpec) -> Outcome {
    let mut session = Session::of(spec);
    for n in [19, 7, 19] {
        session.step(n);
    }
    session.outcome()
}

fn with_threads<R: Send>(n_threads: usize, work: impl FnOnce() -> R + Send) -> R {
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(n_threads)
        .build();
    pool.expect("a thread pool").install(work)
}

#[test]
fn training_gives_the_same_bits_with_any_number_of_threads() {
    for spec in [everything(), by_tiles()] {
        let one = with_threads(1, || train(&spec));
        assert!(one.losses.iter().all(|loss| loss.is_finite()));
        for n_threads in [2, 3, 8] {
            let more = with_threads(n_threads, || train(&spec));
            assert!(one == more, "{n_threads} threads");
        }
    }
}

/// Batches cut images into bands of different heights, of which the last may be lower.
#[test]
fn batches_of_any_size_are_trained_on() {
    for [height, width] in [[48, 44], [96, 27], [23, 61]] {
        let spec = NetworkSpec {
            input: Shape {
                height,
                width,
                channels: 1,
            },
            ..by_tiles_throughout()
        };
        let mut session = Session::of(&spec);
        for n in 1..=Session::BATCH {
            session.step(n);
        }
        assert!(session.losses.iter().all(|loss| loss.is_finite()));
    }
}

#[test]
fn inference_gives_the_same_bits_in_any_batch() {
    let network = Network::new(&everything(), 3).expect("a valid network");
    let batch = noise(5 * INPUT.n_values());
    let mut inference = Inference::new(&network, 5);
    let together = network.forward(&mut inference, &batch, 5).to_vec();
    for n_threads in [1, 3] {
        let alone: Vec<f32> = with_threads(n_threads, || {
            let mut inference = Inference::new(&network, 5);
            let examples = batch.chunks_exact(INPUT.n_values());
            examples
                .flat_map(|x| network.forward(&mut inference, x, 1).to_vec())
                .collect()
        });
        assert_eq!(alone, together);
    }
}

#[test]
fn images_of_one_pixel_do_not_see_each_other() {
    let input = Shape {
        height: 1,
        width: 1,
        channels: 4,
    };
    let layers = vec![
        conv(4, 1, 1),
        conv(4, 1, 4),
        conv(4, 1, 2),
        Layer::MaxPool {
            kernel: [1, 1],
            stride: [2, 2],
        },
        Layer::Dense { outputs: CLASSES },
    ];
    let network = Network::new(&NetworkSpec { input, layers }, 5).unwrap();
    let batch = noise(6 * input.n_values());
    let mut workspace = Inference::new(&network, 6);
    let together = network.forward(&mut workspace, &batch, 6).to_vec();
    let images = batch.chunks_exact(input.n_values());
    for (image, logits) in images.zip(together.chunks_exact(CLASSES)) {
        assert_eq!(network.forward(&mut workspace, image, 1), logits);
    }
}

#[test]
fn training_goes_on_from_a_checkpoint_as_if_never_interrupted() {
    let mut whole = Session::start();
    whole.step(8);
    let state = whole.optimizer.state(&whole.network);
    let tensors = whole.network.tensors();

    let mut resumed = Session::start();
    resumed
        .network
        .load_tensors(&tensors)
        .expect("tensors of the same network");
    resumed
        .optimizer
        .load_state(&resumed.network, &state)
        .expect("a state of the same network");
    resumed.losses = whole.losses.clone();
    whole.step(8);
    resumed.step(8);
    assert!(whole.outcome() == resumed.outcome());
}

#[test]
fn a_network_learns_eight_examples_by_heart() {
    let mut session = Session::start();
    for _ in 0..40 {
        session.step(8);
    }
    let (first, last) = (session.losses[0], session.losses[39]);
    assert!(last < 0.2 * first, "from {first} to {last}");
}

#[test]
fn an_inference_workspace_notices_new_weights() {
    let mut network = Network::new(&everything(), 3).expect("a valid network");
    let other = Network::new(&everything(), 4).expect("a valid network");
    let batch = noise(INPUT.n_values());
    let mut inference = Inference::new(&network, 1);
    let before = network.forward(&mut inference, &batch, 1).to_vec();
    let others = other.forward(&mut inference, &batch, 1).to_vec();
    assert_ne!(before, others);
    network
        .load_tensors(&other.tensors())
        .expect("tensors of the same network");
    assert_eq!(network.forward(&mut inference, &batch, 1), others);
}

#[test]
fn an_empty_batch_gives_nothing() {
    let network = Network::new(&everything(), 3).expect("a valid network");
    let mut inference = Inference::new(&network, 2);
    assert!(network.forward(&mut inference, &[], 0).is_empty());
}

#[test]
fn constant_input_leaves_everything_finite() {
    for value in [0.0, 1.0, 1e6] {
        let mut network = Network::new(&everything(), 3).expect("a valid network");
        let mut training = Training::new(&network, 2);
        for n in [1, 2] {
            let batch = vec![value; n * INPUT.n_values()];
            let logits = training.forward(&mut network, &batch, n, 0).to_vec();
            training.backward(&network, &vec![1.0; logits.len()]);
            assert!(
                logits.iter().all(|logit| logit.is_finite()),
                "{value}: {logits:?}"
            );
            for tensor in network.tensors().iter().chain(&training.gradients()) {
                let finite = tensor.values.iter().all(|value| value.is_finite());
                assert!(finite, "{value}: {}", tensor.name);
            }
        }
    }
}

#[test]
fn a_large_mean_does_not_spoil_the_variance() {
    let input = Shape {
        height: 8,
        width: 8,
        channels: 1,
    };
    let spec = NetworkSpec {
        input,
        layers: vec![Layer::batch_norm()],
    };
    let mut network = Network::new(&spec, 0).expect("a valid network");
    let mut training = Training::new(&network, 4);
    let batch: Vec<f32> = (0..4 * 64)
        .map(|index| 4096.0 + (index % 2) as f32)
        .collect();
    let y = training.forward(&mut network, &batch, 4, 0);
    let expected = 0.5 / (0.25f32 + 1e-5).sqrt();
    for (index, y) in y.iter().enumerate() {
        let expected = if index % 2 == 0 { -expected } else { expected };
        assert!((y - expected).abs() < 1e-3, "{index}: {y}");
    }
}
