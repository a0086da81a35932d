#!/bin/sh
# Holds that the scene turns out as the README says.
. ../lib.sh

up
eventually "controller01 reaches executor01" ctl node01 ping --count 1 executor01
eventually "controller01 knows the work types of executor01" knows node01 executor01 gather-hostname
like "status shows the whole mesh" 'Node ID: controller01\|Version: [^|]+\|System CPU Count: [0-9]+\|System Memory MiB: [0-9]+\|\|Connection +Cost\|relayer01 +1\|\|Known Node +Known Connections\|controller01 +relayer01: 1 \|executor01 +relayer01: 1 \|relayer01 +controller01: 1 executor01: 1 \|\|Route +Via\|executor01 +relayer01\|relayer01 +relayer01\|\|Node +Service +Type +Last Seen +Tags\|((controller|executor)01 +control +Stream +[-0-9]+ [:0-9]+ +\{.type.: .Control Service.\}\|){2}\|Node +Work Types\|controller01 +gather-hostname\|executor01 +gather-hostname' "$(ctl node01 status)"
for node in relayer01 executor01; do
	like "four replies from $node" "(Reply from $node in [0-9.]+(µ|m)s\|?){4}" "$(ctl node01 ping --delay 0.1 $node)"
done
like "traceroute: two hops" '0: controller01 in [^ ]+s\|1: relayer01 in [^ ]+s\|2: executor01 in [^ ]+s' "$(ctl node01 traceroute executor01)"

unit=$(submit node01 --node executor01 --no-payload gather-hostname)
same "the unit's output" node03.example.internal "$(ctl node01 work results "$unit")"
list=$(ctl node01 work list)
has "the unit ended well" '"Detail": "exit status 0"' "$list"
has "the unit stands for one of executor01" '"RemoteNode": "executor01"' "$list"
has "the size of its output" '"StdoutSize": 24' "$list"
like "the unit is released" "Released:\|\($unit, released\)" "$(ctl node01 work release "$unit")"
same "no unit is left" '{}' "$(ctl node01 work list)"
like "submit, follow and release in one" "node03.example.internal\|\($id, released\)" \
	"$(ctl node01 work submit --node executor01 --rm --follow --no-payload gather-hostname)"
like "the same on controller01 itself" "node01.example.internal\|\($id, released\)" \
	"$(ctl node01 work submit --rm --follow --no-payload gather-hostname)"

log=$(logs node01)
for line in 'Running control service control' 'Initialization complete' 'Connection established with relayer01' \
	'Known Connections:' '   executor01: relayer01(1.00) ' 'Routing Table:' '   executor01 via relayer01'; do
	has "logged: $line" "$line" "$log"
done
stop node02
eventually "the log says that the relay is away" sh -c "docker logs $(container node01) 2>&1 | grep 'Backend connection failed (will retry)'"
start node02
eventually "controller01 reaches executor01 again" ctl node01 ping --count 1 executor01
done_well
