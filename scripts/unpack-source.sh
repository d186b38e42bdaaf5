#!/usr/bin/env bash
# `unpack-source.sh FOLDER PACKAGE VERSION PART` puts a part of a Python package's source distribution into the folder.
set -euo pipefail

mkdir -p "$1"
source="$(mktemp -d)"
trap 'rm -rf "$source"' EXIT
python3 -m pip download --quiet --disable-pip-version-check --no-deps --no-binary "$2" --dest "$source" "$2==$3"
tar -xzf "$source/$2-$3.tar.gz" -C "$1" --strip-components 2 "$2-$3/$4"
