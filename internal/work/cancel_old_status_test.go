package work

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/receptor-go/receptor/internal/controlproto"
)

// A controller that is killed before it has written that the other node took the unit, but after output came from there: a cancel then asks that
// node, which says how the unit ended. It once ended here as canceled, with a size of 0 beside the output that had come.
func TestCancelOfAFarUnitWithAnOldStatus(t *testing.T) {
	p := newPair(t)
	id := p.mustHand(t, "cat", "payload")
	p.foo.await(id, controlproto.Succeeded)
	p.foo.stop()
	name := filepath.Join(p.foo.c.Dir, id, fileStatus)
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	old := strings.NewReplacer(`"State":2`, `"State":0`, `"RemoteStarted":true`, `"RemoteStarted":false`, `"StdoutSize":7`, `"StdoutSize":0`).Replace(string(b))
	if strings.Count(old, "false") != strings.Count(string(b), "false")+1 || !strings.Contains(old, `"State":0`) {
		t.Fatalf("status %s", b)
	}
	if err := os.WriteFile(name, []byte(old), 0o600); err != nil {
		t.Fatal(err)
	}
	p.link.cut()
	p.foo.start()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if pending, err := p.foo.m.Cancel(ctx, id); !pending && err == nil {
		t.Error("canceled without the other node")
	}
	p.link.mend()
	p.foo.await(id, controlproto.Succeeded)
	if u, _ := p.foo.m.Status(id); u.StdoutSize != int64(len("payload")) {
		t.Errorf("%+v", u)
	}
	p.wantStarts(t, 1)
}
