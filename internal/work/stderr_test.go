package work

import (
	"context"
	"os"
	"testing"
	"time"

	"github.com/receptor-go/receptor/internal/controlproto"
	"github.com/receptor-go/receptor/internal/work/supervise"
)

func TestExitCodes(t *testing.T) {
	n, _ := newNode(t, "solo")
	for _, tt := range []struct {
		workType, params string
		code             int // -1: none
	}{
		{"true", "", 0}, {"false", "", 1}, {"talk", "a b c", 3}, {"nope", "", -1}, {"echo", "'x", -1},
	} {
		before := time.Now().Add(-time.Second)
		id := n.mustSubmit(tt.workType, tt.params, "")
		u := n.awaitThat(id, "ended", func(u controlproto.UnitStatus) bool { return u.State.Ended() })
		for range 2 {
			if (u.ExitCode == nil) != (tt.code < 0) || u.ExitCode != nil && *u.ExitCode != tt.code {
				t.Errorf("%s: exit code %v, want %d", tt.workType, u.ExitCode, tt.code)
			}
			if u.Ended.Before(before) || u.Ended.After(time.Now()) {
				t.Errorf("%s: ended %v", tt.workType, u.Ended)
			}
			n.restart()
			again, _ := n.m.Status(id)
			if !again.Ended.Equal(u.Ended) {
				t.Errorf("%s: ended at %v, and after a restart at %v", tt.workType, u.Ended, again.Ended)
			}
			u = again
		}
	}
	id := n.mustSubmit("sleep", "", "")
	n.await(id, controlproto.Running)
	n.m.Cancel(t.Context(), id)
	if u := n.await(id, controlproto.StateCanceled); u.ExitCode != nil || u.Ended.IsZero() {
		t.Errorf("cancelled: %+v", u)
	}
}

// What a limit ended has not succeeded, whatever its exit code.
func TestTrouble(t *testing.T) {
	n, _ := newNode(t, "solo")
	id := n.mustSubmit("sleep", "", "")
	n.await(id, controlproto.Running)
	n.m.event(supervise.Event{Unit: id, Exit: &supervise.Exit{
		Started: true, Known: true, Trouble: "too slow", Detail: "too slow: exit status 0", Ended: time.Now(),
	}})
	if u := n.await(id, controlproto.Failed); u.Detail != "too slow: exit status 0" || u.ExitCode == nil || *u.ExitCode != 0 {
		t.Errorf("%+v", u)
	}
}

// Units of the original get what it does not keep.
func TestExitCodesOfTheOriginal(t *testing.T) {
	n, _ := newNode(t, "solo")
	n.stop()
	at := time.Date(2024, 2, 3, 4, 5, 6, 0, time.UTC)
	codes := map[string]int{
		`{"State":2,"Detail":"exit status 0","StdoutSize":0,"WorkType":"true","ExtraData":null}`:                 0,
		`{"State":3,"Detail":"exit status 42","StdoutSize":0,"WorkType":"gone","ExtraData":null}`:                42,
		`{"State":3,"Detail":"signal: killed","StdoutSize":0,"WorkType":"true","ExtraData":null}`:                -1,
		`{"State":4,"Detail":"Canceled","StdoutSize":0,"WorkType":"true","ExtraData":null}`:                      -1,
		`{"State":3,"Detail":"exit status many","StdoutSize":0,"WorkType":"true","ExtraData":null}`:              -1,
		`{"State":3,"Detail":"exit status 0","StdoutSize":0,"WorkType":"true","ExtraData":null}`:                 -1,
		`{"State":3,"Detail":"exit status 7","WorkType":"true","ExtraData":null,"Ended":"2020-01-01T00:00:00Z"}`: 7,
	}
	ids := make(map[string]string)
	for status := range codes {
		id := newID()
		ids[id] = status
		putUnit(t, n, id, map[string][]byte{fileStatus: []byte(status)})
		if err := os.Chtimes(n.m.store.path(id, fileStatus), at, at); err != nil {
			t.Fatal(err)
		}
	}
	n.start()
	for id, status := range ids {
		u, err := n.m.Status(id)
		want := codes[status]
		if err != nil || (u.ExitCode == nil) != (want < 0) || u.ExitCode != nil && *u.ExitCode != want {
			t.Errorf("%s: %v %v", status, u.ExitCode, err)
		}
		if !u.Ended.Equal(at) && u.Ended.Year() != 2020 {
			t.Errorf("%s: ended %v", status, u.Ended)
		}
	}
}

