//! Every layer, forward and backward, against the textbook and finite differences of it.

mod textbook;

use biophony_nn::{
    GlobalPoolKind, Inference, Layer, NamedTensor, Network, NetworkSpec, Padding, Shape, Training,
};
use textbook::{Batch, Mode, Tensors};

/// Deterministic values of both signs.
fn noise(n: usize, seed: u32) -> Vec<f32> {
    let mut state = seed.wrapping_mul(2_654_435_761).wrapping_add(12_345);
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as f32 / 8_388_608.0 - 1.0
    };
    (0..n).map(|_| next()).collect()
}

/// A network whose parameters are all random, running statistics included.
fn random_network(spec: &NetworkSpec) -> Network {
    let mut network = Network::new(spec, 7).expect("a valid network");
    let mut tensors = network.tensors();
    for (index, tensor) in tensors.iter_mut().enumerate() {
        let positive = tensor.name.ends_with("running_var");
        for (value, noise) in tensor.values.iter_mut().zip(noise(1 << 16, index as u32)) {
            *value = if positive {
                1.0 + 0.5 * noise
            } else {
                *value + 0.3 * noise
            };
        }
    }
    network.load_tensors(&tensors).expect("its own tensors");
    network
}

fn spec(input: [usize; 3], layers: Vec<Layer>) -> NetworkSpec {
    let [height, width, channels] = input;
    NetworkSpec {
        input: Shape {
            height,
            width,
            channels,
        },
        layers,
    }
}

/// The loss that all checks use: a fixed weighted sum of the results.
fn weighted_sum(values: &[f64], weights: &[f32]) -> f64 {
    values
        .iter()
        .zip(weights)
        .map(|(v, w)| v * f64::from(*w))
        .sum()
}

#[track_caller]
fn assert_close(found: &[f32], expected: &[f64], tolerance: f64, what: &str) {
    assert_eq!(found.len(), expected.len(), "{what}");
    let scale = expected.iter().fold(0.1f64, |scale, e| scale.max(e.abs()));
    for (index, (f, e)) in found.iter().zip(expected).enumerate() {
        let error = (f64::from(*f) - e).abs() / scale;
        assert!(
            error <= tolerance,
            "{what}[{index}]: {f}, expected {e} (scale {scale})"
        );
    }
}

/// Checks results in training and inference, and every gradient.
#[track_caller]
fn check(input: [usize; 3], layers: Vec<Layer>) {
    let spec = spec(input, layers);
    for n in [1, 3] {
        check_batch(&spec, n);
    }
}

#[track_caller]
fn check_batch(spec: &NetworkSpec, n: usize) {
    let mut network = random_network(spec);
    let batch = noise(n * spec.input.n_values(), 99);
    let x = Batch::new(spec.input, &batch);
    let before = textbook::tensors(&network.tensors());

    let mut inference = Inference::new(&network, n + 1);
    let inferred = network.forward(&mut inference, &batch, n);
    let expected = textbook::run(spec, &before, &x, Mode::Inference);
    assert_close(inferred, &expected.values, 2e-5, "inference");

    let mut training = Training::new(&network, n + 2);
    let trained = training.forward(&mut network, &batch, n, 0).to_vec();
    let expected = textbook::run(spec, &before, &x, Mode::Training);
    assert_close(&trained, &expected.values, 2e-5, "training");

    let weights = noise(trained.len(), 5);
    training.backward(&network, &weights);
    for gradient in training.gradients() {
        check_gradient(spec, &before, &x, &weights, &gradient);
    }
}

/// Compares a gradient with central differences, at up to 40 places.
#[track_caller]
fn check_gradient(
    spec: &NetworkSpec,
    tensors: &Tensors,
    x: &Batch,
    weights: &[f32],
    gradient: &NamedTensor,
) {
    let mut tensors = tensors.clone();
    let every = gradient.values.len().div_ceil(40);
    let places: Vec<usize> = (0..gradient.values.len()).step_by(every).collect();
    let mut moved = |place: usize, by: f64| {
        let values = tensors.get_mut(&gradient.name).expect("a parameter");
        let kept = values[place];
        values[place] = kept + by;
        let loss = weighted_sum(
            &textbook::run(spec, &tensors, x, Mode::Training).values,
            weights,
        );
        tensors.get_mut(&gradient.name).expect("a parameter")[place] = kept;
        loss
    };
    let step = 1e-6;
    let expected: Vec<f64> = places
        .iter()
        .map(|&p| (moved(p, step) - moved(p, -step)) / (2.0 * step))
        .collect();
    let found: Vec<f32> = places.iter().map(|&p| gradient.values[p]).collect();
    assert_close(&found, &expected, 1e-4, &gradient.name);
}

