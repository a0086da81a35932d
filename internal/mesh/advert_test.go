package mesh

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/receptor-go/receptor/internal/mesh/wire"
)

// TestAdvertVectors sends the recorded advertisements to a table. Where we
// deliberately differ from the original the case says so.
func TestAdvertVectors(t *testing.T) {
	var file struct {
		Rows []struct {
			Case      string
			Forwarded []string `json:"forwarded_to_dst"`
			Sent      string   `json:"sent_by_src"`
		}
	}
	b, err := os.ReadFile("testdata/advertisement-cases.json")
	if err == nil {
		err = json.Unmarshal(b, &file)
	}
	if err != nil {
		t.Fatal(err)
	}
	remembered := map[string]bool{ // we remember cancellations
		"the same cancel again is passed on again":                 true,
		"an advertisement older than the cancel is accepted again": true,
	}
	var table advertTable
	table.init("alpha")
	now := time.Now()
	for _, row := range file.Rows {
		frame := []byte("\x02" + row.Sent)
		a, err := wire.ParseAdvert(frame)
		if err != nil {
			t.Errorf("%s: %v", row.Case, err)
			continue
		}
		got, _ := table.receive(now, a, frame)
		want := len(row.Forwarded) > 0 && !remembered[row.Case]
		if (got != nil) != want {
			t.Errorf("%s: forwarded %q, want %v", row.Case, got, want)
		}
		if got != nil && string(got[1:]) != row.Forwarded[0] {
			t.Errorf("%s: forwarded %q, want it as it came", row.Case, got)
		}
	}
	if n := len(table.list()); n != 1 {
		t.Errorf("%d advertisements are left, want 1", n)
	}
}

// advert makes an advertisement and its frame.
func advert(node wire.NodeID, service wire.Service, at time.Time, cancel bool) (wire.Advert, []byte) {
	a := wire.Advert{NodeID: node, Service: service, Time: at, ConnType: wire.Stream, Cancel: cancel}
	return a, wire.AppendAdvert(nil, a)
}

// TestAdvertBounds: services of a node, of all nodes, in our own name.
func TestAdvertBounds(t *testing.T) {
	var table advertTable
	table.init("us")
	now := time.Now()
	enter := func(node wire.NodeID, service string) bool {
		a, frame := advert(node, wire.Service(service), now, false)
		news, fits := table.receive(now, a, frame)
		if news != nil && !fits {
			t.Errorf("%s/%s is forwarded and over a bound", node, service)
		}
		return news != nil
	}
	for i := range maxNodeAdverts + 10 {
		if ok := enter("a", fmt.Sprint(i)); ok != (i < maxNodeAdverts) {
			t.Fatalf("service %d of a node: %v", i, ok)
		}
	}
	if enter("us", "control") {
		t.Error("an advertisement in our own name was taken")
	}
	if enter("", "control") {
		t.Error("an advertisement of nobody was taken")
	}
	if a, frame := advert("a", "300", now, false); true {
		if _, fits := table.receive(now, a, frame); fits {
			t.Error("what is over the bound is not counted")
		}
	}
	table.size = maxAdverts - 10 // as if there were so many
	for i := range 20 {
		if ok := enter(wire.NodeID(fmt.Sprint("n", i)), "s"); ok != (i < 10) {
			t.Fatalf("advertisement %d before the bound: %v", 10-i, ok)
		}
	}
}

// TestAdvertAge: what is swept when.
func TestAdvertAge(t *testing.T) {
	start := time.Now()
	known := map[wire.NodeID]map[wire.NodeID]float64{"here": {}}
	for _, c := range []struct {
		node   wire.NodeID
		cancel bool
		age    time.Duration
		stays  bool
	}{
		{"here", false, advertAge - time.Second, true},
		{"here", false, advertAge, false},
		{"here", true, cancelAge - time.Second, true},
		{"here", true, cancelAge, false},
		{"gone", false, advertInterval - time.Second, true},
		{"gone", false, advertInterval, false},
	} {
		var table advertTable
		table.init("us")
		a, frame := advert(c.node, "s", start, c.cancel)
		table.receive(start, a, frame)
		table.sweep(start.Add(c.age), known)
		if stays := table.size == 1; stays != c.stays {
			t.Errorf("%s, cancel %v, after %v: stays %v, want %v", c.node, c.cancel, c.age, stays, c.stays)
		}
	}
}

