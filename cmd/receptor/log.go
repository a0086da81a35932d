package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
	"unicode"

	"github.com/receptor-go/receptor/internal/config"
	"github.com/receptor-go/receptor/internal/mesh/wire"
)

// newLogHandler writes records to w from a level on, which may change at any
// time. Nothing that goes wrong with w stops the daemon.
func newLogHandler(w io.Writer, format string, level slog.Leveler) slog.Handler {
	if format == config.LogJSON {
		return slog.NewJSONHandler(w, &slog.HandlerOptions{Level: level})
	}
	return &textHandler{out: &logOutput{w: w}, level: level}
}

// daemonLog is the daemon's log on its way to a stream.
type daemonLog struct {
	*slog.Logger
	repeats *repeats
	queue   *logQueue
}

// newLog starts a log; close ends it.
func newLog(w io.Writer, format string, level slog.Leveler) *daemonLog {
	surviveClosedPipe(w)
	l := &daemonLog{queue: newLogQueue(w, func(count int) []byte {
		var b bytes.Buffer
		r := slog.NewRecord(time.Now(), slog.LevelWarn, "log lines were dropped, since nobody read them", 0)
		r.AddAttrs(slog.Int("count", count))
		_ = newLogHandler(&b, format, slog.LevelWarn).Handle(context.Background(), r) // a buffer takes all
		return b.Bytes()
	})}
	h := newRepeatHandler(newLogHandler(l.queue, format, level))
	l.Logger, l.repeats = slog.New(h), h.seen
	return l
}

// close writes what is left. It returns false if nobody reads the stream.
func (l *daemonLog) close() bool {
	l.repeats.close()
	return l.queue.close()
}

// surviveClosedPipe has writes to a standard stream fail, rather than end the
// process, when nobody reads it any more. The signal must not be ignored
// instead: commands that we start would inherit that.
func surviveClosedPipe(w io.Writer) {
	if f, ok := w.(*os.File); ok && (f == os.Stdout || f == os.Stderr) {
		signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE) // never received: full is dropped
	}
}

// textHandler writes records in the form of ansible/receptor, with its wording
// for what operators search logs for (spec configuration 10):
//
//	LEVEL YYYY/MM/DD HH:MM:SS message
//
// A phrase of the table in stockText becomes the stock text, which drops
// attributes that it has no place for. Any other record is its message and
// its attributes as key=value. A record may become several lines, each with
// the prefix; they are one write.
type textHandler struct {
	out   *logOutput
	level slog.Leveler
	attrs []slog.Attr // of WithAttrs, keys with the prefix of their group
	group string      // prefix of keys: empty, or ending in "."
}

// logOutput is a writer shared by a handler and those derived from it.
type logOutput struct {
	mu sync.Mutex // held for one write
	w  io.Writer
}

// Enabled says whether a level is logged at present.
func (h *textHandler) Enabled(_ context.Context, level slog.Level) bool {
	return level >= h.level.Level()
}

// WithAttrs returns a handler that adds attributes to every record.
func (h *textHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	d := *h
	d.attrs = slices.Clip(d.attrs)
	for _, a := range attrs {
		d.attrs = appendAttr(d.attrs, h.group, a)
	}
	return &d
}

// WithGroup returns a handler that puts a name before the keys that follow.
func (h *textHandler) WithGroup(name string) slog.Handler {
	d := *h
	if name != "" {
		d.group += name + "."
	}
	return &d
}

// appendAttr appends an attribute, its groups spelt out in keys.
func appendAttr(as []slog.Attr, group string, a slog.Attr) []slog.Attr {
	v := a.Value.Resolve()
	if v.Kind() != slog.KindGroup {
		if a.Equal(slog.Attr{}) {
			return as
		}
		return append(as, slog.Attr{Key: group + a.Key, Value: v})
	}
	if a.Key != "" {
		group += a.Key + "."
	}
	for _, b := range v.Group() {
		as = appendAttr(as, group, b)
	}
	return as
}

// Handle writes one record. An error of the writer is returned and has no
// other consequence.
func (h *textHandler) Handle(_ context.Context, r slog.Record) error {
	fields := slices.Clip(h.attrs)
	r.Attrs(func(a slog.Attr) bool {
		fields = appendAttr(fields, h.group, a)
		return true
	})
	repeated := ""
	if i := slices.IndexFunc(fields, func(a slog.Attr) bool { return a.Key == repeatedKey }); i >= 0 {
		repeated = " " + repeatedKey + "=" + fields[i].Value.String() // stock texts have it, too
		fields = slices.Delete(fields, i, i+1)
	}
	lines := stockText(r.Message, fields)
	if lines == nil {
		lines = []string{plainText(r.Message, fields)}
	}
	when := r.Time
	if when.IsZero() {
		when = time.Now()
	}
	prefix := levelName(r.Level) + when.Local().Format(" 2006/01/02 15:04:05 ")
	var b []byte
	for _, line := range lines {
		b = append(append(append(b, prefix...), line...), '\n')
	}
	if repeated != "" {
		b = append(append(b[:len(b)-1], repeated...), '\n')
	}
	h.out.mu.Lock()
	defer h.out.mu.Unlock()
	_, err := h.out.w.Write(b)
	return err
}

