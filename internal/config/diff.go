package config

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
)

// Difference is what has to be done to get from one configuration to another.
// Sections of a kind are told apart by what identifies them to others: the
// address that is listened on or dialled, the name of a service, a work type,
// a TLS entry. Where they stand, and in which order, is no difference; nor is
// how they were written.
type Difference struct {
	Node      NodeDifference
	Log       bool // level or format
	Access    bool // the access rules of control services that are among the kept
	LocalOnly bool // links are wanted now, or no longer

	Listeners       Delta[Listener]
	Peers           Delta[Peer]
	ControlServices Delta[ControlService]
	TLSServers      Delta[TLSServer]
	TLSClients      Delta[TLSClient]
	WorkCommands    Delta[WorkCommand]
	WorkKubernetes  Delta[WorkKubernetes]
	WorkPythons     Delta[WorkPython]
	TCPServers      Delta[TCPServer]
	TCPClients      Delta[TCPClient]
	UDPServers      Delta[UDPServer]
	UDPClients      Delta[UDPClient]
	UnixServers     Delta[UnixServer]
	UnixClients     Delta[UnixClient]
	CommandServices Delta[CommandService]
	IPRouters       Delta[IPRouter]
	Metrics         Delta[Metrics]

	WorkSigning      bool // the key, its lifetime, or whether there is one
	WorkVerification bool
	AuditLog         bool

	lines []string
}

// NodeDifference is what changed of section node.
type NodeDifference struct {
	ID, DataDir, IdleTimeout, Unsynced, Firewall, Kubernetes bool
}

// Delta is the difference of all sections of one kind. All is in the order of
// the new configuration, what was removed in that of the old one.
type Delta[T any] struct {
	Added   []T
	Removed []T
	Changed []Pair[T]
	Kept    []Pair[T] // equal but for their Origin, and the access rules of control services
}

// Pair is one section in both configurations.
type Pair[T any] struct {
	Old, New T
	// Fields are the names of the fields of T that differ. A reference to a TLS
	// entry differs if what the entry says does.
	Fields []string
}

// Empty tells that nothing of the kind has to be touched.
func (d Delta[T]) Empty() bool {
	return len(d.Added) == 0 && len(d.Removed) == 0 && len(d.Changed) == 0
}

// Empty tells that there is nothing to do.
func (d *Difference) Empty() bool { return len(d.lines) == 0 }

// Lines says what changed, one line for each section, for people: the section,
// its identity, and what happened to it.
func (d *Difference) Lines() []string { return slices.Clone(d.lines) }

// Diff compares two configurations that were loaded. Certificates to make and
// what else is done once are not looked at.
func Diff(before, after *File) *Difference {
	d := &Difference{}
	d.node(before, after)
	servers := tlsChanges(before.TLSServers, after.TLSServers, func(s TLSServer) string { return s.Name })
	clients := tlsChanges(before.TLSClients, after.TLSClients, func(s TLSClient) string { return s.Name })
	d.TLSServers = delta(d, "tls-server", before.TLSServers, after.TLSServers, func(s TLSServer) string { return s.Name }, nil)
	d.TLSClients = delta(d, "tls-client", before.TLSClients, after.TLSClients, func(s TLSClient) string { return s.Name }, nil)
	d.Listeners = delta(d, "", before.Listeners, after.Listeners,
		func(l Listener) string { return string(l.Transport) + "-listener " + l.Address },
		func(l Listener) []reference { return []reference{{"TLS", l.TLS, servers}} })
	d.Peers = delta(d, "", before.Peers, after.Peers,
		func(p Peer) string { return string(p.Transport) + "-peer " + p.Address },
		func(p Peer) []reference { return []reference{{"TLS", p.TLS, clients}} })
	d.ControlServices = delta(d, "control-service", before.ControlServices, after.ControlServices, ControlService.Identity,
		func(c ControlService) []reference {
			return []reference{{"TLS", c.TLS, servers}, {"TCPTLS", c.TCPTLS, servers}}
		})
	d.access()
	d.AuditLog = !delta(d, "audit-log", optional(before.AuditLog), optional(after.AuditLog), func(AuditLog) string { return "" }, nil).Empty()
	d.work(before, after)
	d.services(before, after, servers, clients)
	if d.LocalOnly = before.LocalOnly != after.LocalOnly; d.LocalOnly {
		d.say("local-only", "", presence(after.LocalOnly))
	}
	return d
}

