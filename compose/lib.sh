# What the check.sh of the scenes have in common; they source it in their own
# directory, and end with `done_well`. Each brings its containers up under a
# project name of its own, so that a scene that somebody looks at is left alone,
# and removes them whatever happens.
set -eu

scene=$(basename "$PWD")
project=receptor-check-$scene
RECEPTOR_IMAGE=${RECEPTOR_IMAGE:-receptor:local}
export RECEPTOR_IMAGE

if docker compose version >/dev/null 2>&1; then
	compose() { docker compose --project-name "$project" "$@"; }
else
	compose() { docker-compose --project-name "$project" "$@"; }
fi

scratch=$(mktemp -d "${TMPDIR:-/tmp}/receptor-check.XXXXXX")
cleanup() {
	status=$?
	trap - EXIT INT TERM HUP
	if [ "$status" != 0 ]; then
		echo "what the containers printed last:"
		compose logs --tail 40 2>&1
	fi
	compose down --volumes --timeout 2 >/dev/null 2>&1 || compose down --volumes --timeout 2
	rm -rf "$scratch"
	exit "$status"
}
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

up() { compose up -d >"$scratch/up" 2>&1 || { cat "$scratch/up"; exit 1; }; }

# container SERVICE: the id of its container, also of one that has stopped.
container() { compose ps -a -q "$1" 2>/dev/null || compose ps -q "$1"; }

# at SERVICE COMMAND...: runs a command in a container. Ids are looked up once.
at() {
	[ -s "$scratch/id.$1" ] || container "$1" >"$scratch/id.$1"
	at=$(cat "$scratch/id.$1")
	shift
	docker exec -i "$at" "$@" </dev/null
}
# feed SERVICE COMMAND...: the same, with the standard input.
feed() {
	[ -s "$scratch/id.$1" ] || container "$1" >"$scratch/id.$1"
	at=$(cat "$scratch/id.$1")
	shift
	docker exec -i "$at" "$@"
}
# ctl SERVICE ARGUMENT...: receptorctl there.
ctl() { service=$1; shift; at "$service" receptorctl "$@"; }
# logs SERVICE: what its daemon printed.
logs() { docker logs "$(container "$1")" 2>&1; }
# stop, kill, start SERVICE...: whole containers.
stop() { for s in "$@"; do docker stop --time 10 "$(container "$s")" >/dev/null; done; }
start() { for s in "$@"; do docker start "$(container "$s")" >/dev/null; done; }

say() { printf '  %s\n' "$*"; }
fail() { printf 'FAILED %s: %s\n' "$scene" "$*" >&2; exit 1; }

# eventually WHAT COMMAND...: runs a command, silently, until it succeeds.
eventually() {
	what=$1
	shift
	tries=0
	until "$@" >"$scratch/last" 2>&1; do
		tries=$((tries + 1))
		[ $tries -lt 300 ] || { cat "$scratch/last"; fail "does not come true: $what"; }
		sleep 0.2
	done
	say "$what"
}

# same WHAT WANTED GOT: texts are equal.
same() {
	[ "$2" = "$3" ] || { printf 'got:\n%s\nwant:\n%s\n' "$3" "$2"; fail "$1"; }
	say "$1"
}

# like WHAT REGULAR-EXPRESSION TEXT: the text as a whole matches, its lines
# joined by "|".
like() {
	printf '%s\n' "$3" | tr '\n' '|' | grep -Eq "^($2)\|\$" || { printf 'got:\n%s\nwant a match of: %s\n' "$3" "$2"; fail "$1"; }
	say "$1"
}

# has WHAT TEXT-TO-FIND TEXT
has() {
	case $3 in *"$2"*) say "$1" ;; *) printf 'got:\n%s\nwant in it: %s\n' "$3" "$2"; fail "$1" ;; esac
}

# submit SERVICE ARGUMENT...: submits work, and prints the id of its unit.
submit() {
	service=$1
	shift
	submitted=$(ctl "$service" work submit "$@" 2>&1) || { printf '%s\n' "$submitted"; fail "submit $*"; }
	printf '%s\n' "$submitted" | sed -n 's/^Unit ID: //p'
}
# state SERVICE UNIT WANTED: whether the unit has that state; with an empty UNIT, whether any has.
state() { ctl "$1" work list ${2:+--unit_id "$2"} | grep -q "\"StateName\": \"$3\""; }
# via SERVICE NODE NEIGHBOUR: whether the way to a node leads over a neighbour.
via() { ctl "$1" status | sed -n '/^Route /,/^$/p' | grep -Eq "^$2 +$3\$"; }
# knows SERVICE NODE WORKTYPE: whether a node is known to offer a work type.
knows() { ctl "$1" status | sed -n '/Work Types$/,$p' | grep -Eq "^$2 .*$3"; }

id='[0-9a-zA-Z]{8}'
done_well() { echo "ok: $scene"; }
