#!/usr/bin/env bash
# Starts an example and the benchmarks as a new user would, but from the build of the tests, and checks that they work and leave nothing
# behind.
set -euo pipefail
cd "$(dirname "$0")/.."

cargo=${CARGO:-cargo}
built=${CARGO_TARGET_DIR:-target}/debug
servers=${CARGO_TARGET_DIR:-target}/servers
work=$(mktemp -d)
master=
nodes=()

fail() {
    echo "smoke: $1" >&2
    if [[ -s $work/log ]]; then
        echo "smoke: the program's log:" >&2
        cat "$work/log" >&2
    fi
    exit 1
}

# Ends what is left, by process id.
clean_up() {
    for pid in $master "${nodes[@]}"; do
        kill -KILL "$pid" 2>/dev/null || true
    done
    rm -rf "$work"
}
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# Waits until the command succeeds, for so many seconds at most.
within() {
    local end=$((SECONDS + $1))
    shift
    until "$@"; do
        ((SECONDS < end)) || return 1
        sleep 0.05
    done
}

serves() {
    [[ -d /proc/$master ]] || fail "hello ended before it served"
    grep -q '^serving on ' "$work/out"
}

# A process that has ended is a zombie until it is waited for.
ended() {
    [[ ! -e /proc/$1/stat ]] || grep -q '^State:[[:space:]]*Z' "/proc/$1/status" 2>/dev/null
}

children() {
    grep -l "^PPid:[[:space:]]*$1\$" /proc/[0-9]*/status 2>/dev/null | cut -d/ -f3 || true
}

# Both nodes answer, in whatever order.
both_answer() {
    curl --fail --silent --show-error --max-time 5 "$url/" >>"$work/answers" || fail "hello does not answer"
    (($(sort -u "$work/answers" | grep -c '^hello from node-') == 2))
}

echo "smoke: building"
"$cargo" build --locked --workspace --bins --examples

echo "smoke: hello with two nodes"
HOST=127.0.0.1 PORT=0 NODES=2 "$built/examples/hello" >"$work/out" 2>"$work/log" </dev/null &
master=$!
within 10 serves || fail "hello does not serve within 10 s"
url=$(sed -n 's/^serving on //p' "$work/out")
mapfile -t nodes < <(children "$master")
((${#nodes[@]} == 2)) || fail "expected 2 nodes, found ${#nodes[@]}"
within 10 both_answer || fail "one of the nodes does not answer"

kill -TERM "$master"
within 40 ended "$master" || fail "hello does not end within 40 s of SIGTERM"
code=0
wait "$master" || code=$?
master=
((code == 0)) || fail "hello ended with code $code"
for pid in "${nodes[@]}"; do
    ended "$pid" || fail "node $pid outlived its master"
done
nodes=()

echo "smoke: benchmarks"
"$built/multi-node-bench" http --smoke
# Ratios of a build that is not optimised: 1.17 and 1.20 when this was written.
"$built/multi-node-bench" costs --variants multi-node,reuseport --limit 1.23
"$built/multi-node-bench" mesh --smoke
"$built/multi-node-bench" limits --smoke
"$built/multi-node-bench" tls --smoke
"$built/multi-node-bench" affinity --smoke
"$built/multi-node-bench" flood --smoke
"$built/multi-node-bench" tail --smoke --servers "$servers"
"$built/multi-node-bench" tail --smoke --only reuseport --wait 100 --idle 20 --load 50
"$built/multi-node-bench" growth --smoke
"$built/multi-node-bench" bus --smoke --servers "$servers"
"$built/multi-node-bench" loss --quick --only "multi-node, Rust" --only gunicorn --only node:cluster --servers "$servers" --results "$work"
echo "smoke: all is well"
