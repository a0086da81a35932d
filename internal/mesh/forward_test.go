package mesh_test

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/receptor-go/receptor/internal/mesh"
	"github.com/receptor-go/receptor/internal/mesh/link"
	"github.com/receptor-go/receptor/internal/mesh/meshtest"
	"github.com/receptor-go/receptor/internal/mesh/wire"
)

// TestDatagramVectors sends the recorded packets into the same mesh, probe - a
// - b - c, and compares what comes back byte for byte.
func TestDatagramVectors(t *testing.T) {
	type packet struct {
		Frame hexBytes `json:"frame_hex"`
	}
	var file struct {
		Rows []struct {
			Case     string
			Received []packet
			Sent     hexBytes `json:"sent_frame_hex"`
		}
	}
	vector(t, "datagram-cases.json", &file)
	synctest.Test(t, func(t *testing.T) {
		m := meshtest.New(t)
		m.Line(link.PipeOptions{}, "a", "b", "c")
		m.Converged(time.Second)
		nb := meshtest.Attach(t, m.Node("a")).Link("probe", 1)
		nb.SendUpdate("a")
		time.Sleep(time.Second)
		nb.Take()
		for _, row := range file.Rows {
			nb.Send(row.Sent)
			time.Sleep(10 * time.Millisecond)
			got := nb.TakeType(wire.TypeData)
			if len(got) != len(row.Received) {
				t.Errorf("%s: got %d packets %q, want %d", row.Case, len(got), got, len(row.Received))
				continue
			}
			for i, want := range row.Received {
				if !bytes.Equal(got[i], want.Frame) {
					t.Errorf("%s:\n got %x\nwant %x", row.Case, got[i], []byte(want.Frame))
				}
			}
		}
	})
}

// TestPolicy: verdicts on packets that arrive, pass and start here (spec 11).
func TestPolicy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := meshtest.New(t)
		m.Line(link.PipeOptions{}, "a", "b", "c")
		m.Converged(time.Second)
		time.Sleep(time.Second)
		asked := 0
		policy := func(v mesh.Verdict) mesh.Policy {
			return func(from, to wire.NodeID, fs, ts wire.Service) mesh.Verdict {
				asked++
				if ts == wire.Ping {
					return v
				}
				return mesh.Accept
			}
		}
		for _, c := range []struct {
			at      wire.NodeID
			verdict mesh.Verdict
			want    error
		}{
			{"a", mesh.Reject, mesh.ErrBlocked}, {"a", mesh.Drop, mesh.ErrTimeout},
			{"b", mesh.Reject, mesh.ErrBlocked}, {"b", mesh.Drop, mesh.ErrTimeout},
			{"c", mesh.Reject, mesh.ErrBlocked}, {"c", mesh.Drop, mesh.ErrTimeout},
		} {
			m.Node(c.at).SetPolicy(policy(c.verdict))
			start := time.Now()
			pong, err := m.Node("a").Ping(t.Context(), "c", 30)
			if err != c.want {
				t.Errorf("%v at %s: ping gives %v, want %v", c.verdict, c.at, err, c.want)
			}
			if c.verdict == mesh.Reject && pong.From != c.at {
				t.Errorf("blocked by %q, want %q", pong.From, c.at)
			}
			if took := time.Since(start); c.verdict == mesh.Drop && took != 10*time.Second {
				t.Errorf("timeout after %v, want 10 s", took)
			}
			m.Node(c.at).SetPolicy(nil)
			if _, err := m.Node("a").Ping(t.Context(), "c", 30); err != nil {
				t.Errorf("ping without policy: %v", err)
			}
		}
	})
}

// TestPolicyCache: a decision is made once per addresses, and forgotten with the policy.
func TestPolicyCache(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		asked := 0
		h := meshtest.NewNode(t, mesh.Config{ID: "b", Policy: func(wire.NodeID, wire.NodeID, wire.Service, wire.Service) mesh.Verdict {
			asked++
			return mesh.Accept
		}})
		a, c := h.Link("a", 1), h.Link("c", 1)
		frame := wire.AppendHeader(nil, wire.Header{
			Hops: 5, Src: wire.NodeID("a").Hash(), Dst: wire.NodeID("c").Hash(),
			From: wire.Service("x").Name(), To: wire.Service("y").Name(),
		})
		for range 100 {
			a.Send(frame)
		}
		if got := c.TakeType(wire.TypeData); len(got) != 100 || got[0][1] != 4 {
			t.Errorf("%d packets passed", len(got))
		}
		if asked != 1 {
			t.Errorf("policy was asked %d times, want once", asked)
		}
		for _, step := range []struct {
			policy mesh.Policy
			passes int
		}{
			{func(wire.NodeID, wire.NodeID, wire.Service, wire.Service) mesh.Verdict { return mesh.Drop }, 0},
			{nil, 1},
			{func(wire.NodeID, wire.NodeID, wire.Service, wire.Service) mesh.Verdict { return mesh.Accept }, 1},
		} {
			h.SetPolicy(step.policy)
			a.Send(frame)
			if got := c.TakeType(wire.TypeData); len(got) != step.passes {
				t.Errorf("%d packets of a flow that runs pass after a change of policy, want %d", len(got), step.passes)
			}
		}
	})
}

// TestPingErrors: the errors and who reports them (spec control-protocol 3).
func TestPingErrors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := meshtest.New(t)
		edges := m.Line(link.PipeOptions{Delay: time.Millisecond}, "a", "b", "c")
		m.Converged(time.Second)
		time.Sleep(time.Second)
		a := m.Node("a")
		for _, c := range []struct {
			to   wire.NodeID
			hops uint8
			from wire.NodeID
			err  error
		}{
			{"c", 30, "c", nil},
			{"a", 0, "a", nil},
			{"LocalHost", 30, "a", nil},
			{"c", 0, "a", mesh.ErrExpired},
			{"c", 1, "b", mesh.ErrExpired},
			{"c", 2, "c", nil},
			{"nobody", 30, "a", mesh.ErrNoRoute},
			{"", 30, "a", mesh.ErrNoRoute},
		} {
			pong, err := a.Ping(t.Context(), c.to, c.hops)
			if pong.From != c.from || err != c.err {
				t.Errorf("ping %q with %d hops: from %q, %v; want %q, %v", c.to, c.hops, pong.From, err, c.from, c.err)
			}
		}
		var trace []string
		for _, hop := range a.Traceroute(t.Context(), "c") {
			trace = append(trace, fmt.Sprintf("%s %v", hop.From, hop.Err))
		}
		if got := strings.Join(trace, ", "); got != "a <nil>, b <nil>, c <nil>" {
			t.Errorf("traceroute: %s", got)
		}
		if hops := a.Traceroute(t.Context(), "nobody"); len(hops) != 2 || hops[0].Err != nil || hops[0].From != "a" || hops[1].Err != mesh.ErrNoRoute || hops[1].From != "a" {
			t.Errorf("traceroute to nobody: %v", hops)
		}
		edges[1].Cut()
		pong, err := a.Ping(t.Context(), "c", 30)
		if err != mesh.ErrTimeout || pong.From != "" || pong.Time != 10*time.Second {
			t.Errorf("ping over a cut link: %v, %v", pong, err)
		}
	})
}
