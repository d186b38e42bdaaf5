#!/usr/bin/env bash
# `fuzz.sh SECONDS` runs each fuzz target for so long: by the mutator of the tests with a new seed, and then by cargo-fuzz, which needs a
# nightly toolchain.
set -euo pipefail
cd "$(dirname "$0")/../fuzz"

FUZZ_SECONDS=$1 FUZZ_SEED=${FUZZ_SEED:-$(date +%s)} "${CARGO:-cargo}" test --locked --manifest-path ../Cargo.toml -p multi-node-process --lib \
    -- --nocapture fuzz_tests::

if ! cargo +nightly fuzz --version >/dev/null 2>&1; then
    why="fuzz targets: cargo-fuzz and a nightly toolchain are missing: rustup install nightly; cargo install cargo-fuzz"
    echo "$why" | tee -a "${SKIPPED:-/dev/null}"
    exit
fi
for target in $(cargo +nightly fuzz list); do
    mkdir -p "corpus/$target"
    cargo +nightly fuzz run "$target" "corpus/$target" "seeds/$target" -- -seed=1 -max_total_time="$1"
done
