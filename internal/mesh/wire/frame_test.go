package wire

import (
	"strings"
	"testing"
)

// A reject frame may carry a reason, within bounds; anything else in it is none.
func TestRejectReason(t *testing.T) {
	for _, reason := range []string{"", "certificate \"CN=a\" is that of node a", "é\n\x00", strings.Repeat("\x01", maxReason)} {
		if got := RejectReason(Reject(reason)); got != reason {
			t.Errorf("%q became %q", reason, got)
		}
	}
	if got := RejectReason(Reject(strings.Repeat("é", maxReason))); got != strings.Repeat("é", maxReason/2) {
		t.Errorf("a long one became %d bytes", len(got))
	}
	for _, frame := range []string{"", "\x03", "\x03[]", "\x03{}", "\x03[1]", "\x03[\"a\",\"b\"]", "\x03[\"" + strings.Repeat("a", maxReason+1) + "\"]", "\x03[\"" + strings.Repeat("a", 7*maxReason) + "\"]"} {
		if got := RejectReason([]byte(frame)); got != "" {
			t.Errorf("%.20q has the reason %.20q", frame, got)
		}
	}
}

func FuzzRejectReason(f *testing.F) {
	f.Add(Reject("no"))
	f.Add(Reject(""))
	f.Fuzz(func(t *testing.T, frame []byte) {
		reason := RejectReason(frame)
		if got := RejectReason(Reject(reason)); got != reason {
			t.Fatalf("%q became %q", reason, got)
		}
	})
}
