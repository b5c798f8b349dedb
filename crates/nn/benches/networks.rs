//! One training step and inference of the two networks that speed is judged by.
//!
//! `cargo bench -p biophony-nn`; the number of threads is `RAYON_NUM_THREADS`.

use biophony_nn::{
    GlobalPoolKind, Inference, Layer, LossConfig, Network, NetworkSpec, Optimizer, OptimizerConfig,
    Padding, Shape, Training, softmax_cross_entropy,
};
use criterion::{Criterion, criterion_group, criterion_main};

const BATCH: usize = 32;
const CLASSES: usize = 10;

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(10);
    targets = reference, mobile
}
criterion_main!(benches);

fn reference(criterion: &mut Criterion) {
    bench(criterion, "reference", &reference_spec());
}

fn mobile(criterion: &mut Criterion) {
    bench(criterion, "mobile", &mobile_spec());
}

fn bench(criterion: &mut Criterion, name: &str, spec: &NetworkSpec) {
    let mut group = criterion.benchmark_group(name);
    let batch: Vec<f32> = (0..BATCH * spec.input.n_values())
        .map(|index| ((index * 7919 % 1000) as f32 - 500.0) / 300.0)
        .collect();
    let mut network = Network::new(spec, 1).expect("a valid network");

    let mut step = TrainingStep::new(&network);
    group.bench_function("training step, batch 32", |bencher| {
        bencher.iter(|| step.run(&mut network, &batch));
    });

    let mut inference = Inference::new(&network, BATCH);
    for n in [BATCH, 1] {
        let batch = &batch[..n * spec.input.n_values()];
        group.bench_function(format!("inference, batch {n}"), |bencher| {
            bencher.iter(|| network.forward(&mut inference, batch, n).len());
        });
    }
    group.finish();
}

/// Everything that a training step needs.
struct TrainingStep {
    training: Training,
    optimizer: Optimizer,
    targets: Vec<f32>,
    d_logits: Vec<f32>,
}

impl TrainingStep {
    fn new(network: &Network) -> Self {
        let targets = (0..BATCH * CLASSES)
            .map(|index| f32::from(u8::from(index % CLASSES == index / CLASSES % CLASSES)))
            .collect();
        Self {
            training: Training::new(network, BATCH),
            optimizer: Optimizer::new(OptimizerConfig::default(), network),
            targets,
            d_logits: vec![0.0; BATCH * CLASSES],
        }
    }

    fn run(&mut self, network: &mut Network, batch: &[f32]) -> f32 {
        let logits = self.training.forward(network, batch, BATCH, 0);
        let config = LossConfig::default();
        let loss =
            softmax_cross_entropy(logits, &self.targets, CLASSES, &config, &mut self.d_logits);
        self.training.backward(network, &self.d_logits);
        self.optimizer.step(network, &mut self.training, 1e-3, None);
        loss
    }
}

/// Four blocks of 3 × 3 convolutions, as classifiers of spectrograms are commonly built.
fn reference_spec() -> NetworkSpec {
    let pool = Layer::MaxPool {
        kernel: [2, 2],
        stride: [2, 2],
    };
    let mut layers = Vec::new();
    for (index, outputs) in [32, 64, 128, 128].into_iter().enumerate() {
        layers.extend([conv(outputs, 3, 1, 1), Layer::batch_norm(), Layer::Relu]);
        if index < 3 {
            layers.push(pool.clone());
        }
    }
    layers.push(Layer::GlobalPool {
        kind: GlobalPoolKind::Average,
    });
    layers.push(Layer::Dense { outputs: CLASSES });
    NetworkSpec {
        input: Shape {
            height: 128,
            width: 216,
            channels: 1,
        },
        layers,
    }
}

/// A stem and four inverted residuals, as in MobileNetV2.
fn mobile_spec() -> NetworkSpec {
    let mut layers = vec![conv(16, 3, 2, 1), Layer::batch_norm(), Layer::Relu];
    let mut inputs = 16;
    for (outputs, stride) in [(24, 2), (40, 2), (80, 2), (112, 1)] {
        let inner = 4 * inputs;
        layers.extend([conv(inner, 1, 1, 1), Layer::batch_norm(), Layer::Relu]);
        layers.extend([
            conv(inner, 3, stride, inner),
            Layer::batch_norm(),
            Layer::Relu,
        ]);
        layers.extend([conv(outputs, 1, 1, 1), Layer::batch_norm()]);
        inputs = outputs;
    }
    layers.push(Layer::GlobalPool {
        kind: GlobalPoolKind::Average,
    });
    layers.push(Layer::Dense { outputs: CLASSES });
    NetworkSpec {
        input: Shape {
            height: 128,
            width: 216,
            channels: 1,
        },
        layers,
    }
}

fn conv(outputs: usize, kernel: usize, stride: usize, groups: usize) -> Layer {
    Layer::Conv2d {
        outputs,
        kernel: [kernel; 2],
        stride: [stride; 2],
        padding: Padding::Same,
        groups,
        bias: false,
    }
}
