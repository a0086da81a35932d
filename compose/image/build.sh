#!/bin/sh
# Builds the image of a node from programs that were built before, without a
# registry. Usage: build.sh DIRECTORY-OF-THE-PROGRAMS IMAGE
set -eu

bin=$1 image=$2
here=$(cd "$(dirname "$0")" && pwd)
busybox=$(command -v busybox) || {
	echo "the image needs busybox, linked statically: on Debian, apt-get install busybox-static" >&2
	exit 1
}
context=$(mktemp -d "${TMPDIR:-/tmp}/receptor-image.XXXXXX")
trap 'rm -rf "$context"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

for file in Dockerfile receptor.conf os-release passwd group dumb-init; do
	cp "$here/$file" "$context/"
done
cp "$busybox" "$context/busybox"
cp "$bin/receptor" "$bin/receptorctl" "$context/"
chmod 0755 "$context/dumb-init" "$context/busybox" "$context/receptor" "$context/receptorctl"
chmod 0644 "$context"/*.conf "$context/os-release" "$context/passwd" "$context/group"
docker build --quiet --tag "$image" "$context" || {
	echo "the image was not built. If a program above is said not to exist, it is not linked statically: of receptor, make build; of busybox, Debian's busybox-static" >&2
	exit 1
}
