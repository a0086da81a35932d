package control

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/receptor-go/receptor/internal/access"
	"github.com/receptor-go/receptor/internal/controlproto"
	"github.com/receptor-go/receptor/internal/mesh"
)

// statusFields are the members of a status reply (spec control-protocol 5.1).
func statusFields() []string {
	return []string{"Advertisements", "Connections", "KnownConnectionCosts", "NodeID",
		"RoutingTable", "SystemCPUCount", "SystemMemoryMiB", "Version"}
}

// certificatesField is a member of a status reply that is ours. It is given to
// whoever asks for it, and to those who ask for no member in particular if a
// certificate ends soon: older clients show what they do not know.
const certificatesField = "Certificates"

// withCertificates adds the member to those that everyone gets, if it matters.
func (s *Server) withCertificates(fields []string) []string {
	if s.Certificates == nil {
		return fields
	}
	soon := time.Now().Add(controlproto.CertificateSoon)
	if slices.ContainsFunc(s.Certificates(), func(c controlproto.Certificate) bool { return c.NotAfter.Before(soon) || c.Problem != "" }) {
		return append(fields, certificatesField)
	}
	return fields
}

func (s *Server) status(_ context.Context, x exchange) (any, error) {
	if err := s.permit(x, access.Request{Command: access.Status}, ""); err != nil {
		return nil, err
	}
	fields, err := s.requestedFields(x.request())
	if err != nil {
		return nil, err
	}
	return s.answers.get(s.Node.Turn, fields, func() map[string]any { return s.statusReply(fields) })
}

// statusReply is the answer to who asks for these members.
func (s *Server) statusReply(fields []string) map[string]any {
	// The cheap members are what every call of the CLI asks for first.
	var st mesh.Status
	if slices.ContainsFunc(fields, func(f string) bool {
		return f == "Advertisements" || f == "Connections" || f == "KnownConnectionCosts" || f == "RoutingTable"
	}) {
		st = s.Node.Status()
	}
	reply := map[string]any{}
	for _, f := range fields {
		switch f {
		case "Advertisements":
			reply[f] = adverts(st)
		case "Connections":
			reply[f] = connections(st)
		case "KnownConnectionCosts":
			reply[f] = knownCosts(st)
		case "NodeID":
			reply[f] = s.Node.ID
		case "RoutingTable":
			reply[f] = emptyNotNull(st.Routes)
		case "SystemCPUCount":
			reply[f] = s.system.cpus
		case "SystemMemoryMiB":
			reply[f] = s.system.memoryMiB
		case "Version":
			reply[f] = s.Version
		case certificatesField:
			if s.Certificates != nil {
				reply[f] = s.Certificates()
			}
		}
	}
	return reply
}

// requestedFields are the members asked for: all without a list, else those
// of the list that exist. null counts as no list.
func (s *Server) requestedFields(r controlproto.Request) ([]string, error) {
	if r.Text {
		if r.Params != "" {
			return nil, invalid("status command does not take parameters")
		}
		return s.withCertificates(statusFields()), nil
	}
	value, ok := r.Fields["requested_fields"]
	if !ok || value == nil {
		return s.withCertificates(statusFields()), nil
	}
	list, ok := value.([]any)
	if !ok {
		return nil, invalid("requested_fields must be a list of strings")
	}
	var fields []string
	for _, v := range list {
		name, ok := v.(string)
		if !ok {
			return nil, invalid("each element of requested_fields must be a string")
		}
		fields = append(fields, name)
	}
	return fields, nil
}

// knownCosts is the known graph; a node without any link knows none.
func knownCosts(st mesh.Status) any {
	if len(st.Connections) == 0 && len(st.Known) <= 1 {
		return struct{}{}
	}
	return emptyNotNull(st.Known)
}

func emptyNotNull[K comparable, V any](m map[K]V) map[K]V {
	if m == nil {
		return map[K]V{}
	}
	return m
}

func connections(st mesh.Status) []controlproto.Connection {
	list := []controlproto.Connection{}
	for _, c := range st.Connections {
		list = append(list, controlproto.Connection{NodeID: string(c.Peer), Cost: c.Cost})
	}
	return list
}

func adverts(st mesh.Status) []controlproto.Advert {
	list := []controlproto.Advert{}
	for _, a := range st.Adverts {
		ad := controlproto.Advert{
			NodeID: string(a.NodeID), Service: string(a.Service), Time: a.Time,
			ConnType: int(a.ConnType), Tags: a.Tags,
		}
		for _, w := range a.WorkCommands {
			ad.WorkCommands = append(ad.WorkCommands, controlproto.WorkCommand(w))
		}
		list = append(list, ad)
	}
	return list
}

func (s *Server) reload(ctx context.Context, x exchange) (any, error) {
	if err := s.permit(x, access.Request{Command: access.Reload}, ""); err != nil {
		return nil, err
	}
	if s.Reload == nil {
		return reloadFailed("reload is not supported by this version yet", 5), nil
	}
	if err := s.Reload(ctx); err != nil {
		if errors.Is(err, ErrRestart) {
			return reloadFailed(err.Error(), 3), nil
		}
		return reloadFailed(err.Error(), 4), nil
	}
	return controlproto.Reload{Success: true}, nil
}

// reloadFailed is a failed reload with the number by which clients tell why
// (spec control-protocol 5.2).
func reloadFailed(text string, code int) controlproto.Reload {
	return controlproto.Reload{Error: fmt.Sprintf("%s ERRORCODE %d", text, code)}
}
