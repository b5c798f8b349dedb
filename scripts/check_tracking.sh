#!/bin/sh
# Checks what `biophony` tracks with MLflow's own programs: its client reads a home
# folder that `biophony demo` made, over `biophony serve`; its server is told of the
# same run; and its databases are written and read.
#
#     scripts/check_tracking.sh [FOLDER]
#
# FOLDER (default: target/check-mlflow) gets the check's data, made anew.
# check_env.sh says which Python is used; BIOPHONY names a program that is built.
set -eu
cd "$(dirname "$0")/.."
folder=${1:-target/check-mlflow}
python=$(scripts/check_env.sh)

biophony=${BIOPHONY:-}
if [ -z "$biophony" ]; then
    cargo build --quiet -p biophony
    biophony=${CARGO_TARGET_DIR:-target}/debug/biophony
fi
mkdir -p "$folder"
exec "$python" scripts/check_tracking.py "$biophony" "$folder/tracking"
