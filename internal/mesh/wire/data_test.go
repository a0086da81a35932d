package wire

import (
	"bytes"
	"encoding/hex"
	"testing"
)

// pingHex is the example of spec mesh-protocol 9.
const pingHex = "001d000028501aba8f06ebda65efb30772de1513657946485741774a70696e6700000000"

func TestHeader(t *testing.T) {
	frame, _ := hex.DecodeString(pingHex)
	want := Header{Hops: 29, Src: NodeID("beta").Hash(), Dst: NodeID("alpha").Hash(),
		From: Service("eyFHWAwJ").Name(), To: Ping.Name()}
	if h, err := ParseHeader(frame); err != nil || h != want {
		t.Errorf("got %v, %v", h, err)
	}
	if got := AppendHeader(nil, want); !bytes.Equal(got, frame) || len(got) != HeaderSize {
		t.Errorf("got %x", got)
	}
	frame[2], frame[3] = 0xff, 0xff // zero on sending, ignored on receiving
	if h, err := ParseHeader(frame); err != nil || h != want {
		t.Errorf("reserved bytes: got %v, %v", h, err)
	}
	SetHops(frame, 255)
	if h, _ := ParseHeader(frame); h.Hops != 255 || h.Dst != want.Dst {
		t.Errorf("after SetHops: %v", h)
	}
	if p := Payload(frame); len(p) != 0 {
		t.Errorf("payload %q", p)
	}
	if p := Payload(append(frame, "abc"...)); string(p) != "abc" {
		t.Errorf("payload %q", p)
	}
	if p := Payload(frame[:20]); p != nil {
		t.Errorf("payload %q", p)
	}
}

func TestParseHeaderRefuses(t *testing.T) {
	for _, frame := range [][]byte{
		nil, {}, {0}, make([]byte, HeaderSize-1), make([]byte, MaxFrame+1), bytes.Repeat([]byte{1}, HeaderSize),
	} {
		if _, err := ParseHeader(frame); err == nil {
			t.Errorf("%d bytes accepted", len(frame))
		}
	}
	if _, err := ParseHeader(make([]byte, MaxFrame)); err != nil {
		t.Error(err)
	}
}

func TestHeaderAllocates(t *testing.T) {
	frame := make([]byte, 1500)
	short := frame[:5]
	b := make([]byte, 0, HeaderSize)
	if n := testing.AllocsPerRun(100, func() {
		h, _ := ParseHeader(frame)
		_, err := ParseHeader(short)
		SetHops(frame, h.Hops-1)
		b = AppendHeader(b[:0], h)
		if err == nil || len(Payload(frame)) == 0 {
			panic("wrong")
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
	update := []byte(usualBeta)
	if n := testing.AllocsPerRun(100, func() {
		if _, ok := PeekUpdateID(update); !ok {
			panic("wrong")
		}
	}); n != 0 {
		t.Errorf("PeekUpdateID: %v allocations", n)
	}
}

func FuzzParseHeader(f *testing.F) {
	ping, _ := hex.DecodeString(pingHex)
	f.Add(ping)
	f.Add([]byte{})
	f.Add(append(ping, "payload"...))
	f.Fuzz(func(t *testing.T, frame []byte) {
		h, err := ParseHeader(frame)
		if err != nil {
			return
		}
		frame[2], frame[3] = 0, 0
		if again := append(AppendHeader(nil, h), Payload(frame)...); !bytes.Equal(again, frame) {
			t.Fatalf("%x\n%x", again, frame)
		}
		_ = h.String()
	})
}
