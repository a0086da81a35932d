package work

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/receptor-go/receptor/internal/controlproto"
)

// Every pair of states and changes: what has ended never moves, and nothing goes back.
func TestStep(t *testing.T) {
	const p, r, s, f, c = controlproto.Pending, controlproto.Running, controlproto.Succeeded, controlproto.Failed, controlproto.StateCanceled
	allowed := map[[2]controlproto.State]bool{
		{p, p}: true, {p, r}: true, {p, s}: true, {p, f}: true, {p, c}: true,
		{r, r}: true, {r, s}: true, {r, f}: true, {r, c}: true,
	}
	for from := controlproto.State(-1); from <= 6; from++ {
		for to := controlproto.State(-1); to <= 6; to++ {
			if from < p || from > c {
				continue
			}
			rec := record{State: from, Detail: "before", StdoutSize: 3}
			next, moved := rec.step(change{state: to, detail: "after", size: 5})
			if want := allowed[[2]controlproto.State{from, to}]; moved != want {
				t.Errorf("%v to %v: moved %v, want %v", from, to, moved, want)
			}
			if moved && (next.State != to || next.Detail != "after" || next.StdoutSize != 5) || !moved && (next.State != from || next.Detail != "before") {
				t.Errorf("%v to %v: %+v", from, to, next)
			}
			if again, moved := next.step(change{state: to, detail: "after", size: 5}); moved {
				t.Errorf("%v to %v twice: %+v", from, to, again)
			}
		}
	}
}

// disk records what the store does, to end it after any step and to know what
// a power cut would leave.
type disk struct {
	mu     sync.Mutex
	steps  []string
	stopAt int             // this step and all after it fail; -1: none
	synced map[string]bool // paths as they would survive a power cut
}

func (d *disk) did(op, path string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.steps = append(d.steps, op+" "+filepath.Base(path))
	if d.stopAt >= 0 && len(d.steps) > d.stopAt {
		return errStopped
	}
	switch op {
	case "sync":
		d.synced[filepath.Clean(path)] = true
	case "write", "create", "rename":
		delete(d.synced, filepath.Clean(path))
	}
	return nil
}

// The daemon is ended after each of its steps on the disk, with and without a
// power cut, and started again: what was accepted is done, exactly once, and
// what was not is Failed or not there.
func TestStopAfterEachStep(t *testing.T) {
	for _, chosen := range []string{"", "Chosen01"} {
		for _, power := range []bool{false, true} {
			for stop := 0; ; stop++ {
				if !stopAfter(t, stop, power, chosen) {
					t.Logf("chosen %q, power cut %v: %d steps", chosen, power, stop)
					break
				}
				if t.Failed() {
					t.Fatalf("stopped after step %d, power cut %v, chosen %q", stop, power, chosen)
				}
			}
		}
	}
}

// stopAfter is one such run; false when the run has fewer steps than that.
func stopAfter(t *testing.T, stop int, power bool, chosen string) bool {
	n, sup := newNode(t, "solo", func(c *Config) { c.Logger = nil })
	d := &disk{stopAt: stop, synced: map[string]bool{}}
	n.m.store.did = d.did
	accepted, id := false, ""
	sub, err := n.m.Create(controlproto.Submit{Node: "solo", WorkType: "cat", UnitID: chosen}, Origin{})
	if err == nil {
		id = sub.ID()
		if _, err = sub.Write([]byte("payload")); err == nil {
			_, err = sub.Start(t.Context())
			accepted = err == nil
		}
	}
	if accepted {
		n.await(id, controlproto.Succeeded)
	}
	n.stop()
	d.mu.Lock()
	enough := len(d.steps) > stop
	d.mu.Unlock()
	if power {
		powerCut(t, n.c.Dir, d)
	}
	n.start()
	list := n.m.List()
	switch {
	case accepted:
		if out, last := n.results(id, 0); last.State != controlproto.Succeeded || out != "payload" {
			t.Errorf("accepted, and now %q %+v", out, last)
		}
		if n := sup.Starts(id); n != 1 {
			t.Errorf("started %d times", n)
		}
	case chosen != "" && len(list) == 1:
		// Refused, cut before the answer, or waiting: its submitter comes back.
		for id := range list {
			u := list[id]
			if u.State == controlproto.Failed {
				break
			}
			again, err := n.m.Create(controlproto.Submit{Node: "solo", WorkType: "cat", UnitID: id}, Origin{})
			if err != nil {
				t.Errorf("the submitter comes back: %v", err)
				break
			}
			if _, err := again.Write([]byte("payload")[again.Received():]); err != nil {
				t.Error(err)
			}
			if _, err := again.Start(t.Context()); err != nil {
				t.Error(err)
			}
			if out, last := n.results(id, 0); last.State != controlproto.Succeeded || out != "payload" {
				t.Errorf("came back, and now %q %+v", out, last)
			}
		}
	default:
		for id, u := range list {
			if !u.State.Ended() && sup.Starts(id) == 0 {
				n.awaitThat(id, "ended", func(u controlproto.UnitStatus) bool { return u.State.Ended() })
			}
		}
	}
	n.stop()
	return enough
}

