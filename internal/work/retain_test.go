package work

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/receptor-go/receptor/internal/controlproto"
)

func (n *node) ids() []string {
	var ids []string
	for id := range n.m.List() {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	return ids
}

func TestRetention(t *testing.T) {
	const hour = time.Hour
	now := time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)
	for _, tt := range []struct {
		keepFor   time.Duration
		keepCount int
		want      []string
	}{
		{0, 0, []string{"Ended000", "Ended001", "Ended002", "Ended003", "Others00", "Running1", "Remote01"}},
		{2 * hour, 0, []string{"Ended000", "Ended001", "Others00", "Running1", "Remote01"}},
		{0, 1, []string{"Ended000", "Others00", "Running1", "Remote01"}},
		{2 * hour, 3, []string{"Ended000", "Ended001", "Others00", "Running1", "Remote01"}},
		{3*hour + 1, 2, []string{"Ended000", "Ended001", "Others00", "Running1", "Remote01"}},
	} {
		n, _ := newNode(t, "solo")
		n.stop()
		for i := range 4 {
			putUnit(t, n, fmt.Sprintf("Ended%03d", i), map[string][]byte{fileStatus: fmt.Appendf(nil,
				`{"State":%d,"Detail":"x","WorkType":"kept","Ended":%q}`, 2+i%3, now.Add(-time.Duration(i)*hour).Format(time.RFC3339))})
		}
		old := `"Ended":"2001-01-01T00:00:00Z"}`
		putUnit(t, n, "Others00", map[string][]byte{fileStatus: []byte(`{"State":2,"WorkType":"other",` + old)})
		putUnit(t, n, "Remote01", map[string][]byte{fileStatus: []byte(`{"State":2,"WorkType":"remote","ExtraData":{},` + old)})
		putUnit(t, n, "Running1", map[string][]byte{fileStatus: []byte(`{"State":0,"Detail":"Waiting for Input Data","WorkType":"kept","ExtraData":{"Pid":0,"Params":""}}`),
			fileReceipt: []byte(`{"version":1,"chosen":true,"status":{"WorkType":"kept"}}` + "\n")})
		n.c.Types = []Command{{WorkType: "kept", Command: "true"}, {WorkType: "other", Command: "true"}}
		n.start()
		n.m.up(t.Context())
		set := newTypesOf(t, Command{WorkType: "kept", Command: "true", KeepFor: tt.keepFor, KeepCount: tt.keepCount}, Command{WorkType: "other", Command: "true"})
		n.m.types.Store(set)
		for range 2 {
			n.m.sweep(t.Context(), now)
			slices.Sort(tt.want)
			// The sweep of Run may be at work, too.
			until(t, fmt.Sprintf("keepfor %v, keepcount %d: left %v, want %v", tt.keepFor, tt.keepCount, n.ids(), tt.want),
				func() bool { return slices.Equal(n.ids(), tt.want) })
		}
		entries, _ := os.ReadDir(n.c.Dir)
		if len(entries) != len(tt.want) {
			t.Errorf("files are left of %v", entries)
		}
		n.stop()
	}
}

func newTypesOf(t *testing.T, list ...Command) *types {
	t.Helper()
	ts, err := newTypes(list)
	if err != nil {
		t.Fatal(err)
	}
	return ts
}

// The sweep comes by itself; a unit that is read stays until its reader is done.
func TestRetentionWaitsForReaders(t *testing.T) {
	n, _ := newNode(t, "solo")
	id := n.mustSubmit("echo", "hello", "")
	n.await(id, controlproto.Succeeded)
	other := n.mustSubmit("echo", "hello", "")
	n.await(other, controlproto.Succeeded)
	hold := &heldSink{at: make(chan struct{}), gate: make(chan struct{})}
	ended := make(chan error, 1)
	go func() {
		_, err := n.m.Follow(context.Background(), id, FollowOptions{}, hold)
		ended <- err
	}()
	<-hold.at
	kept := slices.Clone(testTypes)
	for i := range kept {
		kept[i].KeepFor = time.Nanosecond
	}
	if err := n.m.SetTypes(kept); err != nil {
		t.Fatal(err)
	}
	until(t, "the other unit is gone", func() bool { _, err := n.m.Status(other); return err != nil })
	if _, err := n.m.Status(id); err != nil {
		t.Errorf("the unit that is read: %v", err)
	}
	close(hold.gate)
	if err := <-ended; err != nil || hold.out.String() != "hello\n" {
		t.Errorf("%v %q", err, hold.out.String())
	}
	until(t, "it is gone now", func() bool { _, err := n.m.Status(id); return err != nil })
	if _, err := os.Stat(filepath.Join(n.c.Dir, id)); err == nil {
		t.Error("its files are left")
	}
}

// heldSink stops at its first status until it is let go.
type heldSink struct {
	collect
	at, gate chan struct{}
	held     bool
}

