#!/bin/sh
# Runs every fuzz target of the module for the time given, one after another, also
# those behind one that fails, and names at the end what has failed.
set -eu
time=${1:-10s}
failed=
printed=$(mktemp)
trap 'rm -f "$printed"' EXIT

# fuzz runs one target. Go before 1.27 sometimes takes the end of -fuzztime for a failure
# (go.dev/issue/75804): the deadline is then all that it reports, and no input is written.
# Such a target has run for its time and found nothing.
fuzz() {
	{ go test -run '^$' -fuzz "^$2\$" -fuzztime "$time" -fuzzminimizetime 10x "$1" 2>&1 || echo "target failed"; } | tee "$printed"
	grep -qx 'target failed' "$printed" || return 0
	grep -q 'Failing input written' "$printed" && return 1
	[ "$(sed -n '/^--- FAIL: /,/^FAIL$/p' "$printed" | sed '1d;$d')" = "    context deadline exceeded" ]
}

for package in $(go list ./internal/... ./cmd/...); do
	for target in $(go test -list '^Fuzz' "$package" | grep '^Fuzz' || true); do
		echo "fuzz $package $target $time"
		fuzz "$package" "$target" || failed="$failed $package:$target"
	done
done
[ -z "$failed" ] || { echo "failed:$failed"; exit 1; }
