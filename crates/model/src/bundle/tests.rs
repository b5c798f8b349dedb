//! Round trips, what is refused and with which words, and that no damage to a
//! file makes reading it panic.

use std::fs;

use biophony_audio::{FeatureConfig, FeatureSettings, SampleRate};
use biophony_nn::{GlobalPoolKind, Layer, Padding, Shape};
use proptest::prelude::*;
use tempfile::TempDir;

use super::*;
use crate::calibrate::threshold::OperatingPoint;
use crate::prepare::{ClipShape, Cut, Pad};

/// A bundle whose every part is small, with each kind of layer in it.
pub(crate) fn small_bundle() -> Bundle {
    let settings = FeatureSettings {
        sample_rate: SampleRate::from_hertz(8000).unwrap(),
        n_fft: 64,
        hop_length: 32,
        n_mels: 8,
        win_length: Some(64),
        fmax: Some(4000.0),
        ..FeatureSettings::default()
    };
    let clip = ClipShape {
        clip_seconds: 0.06,
        pad: Pad::Reflect,
        cut: Cut::AllWindows,
        overlap: 0.1,
    };
    let front_end = FrontEnd {
        features: FeatureConfig::new(settings).unwrap(),
        clip,
    };
    let input = Shape {
        height: 8,
        width: front_end.window_frames(),
        channels: 1,
    };
    let spec = NetworkSpec {
        input,
        layers: small_layers(),
    };
    Bundle {
        labels: LabelSet::new(["bear", "owl", "wren"]).unwrap(),
        normalizer: Normalizer {
            mean: vec![-40.1; 8],
            std: vec![10.7; 8],
        },
        front_end,
        network: Network::new(&spec, 7).unwrap(),
        calibration: Calibration {
            temperature: 1.234_567_890_123,
            threshold: Some(0.3),
            thresholds: vec![PrecisionThreshold {
                wanted_precision: 0.95,
                search: ThresholdSearch::Reached(OperatingPoint {
                    threshold: 0.7,
                    precision: 0.96,
                    coverage: 0.8,
                    n_accepted: 41,
                }),
            }],
        },
        metrics: serde_json::json!({ "accuracy": 0.9 }),
        provenance: Provenance {
            program: "biophony 0.1.0".into(),
            ..Provenance::default()
        },
    }
}

fn small_layers() -> Vec<Layer> {
    let conv = |outputs, groups| Layer::Conv2d {
        outputs,
        kernel: [3, 3],
        stride: [1, 1],
        padding: Padding::Same,
        groups,
        bias: false,
    };
    let pool = [2, 2];
    vec![
        conv(4, 1),
        Layer::batch_norm(),
        Layer::Relu,
        Layer::MaxPool {
            kernel: pool,
            stride: pool,
        },
        Layer::Residual {
            body: vec![conv(4, 4), Layer::batch_norm()],
            shortcut: vec![],
        },
        Layer::batch_norm(),
        Layer::AveragePool {
            kernel: pool,
            stride: pool,
        },
        Layer::GlobalPool {
            kind: GlobalPoolKind::AveragePlusMax,
        },
        Layer::Flatten,
        Layer::Dropout { rate: 0.5 },
        Layer::Dense { outputs: 3 },
    ]
}

fn saved() -> (TempDir, Bundle) {
    let directory = TempDir::new().unwrap();
    let bundle = small_bundle();
    let target = directory.path().join("model");
    bundle.save(&target, Existing::Refuse).unwrap();
    (directory, bundle)
}

/// Saves a bundle, changes its `bundle.json`, and returns what loading says.
#[track_caller]
fn check_refused(change: impl FnOnce(&mut serde_json::Value), expected: &[&str]) {
    let (directory, _) = saved();
    let path = directory.path().join("model").join(DOCUMENT);
    let mut document = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    change(&mut document);
    fs::write(&path, serde_json::to_vec(&document).unwrap()).unwrap();
    let error = Bundle::load(&directory.path().join("model")).unwrap_err();
    let chain = match std::error::Error::source(&error) {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    };
    for words in expected {
        assert!(chain.contains(words), "`{words}` is not in: {chain}");
    }
}

#[test]
fn provenance_of_older_bundles_is_read() {
    let older = r#"{"program": "biophony 0.1.0", "created": null, "settings": {}}"#;
    let provenance: Provenance = serde_json::from_str(older).unwrap();
    assert_eq!(provenance.program, "biophony 0.1.0");
}