func TestSeparateStderr(t *testing.T) {
	n, _ := newNode(t, "solo")
	const both, out, errs = "out a\nerr a\nout b\nerr b\n", "out a\nout b\n", "err a\nerr b\n"
	for _, tt := range []struct {
		workType, stderr string
		apart            bool
	}{
		{"talk", "", false}, {"talk", "mixed", false}, {"talk", "separate", true},
		{"apart", "", true}, {"apart", "mixed", false}, {"apart", "separate", true},
	} {
		id, _, err := n.submit(controlproto.Submit{
			WorkType: tt.workType, Stderr: tt.stderr, Params: map[string]string{"params": "a b"},
		}, "")
		if err != nil {
			t.Fatal(err)
		}
		for range 2 {
			var s collect
			last, err := n.m.Follow(t.Context(), id, FollowOptions{Stderr: true}, &s)
			if err != nil {
				t.Fatal(err)
			}
			wantOut, wantErr := both, ""
			if tt.apart {
				wantOut, wantErr = out, errs
			}
			if s.out.String() != wantOut || s.errs.String() != wantErr || last.StdoutSize != int64(len(wantOut)) {
				t.Errorf("%+v: output %q, error output %q, %+v", tt, s.out.String(), s.errs.String(), last)
			}
			if (last.StderrSize != nil) != tt.apart || tt.apart && *last.StderrSize != int64(len(errs)) {
				t.Errorf("%+v: size of the error output %v", tt, last.StderrSize)
			}
			n.restart()
		}
		var s collect
		n.m.Follow(t.Context(), id, FollowOptions{From: 6, Stderr: true, StderrFrom: 6}, &s)
		if tt.apart && (s.out.String() != "out b\n" || s.errs.String() != "err b\n") {
			t.Errorf("%+v: from 6 on %q %q", tt, s.out.String(), s.errs.String())
		}
		s = collect{}
		n.m.Follow(t.Context(), id, FollowOptions{}, &s)
		if s.errs.Len() != 0 {
			t.Errorf("%+v: error output that nobody asked for: %q", tt, s.errs.String())
		}
	}
	_, err := n.m.Create(controlproto.Submit{Node: "solo", WorkType: "talk", Stderr: "apart"}, Origin{})
	if controlproto.CodeOf(err) != controlproto.Invalid {
		t.Errorf("an unknown value of stderr: %v", err)
	}
}

// A unit that waits for its payload keeps its choice over a restart, and error
// output that does not exist ends like one that is empty.
func TestSeparateStderrSurvives(t *testing.T) {
	n, _ := newNode(t, "solo")
	s := controlproto.Submit{Node: "solo", WorkType: "talk", UnitID: "Stderr01", Stderr: "separate", Params: map[string]string{"params": "x"}}
	if _, err := n.m.Create(s, Origin{}); err != nil {
		t.Fatal(err)
	}
	n.restart()
	sub, err := n.m.Create(s, Origin{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := sub.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	u := n.await(sub.ID(), controlproto.Failed)
	if u.StderrSize == nil || *u.StderrSize != 6 || n.file(sub.ID(), fileStderr) != "err x\n" {
		t.Errorf("%+v %v", u, u.StderrSize)
	}
	os.Remove(n.m.store.path(sub.ID(), fileStderr))
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	var c collect
	if _, err := n.m.Follow(ctx, sub.ID(), FollowOptions{Stderr: true}, &c); err != nil || c.out.String() != "out x\n" {
		t.Errorf("%v %s", err, &c)
	}
}