func levelName(l slog.Level) string {
	switch {
	case l >= slog.LevelError:
		return "ERROR"
	case l >= slog.LevelWarn:
		return "WARNING"
	case l >= slog.LevelInfo:
		return "INFO"
	}
	return "DEBUG"
}

// plainText is a record that has no stock text.
func plainText(message string, fields []slog.Attr) string {
	var b strings.Builder
	b.WriteString(printable(message))
	for _, f := range fields {
		v := f.Value.String()
		if v == "" || strings.ContainsFunc(v, func(r rune) bool { return r == ' ' || r == '"' || r == '=' || !unicode.IsPrint(r) }) {
			v = strconv.Quote(v)
		}
		b.WriteString(" " + printable(f.Key) + "=" + v)
	}
	return b.String()
}

// printable escapes what is not printable: names from other nodes and texts
// of errors must not make lines of their own.
func printable(s string) string {
	if !strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) }) {
		return s
	}
	q := strconv.Quote(s)
	return strings.ReplaceAll(q[1:len(q)-1], `\"`, `"`)
}

// logFields are the attributes of a record, for looking up.
type logFields []slog.Attr

// text is the printable text of an attribute, or empty.
func (fs logFields) text(key string) string {
	for _, f := range fs {
		if f.Key == key {
			return printable(f.Value.String())
		}
	}
	return ""
}

// without are the attributes but for some keys.
func (fs logFields) without(keys ...string) []slog.Attr {
	var rest []slog.Attr
	for _, f := range fs {
		if !slices.Contains(keys, f.Key) {
			rest = append(rest, f)
		}
	}
	return rest
}

// any is the value of an attribute, or nil.
func (fs logFields) any(key string) any {
	for _, f := range fs {
		if f.Key == key {
			return f.Value.Any()
		}
	}
	return nil
}

// stockText is the wording of ansible/receptor for a phrase, or nil.
func stockText(phrase string, fields logFields) []string {
	t := fields.text
	switch phrase {
	case "routes changed":
		return routesText(fields)
	case "link up":
		return []string{"Connection established with " + t("peer")}
	case "link dial failed":
		return []string{"Backend connection failed" + willRetry(fields) + ": " + t("err")}
	case "link lost":
		return []string{"Backend connection exited" + willRetry(fields)}
	case "link receive failed":
		return []string{"Backend receiving error " + t("err")}
	case "link send failed":
		return []string{"Backend sending error " + t("err")}
	case "certificate refused", "websocket server":
		return []string{t("err")}
	case "the peer refused the link":
		return []string{"The peer refused the link " + t("link") + ": " + t("cause")}
	case "TLS handshake failed":
		return []string{"TLS handshake error: " + t("err") + ". Closing socket."}
	case "connection read failed":
		return []string{"Connection read error: " + t("err")}
	case "link idle":
		return []string{"Timing out connection " + t("peer") + ", idle for the past " + t("idle")}
	case "link rejected by peer":
		return []string{"Received a rejection message from peer."}
	case "link rejected":
		return []string{"Backend error: " + t("node") + ": rejected connection with node " + t("peer") + " because " + t("cause")}
	case "link failed":
		s := "Backend error: " + t("err")
		if cause := t("cause"); cause != "" {
			s += ": " + cause
		}
		return []string{s}
	case "link silent":
		return []string{"Giving up on connection initialization"}
	case "duplicate node":
		return []string{"Duplicate node ID " + t("node") + " detected via " + t("peer")}
	case "duplicate of another":
		return []string{"We are a duplicate node with ID " + t("node") + " and epoch " + t("epoch") + ".  Shutting down."}
	case "duplicate suspected":
		return []string{"Node " + t("node") + " with epoch " + t("epoch") + " sent update " + t("id") + " suspecting a duplicate node with epoch " + t("suspect")}
	case "duplicate accused":
		return []string{"Sending duplicate node notification " + t("id") + ". Connections: " + connectionsText(fields)}
	case "unreachable received":
		return []string{unreachableText(fields)}
	case "control service running":
		return []string{"Running control service " + t("service")}
	case "initialization complete":
		return []string{"Initialization complete"}
	case "nothing to do":
		return []string{"Nothing to do - no backends are running."}
	case "listening":
		return listeningText(fields)
	case "dialling":
		return []string{"Running " + linkName(t("link")) + " peer connection " + t("address")}
	case "first message sent":
		return []string{"Sending initial connection message"}
	case "first messages ended":
		return []string{"Stopping initial updates"}
	case "routing update sent":
		return []string{"Sending routing update " + t("id") + ". Connections: " + connectionsText(fields)}
	case "routing update received":
		return []string{"Received routing update " + t("id") + " from " + t("node") + " via " + t("peer")}
	case "routes computed":
		return []string{"Re-calculating routing table"}
	case "service advertised":
		return advertText(fields)
	case "service advertisement received":
		return []string{"Received service advertisement from " + t("node")}
	case "control client connected":
		return []string{"Client connected to control service " + t("address")}
	case "control client disconnected":
		return []string{"Client disconnected from control service " + t("address")}
	case "unit restart failed":
		return []string{"Failed to restart worker " + t("unit") + ": " + t("err")}
	case "control session ended":
		return []string{"Control service closed"}
	case "payload begins":
		return []string{plainText("PACKET TRACING ENABLED: Reading from "+t("source"), fields.without("source"))}
	case "command service running":
		return []string{"Running command service {" + t("service") + " " + t("command") + " " + t("tls") + "}"}
	case "listener failed":
		return []string{"Error creating listener " + t("address") + ": " + t("err")}
	case "reload begins":
		return []string{"Reloading"}
	case "reload failed":
		return []string{"Reload not successful: " + t("err")}
	case "configuration":
		return []string{t("problem")}
	}
	return nil
}