// TestAcyclic: where a cancellation may be sent.
func TestAcyclic(t *testing.T) {
	for graph, want := range map[string]bool{
		"":                        true,
		"a-b":                     true,
		"a-b b-c c-d b-e":         true,
		"a-b c-d":                 true,
		"a-b b-c c-a":             false,
		"a-b b-c c-d d-e e-b f-g": false,
	} {
		known := map[wire.NodeID]map[wire.NodeID]float64{}
		for _, e := range strings.Fields(graph) {
			a, b := wire.NodeID(e[:1]), wire.NodeID(e[2:])
			for _, x := range [][2]wire.NodeID{{a, b}, {b, a}} {
				if known[x[0]] == nil {
					known[x[0]] = map[wire.NodeID]float64{}
				}
				known[x[0]][x[1]] = 1
			}
		}
		if got := acyclic(known); got != want {
			t.Errorf("acyclic(%q) = %v, want %v", graph, got, want)
		}
	}
}

// TestAdvertMemory: what others advertise takes no more than so much memory, however
// long their tags, and the room of what goes is free again. A neighbour could once
// fill hundreds of megabytes.
func TestAdvertMemory(t *testing.T) {
	var table advertTable
	table.init("us")
	now := time.Now()
	enter := func(node, service string, tag int, at time.Time) bool {
		a := wire.Advert{NodeID: wire.NodeID(node), Service: wire.Service(service), Time: at, Tags: map[string]string{"t": strings.Repeat("x", tag)}}
		news, _ := table.receive(now, a, wire.AppendAdvert(nil, a))
		return news != nil
	}
	taken := 0
	for i := 0; enter(fmt.Sprint("n", i/100), fmt.Sprint(i%100), 60_000, now); i++ {
		taken++
	}
	if most := maxAdvertBytes / 60_000; taken > most || taken < most/4 {
		t.Errorf("%d advertisements of 60,000 bytes were taken, the bound is %d bytes in all", taken, maxAdvertBytes)
	}
	if !enter("n0", "0", 10, now.Add(1)) {
		t.Error("a shorter advertisement of a known service was not taken")
	}
	if !enter("new", "x", 50_000, now) {
		t.Error("the room of the longer one is not free again")
	}
	left, a := table.bytes, wire.Advert{NodeID: "new", Service: "x", Time: now.Add(1), Tags: map[string]string{"t": strings.Repeat("x", 50_000)}, Cancel: true}
	if news, _ := table.receive(now, a, wire.AppendAdvert(nil, a)); news == nil || left-table.bytes < 50_000 {
		t.Errorf("a cancellation of 50,000 bytes is forwarded: %v; it frees %d bytes", news != nil, left-table.bytes)
	}
	if e := table.nodes["new"]["x"]; e.frame != nil || e.advert.Tags != nil || !e.advert.Cancel {
		t.Errorf("of a cancellation %+v is kept", e)
	}
	table.sweep(now.Add(advertAge), nil)
	if table.size != 0 || table.bytes != 0 {
		t.Errorf("%d advertisements of %d bytes are counted in an empty table", table.size, table.bytes)
	}
}

// TestAdvertOfAWrongClock: a node whose clock was far in the future, and was put
// right, is heard again: within advertAge, and not only when the future comes.
func TestAdvertOfAWrongClock(t *testing.T) {
	var table advertTable
	table.init("us")
	start := time.Now()
	known := map[wire.NodeID]map[wire.NodeID]float64{"n": {}}
	a, frame := advert("n", "s", start.AddDate(1000, 0, 0), false)
	if news, _ := table.receive(start, a, frame); news == nil {
		t.Fatal("an advertisement from the future was not taken")
	}
	for now := start; ; now = now.Add(advertInterval) {
		if now.Sub(start) > advertAge+2*advertInterval {
			t.Fatalf("not heard again within %v", now.Sub(start))
		}
		a, frame := advert("n", "s", now, false)
		if news, _ := table.receive(now, a, frame); news != nil {
			break
		}
		table.sweep(now, known)
	}
}
