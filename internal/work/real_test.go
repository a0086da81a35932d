//go:build unix

package work

import (
	"bufio"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/receptor-go/receptor/internal/controlproto"
	"github.com/receptor-go/receptor/internal/work/supervise"
	"github.com/receptor-go/receptor/internal/work/worktest"
)

// The vectors were recorded with a command that prints its arguments as a Python list.
func TestParamsVectors(t *testing.T) {
	f, err := os.Open("testdata/local-params-splitting.tsv")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	n := 0
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if strings.HasPrefix(lines.Text(), "# ") || lines.Text() == "" {
			continue
		}
		n++
		cols := strings.Split(lines.Text(), "\t")
		var params string
		if err := json.Unmarshal([]byte(cols[0]), &params); err != nil {
			t.Fatal(err)
		}
		args, err := splitParams(joinParams("base", params))
		if cols[1] == "Failed" {
			if err == nil || err.Error() != cols[2] {
				t.Errorf("%q: %v, want %s", params, err, cols[2])
			}
			continue
		}
		if got := pythonList(args); err != nil || got != cols[3] {
			t.Errorf("%q: %s %v, want %s", params, got, err, cols[3])
		}
	}
	if n != 21 {
		t.Errorf("%d vectors", n)
	}
}

func pythonList(args []string) string {
	var b strings.Builder
	for i, a := range args {
		if i > 0 {
			b.WriteString(", ")
		}
		a = strings.NewReplacer(`\`, `\\`, "\u00a0", `\xa0`).Replace(a)
		b.WriteString("'" + a + "'")
	}
	return "[" + b.String() + "]"
}

func TestRealCommand(t *testing.T) {
	n := newRealNode(t, "solo")
	id := n.mustSubmit("echo", "hi there", "")
	if out, last := n.results(id, 0); out != "hi there\n" || last.State != controlproto.Succeeded {
		t.Errorf("%q %+v", out, last)
	}
	id = n.mustSubmit("nope", "", "")
	if u := n.await(id, controlproto.Failed); u.Detail != "fork/exec /nonexistent/program: no such file or directory" {
		t.Errorf("%+v", u)
	}
	id = n.mustSubmit("sleep", "100", "")
	n.await(id, controlproto.Running)
	n.restart()
	if u, _ := n.m.Status(id); u.State != controlproto.Running {
		t.Fatalf("after a restart %+v", u)
	}
	if _, err := n.m.Cancel(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	n.await(id, controlproto.StateCanceled)
	if _, err := n.m.Release(t.Context(), id, false); err != nil {
		t.Fatal(err)
	}
}

// A command that ends while no daemon runs is not lost.
func TestRealEndWhileDown(t *testing.T) {
	n := newRealNode(t, "solo")
	id := n.mustSubmit("sleep", "1", "")
	n.await(id, controlproto.Running)
	n.stop()
	until(t, "the supervisor records the end", func() bool {
		exit, err := supervise.ReadExit(filepath.Join(n.c.Dir, id))
		return err == nil && exit.Succeeded()
	})
	n.start()
	if u := n.await(id, controlproto.Succeeded); u.Detail != "exit status 0" {
		t.Errorf("%+v", u)
	}
}

func BenchmarkLocalTrue(b *testing.B) {
	n := newRealNode(b, "solo")
	n.mustSubmit("true", "", "")
	b.SetParallelism(8) // 16 submitters on two cores
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			n.results(n.mustSubmit("true", "", ""), 0)
		}
	})
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "units/s")
}

func BenchmarkLocalEchoOne(b *testing.B) {
	n := newRealNode(b, "solo")
	for b.Loop() {
		if out, _ := n.results(n.mustSubmit("echo", "hi", ""), 0); out != "hi\n" {
			b.Fatal(out)
		}
	}
}

func TestSupervisors(t *testing.T) {
	t.Run("fake", func(t *testing.T) {
		sup := worktest.NewSupervisor()
		defer sup.Close()
		worktest.TestSupervisor(t, func() worktest.Runner { return sup })
	})
	t.Run("real", func(t *testing.T) {
		exe, err := os.Executable()
		if err != nil {
			t.Fatal(err)
		}
		c := supervise.Config{Dir: filepath.Join(t.TempDir(), "s"), Argv: []string{exe, "supervise"}, Idle: time.Second}
		worktest.TestSupervisor(t, func() worktest.Runner {
			s, err := supervise.Open(t.Context(), c)
			if err != nil {
				t.Fatal(err)
			}
			return s
		})
	})
}
