#!/usr/bin/env bash
# `each.sh TARGET…` makes every target, also when one before it has failed. Then it says which tests were skipped and why, how long each
# target took, and which have failed, with the last lines of each of these.
set -uo pipefail
cd "$(dirname "$0")/.."

# How much is shown again of a target that has failed, in lines.
TAIL=200

SKIPPED=$(mktemp)
outputs=$(mktemp -d)
export SKIPPED
trap 'rm -rf "$SKIPPED" "$outputs"' EXIT
# What goes through a pipe has colours only if that is said.
[ -t 1 ] && export CARGO_TERM_COLOR="${CARGO_TERM_COLOR:-always}"
failed=()
took=()
for target; do
    begun=$SECONDS
    "${MAKE:-make}" --no-print-directory "$target" 2>&1 | tee "$outputs/$target" || failed+=("$target")
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
    for target in "${failed[@]}"; do
        printf '\nthe end of what %s has written:\n' "$target"
        tail -n "$TAIL" "$outputs/$target"
    done
    echo "failed: ${failed[*]} (of: $*); the causes are above"
    exit 1
fi
echo "passed: $*"
