//go:build attack

package attack

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/receptor-go/receptor/internal/pki/pkitest"
	"github.com/receptor-go/receptor/test/harness"
)

var programs harness.Programs

func TestMain(m *testing.M) {
	if os.Getenv(roleVariable) != "" {
		os.Exit(attackers(os.Stdin, os.Stdout))
	}
	os.Exit(harness.Build(m, &programs))
}

// What the daemon is held to. The answer time is that of a machine with two
// cores on which the attackers run as well; the figures are printed.
const (
	maxGrowth   = 64 << 20 // bytes of memory, when the attack is over and the daemon has settled
	maxPeak     = 1 << 30  // bytes of memory at any time, while all attack at once
	maxMissed   = 20       // one in so many pings of the neighbour may be lost while packets are dropped
	maxMedian   = 100 * time.Millisecond
	maxAnswer   = 30 * time.Second // the slowest of all: where everything wants both cores, whole processes stand still for seconds
	maxLogBytes = 256 << 10        // per second: counted, not a line each
	settleTime  = 200 * time.Second
	together    = 4 // attacks at a time
)

// TestAttack is the whole of it; see the package documentation.
func TestAttack(t *testing.T) {
	length, seed := settings(t)
	t.Logf("SEED=%d ATTACK=%v", seed, length)
	r := rand.New(rand.NewPCG(seed, 1))
	s := newScene(t)
	child := startAttackers(t, s)
	all := chosen(t)
	s.watch.begin()

	// Each attack comes at least once, together with others; what time is left
	// goes to groups drawn at random, and the end belongs to all at once.
	var waves [][]string
	for order := slices.Clone(all); len(order) > 0; {
		if len(waves) == 0 {
			r.Shuffle(len(order), func(i, j int) { order[i], order[j] = order[j], order[i] })
		}
		n := min(together, len(order))
		waves, order = append(waves, order[:n]), order[n:]
	}
	wave := max(length/time.Duration(len(waves)+2), time.Second)
	if wave > 6*time.Second {
		wave = 6 * time.Second
	}
	end := time.Now().Add(length - 2*wave)
	for i := 0; i < len(waves) || time.Now().Before(end); i++ {
		names := all
		if i < len(waves) {
			names = waves[i]
		} else {
			r.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
			names = slices.Clone(all[:min(together, len(all))])
		}
		s.wave(child, r, names, wave)
	}
	s.wave(child, r, all, 2*wave)
	child.stop()
	s.watch.end()
	s.verdict(length)
}

// wave runs attacks at the same time and says what they did to the daemon.
func (s *scene) wave(child *attackProcess, r *rand.Rand, names []string, length time.Duration) {
	s.t.Helper()
	from := time.Now()
	for _, name := range names {
		child.run(name, r.Uint64(), length)
	}
	child.wait(names)
	s.t.Logf("%-70s %s", strings.Join(names, ", "), s.watch.since(from))
	if !s.target.Alive() {
		s.t.Fatalf("the daemon has ended\n%s", s.target.Log())
	}
}

func settings(t *testing.T) (length time.Duration, seed uint64) {
	length, err := time.ParseDuration(orDefault("ATTACK", "1m"))
	if err != nil {
		t.Fatalf("ATTACK: %v", err)
	}
	if seed, err = strconv.ParseUint(orDefault("SEED", fmt.Sprint(time.Now().UnixNano())), 10, 64); err != nil {
		t.Fatalf("SEED: %v", err)
	}
	return length, seed
}

func orDefault(variable, value string) string {
	if s := os.Getenv(variable); s != "" {
		return s
	}
	return value
}

func chosen(t *testing.T) []string {
	var names []string
	only := os.Getenv("ONLY")
	for _, a := range attacks {
		if only == "" || slices.Contains(strings.Split(only, ","), a.name) {
			names = append(names, a.name)
		}
	}
	if len(names) == 0 {
		t.Fatalf("ONLY names no attack: %s", only)
	}
	return names
}

// scene is the daemon under attack and its honest neighbour.
type scene struct {
	t              *testing.T
	target, honest *harness.Node
	where          address
	unit           string // has ended, with much output
	watch          *watch
}

func newScene(t *testing.T) *scene {
	dir := harness.Dir(t)
	port := func() string { return fmt.Sprintf("127.0.0.1:%d", harness.FreePort(t)) }
	s := &scene{t: t, where: address{
		TCP: port(), UDP: port(), WS: port(), Control: port(), Metrics: port(), Proxy: port(), Echo: port(),
		TLS: port(), WSS: port(), ControlTLS: port(),
		Socket: filepath.Join(dir, "t.sock"),
	}}
	ca := pkitest.NewCA(t, "ca")
	cert, key := ca.Write(dir, "t", pkitest.Template{})
	s.target = harness.New(t, programs, dir, "t", fmt.Sprintf(`
- control-service: {service: ctl2, tcplisten: %q}
- tcp-listener: {bindaddr: 127.0.0.1, port: %s}
- udp-listener: {bindaddr: 127.0.0.1, port: %s}
- ws-listener: {bindaddr: 127.0.0.1, port: %s}
- tcp-server: {port: %s, remotenode: t, remoteservice: echo}
- tcp-client: {service: echo, address: %q}
- work-command: {worktype: cat, command: cat}
- work-command: {worktype: sleep, command: sleep, params: "60"}
- work-command: {worktype: bulk, command: sh, params: "-c 'head -c 20000000 /dev/zero'"}
- metrics: {address: %q}
- tls-server: {name: secure, cert: %q, key: %q, clientcas: %q, requireclientcert: true}
- tcp-listener: {bindaddr: 127.0.0.1, port: %s, tls: secure}
- ws-listener: {bindaddr: 127.0.0.1, port: %s, tls: secure}
- control-service: {service: ctl3, tcplisten: %q, tcptls: secure, tls: secure}
`, s.where.Control, portOf(s.where.TCP), portOf(s.where.UDP), portOf(s.where.WS), portOf(s.where.Proxy), s.where.Echo, s.where.Metrics,
		cert, key, pkitest.File(t, filepath.Join(dir, "ca.crt"), ca.PEM), portOf(s.where.TLS), portOf(s.where.WSS), s.where.ControlTLS))
	s.target.Level = "info"
	s.target.Start()
	s.honest = harness.New(t, programs, dir, "honest", fmt.Sprintf("- tcp-peer: {address: %q}\n", s.where.TCP))
	s.honest.Start()
	s.target.Reach(s.honest)
	s.unit = strings.TrimSpace(s.target.RunInput("", "work", "submit", "bulk", "--no-payload"))
	s.unit = s.unit[strings.LastIndex(s.unit, " ")+1:]
	s.target.Eventually("run a unit", func() bool { u, ok := s.target.Unit(s.unit); return ok && u.StateName == "Succeeded" })
	s.where.Unit = s.unit
	s.watch = newWatch(s)
	return s
}

func portOf(addr string) string { return addr[strings.LastIndex(addr, ":")+1:] }
