//go:build unix

package work

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/receptor-go/receptor/internal/controlproto"
)

// Each file of units in each state is damaged in each way, all at once in one
// directory: nothing panics or waits for ever, every unit is shown as something
// true and can be released, and a good one lives.
func TestEveryDamage(t *testing.T) {
	n, sup := newNode(t, "solo", func(c *Config) { c.Logger = nil })
	apart := n.mustSubmit("apart", "x", "payload")
	n.await(apart, controlproto.Failed)
	streamed := n.stream("cat", "")
	write(t, streamed, "payload")
	n.finish(streamed)
	n.await(streamed.ID(), controlproto.Succeeded)
	sub, err := n.m.Create(controlproto.Submit{Node: "solo", WorkType: "cat", UnitID: "Waiting1"}, Origin{})
	if err != nil {
		t.Fatal(err)
	}
	write(t, sub, "pay")
	n.stop()
	line := func(r receipt) []byte { b, _ := r.encode(); return b }
	rec := func(r record) []byte { b, _ := r.appendStatus(nil); return b }
	extra := []byte(`{"Pid":0,"Params":""}`)
	starting := record{Detail: detailStarting, WorkType: "cat", ExtraData: extra}
	running := record{State: controlproto.Running, Detail: "Running: PID 7", WorkType: "cat", ExtraData: extra}
	process := []byte(`{"v":1,"state":"starting"}` + "\n" + `{"v":1,"state":"started","pid":999999999,"start":1}` + "\n")
	far := record{WorkType: remoteType, Detail: detailStarting, ExtraData: (&remoteExtra{RemoteNode: "bar", RemoteWorkType: "cat"}).encode()}
	templates := map[string]map[string][]byte{
		"ended":    readUnit(t, n, apart),
		"streamed": readUnit(t, n, streamed.ID()),
		"waiting":  readUnit(t, n, "Waiting1"),
		"accepted": {fileStatus: rec(starting), fileStdin: []byte("payload"), fileReceipt: line(receipt{Accepted: true, Payload: 7, Status: starting})},
		"running":  {fileStatus: rec(running), fileStdin: []byte("payload"), fileStdout: []byte("pay"), fileReceipt: line(receipt{Accepted: true, Payload: 7, Status: starting}), fileProcess: process},
		"half":     {fileStatus: rec(running), fileStdin: []byte("pay"), fileReceipt: line(receipt{Accepted: true, Stream: true, Status: starting}), fileProcess: process},
		"remote":   {fileStatus: rec(far), fileStdin: []byte("pay"), fileReceipt: line(receipt{Accepted: true, Payload: 3, RemoteID: "Remote00", Status: far})},
		"legacy":   {fileStatus: rec(running), fileLock: nil, fileStdin: []byte("pay"), fileStdout: []byte("x")},
	}
	ended := func(code int) []byte {
		return fmt.Appendf(process, `{"v":1,"state":"ended","code":%d,"detail":"exit status %d","started":true,"known":true}`+"\n", code, code)
	}
	templates["ended"][fileProcess], templates["streamed"][fileProcess] = ended(1), ended(0)
	damages := map[string]func(path string) error{
		"gone":    os.Remove,
		"empty":   func(p string) error { return os.WriteFile(p, nil, 0o600) },
		"garbage": func(p string) error { return os.WriteFile(p, []byte("\x00\xff{[garbage\n\n}"), 0o600) },
		"json": func(p string) error {
			return os.WriteFile(p, []byte(`{"version":9,"v":9,"State":77,"StdoutSize":-1}`+"\n"), 0o600)
		},
		"half":      func(p string) error { b, _ := os.ReadFile(p); return os.WriteFile(p, b[:len(b)/2], 0o600) },
		"directory": func(p string) error { os.Remove(p); return os.Mkdir(p, 0o700) },
		"link":      func(p string) error { os.Remove(p); return os.Symlink("/dev/zero", p) },
		"fifo":      func(p string) error { os.Remove(p); return syscall.Mkfifo(p, 0o600) },
	}
	files := []string{fileStatus, fileReceipt, fileStdin, fileStdout, fileStderr, fileEnd, fileProcess, fileCancel, fileLock}
	type broken struct{ template, file, damage string }
	all := make(map[string]broken)
	for name, template := range templates {
		for _, file := range files {
			for damage, do := range damages {
				id := fmt.Sprintf("Dam%05d", len(all))
				putUnit(t, n, id, template)
				if err := do(filepath.Join(n.c.Dir, id, file)); err != nil && !os.IsNotExist(err) {
					t.Fatal(err)
				}
				all[id] = broken{name, file, damage}
			}
		}
	}
	n.start()
	good := n.mustSubmit("cat", "", "good")
	n.await(good, controlproto.Succeeded)
	list := n.m.List()
	for id, b := range all {
		u, listed := list[id]
		if !listed {
			if b.file != fileStatus || n.m.store.size(id, fileReceipt) != 0 {
				t.Errorf("%+v: not listed", b)
			}
			continue
		}
		if b.file != fileStatus && b.file != fileReceipt {
			want := map[string]controlproto.State{"ended": controlproto.Failed, "streamed": controlproto.Succeeded}
			if w, ok := want[b.template]; ok && u.State != w {
				t.Errorf("%+v: %+v", b, u)
			}
		}
		switch b.template {
		case "accepted", "running", "half", "legacy":
			u = n.awaitThat(id, fmt.Sprintf("ended (%+v)", b), func(u controlproto.UnitStatus) bool { return u.State.Ended() })
		}
		if u.State == controlproto.Failed && u.Detail == "" {
			t.Errorf("%+v: Failed without a reason", b)
		}
		if b.template == "accepted" && b.file == fileReceipt && u.State == controlproto.Failed && !strings.Contains(u.Detail, "restart") {
			t.Errorf("%+v: %+v", b, u)
		}
		unknown := b.template == "running" && b.file == fileProcess && (b.damage == "gone" || b.damage == "empty")
		if s := sup.Starts(id); s > 1 || s == 1 && b.template != "accepted" && !unknown {
			t.Errorf("%+v: started %d times, %+v", b, s, u)
		}
		if u.State.Ended() {
			n.drain(id)
		}
		if _, err := n.m.Release(t.Context(), id, true); err != nil {
			t.Errorf("%+v: release: %v", b, err)
		}
		if _, err := os.Lstat(filepath.Join(n.c.Dir, id)); err == nil {
			t.Errorf("%+v: files are left", b)
		}
	}
	if out, _ := n.results(good, 0); out != "good" {
		t.Errorf("the good one: %q", out)
	}
}

// drain follows a damaged unit: with an end, whatever it is.
func (n *node) drain(id string) {
	n.t.Helper()
	done := make(chan struct{})
	go func() { // ends with Follow
		defer close(done)
		n.m.Follow(n.t.Context(), id, FollowOptions{Stderr: true}, &collect{})
	}()
	until(n.t, "the stream of "+id+" has ended", func() bool {
		select {
		case <-done:
			return true
		default:
			return false
		}
	})
}

// readUnit reads all files of a unit.
func readUnit(t *testing.T, n *node, id string) map[string][]byte {
	t.Helper()
	entries, err := os.ReadDir(filepath.Join(n.c.Dir, id))
	if err != nil {
		t.Fatal(err)
	}
	files := make(map[string][]byte)
	for _, e := range entries {
		if files[e.Name()], err = os.ReadFile(filepath.Join(n.c.Dir, id, e.Name())); err != nil {
			t.Fatal(err)
		}
	}
	return files
}
