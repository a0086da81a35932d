package mesh

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/receptor-go/receptor/internal/mesh/link"
)

// Waits between failed accepts: too many open files, say.
const (
	acceptWait    = 50 * time.Millisecond
	acceptWaitMax = time.Second
)

// ServeLinks accepts links until ctx ends or ln is closed; then it closes ln
// and the links that came over it, and returns when they have ended. It
// returns nil if ctx ended. Run has to run for links to come up.
func (n *Node) ServeLinks(ctx context.Context, ln link.Listener, p LinkPolicy) error {
	ctx, cancel := context.WithCancel(ctx)
	var links sync.WaitGroup
	defer links.Wait()
	defer cancel() // closes the links
	closed := make(chan struct{})
	stop := context.AfterFunc(ctx, func() { // waited for below if it has begun
		defer close(closed)
		ln.Close()
	})
	// The port is free when this returns: a Close that comes second does not wait for the first.
	defer func() {
		ln.Close()
		if !stop() {
			<-closed
		}
	}()
	wait := acceptWait
	for {
		l, err := ln.Accept()
		switch {
		case ctx.Err() != nil:
			if err == nil {
				l.Close()
			}
			return nil
		case errors.Is(err, link.ErrClosed):
			return err
		case err != nil:
			n.Logger.Warn("accept failed", "link", ln.Addr(), "err", err, "delay", wait)
			sleep(ctx, wait)
			wait = min(2*wait, acceptWaitMax)
			continue
		}
		wait = acceptWait
		links.Go(func() { n.runLink(ctx, newPeer(n, l, p, l.RemoteAddr(), false)) })
	}
}

// runLink serves a link until it ends or ctx does.
func (n *Node) runLink(ctx context.Context, p *peer) error {
	stop := context.AfterFunc(ctx, func() { p.close(context.Cause(ctx)) })
	defer stop()
	return n.serveLink(p)
}

// sleep waits for d or until ctx ends.
func sleep(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}
