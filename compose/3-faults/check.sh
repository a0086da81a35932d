#!/bin/sh
# Holds that the scene turns out as the README says. PAUSE is the time between
# two lines of echo-sleep, shorter than in the README.
PAUSE=${PAUSE:-1}
export PAUSE
. ../lib.sh

# midway: submits echo-sleep and waits until a part of its output has come.
midway() {
	unit=$(submit node01 --node executor01 --no-payload echo-sleep)
	eventually "echo-sleep has begun" at node01 test -s "/tmp/receptor/controller01/$unit/stdout"
}
lines=
for i in 1 2 3 4 5 6 7 8 9 10 11 12; do lines="$lines$i: [:0-9]{8}\|?"; done
# all_lines: the unit comes to a good end, with each line once.
all_lines() {
	like "all twelve lines came, each once" "$lines" "$(ctl node01 work results "$unit")"
	state node01 "$unit" Succeeded || fail "the unit has not succeeded"
	ctl node01 work release --all >/dev/null
}

up
eventually "the way leads over relayer01, which costs less" via node01 executor01 relayer01
eventually "executor01 thinks likewise" ctl node01 ping --count 1 executor01
like "traceroute agrees" '0: controller01 .*\|1: relayer01 .*\|2: executor01 .*' "$(ctl node01 traceroute executor01)"

echo " without faults: files on both nodes"
unit=$(echo 'Hello Receptor!' | feed node01 receptorctl work submit --node executor01 --payload - echo-reply | sed -n 's/^Unit ID: //p')
eventually "the unit succeeds" state node01 "$unit" Succeeded
remote=$(ctl node01 work list --unit_id "$unit" | sed -n 's/.*"RemoteUnitID": "\(.*\)".*/\1/p')
for node in "node01 controller01/$unit" "node04 executor01/$remote"; do
	same "the payload is kept on ${node% *}" 'Hello Receptor!' "$(at "${node% *}" cat "/tmp/receptor/${node#* }/stdin")"
	same "the output is kept on ${node% *}" 'Reply from node04.example.internal: HELLO RECEPTOR!' "$(at "${node% *}" cat "/tmp/receptor/${node#* }/stdout")"
	has "the state is kept on ${node% *}" '"StdoutSize":52' "$(at "${node% *}" cat "/tmp/receptor/${node#* }/status" | tr -d ' ')"
done
ctl node01 work release --all >/dev/null
for node in "node01 controller01" "node04 executor01"; do
	eventually "no file is left on ${node% *}" at "${node% *}" sh -c "[ -z \"\$(ls /tmp/receptor/${node#* })\" ]"
done

echo " one relay stops"
midway
stop node02
eventually "the way leads over relayer02" via node01 executor01 relayer02
has "the log says so" 'Backend connection exited (will retry)' "$(logs node01)"
all_lines
start node02
eventually "the way leads over relayer01 again" via node01 executor01 relayer01

echo " both relays stop"
midway
stop node02 node03
eventually "there is no way" sh -c "! docker exec $(container node01) receptorctl status | grep -q '^Route'"
state node01 "$unit" Running || fail "without a way the unit is to be shown as it was last heard of: running"
eventually "executor01 finishes by itself" at node04 sh -c 'grep -q "exit status 0" /tmp/receptor/executor01/*/status'
start node02
all_lines
start node03

echo " the controller stops"
eventually "the way leads over relayer01" via node01 executor01 relayer01
midway
stop node01
eventually "executor01 finishes by itself" at node04 sh -c 'grep -q "exit status 0" /tmp/receptor/executor01/*/status'
start node01
eventually "controller01 answers again" ctl node01 work list
all_lines

echo " the executor stops, and its command with it"
eventually "the way leads over relayer01" via node01 executor01 relayer01
midway
stop node04
state node01 "$unit" Running || fail "until executor01 is back the unit is to be shown as it was last heard of: running"
start node04
eventually "the unit has failed" state node01 "$unit" Failed
ctl node01 work list --unit_id "$unit" | grep '"Detail"'
if ctl node01 work results "$unit" >"$scratch/results" 2>&1; then fail "results of a failed unit end well"; fi
grep -q '^1: ' "$scratch/results" || { cat "$scratch/results"; fail "the output until then is not kept"; }
ctl node01 work release --all >/dev/null
done_well
