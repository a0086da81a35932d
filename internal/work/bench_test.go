package work

import (
	"context"
	"io"
	"strings"
	"testing"

	"github.com/receptor-go/receptor/internal/controlproto"
)

const benchOutput = 256 << 20

// bulk is a program that writes benchOutput bytes.
func bulk(_ context.Context, _ []string, _ io.Reader, out io.Writer) int {
	block := make([]byte, 64<<10)
	for range benchOutput / len(block) {
		out.Write(block)
	}
	return 0
}

// count is a Sink that counts.
type count struct{ n int64 }

func (c *count) Status(controlproto.UnitStatus) error { return nil }
func (*count) Stderr([]byte) error                    { return nil }

func (c *count) Output(p []byte) error { c.n += int64(len(p)); return nil }

func BenchmarkFollowLocal(b *testing.B) {
	n, sup := newNode(b, "solo")
	sup.Programs["cat"] = bulk
	b.SetBytes(benchOutput)
	for b.Loop() {
		id := n.mustSubmit("cat", "", "")
		var c count
		if _, err := n.m.Follow(context.Background(), id, FollowOptions{}, &c); err != nil || c.n != benchOutput {
			b.Fatal(c.n, err)
		}
		n.m.Release(context.Background(), id, false)
	}
}

func BenchmarkFollowRemote(b *testing.B) {
	p := newPair(b)
	p.sup.Programs["cat"] = bulk
	b.SetBytes(benchOutput)
	for b.Loop() {
		id, _, err := p.hand("cat", "", "")
		if err != nil {
			b.Fatal(err)
		}
		var c count
		if _, err := p.foo.m.Follow(context.Background(), id, FollowOptions{}, &c); err != nil || c.n != benchOutput {
			b.Fatal(c.n, err)
		}
		p.foo.m.Release(context.Background(), id, false)
	}
}

func BenchmarkRemoteTrue(b *testing.B) {
	p := newPair(b)
	b.SetParallelism(4) // 8 submitters on two cores
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			id, _, err := p.hand("true", "", "")
			if err != nil {
				b.Error(err)
				return
			}
			p.foo.results(id, 0)
		}
	})
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "units/s")
}

func BenchmarkRemoteTrueOne(b *testing.B) {
	p := newPair(b)
	for b.Loop() {
		id, _, err := p.hand("true", "", "")
		if err != nil {
			b.Fatal(err)
		}
		p.foo.results(id, 0)
	}
}

// BenchmarkUnitMemory tells what a finished unit costs in memory.
func BenchmarkUnitMemory(b *testing.B) {
	b.ReportAllocs()
	status := []byte(`{"State":2,"Detail":"exit status 0","StdoutSize":0,"WorkType":"true","ExtraData":null}`)
	units := make(map[string]*unit)
	for i := range b.N {
		r, err := parseStatus(status)
		if err != nil {
			b.Fatal(err)
		}
		r.WorkType = "true"
		id := strings.Clone(newID())
		units[id] = &unit{id: id, rec: r}
		_ = i
	}
}
