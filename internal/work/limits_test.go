package work

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/receptor-go/receptor/internal/controlproto"
)

// TestMaxUnits: a node holds as many units as it says, and then refuses further ones in
// words that help; a release makes room.
func TestMaxUnits(t *testing.T) {
	n, _ := newNode(t, "solo")
	first := n.mustSubmit("true", "", "")
	n.await(first, controlproto.Succeeded)
	n.m.mu.Lock()
	for i := len(n.m.units); i < MaxUnits-1; i++ {
		n.m.units[fmt.Sprint("dummy", i)] = &unit{rec: record{State: controlproto.Succeeded}}
	}
	n.m.mu.Unlock()
	last := n.mustSubmit("true", "", "")
	n.await(last, controlproto.Succeeded)
	_, _, err := n.submit(controlproto.Submit{Node: "solo", WorkType: "true"}, "")
	if controlproto.CodeOf(err) != controlproto.Busy || err.Error() != "this node holds 100000 work units, which is the limit: release some" {
		t.Errorf("one more: %v", err)
	}
	if _, err := n.m.Release(t.Context(), first, false); err != nil {
		t.Fatal(err)
	}
	n.mustSubmit("true", "", "")
}

// TestLargestFiles: what is read of a unit into memory is bounded.
func TestLargestFiles(t *testing.T) {
	n, _ := newNode(t, "solo")
	s := n.m.store
	const id = "Largest1"
	if err := os.Mkdir(s.path(id), 0o700); err != nil {
		t.Fatal(err)
	}
	put := func(file string, b []byte) {
		t.Helper()
		if err := os.WriteFile(s.path(id, file), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	put(fileStatus, bytes.Repeat([]byte("x"), 100))
	if b, err := s.read(id, fileStatus, 100); err != nil || len(b) != 100 {
		t.Errorf("%d bytes, %v", len(b), err)
	}
	if _, err := s.read(id, fileStatus, 99); err == nil || !strings.HasSuffix(err.Error(), filepath.Join(id, fileStatus)+" is longer than 99 bytes") {
		t.Errorf("one byte more: %v", err)
	}
	// Of a sparse file nothing but its length is looked at.
	for _, file := range []string{fileStatus, fileOutcome, fileEnd} {
		put(file, nil)
		if err := os.Truncate(s.path(id, file), 1<<40); err != nil {
			t.Skip(err)
		}
	}
	if _, err := s.read(id, fileOutcome, maxOutcome); err == nil {
		t.Error("an outcome of a terabyte is read")
	}
	if _, err := s.payloadEnd(id); err == nil || !strings.Contains(err.Error(), "longer than 32 bytes") {
		t.Errorf("the end of a payload: %v", err)
	}
	if _, err := parseStatus(make([]byte, maxStatus+1)); err == nil || !strings.Contains(err.Error(), "too long") {
		t.Errorf("a status: %v", err)
	}
	if err := os.RemoveAll(s.path(id)); err != nil {
		t.Fatal(err)
	}
}