func willRetry(fields logFields) string {
	if retry, ok := fields.any("retry").(bool); ok && retry {
		return " (will retry)"
	}
	return ""
}

// linkName is the name of a transport in stock texts.
func linkName(link string) string {
	if link == "websocket" {
		return "Websocket"
	}
	return strings.ToUpper(link)
}

func listeningText(fields logFields) []string {
	if fields.text("link") == "" {
		return nil // not of the mesh
	}
	s := "Listening on " + linkName(fields.text("link")) + " " + fields.text("address")
	if fields.text("link") == "websocket" {
		s += " path " + fields.text("path")
	}
	return []string{s}
}

// connectionsText is a node's links with their costs, in the order of IDs.
func connectionsText(fields logFields) string {
	links, _ := fields.any("connections").(map[wire.NodeID]float64)
	texts := make([]string, 0, len(links))
	for _, id := range sortedIDs(links) {
		texts = append(texts, linkText(id, links[id]))
	}
	return strings.Join(texts, " ")
}

// linkText is a neighbour with the cost of the link to it.
func linkText(id wire.NodeID, cost float64) string {
	return printable(string(id)) + "(" + strconv.FormatFloat(cost, 'f', 2, 64) + ")"
}

// advertText is what a service is announced with, in the order of the original.
func advertText(fields logFields) []string {
	t := fields.text
	return []string{fmt.Sprintf("Sending service advertisement: &{%s %s %s %s %s %s}", t("node"), t("service"), t("time"), t("kind"), t("tags"), t("work"))}
}

// unreachableText has the cause last and everything else in between.
func unreachableText(fields logFields) string {
	return plainText("Received unreachable message from "+fields.text("node"), fields.without("node", "cause")) + " " + fields.text("cause")
}

// routesText is the two tables, in the order of node IDs; nil if the
// attributes are not those that it knows.
func routesText(fields logFields) []string {
	known, ok := fields.any("known").(map[wire.NodeID]map[wire.NodeID]float64)
	if !ok {
		return nil
	}
	routes, ok := fields.any("routes").(map[wire.NodeID]wire.NodeID)
	if !ok {
		return nil
	}
	lines := make([]string, 0, len(known)+len(routes)+2)
	lines = append(lines, "Known Connections:")
	for _, id := range sortedIDs(known) {
		var b strings.Builder
		b.WriteString("   " + printable(string(id)) + ": ")
		for _, peer := range sortedIDs(known[id]) {
			b.WriteString(linkText(peer, known[id][peer]) + " ")
		}
		lines = append(lines, b.String())
	}
	lines = append(lines, "Routing Table:")
	for _, id := range sortedIDs(routes) {
		lines = append(lines, "   "+printable(string(id))+" via "+printable(string(routes[id])))
	}
	return lines
}

func sortedIDs[V any](m map[wire.NodeID]V) []wire.NodeID {
	ids := make([]wire.NodeID, 0, len(m))
	for id := range m {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	return ids
}
