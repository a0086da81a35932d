package wire

import (
	"encoding/json"
	"fmt"
)

// Problem is the payload of an unreachable notice, a data packet from service
// Unreachable to service Unreachable (spec mesh-protocol 10). The four names
// are those of the packet that failed.
type Problem struct {
	FromNode, ToNode       NodeID
	FromService, ToService Service
	Problem                string
}

// The texts of Problem.Problem.
const (
	ProblemServiceUnknown = "service unknown"
	ProblemExpired        = "message expired"
	ProblemBlocked        = "blocked by firewall"
)

// AppendProblem appends p. The result is a payload: it has no type byte.
func AppendProblem(b []byte, p Problem) []byte {
	b = append(b, `{"FromNode":`...)
	b = appendString(b, string(p.FromNode))
	b = append(b, `,"ToNode":`...)
	b = appendString(b, string(p.ToNode))
	b = append(b, `,"FromService":`...)
	b = appendString(b, string(p.FromService))
	b = append(b, `,"ToService":`...)
	b = appendString(b, string(p.ToService))
	b = append(b, `,"Problem":`...)
	b = appendString(b, p.Problem)
	return append(b, '}')
}

// ParseProblem decodes the payload of an unreachable notice. Nothing vouches
// for its contents, and each field may be empty. It fails with an *Error if
// the payload exceeds MaxPayload, is no JSON object (or null) of the right
// types, or has a name beyond MaxNodeID or MaxService.
func ParseProblem(payload []byte) (Problem, error) {
	if len(payload) > MaxPayload {
		return Problem{}, &Error{Kind: kindProblem, What: fmt.Sprintf("%d bytes, at most %d are allowed", len(payload), MaxPayload)}
	}
	var p Problem
	if err := json.Unmarshal(payload, &p); err != nil {
		return Problem{}, &Error{Kind: kindProblem, Err: err}
	}
	for _, id := range []NodeID{p.FromNode, p.ToNode} {
		if err := checkLen(kindProblem, "node name", string(id), MaxNodeID); err != nil {
			return Problem{}, err
		}
	}
	for _, s := range []Service{p.FromService, p.ToService} {
		if err := checkLen(kindProblem, "service name", string(s), MaxService); err != nil {
			return Problem{}, err
		}
	}
	return p, nil
}
