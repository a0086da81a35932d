//go:build linux

package suite

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/receptor-go/receptor/test/bench/internal/node"
	"github.com/receptor-go/receptor/test/bench/internal/pattern"
	"github.com/receptor-go/receptor/test/bench/internal/stat"
)

// sink counts and verifies what each connection sends. Once size bytes have
// come it answers with one byte: 1 for correct, 0 for corrupt.
func sink(size int64) (net.Listener, error) {
	return serve(func(c net.Conn) {
		var v pattern.Verifier
		_, _ = io.CopyBuffer(&v, io.LimitReader(c, size), make([]byte, 256<<10))
		verdict := byte(0)
		if v.Err(size) == nil {
			verdict = 1
		}
		_, _ = c.Write([]byte{verdict})
	})
}

// echo sends back what it gets.
func echo() (net.Listener, error) {
	return serve(func(c net.Conn) { _, _ = io.Copy(c, c) })
}

func serve(handle func(net.Conn)) (net.Listener, error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				handle(c)
			}()
		}
	}()
	return ln, nil
}

// stream measures the mesh without the work layer: TCP into the first node,
// over the mesh, and out of the last one.
func stream(hops int) func(context.Context, *Env) error {
	return func(ctx context.Context, e *Env) error {
		size := Pick[int64](e, 256<<20, 32<<20)
		const streams = 4
		sinkAt, err := sink(size / streams)
		if err != nil {
			return err
		}
		e.OnClose(func() { sinkAt.Close() })
		echoAt, err := echo()
		if err != nil {
			return err
		}
		e.OnClose(func() { echoAt.Close() })

		toSink, toEcho := node.FreePort(), node.FreePort()
		nodes := e.Chain(hops+1, func(i int, s *node.Spec) {
			switch i {
			case 0:
				last := fmt.Sprintf("n%d", hops)
				s.Inlets = []node.Inlet{{Port: toSink, Node: last, Service: "sink"}, {Port: toEcho, Node: last, Service: "echo"}}
			case hops:
				s.Outlets = []node.Outlet{{Service: "sink", Address: sinkAt.Addr().String()}, {Service: "echo", Address: echoAt.Addr().String()}}
			}
		})
		if err := e.join(ctx, nodes); err != nil {
			return err
		}
		if err := serving(ctx, nodes[hops], "sink", "echo"); err != nil {
			return err
		}
		// A short exchange first, so that connection setup is not measured twice.
		setup, _, err := roundTrips(ctx, toEcho, 1)
		if err != nil {
			return err
		}
		e.Metric("connect and first round trip", "ms", Lower, stat.Millis(setup))

		m := e.meter()
		for range streams {
			err = errors.Join(err, push(ctx, toSink, size/streams))
		}
		e.CheckErr("one stream correct", err)
		if err == nil {
			m.report("one stream", size, time.Now())
		}
		m = e.meter()
		errs := make(chan error, streams)
		for range streams {
			go func() { errs <- push(ctx, toSink, size/streams) }()
		}
		err = nil
		for range streams {
			err = errors.Join(err, <-errs)
		}
		e.CheckErr("four streams correct", err)
		if err == nil {
			m.report("four streams", size, time.Now())
		}
		_, trips, err := roundTrips(ctx, toEcho, Pick(e, 3000, 300))
		if err != nil {
			return err
		}
		e.Metric("64 bytes p50", "us", Lower, stat.Quantile(trips, 0.50))
		e.Metric("64 bytes p99", "us", Lower, stat.Quantile(trips, 0.99))
		return nil
	}
}

func dial(ctx context.Context, port int) (net.Conn, func(), error) {
	c, err := (&net.Dialer{}).DialContext(ctx, "tcp", node.Loopback(port))
	if err != nil {
		return nil, nil, err
	}
	stop := context.AfterFunc(ctx, func() { c.Close() })
	return c, func() { stop(); c.Close() }, nil
}

func push(ctx context.Context, port int, size int64) error {
	c, done, err := dial(ctx, port)
	if err != nil {
		return err
	}
	defer done()
	if _, err := io.CopyBuffer(struct{ io.Writer }{c}, pattern.Reader(size), make([]byte, 256<<10)); err != nil {
		return err
	}
	verdict := make([]byte, 1)
	if _, err := io.ReadFull(c, verdict); err != nil {
		return fmt.Errorf("no answer from the sink: %w", err)
	}
	if verdict[0] != 1 {
		return errors.New("bytes corrupted")
	}
	return nil
}

// roundTrips exchanges 64-byte messages. It returns the time from dialling to
// the first answer and then the microseconds of each round trip.
func roundTrips(ctx context.Context, port, n int) (time.Duration, []float64, error) {
	began := time.Now()
	c, done, err := dial(ctx, port)
	if err != nil {
		return 0, nil, err
	}
	defer done()
	var setup time.Duration
	var trips []float64
	message := make([]byte, 64)
	for i := range n {
		at := time.Now()
		if _, err := c.Write(message); err != nil {
			return 0, nil, err
		}
		if _, err := io.ReadFull(c, message); err != nil {
			return 0, nil, err
		}
		if i == 0 {
			setup = time.Since(began)
			continue
		}
		trips = append(trips, stat.Micros(time.Since(at)))
	}
	return setup, trips, nil
}
