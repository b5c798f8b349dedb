//! What MLflow needs to load a bundle: `MLmodel` and the files it names.
//!
//! A bundle is loaded by MLflow's own ONNX flavor, so that nothing of ours has
//! to be installed there. The YAML is written by hand: a handful of fixed lines,
//! into which a few checked strings go.

use std::fmt::Write;

use crate::bundle::{Bundle, ONNX};
use crate::onnx::OUTPUT;

/// The version of the ONNX specification that `model.onnx` keeps to.
const ONNX_VERSION: &str = "1.12.0";

const REQUIREMENTS: &str = "mlflow>=2.10\nnumpy\nonnx>=1.12\nonnxruntime>=1.16\n";

/// The Python that environments made from the bundle get, and that the others
/// are warned about. Nothing here depends on it.
const PYTHON_VERSION: &str = "3.11";

/// The files by name.
pub(crate) fn files(bundle: &Bundle) -> Vec<(&'static str, Vec<u8>)> {
    let example = example();
    vec![
        ("MLmodel", mlmodel(bundle).into_bytes()),
        ("requirements.txt", REQUIREMENTS.into()),
        ("conda.yaml", conda().into_bytes()),
        ("python_env.yaml", python_env().into_bytes()),
        ("input_example.json", example.clone().into_bytes()),
        (
            "serving_input_example.json",
            format!("{{\"inputs\": {example}}}").into_bytes(),
        ),
    ]
}

fn mlmodel(bundle: &Bundle) -> String {
    let n_classes = bundle.labels.len();
    let labels: String = bundle
        .labels
        .names()
        .iter()
        .fold(String::new(), |mut list, label| {
            // Writing to a string cannot fail.
            let _ = writeln!(list, "  - {}", quoted(label));
            list
        });
    format!(
        "\
flavors:
  onnx:
    code: null
    data: {ONNX}
    onnx_version: {ONNX_VERSION}
    providers:
    - CPUExecutionProvider
  python_function:
    data: {ONNX}
    env:
      conda: conda.yaml
      virtualenv: python_env.yaml
    loader_module: mlflow.onnx
    python_version: '{PYTHON_VERSION}'
metadata:
  labels:
{labels}  sample_rate: {rate}
  program: {program}
saved_input_example_info:
  artifact_path: input_example.json
  serving_input_path: serving_input_example.json
  type: ndarray
signature:
  inputs: '[{{\"type\": \"tensor\", \"tensor-spec\": {{\"dtype\": \"float32\", \"shape\": [-1, -1]}}}}]'
  outputs: '[{{\"name\": \"{OUTPUT}\", \"type\": \"tensor\", \"tensor-spec\": {{\"dtype\": \"float32\", \"shape\": [-1, {n_classes}]}}}}]'
  params: null
",
        rate = bundle.front_end.rate().hertz(),
        program = quoted(&bundle.provenance.program),
    )
}

fn python_env() -> String {
    format!(
        "\
python: '{PYTHON_VERSION}'
build_dependencies:
- pip
- setuptools
- wheel
dependencies:
- -r requirements.txt
"
    )
}

fn conda() -> String {
    let packages: String = REQUIREMENTS
        .lines()
        .map(|line| format!("  - {line}\n"))
        .collect();
    format!(
        "\
channels:
- conda-forge
dependencies:
- python={PYTHON_VERSION}
- pip
- pip:
{packages}name: mlflow-env
"
    )
}

/// A short waveform, `[1, samples]`: a tone that fades in and out.
fn example() -> String {
    const SAMPLES: usize = 256;
    let samples: Vec<String> = (0..SAMPLES)
        .map(|i| {
            let place = i as f64 / SAMPLES as f64;
            let envelope = (std::f64::consts::PI * place).sin();
            format!("{:.4}", 0.5 * envelope * (i as f64 * 0.6).sin())
        })
        .collect();
    format!("[[{}]]", samples.join(", "))
}

/// A YAML string in double quotes, whatever it holds.
fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            ' '..='~' => quoted.push(c),
            // Letters of other scripts stay readable; the rest may be what YAML
            // does not allow, and is escaped.
            c if c.is_alphanumeric() => quoted.push(c),
            c => {
                let _ = write!(quoted, "\\U{:08X}", u32::from(c));
            }
        }
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bundle::tests::small_bundle;

    #[test]
    fn strings_keep_what_they_hold_and_yaml_sees_only_what_it_allows() {
        for (text, expected) in [
            ("owl", r#""owl""#),
            ("owl: \"x\" \\", r#""owl: \"x\" \\""#),
            ("Grünfink", r#""Grünfink""#),
            ("a\nb\u{7f}", r#""a\U0000000Ab\U0000007F""#),
            ("\u{1f989}", r#""\U0001F989""#),
            ("- {}", r#""- {}""#),
        ] {
            assert_eq!(quoted(text), expected);
        }
    }

    #[test]
    fn mlflow_is_told_what_it_needs() {
        let text = mlmodel(&small_bundle());
        for line in [
            "    loader_module: mlflow.onnx",
            "    data: model.onnx",
            "  - \"wren\"",
            "  sample_rate: 8000",
        ] {
            assert!(
                text.lines().any(|found| found == line),
                "`{line}` in\n{text}"
            );
        }
    }

    #[test]
    fn the_example_is_a_batch_of_one_waveform() {
        let batch: Vec<Vec<f32>> = serde_json::from_str(&example()).unwrap();
        assert_eq!((batch.len(), batch[0].len()), (1, 256));
        assert!(batch[0].iter().any(|sample| sample.abs() > 0.4));
    }
}
