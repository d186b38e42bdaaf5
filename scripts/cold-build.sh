#!/usr/bin/env bash
# How long cold builds of the library and of the example `hello` take, debug and release, and how large the stripped example is. The
# dependencies are fetched before the clock starts. Where the machine does other things too, compare the time of processors.
# `scripts/cold-build.sh [cargo's arguments]`.
set -euo pipefail
cd "$(dirname "$0")/.."
cargo fetch --locked
exec 3>&2 # what cargo says, beside what `time` measures
target=$(mktemp -d)
trap 'rm -rf "$target"' EXIT

timed() { # what, cargo's arguments…
	local what=$1 times
	shift
	rm -rf "$target"
	local TIMEFORMAT='%R %U %S'
	times=$({ time CARGO_INCREMENTAL=0 CARGO_TARGET_DIR="$target" cargo build --quiet --locked --offline -p multi-node "$@" 2>&3; } 2>&1)
	awk -v what="$what" '{ printf "%-24s %6.1f s, %6.1f s of processors\n", what, $1, $2 + $3 }' <<<"$times"
}

timed 'library, debug' --lib "$@"
timed 'library, release' --lib --release "$@"
timed 'library, no features' --lib --no-default-features "$@"
timed 'hello, debug' --example hello "$@"
timed 'hello, release' --example hello --release "$@"
strip -o "$target/hello" "$target/release/examples/hello"
printf '%-24s %6d KiB\n' 'hello, stripped' $(($(stat -c %s "$target/hello") / 1024))
