#!/usr/bin/env bash
# `unpack-debian.sh FOLDER PACKAGE…`: downloads Debian packages, and what they need and this system lacks, and unpacks them
# into the folder. Nothing is installed. `FOLDER/with PROGRAM…` runs a program with what is there.
set -euo pipefail
mkdir -p "$1"
folder=$(realpath "$1")
shift

command -v apt-get >/dev/null && command -v dpkg-deb >/dev/null || { echo "no apt-get" >&2; exit 1; }
needed() {
    apt-get install --simulate --no-install-recommends "$@" | sed -n 's/^Inst \([^ ]*\).*/\1/p'
}
# The lists of packages may be missing or old.
mapfile -t packages < <(needed "$@" 2>/dev/null || { apt-get update >&2 && needed "$@"; })
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
if [ "${#packages[@]}" -gt 0 ]; then
    apt-get download "${packages[@]}" >&2 || { apt-get update >&2 && apt-get download "${packages[@]}" >&2; }
    for package in ./*.deb; do
        dpkg-deb -x "$package" "$folder"
    done
fi

cat >"$folder/with" <<'END'
#!/bin/bash
# Runs a program with what is unpacked here.
root=$(dirname "$(realpath "$0")")
shopt -s nullglob
joined() { local IFS=:; echo "$*"; }
libraries=$(joined "$root"/usr/lib/*-linux-gnu* "$root"/usr/lib/*-linux-gnu*/pulseaudio "$root"/lib/*-linux-gnu*)
export PATH="$root/usr/sbin:$root/usr/bin:$root/bin:$PATH"
export LD_LIBRARY_PATH="$libraries${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"
ruby=("$root"/usr/lib/ruby/vendor_ruby "$root"/usr/lib/*/ruby/vendor_ruby/* "$root"/usr/lib/ruby/[0-9]* "$root"/usr/lib/*/ruby/[0-9]*)
gems=("$root"/usr/share/rubygems-integration/all "$root"/usr/lib/*/rubygems-integration/*)
perl=("$root"/usr/share/perl5 "$root"/usr/lib/*/perl5/* "$root"/usr/share/perl/[0-9]* "$root"/usr/lib/*/perl/[0-9]*)
[ ! -e "$root/usr/bin/ruby" ] || export RUBYLIB="$(joined "${ruby[@]}")" GEM_PATH="$(joined "${gems[@]}")"
export PERL5LIB="$(joined "${perl[@]}")"
[ ! -e "$root/usr/share/h2o" ] || export H2O_ROOT="$root/usr"
exec "$@"
END
chmod +x "$folder/with"
