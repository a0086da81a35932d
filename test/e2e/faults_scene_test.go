//go:build e2e

package e2e

import (
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/receptor-go/receptor/test/harness"
)

// seed draws everything that the fault tests leave to chance.
var seed = func() uint64 {
	if n, err := strconv.ParseUint(os.Getenv("RECEPTOR_SEED"), 10, 64); err == nil {
		return n
	}
	return rand.Uint64()
}()

// newRand makes the random source of a test, and says how to have it again.
func newRand(t *testing.T) *rand.Rand {
	name := fnv.New64a()
	name.Write([]byte(t.Name()))
	t.Logf("to replay: RECEPTOR_SEED=%d", seed)
	return rand.New(rand.NewPCG(seed, name.Sum64()))
}

// job is a command whose steps the test lets go on, one line in a FIFO each. It
// notes its runs and interrupts, and copies its input, in two parts. Where it may
// be interrupted it sleeps: a shell that opens a FIFO can miss a signal that comes
// right before.
const job = `echo run >>DIR/runs
trap 'echo interrupted >>DIR/interrupts; read x <DIR/leave; exit 3' INT
read x <DIR/begin
dd bs=HALF count=1 iflag=fullblock status=none || exit 7
while [ ! -e DIR/go ]; do sleep 0.1; done
cat || exit 7
`

// scene is a controller and an executor, or one node that is both, with one unit.
type scene struct {
	t     *testing.T
	rand  *rand.Rand
	fault string

	c, e  *harness.Node // the same if local
	relay *harness.Node // or nil
	// cable is between the controller and its neighbour, second between relay and executor.
	cable, second *harness.Cable
	toE, toC      harness.Direction // through cable
	disk          *harness.Disk     // the one that is filled, or nil

	dir     string // the job's
	gates   map[string]*os.File
	payload []byte
	half    int // bytes of its first part
	unit    string
}

// newScene starts the nodes for a fault. What dies is what dials, where there is a
// choice: it does so at once when it is started again.
func newScene(t *testing.T, fault string, local bool, small bool) *scene {
	s := &scene{t: t, rand: newRand(t), fault: fault, gates: make(map[string]*os.File)}
	dir := harness.Dir(t)
	s.e = harness.New(t, programs, dir, "executor01", "")
	s.makeJob(small)
	s.e.Config = fmt.Sprintf("- work-command: {worktype: job, command: sh, params: %q}\n- work-command: {worktype: warm, command: \"true\"}\n",
		filepath.Join(s.dir, "job.sh"))
	if local {
		s.c = s.e
		s.e.Config += "- local-only:\n"
		s.fillable(s.e, "disk")
		s.e.Start()
		return s
	}
	s.c = harness.New(t, programs, dir, "controller01", "")
	s.fillable(s.c, "disk-controller")
	s.fillable(s.e, "disk-executor")
	transport := "tcp"
	if strings.HasPrefix(fault, "link-") {
		transport = []string{"tcp", "ws", "udp"}[s.rand.IntN(3)]
	}
	if transport == "udp" && fault == "link-closed" {
		transport = "tcp" // datagrams have nothing to close
	}
	switch {
	case fault == "relay":
		s.relay = harness.New(t, programs, dir, "relayer01", listener(transport))
		s.relay.Start()
		s.cable = s.join(s.c, s.relay, transport)
		s.second = s.join(s.e, s.relay, transport)
		s.c.Start()
		s.e.Start()
	case fault == "controller" || strings.HasPrefix(fault, "link-") && s.rand.IntN(2) == 0:
		s.link(s.c, s.e, transport)
	default:
		s.link(s.e, s.c, transport)
		s.toE, s.toC = harness.FromListener, harness.FromDialer
	}
	if s.toE == s.toC {
		s.toC = harness.FromListener
	}
	s.reach()
	return s
}

func (s *scene) fillable(n *harness.Node, fault string) {
	if s.fault == fault {
		s.disk = n.SmallDisk(8 << 20)
	}
}

func listener(transport string) string {
	return fmt.Sprintf("- %s-listener: {bindaddr: 127.0.0.1, port: 0}\n", transport)
}

// link starts two nodes, joined by the cable.
func (s *scene) link(dialer, listens *harness.Node, transport string) {
	listens.Config += listener(transport)
	listens.Start()
	s.cable = s.join(dialer, listens, transport)
	dialer.Start()
}

// join lays a cable from a node to a listener that runs.
func (s *scene) join(dialer, listens *harness.Node, transport string) *harness.Cable {
	cable := harness.NewCable(s.t, transport, listens.ListenAddr(transport))
	url := cable.Addr
	if transport == "ws" {
		url = "ws://" + url
	}
	dialer.Config += fmt.Sprintf("- %s-peer: {address: %q}\n", transport, url)
	return cable
}

// reach waits until the ends reach each other.
func (s *scene) reach() {
	s.t.Helper()
	if s.c != s.e {
		s.c.Eventually("reach the executor", func() bool { return s.c.Pings(s.e.ID) })
		s.e.Eventually("reach the controller", func() bool { return s.e.Pings(s.c.ID) })
	}
}

