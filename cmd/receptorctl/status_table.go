package main

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/receptor-go/receptor/internal/controlproto"
)

// status is the reply to status, as far as the tables show it. Numbers and tags
// are kept as they came, to be shown as they are.
type status struct {
	NodeID               *string
	Version              *string
	SystemCPUCount       *json.Number
	SystemMemoryMiB      *json.Number
	Connections          []connection
	KnownConnectionCosts map[string]map[string]json.Number
	RoutingTable         map[string]string
	Advertisements       []advert
	Certificates         []controlproto.Certificate // of nodes of ours, if one ends soon

	other map[string]json.RawMessage // members not known here
}

type connection struct {
	NodeID string
	Cost   json.Number
}

type advert struct {
	NodeID       string
	Service      string
	Time         string
	ConnType     int
	Tags         json.RawMessage
	WorkCommands []struct {
		WorkType string
		Secure   bool
	}
}

// shown are the members of a status reply that the tables show.
var shown = [...]string{"NodeID", "Version", "SystemCPUCount", "SystemMemoryMiB",
	"Connections", "KnownConnectionCosts", "RoutingTable", "Advertisements", "Certificates"}

func parseStatus(reply []byte) (*status, error) {
	s := &status{}
	err := json.Unmarshal(reply, s)
	if err == nil {
		err = json.Unmarshal(reply, &s.other)
	}
	if err != nil {
		return nil, fmt.Errorf("unexpected answer to status: %w", err)
	}
	for _, name := range shown {
		delete(s.other, name)
	}
	switch {
	case s.NodeID == nil:
		return nil, lacks("NodeID")
	case s.Version == nil:
		return nil, lacks("Version")
	case s.SystemCPUCount == nil:
		return nil, lacks("SystemCPUCount")
	case s.SystemMemoryMiB == nil:
		return nil, lacks("SystemMemoryMiB")
	}
	return s, nil
}

func lacks(member string) error {
	return fmt.Errorf("the daemon's status lacks %s", member)
}

// print shows the tables of spec receptorctl 3.2. A table without rows is left
// out, and the blank line before it.
func (s *status) print(a *app) error {
	a.printf("Node ID: %s\nVersion: %s\nSystem CPU Count: %s\nSystem Memory MiB: %s\n",
		*s.NodeID, *s.Version, pythonNumber(*s.SystemCPUCount), pythonNumber(*s.SystemMemoryMiB))
	width := s.nodeWidth()
	two := table{a: a, widths: []int{width}}
	if len(s.Connections) > 0 {
		a.printf("\n")
		two.row("Connection", "Cost")
		for _, c := range s.Connections {
			two.row(c.NodeID, pythonNumber(c.Cost))
		}
	}
	if len(s.KnownConnectionCosts) > 0 {
		a.printf("\n")
		two.row("Known Node", "Known Connections")
		for _, node := range sortedKeys(s.KnownConnectionCosts) {
			two.row(node, knownConnections(s.KnownConnectionCosts[node]))
		}
	}
	if len(s.RoutingTable) > 0 {
		a.printf("\n")
		two.row("Route", "Via")
		for _, node := range sortedKeys(s.RoutingTable) {
			two.row(node, s.RoutingTable[node])
		}
	}
	if len(s.Advertisements) > 0 {
		a.printf("\n")
		t := table{a: a, widths: []int{width, 9, 10, 21, 16}}
		table{a: a, widths: t.widths[:4]}.row("Node", "Service", "Type", "Last Seen", "Tags")
		for _, ad := range s.Advertisements {
			t.row(ad.NodeID, ad.Service, connType(ad.ConnType), lastSeen(ad.Time), tags(ad.Tags))
		}
	}
	s.printWorkTypes(a, two, "Work Types", false)
	s.printWorkTypes(a, two, "Secure Work Types", true)
	s.printCertificates(a, time.Now())
	if len(s.other) > 0 {
		a.printf("Additional data returned from Receptor:\n")
		return a.printJSON(s.other)
	}
	return a.outErr()
}

// printCertificates warns of those that end soon or could not be renewed.
func (s *status) printCertificates(a *app, now time.Time) {
	first := true
	for _, c := range s.Certificates {
		left := c.NotAfter.Sub(now)
		var what string
		switch {
		case c.Problem != "":
			what = "has changed and cannot be used: " + c.Problem
		case left <= 0:
			what = "has ended at " + c.NotAfter.UTC().Format(time.DateTime) + " UTC"
		case left <= controlproto.CertificateSoon:
			what = fmt.Sprintf("ends at %s UTC, in %d days", c.NotAfter.UTC().Format(time.DateTime), left/(24*time.Hour))
		default:
			continue
		}
		if first {
			a.printf("\n")
			first = false
		}
		a.printf("Warning: %s %s: %s in %s %s\n", c.Section, c.Name, c.Use, c.File, what)
	}
}

// nodeWidth is the width of the first column.
func (s *status) nodeWidth() int {
	width := 12
	for _, c := range s.Connections {
		width = max(width, utf8.RuneCountInString(visible(c.NodeID, "")))
	}
	for node := range s.KnownConnectionCosts {
		width = max(width, utf8.RuneCountInString(visible(node, "")))
	}
	return width
}

// printWorkTypes shows the work types that the first advertisement of each node
// holds.
func (s *status) printWorkTypes(a *app, t table, heading string, secure bool) {
	seen := map[string]bool{}
	for _, ad := range s.Advertisements {
		var types []string
		for _, w := range ad.WorkCommands {
			if w.Secure == secure {
				types = append(types, w.WorkType)
			}
		}
		if len(types) == 0 || seen[ad.NodeID] {
			continue
		}
		if len(seen) == 0 {
			a.printf("\n")
			t.row("Node", heading)
		}
		seen[ad.NodeID] = true
		t.row(ad.NodeID, strings.Join(types, ", "))
	}
}

func knownConnections(costs map[string]json.Number) string {
	var b strings.Builder
	for _, peer := range sortedKeys(costs) {
		fmt.Fprintf(&b, "%s: %s ", peer, pythonNumber(costs[peer]))
	}
	return b.String()
}

// connType names the kind of a service.
func connType(n int) string {
	names := [...]string{"Datagram", "Stream", "StreamTLS"}
	if n >= 0 && n < len(names) {
		return names[n]
	}
	return strconv.Itoa(n)
}

// lastSeen is a time in the zone in which it came.
func lastSeen(s string) string {
	t, err := time.Parse(time.RFC3339Nano, s)
	if err != nil {
		return s
	}
	return t.Format(time.DateTime)
}

func tags(raw json.RawMessage) string {
	value, err := decoded(raw)
	if err != nil || value == nil {
		return "-"
	}
	return pythonLiteral(value)
}