#[test]
fn a_bundle_comes_back_as_it_was_saved() {
    let (directory, bundle) = saved();
    let loaded = Bundle::load(&directory.path().join("model")).unwrap();
    assert_eq!(loaded.network.tensors(), bundle.network.tensors());
    assert_eq!(loaded.network.spec(), bundle.network.spec());
    assert_eq!(loaded.labels, bundle.labels);
    assert_eq!(loaded.front_end, bundle.front_end);
    assert_eq!(loaded.normalizer, bundle.normalizer);
    assert_eq!(loaded.calibration, bundle.calibration);
    assert_eq!(loaded.metrics, bundle.metrics);
    assert_eq!(loaded.provenance, bundle.provenance);
}

#[test]
fn equal_bundles_are_equal_byte_for_byte() {
    let (first, bundle) = saved();
    let (second, _) = saved();
    bundle
        .save(&second.path().join("model"), Existing::Replace)
        .unwrap();
    let mut n_files = 0;
    for entry in fs::read_dir(first.path().join("model")).unwrap() {
        let name = entry.unwrap().file_name();
        let read = |directory: &TempDir| fs::read(directory.path().join("model").join(&name));
        assert_eq!(read(&first).unwrap(), read(&second).unwrap(), "{name:?}");
        n_files += 1;
    }
    assert_eq!(n_files, 9);
}

#[test]
fn an_existing_bundle_is_refused_or_replaced_as_the_caller_asks() {
    let (directory, mut bundle) = saved();
    let target = directory.path().join("model");
    let error = bundle.save(&target, Existing::Refuse).unwrap_err();
    assert!(
        matches!(error, ModelError::BundleExists { .. }),
        "{error:?}"
    );

    bundle.metrics = serde_json::json!({ "accuracy": 0.5 });
    bundle.save(&target, Existing::Replace).unwrap();
    assert_eq!(Bundle::load(&target).unwrap().metrics, bundle.metrics);
    let entries = fs::read_dir(directory.path()).unwrap().count();
    assert_eq!(entries, 1, "nothing is left beside the bundle");
}

#[test]
fn a_directory_that_is_no_bundle_is_never_replaced() {
    let directory = TempDir::new().unwrap();
    let precious = directory.path().join("recordings");
    fs::create_dir(&precious).unwrap();
    fs::write(precious.join("owl.wav"), "sound").unwrap();
    let error = small_bundle().save(&precious, Existing::Replace);
    assert!(matches!(error.unwrap_err(), ModelError::NotABundle { .. }));
    assert!(precious.join("owl.wav").exists());
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
}

#[test]
fn an_empty_directory_may_become_a_bundle() {
    let directory = TempDir::new().unwrap();
    let target = directory.path().join("empty");
    fs::create_dir(&target).unwrap();
    small_bundle().save(&target, Existing::Replace).unwrap();
    assert!(Bundle::load(&target).is_ok());
}

#[test]
fn missing_parents_are_created() {
    let directory = TempDir::new().unwrap();
    let target = directory.path().join("a/b/model");
    small_bundle().save(&target, Existing::Refuse).unwrap();
    assert!(Bundle::load(&target).is_ok());
}

#[test]
fn a_newer_format_is_refused_before_anything_else_is_read() {
    check_refused(
        |document| *document = serde_json::json!({ "format_version": 2, "something": "new" }),
        &["bundle.json", "`format_version` is 2", "up to 1", "newer"],
    );
}

#[test]
fn a_missing_field_is_named_with_its_file() {
    let remove = |document: &mut serde_json::Value| {
        document.as_object_mut().unwrap().remove("normalizer");
    };
    check_refused(remove, &["bundle.json", "normalizer"]);
}

#[test]
fn parts_that_do_not_fit_together_are_named() {
    for (pointer, value, words) in [
        (
            "/labels",
            serde_json::json!(["bear", "owl"]),
            "3 outputs for 2 labels",
        ),
        ("/normalizer/mean", serde_json::json!([1.0]), "mean"),
        (
            "/calibration/temperature",
            serde_json::json!(0.0),
            "calibration.temperature",
        ),
        (
            "/calibration/threshold",
            serde_json::json!(1.5),
            "calibration.threshold",
        ),
        (
            "/network/input/width",
            serde_json::json!(99),
            "network.input",
        ),
        (
            "/front_end/clip/clip_seconds",
            serde_json::json!(1e9),
            "clip_seconds",
        ),
        (
            "/front_end/features/sample_rate",
            serde_json::json!(4_000_000_000_u32),
            "samples",
        ),
        ("/front_end/features/n_mels", serde_json::json!(0), "n_mels"),
        ("/files", serde_json::json!({}), "weights.safetensors"),
    ] {
        let change = |document: &mut serde_json::Value| {
            *document.pointer_mut(pointer).expect(pointer) = value;
            if pointer.ends_with("sample_rate") {
                document["front_end"]["clip"]["clip_seconds"] = serde_json::json!(600.0);
            }
        };
        check_refused(change, &["bundle.json", words]);
    }
}

