#!/usr/bin/env bash
# Fetches the servers that `multi-node-bench loss` is compared with, and load generators of others, into a folder:
# nginx, wrk, ab and h2load from Debian's packages, gunicorn by pip, PM2 by npm. Nothing is installed on the system.
# What cannot be had is left out, and said.
set -u
cd "$(dirname "$0")/.."

peers=${1:-target/peers}
mkdir -p "$peers"
peers=$(cd "$peers" && pwd)
log=$peers/log
: >"$log"

left_out() {
    echo "install-peers: without $1: $2" >&2
}

# Downloads Debian packages and unpacks them, with the libraries that a small system lacks.
debian() {
    local name=$1 program=$2
    shift 2
    [[ -x $peers/debian/$program ]] && return
    command -v apt-get >/dev/null && command -v dpkg-deb >/dev/null || { left_out "$name" "no apt-get"; return; }
    local work
    work=$(mktemp -d)
    if (cd "$work" && apt-get download "$@") >>"$log" 2>&1; then
        for package in "$work"/*.deb; do
            dpkg-deb -x "$package" "$peers/debian" >>"$log" 2>&1
        done
    else
        left_out "$name" "apt-get download failed; after apt-get update it may work (see $log)"
    fi
    rm -rf "$work"
}

gunicorn() {
    [[ -x $peers/gunicorn/bin/gunicorn ]] && return
    command -v python3 >/dev/null || { left_out gunicorn "no python3"; return; }
    if ! (python3 -m venv "$peers/gunicorn" && "$peers/gunicorn/bin/pip" install --quiet gunicorn) >>"$log" 2>&1; then
        # Where Python comes without venv, pip alone will do.
        rm -rf "$peers/gunicorn"
        python3 -m pip install --quiet --target "$peers/gunicorn" gunicorn >>"$log" 2>&1 ||
            left_out gunicorn "pip could not install it (see $log)"
    fi
}

pm2() {
    [[ -x $peers/node_modules/.bin/pm2 ]] && return
    command -v npm >/dev/null || { left_out PM2 "no npm"; return; }
    npm install --silent --no-audit --no-fund --prefix "$peers" pm2 >>"$log" 2>&1 ||
        left_out PM2 "npm could not install it (see $log)"
}

debian nginx usr/sbin/nginx nginx nginx-common
debian wrk usr/bin/wrk wrk libluajit-5.1-2 libluajit-5.1-common
debian ab usr/bin/ab apache2-utils libapr1 libaprutil1
debian h2load usr/bin/h2load nghttp2-client libnghttp2-14 libev4 libc-ares2 libjansson4 libjemalloc2 libxml2
gunicorn
pm2
command -v node >/dev/null || left_out node:cluster "no node"