func (s *scene) makeJob(small bool) {
	s.dir = filepath.Join(s.e.Dir, "job")
	if err := os.Mkdir(s.dir, 0o700); err != nil {
		s.t.Fatal(err)
	}
	s.half = 1 + s.rand.IntN(1000)
	if !small {
		s.half += 300<<10 + s.rand.IntN(300<<10)
	}
	rest := s.rand.IntN(s.half)
	if !small && strings.Contains(s.fault, "disk") {
		rest += 64 << 10 // more than fits in the last block of a full disk
	}
	s.payload = make([]byte, s.half+rest)
	for i := range s.payload {
		s.payload[i] = byte(s.rand.Uint32())
	}
	script := strings.NewReplacer("DIR", s.dir, "HALF", strconv.Itoa(s.half)).Replace(job)
	for file, data := range map[string][]byte{filepath.Join(s.dir, "job.sh"): []byte(script), s.payloadFile(): s.payload} {
		if err := os.WriteFile(file, data, 0o600); err != nil {
			s.t.Fatal(err)
		}
	}
	for _, name := range []string{"begin", "leave"} {
		path := filepath.Join(s.dir, name)
		if err := exec.Command("mkfifo", "-m", "600", path).Run(); err != nil {
			s.t.Fatal(err)
		}
		f, err := os.OpenFile(path, os.O_RDWR, 0)
		if err != nil {
			s.t.Fatal(err)
		}
		s.t.Cleanup(func() { f.Close() })
		s.gates[name] = f
	}
}

// open lets the command go on at the gates.
func (s *scene) open(gates ...string) {
	for _, g := range gates {
		if g == "go" {
			if err := os.WriteFile(filepath.Join(s.dir, g), nil, 0o600); err != nil {
				s.t.Fatal(err)
			}
			continue
		}
		lines := "go on\n"
		if g == "leave" { // a repeated interrupt runs the trap within the trap
			lines = strings.Repeat(lines, 10)
		}
		if _, err := s.gates[g].WriteString(lines); err != nil {
			s.t.Fatal(err)
		}
	}
}

// warm runs a unit, so that there is a session between the nodes, and a supervisor.
func (s *scene) warm() {
	s.c.Run("work", "submit", "--node", s.e.ID, "-nf", "--rm", "warm")
}

// begin begins to submit the unit.
func (s *scene) begin(payload string) *harness.Call {
	return s.c.Begin("work", "submit", "--node", s.e.ID, "--payload", payload, "job")
}

// payloadFile is not below the executor's directory, by which its processes are
// found.
func (s *scene) payloadFile() string { return s.e.Dir + ".payload" }

// submit submits the unit.
func (s *scene) submit() {
	s.t.Helper()
	s.identify(s.begin(s.payloadFile()).Wait())
}

// identify finds the unit after the submission has ended, however it did.
func (s *scene) identify(r harness.Result) {
	s.t.Helper()
	if _, id, ok := strings.Cut(r.Stdout, "Unit ID: "); ok && r.Code == 0 {
		s.unit = strings.TrimSpace(id)
		return
	}
	if r.Code == 0 || r.Stderr == "" {
		s.t.Errorf("submit: %+v", r)
	}
	units := s.c.Units()
	if len(units) > 1 {
		s.t.Errorf("one submission, units %v", units)
	}
	for id := range units {
		s.unit = id
	}
}

// strike has the fault happen.
func (s *scene) strike() {
	s.t.Helper()
	switch s.fault {
	case "link-silent":
		s.cable.Hold()
	case "link-closed":
		s.cable.Cut()
	case "relay":
		s.relay.Kill()
	case "controller":
		s.c.Kill()
	case "executor", "daemon":
		s.e.Kill()
	case "supervisor":
		s.killSupervisor()
	case "supervisor+daemon":
		s.e.Kill()
		s.killSupervisor()
	case "command":
		harness.KillNow(s.e.Commands()...)
	case "node", "everything":
		s.e.KillAll()
	case "disk", "disk-executor", "disk-controller":
		s.disk.Fill(0)
	default:
		s.t.Fatalf("unknown fault %q", s.fault)
	}
}

func (s *scene) killSupervisor() {
	s.t.Helper()
	pids := s.e.Supervisors()
	if len(pids) == 0 {
		s.t.Fatal("no supervisor to kill")
	}
	harness.KillNow(pids...)
}

// mend undoes the fault, apart from a full disk, and heals the cable.
func (s *scene) mend() {
	s.t.Helper()
	switch s.fault {
	case "link-silent": // the silence has to last
		time.Sleep(500*time.Millisecond + time.Duration(s.rand.IntN(2000))*time.Millisecond)
	case "relay":
		s.relay.Start()
		for _, c := range []*harness.Cable{s.cable, s.second} {
			c.SetTarget(s.relay.ListenAddr("tcp"))
		}
	case "controller":
		s.c.Start()
	case "executor", "daemon", "supervisor+daemon", "node", "everything":
		s.e.Start()
	}
	if s.cable != nil {
		s.cable.Heal()
	}
}

// wrote waits until the command has written the first part, and the controller
// has it too if here.
func (s *scene) wrote(here bool) {
	s.t.Helper()
	s.e.Eventually("have the first part of the output", func() bool {
		files, _ := filepath.Glob(filepath.Join(s.e.DataDir(), "*", "stdout"))
		for _, f := range files {
			if info, err := os.Stat(f); err == nil && info.Size() == int64(s.half) {
				return true
			}
		}
		return false
	})
	if here {
		s.await("show the first part of the output", func(r harness.Record) bool { return r.StdoutSize == s.half })
	}
}

// await waits until the controller shows the unit so.
func (s *scene) await(what string, ok func(harness.Record) bool) harness.Record {
	s.t.Helper()
	var r harness.Record
	var known bool
	deadline := time.Now().Add(2 * harness.Patience)
	for ; ; time.Sleep(20 * time.Millisecond) {
		if r, known = s.c.Unit(s.unit); known && ok(r) {
			return r
		}
		if time.Now().After(deadline) {
			s.t.Fatalf("%s does not %s: %+v", s.c.ID, what, r)
		}
	}
}

// lines is how many lines the job has written to one of its files.
func (s *scene) lines(file string) int {
	data, _ := os.ReadFile(filepath.Join(s.dir, file))
	return strings.Count(string(data), "\n")
}