#[test]
fn a_network_larger_than_its_weights_is_refused_before_memory_is_set_aside() {
    let enlarge = |document: &mut serde_json::Value| {
        let layers = document["network"]["layers"].as_array_mut().unwrap();
        layers.insert(
            10,
            serde_json::json!({ "layer": "dense", "outputs": 50_000_000 }),
        );
    };
    check_refused(enlarge, &["bundle.json", "`network`", "parameters"]);
}

#[test]
fn a_damaged_file_is_named() {
    for name in [WEIGHTS, ONNX] {
        let (directory, _) = saved();
        let path = directory.path().join("model").join(name);
        let mut bytes = fs::read(&path).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        fs::write(&path, bytes).unwrap();
        let error = Bundle::load(&directory.path().join("model")).unwrap_err();
        assert!(
            matches!(&error, ModelError::DamagedFile { path, .. } if path.ends_with(name)),
            "{error}"
        );
    }
}

#[test]
fn a_missing_file_is_named() {
    for name in [DOCUMENT, WEIGHTS, ONNX] {
        let (directory, _) = saved();
        fs::remove_file(directory.path().join("model").join(name)).unwrap();
        let error = Bundle::load(&directory.path().join("model")).unwrap_err();
        assert!(error.to_string().contains(name), "{error}");
    }
}

#[test]
fn weights_that_are_no_numbers_are_refused() {
    let bundle = small_bundle();
    let mut network = bundle.network.clone();
    let mut tensors = network.tensors();
    tensors[0].values[3] = f32::NAN;
    network.load_tensors(&tensors).unwrap();
    let bytes = weights::encode(&network, Path::new(WEIGHTS)).unwrap();
    let error = weights::decode(network.spec(), &bytes, Path::new(WEIGHTS)).unwrap_err();
    let error = error.to_string();
    assert!(
        error.contains("layers.0.weight") && error.contains("NaN"),
        "{error}"
    );
}

#[test]
fn weights_have_pytorchs_names_and_shapes() {
    let bundle = small_bundle();
    let bytes = weights::encode(&bundle.network, Path::new(WEIGHTS)).unwrap();
    let file = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    for (name, shape) in [
        ("layers.0.weight", &[4, 1, 3, 3][..]),
        ("layers.1.running_var", &[4]),
        ("layers.4.body.0.weight", &[4, 1, 3, 3]),
        ("layers.10.weight", &[3, 4]),
    ] {
        assert_eq!(file.tensor(name).unwrap().shape(), shape, "{name}");
    }
}

#[test]
fn a_garbled_document_never_panics() {
    let (directory, _) = saved();
    let target = directory.path().join("model");
    let bytes = fs::read(target.join(DOCUMENT)).unwrap();
    proptest!(|(at in any::<prop::sample::Index>(), byte: u8, cut: bool)| {
        fs::write(target.join(DOCUMENT), garbled(bytes.clone(), at, byte, cut)).unwrap();
        let loaded = Bundle::load(&target);
        prop_assert!(!cut || loaded.is_err());
    });
}

#[test]
fn garbled_weights_never_panic() {
    let bundle = small_bundle();
    let bytes = weights::encode(&bundle.network, Path::new(WEIGHTS)).unwrap();
    proptest!(|(at in any::<prop::sample::Index>(), byte: u8, cut: bool)| {
        let garbled = garbled(bytes.clone(), at, byte, cut);
        let decoded = weights::decode(bundle.network.spec(), &garbled, Path::new(WEIGHTS));
        prop_assert!(!cut || decoded.is_err());
    });
}

/// Cuts the file off somewhere, or changes a byte of it.
fn garbled(mut bytes: Vec<u8>, at: prop::sample::Index, byte: u8, cut: bool) -> Vec<u8> {
    let at = at.index(bytes.len());
    if cut {
        bytes.truncate(at);
    } else {
        bytes[at] = byte;
    }
    bytes
}
