//! The written file, decoded again: is it a graph, and the one that was meant?
//!
//! That other programs compute the same with it is checked by
//! `scripts/check_bundle.sh`, since none of them can be had in `cargo test`.

use std::collections::HashSet;

use biophony_audio::{FeatureConfig, FeatureScale, Reference};
use biophony_nn::{Layer, NamedTensor, Network, NetworkSpec, Padding, Shape};

use super::proto::{DOUBLE, FLOAT, Graph, INT64, Tensor};
use super::*;
use crate::bundle::tests::small_bundle;
use crate::prepare::{Cut, Pad};

fn decoded(bundle: &Bundle) -> Model {
    Model::decode(encode(bundle).unwrap().as_slice()).unwrap()
}

fn graph(bundle: &Bundle) -> Graph {
    decoded(bundle).graph.unwrap()
}

fn count(graph: &Graph, op_type: &str) -> usize {
    let of_type = graph.nodes.iter().filter(|node| node.op_type == op_type);
    of_type.count()
}

fn floats(tensor: &Tensor) -> Vec<f32> {
    let values = tensor.raw.chunks_exact(4);
    values
        .map(|bytes| f32::from_le_bytes(bytes.try_into().unwrap()))
        .collect()
}

/// Every way to pad and cut.
fn variants() -> Vec<Bundle> {
    let mut bundles = Vec::new();
    for pad in [Pad::Zeros, Pad::Repeat, Pad::Reflect] {
        for cut in [Cut::Start, Cut::Center, Cut::Loudest, Cut::AllWindows] {
            let mut bundle = small_bundle();
            (bundle.front_end.clip.pad, bundle.front_end.clip.cut) = (pad, cut);
            bundles.push(bundle);
        }
    }
    bundles
}

#[test]
fn the_file_says_what_goes_in_and_what_comes_out() {
    let bundle = small_bundle();
    let model = decoded(&bundle);
    assert_eq!((model.ir_version, model.opset_import[0].version), (8, 17));
    let graph = model.graph.unwrap();
    let dims = |info: &ValueInfo| {
        let tensor = info.kind.clone().unwrap().tensor.unwrap();
        assert_eq!(tensor.element, FLOAT);
        let dims = tensor.shape.unwrap().dims;
        let dims = dims.into_iter();
        dims.map(|dim| dim.name.unwrap_or_else(|| dim.value.unwrap().to_string()))
            .collect::<Vec<_>>()
    };
    assert_eq!(graph.inputs[0].name, "waveform");
    assert_eq!(dims(&graph.inputs[0]), ["batch", "samples"]);
    assert_eq!(graph.outputs[0].name, "probabilities");
    assert_eq!(dims(&graph.outputs[0]), ["batch", "3"]);
}

