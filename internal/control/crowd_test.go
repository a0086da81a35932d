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

// TestAnswersThatCost: an answer that took long is given for a part of a second even if
// something has changed.
func TestAnswersThatCost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, err := mesh.New(mesh.Config{ID: "a"})
		if err != nil {
			t.Fatal(err)
		}
		var a answers
		made, cost := 0, freeAnswer
		ask := func(after time.Duration) {
			t.Helper()
			time.Sleep(after)
			n.SetWorkTypes(nil) // a change
			if _, err := a.get(n.Turn, []string{"NodeID"}, func() map[string]any { made++; time.Sleep(cost); return nil }); err != nil {
				t.Fatal(err)
			}
		}
		ask(0)
		ask(0)
		if made != 2 {
			t.Errorf("%d answers, want a new one for each question as they cost little", made)
		}
		cost += 50 * time.Millisecond
		ask(0)
		for range 3 { // for 200 ms after its making began, which took 55
			ask(40 * time.Millisecond)
		}
		if made != 3 {
			t.Errorf("%d answers, want one for all", made-2)
		}
		ask(40 * time.Millisecond)
		if made != 4 {
			t.Errorf("%d answers, want a second", made-2)
		}
		cost = time.Minute
		ask(time.Second)
		ask(answerAge)
		if made != 6 {
			t.Errorf("an answer older than %v was given", answerAge)
		}
	})
}

// TestLargeAnswersGo: a large answer is not kept when it is of no use any more.
func TestLargeAnswersGo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, err := mesh.New(mesh.Config{ID: "a"})
		if err != nil {
			t.Fatal(err)
		}
		var a answers
		ask := func(size int) {
			t.Helper()
			if _, err := a.get(n.Turn, []string{"NodeID"}, func() map[string]any { return map[string]any{"x": make([]byte, size)} }); err != nil {
				t.Fatal(err)
			}
		}
		kept := func(want int) {
			t.Helper()
			synctest.Wait()
			a.mu.Lock()
			defer a.mu.Unlock()
			if len(a.kept) != want {
				t.Errorf("%d answers are kept, want %d", len(a.kept), want)
			}
		}
		ask(smallAnswer)
		kept(1)
		time.Sleep(answerAge - time.Nanosecond)
		kept(1)
		n.SetWorkTypes(nil) // another answer takes its place
		ask(smallAnswer)
		time.Sleep(time.Nanosecond)
		kept(1)
		time.Sleep(answerAge)
		kept(0)
		ask(10)
		time.Sleep(time.Hour)
		kept(1)
	})
}

// TestCrowdUntaken: the bytes that wait for clients are bounded, and those that several
// are sent count once.
func TestCrowdUntaken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var closed atomic.Uint64
		c := &crowd{closed: &closed}
		write := func(b []byte) *presence {
			near, far := net.Pipe()
			t.Cleanup(func() { near.Close(); far.Close() })
			p := &presence{crowd: c, conn: near}
			go p.writer().Write(b) // ends with the pipe
			synctest.Wait()
			return p
		}
		answer := make([]byte, maxUntaken/4)
		for range 20 {
			write(answer)
		}
		idle := write(nil)
		idle.read(true)
		time.Sleep(2 * leastWait)
		for range 3 {
			write(make([]byte, maxUntaken/4))
		}
		if n := closed.Load(); n != 0 {
			t.Fatalf("%d sessions were closed while there is room", n)
		}
		time.Sleep(2 * leastWait)
		write([]byte("x"))
		if n := closed.Load(); n != 1 {
			t.Errorf("%d sessions were closed when there was too much, not 1", n)
		}
		if idle.at == nil {
			t.Error("a session that holds nothing was closed")
		}
		write(nil).read(true)
		if n := closed.Load(); n != 2 {
			t.Errorf("%d sessions were closed when another one came, not 2", n)
		}
	})
	synctest.Test(t, func(t *testing.T) { // all is given back
		var closed atomic.Uint64
		c := &crowd{closed: &closed}
		near, far := net.Pipe()
		go io.Copy(io.Discard, far) // ends with the pipe
		p := &presence{crowd: c, conn: near}
		for range 3 {
			p.writer().Write(make([]byte, maxUntaken+1))
		}
		near.Close()
		line := make([]byte, 100) // to one session whole, and to another without its end
		c.hold(line)
		c.hold(line[:99])
		c.drop(line)
		c.drop(line[:99])
		if c.untaken != 0 || len(c.writes) != 0 {
			t.Errorf("%d bytes in %d writes are left", c.untaken, len(c.writes))
		}
	})
}
