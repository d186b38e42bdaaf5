#!/usr/bin/env bash
# `fuzz.sh SECONDS` runs each fuzz target for so long, from the seed 1. It needs cargo-fuzz and a nightly toolchain.
set -euo pipefail
cd "$(dirname "$0")/../fuzz"

if ! cargo +nightly fuzz --version >/dev/null 2>&1; then
    why="fuzz targets: cargo-fuzz and a nightly toolchain are missing: rustup install nightly; cargo install cargo-fuzz"
    echo "$why" | tee -a "${SKIPPED:-/dev/null}"
    exit
fi
for target in $(cargo +nightly fuzz list); do
    cargo +nightly fuzz run "$target" -- -seed=1 -max_total_time="$1"
done
