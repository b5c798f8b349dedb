//! What networks promise beyond being right: equal bits, checked specifications,
//! weights that come back, robustness.

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
            training: Training::new(&network, Self::BATCH),
            optimizer: Optimizer::new(OptimizerConfig::default(), &network),
            network,
            losses: Vec::new(),
        }
    }

    fn step(&mut self, n: usize) {
        let batch = noise(n * INPUT.n_values());
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
        let batch = noise(Self::BATCH * INPUT.n_values());
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

mod dropout {
    use super::*;

    const RATE: f32 = 0.25;

    /// What dropout makes of ones, and of a gradient of ones.
    fn ones(seed: u64) -> (Vec<f32>, Vec<f32>) {
        let input = Shape {
            height: 1,
            width: 1,
            channels: 1,
        };
        let layers = vec![
            Layer::Dense { outputs: 10_000 },
            Layer::Dropout { rate: RATE },
        ];
        let mut network = Network::new(&NetworkSpec { input, layers }, 0).expect("a valid network");
        let mut tensors = network.tensors();
        tensors[0].values.fill(1.0);
        network.load_tensors(&tensors).expect("its own tensors");
        let mut training = Training::new(&network, 1);
        let y = training.forward(&mut network, &[1.0], 1, seed).to_vec();
        training.backward(&network, &vec![1.0; y.len()]);
        (y, training.gradients()[1].values.clone())
    }

    #[test]
    fn zeroes_the_part_asked_for_and_scales_the_rest() {
        let (y, _) = ones(1);
        let zeros = y.iter().filter(|y| **y == 0.0).count();
        assert!((2300..2700).contains(&zeros), "{zeros} of 10000");
        assert!(
            y.iter()
                .all(|y| *y == 0.0 || (y - 1.0 / (1.0 - RATE)).abs() < 1e-6)
        );
    }

    #[test]
    fn lets_the_same_values_through_both_ways() {
        let (y, d) = ones(1);
        assert_eq!(y, d);
    }

    #[test]
    fn depends_on_the_seed() {
        assert_eq!(ones(1), ones(1));
        assert_ne!(ones(1), ones(2));
    }
}

mod specifications {
    use super::*;

    #[track_caller]
    fn check(layers: Vec<Layer>, message: &str) {
        let spec = NetworkSpec {
            input: INPUT,
            layers,
        };
        let found = spec.summary().expect_err("an error").to_string();
        assert_eq!(found, message);
        let found = Network::new(&spec, 0)
            .expect_err("the same error")
            .to_string();
        assert_eq!(found, message);
    }

    #[test]
    fn name_the_layer_that_has_no_size() {
        check(
            vec![Layer::Relu, conv(0, 1, 1)],
            "`layers.1` (conv2d): `outputs` is zero",
        );
        check(vec![conv(4, 0, 1)], "`layers.0` (conv2d): `stride` is zero");
        check(vec![conv(4, 1, 0)], "`layers.0` (conv2d): `groups` is zero");
        let pool = Layer::MaxPool {
            kernel: [2, 0],
            stride: [1, 1],
        };
        check(vec![pool], "`layers.0` (max_pool): `kernel` is zero");
        check(
            vec![Layer::Flatten, Layer::Dense { outputs: 0 }],
            "`layers.1` (dense): `outputs` is zero",
        );
    }

    #[test]
    fn name_the_kernel_that_does_not_fit() {
        let pool = Layer::AveragePool {
            kernel: [4, 2],
            stride: [4, 2],
        };
        check(
            vec![pool.clone(), pool],
            "`layers.1` (average_pool): kernel 4x2 is larger than its input 3x5x2",
        );
        let pool = Layer::MaxPool {
            kernel: [12, 30],
            stride: [1, 1],
        };
        check(
            vec![pool],
            "`layers.0` (max_pool): kernel 12x30 has more than 256 positions",
        );
    }

    #[test]
    fn name_the_groups_that_do_not_divide() {
        check(
            vec![conv(4, 1, 3)],
            "`layers.0` (conv2d): 3 groups do not divide 2 inputs and 4 outputs",
        );
    }

    #[test]
    fn name_the_dense_layer_that_meets_an_image() {
        check(
            vec![Layer::Dense { outputs: 4 }],
            "`layers.0` (dense): its input 12x10x2 is not flat; add `flatten` or `global_pool` before it",
        );
    }

    #[test]
    fn name_the_branches_that_differ() {
        let residual = |body| {
            vec![
                Layer::Relu,
                Layer::Residual {
                    body,
                    shortcut: vec![],
                },
            ]
        };
        check(
            residual(vec![conv(4, 1, 1)]),
            "`layers.1` (residual): the body gives 12x10x4, the shortcut 12x10x2",
        );
        check(residual(vec![]), "`layers.1.body` has no layers");
        let inner = Layer::Residual {
            body: vec![conv(2, 1, 3)],
            shortcut: vec![],
        };
        check(
            residual(vec![inner]),
            "`layers.1.body.0.body.0` (conv2d): 3 groups do not divide 2 inputs and 2 outputs",
        );
    }

    #[test]
    fn name_the_setting_that_is_out_of_range() {
        check(
            vec![Layer::Dropout { rate: 1.0 }],
            "`layers.0` (dropout): `rate` is 1, not at least 0 and below 1",
        );
        check(
            vec![Layer::BatchNorm {
                epsilon: 0.0,
                momentum: 0.1,
            }],
            "`layers.0` (batch_norm): `epsilon` is 0, not above 0",
        );
        check(
            vec![Layer::BatchNorm {
                epsilon: 1e-5,
                momentum: f32::NAN,
            }],
            "`layers.0` (batch_norm): `momentum` is NaN, not from 0 to 1",
        );
    }

    #[test]
    fn refuse_what_cannot_be_allocated() {
        let huge = usize::MAX / 2;
        check(
            vec![conv(huge, 1, 1)],
            "`layers.0` (conv2d): the sizes multiply to more than can be addressed",
        );
        let input = Shape {
            height: huge,
            width: huge,
            channels: 1,
        };
        let spec = NetworkSpec {
            input,
            layers: vec![Layer::Relu],
        };
        assert!(matches!(spec.summary(), Err(NnError::TooLarge { .. })));
        let input = Shape {
            height: 0,
            width: 1,
            channels: 1,
        };
        let spec = NetworkSpec {
            input,
            layers: vec![Layer::Relu],
        };
        assert_eq!(spec.summary(), Err(NnError::EmptyInput { input }));
        check(vec![], "`layers` has no layers");
    }

    #[test]
    fn come_back_from_json() {
        let json = serde_json::to_string(&everything()).expect("plain data");
        assert_eq!(
            serde_json::from_str::<NetworkSpec>(&json).expect("what was written"),
            everything()
        );
        let short = r#"{"layer": "conv2d", "outputs": 8, "kernel": [3, 3]}"#;
        let expected = Layer::Conv2d {
            outputs: 8,
            kernel: [3, 3],
            stride: [1, 1],
            padding: Padding::Same,
            groups: 1,
            bias: false,
        };
        assert_eq!(
            serde_json::from_str::<Layer>(short).expect("defaults"),
            expected
        );
    }

    #[test]
    fn are_summed_up_layer_by_layer() {
        let summary = everything().summary().expect("a valid network");
        let total: usize = summary.iter().map(|layer| layer.parameters).sum();
        assert_eq!(
            total,
            Network::new(&everything(), 0)
                .expect("a valid network")
                .n_parameters()
        );
        assert_eq!(summary[0].macs, 12 * 10 * 20 * 2 * 9);
        let names: Vec<&str> = summary.iter().map(|layer| layer.name.as_str()).collect();
        assert_eq!(
            names[4..7],
            ["layers.4.body.0", "layers.4.body.1", "layers.4.body.2"]
        );
        let last = summary.last().expect("layers").to_string();
        assert!(
            last.contains("layers.13") && last.contains("1x1x3"),
            "{last}"
        );
    }
}

mod tensors {
    use super::*;

    fn network() -> Network {
        Network::new(&everything(), 3).expect("a valid network")
    }

    #[track_caller]
    fn check(change: impl FnOnce(&mut Vec<NamedTensor>), message: &str) {
        let mut network = network();
        let before = network.tensors();
        let mut tensors = before.clone();
        change(&mut tensors);
        let found = network
            .load_tensors(&tensors)
            .expect_err("an error")
            .to_string();
        assert_eq!(found, message);
        assert_eq!(network.tensors(), before, "unchanged");
    }

    #[test]
    fn have_the_names_and_shapes_of_pytorch() {
        let tensors = network().tensors();
        let find = |name: &str| {
            tensors
                .iter()
                .find(|tensor| tensor.name == name)
                .expect("a tensor")
        };
        assert_eq!(find("layers.0.weight").shape, [20, 2, 3, 3]);
        assert_eq!(find("layers.4.body.0.weight").shape, [20, 1, 3, 3]);
        assert_eq!(find("layers.10.weight").shape, [40, 24]);
        assert!(!find("layers.4.shortcut.1.running_var").trainable);
    }

    #[test]
    fn are_taken_over_in_any_order() {
        let mut other = Network::new(&everything(), 9).expect("a valid network");
        let mut tensors = network().tensors();
        tensors.reverse();
        other
            .load_tensors(&tensors)
            .expect("tensors of the same network");
        assert_eq!(other.tensors(), network().tensors());
    }

    #[test]
    fn that_are_missing_or_too_many_are_named() {
        check(
            |tensors| drop(tensors.pop()),
            "tensor `layers.13.bias` is missing",
        );
        check(
            |tensors| tensors.push(tensors[0].clone()),
            "tensor `layers.0.weight` is given twice",
        );
        let unknown = NamedTensor {
            name: "x".to_owned(),
            ..network().tensors()[0].clone()
        };
        check(
            |tensors| tensors.push(unknown),
            "tensor `x` does not belong to this network",
        );
    }

    #[test]
    fn of_another_shape_are_named() {
        check(
            |tensors| tensors[0].shape = vec![20, 2, 9],
            "tensor `layers.0.weight` has shape [20, 2, 9] with 360 values, expected shape [20, 2, 3, 3]",
        );
        check(
            |tensors| tensors[1].values.truncate(1),
            "tensor `layers.1.weight` has shape [20] with 1 values, expected shape [20]",
        );
    }
}
