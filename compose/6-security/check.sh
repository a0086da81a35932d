#!/bin/sh
# Holds that the scene turns out as the README says.
. ../lib.sh

payload='Hello Receptor!'
# works WHAT SERVICE HOST ARGUMENT...: work is run on a host.
works() {
	what=$1 service=$2 host=$3
	shift 3
	like "$what" "Reply from $host.example.internal: HELLO RECEPTOR!\|\($id, released\)" \
		"$(ctl "$service" work submit --rm --follow --payload-literal "$payload" "$@")"
}
# refused WHAT REASON SERVICE ARGUMENT...: the unit fails for a reason.
refused() {
	what=$1 reason=$2 service=$3
	shift 3
	ctl "$service" work submit --payload-literal "$payload" "$@" >"$scratch/out" 2>&1 || true
	eventually "$what" sh -c "docker exec $(container "$service") receptorctl work list | grep '\"Detail\".*$reason'"
	state "$service" "" Failed || fail "the unit has not failed"
	ctl "$service" work release --force --all >/dev/null
}
# blocked SERVICE NODE: a firewall holds back what goes there.
blocked() {
	eventually "$1 to $2: blocked by firewall" sh -c "docker exec $(container "$1") receptorctl ping --count 1 $2 2>&1 | grep 'blocked by firewall'"
}

up
for node in executor01 executor02 executor03; do
	eventually "controller01 reaches $node" ctl c01 ping --count 1 $node
done
eventually "relayer01 refuses controller04" sh -c "docker logs $(container r01) 2>&1 | grep 'controller04 because it is not in the allowed peers list'"
if ctl c04 ping --count 1 relayer01 >/dev/null 2>&1; then fail "controller04 is on the mesh"; fi

echo " firewalls"
blocked c03 executor01
blocked c01 controller02
blocked c02 executor02
has "the rule that holds back controller03" 'rejected, its source is told "blocked by firewall" (rule 3' \
	"$(at r01 receptor check --packet controller03:x,executor01:control /etc/receptor/receptor.conf)"
ctl c03 work submit --node executor01 --payload-literal "$payload" echo-reply >"$scratch/out" 2>&1 || true
state c03 "" Pending || fail "work of controller03 is not pending"
say "work of controller03 stays pending"
ctl c03 work release --force --all >/dev/null
works "controller01 uses executor01" c01 e01 --node executor01 echo-reply
works "controller01 uses executor02" c01 e02 --node executor02 echo-reply
works "controller02 uses executor01" c02 e01 --node executor01 echo-reply

echo " a control service with TLS"
refused "executor03 wants TLS" "insecure connection to secure service" c01 --node executor03 echo-reply
works "with a certificate it runs work" c01 e03 --node executor03 --tls-client client echo-reply

echo " signed work"
refused "work without a signature" "could not verify signature: signature is empty" c01 --node executor01 echo-verified-reply
refused "work signed with another key" "could not verify signature: .*verification error" c02 --node executor01 --signwork echo-verified-reply
works "work signed by controller01 is run" c01 e01 --node executor01 --signwork echo-verified-reply
done_well
