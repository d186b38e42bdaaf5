#!/usr/bin/env bash
# Says which tools of the system some tests need and this one lacks, and the command that installs them. With CI=true root runs it.
set -euo pipefail

# Each tool, and the package of Debian and Ubuntu that has it.
tools="python3:python3 strace:strace valgrind:valgrind man:man-db systemd-notify:systemd systemd-analyze:systemd systemd-socket-activate:systemd unshare:util-linux curl:curl ip:iproute2
    taskset:util-linux setsid:util-linux bash:bash"
packages=()
for tool in $tools; do
    command -v "${tool%:*}" >/dev/null || packages+=("${tool#*:}")
done
[ "${#packages[@]}" -gt 0 ] || exit 0

install="apt-get install -y --no-install-recommends $(printf '%s\n' "${packages[@]}" | sort -u | tr '\n' ' ')"
if [ "${CI:-}" = true ] && [ "$(id -u)" -eq 0 ]; then
    export DEBIAN_FRONTEND=noninteractive
    # The lists of packages may be missing or old.
    $install >/dev/null 2>&1 || { apt-get update >/dev/null && $install >/dev/null; }
else
    echo "some tests will be skipped; they run after: $install"
fi
