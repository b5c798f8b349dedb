#!/bin/sh
# Checks what `biophony` tracks with MLflow's own programs: its client reads a home
# folder that `biophony demo` made, over `biophony serve`; its server is told of the
# same run; and its databases are written and read.
#
#     scripts/check_tracking.sh [FOLDER]
#
# FOLDER (default: target/check-mlflow) gets a Python environment, shared with
# check_mlflow_client.sh, and the check's data, made anew. PYTHON names the
# interpreter that the environment is made with; to use an environment that exists,
# put its interpreter into CHECK_PYTHON. BIOPHONY names a program that is built.
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

biophony=${BIOPHONY:-}
if [ -z "$biophony" ]; then
    cargo build --quiet -p biophony
    biophony=${CARGO_TARGET_DIR:-target}/debug/biophony
fi
mkdir -p "$folder"
exec "$python" scripts/check_tracking.py "$biophony" "$folder/tracking"
