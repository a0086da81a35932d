package wire

import (
	"strings"
	"testing"
)

func TestParseNodeID(t *testing.T) {
	for _, s := range []string{"a", "node1", "exec-01.prod.example.org", "10.0.0.1", "user@host", "ünïcødé", "日本語",
		"localhost2", "localhost.example", strings.Repeat("n", MaxNodeID)} {
		if id, err := ParseNodeID(s); err != nil || string(id) != s {
			t.Errorf("%q: %q, %v", s, id, err)
		}
	}
	for _, s := range []string{"", "localhost", "LOCALHOST", "LocalHost", "a:b", "fd00::1", "with space", "a\nb", "a\tb",
		"a\u00a0b", "a\u2028b", "a\x00", "\x7f", "a\xff", strings.Repeat("n", MaxNodeID+1)} {
		if id, err := ParseNodeID(s); err == nil || id != "" {
			t.Errorf("%q accepted", s)
		}
	}
}

func TestService(t *testing.T) {
	for _, s := range []string{"a", "control", "12345678", "ping", "\x00a", "é"} {
		v, err := ParseService(s)
		if err != nil || string(v) != s {
			t.Errorf("%q: %q, %v", s, v, err)
		}
		if back := v.Name().Service(); back != v {
			t.Errorf("%q came back as %q", v, back)
		}
	}
	for _, s := range []string{"", "123456789", "a\x00", "\x00"} {
		if _, err := ParseService(s); err == nil {
			t.Errorf("%q accepted", s)
		}
	}
	if got := Service("ping").Name(); got != (ServiceName{'p', 'i', 'n', 'g'}) {
		t.Errorf("got %q", got)
	}
	if got := (ServiceName{}).Service(); got != "" {
		t.Errorf("got %q", got)
	}
	if got := Service("123456789").Name(); string(got[:]) != "12345678" {
		t.Errorf("got %q", got)
	}
}
