#!/bin/bash
# Starts, reloads, breaks and stops the units of the deploy kit. `in-systemd.sh` runs this, with the folder of what it needs.
set -euo pipefail
cd "$1"

failed() {
    echo "failed: $*"
    journalctl --no-pager -n 40 || true
    exit 1
}
expect() { # expect WHAT COMMAND…: within 30 s
    local what=$1
    shift
    for _ in $(seq 300); do
        "$@" >/dev/null 2>&1 && return
        sleep 0.1
    done
    failed "$what"
}
answer() { curl -sf --max-time 5 "http://127.0.0.1:$1/"; }
is() { [ "$(systemctl show -P "$2" "$1")" = "$3" ] || failed "$1: $2 is $(systemctl show -P "$2" "$1"), not $3"; }
processes() { cat "/sys/fs/cgroup/system.slice/$1/cgroup.procs" 2>/dev/null || true; }

install -m 755 multi-node /usr/local/bin/multi-node
cp units/* /etc/systemd/system/
mkdir -p /srv/web/current/.venv/bin /srv/app/current
cp -a modules /srv/web/current/
printf '#!/usr/bin/python3\nimport sys\nsys.path.insert(0, "/srv/web/current/modules")\nfrom uvicorn.main import main\nsys.exit(main())\n' \
    >/srv/web/current/.venv/bin/uvicorn
chmod +x /srv/web/current/.venv/bin/uvicorn
# Modules that were compiled for another Python than the system's.
PYTHONPATH=modules /usr/bin/python3 -c 'import fastapi' 2>/dev/null || cp plain.py app.py
cp app.py /srv/web/current/
cp web.toml /etc/multi-node/
systemctl daemon-reload

web=multi-node@web.service
slice="system-multi\\x2dnode.slice/$web"
systemctl start "$web" || failed "the start"
is "$web" StatusText "4 of 4 nodes serve"
answer 8080 >/dev/null || failed "no answer after the start"
[ "$(stat -c %U "/proc/$(systemctl show -P MainPID "$web")")" != root ] || failed "it runs as root"
journalctl --no-pager -u "$web" | grep -q '2 node-3 .*startup complete' || failed "no line of a node carries its slot"
before=$(answer 8080)
systemctl reload "$web" || failed "the reload"
[ "$(answer 8080)" != "$before" ] || failed "an old node answers"

echo "import nothing_like_that" >/srv/web/current/app.py
! systemctl reload "$web" 2>/dev/null || failed "a broken release was taken"
is "$web" ActiveState active
is "$web" StatusText "4 of 4 nodes serve"
answer 8080 >/dev/null || failed "no answer after the broken release"
cp app.py /srv/web/current/app.py

kill -KILL "$(systemctl show -P MainPID "$web")"
expect "the start after the command was killed" answer 8080
expect "that it is active again" systemctl is-active "$web"
is "$web" NRestarts 1
systemctl stop "$web" || failed "the stop"
is "$web" Result success
[ -z "$(processes "$slice")" ] || failed "processes are left: $(processes "$slice")"

# A program that links the library, behind a socket that systemd opens.
useradd --system app
install -m 755 server /srv/app/current/server
systemctl start app.socket || failed "the socket"
answer 8080 | grep -q 'hello from node-' || failed "the first client starts no service"
expect "that all nodes serve" systemctl is-active app.service
is app.service StatusText "4 of 4 nodes serve"
systemctl reload app.service
expect "the reload" bash -c "curl -sf http://127.0.0.1:8080/ | grep -q 'node-[5-8] '"
systemctl restart app.service || failed "the restart"
answer 8080 >/dev/null || failed "no answer after the restart"
systemctl stop app.socket app.service || failed "the stop of the program"
is app.service Result success
[ -z "$(processes app.service)" ] || failed "processes are left: $(processes app.service)"
echo "all units were started, reloaded, broken and stopped"
