//! Merged networks answer as the mean of their members does.

use super::*;
use crate::random::Random;
use crate::{GlobalPoolKind, Inference, Shape};

const INPUT: Shape = Shape {
    height: 6,
    width: 5,
    channels: 2,
};

fn conv(outputs: usize, groups: usize) -> Layer {
    Layer::Conv2d {
        outputs,
        kernel: [3, 3],
        stride: [1, 1],
        padding: Padding::Same,
        groups,
        bias: true,
    }
}

fn pool(kind: GlobalPoolKind) -> Layer {
    Layer::GlobalPool { kind }
}

/// Networks whose every parameter, running statistics too, is random.
fn members(input: Shape, layers: &[Layer], n: usize) -> Vec<Network> {
    let spec = NetworkSpec {
        input,
        layers: layers.to_vec(),
    };
    let member = |seed| {
        let mut network = Network::new(&spec, seed).unwrap();
        let mut tensors = network.tensors();
        for (index, tensor) in tensors.iter_mut().enumerate() {
            let mut random = Random::new(seed, 1000 + index as u64);
            let is_variance = tensor.name.ends_with("running_var");
            let lowest = if is_variance { 0.5 } else { -0.5 };
            let value = || (random.uniform() + lowest) as f32;
            tensor.values.fill_with(value);
        }
        network.load_tensors(&tensors).unwrap();
        network
    };
    (0..n as u64).map(member).collect()
}

fn logits(network: &Network, batch: &[f32], n: usize) -> Vec<f32> {
    let mut workspace = Inference::new(network, n);
    network.forward(&mut workspace, batch, n).to_vec()
}

#[track_caller]
fn check_mean(input: Shape, layers: &[Layer]) {
    let mut random = Random::new(7, 7);
    let batch: Vec<f32> = (0..3 * input.n_values())
        .map(|_| random.normal() as f32)
        .collect();
    for n in [2, 3] {
        let members = members(input, layers, n);
        let merged = logits(&merge(&members).unwrap(), &batch, 3);
        let single: Vec<Vec<f32>> = members
            .iter()
            .map(|member| logits(member, &batch, 3))
            .collect();
        assert_eq!(merged.len(), single[0].len());
        for (index, &logit) in merged.iter().enumerate() {
            let terms = single.iter().map(|member| f64::from(member[index]));
            let size: f64 = terms.clone().map(f64::abs).sum::<f64>() / n as f64;
            let error = (f64::from(logit) - terms.sum::<f64>() / n as f64).abs();
            assert!(
                error <= 1e-5 * (1.0 + size),
                "{n} members: {error} of {size}"
            );
        }
    }
}

#[test]
fn convolutions_groups_and_norms_lie_side_by_side() {
    check_mean(
        INPUT,
        &[
            conv(4, 1),
            Layer::batch_norm(),
            Layer::Relu,
            conv(4, 4),
            conv(6, 2),
            Layer::MaxPool {
                kernel: [2, 2],
                stride: [2, 2],
            },
            pool(GlobalPoolKind::AveragePlusMax),
            Layer::Dense { outputs: 3 },
        ],
    );
}

#[test]
fn residuals_within_residuals_keep_their_branches_together() {
    let inner = Layer::Residual {
        body: vec![conv(4, 1), Layer::batch_norm()],
        shortcut: vec![],
    };
    let outer = Layer::Residual {
        body: vec![conv(4, 1), inner, Layer::Relu],
        shortcut: vec![conv(4, 1)],
    };
    let last = Layer::Dense { outputs: 2 };
    check_mean(INPUT, &[outer, pool(GlobalPoolKind::Max), last]);
}

#[test]
fn dense_layers_see_their_own_vectors() {
    check_mean(
        INPUT,
        &[
            conv(3, 1),
            Layer::Flatten,
            Layer::Dense { outputs: 5 },
            Layer::batch_norm(),
            Layer::Relu,
            Layer::Dropout { rate: 0.3 },
            Layer::Dense { outputs: 1 },
            Layer::Relu,
            Layer::Dense { outputs: 4 },
        ],
    );
}

#[test]
fn a_network_of_dense_layers_alone_merges_too() {
    let dense = |outputs| Layer::Dense { outputs };
    check_mean(INPUT, &[Layer::Flatten, dense(3)]);
    check_mean(INPUT, &[Layer::Flatten, dense(6), Layer::Relu, dense(3)]);
}

#[test]
fn convolutions_of_a_single_pixel_merge_too() {
    let input = Shape {
        height: 1,
        width: 1,
        channels: 3,
    };
    let pooled = pool(GlobalPoolKind::Average);
    check_mean(
        input,
        &[
            conv(4, 1),
            conv(4, 4),
            conv(1, 1),
            pooled,
            Layer::Dense { outputs: 2 },
        ],
    );
}

#[test]
fn one_member_gives_itself() {
    let alone = members(
        INPUT,
        &[conv(4, 1), Layer::Flatten, Layer::Dense { outputs: 2 }],
        1,
    );
    let merged = merge(&alone).unwrap();
    assert_eq!(merged.spec(), alone[0].spec());
    assert_eq!(merged.tensors(), alone[0].tensors());
}

#[test]
fn members_that_differ_and_none_at_all_are_errors() {
    assert_eq!(merge(&[]).unwrap_err(), NnError::NoMembers);
    let network = |outputs| members(INPUT, &[Layer::Flatten, Layer::Dense { outputs }], 1);
    let different = [network(2), network(2), network(3)].concat();
    let error = merge(&different).unwrap_err();
    assert_eq!(error, NnError::MembersDiffer { member: 2 });
}

#[test]
fn layers_that_cannot_hold_several_members_are_named() {
    let last = || Layer::Dense { outputs: 2 };
    let check = |layers: &[Layer], named: &str| {
        let error = merge(&members(INPUT, layers, 2)).unwrap_err().to_string();
        assert!(error.contains(named), "{error}");
    };
    check(&[conv(2, 1), Layer::Flatten], "`layers.1` (flatten)");
    check(&[conv(2, 2), Layer::Flatten, last()], "`layers.0` (conv2d)");
    check(
        &[Layer::batch_norm(), Layer::Flatten, last()],
        "`layers.0` (batch_norm)",
    );
    let residual = Layer::Residual {
        body: vec![conv(2, 1)],
        shortcut: vec![],
    };
    check(
        &[Layer::Relu, residual, Layer::Flatten, last()],
        "`layers.1` (residual)",
    );
}
