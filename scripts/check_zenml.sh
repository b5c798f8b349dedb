#!/bin/sh
# Checks that a real ZenML server takes our runs: `biophony demo` in a home of
# its own, `biophony export zenml`, and a look through ZenML's own client.
#
#     scripts/check_zenml.sh [FOLDER]
#
# FOLDER (default: target/check-zenml) gets a Python environment with the version
# below from PyPI, made once, and the server's data, made anew. PYTHON names the
# interpreter that the environment is made with; to use an environment that
# exists, put its interpreter into CHECK_PYTHON. BIOPHONY names the program, if it
# is built already.
set -eu
cd "$(dirname "$0")/.."
folder=${1:-target/check-zenml}
requirements='zenml[server]==0.98.0'

python=${CHECK_PYTHON:-}
if [ -z "$python" ]; then
    python=$folder/venv/bin/python
    if [ "$(cat "$folder/venv/requirements" 2>/dev/null)" != "$requirements" ]; then
        "${PYTHON:-python3}" -m venv "$folder/venv"
        "$python" -m pip install --quiet "$requirements"
        echo "$requirements" >"$folder/venv/requirements"
    fi
fi

mkdir -p "$folder"
biophony=${BIOPHONY:-}
if [ -z "$biophony" ]; then
    cargo build --quiet --release -p biophony
    biophony=${CARGO_TARGET_DIR:-target}/release/biophony
fi
exec "$python" scripts/check_zenml.py "$biophony" "$folder"
