package supervise

import (
	"bytes"
	"fmt"
	"testing"
)

// FuzzParseEnd: the end of an input is what was written as one, and nothing else: a file
// that was cut short has no end.
func FuzzParseEnd(f *testing.F) {
	for _, s := range []string{"0\n", "12\n", "9223372036854775807\n", "9223372036854775808\n", "12", "", "\n", "+1\n", "-0\n", "-1\n", "007\n", "1 \n", "1\n\n", "1_000\n"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		size, err := ParseEnd(b)
		if err != nil {
			if len(err.Error()) > 300 {
				t.Errorf("error of %d bytes", len(err.Error()))
			}
			return
		}
		if size < 0 || !bytes.Equal(fmt.Appendf(nil, "%d\n", size), b) {
			t.Errorf("%q is taken for %d", b, size)
		}
	})
}
