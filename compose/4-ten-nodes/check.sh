#!/bin/sh
# Holds that the scene turns out as the README says.
. ../lib.sh

# hops NODE...: whether the way to east-executor01 leads over these nodes.
hops() {
	ctl wc01 traceroute east-executor01 | sed 's/^[0-9]*: //; s/ in .*//' | tr '\n' ' ' >"$scratch/hops"
	grep -Eq "^$* \$" "$scratch/hops"
}
# linked LINE: whether west-controller01 knows these links of a node.
linked() { ctl wc01 status | sed 's/  */ /g; s/ $//' | grep -qx "$1"; }
run="work submit --node east-executor01 --rm --follow --no-payload gather-hostname"
all="controller01 east-executor01 east-relayer01 east-relayer02 west-executor01 west-executor02 west-relayer01 west-relayer02 west-relayer03"

up
for node in $all; do
	eventually "west-controller01 reaches $node over west-relayer03" via wc01 $node west-relayer03
done
for node in east-executor01 west-executor01 west-executor02; do
	eventually "west-controller01 knows the work types of $node" knows wc01 $node gather-hostname
done
for line in 'controller01 east-relayer01: 1 east-relayer02: 1 west-relayer01: 1 west-relayer02: 1' \
	'east-executor01 east-relayer01: 1 east-relayer02: 1' \
	'west-executor02 west-relayer01: 1 west-relayer02: 1' \
	'west-relayer03 west-controller01: 1 west-executor01: 1 west-relayer01: 1'; do
	eventually "known: $line" linked "$line"
done
eventually "east-executor01 answers" ctl wc01 ping --count 1 east-executor01
hops west-controller01 west-relayer03 west-relayer01 controller01 'east-relayer0[12]' east-executor01 || fail "the way to east-executor01"
say "five hops to east-executor01"
for node in east-executor01 west-executor01 west-executor02; do
	host=$(echo $node | sed -E 's/^(.)[a-z]*-(.)[a-z]*/\1\2/')
	like "work runs on $node" "$host.example.internal\|\($id, released\)" \
		"$(ctl wc01 work submit --node $node --rm --follow --no-payload gather-hostname)"
done

echo " relays stop"
used=$(ctl wc01 traceroute east-executor01 | sed -n 's/^4: \(east-relayer0.\) .*/\1/p')
case $used in east-relayer01) spare=east-relayer02 stopped=er01 ;; *) spare=east-relayer01 stopped=er02 ;; esac
stop $stopped
eventually "the way to east-executor01 leads over $spare" hops west-controller01 west-relayer03 west-relayer01 controller01 $spare east-executor01
# shellcheck disable=SC2086
like "work runs on east-executor01" "ee01.example.internal\|\($id, released\)" "$(ctl wc01 $run)"
stop wr01
eventually "without west-relayer01 the west is cut off from the east" sh -c "! docker exec $(container wc01) receptorctl ping --count 1 east-executor01"
eventually "west-executor01, next door, is still reached" ctl wc01 ping --count 1 west-executor01
eventually "controller01 reaches west-executor02 over west-relayer02" via c01 west-executor02 west-relayer02
start $stopped wr01
eventually "all is well again" ctl wc01 ping --count 1 east-executor01
# shellcheck disable=SC2086
like "work runs on east-executor01" "ee01.example.internal\|\($id, released\)" "$(ctl wc01 $run)"
done_well
