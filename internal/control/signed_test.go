package control

import (
	"net"
	"sync"
	"testing"

	"github.com/receptor-go/receptor/internal/work"
	"github.com/receptor-go/receptor/internal/work/sign"
)

// TestSignedVectors replays what was recorded about signatures: on a Unix socket
// nobody asks for them; on TCP, and on the mesh, somebody does.
func TestSignedVectors(t *testing.T) {
	r := &replay{places: scene(t), ids: map[string]string{
		" mesh-client": "", // the tls-client of the recording, which this scene does without
	}}
	r.settle(t)
	e := r.places["executor01"]
	e.work.SetKeys(work.Keys{Verify: sign.NewVerifier("executor01", "../work/sign/testdata/keys/signworkpublic.pem").Verify})
	if err := e.work.SetTypes(append(types(), work.Command{WorkType: "signed-cat", Command: "cat", VerifySignature: true})); err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := New(Config{Node: e.node, Work: e.work, Version: "1.5.0", TLSClient: noTLS})
	var serving sync.WaitGroup
	serving.Go(func() { // ends with the listener
		if err := server.Serve(t.Context(), ln, false); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(func() { ln.Close(); serving.Wait() })
	for _, step := range []struct {
		file string
		dial func(*testing.T) net.Conn
		wait string // for the end of the unit
	}{
		{"tls-raw-signed-type-unix", func(t *testing.T) net.Conn { return dialPlace(t, e) }, "ROp9yWJl"},
		{"tls-raw-signed-type-tcp", func(t *testing.T) net.Conn { return dialAddr(t, "tcp", ln.Addr().String()) }, ""},
		{"tls-raw-connect-signed", nil, ""},
	} {
		t.Run(step.file, func(t *testing.T) {
			r.dial = step.dial
			r.file(t, step.file)
		})
		if step.wait != "" {
			eventually(t, "the unit has ended", func() bool {
				u, err := e.work.Status(r.ids[step.wait])
				return err == nil && u.State.Ended()
			})
		}
	}
}