#[test]
fn the_metadata_names_labels_and_rate() {
    let model = decoded(&small_bundle());
    let value = |key: &str| {
        let entry = model.metadata.iter().find(|entry| entry.key == key);
        entry.map(|entry| entry.value.as_str())
    };
    assert_eq!(value("labels"), Some(r#"["bear","owl","wren"]"#));
    assert_eq!(value("sample_rate"), Some("8000"));
    assert_eq!(value("threshold"), Some("0.3"));
}

#[test]
fn every_node_reads_what_was_there_before_it() {
    for bundle in variants() {
        let graph = graph(&bundle);
        let mut known: HashSet<&str> = HashSet::from([INPUT]);
        for tensor in &graph.initializers {
            assert!(known.insert(&tensor.name), "{} comes twice", tensor.name);
        }
        for node in &graph.nodes {
            for input in &node.inputs {
                assert!(
                    known.contains(input.as_str()),
                    "{} reads {input}",
                    node.name
                );
            }
            for output in &node.outputs {
                assert!(known.insert(output), "{output} comes twice");
            }
        }
        assert!(known.contains(OUTPUT));
    }
}

#[test]
fn constants_have_as_many_values_as_their_shape_says() {
    for tensor in graph(&small_bundle()).initializers {
        let width = match tensor.data_type {
            FLOAT => 4,
            INT64 | DOUBLE => 8,
            other => panic!("{}: data type {other}", tensor.name),
        };
        let n_values: i64 = tensor.dims.iter().product();
        assert_eq!(
            n_values as usize * width,
            tensor.raw.len(),
            "{}",
            tensor.name
        );
    }
}

#[test]
fn layers_become_the_operators_of_the_same_meaning() {
    let graph = graph(&small_bundle());
    // Two convolutions and the Fourier transform.
    assert_eq!(count(&graph, "Conv"), 3);
    // Two batch-norms go into the convolutions before them, one has none.
    assert_eq!(count(&graph, "BatchNormalization"), 1);
    assert_eq!(count(&graph, "Relu"), 1);
    assert_eq!(count(&graph, "MaxPool"), 1);
    assert_eq!(count(&graph, "AveragePool"), 1);
    assert_eq!(count(&graph, "GlobalAveragePool"), 1);
    assert_eq!(count(&graph, "GlobalMaxPool"), 1);
    assert_eq!(count(&graph, "Gemm"), 1);
    assert_eq!(count(&graph, "Dropout"), 0);
}

#[test]
fn only_operators_of_the_default_domain_are_used() {
    let known = HashSet::from([
        "Add",
        "ArgMax",
        "AveragePool",
        "BatchNormalization",
        "Concat",
        "Conv",
        "Div",
        "Equal",
        "Exp",
        "Expand",
        "Flatten",
        "Gather",
        "GatherElements",
        "Gemm",
        "GlobalAveragePool",
        "GlobalMaxPool",
        "Identity",
        "Log",
        "MatMul",
        "Max",
        "MaxPool",
        "Min",
        "Mod",
        "Mul",
        "Range",
        "ReduceMax",
        "ReduceMean",
        "ReduceSum",
        "Relu",
        "Reshape",
        "Shape",
        "Softmax",
        "Sub",
        "Transpose",
        "Unsqueeze",
        "Where",
    ]);
    for bundle in variants() {
        for node in graph(&bundle).nodes {
            assert!(known.contains(node.op_type.as_str()), "{}", node.op_type);
        }
    }
}

#[test]
fn a_temperature_of_one_adds_nothing() {
    let mut bundle = small_bundle();
    let with = count(&graph(&bundle), "Softmax");
    bundle.calibration.temperature = 1.0;
    assert_eq!((with, count(&graph(&bundle), "Softmax")), (2, 1));
}

#[test]
fn a_range_beyond_single_precision_is_transformed_in_double_precision() {
    for (power, top_db, n_doubles) in [
        (2.0, Some(80.0), 0),
        (2.0, Some(120.0), 3),
        (2.0, None, 3),
        (1.0, Some(80.0), 3),
    ] {
        let mut bundle = small_bundle();
        let mut settings = bundle.front_end.features.settings();
        settings.power = power;
        settings.scale = FeatureScale::Db {
            reference: Reference::Max,
            amin: 1e-10,
            top_db,
        };
        bundle.front_end.features = FeatureConfig::new(settings).unwrap();
        let tables = graph(&bundle).initializers.into_iter();
        let doubles = tables.filter(|tensor| tensor.data_type == DOUBLE).count();
        assert_eq!(doubles, n_doubles, "power {power}, top_db {top_db:?}");
    }
}

#[test]
fn bins_that_no_band_listens_to_are_left_out() {
    let bundle = small_bundle();
    let graph = graph(&bundle);
    let filterbank = graph
        .initializers
        .iter()
        .find(|tensor| tensor.name.starts_with("filterbank"));
    let dims = &filterbank.unwrap().dims;
    assert_eq!(dims[0], 8);
    // 33 bins, of which the constant part at 0 Hz lies below `fmin`.
    assert!(dims[1] < 33, "{dims:?}");
}

#[test]
fn a_batch_norm_is_folded_into_the_convolution_before_it() {
    let input = Shape {
        height: 1,
        width: 1,
        channels: 1,
    };
    let convolution = Layer::Conv2d {
        outputs: 2,
        kernel: [1, 1],
        stride: [1, 1],
        padding: Padding::Valid,
        groups: 1,
        bias: true,
    };
    let norm = Layer::BatchNorm {
        epsilon: 1e-12,
        momentum: 0.1,
    };
    let spec = NetworkSpec {
        input,
        layers: vec![convolution, norm],
    };
    let mut network = Network::new(&spec, 0).unwrap();
    let tensor = |name: &str, shape: &[usize], values: [f32; 2]| NamedTensor {
        name: name.into(),
        shape: shape.to_vec(),
        values: values.to_vec(),
        trainable: true,
    };
    network
        .load_tensors(&[
            tensor("layers.0.weight", &[2, 1, 1, 1], [1.0, -2.0]),
            tensor("layers.0.bias", &[2], [0.5, 1.0]),
            tensor("layers.1.weight", &[2], [3.0, 4.0]),
            tensor("layers.1.bias", &[2], [0.25, -1.0]),
            tensor("layers.1.running_mean", &[2], [1.5, 2.0]),
            tensor("layers.1.running_var", &[2], [4.0, 16.0]),
        ])
        .unwrap();

    let mut builder = GraphBuilder::default();
    network::logits(&mut builder, &Value::input("x"), &network).unwrap();
    let graph = builder.finish("test", &[]);
    // Factors are 3 / 2 and 4 / 4; terms (0.5 - 1.5) · 1.5 + 0.25 and (1 - 2) · 1 - 1.
    assert_eq!(floats(&graph.initializers[0]), [1.5, -2.0]);
    assert_eq!(floats(&graph.initializers[1]), [-1.25, -2.0]);
    assert_eq!(count(&graph, "BatchNormalization"), 0);
}

#[test]
fn equal_constants_are_stored_once() {
    let mut graph = GraphBuilder::default();
    let first = graph.integers("a", &[2], &[1, 2]);
    assert_eq!(graph.integers("b", &[2], &[1, 2]), first);
    assert_ne!(graph.integers("c", &[2, 1], &[1, 2]), first);
    assert_ne!(graph.integers("d", &[2], &[1, 3]), first);
}