// powerCut does to a directory the worst that a power cut may do: what was not
// synced since it was written is empty.
func powerCut(t *testing.T, dir string, d *disk) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, e os.DirEntry, err error) error {
		if err != nil || e.IsDir() || d.synced[path] || e.Name() == fileStdout {
			return err
		}
		return os.Truncate(path, 0)
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestReleaseStopped(t *testing.T) {
	for stop := range 3 {
		n, _ := newNode(t, "solo", func(c *Config) { c.Logger = nil })
		id := n.mustSubmit("true", "", "")
		n.await(id, controlproto.Succeeded)
		n.restart() // its status is saved
		d := &disk{stopAt: stop, synced: map[string]bool{}}
		n.m.store.did = d.did
		n.m.Release(t.Context(), id, false)
		n.restart()
		entries, _ := os.ReadDir(n.c.Dir)
		if len(n.m.List()) != len(entries) {
			t.Errorf("stopped at %d: %d units, %d entries", stop, len(n.m.List()), len(entries))
		}
	}
}

// Damaged directories, as the original and crashes leave them, hurt nobody.
func TestDamagedUnits(t *testing.T) {
	n, _ := newNode(t, "solo")
	good := n.mustSubmit("true", "", "")
	n.await(good, controlproto.Succeeded)
	n.stop()
	make := func(id, status string, more ...string) {
		dir := filepath.Join(n.c.Dir, id)
		os.Mkdir(dir, 0o700)
		if status != "-" {
			os.WriteFile(filepath.Join(dir, fileStatus), []byte(status), 0o600)
		}
		for _, name := range more {
			os.WriteFile(filepath.Join(dir, name), nil, 0o600)
		}
	}
	make("Empty001", "")
	make("Broken01", `{"State":1,"Deta`)
	make("Refused1", "-", fileLock)
	make("NoStatus", "-", fileStdin, fileLock)
	make("Payload1", "-", fileStdin) // a crash before the status was first written
	make("Pending1", `{"State":0,"Detail":"Starting Worker","StdoutSize":0,"WorkType":"true","ExtraData":{"Pid":0,"Params":""}}`)
	make("Running1", `{"State":1,"Detail":"Running: PID 42","StdoutSize":0,"WorkType":"true","ExtraData":{"Pid":999999999,"Params":""}}`)
	make("Foreign1", `{"State":1,"Detail":"Running","StdoutSize":7,"WorkType":"pods","ExtraData":{"KubeNamespace":"x"}}`)
	make("Sorted01", ` { "WorkType" : "true", "State": 2, "Detail":"exit status 0" } `)
	make("Remote01", `{"State":0,"Detail":"Waiting for Input Data","StdoutSize":0,"WorkType":"remote","ExtraData":{"RemoteNode":"bar"}}`)
	make("Remote02", `{"State":1,"Detail":"x","StdoutSize":0,"WorkType":"remote","ExtraData":"what"}`)
	os.WriteFile(filepath.Join(n.c.Dir, "file"), nil, 0o600)
	os.Mkdir(filepath.Join(n.c.Dir, releasedPrefix+"Gone0001"), 0o700)
	n.start()
	want := map[string]string{
		good: "Succeeded exit status 0", "Empty001": "Failed Failed to restart: status is empty",
		"Broken01": "Failed Failed to restart: decode status: unexpected end of JSON input",
		"Pending1": "Failed Pending at restart", "Foreign1": "Running Running", "Sorted01": "Succeeded exit status 0",
		"Running1": "Failed Failed to restart: the command's runner is gone, its end was not seen",
		"Remote01": "Failed Failed to restart: remote work had not previously started",
		"Remote02": "Failed Failed to restart: json: cannot unmarshal string into Go value of type work.remoteExtra",
	}
	for id, w := range want {
		n.awaitThat(id, w, func(u controlproto.UnitStatus) bool { return u.StateName+" "+u.Detail == w })
	}
	list := n.m.List()
	if len(list) != len(want) {
		t.Errorf("%d units, want %d", len(list), len(want))
	}
	if string(list["Foreign1"].ExtraData) != `"Unknown WorkType"` {
		t.Errorf("%s", list["Foreign1"].ExtraData)
	}
	for id, exists := range map[string]bool{"Refused1": false, "NoStatus": true, "Payload1": false, releasedPrefix + "Gone0001": false} {
		if _, err := os.Stat(filepath.Join(n.c.Dir, id)); (err == nil) != exists {
			t.Errorf("%s: %v", id, err)
		}
	}
	if n.file("Broken01", fileStatus) != `{"State":1,"Deta` {
		t.Error("a file that cannot be read was changed")
	}
	for id := range want {
		if pending, err := n.m.Release(t.Context(), id, false); pending || err != nil {
			t.Errorf("release of %s: %v %v", id, pending, err)
		}
	}
}

func TestTwoDaemons(t *testing.T) {
	n, _ := newNode(t, "solo")
	if m, err := New(n.c); err == nil {
		m.Close()
		t.Error("a second daemon may use the directory")
	}
}

func TestSubmitsShareSyncs(t *testing.T) {
	n, _ := newNode(t, "solo", func(c *Config) { c.Logger = nil })
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() {
			id, _, err := n.submit(controlproto.Submit{WorkType: "cat"}, "x")
			if err != nil {
				t.Error(err)
				return
			}
			n.await(id, controlproto.Succeeded)
		})
	}
	wg.Wait()
}

