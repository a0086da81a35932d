package mesh

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/receptor-go/receptor/internal/mesh/link"
	"github.com/receptor-go/receptor/internal/mesh/wire"
)

// KeepLink keeps one dialled link up until ctx ends, and then returns nil once
// the link has ended. Without redial it makes one session and returns why that
// ended.
//
// Between attempts it waits 5 s, after further failures in a row up to 20 s, a
// little less at random. When a session ended because there is another link
// to the same node, it waits for the end of that one first.
func (n *Node) KeepLink(ctx context.Context, d link.Dialer, p LinkPolicy, redial bool) error {
	k := &keeper{node: n, dialer: d, policy: p, redial: redial, rand: newRand(), wait: redialFirst}
	for {
		err := k.session(ctx)
		switch {
		case ctx.Err() != nil:
			return nil
		case !redial || errors.Is(err, errNodeEnded):
			return err
		}
		k.pause(ctx)
	}
}

// keeper is the state of one KeepLink.
type keeper struct {
	node     *Node
	dialer   link.Dialer
	policy   LinkPolicy
	redial   bool
	rand     *rand.Rand
	wait     time.Duration // before the next attempt
	failure  string        // text of the last failure; empty after a success
	failures int           // how many times in a row it has been the same
	rival    *peer         // the link that made ours superfluous, or nil
}

// session dials and serves one link.
func (k *keeper) session(ctx context.Context) error {
	log := k.node.Logger
	k.rival = nil
	log.Debug("link dialled", "link", k.dialer.String())
	l, err := k.dialer.Dial(ctx)
	if ctx.Err() != nil {
		if err == nil {
			l.Close()
		}
		return ctx.Err()
	}
	if err != nil {
		k.logFailure(err)
		return err
	}
	if k.failures > 1 {
		log.Info("dialled after failures", "link", k.dialer.String(), "attempt", k.failures)
	}
	k.failure, k.failures, k.wait = "", 0, redialFirst
	p := newPeer(k.node, l, k.policy, k.dialer.String(), true)
	err = k.node.runLink(ctx, p)
	if ctx.Err() != nil || errors.Is(err, errNodeEnded) {
		return err
	}
	k.rival = k.node.linkTo(p.id)
	switch {
	case !k.redial:
		log.Error("link lost", "link", p.name, "peer", p.id, "err", err, "retry", false)
	case k.rival == nil:
		log.Warn("link lost", "link", p.name, "peer", p.id, "err", err, "retry", true)
	}
	return err
}

// logFailure logs a failed attempt unless it is the same as the one before.
func (k *keeper) logFailure(err error) {
	log, text := k.node.Logger, err.Error()
	if k.redial && text == k.failure {
		k.failures++
		return
	}
	attrs := []any{"link", k.dialer.String(), "err", err, "retry", k.redial}
	if k.failures > 1 {
		attrs = append(attrs, "attempt", k.failures)
	}
	k.failure, k.failures = text, 1
	if k.redial {
		log.Warn("link dial failed", attrs...)
	} else {
		log.Error("link dial failed", attrs...)
	}
}

// pause waits until the next attempt is due, and lengthens the wait for the
// one after it, which a success takes back.
func (k *keeper) pause(ctx context.Context) {
	if k.rival != nil {
		t := time.NewTimer(rivalWait)
		select {
		case <-k.rival.done:
		case <-t.C:
		case <-ctx.Done():
		}
		t.Stop()
	}
	jitter := time.Duration(k.rand.Int64N(int64(k.wait) / redialJitter))
	sleep(ctx, k.wait-jitter)
	if k.failures > 0 {
		k.wait = min(time.Duration(float64(k.wait)*redialGrowth), redialMost)
	}
}

// linkTo returns the established link to a node, or nil.
func (n *Node) linkTo(id wire.NodeID) *peer {
	var p *peer
	if id != "" {
		n.box.call(func(l *loop) { p = l.peers[id] })
	}
	return p
}
