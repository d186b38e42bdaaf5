# Two instances behind HAProxy, replaced one after the other as Kubernetes does it: out of the balancer first, SIGTERM a while later
# (preStop), and into the balancer once the new one answers. `rolled.sh start` and `rolled.sh deploy`.
run() {
  PORT=$2 node main.js &
  echo $! >"$1.pid"
}
state() {
  exec 3<>"/dev/tcp/127.0.0.1/$ADMIN"
  echo "set server app/$1 state $2" >&3
  cat <&3
  exec 3>&-
}
# Succeeds once the command does, and fails when that takes more than 10 s.
within() {
  for _ in {1..200}; do "$@" && return; sleep 0.05; done
  return 1
}
answers() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }
gone() { ! kill -0 "$1" 2>/dev/null; }
replace() {
  state "$1" drain
  sleep 1
  kill -TERM "$(<"$1.pid")"
  within gone "$(<"$1.pid")" || kill -KILL "$(<"$1.pid")"
  run "$1" "$2"
  within answers "$2" || exit 1
  state "$1" ready
}

if [ "$1" = start ]; then
  run first "$FIRST"
  run second "$SECOND"
  within answers "$FIRST" && within answers "$SECOND"
  exec "$SERVERS/haproxy/with" haproxy -W -f rolled.cfg
fi
replace first "$FIRST"
replace second "$SECOND"