// A thousand finished units load fast and leave no goroutine or descriptor behind.
func TestManyFinished(t *testing.T) {
	n, _ := newNode(t, "solo", func(c *Config) { c.Logger = nil })
	n.stop()
	for i := range 1000 {
		id := fmt.Sprintf("Unit%04d", i)
		os.Mkdir(filepath.Join(n.c.Dir, id), 0o700)
		os.WriteFile(filepath.Join(n.c.Dir, id, fileStatus),
			[]byte(`{"State":2,"Detail":"exit status 0","StdoutSize":0,"WorkType":"true","ExtraData":null}`), 0o600)
	}
	before := openFiles(t)
	start := time.Now()
	n.start()
	if len(n.m.List()) != 1000 {
		t.Errorf("%d units", len(n.m.List()))
	}
	t.Logf("loaded in %v", time.Since(start))
	if after := openFiles(t); after > before+5 {
		t.Errorf("%d descriptors more", after-before)
	}
}

func openFiles(t *testing.T) int {
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return 0
	}
	return len(entries)
}

func FuzzParseStatus(f *testing.F) {
	for _, s := range []string{
		`{"State":2,"Detail":"exit status 0","StdoutSize":12,"WorkType":"echo","ExtraData":null}` + "\n",
		`{"State":0,"Detail":"<&>","StdoutSize":0,"WorkType":"echo","ExtraData":{"Pid":0,"Params":""}}`,
		`{}`, ``, `null`, `{"State":-1}`, `{"StdoutSize":-1}`, `[`, `{"ExtraData":"x"}`, `{"State":1e3}`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := parseStatus(b)
		if err != nil {
			return
		}
		line, err := r.appendStatus(nil)
		if err != nil {
			t.Fatalf("%+v does not encode: %v", r, err)
		}
		again, err := parseStatus(line)
		if err != nil {
			t.Fatalf("%s does not decode: %v", line, err)
		}
		if !json.Valid(line) || again.State != r.State || again.Detail != strings.ToValidUTF8(r.Detail, "\ufffd") && again.Detail != r.Detail || again.StdoutSize != r.StdoutSize {
			t.Errorf("%+v became %+v", r, again)
		}
	})
}

// A line that a crash cut short neither counts nor spoils the next one.
func TestTornReceipt(t *testing.T) {
	n, _ := newNode(t, "solo")
	s := n.m.store
	os.Mkdir(s.path("Torn0001"), 0o700)
	path := s.path("Torn0001", fileReceipt)
	whole, _ := receipt{Node: "foo", Chosen: true}.encode()
	for cut := range len(whole) {
		os.WriteFile(path, append(append([]byte{}, whole...), whole[:cut]...), 0o600)
		if r, err := s.loadReceipt("Torn0001"); err != nil || r.Node != "foo" {
			t.Errorf("cut at %d: %+v %v", cut, r, err)
		}
		if err := s.saveReceipt("Torn0001", receipt{Node: "foo", Accepted: true}); err != nil {
			t.Fatal(err)
		}
		if r, err := s.loadReceipt("Torn0001"); err != nil || !r.Accepted {
			t.Errorf("cut at %d and appended: %+v %v", cut, r, err)
		}
	}
	n.stop()
	os.RemoveAll(s.path("Torn0001"))
}

func FuzzParseReceipt(f *testing.F) {
	r := receipt{Node: "foo", Chosen: true, Accepted: true, Payload: 3, RemoteID: "abcdefgh", Status: record{WorkType: "true"}}
	b, _ := r.encode()
	f.Add(b)
	f.Add([]byte(`{"version":2}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := parseReceipt(b)
		if err != nil {
			return
		}
		if _, err := r.encode(); err != nil {
			t.Errorf("%+v does not encode: %v", r, err)
		}
	})
}
