package control

import (
	"encoding/json"
	"io"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/receptor-go/receptor/internal/controlproto"
	"github.com/receptor-go/receptor/internal/mesh"
)

// TestCrowd: of the sessions that wait for their clients, those that have waited
// longest give way; those that work are left alone.
func TestCrowd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var closed atomic.Uint64
		c := &crowd{closed: &closed}
		var all []*presence
		gone := func(p *presence) bool {
			p.conn.SetReadDeadline(time.Now())
			_, err := p.conn.Read(make([]byte, 1))
			return err == io.ErrClosedPipe
		}
		add := func() *presence {
			near, far := net.Pipe()
			t.Cleanup(func() { near.Close(); far.Close() })
			p := &presence{crowd: c, conn: near}
			p.read(true)
			all = append(all, p)
			return p
		}
		working, stuck := add(), add()
		working.read(false)
		working.work(1)
		working.read(true) // version 2 reads on while a request is under way
		stuck.read(false)
		go stuck.writer().Write([]byte("x")) // ends with the pipe
		synctest.Wait()
		for range maxWaiting - 1 {
			add()
		}
		add() // one too many, but all came just now
		if closed.Load() != 0 {
			t.Errorf("%d sessions were closed within the first moment", closed.Load())
		}
		time.Sleep(2 * leastWait)
		add()
		if !gone(stuck) || gone(working) || closed.Load() != 1 {
			t.Errorf("the session that takes nothing is closed: %v, one that works: %v, in all %d", gone(stuck), gone(working), closed.Load())
		}
		working.work(-1) // it waits from now on, and is the youngest
		if gone(working) || !gone(all[2]) {
			t.Error("a session whose request has ended went before those that wait longer")
		}
		for _, p := range all {
			p.leave()
		}
		if n := c.waiting.Len(); n != 0 {
			t.Errorf("%d sessions wait after all have left", n)
		}
	})
}

// TestReservedSessions: others cannot keep clients on Unix sockets out.
func TestReservedSessions(t *testing.T) {
	s := New(Config{MaxSessions: 1000})
	for i := range 1000 - reserved {
		if !s.enter(false) {
			t.Fatalf("session %d was refused", i)
		}
	}
	if s.enter(false) {
		t.Error("others take what is reserved")
	}
	for i := range reserved {
		if !s.enter(true) {
			t.Fatalf("reserved session %d was refused", i)
		}
	}
	if s.enter(true) {
		t.Error("there is no bound")
	}
}

// TestRequestedFields: whatever is asked for, the answer is an error or what there is.
func TestRequestedFields(t *testing.T) {
	for text, want := range map[string]string{
		`null`: "8", `[]`: "0", `["NodeID"]`: "1", `["NodeID","NodeID","nothing"]`: "1",
		`"NodeID"`: "list", `7`: "list", `{}`: "list", `true`: "list", `[7]`: "string", `[null]`: "string", `[["NodeID"]]`: "string",
	} {
		r, err := controlproto.ParseRequest([]byte(`{"command":"status","requested_fields":` + text + `}`))
		if err != nil {
			t.Fatal(err)
		}
		fields, err := (&Server{}).requestedFields(r)
		if want == "list" || want == "string" {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %v, %v", text, fields, err)
			}
			continue
		}
		n, err := mesh.New(mesh.Config{ID: "a"})
		if err != nil {
			t.Fatal(err)
		}
		var a answers
		s := &Server{Config: Config{Node: n}}
		line, err := a.get(n.Turn, fields, func() map[string]any { return s.statusReply(fields) })
		var members map[string]any
		if err != nil || json.Unmarshal(line, &members) != nil || len(members) != int(want[0]-'0') {
			t.Errorf("%s: %s, %v", text, line, err)
		}
	}
}

// TestAnswersAreShared: those who ask while nothing has changed get the same answer;
// a change is seen at once.
func TestAnswersAreShared(t *testing.T) {
	n, err := mesh.New(mesh.Config{ID: "a"})
	if err != nil {
		t.Fatal(err)
	}
	var a answers
	made := 0
	ask := func(fields ...string) {
		t.Helper()
		if _, err := a.get(n.Turn, fields, func() map[string]any { made++; return map[string]any{} }); err != nil {
			t.Fatal(err)
		}
	}
	ask("NodeID", "Version")
	ask("Version", "NodeID", "nothing")
	if made != 1 {
		t.Errorf("%d answers were made for the same question", made)
	}
	ask("Version")
	n.SetWorkTypes(nil)
	ask("Version")
	ask("NodeID", certificatesField)
	ask("NodeID", certificatesField)
	if made -= 2; made != 3 {
		t.Errorf("%d answers were made, want another for other members, and one after a change", made)
	}
}
