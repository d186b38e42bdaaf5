#!/bin/sh
# Installs the Chromium that the browser tests drive, where it is missing and this user may install it.
# Ends with 0 when a Chromium is there, with 1 when there is still none; says nothing when nothing was to be done.
set -u

present() {
    for program in chromium chromium-browser google-chrome; do
        command -v "$program" >/dev/null 2>&1 && return 0
    done
    return 1
}

refuse() {
    echo "install-chromium: $1; the browser tests will be skipped (with CI=true they fail)" >&2
    exit 1
}

present && exit 0
command -v apt-get >/dev/null 2>&1 || refuse "no Chromium in PATH, and no apt-get to install one with"

if [ "$(id -u)" -eq 0 ]; then
    as_root=
elif sudo -n true 2>/dev/null; then
    as_root="sudo -n"
else
    refuse "no Chromium in PATH; installing it needs root or sudo without a password"
fi

log=$(mktemp) || refuse "no Chromium in PATH, and no room for a log"
trap 'rm -f "$log"' EXIT
echo "install-chromium: installing the distribution's chromium (some 100 MB)" >&2
# The package lists may be missing or old, so an install that fails is tried once more with fresh ones.
install="$as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends chromium"
if ! $install >"$log" 2>&1; then
    $as_root apt-get update >"$log" 2>&1 && $install >>"$log" 2>&1
fi
if ! present; then
    tail -n 5 "$log" >&2
    refuse "apt-get could not install chromium (its last lines are above)"
fi
echo "install-chromium: installed $(command -v chromium)" >&2
