package proxy

import "testing"

// FuzzDestination: whatever comes out of the device of an IP router.
func FuzzDestination(f *testing.F) {
	f.Add([]byte{})
	f.Add([]byte{0x45})
	f.Add([]byte("\x45\x00\x00\x14\x00\x00\x00\x00\x40\x01\x00\x00\x0a\x00\x00\x01\x0a\x00\x01\x01"))
	f.Add(append([]byte{0x60}, make([]byte, 39)...))
	f.Fuzz(func(t *testing.T, packet []byte) {
		if to, ok := destination(packet); ok && (!to.IsValid() || len(packet) < 20) {
			t.Errorf("%x goes to %v", packet, to)
		}
	})
}
