package control

import (
	"crypto/sha256"
	"encoding/hex"
	"io"
)

// PayloadTrace is what is logged, at level debug, about the payloads of
// submissions: nothing, or what ansible/receptor has levels 1 to 3 for. The
// payload itself is never logged, since it may hold secrets, and goes on
// untouched.
type PayloadTrace int

const (
	TraceSource PayloadTrace = 1 + iota // that one is read, and from where
	TraceUnit                           // and the unit
	TraceSum                            // and its length and SHA-256, once it is there
)

// traced is the payload of a submission, logged as the configuration asks. What
// is returned with it is to be called behind the payload.
func (s *Server) traced(x exchange, unit string) (in io.Reader, read func()) {
	in = x.input()
	if s.PayloadTrace < TraceSource {
		return in, func() {}
	}
	source := "network connection"
	if x.origin().UnixSocket {
		source = "unix socket"
	}
	attrs := []any{"source", source}
	if s.PayloadTrace >= TraceUnit {
		attrs = append(attrs, "unit", unit)
	}
	s.Logger.Debug("payload begins", attrs...)
	if s.PayloadTrace < TraceSum {
		return in, func() {}
	}
	sum, size := sha256.New(), new(counter)
	return io.TeeReader(in, io.MultiWriter(sum, size)), func() {
		s.Logger.Debug("payload read", append(attrs, "bytes", int64(*size), "sha256", hex.EncodeToString(sum.Sum(nil)))...)
	}
}

// counter counts what is written to it.
type counter int64

func (c *counter) Write(b []byte) (int, error) {
	*c += counter(len(b))
	return len(b), nil
}
