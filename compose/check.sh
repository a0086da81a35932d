#!/bin/sh
# Brings up the scenes, side by side, each in containers of its own, holds that
# they turn out as their README says, and takes them down. Without a Docker
# engine it says so and ends well. Builds an image from the programs in DIRECTORY
# and removes it.
# Usage: check.sh DIRECTORY-OF-THE-PROGRAMS [SCENE...]
set -eu

bin=$(cd "${1:-bin}" && pwd)
[ $# -eq 0 ] || shift
cd "$(dirname "$0")"

if ! docker info >/dev/null 2>&1; then
	echo "the scenes in containers are skipped: no Docker engine answers (docker info)"
	exit 0
fi
if ! docker compose version >/dev/null 2>&1 && ! docker-compose version >/dev/null 2>&1; then
	echo "the scenes in containers are skipped: there is neither 'docker compose' nor docker-compose"
	exit 0
fi
[ $# -gt 0 ] || set -- [0-9]*/

RECEPTOR_IMAGE=receptor:check-$$
export RECEPTOR_IMAGE
out=$(mktemp -d "${TMPDIR:-/tmp}/receptor-check.XXXXXX")
pids=
cleanup() {
	status=$?
	trap - EXIT INT TERM HUP
	for pid in $pids; do kill "$pid" 2>/dev/null || true; done
	for pid in $pids; do wait "$pid" 2>/dev/null || true; done
	docker image rm --force "$RECEPTOR_IMAGE" >/dev/null 2>&1 || true
	rm -rf "$out"
	exit "$status"
}
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

sh image/build.sh "$bin" "$RECEPTOR_IMAGE"
for scene; do
	cd "$scene"
	sh ./check.sh >"$out/${scene%/}" 2>&1 &
	pids="$pids $!"
	cd ..
done
failed= waiting=$pids
for scene; do
	waiting=${waiting# }
	pid=${waiting%% *}
	waiting=${waiting#"$pid"}
	wait "$pid" || failed="$failed ${scene%/}"
	echo "scene ${scene%/}"
	cat "$out/${scene%/}"
done
[ -z "$failed" ] || { echo "failed:$failed" >&2; exit 1; }
