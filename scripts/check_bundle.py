#!/usr/bin/env python3
"""Asks other programs the questions that `random_bundle` has answered.

    check_bundle.py DIRECTORY

DIRECTORY holds what the example `random_bundle` of `crates/model` writes. For
each bundle there: the ONNX checker in full, onnxruntime, `mlflow.pyfunc` as a
user would call it, MLflow's input example, and the weights in safetensors.
Prints the largest difference of any probability; fails above 1e-4.
"""

import json
import pathlib
import sys
import warnings

import mlflow
import numpy
import onnx
import onnxruntime
import safetensors
import safetensors.numpy

TOLERANCE = 1e-4


def main(directory: pathlib.Path) -> int:
    for module in (onnx, onnxruntime, mlflow, numpy, safetensors):
        print(f"{module.__name__} {module.__version__}", end="  ")
    print()
    onnxruntime.set_default_logger_severity(3)
    worst = {"onnxruntime": 0.0, "mlflow.pyfunc": 0.0}
    cases = sorted(path.parent for path in directory.glob("*/cases.json"))
    if not cases:
        print(f"no cases in {directory}")
        return 1
    for case in cases:
        differences, spread = check(case)
        for reader, difference in differences.items():
            worst[reader] = max(worst[reader], difference)
        listed = "  ".join(f"{reader} {d:.1e}" for reader, d in differences.items())
        print(f"{case.name:36} {listed}  (probabilities from {spread[0]:.4f} to {spread[1]:.4f})")
    print(f"{len(cases)} bundles, largest differences: {worst}")
    return 0 if max(worst.values()) <= TOLERANCE else 1


def check(case: pathlib.Path):
    """The largest difference for each reader, and the range of probabilities."""
    bundle = case / "bundle"
    description = json.loads((case / "cases.json").read_text())
    document = json.loads((bundle / "bundle.json").read_text())
    check_files(bundle, document)
    session = onnxruntime.InferenceSession(
        str(bundle / "model.onnx"), providers=["CPUExecutionProvider"]
    )
    metadata = session.get_modelmeta().custom_metadata_map
    assert json.loads(metadata["labels"]) == document["labels"]
    rate = document["front_end"]["features"]["sample_rate"]
    assert int(metadata["sample_rate"]) == rate
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = mlflow.pyfunc.load_model(str(bundle))
    assert model.metadata.metadata["labels"] == document["labels"]
    check_example(bundle, model, len(document["labels"]))

    differences = {"onnxruntime": 0.0, "mlflow.pyfunc": 0.0}
    spread = [1.0, 0.0]
    for question in description["questions"]:
        waveform = numpy.fromfile(case / question["waveform"], dtype="<f4")
        waveform = waveform.reshape(question["shape"])
        expected = numpy.array(question["probabilities"])
        spread = [min(spread[0], expected.min()), max(spread[1], expected.max())]
        [found] = session.run(["probabilities"], {"waveform": waveform})
        by_mlflow = model.predict(waveform)["probabilities"]
        for reader, answer in (("onnxruntime", found), ("mlflow.pyfunc", by_mlflow)):
            assert answer.shape == expected.shape, (reader, answer.shape, expected.shape)
            difference = float(numpy.abs(answer - expected).max())
            # A NaN is never the larger of two.
            difference = difference if numpy.isfinite(answer).all() else float("inf")
            differences[reader] = max(differences[reader], difference)
    return differences, spread


def check_files(bundle: pathlib.Path, document: dict) -> None:
    """The graph keeps to ONNX's rules, the weights to PyTorch's names and layout."""
    onnx.checker.check_model(str(bundle / "model.onnx"), full_check=True)
    with safetensors.safe_open(bundle / "weights.safetensors", "numpy") as file:
        assert json.loads(file.metadata()["network"]) == document["network"]
        names = set(file.keys())
    assert names and all(name.startswith("layers.") for name in names), names


def check_example(bundle: pathlib.Path, model, n_classes: int) -> None:
    """MLflow finds the example and the signature fits what the model does."""
    example = mlflow.models.Model.load(str(bundle)).load_input_example(str(bundle))
    probabilities = model.predict(numpy.asarray(example, dtype=numpy.float32))["probabilities"]
    assert probabilities.shape == (1, n_classes), probabilities.shape
    outputs = model.metadata.signature.outputs.to_dict()
    assert tuple(outputs[0]["tensor-spec"]["shape"]) == (-1, n_classes), outputs


if __name__ == "__main__":
    sys.exit(main(pathlib.Path(sys.argv[1])))
