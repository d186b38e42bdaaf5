# `serve.sh COMMAND`: starts a server on descriptor 3, and says by the command that it serves when it does.
coproc python3 "$(dirname "$0")/plain.py"
server=$COPROC_PID
trap 'kill -TERM $server' TERM
read -r _ <&"${COPROC[0]}"
eval "$1"
# A signal ends the first wait.
wait $server || wait $server
exit 0
