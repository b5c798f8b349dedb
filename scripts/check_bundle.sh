#!/bin/sh
# Checks that onnxruntime and MLflow read our bundles as we do.
#
#     scripts/check_bundle.sh [FOLDER]
#
# FOLDER (default: target/check-bundle) gets a Python environment with the
# versions below from PyPI, made once, and bundles with random weights, made
# anew. PYTHON names the interpreter that the environment is made with; to use
# an environment that exists, put its interpreter into CHECK_PYTHON.
set -eu
cd "$(dirname "$0")/.."
folder=${1:-target/check-bundle}
requirements='mlflow==3.17.2 numpy==2.4.6 onnx==1.23.2 onnxruntime==1.32.0 safetensors==0.8.0'

python=${CHECK_PYTHON:-}
if [ -z "$python" ]; then
    python=$folder/venv/bin/python
    if [ "$(cat "$folder/venv/requirements" 2>/dev/null)" != "$requirements" ]; then
        "${PYTHON:-python3}" -m venv "$folder/venv"
        # shellcheck disable=SC2086 # a list of words
        "$python" -m pip install --quiet $requirements
        echo "$requirements" >"$folder/venv/requirements"
    fi
fi

mkdir -p "$folder"
cargo run --quiet -p biophony-model --example random_bundle -- "$folder/cases"
exec "$python" scripts/check_bundle.py "$folder/cases"
