#!/usr/bin/env bash
# Checks the browser's half of the web application: that the committed bundle is
# what its sources give, and that the pages work in a real Chromium.
#
#     scripts/check_web.sh [FOLDER] [TEST …]
#
# FOLDER (default: target/check-web) gets a home with a demo model, trained once,
# and screenshots of the pages, taken anew. TEST names files of crates/web/e2e; all
# by default. BIOPHONY names a program that is built already. Where npm, its
# registry or a Chromium cannot be had, what needs them is skipped with the reason.
set -euo pipefail
cd "$(dirname "$0")/.."
folder=${1:-target/check-web}
[ $# -eq 0 ] || shift
mkdir -p "$folder"
folder=$(cd "$folder" && pwd)

skip() { echo "skipped: $*"; exit 0; }

# npm's own words when it cannot reach its registry; anything else is a failure.
install() {
  npm ci --prefix "$1" --no-audit --no-fund >"$folder/npm.log" 2>&1 && return
  if grep -qE 'ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ECONNRESET|ETIMEDOUT|ENETUNREACH' "$folder/npm.log"; then
    skip "npm cannot reach its registry ($1)"
  fi
  cat "$folder/npm.log"
  exit 1
}

command -v npm >/dev/null || skip "there is no npm on this machine"
major=$(node --version | sed 's/^v\([0-9]*\).*/\1/')
[ "$major" -ge 20 ] || skip "Node.js is older than 20"

install crates/web/client
npm run --silent --prefix crates/web/client check
node crates/web/client/build.mjs --check

chromium=${CHROMIUM:-$(command -v chromium || command -v chromium-browser || command -v google-chrome || true)}
if [ -z "$chromium" ]; then
  [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null || skip "there is no Chromium, and no way to install one"
  { apt-get update -q && apt-get install -y -q chromium; } >"$folder/apt.log" 2>&1 \
    || skip "Debian's Chromium cannot be installed; see $folder/apt.log"
  chromium=$(command -v chromium)
fi
install crates/web/e2e

program=${BIOPHONY:-}
if [ -z "$program" ]; then
  cargo build --release --locked --quiet -p biophony
  program=${CARGO_TARGET_DIR:-target}/release/biophony
fi
program=$(realpath "$program")
if [ ! -e "$folder/trained.done" ]; then
  rm -rf "$folder/trained" "$folder/clips"
  "$program" --home "$folder/trained" demo --out "$folder/clips" >"$folder/demo.log" 2>&1 \
    || { cat "$folder/demo.log"; exit 1; }
  touch "$folder/trained.done"
fi
# The tests put another version into use: each run begins with a copy.
rm -rf "$folder/home" "$folder/screenshots"
cp -r "$folder/trained" "$folder/home"

export BIOPHONY=$program CHROMIUM=$chromium
export WEB_HOME=$folder/home WEB_CLIPS=$folder/clips WEB_OUT=$folder/screenshots
cd crates/web/e2e
[ $# -gt 0 ] || set -- *.test.mjs
node --test --test-concurrency=1 --test-reporter=spec "$@"
echo "screenshots: $folder/screenshots"
