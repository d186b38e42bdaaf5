#!/usr/bin/env bash
# Builds the Node.js package from the sources and runs its tests, by the Node.js of PATH or the one that NODE names. Without Node.js they
# are skipped, which is a failure in CI.
set -euo pipefail
[[ -z ${NODE:-} ]] || PATH="$(cd "$(dirname "$NODE")" && pwd):$PATH"
cd "$(dirname "$0")/../crates/multi-node-napi"

if ! command -v node >/dev/null; then
    echo "test-node: skipped, since there is no Node.js here" >&2
    [[ ${CI:-} != true ]]
    exit
fi
[[ ! -f package-lock.json ]] || npm ci --no-audit --no-fund --loglevel=error
node build.mjs
npm test
