#!/usr/bin/env bash
# `in-systemd.sh COMMAND…` runs a command as root under a systemd of its own: in new namespaces, on a copy-on-write view of this system
# without its units, with a network of its own. Nothing of it is left. It exits with 77 where that is not possible.
set -euo pipefail

cannot() {
    echo "no systemd can be run here: $*" >&2
    exit 77
}
[ "$(id -u)" -eq 0 ] || cannot "only root makes namespaces"
[ -x /lib/systemd/systemd ] || cannot "/lib/systemd/systemd is missing"
cgroups=/sys/fs/cgroup
[ ! -d $cgroups/unified ] || cgroups=$cgroups/unified
[ -e $cgroups/cgroup.procs ] || cannot "there is no cgroup2 at $cgroups"

work=$(mktemp -d)
group=$cgroups/multi-node-systemd-$$
mkdir "$group" 2>/dev/null || cannot "no cgroup can be made at $cgroups"
end() {
    # What is in its namespace ends with its first process.
    [ -z "${first:-}" ] || kill -KILL "$first" 2>/dev/null || true
    wait 2>/dev/null || true
    for _ in $(seq 50); do
        find "$group" -depth -type d -exec rmdir {} + 2>/dev/null && break
        sleep 0.1
    done
    rm -rf "$work"
}
trap end EXIT

cat >"$work/init" <<'END'
set -e
work=$1
mount --make-rprivate /
mkdir "$work/layer" "$work/root"
mount -t tmpfs tmpfs "$work/layer"
mkdir "$work/layer/upper" "$work/layer/work"
mount -t overlay overlay -o "lowerdir=/,upperdir=$work/layer/upper,workdir=$work/layer/work" "$work/root"
cd "$work/root"
mount -t proc proc proc
mount -t sysfs sysfs sys
mount -t cgroup2 cgroup2 sys/fs/cgroup
mount --rbind /dev dev
mount -t tmpfs -o mode=755 tmpfs run
mount -t tmpfs -o mode=1777 tmpfs tmp
# Only what a unit needs: no devices, no log-ins, no clocks.
rm -rf etc/systemd/system
mkdir -p etc/systemd/system etc/multi-node old
printf '[Unit]\nDescription=Nothing but the basics\nRequires=basic.target\nAfter=basic.target\nAllowIsolate=yes\n' >etc/systemd/system/basics.target
for unit in systemd-udevd systemd-udev-trigger systemd-modules-load systemd-sysctl systemd-random-seed systemd-remount-fs systemd-logind \
    systemd-timesyncd systemd-networkd systemd-resolved systemd-update-utmp systemd-tmpfiles-setup-dev; do
    ln -s /dev/null "etc/systemd/system/$unit.service"
done
for unit in sys-kernel-config.mount sys-kernel-debug.mount dev-hugepages.mount dev-mqueue.mount getty.target; do
    ln -s /dev/null "etc/systemd/system/$unit"
done
pivot_root . old
umount -l /old
ip link set lo up
container=other exec /lib/systemd/systemd --system --unit=basics.target --log-target=console --show-status=no
END

bash -c "echo \$\$ >'$group/cgroup.procs' && exec setpriv --pdeathsig KILL unshare --pid --fork --kill-child --mount --uts --ipc --net --cgroup bash '$work/init' '$work'" \
    >"$work/log" 2>&1 </dev/null &
outer=$!
for _ in $(seq 200); do
    first=$(pgrep -P "$outer" -x systemd || true)
    [ -n "$first" ] && state=$(nsenter -t "$first" -a systemctl is-system-running 2>/dev/null || true)
    case ${state:-} in running | degraded) break ;; esac
    kill -0 "$outer" 2>/dev/null || cannot "$(tail -n 1 "$work/log")"
    sleep 0.1
done
[ -n "$first" ] || first=$(pgrep -P "$outer" || true)
case ${state:-} in running | degraded) ;; *) cannot "it does not start: $(tail -n 1 "$work/log")" ;; esac

code=0
nsenter -t "$first" -a -- "$@" </dev/null || code=$?
exit "$code"