func (h *heldSink) Status(controlproto.UnitStatus) error {
	if !h.held {
		h.held = true
		close(h.at)
		<-h.gate
	}
	return nil
}

// Whoever repeats a submission of a unit that was released must not run it again,
// also after the daemon was killed.
func TestReleasedStaysReleased(t *testing.T) {
	n, sup := newNode(t, "solo")
	s := controlproto.Submit{Node: "solo", WorkType: "true", UnitID: "Chosen01"}
	id, _, err := n.submit(s, "")
	if err != nil {
		t.Fatal(err)
	}
	n.await(id, controlproto.Succeeded)
	if _, err := n.m.Release(t.Context(), id, false); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if _, err := n.m.Create(s, Origin{}); controlproto.CodeOf(err) != controlproto.NotFound {
			t.Errorf("made again: %v", err)
		}
		n.restart()
	}
	if sup.Starts(id) > 1 {
		t.Error("run again")
	}
	// The file is bounded, and keeps the newest.
	g := n.m.graves
	for i := range 3 * maxGraves {
		g.add(fmt.Sprintf("Grav%04x", i))
	}
	newest := fmt.Sprintf("Grav%04x", 3*maxGraves-1)
	again := loadGraves(n.m.store)
	if !again.has(newest) || again.has("Grav0000") || len(again.order) != maxGraves || again.lines > 2*maxGraves+1 {
		t.Errorf("%d ids in %d lines", len(again.order), again.lines)
	}
	os.WriteFile(filepath.Join(n.c.Dir, fileGraves), []byte("\x00garbage\nhalf"), 0o600)
	n.restart()
}

// A release may overtake the submission that it is about, which was given up: this one
// is refused then. Once it started work that nobody asked for again, and that nobody
// ended.
func TestReleasedBeforeItCame(t *testing.T) {
	n, sup := newNode(t, "solo")
	s := controlproto.Submit{Node: "solo", WorkType: "true", UnitID: "Chosen02", Stream: true}
	_, released := n.m.Release(t.Context(), "Chosen03", false)
	for id, err := range map[string]error{
		"Chosen03": released,
		s.UnitID:   n.m.Authorize("release", s.UnitID, "", Origin{}),
	} {
		if controlproto.CodeOf(err) != controlproto.NotFound {
			t.Errorf("release of a unit that is not there: %v", err)
		}
		s.UnitID = id
		if _, err := n.m.Create(s, Origin{}); controlproto.CodeOf(err) != controlproto.NotFound {
			t.Errorf("made after its release: %v", err)
		}
	}
	if n.m.graves.add("Released"); sup.Starts(s.UnitID) > 0 {
		t.Error("was started")
	}
	// Who releases what is not there neither fills the memory nor has what was released forgotten.
	for i := range 2 * maxGraves {
		n.m.Release(t.Context(), fmt.Sprintf("None%04x", i), false)
	}
	n.m.Release(t.Context(), strings.Repeat("x", 1000), false)
	g := n.m.graves
	if len(g.early.order) != maxGraves || len(g.early.known) != maxGraves || g.has(s.UnitID) || !g.has("Released") {
		t.Errorf("%d ids are known, the first %v, that of a unit %v", len(g.early.order), g.has(s.UnitID), g.has("Released"))
	}
	if _, err := n.m.Create(s, Origin{}); err != nil {
		t.Errorf("an id that was forgotten: %v", err)
	}
}

// Units whose type was unknown at the start are taken up when it is known.
func TestTypesThatComeLater(t *testing.T) {
	n, sup := newNode(t, "solo")
	n.stop()
	all := n.c.Types
	ours := receipt{Accepted: true, Order: 5, Status: record{Detail: detailStarting, WorkType: "true", ExtraData: []byte(`{"Pid":0,"Params":""}`)}}
	b, _ := ours.encode()
	status, _ := ours.Status.appendStatus(nil)
	putUnit(t, n, "Receipt1", map[string][]byte{fileStatus: status, fileReceipt: b, fileStdin: nil})
	putUnit(t, n, "Legacy01", map[string][]byte{fileStatus: []byte(`{"State":1,"Detail":"Running: PID 4","WorkType":"true","ExtraData":{"Pid":999999999,"Params":""}}`)})
	n.c.Types = nil
	n.start()
	until(t, "they wait", func() bool {
		return n.detail("Receipt1") == "Pending Waiting: work type true is not configured on this node" && n.detail("Legacy01") == "Running Running: PID 4"
	})
	if err := n.m.SetTypes(all); err != nil {
		t.Fatal(err)
	}
	n.await("Receipt1", controlproto.Succeeded)
	n.await("Legacy01", controlproto.Failed)
	if sup.Starts("Receipt1") != 1 {
		t.Errorf("started %d times", sup.Starts("Receipt1"))
	}
}
