//go:build soak && unix

package soak

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/receptor-go/receptor/test/harness"
	"github.com/receptor-go/receptor/test/soak/rig"
)

// maxFew is how many commands of the work type few run at a time on a node.
const maxFew = 4

// script is the command of every unit: it marks that it began and ended in the file $1,
// and kind few also that more than $6 of its kind run on its node, $4. $5 counts lines of
// error output.
const script = `
mark=$1 kind=$2 n=$3 node=$4 errors=$5 few=$6
# since prints when a process began, as its number alone may be another's by now.
since() {
	read -r line 2>/dev/null </proc/$1/stat || return 1
	set -- ${line##*) }
	case $1 in Z|X) return 1 ;; esac
	echo ${20}
}
echo began >>"$mark"
case $kind in
	echo) echo "unit $n says hello" ;;
	cat) cat ;;
	two) seq 1 $errors >&2 & cat; wait ;;
	head) head -c $n ;;
	both) i=0; while [ $i -lt $n ]; do echo "line $i"; echo "error $i" >&2; sleep 0.1; i=$((i+1)); done ;;
	few)
		dir=$(dirname "$mark")/few.$node
		mkdir -p $dir
		since $$ >$dir/.$$
		mv $dir/.$$ $dir/$$
		running=0
		for file in $dir/*; do
			now=$(since ${file##*/}) && read -r then 2>/dev/null <$file && [ $now = $then ] && running=$((running+1))
		done
		[ $running -le $few ] || echo "over the limit: $running" $(ls $dir) >>"$mark"
		sleep $n
		rm -f $dir/$$
		;;
	trickle) i=0; while [ $i -lt $n ]; do echo "line $i"; sleep 0.2; i=$((i+1)); done ;;
	fail) echo "fails with $n"; echo "on purpose" >&2; echo ended >>"$mark"; exit $n ;;
	nap) echo napping; sleep 100000 & sleep 100000; wait ;;
esac
echo ended >>"$mark"
`

// link is one cable of the mesh.
type link struct {
	name  string
	cable *rig.Cable
	cut   bool
}

// mesh is two relays, a controller and two executors, each of which dials both
// relays through cables.
type mesh struct {
	dir   string // kept if the test fails
	marks string
	nodes map[string]*harness.Node
	names []string // all nodes
	work  []string // those that submit and run units
	links []*link
}

func newMesh(t *testing.T, programs harness.Programs) *mesh {
	dir, err := os.MkdirTemp("", "soak")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("everything is kept in %s; logs are */log", dir)
			return
		}
		os.RemoveAll(dir)
	})
	m := &mesh{dir: dir, marks: filepath.Join(dir, "marks"), nodes: map[string]*harness.Node{}, work: []string{"c", "e1", "e2"}}
	if err := os.Mkdir(m.marks, 0o700); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "script")
	if err := os.WriteFile(file, []byte(script), 0o600); err != nil {
		t.Fatal(err)
	}
	// Each relay listens twice, all its links have one cost.
	port := func() int { return harness.FreePort(t) }
	ports := map[string]int{"r1 tcp": port(), "r1 ws": port(), "r2 tcp": port(), "r2 udp": port()}
	listen := func(relay, kind string, cost int) string {
		return fmt.Sprintf("- %s-listener: {bindaddr: 127.0.0.1, port: %d, cost: %d}\n", kind, ports[relay+" "+kind], cost)
	}
	config := map[string]string{
		"r1": listen("r1", "tcp", 1) + listen("r1", "ws", 1),
		"r2": listen("r2", "tcp", 2) + listen("r2", "udp", 2),
	}
	work := fmt.Sprintf("- work-command: {worktype: job, command: sh, params: %q, allowruntimeparams: true}\n", file) +
		fmt.Sprintf("- work-command: {worktype: few, command: sh, params: %q, allowruntimeparams: true, maxunits: %d}\n", file, maxFew)
	for _, name := range m.work {
		config[name] = work
	}
	for _, l := range []struct {
		from, to, kind string
		cost           int
	}{
		{"c", "r1", "tcp", 1}, {"c", "r2", "tcp", 2},
		{"e1", "r1", "tcp", 1}, {"e1", "r2", "udp", 2},
		{"e2", "r1", "ws", 1}, {"e2", "r2", "tcp", 2},
	} {
		cable := rig.NewCable(t, l.kind, ports[l.to+" "+l.kind])
		m.links = append(m.links, &link{name: l.from + "-" + l.to + " (" + l.kind + ")", cable: cable})
		address := fmt.Sprintf("127.0.0.1:%d", cable.Port())
		if l.kind == "ws" {
			address = "ws://" + address
		}
		config[l.from] += fmt.Sprintf("- %s-peer: {address: %q, cost: %d}\n", l.kind, address, l.cost)
	}
	m.names = append([]string{"r1", "r2"}, m.work...)
	for _, name := range m.names {
		m.nodes[name] = harness.New(t, programs, dir, name, config[name])
		m.nodes[name].Start()
	}
	m.reach()
	return m
}

// reach waits until all working nodes reach each other.
func (m *mesh) reach() {
	for _, a := range m.work {
		for _, b := range m.work {
			m.nodes[a].Reach(m.nodes[b])
		}
	}
}

// heal makes all links whole and starts the daemons that are down.
func (m *mesh) heal() {
	for _, l := range m.links {
		l.cable.Heal()
		l.cut = false
	}
	for _, name := range m.names {
		if n := m.nodes[name]; !n.Alive() {
			n.Start()
		}
	}
	m.reach()
}

// supervisors are those of the node, normally one or none.
func supervisors(n *harness.Node) (pids []int) {
	for _, pid := range n.Helpers() {
		if rig.IsSupervisor(pid) {
			pids = append(pids, pid)
		}
	}
	return pids
}

// killAll ends the processes of a node as a reboot does: the daemon, its
// supervisor, then the commands.
func killAll(n *harness.Node) {
	if n.Alive() {
		n.Kill()
	}
	harness.KillNow(supervisors(n)...)
	for range 3 { // what was forked meanwhile
		harness.KillNow(n.Helpers()...)
	}
}
