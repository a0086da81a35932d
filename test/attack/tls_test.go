//go:build attack

package attack

import (
	"context"
	"crypto/tls"
	"io"
	"math/rand/v2"
	"net"
	"time"
)

// clientHello is the first record of a TLS handshake.
func clientHello() []byte {
	near, far := net.Pipe()
	defer near.Close()
	defer far.Close()
	go tls.Client(near, &tls.Config{ServerName: "t"}).HandshakeContext(context.Background()) // ends with near
	b := make([]byte, 1<<14)
	n, _ := far.Read(b)
	return b[:n]
}

// record is a TLS record of that type.
func record(kind byte, content []byte) []byte {
	return append([]byte{kind, 3, 3, byte(len(content) >> 8), byte(len(content))}, content...)
}

// tlsNonsense goes a part of the way to a TLS connection, or all of it without
// the certificate that is asked for, and then says what nobody says there.
func tlsNonsense(x *attacker) {
	hello := clientHello()
	addrs := []string{x.where.TLS, x.where.WSS, x.where.ControlTLS}
	x.crowd(30, func(r *rand.Rand) {
		x.with("tcp", addrs[r.IntN(len(addrs))], func(c net.Conn) {
			c.SetDeadline(time.Now().Add(5 * time.Second))
			switch r.IntN(6) {
			case 0: // no TLS at all
				c.Write(noise(r, 1+r.IntN(20000)))
			case 1: // a true beginning, and noise in records
				c.Write(hello)
				for range 100 {
					if _, err := c.Write(record(byte(20+r.IntN(5)), noise(r, 1+r.IntN(16000)))); err != nil {
						return
					}
				}
			case 2: // a greeting that goes on for ever
				c.Write(record(22, []byte{1, 0xff, 0xff, 0xff}))
				for range 100 {
					if _, err := c.Write(record(22, noise(r, 16000))); err != nil {
						return
					}
				}
			case 3: // records without content
				for range 5000 {
					if _, err := c.Write(record(22, nil)); err != nil {
						return
					}
				}
			case 4: // the server does its part, and nobody answers
				c.Write(hello)
				x.pause(time.Duration(r.IntN(5000)) * time.Millisecond)
			case 5: // a whole handshake without a certificate, and a flood behind it
				secure := tls.Client(c, &tls.Config{InsecureSkipVerify: true})
				if secure.HandshakeContext(x.ctx) != nil {
					return
				}
				for range 100 {
					if _, err := secure.Write(noise(r, 16000)); err != nil {
						return
					}
				}
			}
			io.CopyN(io.Discard, c, 1<<20)
		})
	})
}
