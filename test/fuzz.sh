#!/bin/sh
# Runs every fuzz target of the module for the time given, one after another.
set -eu
time=${1:-10s}
for package in $(go list ./internal/...); do
	for target in $(go test -list '^Fuzz' "$package" | grep '^Fuzz' || true); do
		echo "fuzz $package $target $time"
		go test -run '^$' -fuzz "^$target\$" -fuzztime "$time" -fuzzminimizetime 10x "$package"
	done
done
