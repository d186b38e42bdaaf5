# A service manager of systemd's own in a mount namespace, where a system that was not booted by systemd looks as if it were.
mount -t tmpfs none /run
mkdir -p /run/systemd/system /run/user/0
export XDG_RUNTIME_DIR=/run/user/0 SYSTEMD_UNIT_PATH=$FOLDER: SYSTEMD_LOG_TARGET=console
(until systemctl --user start web.socket web.service; do sleep 0.1; done) 2>/dev/null &
exec /usr/lib/systemd/systemd --user
