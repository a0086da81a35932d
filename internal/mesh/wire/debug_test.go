package wire

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
)

func TestDebugForms(t *testing.T) {
	h := Header{Hops: 3, Src: 1, Dst: 2, From: Ping.Name(), To: Unreachable.Name()}
	a := Advert{NodeID: "n", Service: "s", ConnType: StreamTLS, Cancel: true}
	p := Problem{FromNode: "a", ToNode: "b", Problem: ProblemExpired}
	for _, tt := range []struct {
		v    any
		want []string
	}{
		{TypeUpdate, []string{"update"}},
		{Type(9), []string{"0x09"}},
		{Hash(0x28501aba8f06ebda), []string{"28501aba8f06ebda"}},
		{Ping.Name(), []string{"ping"}},
		{Datagram, []string{"datagram"}}, {Stream, []string{"stream"}}, {ConnType(7), []string{"7"}},
		{h, []string{`"ping"`, `"unreach"`, "hops 3"}},
		{beta(), []string{"vZY1GLKv", `"beta"`, "30121901109578300", "alpha:1"}},
		{a, []string{`"n"`, "withdraws", `"s"`}},
		{p, []string{"message expired"}},
	} {
		s := fmt.Sprint(tt.v)
		for _, w := range tt.want {
			if !strings.Contains(s, w) {
				t.Errorf("%q lacks %q", s, w)
			}
		}
	}
	var out bytes.Buffer
	log := slog.New(slog.NewTextHandler(&out, nil))
	log.Info("x", "header", h, "update", beta(), "advert", a, "problem", p)
	for _, w := range []string{"header.hops=3", "update.sequence=2", "advert.cancel=true", `problem.cause="message expired"`} {
		if !strings.Contains(out.String(), w) {
			t.Errorf("%s lacks %s", out.String(), w)
		}
	}
}

func TestError(t *testing.T) {
	cause := errors.New("cause")
	for want, e := range map[string]*Error{
		"malformed k: w":        {Kind: "k", What: "w"},
		"malformed k: cause":    {Kind: "k", Err: cause},
		"malformed k: w: cause": {Kind: "k", What: "w", Err: cause},
	} {
		if e.Error() != want || !errors.Is(e, e.Err) && e.Err != nil {
			t.Errorf("got %q, want %q", e, want)
		}
	}
}
