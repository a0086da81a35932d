package control

import (
	"crypto/tls"
	"net"
	"strings"

	"github.com/receptor-go/receptor/internal/access"
	"github.com/receptor-go/receptor/internal/audit"
	"github.com/receptor-go/receptor/internal/controlproto"
	"github.com/receptor-go/receptor/internal/mesh"
	"github.com/receptor-go/receptor/internal/pki"
)

// Terms are those on which a listener is served.
type Terms struct {
	// UnixSocket tells that it is one: signatures are not asked for (spec
	// control-protocol 8), and callers are users of this machine.
	UnixSocket bool
	// Access is asked for the rules at each request. Nil, or nil rules, allow
	// everything.
	Access func() access.Rules
}

// rules are those that count now.
func (t Terms) rules() access.Rules {
	if t.Access == nil {
		return nil
	}
	return t.Access()
}

// note is what is to be recorded of a request.
type note struct {
	about access.Request
	unit  string
	asked bool // it was understood: permit has judged it
	said  bool // it is recorded
	rule  *int // that denied it
}

// callerOf finds out who is at the other end. A certificate is one that the
// listener's TLS configuration has accepted: others do not get past the handshake.
func callerOf(conn net.Conn) access.Caller {
	c := access.Caller{Address: conn.RemoteAddr().String(), User: peerUser(conn)}
	if at, ok := conn.RemoteAddr().(mesh.Addr); ok {
		c.Node = string(at.Node)
	}
	if u, ok := conn.(*net.UnixConn); ok {
		c.Address = "unix:" + u.LocalAddr().String()
	}
	secure, ok := conn.(interface{ ConnectionState() tls.ConnectionState })
	if !ok {
		return c
	}
	state := secure.ConnectionState()
	if !state.HandshakeComplete || len(state.PeerCertificates) == 0 {
		return c
	}
	cert := state.PeerCertificates[0]
	ids, err := pki.NodeIDs(cert)
	if err != nil {
		ids = nil // a damaged name is none
	}
	c.Certificate = &access.Certificate{CommonName: cert.Subject.CommonName, Names: append(ids, cert.DNSNames...)}
	return c
}

// permit judges a request, and notes what it is about; unit is the id of the
// unit, if there is one. Every handler calls it before it does or tells anything.
func (s *Server) permit(x exchange, r access.Request, unit string) error {
	if r.Node == "" || strings.EqualFold(r.Node, "localhost") {
		r.Node = string(s.Node.ID)
	}
	n := x.note()
	n.about, n.unit, n.asked = r, unit, true
	d := x.rules().Decide(x.caller(), r)
	if d.Allowed {
		return nil
	}
	if d.Rule >= 0 {
		n.rule = &d.Rule
	}
	// No more than that: what a caller can vary would fill the log.
	s.Logger.Warn("request denied", "peer", short(withoutPort(x.caller()).String()), "command", r.Command)
	return controlproto.New(controlproto.Denied, "permission denied: "+short(r.String())+" is not allowed for "+short(x.caller().String()))
}

// withoutPort is a caller without the port that its system has picked.
func withoutPort(c access.Caller) access.Caller {
	if host, _, err := net.SplitHostPort(c.Address); err == nil {
		c.Address = host
	}
	return c
}

// short cuts what others have written.
func short(s string) string {
	const most = 300
	if len(s) > most {
		return strings.ToValidUTF8(s[:most], "") + "..."
	}
	return s
}

// permitUnit is permit for a request about a unit. If there is none of that id
// it is as for any unit: the handler tells that it is unknown.
func (s *Server) permitUnit(x exchange, command, unit string) error {
	r := access.Request{Command: command}
	about, err := s.Work.About(unit)
	if r.WorkType, r.Node = about.WorkType, about.Node; err != nil {
		r = access.Request{Command: command, Any: true}
	}
	return s.permit(x, r, unit)
}

// mayList tells whether a caller may see a unit in a list.
func (s *Server) mayList(x exchange, unit string) bool {
	rules := x.rules()
	if rules == nil {
		return true
	}
	about, err := s.Work.About(unit)
	return err == nil && rules.Decide(x.caller(), access.Request{Command: access.WorkList, WorkType: about.WorkType, Node: about.Node}).Allowed
}

// isControl tells whether a service is a control service, as far as it is known.
func (s *Server) isControl(node, service string) bool {
	if service == "control" {
		return true
	}
	for _, a := range s.Node.Status().Adverts {
		if string(a.NodeID) == node && string(a.Service) == service && a.Tags["type"] == "Control Service" {
			return true
		}
	}
	return false
}

// record puts what came of a request on record, once. Requests that were not
// understood are none.
func (s *Server) record(x exchange, reply any, err error) {
	n := x.note()
	if s.Audit == nil || !n.asked || n.said {
		return
	}
	n.said = true
	e := audit.Entry{
		Command: n.about.Command, Unit: n.unit, WorkType: n.about.WorkType, ToNode: n.about.Node, Service: n.about.Service,
		Result: audit.OK, From: AuditFrom(x.caller()), Rule: n.rule,
	}
	switch n.about.Command {
	case access.Status, access.Ping, access.Traceroute, access.WorkList, access.WorkResults:
		e.Reads = true
	}
	if failed, ok := reply.(controlproto.Reload); ok && !failed.Success {
		e.Result, e.Error = audit.Failed, failed.Error
	}
	if err != nil {
		told := asError(err)
		e.Result, e.Error, e.Code = audit.Failed, told.Message, string(told.Code)
		if told.Code == controlproto.Denied {
			e.Result = audit.Denied
		}
	}
	s.Audit.Record(e)
}

// AuditFrom is a caller as the record has it.
func AuditFrom(c access.Caller) audit.From {
	f := audit.From{Node: c.Node, Address: c.Address, Signal: c.Signal}
	if c.Certificate != nil {
		f.Certificate = c.Certificate.All()
	}
	if c.User != nil {
		uid := c.User.UID
		f.UID, f.PID = &uid, c.User.PID
		if len(c.User.GIDs) > 0 {
			gid := c.User.GIDs[0]
			f.GID = &gid
		}
	}
	return f
}
