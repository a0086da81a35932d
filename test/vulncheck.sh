#!/bin/sh
# Looks for known vulnerabilities in what the programs use. The list of them comes from
# the network: where it cannot be had within the time given, that is said, and passes.
set -u
limit=${1:-180}
out=$(mktemp)
trap 'rm -f "$out"' EXIT
go build -o /dev/null golang.org/x/vuln/cmd/govulncheck || exit 1
timeout "$limit" go tool govulncheck ./... >"$out" 2>&1
code=$?
case $code in
0) cat "$out" ;;
124) echo "govulncheck: not finished within $limit s: skipped" ;;
*)
	if grep -q 'fetching vulnerabilities' "$out"; then
		echo "govulncheck: the list of vulnerabilities cannot be reached: skipped"
	else
		cat "$out"
		exit "$code"
	fi
	;;
esac
