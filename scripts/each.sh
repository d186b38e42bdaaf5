#!/usr/bin/env bash
# `each.sh TARGET…` makes every target, also when one before it has failed. Then it says which tests were skipped and why, and which
# targets have failed.
set -uo pipefail
cd "$(dirname "$0")/.."

SKIPPED=$(mktemp)
export SKIPPED
trap 'rm -f "$SKIPPED"' EXIT
failed=()
for target; do
    "${MAKE:-make}" --no-print-directory "$target" || failed+=("$target")
done

mapfile -t skipped < <(sort -u "$SKIPPED")
echo
echo "skipped tests: ${#skipped[@]}"
for line in "${skipped[@]}"; do
    echo "  $line"
done
if [ "${#failed[@]}" -gt 0 ]; then
    echo "failed: ${failed[*]} (of: $*); the causes are above"
    exit 1
fi
echo "passed: $*"
