//go:build linux

package suite

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/receptor-go/receptor/test/bench/internal/ctl"
	"github.com/receptor-go/receptor/test/bench/internal/node"
	"github.com/receptor-go/receptor/test/bench/internal/pattern"
	"github.com/receptor-go/receptor/test/bench/internal/stat"
)

// blob writes a file with the first size bytes of the pattern.
func (e *Env) blob(size int64) (string, error) {
	path := filepath.Join(e.Dir, "blob")
	f, err := os.Create(path)
	if err != nil {
		return "", err
	}
	if _, err := io.Copy(f, pattern.Reader(size)); err != nil {
		f.Close()
		return "", err
	}
	return path, f.Close()
}

// meter records the rate and cost of moving size bytes between its creation
// and its report.
type meter struct {
	e     *Env
	began time.Time
	cpu   time.Duration
}

func (e *Env) meter() meter { return meter{e, time.Now(), e.CPU()} }

func (m meter) report(name string, size int64, at time.Time) {
	m.e.Metric(name, "MB/s", Higher, float64(size)/1e6/at.Sub(m.began).Seconds())
	spent := (m.e.CPU() - m.cpu).Seconds()
	m.e.Metric(name+" CPU", "s/GiB", Lower, spent/(float64(size)/(1<<30)))
	m.e.Metric(name+" peak RSS", "MiB", Lower, m.e.PeakRSS())
}

// results measures a remote unit that prints a large file.
func results(hops int) func(context.Context, *Env) error {
	return func(ctx context.Context, e *Env) error {
		size := Pick[int64](e, 256<<20, 32<<20)
		blob, err := e.blob(size)
		if err != nil {
			return err
		}
		nodes := e.Chain(hops+1, func(i int, s *node.Spec) {
			s.Works = []node.Work{{Type: "blob", Command: "cat", Params: blob}}
		})
		if err := e.join(ctx, nodes); err != nil {
			return err
		}
		m := e.meter()
		unit, err := ctl.Submit(ctx, nodes[0].Socket, nodes[hops].ID, "blob", nil)
		if err != nil {
			return err
		}
		first, err := fetch(ctx, nodes[0].Socket, unit, size)
		done := time.Now()
		e.CheckErr("bytes identical", err)
		m.report(fmt.Sprintf("results %d hops", hops), size, done)
		e.Metric("submit to first byte", "ms", Lower, stat.Millis(first.Sub(m.began)))
		return nil
	}
}

// payload measures a remote unit with a large input.
func payload(hops int) func(context.Context, *Env) error {
	return func(ctx context.Context, e *Env) error {
		size := Pick[int64](e, 256<<20, 32<<20)
		nodes := e.Chain(hops+1, func(i int, s *node.Spec) {
			s.Works = []node.Work{{Type: "sum", Command: "sha256sum"}}
		})
		if err := e.join(ctx, nodes); err != nil {
			return err
		}
		hash := sha256.New()
		if _, err := io.Copy(hash, pattern.Reader(size)); err != nil {
			return err
		}
		m := e.meter()
		unit, err := ctl.Submit(ctx, nodes[0].Socket, nodes[hops].ID, "sum", pattern.Reader(size))
		if err != nil {
			return err
		}
		accepted := time.Now()
		r, err := ctl.Results(ctx, nodes[0].Socket, unit)
		if err != nil {
			return err
		}
		defer r.Close()
		sum, err := io.ReadAll(r)
		done := time.Now()
		if err != nil {
			return err
		}
		want := hex.EncodeToString(hash.Sum(nil))
		e.Check("checksum matches", strings.HasPrefix(string(sum), want), "%.80q", sum)
		m.report(fmt.Sprintf("payload %d hops", hops), size, done)
		e.Metric("until submit returns", "MB/s", Higher, float64(size)/1e6/accepted.Sub(m.began).Seconds())
		return nil
	}
}