fn conv(outputs: usize, kernel: [usize; 2], stride: [usize; 2]) -> Layer {
    grouped(outputs, kernel, stride, 1, Padding::Same)
}

fn grouped(
    outputs: usize,
    kernel: [usize; 2],
    stride: [usize; 2],
    groups: usize,
    padding: Padding,
) -> Layer {
    Layer::Conv2d {
        outputs,
        kernel,
        stride,
        padding,
        groups,
        bias: true,
    }
}

fn max_pool(kernel: [usize; 2], stride: [usize; 2]) -> Layer {
    Layer::MaxPool { kernel, stride }
}

#[test]
fn small_images_go_together_through_convolutions_by_tiles() {
    let layers = vec![
        conv(16, [3, 3], [1, 1]),
        Layer::batch_norm(),
        Layer::Relu,
        conv(16, [3, 3], [1, 1]),
    ];
    // Two at a time, and the last alone.
    check_batch(&spec([3, 4, 16], layers), 5);
}

#[test]
fn a_convolution_of_one_channel() {
    check([7, 9, 1], vec![conv(5, [3, 3], [1, 1])]);
}

#[test]
fn a_convolution_passes_its_gradient_on() {
    check(
        [7, 9, 2],
        vec![conv(5, [3, 3], [1, 1]), conv(20, [3, 3], [1, 1])],
    );
}

#[test]
fn a_convolution_with_stride_passes_its_gradient_on() {
    check(
        [9, 8, 2],
        vec![conv(6, [3, 3], [1, 1]), conv(19, [3, 5], [2, 3])],
    );
    check(
        [9, 8, 2],
        vec![conv(6, [1, 1], [1, 1]), conv(7, [1, 1], [2, 2])],
    );
    check(
        [9, 8, 2],
        vec![conv(6, [1, 1], [1, 1]), conv(7, [2, 2], [3, 3])],
    );
}

#[test]
fn a_convolution_without_padding_passes_its_gradient_on() {
    let valid = |kernel| grouped(18, kernel, [1, 1], 1, Padding::Valid);
    check([6, 8, 2], vec![conv(3, [1, 1], [1, 1]), valid([3, 2])]);
    check([6, 8, 2], vec![conv(3, [1, 1], [1, 1]), valid([6, 8])]);
}

#[test]
fn a_grouped_convolution_passes_its_gradient_on() {
    check(
        [5, 6, 4],
        vec![
            conv(4, [1, 1], [1, 1]),
            grouped(6, [3, 3], [2, 1], 2, Padding::Same),
        ],
    );
}

#[test]
fn a_depthwise_convolution_passes_its_gradient_on() {
    for channels in [3, 16, 21] {
        let depthwise = grouped(channels, [3, 3], [1, 1], channels, Padding::Same);
        check([5, 6, 2], vec![conv(channels, [1, 1], [1, 1]), depthwise]);
        let strided = grouped(channels, [3, 5], [2, 2], channels, Padding::Valid);
        check([6, 7, 2], vec![conv(channels, [1, 1], [1, 1]), strided]);
    }
}

#[test]
fn a_depthwise_convolution_may_multiply_channels() {
    check(
        [5, 6, 2],
        vec![
            conv(3, [1, 1], [1, 1]),
            grouped(6, [3, 3], [1, 1], 3, Padding::Same),
        ],
    );
}

#[test]
fn convolution_batch_norm_relu_and_pooling_together() {
    let block = |outputs| {
        [
            conv(outputs, [3, 3], [1, 1]),
            Layer::batch_norm(),
            Layer::Relu,
            max_pool([2, 2], [2, 2]),
        ]
    };
    check([9, 10, 1], block(5).into_iter().chain(block(17)).collect());
}

#[test]
fn batch_norm_without_relu() {
    check(
        [4, 5, 3],
        vec![
            conv(6, [3, 3], [1, 1]),
            Layer::batch_norm(),
            conv(4, [1, 1], [1, 1]),
        ],
    );
    let pooled = vec![
        conv(6, [3, 3], [1, 1]),
        Layer::batch_norm(),
        max_pool([2, 2], [1, 2]),
    ];
    check([4, 5, 3], pooled);
}

