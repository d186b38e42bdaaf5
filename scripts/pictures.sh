#!/usr/bin/env bash
# Draws docs/top.svg: what the command prints of a program with three nodes, one of which was killed.
set -euo pipefail
cd "$(dirname "$0")/.."

"${CARGO:-cargo}" build -q -p multi-node-cli -p multi-node-it --bins
folder=$(mktemp -d)
export XDG_RUNTIME_DIR=$folder
FIXTURE='{"nodes":3,"control":"web"}' target/debug/fixture </dev/null >"$folder/out" 2>"$folder/log" &
program=$!
trap 'kill "$program" 2>/dev/null || true; wait "$program" || true; rm -rf "$folder"' EXIT

command() { target/debug/multi-node "$@"; }
for _ in $(seq 100); do
    command status --json 2>/dev/null | grep -q '"ready":true' && break
    sleep 0.1
done
address=$(sed -n 's/^listening on //p' "$folder/out")
command signal KILL --slot 1 >/dev/null
for _ in $(seq 300); do curl -s "http://$address/" >/dev/null || true; done

# The text on a dark ground, a line of it for each line. Browsers make one space of several, but not of those that do not break.
draw() {
    awk -v title="$1" -v nbsp=$'\xc2\xa0' '
        { if (length($0) > width) width = length($0); gsub(/&/, "\\&amp;"); gsub(/</, "\\&lt;"); gsub(/ /, nbsp); lines[NR] = $0 }
        END {
            printf "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%d\" height=\"%d\" role=\"img\">\n", width * 8 + 32, (NR + 1) * 18 + 24
            printf "<title>%s</title>\n<rect width=\"100%%\" height=\"100%%\" rx=\"8\" fill=\"#1e1e2e\"/>\n", title
            print "<g font-family=\"DejaVu Sans Mono, Menlo, Consolas, monospace\" font-size=\"13\" fill=\"#cdd6f4\">"
            printf "<text x=\"16\" y=\"28\" fill=\"#a6adc8\">$ %s</text>\n", title
            for (n = 1; n <= NR; n++) printf "<text x=\"16\" y=\"%d\">%s</text>\n", n * 18 + 28, lines[n]
            print "</g>\n</svg>"
        }'
}

export LC_ALL=C.UTF-8
(while kill -0 "$program" 2>/dev/null; do curl -s "http://$address/" >/dev/null || break; done) &
command top --once | draw "multi-node top" >docs/top.svg
