#!/bin/sh
# Checks that onnxruntime and MLflow read our bundles as we do.
#
#     scripts/check_bundle.sh [FOLDER]
#
# FOLDER (default: target/check-bundle) gets bundles with random weights, made anew.
# check_env.sh says which Python is used.
set -eu
cd "$(dirname "$0")/.."
folder=${1:-target/check-bundle}
python=$(scripts/check_env.sh)

mkdir -p "$folder"
cargo run --quiet -p biophony-model --example random_bundle -- "$folder/cases"
exec "$python" scripts/check_bundle.py "$folder/cases"
