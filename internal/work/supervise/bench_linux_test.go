package supervise

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
)

// BenchmarkTrue is one `true` from Start to its end, through the client.
func BenchmarkTrue(b *testing.B) {
	for _, parallel := range []int{1, 16} {
		b.Run(fmt.Sprintf("parallel=%d", parallel), func(b *testing.B) {
			n := newNode(b)
			var waiting sync.Map
			c, stop := benchClient(b, n, func(e Event) {
				if e.Exit != nil {
					if ch, ok := waiting.LoadAndDelete(e.Unit); ok {
						close(ch.(chan struct{}))
					}
				}
			})
			defer stop()
			var next atomic.Int64
			run := func() {
				unit := "u" + strconv.FormatInt(next.Add(1), 10)
				j := Job{Unit: unit, UnitDir: n.unit(unit, ""), Command: "/bin/true"}
				done := make(chan struct{})
				waiting.Store(unit, done)
				if _, err := c.Start(b.Context(), j); err != nil {
					b.Error(err)
					return
				}
				<-done
			}
			run() // the supervisor is there
			b.ResetTimer()
			var wg sync.WaitGroup
			var left atomic.Int64
			left.Store(int64(b.N))
			for range parallel {
				wg.Go(func() {
					for left.Add(-1) >= 0 {
						run()
					}
				})
			}
			wg.Wait()
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "units/s")
		})
	}
}

// BenchmarkForkExec is the floor: the same program started and waited for by the same means, and nothing else.
func BenchmarkForkExec(b *testing.B) {
	for range b.N {
		pid, err := syscall.ForkExec("/bin/true", []string{"true"}, &syscall.ProcAttr{Sys: &syscall.SysProcAttr{Setsid: true}})
		if err != nil {
			b.Fatal(err)
		}
		syscall.Wait4(pid, nil, 0, nil)
	}
}

// BenchmarkSleeping reports what the supervisor costs with 1,000 commands that sleep.
func BenchmarkSleeping(b *testing.B) {
	const many = 1000
	for range b.N {
		n := newNode(b)
		var ended sync.WaitGroup
		ended.Add(many)
		c, stop := benchClient(b, n, func(e Event) {
			if e.Exit != nil {
				ended.Done()
			}
		})
		start := func(i int) {
			unit := "u" + strconv.Itoa(i)
			j := Job{Unit: unit, UnitDir: n.unit(unit, ""), Command: "/bin/sleep", Args: []string{"1000"}}
			if _, err := c.Start(b.Context(), j); err != nil {
				b.Fatal(err)
			}
		}
		start(0)
		pid := n.supervisor()
		before := status(b, pid)
		for i := 1; i < many; i++ {
			start(i)
		}
		after := status(b, pid)
		b.ReportMetric(float64(before["VmRSS"]), "KiB-rss-1")
		b.ReportMetric(float64(after["VmRSS"]), "KiB-rss-1000")
		b.ReportMetric(float64(after["RssAnon"]), "KiB-anon-1000")
		b.ReportMetric(float64(after["Threads"]), "threads-1000")
		fds, _ := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
		b.ReportMetric(float64(len(fds)), "fds-1000")
		for i := range many {
			c.Stop(b.Context(), "u"+strconv.Itoa(i), 0)
		}
		ended.Wait()
		stop()
	}
}

// benchClient runs a client without the bookkeeping of the tests.
func benchClient(b *testing.B, n *node, events func(Event)) (*Client, func()) {
	c, err := Open(context.Background(), n.config())
	if err != nil {
		b.Fatal(err)
	}
	d := make(chan struct{})
	ctx, cancel := context.WithCancel(context.Background())
	go func() { // until cancel
		defer close(d)
		c.Run(ctx, events)
	}()
	return c, sync.OnceFunc(func() {
		cancel()
		<-d
	})
}

// status gives the numbers of /proc/PID/status.
func status(t testing.TB, pid int) map[string]int {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "status"))
	if err != nil {
		t.Fatal(err)
	}
	m := map[string]int{}
	for line := range strings.Lines(string(b)) {
		k, v, _ := strings.Cut(line, ":")
		if f := strings.Fields(v); len(f) > 0 {
			if x, err := strconv.Atoi(f[0]); err == nil {
				m[k] = x
			}
		}
	}
	return m
}
