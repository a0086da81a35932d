package main

import (
	"errors"
	"log/slog"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/txtar"

	"github.com/receptor-go/receptor/internal/mesh/wire"
)

// stockLines are the lines of ansible/receptor that we write too: what each
// says, as the record that stands for it.
var stockLines = []struct {
	line *regexp.Regexp
	log  func(l *slog.Logger, m []string)
}{
	{regexp.MustCompile(`^Running control service (.*)$`), func(l *slog.Logger, m []string) { l.Info("control service running", "service", m[1]) }},
	{regexp.MustCompile(`^Initialization complete$`), func(l *slog.Logger, _ []string) { l.Info("initialization complete") }},
	{regexp.MustCompile(`^Connection established with (.*)$`), func(l *slog.Logger, m []string) { l.Info("link up", "peer", m[1]) }},
	{regexp.MustCompile(`^Backend connection failed \(will retry\): (.*)$`), func(l *slog.Logger, m []string) {
		l.Warn("link dial failed", "err", errors.New(m[1]), "retry", true)
	}},
	{regexp.MustCompile(`^Backend connection exited \(will retry\)$`), func(l *slog.Logger, _ []string) { l.Warn("link lost", "retry", true) }},
	{regexp.MustCompile(`^Timing out connection (.*), idle for the past 21s$`), func(l *slog.Logger, m []string) {
		l.Warn("link idle", "peer", m[1], "idle", 21*time.Second)
	}},
	{regexp.MustCompile(`^Listening on TCP (.*)$`), func(l *slog.Logger, m []string) { l.Debug("listening", "link", "tcp", "address", m[1]) }},
	{regexp.MustCompile(`^Running TCP peer connection (.*)$`), func(l *slog.Logger, m []string) { l.Debug("dialling", "link", "tcp", "address", m[1]) }},
	{regexp.MustCompile(`^Client connected to control service (.*)$`), func(l *slog.Logger, m []string) { l.Debug("control client connected", "address", m[1]) }},
	{regexp.MustCompile(`^Control service closed$`), func(l *slog.Logger, _ []string) { l.Debug("control session ended", "address", "@") }},
	{regexp.MustCompile(`^Sending initial connection message$`), func(l *slog.Logger, _ []string) { l.Debug("first message sent", "link", "x", "count", 1) }},
	{regexp.MustCompile(`^Stopping initial updates$`), func(l *slog.Logger, _ []string) { l.Debug("first messages ended", "link", "x", "peer", "b") }},
	{regexp.MustCompile(`^Sending routing update (\S+)\. Connections: (.*)$`), func(l *slog.Logger, m []string) {
		l.Debug("routing update sent", "id", m[1], "connections", readConnections(m[2]))
	}},
	{regexp.MustCompile(`^Received routing update (\S+) from (\S+) via (\S+)$`), func(l *slog.Logger, m []string) {
		l.Debug("routing update received", "id", m[1], "node", wire.NodeID(m[2]), "peer", wire.NodeID(m[3]))
	}},
	{regexp.MustCompile(`^Re-calculating routing table$`), func(l *slog.Logger, _ []string) { l.Debug("routes computed") }},
	{regexp.MustCompile(`^Received service advertisement from (\S+)$`), func(l *slog.Logger, m []string) {
		l.Debug("service advertisement received", "node", wire.NodeID(m[1]), "service", wire.Service("control"))
	}},
	{regexp.MustCompile(`^Sending service advertisement: &{(\S+) (\S+) (\S+ \S+ \S+ \S+) (\d) map\[type:(.*)\] \[(?:{(\S+) (\S+)})?\]}$`), func(l *slog.Logger, m []string) {
		at, _ := time.Parse("2006-01-02 15:04:05.999999999 -0700 MST", m[3]) // else the line differs
		var work []wire.WorkCommand
		if m[6] != "" {
			work = []wire.WorkCommand{{WorkType: m[6], Secure: m[7] == "true"}}
		}
		l.Debug("service advertised", "node", wire.NodeID(m[1]), "service", wire.Service(m[2]), "time", at, "kind", int(m[4][0]-'0'),
			"tags", map[string]string{"type": m[5]}, "work", work)
	}},
	{regexp.MustCompile(`^Client disconnected from control service (.*)$`), func(l *slog.Logger, m []string) { l.Debug("control client disconnected", "address", m[1]) }},
}

// ownWording are lines for debugging that we do not write: they say what
// happens inside of that program. In docs/differences.md.
var ownWording = regexp.MustCompile(`^(Stdout complete|closing connection from service|[a-z]+ added service )`)

// monotonic is the reading of another clock that times there have in addition.
var monotonic = regexp.MustCompile(` m=\+[0-9.]+`)

