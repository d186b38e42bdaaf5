#!/usr/bin/env bash
# How long cold builds of the library and of the example `hello` take, debug and release, and how large the stripped example is. The
# dependencies are fetched before the clock starts. Run it on a machine that does nothing else: `scripts/cold-build.sh [cargo's arguments]`.
set -euo pipefail
cd "$(dirname "$0")/.."
cargo fetch --locked
target=$(mktemp -d)
trap 'rm -rf "$target"' EXIT

timed() { # what, cargo's arguments…
	local what=$1 begun=$EPOCHREALTIME
	shift
	rm -rf "$target"
	CARGO_INCREMENTAL=0 CARGO_TARGET_DIR="$target" cargo build --quiet --locked --offline -p multi-node "$@"
	awk -v what="$what" -v from="$begun" -v to="$EPOCHREALTIME" 'BEGIN { printf "%-24s %6.1f s\n", what, to - from }'
}

timed 'library, debug' --lib "$@"
timed 'library, release' --lib --release "$@"
timed 'library, no features' --lib --no-default-features "$@"
timed 'hello, debug' --example hello "$@"
timed 'hello, release' --example hello --release "$@"
strip -o "$target/hello" "$target/release/examples/hello"
printf '%-24s %6d KiB\n' 'hello, stripped' $(($(stat -c %s "$target/hello") / 1024))
