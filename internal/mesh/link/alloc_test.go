//go:build !race

package link

import "testing"

// TestAllocations: in steady state a frame costs no allocation. The race
// detector makes pools forget, so it is left out there.
func TestAllocations(t *testing.T) {
	ln, err := ListenTCP("127.0.0.1:0", nil)
	if err != nil {
		t.Fatal(err)
	}
	tcpA, tcpB := joined(t, ln, DialTCP(ln.Addr(), nil))
	pipeA, pipeB := Pipe(PipeOptions{})
	defer pipeA.Close()
	for name, ends := range map[string][2]Link{"tcp": {tcpA, tcpB}, "pipe": {pipeA, pipeB}} {
		frames := make([]*Frame, 32)
		for i := range frames {
			frames[i] = NewFrame(1500)
		}
		n := testing.AllocsPerRun(200, func() {
			if err := ends[0].WriteFrames(frames); err != nil {
				t.Fatal(err)
			}
			for range frames {
				f, err := ends[1].ReadFrame()
				if err != nil {
					t.Fatal(err)
				}
				f.Release()
			}
		})
		if n >= 1 {
			t.Errorf("%s: %v allocations for %d frames", name, n, len(frames))
		}
	}
}
