package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/receptor-go/receptor/internal/config"
	"github.com/receptor-go/receptor/internal/mesh/wire"
)

// packet is one that the firewall is asked about.
type packet struct {
	fromNode, fromService, toNode, toService string
}

// parsePacket reads FROM:SERVICE,TO:SERVICE. Names of nodes may have colons and,
// where it is clear, commas.
func parsePacket(s string) (packet, error) {
	wrong := func(format string, args ...any) (packet, error) {
		return packet{}, fmt.Errorf("--packet %q: %s; write it as in controller01:abc,executor01:control", s, fmt.Sprintf(format, args...))
	}
	var found []packet
	var last error
	for i := range len(s) {
		if s[i] != ',' {
			continue
		}
		var p packet
		if p.fromNode, p.fromService, last = parseEnd(s[:i]); last != nil {
			continue
		}
		if p.toNode, p.toService, last = parseEnd(s[i+1:]); last == nil {
			found = append(found, p)
		}
	}
	switch {
	case len(found) == 1:
		return found[0], nil
	case len(found) > 1:
		return wrong("there is more than one way to read it")
	case last != nil:
		return wrong("%v", last)
	}
	return wrong("there is no comma between its two ends")
}

// parseEnd reads NODE:SERVICE.
func parseEnd(s string) (node, service string, err error) {
	i := strings.LastIndexByte(s, ':')
	if i < 0 {
		return "", "", fmt.Errorf("%q has no service", s)
	}
	node, service = s[:i], s[i+1:]
	switch {
	case node == "":
		return "", "", fmt.Errorf("%q has no node", s)
	case service == "":
		return "", "", fmt.Errorf("%q has no service", s)
	case len(service) > len(wire.ServiceName{}):
		return "", "", fmt.Errorf("service name %s too long, at most %d bytes are possible", service, len(wire.ServiceName{}))
	}
	return node, service, nil
}

func (p packet) String() string {
	return p.fromNode + ":" + p.fromService + " to " + p.toNode + ":" + p.toService
}

// verdictJSON is what the firewall does with a packet, in the output of check
// --json. A rule that is not there is null.
type verdictJSON struct {
	From    string        `json:"from"`
	To      string        `json:"to"`
	Verdict config.Action `json:"verdict"`
	Rule    *int          `json:"rule"`
	File    string        `json:"file,omitempty"`
	Line    int           `json:"line,omitempty"`
	Told    *bool         `json:"told,omitempty"` // of a rejected packet: its source gets the notice
}

// judge tells what the rules of a configuration do with a packet.
func judge(f *config.File, p packet) verdictJSON {
	v := verdictJSON{From: p.fromNode + ":" + p.fromService, To: p.toNode + ":" + p.toService}
	action, rule := config.Decide(f.Node.Firewall, p.fromNode, p.toNode, p.fromService, p.toService)
	if v.Verdict = action; rule >= 0 {
		o := f.Node.Firewall[rule].Origin
		v.Rule, v.File, v.Line = &rule, o.File, o.Line
	}
	if action == config.Reject {
		told := p.fromService != string(wire.Unreachable)
		if told && p.fromNode != f.Node.ID { // what starts here is told without a packet
			notice, _ := config.Decide(f.Node.Firewall, f.Node.ID, p.fromNode, string(wire.Unreachable), string(wire.Unreachable))
			told = notice == config.Accept
		}
		v.Told = &told
	}
	return v
}

// printVerdict says what the firewall does with a packet, for people.
func printVerdict(w io.Writer, f *config.File, p packet) error {
	v := judge(f, p)
	text := "Packet " + p.String() + ": "
	switch v.Verdict {
	case config.Accept:
		text += "accepted"
	case config.Drop:
		text += "dropped, silently"
	default:
		text += "rejected, its source is told \"" + wire.ProblemBlocked + "\""
		if !*v.Told {
			text = strings.Replace(text, "its source is told", "its source is not told", 1)
		}
	}
	switch {
	case v.Rule != nil:
		text += fmt.Sprintf(" (rule %d, %s)", *v.Rule, f.Node.Firewall[*v.Rule].Origin)
	case len(f.Node.Firewall) == 0:
		text += " (there are no rules)"
	default:
		text += fmt.Sprintf(" (none of the %d rules matches)", len(f.Node.Firewall))
	}
	_, err := fmt.Fprintln(w, text)
	return err
}
