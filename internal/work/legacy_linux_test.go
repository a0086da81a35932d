package work

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/receptor-go/receptor/internal/controlproto"
)

// legacyUnit makes a running unit of the original, with something that looks
// like its runner: it runs script and gets the unit's directory in $2.
func legacyUnit(t *testing.T, dir, id, script string) {
	t.Helper()
	unit := filepath.Join(dir, id)
	if err := os.Mkdir(unit, 0o700); err != nil {
		t.Fatal(err)
	}
	c := exec.Command("/bin/sh", "-c", "cd "+unit+"; "+script, "receptor", "--command-runner", "command=tick", "unitdir="+unit)
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() { c.Wait(); close(ended) }()
	t.Cleanup(func() { c.Process.Kill(); <-ended })
	os.WriteFile(filepath.Join(unit, fileStdout), []byte("so far\n"), 0o600)
	os.WriteFile(filepath.Join(unit, fileStatus), fmt.Appendf(nil,
		`{"State":1,"Detail":"Running: PID 7","StdoutSize":7,"WorkType":"true","ExtraData":{"Pid":%d,"Params":"x"}}`, c.Process.Pid), 0o600)
}

// A data directory of the original is taken over with its running runners.
func TestLegacyRunner(t *testing.T) {
	const ended = `{"State":3,"Detail":"exit status 3","StdoutSize":11,"WorkType":"true","ExtraData":{"Pid":7,"Params":"x"}}`
	n, _ := newNode(t, "solo")
	n.stop()
	legacyUnit(t, n.c.Dir, "Legacy01", `while [ ! -e go ]; do sleep 0.02; done; echo end >>stdout; echo '`+ended+`' >status`)
	legacyUnit(t, n.c.Dir, "Legacy02", `while [ ! -e go ]; do sleep 0.02; done`)
	legacyUnit(t, n.c.Dir, "Legacy03", `trap 'exit 255' INT; while :; do sleep 0.02; done`)
	n.start()
	for _, id := range []string{"Legacy01", "Legacy02", "Legacy03"} {
		if u := n.await(id, controlproto.Running); u.Detail != "Running: PID 7" {
			t.Errorf("%s: %+v", id, u)
		}
	}
	var s collect
	followed := make(chan error, 1)
	go func() {
		_, err := n.m.Follow(t.Context(), "Legacy01", FollowOptions{}, &s)
		followed <- err
	}()
	os.WriteFile(filepath.Join(n.c.Dir, "Legacy01", "go"), nil, 0o600)
	os.WriteFile(filepath.Join(n.c.Dir, "Legacy02", "go"), nil, 0o600)
	if u := n.await("Legacy01", controlproto.Failed); u.Detail != "exit status 3" || u.StdoutSize != 11 {
		t.Errorf("%+v", u)
	}
	if err := <-followed; err != nil || s.out.String() != "so far\nend\n" {
		t.Errorf("%v %s", err, &s)
	}
	if u := n.await("Legacy02", controlproto.Failed); !strings.Contains(u.Detail, "runner is gone") {
		t.Errorf("%+v", u)
	}
	if _, err := n.m.Cancel(t.Context(), "Legacy03"); err != nil {
		t.Error(err)
	}
	n.await("Legacy03", controlproto.StateCanceled)
}

// A runner of the original that ends while the daemon starts, after its status
// was read and before it is looked for, has ended as it says.
func TestLegacyRunnerEndsDuringStart(t *testing.T) {
	n, _ := newNode(t, "solo")
	n.stop()
	unit := filepath.Join(n.c.Dir, "Legacy01")
	legacyUnit(t, n.c.Dir, "Legacy01", "exit 0")
	open := n.c.OpenSupervisor
	n.c.OpenSupervisor = func(ctx context.Context) (Supervisor, error) { // called between the two
		os.WriteFile(filepath.Join(unit, fileStatus),
			[]byte(`{"State":2,"Detail":"exit status 0","StdoutSize":7,"WorkType":"true","ExtraData":{"Pid":7,"Params":"x"}}`), 0o600)
		return open(ctx)
	}
	n.start()
	if u := n.await("Legacy01", controlproto.Succeeded); u.Detail != "exit status 0" || u.ExitCode == nil || *u.ExitCode != 0 {
		t.Errorf("%+v", u)
	}
}
