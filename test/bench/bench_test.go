//go:build bench && linux

// Package bench measures whole daemons.
package bench

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/receptor-go/receptor/test/bench/internal/ctl"
	"github.com/receptor-go/receptor/test/bench/internal/node"
	"github.com/receptor-go/receptor/test/bench/internal/pattern"
	"github.com/receptor-go/receptor/test/bench/internal/proc"
	"github.com/receptor-go/receptor/test/harness"
)

var programs harness.Programs

func TestMain(m *testing.M) { os.Exit(harness.Build(m, &programs)) }

// chain starts nodes n0 - n1 - ... and waits until the ends know each other.
func chain(b *testing.B, count int, works ...node.Work) []*node.Node {
	dir, err := os.MkdirTemp("", "rb")
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { os.RemoveAll(dir) })
	table, err := proc.NewTable()
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(table.KillAll)
	var nodes []*node.Node
	for i := range count {
		spec := node.Spec{ID: fmt.Sprintf("n%d", i), TCPListen: node.FreePort(), Works: works}
		if i > 0 {
			spec.TCPPeers = []string{node.Loopback(nodes[i-1].TCPListen)}
		}
		n := node.New(table, programs.Receptor, dir, spec)
		if err := n.Start(); err != nil {
			b.Fatal(err)
		}
		if _, err := n.Ready(b.Context()); err != nil {
			b.Fatal(err)
		}
		nodes = append(nodes, n)
	}
	reach(b, nodes[0], nodes[count-1].ID)
	return nodes
}

func reach(b *testing.B, from *node.Node, to string) {
	ctx, cancel := context.WithTimeout(b.Context(), harness.Patience)
	defer cancel()
	c, err := ctl.Dial(ctx, from.Socket)
	if err != nil {
		b.Fatal(err)
	}
	defer c.Close()
	for {
		if _, err := c.Ping(to); err == nil {
			return
		} else if ctx.Err() != nil {
			b.Fatal(err)
		}
	}
}

// run submits a unit and reads its results to the end.
func run(b *testing.B, socket, target, workType string) int64 {
	unit, err := ctl.Submit(b.Context(), socket, target, workType, nil)
	if err != nil {
		b.Fatal(err)
	}
	r, err := ctl.Results(b.Context(), socket, unit)
	if err != nil {
		b.Fatal(err)
	}
	defer r.Close()
	n, err := io.Copy(io.Discard, r)
	if err != nil {
		b.Fatal(err)
	}
	return n
}

func BenchmarkTrue(b *testing.B) {
	nodes := chain(b, 2, node.Work{Type: "true", Command: "true"})
	for name, target := range map[string]string{"local": "localhost", "remote": nodes[1].ID} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				run(b, nodes[0].Socket, target, "true")
			}
		})
	}
}

func BenchmarkResults(b *testing.B) {
	const size = 256 << 20
	blob := filepath.Join(b.TempDir(), "blob")
	f, err := os.Create(blob)
	if err != nil {
		b.Fatal(err)
	}
	if _, err := io.Copy(f, pattern.Reader(size)); err != nil {
		b.Fatal(err)
	}
	f.Close()
	for _, hops := range []int{1, 3} {
		b.Run(fmt.Sprintf("%d hops", hops), func(b *testing.B) {
			nodes := chain(b, hops+1, node.Work{Type: "blob", Command: "cat", Params: blob})
			b.SetBytes(size)
			for b.Loop() {
				if n := run(b, nodes[0].Socket, nodes[hops].ID, "blob"); n != size {
					b.Fatalf("got %d bytes, want %d", n, size)
				}
			}
		})
	}
}
