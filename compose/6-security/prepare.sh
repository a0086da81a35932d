#!/bin/sh
# Makes what the nodes of the scene prove themselves with, below DIRECTORY, once: an authority, a certificate for each
# node that names its node ID and its host, and pairs of keys for signing work. The key of the authority is not kept.
# Usage: prepare.sh DIRECTORY
set -eu

dir=$1
[ ! -e "$dir/done" ] || exit 0
mkdir -p "$dir"
own=$(mktemp -d "${TMPDIR:-/tmp}/authority.XXXXXX")
trap 'rm -rf "$own"' EXIT

receptor --cert-init commonname="scene" bits=2048 outcert="$dir/ca.crt" outkey="$own/ca.key"
for node in controller01 controller02 controller03 controller04 relayer01 executor01 executor02 executor03; do
	host=$(echo $node | sed 's/^\(.\)[a-z]*/\1/').example.internal
	receptor --cert-makereq bits=2048 commonname=$node nodeid=$node dnsname=$host ipaddress=127.0.0.1 \
		outreq="$own/$node.csr" outkey="$dir/$node.key"
	receptor --cert-signreq req="$own/$node.csr" cacert="$dir/ca.crt" cakey="$own/ca.key" outcert="$dir/$node.crt" verify=yes
done
for node in controller01 controller02; do
	receptor cert signing-key --outkey "$dir/$node-signing.key" --outpub "$dir/$node-signing.pub"
done
touch "$dir/done"
