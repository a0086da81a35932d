#!/bin/sh
# Holds that the scene turns out as the README says.
. ../lib.sh

run="work submit --node relayer01 --signwork --rm --follow"
# shellcheck disable=SC2086 # the words of $run
on_relay() { feed node01 receptorctl $run "$@"; }

up
eventually "controller01 reaches relayer01" ctl node01 ping --count 1 relayer01
if ctl node01 ping --count 1 executor01 >/dev/null 2>&1; then fail "executor01 is reached before anybody dialled it"; fi
on_relay --no-payload print-configuration </dev/null >"$scratch/before"
has "relayer01 prints its configuration" 'worktype: print-configuration' "$(cat "$scratch/before")"

if ctl node01 work submit --node relayer01 --rm --follow --no-payload reload >"$scratch/out" 2>&1; then fail "unsigned work was run"; fi
has "unsigned work is refused" 'could not verify signature: signature is empty' "$(cat "$scratch/out")"

on_relay --payload - append-configuration <executor01.yml >"$scratch/appended"
has "relayer01 appended to it" 'address: node03.example.internal:7323' "$(ctl node01 $run --no-payload print-configuration)"
if ctl node01 ping --count 1 executor01 >/dev/null 2>&1; then fail "the peer counts before the reload"; fi
like "relayer01 reloads" "Reload successful\|\($id, released\)" "$(on_relay --no-payload reload </dev/null)"
eventually "controller01 reaches executor01" ctl node01 ping --count 1 executor01
like "over relayer01" '0: controller01 .*\|1: relayer01 .*\|2: executor01 .*' "$(ctl node01 traceroute executor01)"
same "the link of controller01 is the one that it was" 1 "$(logs node01 | grep -c 'Connection established with')"
eventually "controller01 knows the work types of executor01" knows node01 executor01 echo-reply
like "executor01 runs work" "Reply from node03.example.internal: HELLO RECEPTOR!\|\($id, released\)" \
	"$(ctl node01 work submit --node executor01 --signwork --rm --follow --payload-literal 'Hello Receptor!' echo-reply)"

echo " a mistake"
printf '%s\n' '' '- tcp-peer:' '    adress: node03.example.internal:7324' | on_relay --payload - append-configuration >"$scratch/appended"
if on_relay --no-payload reload </dev/null >"$scratch/refused" 2>&1; then fail "a configuration with a mistake was loaded"; fi
has "the reload says what is wrong" 'did you mean "address"?' "$(cat "$scratch/refused")"
eventually "nothing changed" ctl node01 ping --count 1 executor01

echo " back to what it was"
grep -v ', released)$' "$scratch/before" | on_relay --payload - write-configuration >"$scratch/written"
like "relayer01 reloads" "Reload successful\|\($id, released\)" "$(on_relay --no-payload reload </dev/null)"
eventually "executor01 is out of reach" sh -c "! docker exec $(container node01) receptorctl ping --count 1 executor01"
same "relayer01 has the configuration of before" "$(grep -v ', released)$' "$scratch/before")" "$(on_relay --no-payload print-configuration </dev/null | grep -v ', released)$')"
done_well