var stockPrefix = regexp.MustCompile(`^(ERROR|WARNING|INFO|DEBUG) <TIME> (.*)$`)

// TestLogVectors: each line of the logs of ansible/receptor is one that we write
// too, letter by letter, but for those that only its makers can use. In tables
// the order there is random.
func TestLogVectors(t *testing.T) {
	a, err := txtar.ParseFile("testdata/logs.txtar")
	if err != nil {
		t.Fatal(err)
	}
	if len(a.Files) != 17 {
		t.Fatalf("%d logs", len(a.Files))
	}
	same := 0
	for _, f := range a.Files {
		lines := strings.Split(strings.TrimSuffix(string(f.Data), "\n"), "\n")
		for i := 0; i < len(lines); i++ {
			m := stockPrefix.FindStringSubmatch(lines[i])
			switch {
			case lines[i] == "":
			case m == nil:
				t.Errorf("%s: %q is no line", f.Name, lines[i])
			case m[2] == "Known Connections:":
				n := compareTables(t, f.Name, lines[i:])
				i += n - 1
				same += n
			case m[1] == "DEBUG" && ownWording.MatchString(m[2]):
			default:
				compareLine(t, f.Name, m[1], m[2])
				same++
			}
		}
	}
	if same < 80 {
		t.Errorf("%d lines compared", same)
	}
}

// readConnections reads a list as in `a(1.00) b(2.50)`.
func readConnections(text string) map[wire.NodeID]float64 {
	links := make(map[wire.NodeID]float64)
	for f := range strings.FieldsSeq(text) {
		id, cost, _ := strings.Cut(strings.TrimSuffix(f, ")"), "(")
		links[wire.NodeID(id)], _ = strconv.ParseFloat(cost, 64) // else the line differs
	}
	return links
}

func compareLine(t *testing.T, file, level, text string) {
	t.Helper()
	text = monotonic.ReplaceAllString(text, "")
	for _, s := range stockLines {
		if m := s.line.FindStringSubmatch(text); m != nil {
			if got := logged(t, func(l *slog.Logger) { s.log(l, m) }); got != level+" "+text+"\n" {
				t.Errorf("%s: got %swant %s %s", file, got, level, text)
			}
			return
		}
	}
	t.Errorf("%s: we do not write %s %s", file, level, text)
}

// compareTables compares the tables that begin with the first line, and says
// how many lines they have.
func compareTables(t *testing.T, file string, lines []string) int {
	t.Helper()
	known := make(map[wire.NodeID]map[wire.NodeID]float64)
	routes := make(map[wire.NodeID]wire.NodeID)
	var want []string
	n := 0
	for ; n < len(lines); n++ {
		m := stockPrefix.FindStringSubmatch(lines[n])
		if m == nil {
			break
		}
		row, isRow := strings.CutPrefix(m[2], "   ")
		if !isRow && m[2] != "Routing Table:" && n > 0 || m[1] != "INFO" {
			break
		}
		if isRow {
			parseRow(t, row, known, routes)
		}
		want = append(want, sortedRow("INFO "+m[2]))
	}
	var got []string
	for l := range strings.Lines(logged(t, func(l *slog.Logger) { l.Info("routes changed", "known", known, "routes", routes) })) {
		got = append(got, sortedRow(strings.TrimSuffix(l, "\n")))
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("%s: got %q, want %q", file, got, want)
	}
	return n
}

// parseRow reads `c: b(1.00) ` or `c via b`.
func parseRow(t *testing.T, row string, known map[wire.NodeID]map[wire.NodeID]float64, routes map[wire.NodeID]wire.NodeID) {
	if to, via, found := strings.Cut(row, " via "); found {
		routes[wire.NodeID(to)] = wire.NodeID(via)
		return
	}
	id, neighbours, _ := strings.Cut(row, ":")
	known[wire.NodeID(id)] = make(map[wire.NodeID]float64)
	for _, n := range strings.Fields(neighbours) {
		name, cost, _ := strings.Cut(strings.TrimSuffix(n, ")"), "(")
		c, err := strconv.ParseFloat(cost, 64)
		if err != nil {
			t.Fatalf("row %q: %v", row, err)
		}
		known[wire.NodeID(id)][wire.NodeID(name)] = c
	}
}

// sortedRow puts the neighbours of a row in order.
func sortedRow(row string) string {
	head, tail, found := strings.Cut(row, ": ")
	if !found {
		return row
	}
	words := strings.Fields(tail)
	slices.Sort(words)
	return head + ": " + strings.Join(words, " ") + row[len(strings.TrimRight(row, " ")):]
}