// access takes the control services of which the access rules alone have changed
// for kept: they are applied to a service that runs.
func (d *Difference) access() {
	cs := &d.ControlServices
	var changed []Pair[ControlService]
	for _, p := range cs.Changed {
		if slices.Equal(p.Fields, []string{"Access"}) {
			d.Access = true
			cs.Kept = append(cs.Kept, p)
			continue
		}
		changed = append(changed, p)
	}
	cs.Changed = changed
}

func (d *Difference) say(section, identity, what string) {
	d.lines = append(d.lines, strings.TrimSpace(section+" "+identity)+": "+what)
}

func presence(now bool) string {
	if now {
		return "added"
	}
	return "removed"
}

// node compares what there is once at most.
func (d *Difference) node(before, after *File) {
	a, b := before.Node, after.Node
	d.Node = NodeDifference{
		ID:          a.ID != b.ID,
		DataDir:     a.DataDir != b.DataDir,
		IdleTimeout: a.IdleTimeout != b.IdleTimeout,
		Unsynced:    a.Unsynced != b.Unsynced,
		Firewall:    !slices.EqualFunc(a.Firewall, b.Firewall, FirewallRule.equal),
		Kubernetes:  a.Kubernetes != b.Kubernetes,
	}
	if fields := trueFields(d.Node); len(fields) > 0 {
		d.say("node", "", "changed "+strings.Join(fields, ", "))
	}
	if d.Log = before.Log.Level != after.Log.Level || before.Log.Format != after.Log.Format; d.Log {
		d.say("log-level", "", fmt.Sprintf("changed from %s to %s", logText(before.Log), logText(after.Log)))
	}
}

func logText(l Log) string {
	if l.Format == LogJSON {
		return levelName(l.Level) + " json"
	}
	return levelName(l.Level)
}

// trueFields are the names of the fields of a struct of bools that are true.
func trueFields(x any) []string {
	var names []string
	v := reflect.ValueOf(x)
	for i := range v.NumField() {
		if v.Field(i).Bool() {
			names = append(names, v.Type().Field(i).Name)
		}
	}
	return names
}

func (d *Difference) work(before, after *File) {
	d.WorkCommands = delta(d, "work-command", before.WorkCommands, after.WorkCommands, func(w WorkCommand) string { return w.WorkType }, nil)
	d.WorkKubernetes = delta(d, "work-kubernetes", before.WorkKubernetes, after.WorkKubernetes, func(w WorkKubernetes) string { return w.WorkType }, nil)
	d.WorkPythons = delta(d, "work-python", before.WorkPythons, after.WorkPythons, func(w WorkPython) string { return w.WorkType }, nil)
	signing := delta(d, "work-signing", optional(before.WorkSigning), optional(after.WorkSigning), func(WorkSigning) string { return "" }, nil)
	d.WorkSigning = !signing.Empty()
	verification := delta(d, "work-verification", optional(before.WorkVerification), optional(after.WorkVerification),
		func(WorkVerification) string { return "" }, nil)
	d.WorkVerification = !verification.Empty()
}

// optional makes a list of a section that may be there once.
func optional[T any](x *T) []T {
	if x == nil {
		return nil
	}
	return []T{*x}
}

func (d *Difference) services(before, after *File, servers, clients map[string]bool) {
	d.TCPServers = delta(d, "tcp-server", before.TCPServers, after.TCPServers, func(s TCPServer) string { return s.Address },
		func(s TCPServer) []reference {
			return []reference{{"TLSServer", s.TLSServer, servers}, {"TLSClient", s.TLSClient, clients}}
		})
	d.TCPClients = delta(d, "tcp-client", before.TCPClients, after.TCPClients, func(s TCPClient) string { return s.Service },
		func(s TCPClient) []reference {
			return []reference{{"TLSServer", s.TLSServer, servers}, {"TLSClient", s.TLSClient, clients}}
		})
	d.UDPServers = delta(d, "udp-server", before.UDPServers, after.UDPServers, func(s UDPServer) string { return s.Address }, nil)
	d.UDPClients = delta(d, "udp-client", before.UDPClients, after.UDPClients, func(s UDPClient) string { return s.Service }, nil)
	d.UnixServers = delta(d, "unix-socket-server", before.UnixServers, after.UnixServers, func(s UnixServer) string { return s.Filename },
		func(s UnixServer) []reference { return []reference{{"TLS", s.TLS, clients}} })
	d.UnixClients = delta(d, "unix-socket-client", before.UnixClients, after.UnixClients, func(s UnixClient) string { return s.Service },
		func(s UnixClient) []reference { return []reference{{"TLS", s.TLS, servers}} })
	d.CommandServices = delta(d, "command-service", before.CommandServices, after.CommandServices, func(s CommandService) string { return s.Service },
		func(s CommandService) []reference { return []reference{{"TLS", s.TLS, servers}} })
	d.Metrics = delta(d, "metrics", before.Metrics, after.Metrics, func(m Metrics) string { return m.Address }, nil)
	d.IPRouters = delta(d, "ip-router", before.IPRouters, after.IPRouters, func(s IPRouter) string { return s.NetworkName }, nil)
}

