#!/bin/sh
# Three daemons on loopback, controller01 - relayer01 - executor01, and what a
# user does with them. Leaves no process and no file behind, also when it is
# interrupted. Usage: demo.sh DIRECTORY-OF-THE-PROGRAMS
set -eu

bin=$(cd "${1:-bin}" && pwd)
dir=$(mktemp -d "${TMPDIR:-/tmp}/receptor-demo.XXXXXX")
pids=

cleanup() {
	status=$?
	trap - EXIT INT TERM HUP
	for pid in $pids; do kill "$pid" 2>/dev/null || true; done
	for pid in $pids; do wait "$pid" 2>/dev/null || true; done
	rm -rf "$dir"
	exit "$status"
}
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

say() { printf '\n\033[1m# %s\033[0m\n' "$*"; }
run() {
	printf '\033[36m$ receptorctl'
	for word in "$@"; do
		case $word in *' '*) printf " '%s'" "$word" ;; *) printf ' %s' "$word" ;; esac
	done
	printf '\033[0m\n'
	"$bin/receptorctl" "$@"
}

# The relay picks a free port; the other two are told which.
cat >"$dir/relayer01.yml" <<EOF
- node: {id: relayer01, datadir: $dir/data}
- log-level: debug
- tcp-listener: {bindaddr: 127.0.0.1, port: 0}
EOF
"$bin/receptor" --config "$dir/relayer01.yml" >"$dir/relayer01.log" 2>&1 &
pids="$pids $!"

tries=0
until address=$(sed -n 's/.*Listening on TCP //p' "$dir/relayer01.log") && [ -n "$address" ]; do
	tries=$((tries + 1))
	[ $tries -lt 200 ] || { echo "relayer01 did not start:"; cat "$dir/relayer01.log"; exit 1; }
	sleep 0.05
done

if [ -r /etc/hostname ]; then gather='command: cat, params: /etc/hostname'; else gather='command: uname, params: -n'; fi
for node in controller01 executor01; do
	cat >"$dir/$node.yml" <<EOF
- node: {id: $node, datadir: $dir/data}
- log-level: info
- tcp-peer: {address: "$address"}
- control-service: {filename: $dir/$node.sock}
- work-command: {worktype: gather-hostname, $gather}
EOF
done
cat >>"$dir/executor01.yml" <<'EOF'
- work-command:
    worktype: echo-reply
    command: sh
    params: "-c 'while read -r line; do echo \"Reply from executor01: $line\"; done'"
EOF
for node in controller01 executor01; do
	"$bin/receptor" --config "$dir/$node.yml" >"$dir/$node.log" 2>&1 &
	pids="$pids $!"
done
export RECEPTORCTL_SOCKET="$dir/controller01.sock"

tries=0
until "$bin/receptorctl" ping --count 1 executor01 >/dev/null 2>&1 &&
	"$bin/receptorctl" status 2>/dev/null | grep -q '^executor01 .*echo-reply'; do
	tries=$((tries + 1))
	[ $tries -lt 200 ] || { echo "the mesh did not come up:"; cat "$dir"/*.log; exit 1; }
	sleep 0.05
done

say "Three nodes: controller01 - relayer01 - executor01. What controller01 knows of the mesh:"
run status
say "executor01 is two hops away"
run ping --count 2 --delay 0.2 executor01
run traceroute executor01
say "Run a command there, wait for its output, clean up"
run work submit --node executor01 --rm --follow --no-payload gather-hostname
say "Pipe a payload through it"
printf 'Hello Receptor!\nHello mesh!\n' | run work submit --node executor01 --rm --follow --payload - echo-reply
say "Submit now, look later"
submitted=$(run work submit --node executor01 --payload-literal 'Hello later!' echo-reply)
echo "$submitted"
unit=$(echo "$submitted" | sed -n 's/^Unit ID: //p')
run work results "$unit"
run work list
run work release "$unit"
run work list
say "That was all; the daemons are stopped and their files removed"