#[test]
fn batch_norm_first() {
    check(
        [4, 5, 3],
        vec![Layer::batch_norm(), Layer::Relu, conv(4, [3, 3], [1, 1])],
    );
    let pooled = vec![
        conv(2, [1, 1], [1, 1]),
        max_pool([2, 2], [1, 1]),
        Layer::batch_norm(),
    ];
    check([4, 5, 3], pooled);
}

#[test]
fn relu_and_pooling_without_batch_norm() {
    let layers = vec![
        conv(9, [3, 3], [1, 1]),
        Layer::Relu,
        max_pool([2, 2], [2, 2]),
    ];
    check([5, 6, 2], layers);
    let layers = vec![
        conv(9, [3, 3], [1, 1]),
        max_pool([2, 2], [2, 2]),
        Layer::Relu,
    ];
    check([5, 6, 2], layers);
}

#[test]
fn overlapping_pooling_windows_share_gradients() {
    check(
        [7, 8, 2],
        vec![conv(9, [3, 3], [1, 1]), max_pool([3, 3], [2, 1])],
    );
    let average = Layer::AveragePool {
        kernel: [3, 2],
        stride: [2, 1],
    };
    check([7, 8, 2], vec![conv(9, [3, 3], [1, 1]), average]);
}

#[test]
fn global_pooling() {
    for kind in [
        GlobalPoolKind::Average,
        GlobalPoolKind::Max,
        GlobalPoolKind::AveragePlusMax,
    ] {
        let layers = vec![
            conv(9, [3, 3], [1, 1]),
            Layer::GlobalPool { kind },
            Layer::Dense { outputs: 4 },
        ];
        check([4, 5, 2], layers);
    }
}

#[test]
fn flattening_and_dense_layers() {
    let layers = vec![
        conv(5, [3, 3], [1, 1]),
        Layer::Flatten,
        Layer::Dense { outputs: 18 },
        Layer::Relu,
        Layer::Dense { outputs: 3 },
    ];
    check([4, 5, 2], layers);
}

#[test]
fn batch_norm_between_dense_layers() {
    let layers = vec![
        Layer::Flatten,
        Layer::Dense { outputs: 18 },
        Layer::batch_norm(),
        Layer::Relu,
        Layer::Dense { outputs: 3 },
    ];
    check_batch(&spec([2, 3, 2], layers), 5);
}

#[test]
fn a_residual_adds_its_input() {
    let body = vec![conv(6, [3, 3], [1, 1]), Layer::batch_norm()];
    let residual = Layer::Residual {
        body,
        shortcut: vec![],
    };
    check(
        [5, 4, 2],
        vec![
            conv(6, [1, 1], [1, 1]),
            residual,
            Layer::Relu,
            conv(2, [1, 1], [1, 1]),
        ],
    );
}

#[test]
fn a_residual_adds_its_shortcut() {
    let body = vec![Layer::batch_norm(), Layer::Relu, conv(6, [3, 3], [2, 2])];
    let inner = Layer::Residual {
        body: vec![conv(6, [1, 1], [1, 1])],
        shortcut: vec![],
    };
    let shortcut = vec![conv(6, [1, 1], [2, 2]), inner];
    let residual = Layer::Residual { body, shortcut };
    let pool = Layer::GlobalPool {
        kind: GlobalPoolKind::Average,
    };
    check(
        [5, 4, 2],
        vec![conv(3, [1, 1], [1, 1]), residual, Layer::Relu, pool],
    );
}

#[test]
fn an_inverted_residual_block() {
    let body = vec![
        conv(12, [1, 1], [1, 1]),
        Layer::batch_norm(),
        Layer::Relu,
        grouped(12, [3, 3], [1, 1], 12, Padding::Same),
        Layer::batch_norm(),
        Layer::Relu,
        conv(3, [1, 1], [1, 1]),
        Layer::batch_norm(),
    ];
    let residual = Layer::Residual {
        body,
        shortcut: vec![],
    };
    check(
        [6, 5, 1],
        vec![conv(3, [3, 3], [2, 2]), Layer::batch_norm(), residual],
    );
}
