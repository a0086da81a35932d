package wire

import (
	"fmt"
	"log/slog"
	"time"
)

// String returns the name of the type, or its number.
func (t Type) String() string {
	switch t {
	case TypeData:
		return "data"
	case TypeUpdate:
		return "update"
	case TypeAdvert:
		return "advert"
	case TypeReject:
		return "reject"
	}
	return fmt.Sprintf("type 0x%02x", byte(t))
}

// String returns the 16 hexadecimal digits as they stand on the wire.
func (h Hash) String() string { return fmt.Sprintf("%016x", uint64(h)) }

// String returns the name without padding.
func (s ServiceName) String() string { return string(s.Service()) }

// String returns "datagram", "stream" or "stream with TLS", or the number.
func (c ConnType) String() string {
	switch c {
	case Datagram:
		return "datagram"
	case Stream:
		return "stream"
	case StreamTLS:
		return "stream with TLS"
	}
	return fmt.Sprintf("kind %d", byte(c))
}

// String returns one line for debugging.
func (h Header) String() string {
	return fmt.Sprintf("data %v:%q -> %v:%q hops %d", h.Src, h.From.Service(), h.Dst, h.To.Service(), h.Hops)
}

// LogValue shows the fields under short names.
func (h Header) LogValue() slog.Value {
	return slog.GroupValue(
		slog.String("src", h.Src.String()), slog.String("from", h.From.String()),
		slog.String("dst", h.Dst.String()), slog.String("to", h.To.String()),
		slog.Int("hops", int(h.Hops)))
}

// String returns one line for debugging.
func (u Update) String() string {
	return fmt.Sprintf("update %s of %q by %q: epoch %d sequence %d connections %v suspect %d",
		u.UpdateID, u.NodeID, u.ForwardingNode, u.UpdateEpoch, u.UpdateSequence, u.Connections, u.SuspectedDuplicate)
}

// LogValue shows the fields under short names, and of the connections only
// their number.
func (u Update) LogValue() slog.Value {
	return slog.GroupValue(
		slog.String("node", string(u.NodeID)), slog.String("peer", string(u.ForwardingNode)),
		slog.String("id", u.UpdateID), slog.Uint64("epoch", u.UpdateEpoch),
		slog.Uint64("sequence", u.UpdateSequence), slog.Int("connections", len(u.Connections)),
		slog.Uint64("suspect", u.SuspectedDuplicate))
}

// String returns one line for debugging.
func (a Advert) String() string {
	verb := "offers"
	if a.Cancel {
		verb = "withdraws"
	}
	return fmt.Sprintf("advert: %q %s %q (%v) at %s tags %v work %v",
		a.NodeID, verb, a.Service, a.ConnType, a.Time.Format(time.RFC3339Nano), a.Tags, a.WorkCommands)
}

// LogValue shows the fields under short names.
func (a Advert) LogValue() slog.Value {
	return slog.GroupValue(
		slog.String("node", string(a.NodeID)), slog.String("service", string(a.Service)),
		slog.Time("time", a.Time), slog.String("kind", a.ConnType.String()),
		slog.Any("tags", a.Tags), slog.Int("work", len(a.WorkCommands)), slog.Bool("cancel", a.Cancel))
}

// String returns one line for debugging.
func (p Problem) String() string {
	return fmt.Sprintf("unreachable %q:%q -> %q:%q: %s", p.FromNode, p.FromService, p.ToNode, p.ToService, p.Problem)
}

// LogValue shows the fields under short names.
func (p Problem) LogValue() slog.Value {
	return slog.GroupValue(
		slog.String("node", string(p.FromNode)), slog.String("service", string(p.FromService)),
		slog.String("peer", string(p.ToNode)), slog.String("to", string(p.ToService)),
		slog.String("cause", p.Problem))
}
