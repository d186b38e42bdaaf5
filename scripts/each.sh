#!/usr/bin/env bash
# `each.sh TARGET…` makes every target, also when one before it has failed. Then it says which tests were skipped and why, how long each
# target took, and which have failed.
set -uo pipefail
cd "$(dirname "$0")/.."

SKIPPED=$(mktemp)
export SKIPPED
trap 'rm -f "$SKIPPED"' EXIT
failed=()
took=()
for target; do
    begun=$SECONDS
    "${MAKE:-make}" --no-print-directory "$target" || failed+=("$target")
    took+=("$target $((SECONDS - begun)) s")
done

mapfile -t skipped < <(sort -u "$SKIPPED")
echo
echo "skipped tests: ${#skipped[@]}"
for line in "${skipped[@]}"; do
    echo "  $line"
done
printf 'times:'
printf ' %s;' "${took[@]}"
echo
if [ "${#failed[@]}" -gt 0 ]; then
    echo "failed: ${failed[*]} (of: $*); the causes are above"
    exit 1
fi
echo "passed: $*"
