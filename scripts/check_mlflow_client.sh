#!/bin/sh
# Checks that the official MLflow client cannot tell our server from MLflow's:
# one session and a list of raw requests against both, answers compared; and that
# our client and MLflow's server keep the contract of our stores.
#
#     scripts/check_mlflow_client.sh [FOLDER]
#
# FOLDER (default: target/check-mlflow) gets the servers' data, made anew. check_env.sh
# says which Python is used.
set -eu
cd "$(dirname "$0")/.."
folder=${1:-target/check-mlflow}
python=$(scripts/check_env.sh)

mkdir -p "$folder"
cargo build --quiet -p biophony-tracking --example serve
exec "$python" scripts/check_mlflow_client.py \
    "${CARGO_TARGET_DIR:-target}/debug/examples/serve" "$folder"
