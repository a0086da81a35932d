package supervise

import (
	"errors"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// discard is a connection that takes everything.
type discard struct{ io.Writer }

func (discard) Close() error { return nil }

// The begin of a start is on the disk before the command is: without that it is not started. Unsynced does not wait for the disk.
func TestStartIsSyncedFirst(t *testing.T) {
	for _, tt := range []struct {
		unsynced bool
		syncs    int
		want     string
	}{
		{false, 1, "disk full"},
		{true, 0, "fork/exec /: permission denied"}, // it came as far as that
	} {
		n := newNode(t)
		dir := n.unit("u", "")
		s := newServer(slog.New(slog.DiscardHandler), time.Hour)
		syncs := 0
		s.sync = func(d string, _ journal) error {
			syncs++
			if b, err := os.ReadFile(filepath.Join(dir, processName)); d != dir || err != nil || string(b) != `{"v":1,"state":"claimed","in":"`+bootID()+"\"}\n" {
				t.Errorf("synced with %q, %v, in %s", b, err, d)
			}
			return errors.New("disk full")
		}
		j := &job{unit: "u", dir: dir}
		s.jobs["u"], s.busy = j, 1
		s.launch(j, &session{out: newOutbox(discard{io.Discard}), workDir: "/"}, &request{Op: opStart, Command: "/", Unsynced: tt.unsynced})
		if e, err := ReadExit(dir); err != nil || e.Started || e.Detail != tt.want {
			t.Errorf("recorded %+v, %v, want %q", e, err, tt.want)
		}
		if syncs != tt.syncs {
			t.Errorf("%d syncs, want %d", syncs, tt.syncs)
		}
		s.quit.Stop()
		s.trim.Stop()
	}
	dir := newNode(t).unit("u", "")
	j, err := claim(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer j.close()
	if err := errors.Join(j.claimed(), syncStart(dir, j)); err != nil {
		t.Error(err)
	}
	if err := syncStart(filepath.Join(dir, "absent"), j); err == nil {
		t.Error("a directory that is not there was synced")
	}
}

// A start that was prepared only: in the same boot it was not begun, so the command is started; after a restart of the machine it may have run.
func TestPrepared(t *testing.T) {
	n := newNode(t)
	same, other := n.shell("same", "exit 4"), n.shell("other", "exit 4")
	for dir, boot := range map[string]string{same.UnitDir: bootID(), other.UnitDir: "another"} {
		line := `{"v":1,"state":"claimed","in":"` + boot + "\"}\n"
		if err := os.WriteFile(filepath.Join(dir, processName), []byte(line), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := ReadProcess(same.UnitDir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("same boot: %v, want that nobody began", err)
	}
	if _, err := ReadProcess(other.UnitDir); !errors.Is(err, errStarting) {
		t.Errorf("other boot: %v, want that somebody may have begun", err)
	}
	d := n.daemon()
	for _, j := range []Job{same, other} {
		if _, err := d.Start(t.Context(), j); err != nil {
			t.Errorf("%s: %v", j.Unit, err)
		}
	}
	wantExit(t, d.exit("same"), exited(4))
	wantExit(t, d.exit("other"), Exit{Code: -1, Started: true, Detail: detailBoot})
}
