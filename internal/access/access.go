// Package access decides who may do what over the control protocol: a list of
// rules, a caller and a request in, a decision out. It knows no sockets and
// reads no files; who a caller is finds out the one that serves it.
//
// # Rules
//
// Rules are tried in order, and the first that matches decides; a request that
// none matches is denied. Rules that are nil allow everything.
//
// A rule has conditions, all of which must hold. One that is not set always
// holds; one about something that the caller or the request does not have (the
// user of a caller that came over the mesh, the work type of a ping) does not.
//
// Two requests are special. About a unit that is not known, and about all units
// together (Request.Any), nothing can be said of work types and nodes: such a
// request is allowed if it would be for some unit. And a stream to a control
// service, whose other end takes the caller for this node, is not allowed by
// rules that are limited in commands or work types, unless they name the service.
package access

import (
	"slices"
	"strconv"
	"strings"
)

// The commands that rules can name. Work stands for all that begin with it.
const (
	Status      = "status"
	Ping        = "ping"
	Traceroute  = "traceroute"
	Connect     = "connect"
	Reload      = "reload"
	Work        = "work"
	WorkSubmit  = "work-submit"
	WorkList    = "work-list" // and work status: the records of units
	WorkResults = "work-results"
	WorkCancel  = "work-cancel"
	WorkRelease = "work-release" // by force, too
	WorkAdopt   = "work-adopt"
)

// Commands are all that rules can name.
func Commands() []string {
	return []string{
		Status, Ping, Traceroute, Connect, Reload,
		Work, WorkSubmit, WorkList, WorkResults, WorkCancel, WorkRelease, WorkAdopt,
	}
}

// Pattern matches names. The nil Pattern is a condition that is not set.
type Pattern interface{ Match(name string) bool }

// Caller is who makes a request. What is not known of it is empty.
type Caller struct {
	Node        string       // at the far end of a stream over the mesh; the node itself, if it connected to itself
	Certificate *Certificate // that the client has proven to have, and the service accepted
	User        *User        // of the process at the other end of a Unix socket
	Address     string       // as the connection has it, for people
	Signal      string       // that asked for something, in place of a connection
}

// Certificate is what a client certificate says of its owner.
type Certificate struct {
	CommonName string
	Names      []string // node IDs, then DNS names
}

// All are the names of a certificate, its common name last.
func (c *Certificate) All() []string {
	if c.CommonName == "" {
		return c.Names
	}
	return append(slices.Clip(c.Names), c.CommonName)
}

// User is a process of this machine, as the kernel knows it.
type User struct {
	UID  uint32
	GIDs []uint32 // the effective one first
	PID  int      // 0: not known
}

// String says who it is, for people.
func (c Caller) String() string {
	var parts []string
	if c.Node != "" {
		parts = append(parts, "node "+c.Node)
	}
	if c.Certificate != nil {
		parts = append(parts, "certificate "+strings.Join(c.Certificate.All(), ", "))
	}
	if c.User != nil {
		parts = append(parts, "user "+strconv.FormatUint(uint64(c.User.UID), 10))
	}
	switch {
	case len(parts) > 0:
	case c.Signal != "":
		return "signal " + c.Signal
	case c.Address != "":
		return "address " + c.Address
	default:
		return "unknown"
	}
	return strings.Join(parts, ", ")
}

// Request is what a caller asks for.
type Request struct {
	Command  string // one of Commands, but not Work
	WorkType string // of the unit
	Node     string // that it is about: where work runs, what is pinged or connected to; this one otherwise
	Service  string // to connect to
	Control  bool   // Service is a control service
	Any      bool   // WorkType and Node are those of some unit, not known which
}

// String says what is asked for, for people.
func (r Request) String() string {
	text := r.Command
	if r.WorkType != "" {
		text += " of work type " + r.WorkType
	}
	switch r.Command {
	case Connect:
		text += " to " + r.Node + ":" + r.Service
	case Ping, Traceroute:
		text += " of " + r.Node
	case WorkSubmit, WorkAdopt:
		text += " on " + r.Node
	}
	return text
}

// Rule is one line of who may do what.
type Rule struct {
	Allow     bool // or deny
	Node      Pattern
	CertName  Pattern // of any name of the certificate
	UID       *uint32
	GID       *uint32
	Commands  []string  // empty: all
	WorkTypes []Pattern // empty: all requests, also those about no work
	ToNode    Pattern
	ToService Pattern
}

// Rules are tried in order.
type Rules []Rule

// Decision is what came of a request; Rule is the index of the rule that
// decided, or -1 if none matched.
type Decision struct {
	Allowed bool
	Rule    int
}

// Decide applies the rules.
func (rs Rules) Decide(c Caller, r Request) Decision {
	if rs == nil {
		return Decision{Allowed: true, Rule: -1}
	}
	for i := range rs {
		rule := &rs[i]
		if !rule.caller(c) || !rule.command(r) {
			continue
		}
		if r.Any && (len(rule.WorkTypes) > 0 || rule.ToNode != nil) {
			if rule.Allow && rule.ToService == nil { // for some unit
				return Decision{Allowed: true, Rule: i}
			}
			continue
		}
		if rule.object(r) {
			return Decision{Allowed: rule.Allow, Rule: i}
		}
	}
	return Decision{Rule: -1}
}

func (r *Rule) caller(c Caller) bool {
	switch {
	case r.Node != nil && (c.Node == "" || !r.Node.Match(c.Node)):
		return false
	case r.CertName != nil && (c.Certificate == nil || !slices.ContainsFunc(c.Certificate.All(), r.CertName.Match)):
		return false
	case r.UID != nil && (c.User == nil || c.User.UID != *r.UID):
		return false
	case r.GID != nil && (c.User == nil || !slices.Contains(c.User.GIDs, *r.GID)):
		return false
	}
	return true
}

func (r *Rule) command(q Request) bool {
	if q.Control && r.Allow && r.ToService == nil && (len(r.Commands) > 0 || len(r.WorkTypes) > 0) {
		return false
	}
	return len(r.Commands) == 0 || slices.ContainsFunc(r.Commands, func(name string) bool {
		return name == q.Command || name == Work && strings.HasPrefix(q.Command, Work+"-")
	})
}

func (r *Rule) object(q Request) bool {
	if len(r.WorkTypes) > 0 && (!strings.HasPrefix(q.Command, Work+"-") ||
		!slices.ContainsFunc(r.WorkTypes, func(p Pattern) bool { return p.Match(q.WorkType) })) {
		return false
	}
	return (r.ToNode == nil || r.ToNode.Match(q.Node)) &&
		(r.ToService == nil || q.Command == Connect && r.ToService.Match(q.Service))
}
