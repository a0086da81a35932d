package mesh

import (
	"context"
	"log/slog"

	"github.com/receptor-go/receptor/internal/mesh/route"
	"github.com/receptor-go/receptor/internal/mesh/wire"
)

// debugs tells whether lines at level debug are written: what they say costs
// work that nobody else needs.
func (l *loop) debugs() bool { return l.log.Enabled(context.Background(), slog.LevelDebug) }

// logUpdate writes the lines about an update that came from p.
func (l *loop) logUpdate(p *peer, frame []byte, res *route.Result) {
	if u := res.Suspects; u != nil {
		l.log.Warn("duplicate suspected", "node", u.NodeID, "epoch", u.UpdateEpoch, "id", u.UpdateID, "suspect", u.SuspectedDuplicate)
	}
	if !res.News || !l.debugs() {
		return
	}
	if u, err := wire.ParseUpdate(frame); err == nil {
		l.log.Debug("routing update received", "id", u.UpdateID, "node", u.NodeID, "peer", p.id)
	}
}

// logSent writes the lines about our own updates among what is sent: each has
// one, however many links it goes to.
func (l *loop) logSent(sent []route.Send) {
	all := l.debugs() // else only accusations, which replace no frame
	var last *byte
	for _, s := range sent {
		if len(s.Frame) == 0 || &s.Frame[0] == last || s.Key != "" && s.Key != l.n.ID {
			continue
		}
		last = &s.Frame[0]
		if s.Key != "" && !all {
			continue
		}
		u, err := wire.ParseUpdate(s.Frame)
		switch {
		case err != nil || u.NodeID != l.n.ID:
		case u.SuspectedDuplicate != 0:
			l.log.Warn("duplicate accused", "id", u.UpdateID, "connections", u.Connections)
		default:
			l.log.Debug("routing update sent", "id", u.UpdateID, "connections", u.Connections)
		}
	}
}
