package wire

import (
	"fmt"
	"testing"
)

func BenchmarkParseHeader(b *testing.B) {
	frame := AppendHeader(nil, Header{Hops: 30, From: Ping.Name(), To: Ping.Name()})
	b.ReportAllocs()
	for b.Loop() {
		h, err := ParseHeader(frame)
		if err != nil {
			b.Fatal(err)
		}
		SetHops(frame, h.Hops)
	}
}

func BenchmarkHash(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		NodeID("exec-01.prod.example.org").Hash()
	}
}

// update with n links.
func update(n int) Update {
	u := beta()
	for i := range n - 1 {
		u.Connections[NodeID(fmt.Sprintf("node%04d", i))] = 1
	}
	return u
}

func BenchmarkUpdate(b *testing.B) {
	for _, n := range []int{3, 100} {
		u := update(n)
		frame := AppendUpdate(nil, u)
		out := make([]byte, 0, 2*len(frame))
		run := func(name string, f func() error) {
			b.Run(fmt.Sprintf("%s-%d", name, n), func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					if err := f(); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
		run("Append", func() error { out = AppendUpdate(out[:0], u); return nil })
		run("Parse", func() error { _, err := ParseUpdate(frame); return err })
		run("Forward", func() error { _, err := ForwardUpdate(out[:0], frame, "gamma"); return err })
		run("Peek", func() error {
			if _, ok := PeekUpdateID(frame); !ok {
				return errType
			}
			return nil
		})
	}
}

func BenchmarkAdvert(b *testing.B) {
	a := Advert{NodeID: "alpha", Service: "control", ConnType: Stream, Tags: map[string]string{"type": "Control Service"},
		WorkCommands: []WorkCommand{{"echo", false}}}
	frame := AppendAdvert(nil, a)
	b.Run("Append", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			frame = AppendAdvert(frame[:0], a)
		}
	})
	b.Run("Parse", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := ParseAdvert(frame); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkProblem(b *testing.B) {
	p := Problem{"beta", "alpha", "A7Vc9xYw", "nosuch", ProblemServiceUnknown}
	payload := AppendProblem(nil, p)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := ParseProblem(payload); err != nil {
			b.Fatal(err)
		}
	}
}
