//! Sizes, names, and how far each network sees.

use super::*;

const INPUT: Shape = Shape {
    height: 128,
    width: 216,
    channels: 1,
};

fn summary(name: &str, input: Shape) -> Vec<biophony_nn::LayerSummary> {
    architecture(name, input, 50).unwrap().summary().unwrap()
}

#[test]
fn every_network_ends_in_one_output_per_class() {
    for known in Architecture::ALL {
        let last = summary(known.name(), INPUT).pop().unwrap();
        let expected = Shape {
            height: 1,
            width: 1,
            channels: 50,
        };
        assert_eq!(last.output, expected, "{known}");
    }
}

#[test]
fn mobile_has_fewer_than_150_000_parameters() {
    let n: usize = summary("mobile", INPUT)
        .iter()
        .map(|layer| layer.parameters)
        .sum();
    assert!((20_000..150_000).contains(&n), "{n}");
}

#[test]
fn every_network_takes_short_and_narrow_windows() {
    for (height, width) in [(16, 16), (24, 9), (40, 32), (128, 1000)] {
        for known in Architecture::ALL {
            let input = Shape {
                height,
                width,
                channels: 1,
            };
            let spec = known.network(input, 3, Scale::default());
            assert!(spec.is_ok(), "{known} {input}: {spec:?}");
        }
    }
}

#[test]
fn width_scales_the_channels_in_steps_of_eight() {
    let outputs = |width| {
        let scale = Scale {
            width,
            dropout: 0.0,
        };
        let spec = Architecture::CnnBn.network(INPUT, 3, scale).unwrap();
        match spec.layers[0] {
            Layer::Conv2d { outputs, .. } => outputs,
            ref other => panic!("{other:?}"),
        }
    };
    assert_eq!(
        [outputs(0.01), outputs(1.0), outputs(1.4), outputs(2.0)],
        [8, 24, 32, 48]
    );
}

#[test]
fn a_width_that_cannot_work_is_named() {
    for width in [0.0, -1.0, f64::NAN, 1e9] {
        let scale = Scale {
            width,
            dropout: 0.0,
        };
        let error = Architecture::Cnn.network(INPUT, 3, scale).unwrap_err();
        assert!(error.to_string().contains("width"), "{error}");
    }
}

#[test]
fn a_name_with_a_slip_is_told_the_right_one() {
    for (slip, nearest) in [
        ("mobilnet", "mobile"),
        ("CNN", "cnn"),
        ("cnn_bn", "cnn-bn"),
        ("resent", "resnet"),
    ] {
        let error = slip.parse::<Architecture>().unwrap_err().to_string();
        assert!(
            error.contains(&format!("did you mean `{nearest}`")),
            "{error}"
        );
    }
}

/// The rows of the input that one output of the last convolution depends on.
fn receptive_field(layers: &[Layer]) -> usize {
    let (mut field, mut step) = (1, 1);
    walk(layers, &mut field, &mut step);
    field
}

fn walk(layers: &[Layer], field: &mut usize, step: &mut usize) {
    for layer in layers {
        match layer {
            Layer::Conv2d { kernel, stride, .. } | Layer::MaxPool { kernel, stride } => {
                *field += (kernel[0] - 1) * *step;
                *step *= stride[0];
            }
            Layer::Residual { body, .. } => walk(body, field, step),
            _ => {}
        }
    }
}

#[test]
fn the_residual_network_sees_47_of_the_96_default_bands_at_once() {
    let input = Shape {
        height: 96,
        ..INPUT
    };
    let spec = architecture("resnet", input, 3).unwrap();
    assert_eq!(receptive_field(&spec.layers), 47);
}
