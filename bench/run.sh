#!/usr/bin/env bash
# Times biophony beside PyTorch, onnxruntime and librosa, and writes results.json.
#
#   bench/run.sh [--data DIR] [--venv DIR] [--turns N] [--runs N] [--only WORD] [--out FILE]
#
# --data   labelled recordings for the whole training run, which is left out without it
# --venv   a Python environment that holds peers/requirements.txt; by default one is
#          made below the target folder, from PyPI
# --turns  how often each side gets its turn (9)
# --runs   how often each side trains a whole model (1)
# --epochs fewer epochs for those, on both sides, to try the script itself
# --only   only the rows whose name holds the word
# --out    where the results go (bench/results.json)
# --readme a page to put the table into, between its marks (bench/README.md has them)
#
# Paths are seen from the root of the repository. Needs Rust and Python 3.10 or later. Leave the machine alone meanwhile.
set -euo pipefail
cd "$(dirname "$0")/.."
target=${CARGO_TARGET_DIR:-target}
venv=$target/bench-venv
arguments=()
while [ $# -gt 0 ]; do
  case $1 in
    --venv) venv=$2; shift 2 ;;
    *) arguments+=("$1"); shift ;;
  esac
done
if [ ! -x "$venv/bin/python" ]; then
  python3 -m venv "$venv"
  "$venv/bin/pip" install --quiet --requirement bench/peers/requirements.txt
fi
cargo build --release --locked -p biophony -p biophony-bench
exec "$venv/bin/python" bench/run.py --programs "$target/release" "${arguments[@]}"
