#!/bin/sh
# Holds that the scene turns out as the README says.
. ../lib.sh

up
eventually "controller01 reaches executor01" ctl node01 ping --count 1 executor01
run="work submit --node executor01 --rm --follow"
files="/etc/hostname:1:node03.example.internal\|(/etc/os-release:[0-9]+:[^|]*\|)+\($id, released\)"
# shellcheck disable=SC2086 # the words of $run
{
	like "parameters by --param" "$files" "$(ctl node01 $run --no-payload --param 'params=/etc/hostname /etc/os-release' cat-files)"
	like "parameters behind --" "$files" "$(ctl node01 $run --no-payload cat-files -- /etc/hostname /etc/os-release)"

	reply="Reply from node03.example.internal: HELLO RECEPTOR!\|\($id, released\)"
	at node01 sh -c 'echo "Hello Receptor!" >/tmp/input.txt'
	like "payload from a file" "$reply" "$(ctl node01 $run --payload /tmp/input.txt echo-reply)"
	like "payload from standard input" "$reply" "$(echo 'Hello Receptor!' | feed node01 receptorctl $run --payload - echo-reply)"
	like "payload in the command line" "$reply" "$(ctl node01 $run --payload-literal 'Hello Receptor!' echo-reply)"
}
if ctl node01 work submit --node executor01 --rm --follow --no-payload echo-reply -- more >"$scratch/out" 2>&1; then
	fail "a work type without allowruntimeparams took parameters"
fi
say "parameters are refused where they are not allowed"
done_well