// Identity is where a control service is found: each of these is held by one
// service at a time, so one that moves is another one.
func (c ControlService) Identity() string {
	var parts []string
	for _, p := range []string{c.Service, c.Filename, c.TCPListen} {
		if p != "" {
			parts = append(parts, p)
		}
	}
	return strings.Join(parts, " ")
}

func (r FirewallRule) equal(s FirewallRule) bool {
	return r.Action == s.Action && r.FromNode.text == s.FromNode.text && r.ToNode.text == s.ToNode.text &&
		r.FromService.text == s.FromService.text && r.ToService.text == s.ToService.text
}

// reference is a field that names a TLS entry; changed has the names of the
// entries that are not what they were.
type reference struct {
	field, name string
	changed     map[string]bool
}

// tlsChanges are the names of all entries that say something else now.
func tlsChanges[T any](before, after []T, name func(T) string) map[string]bool {
	old := make(map[string]T)
	for _, s := range before {
		old[name(s)] = s
	}
	changed := make(map[string]bool)
	for _, s := range after {
		o, had := old[name(s)]
		changed[name(s)] = !had || len(fieldsThatDiffer(o, s)) > 0
	}
	return changed
}

// delta compares the sections of one kind. If there are several with one
// identity (ports that the system picks, two ways to one address), the first is
// compared with the first, and so on.
func delta[T any](d *Difference, section string, before, after []T, identity func(T) string, references func(T) []reference) Delta[T] {
	old := make(map[string][]T)
	for _, s := range before {
		old[identity(s)] = append(old[identity(s)], s)
	}
	var out Delta[T]
	for _, s := range after {
		id := identity(s)
		if len(old[id]) == 0 {
			out.Added = append(out.Added, s)
			d.say(section, id, "added")
			continue
		}
		p := Pair[T]{Old: old[id][0], New: s}
		old[id] = old[id][1:]
		p.Fields = fieldsThatDiffer(p.Old, p.New)
		if references != nil {
			for _, r := range references(s) {
				if r.name != "" && r.changed[r.name] && !slices.Contains(p.Fields, r.field) {
					p.Fields = append(p.Fields, r.field)
				}
			}
		}
		if len(p.Fields) == 0 {
			out.Kept = append(out.Kept, p)
			continue
		}
		out.Changed = append(out.Changed, p)
		d.say(section, id, "changed "+strings.Join(p.Fields, ", "))
	}
	for _, s := range before {
		// What is left of an identity are its last ones.
		id := identity(s)
		if i := slices.IndexFunc(old[id], func(o T) bool { return reflect.DeepEqual(o, s) }); i >= 0 {
			old[id] = slices.Delete(old[id], i, i+1)
			out.Removed = append(out.Removed, s)
			d.say(section, id, "removed")
		}
	}
	return out
}

// fieldsThatDiffer are the names of the fields in which two sections differ,
// but for their Origin.
func fieldsThatDiffer[T any](a, b T) []string {
	return appendDiffering(nil, reflect.ValueOf(a), reflect.ValueOf(b))
}

func appendDiffering(names []string, a, b reflect.Value) []string {
	for i := range a.NumField() {
		f := a.Type().Field(i)
		switch {
		case f.Name == "Origin":
		case f.Anonymous:
			names = appendDiffering(names, a.Field(i), b.Field(i))
		case !equal(a.Field(i).Interface(), b.Field(i).Interface()):
			names = append(names, f.Name)
		}
	}
	return names
}

// equal tells that two fields say the same. Rules have places, which do not count.
func equal(a, b any) bool {
	if x, ok := a.([]AccessRule); ok {
		y := b.([]AccessRule)
		return (x == nil) == (y == nil) && slices.EqualFunc(x, y, AccessRule.equal)
	}
	return reflect.DeepEqual(a, b)
}
