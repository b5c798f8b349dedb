#!/bin/sh
# Checks that the official MLflow client cannot tell our server from MLflow's:
# one session and a list of raw requests against both, answers compared; and that
# our client and MLflow's server keep the contract of our stores.
#
#     scripts/check_mlflow_client.sh [FOLDER]
#
# FOLDER (default: target/check-mlflow) gets a Python environment with the
# versions below from PyPI, made once, and the servers' data, made anew. PYTHON
# names the interpreter that the environment is made with; to use an environment
# that exists, put its interpreter into CHECK_PYTHON.
set -eu
cd "$(dirname "$0")/.."
folder=${1:-target/check-mlflow}
requirements='mlflow==3.17.2 numpy==2.4.6 onnx==1.23.2 onnxruntime==1.32.0 pillow==13.0.0'

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
cargo build --quiet -p biophony-tracking --example serve
exec "$python" scripts/check_mlflow_client.py \
    "${CARGO_TARGET_DIR:-target}/debug/examples/serve" "$folder"
