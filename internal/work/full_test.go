package work

import (
	"context"
	"errors"
	"log/slog"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/receptor-go/receptor/internal/controlproto"
)

// fullDisk lets writes of some files fail as a full disk does.
type fullDisk struct{ files atomic.Pointer[[]string] }

func (d *fullDisk) fill(files ...string) { d.files.Store(&files) }

func (d *fullDisk) did(op, path string) error {
	if files := d.files.Load(); files != nil && (op == "write" || op == "create") {
		for _, f := range *files {
			if filepath.Base(path) == f {
				return &errDisk{path}
			}
		}
	}
	return nil
}

type errDisk struct{ path string }

func (e *errDisk) Error() string { return "write " + e.path + ": no space left on device" }
func (e *errDisk) Unwrap() error { return syscall.ENOSPC }

// A full disk fails the unit and says so to its submitter, also to one that
// could come back.
func TestFullDisk(t *testing.T) {
	for _, id := range []string{"", "Chosen01"} {
		for _, stream := range []bool{false, true} {
			n, sup := newNode(t, "solo")
			d := &fullDisk{}
			n.m.store.did = d.did
			sub, err := n.m.Create(controlproto.Submit{Node: "solo", WorkType: "cat", UnitID: id, Stream: stream}, Origin{})
			if err == nil {
				err = sub.Begin(t.Context())
			}
			if err != nil {
				t.Fatal(err)
			}
			if stream {
				n.await(sub.ID(), controlproto.Running)
			}
			write(t, sub, "fits")
			d.fill(fileStdin)
			_, err = sub.Write([]byte("does not"))
			e, ok := errors.AsType[*controlproto.Error](err)
			if !ok || e.Code != controlproto.Internal || !strings.HasPrefix(e.Message, "store the payload: ") ||
				!strings.Contains(e.Message, "no space left on device; node solo needs free space") {
				t.Errorf("write: %v", err)
			}
			sub.Abort(err)
			u := n.await(sub.ID(), controlproto.Failed)
			if !strings.HasPrefix(u.Detail, "Error reading input data: store the payload: ") || !strings.Contains(u.Detail, "no space left on device") {
				t.Errorf("%+v", u)
			}
			if !stream && (n.file(sub.ID(), fileStdin) != "" || sup.Starts(sub.ID()) != 0) {
				t.Error("what nobody will read takes room, or was run")
			}
			n.restart()
			n.await(sub.ID(), controlproto.Failed)
			n.stop()
		}
	}
}

// What cannot be accepted is refused, and no later daemon runs it.
func TestFullDiskRefuses(t *testing.T) {
	for _, stream := range []bool{false, true} {
		n, sup := newNode(t, "solo")
		d := &fullDisk{}
		n.m.store.did = d.did
		sub, err := n.m.Create(controlproto.Submit{Node: "solo", WorkType: "cat", UnitID: "Chosen01", Stream: stream}, Origin{})
		if err != nil {
			t.Fatal(err)
		}
		d.fill(fileReceipt, fileStatus, "."+fileStatus)
		if err = sub.Begin(t.Context()); err == nil {
			_, err = sub.Start(t.Context())
		}
		if err == nil || !strings.Contains(err.Error(), "no space left on device; node solo needs") {
			t.Errorf("accepted: %v", err)
		}
		n.await(sub.ID(), controlproto.Failed)
		n.restart()
		if u, err := n.m.Status(sub.ID()); err == nil && u.State != controlproto.Failed { // nothing of it may have come to the disk
			t.Errorf("%+v", u)
		}
		if sup.Starts(sub.ID()) != 0 {
			t.Error("it was run")
		}
	}
	n, _ := newNode(t, "solo")
	d := &fullDisk{}
	n.m.store.did = d.did
	d.fill(fileStdin)
	_, err := n.m.Create(controlproto.Submit{Node: "solo", WorkType: "cat"}, Origin{})
	if err == nil || !strings.Contains(err.Error(), "needs free space") || len(n.m.List()) != 0 {
		t.Errorf("created: %v, %v", err, n.m.List())
	}
}

// A status that cannot be written is reported once and written when it can be;
// what runs goes on meanwhile.
func TestFullDiskStatus(t *testing.T) {
	var errs, infos atomic.Int32
	n, _ := newNode(t, "solo", func(c *Config) {
		c.Logger = slog.New(countLog{t, &errs, &infos})
	})
	d := &fullDisk{}
	var tries atomic.Int32
	n.m.store.did = func(op, path string) error {
		err := d.did(op, path)
		if err != nil {
			tries.Add(1)
		}
		return err
	}
	d.fill("." + fileStatus)
	id := n.mustSubmit("cat", "", "x")
	n.await(id, controlproto.Succeeded)
	until(t, "it was tried twice", func() bool { return tries.Load() >= 2 })
	if errs.Load() != 1 {
		t.Errorf("%d errors in the log", errs.Load())
	}
	d.fill()
	until(t, "it is saved", func() bool { return strings.Contains(n.file(id, fileStatus), "exit status 0") })
	until(t, "that is logged", func() bool { return infos.Load() == 1 })
}

// countLog counts the lines about statuses.
type countLog struct {
	t           *testing.T
	errs, infos *atomic.Int32
}

func (c countLog) Enabled(context.Context, slog.Level) bool { return true }
func (c countLog) WithAttrs([]slog.Attr) slog.Handler       { return c }
func (c countLog) WithGroup(string) slog.Handler            { return c }
func (c countLog) Handle(_ context.Context, r slog.Record) error {
	switch {
	case strings.HasPrefix(r.Message, "status of a unit could not be saved"):
		c.errs.Add(1)
	case r.Message == "status of a unit is saved now":
		c.infos.Add(1)
	}
	return nil
}
