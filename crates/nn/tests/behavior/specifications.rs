//! Specifications that cannot work are refused with words that name the layer.

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
