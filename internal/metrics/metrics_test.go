package metrics

import (
	"context"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/receptor-go/receptor/internal/controlproto"
	"github.com/receptor-go/receptor/internal/mesh"
	"github.com/receptor-go/receptor/internal/mesh/link"
	"github.com/receptor-go/receptor/internal/mesh/wire"
	"github.com/receptor-go/receptor/internal/pki"
	"github.com/receptor-go/receptor/internal/work"
	"github.com/receptor-go/receptor/internal/work/supervise"
)

const patience = 20 * time.Second

// runs runs f until the test ends.
func runs(t *testing.T, f func(context.Context) error) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- f(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

func node(t *testing.T, id string) *mesh.Node {
	n, err := mesh.New(mesh.Config{ID: wire.NodeID(id)})
	if err != nil {
		t.Fatal(err)
	}
	runs(t, n.Run)
	return n
}

// serve serves a source and returns its address.
func serve(t *testing.T, s Source) string {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	runs(t, func(ctx context.Context) error { return Serve(ctx, ln, s) })
	return "http://" + ln.Addr().String()
}

func get(t *testing.T, url string) (code int, text string) {
	t.Helper()
	c := http.Client{Timeout: patience}
	defer c.CloseIdleConnections()
	r, err := c.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	b, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return r.StatusCode, string(b)
}

// TestNames holds docs/metrics.md and what is served together, and looks at
// some values.
func TestNames(t *testing.T) {
	a, b := node(t, "a"), node(t, "b")
	ln, err := link.ListenTCP("127.0.0.1:0", nil)
	if err != nil {
		t.Fatal(err)
	}
	runs(t, func(ctx context.Context) error { return a.ServeLinks(ctx, ln, mesh.LinkPolicy{}) })
	runs(t, func(ctx context.Context) error {
		return b.KeepLink(ctx, link.DialTCP(ln.Addr(), nil), mesh.LinkPolicy{}, true)
	})
	for end := time.Now().Add(patience); len(a.Status().Routes) == 0; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("no route")
		}
	}
	certificates := func() []pki.Certificate {
		c := pki.Certificate{Section: "tls-server", Entry: "s", Use: "certificate", File: "f", Until: time.Now().Add(-time.Hour)}
		same := c
		same.Use = "authorities"
		return []pki.Certificate{c, same}
	}
	url := serve(t, Source{
		Node: a, Sessions: func() int { return 3 }, Refused: func() uint64 { return 3 }, Ready: func() bool { return true }, Version: "1.5.0",
		Certificates: certificates,
		Audit:        func() (written, lost uint64) { return 7, 2 },
	})
	code, text := get(t, url+"/metrics")
	if code != http.StatusOK {
		t.Fatalf("%d: %s", code, text)
	}
	for _, want := range []string{
		`receptor_info{node="a",version="1.5.0"} 1`, "receptor_links 1", "receptor_links_established_total 1", "receptor_links_ended_total 0",
		`receptor_link_cost{peer="b"} 1`, "receptor_routes 1", "receptor_known_nodes 2", "receptor_control_sessions 3", "receptor_audit_entries_total 7", "receptor_audit_entries_lost_total 2", `receptor_drops_total{cause="firewall"} 0`,
	} {
		if !strings.Contains(text, "\n"+want+"\n") {
			t.Errorf("no %s", want)
		}
	}
	if n := len(regexp.MustCompile(`(?m)^receptor_certificate_seconds_left\{file="f",name="s",section="tls-server",use="(certificate|authorities)"\} -36\d\d\.?\d*$`).FindAllString(text, -1)); n != 2 {
		t.Errorf("%d certificates", n)
	}
	if regexp.MustCompile(`(?m)^receptor_link_(sent|received)_(bytes|frames)_total\{peer="b"\} 0$`).MatchString(text) {
		t.Error("a link that came up has moved nothing")
	}
	doc, err := os.ReadFile("../../docs/metrics.md")
	if err != nil {
		t.Fatal(err)
	}
	told := map[string]string{"receptor_units": "gauge"} // by TestUnits
	for _, m := range regexp.MustCompile(`(?m)^# TYPE (receptor_\w+) (\w+)$`).FindAllStringSubmatch(text, -1) {
		told[m[1]] = m[2]
	}
	rows := regexp.MustCompile("(?m)^\\| `(receptor_\\w+)` \\| (\\w+) \\|").FindAllStringSubmatch(string(doc), -1)
	for _, m := range rows {
		if told[m[1]] != m[2] {
			t.Errorf("%s is a %q, and in the document a %s", m[1], told[m[1]], m[2])
		}
		delete(told, m[1])
	}
	for name := range told {
		t.Errorf("%s is not in the document", name)
	}
	if !strings.Contains(text, "\ngo_goroutines ") {
		t.Error("nothing about the runtime")
	}
}

// TestUnits counts units by type and state, whatever is in the names.
func TestUnits(t *testing.T) {
	dir := t.TempDir()
	m, err := work.New(work.Config{Dir: dir, Node: "a", Supervisor: supervise.Config{Dir: filepath.Join(dir, ".supervisor"), Argv: []string{"true"}}, Types: []work.Command{
		{WorkType: "one", Command: "true"}, {WorkType: "odd \xff\"", Command: "true"},
	}})
	if err != nil {
		t.Fatal(err)
	}
	runs(t, m.Run)
	url := serve(t, Source{Node: node(t, "a"), Work: m, Sessions: func() int { return 0 }, Refused: func() uint64 { return 3 }})
	if code, text := get(t, url+"/metrics"); code != http.StatusOK || strings.Contains(text, "receptor_units") {
		t.Errorf("%d, units of nobody: %s", code, text)
	}
	for _, typ := range []string{"one", "one", "odd \xff\""} {
		if _, err := m.Create(controlproto.Submit{Node: "a", WorkType: typ}, work.Origin{}); err != nil {
			t.Fatal(err)
		}
	}
	code, text := get(t, url+"/metrics")
	for _, want := range []string{
		"# TYPE receptor_units gauge", `receptor_units{state="Pending",work_type="one"} 2`, `receptor_units{state="Pending",work_type="odd ?\""} 1`,
	} {
		if code != http.StatusOK || !strings.Contains(text, want+"\n") {
			t.Errorf("%d, no %s in %s", code, want, text)
		}
	}
}

// TestHealth: a node that answers is well; ready is what the daemon says.
func TestHealth(t *testing.T) {
	var ready atomic.Bool
	url := serve(t, Source{Node: node(t, "a"), Ready: ready.Load})
	for _, want := range []struct {
		ready bool
		path  string
		code  int
	}{{false, "/healthz", 200}, {false, "/readyz", 503}, {true, "/readyz", 200}, {true, "/", 404}} {
		ready.Store(want.ready)
		if code, text := get(t, url+want.path); code != want.code {
			t.Errorf("%s: %d %s, want %d", want.path, code, text, want.code)
		}
	}
}

// A node that does not answer is not well, and is asked once, however often its
// health is.
func TestHealthOfStuckNode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var asked atomic.Int64
		stuck := make(chan struct{})
		h := &health{answers: func() { asked.Add(1); <-stuck }, slot: make(chan struct{}, 1)}
		start := time.Now()
		for range 3 {
			if h.good(t.Context()) {
				t.Error("it is well")
			}
		}
		if took := time.Since(start); asked.Load() != 1 || took != 3*healthTimeout {
			t.Errorf("asked %d times in %v", asked.Load(), took)
		}
		close(stuck)
		synctest.Wait()
		if !h.good(t.Context()) || asked.Load() != 2 {
			t.Error("it answers again, and is not well")
		}
	})
}
