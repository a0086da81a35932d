package main

import (
	"context"
	"errors"
	"io"
	"os"
	"strings"

	"github.com/receptor-go/receptor/internal/controlproto"
)

// payload is the input of a unit. Reading ends with the context given to
// openPayload, also while it waits for somebody to type or a pipe to fill.
type payload struct {
	r     io.Reader
	close func()
}

func (p *payload) Read(b []byte) (int, error) { return p.r.Read(b) }

// openPayload opens what the options name. Standard input is read only when the
// daemon has accepted the unit.
func (a *app) openPayload(ctx context.Context, o workSubmitOptions) (*payload, error) {
	if err := o.checkPayload(); err != nil {
		return nil, err
	}
	switch {
	case o.payloadLiteral != "":
		return &payload{r: strings.NewReader(o.payloadLiteral + "\n"), close: func() {}}, nil
	case o.payload == "-":
		return interruptible(ctx, a.stdin, func() {}), nil
	case o.payload != "":
		file, err := openFile(o.payload)
		if err != nil {
			return nil, fail(exitFailure, "Failed to load payload file: "+fileError(err, o.payload))
		}
		return interruptible(ctx, file, func() { file.Close() }), nil
	}
	return &payload{r: strings.NewReader(""), close: func() {}}, nil
}

// checkPayload checks that just one of the payload options was given; an empty
// value counts as none.
func (o workSubmitOptions) checkPayload() error {
	n := 0
	for _, given := range []bool{o.payload != "", o.payloadLiteral != "", o.noPayload} {
		if given {
			n++
		}
	}
	switch n {
	case 0:
		return fail(exitFailure, "Must provide one of --payload, --no-payload or --payload-literal.")
	case 1:
		return nil
	}
	return fail(exitFailure, "Cannot provide more than one of --payload, --no-payload and --payload-literal.")
}

func openFile(name string) (*os.File, error) {
	file, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	if info, err := file.Stat(); err == nil && info.IsDir() {
		file.Close()
		return nil, isDirectory
	}
	return file, nil
}

// interruptible makes a reader of r that a context can end. It reads nothing
// before it is read.
func interruptible(ctx context.Context, r io.Reader, close func()) *payload {
	if file, ok := r.(*os.File); ok {
		if info, err := file.Stat(); err == nil && info.Mode().IsRegular() {
			return &payload{r: file, close: close} // never waits
		}
	}
	out, in := io.Pipe()
	stop := context.AfterFunc(ctx, func() { out.CloseWithError(context.Cause(ctx)) })
	return &payload{
		r: &lazyReader{Reader: out, start: func() {
			// It may wait in a Read of r, so it ends with the program.
			go func() {
				_, err := io.CopyBuffer(in, struct{ io.Reader }{r}, make([]byte, controlproto.ChunkSize))
				in.CloseWithError(err)
			}()
		}},
		close: func() {
			stop()
			out.CloseWithError(errors.New("the payload is not wanted any more"))
			close()
		},
	}
}

// lazyReader calls start once, before the first Read.
type lazyReader struct {
	io.Reader
	start func()
}

func (r *lazyReader) Read(p []byte) (int, error) {
	if r.start != nil {
		r.start()
		r.start = nil
	}
	return r.Reader.Read(p)
}
