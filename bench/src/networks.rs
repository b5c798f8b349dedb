//! The two networks that speed is judged by, in training and in inference.

use std::hint::black_box;

use biophony_nn::{
    GlobalPoolKind, Inference, Layer, LossConfig, Network, NetworkSpec, Optimizer, OptimizerConfig,
    Padding, Shape, Training, softmax_cross_entropy,
};

use crate::{Result, Work};

/// Classes that the networks tell apart.
pub(crate) const CLASSES: usize = 10;

/// Mel bands and frames: 5 s at 22,050 Hz and a hop of 512.
const INPUT: Shape = Shape {
    height: 128,
    width: 216,
    channels: 1,
};

/// One step: forward, loss, backward, Adam.
pub(crate) fn training_step(network: &str, batch: usize) -> Result<Work> {
    let spec = spec(network)?;
    let inputs = values(batch * spec.input.n_values());
    let mut network = Network::new(&spec, 1)?;
    let mut training = Training::new(&network, batch);
    let mut optimizer = Optimizer::new(OptimizerConfig::default(), &network);
    let targets: Vec<f32> = (0..batch * CLASSES)
        .map(|index| f32::from(u8::from(index % CLASSES == index / CLASSES % CLASSES)))
        .collect();
    let mut d_logits = vec![0.0; targets.len()];
    let loss = LossConfig::default();
    Ok(Box::new(move || {
        let logits = training.forward(&mut network, &inputs, batch, 0);
        softmax_cross_entropy(logits, &targets, CLASSES, &loss, &mut d_logits);
        training.backward(&network, &d_logits);
        optimizer.step(&mut network, &training, 1e-3, None);
    }))
}

/// The logits of one batch.
pub(crate) fn inference(network: &str, batch: usize) -> Result<Work> {
    let spec = spec(network)?;
    let inputs = values(batch * spec.input.n_values());
    let network = Network::new(&spec, 1)?;
    let mut inference = Inference::new(&network, batch);
    Ok(Box::new(move || {
        black_box(network.forward(&mut inference, &inputs, batch));
    }))
}

fn spec(network: &str) -> Result<NetworkSpec> {
    match network {
        "reference" => Ok(reference()),
        "mobile" => Ok(mobile()),
        _ => Err(format!("`{network}` is neither `reference` nor `mobile`").into()),
    }
}

/// Values between -1.7 and 1.7 without a pattern that would matter.
fn values(n: usize) -> Vec<f32> {
    (0..n)
        .map(|index| ((index * 7919 % 1000) as f32 - 500.0) / 300.0)
        .collect()
}

/// Four blocks of 3×3 convolutions, as classifiers of spectrograms are commonly built.
fn reference() -> NetworkSpec {
    let mut layers = Vec::new();
    for (index, outputs) in [32, 64, 128, 128].into_iter().enumerate() {
        layers.extend([conv(outputs, 3, 1, 1), Layer::batch_norm(), Layer::Relu]);
        if index < 3 {
            layers.push(Layer::MaxPool {
                kernel: [2, 2],
                stride: [2, 2],
            });
        }
    }
    with_head(layers)
}

/// A stem and four inverted residuals, as in MobileNetV2.
pub(crate) fn mobile() -> NetworkSpec {
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
    with_head(layers)
}

fn with_head(mut layers: Vec<Layer>) -> NetworkSpec {
    layers.push(Layer::GlobalPool {
        kind: GlobalPoolKind::Average,
    });
    layers.push(Layer::Dense { outputs: CLASSES });
    NetworkSpec {
        input: INPUT,
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
