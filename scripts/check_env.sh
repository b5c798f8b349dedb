#!/bin/sh
# Prints the Python interpreter that the checks against MLflow and onnxruntime use.
#
#     scripts/check_env.sh
#
# The environment, with the versions below from PyPI, is made once, below the target
# folder. PYTHON names the interpreter that it is made with; to use an environment
# that exists, put its interpreter into CHECK_PYTHON.
set -eu
cd "$(dirname "$0")/.."
folder=${CARGO_TARGET_DIR:-target}/check-python
requirements='mlflow==3.17.2 numpy==2.4.6 onnx==1.23.2 onnxruntime==1.32.0 pillow==13.0.0 safetensors==0.8.0'

if [ -n "${CHECK_PYTHON:-}" ]; then
    echo "$CHECK_PYTHON"
    exit
fi
python=$folder/bin/python
if [ "$(cat "$folder/requirements" 2>/dev/null)" != "$requirements" ]; then
    "${PYTHON:-python3}" -m venv "$folder"
    # shellcheck disable=SC2086 # a list of words
    "$python" -m pip install --quiet $requirements >&2
    echo "$requirements" >"$folder/requirements"
fi
echo "$python"
