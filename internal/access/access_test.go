package access

import (
	"fmt"
	"regexp"
	"strings"
	"testing"
)

type exact string

func (e exact) Match(s string) bool { return string(e) == s }

type expr struct{ *regexp.Regexp }

func (e expr) Match(s string) bool { return e.MatchString(s) }

func re(s string) Pattern { return expr{regexp.MustCompile("^(?:" + s + ")$")} }

func id(n uint32) *uint32 { return &n }

func mesh(node string) Caller { return Caller{Node: node, Address: node + ":xyz"} }

func user(uid uint32, gids ...uint32) Caller {
	return Caller{User: &User{UID: uid, GIDs: gids}, Address: "@"}
}

func cert(cn string, names ...string) Caller {
	return Caller{Certificate: &Certificate{CommonName: cn, Names: names}, Address: "192.0.2.1:4711"}
}

func TestDecide(t *testing.T) {
	controller := Rules{{
		Allow: true, Node: re("controller.*"), Commands: []string{Work}, WorkTypes: []Pattern{exact("echo"), re("run-.*")},
	}}
	order := Rules{
		{Node: exact("bad")},
		{Commands: []string{WorkSubmit}, WorkTypes: []Pattern{exact("root")}},
		{Allow: true, Node: re(".*")},
		{Allow: true, UID: id(1000), Commands: []string{Connect, Status}},
		{Allow: true, GID: id(50), Commands: []string{Connect}, ToService: exact("control"), ToNode: exact("b")},
	}
	submit := func(workType string) Request { return Request{Command: WorkSubmit, WorkType: workType, Node: "a"} }
	tests := []struct {
		name   string
		rules  Rules
		caller Caller
		r      Request
		want   bool
		rule   int
	}{
		{"without rules", nil, mesh("x"), Request{Command: Reload}, true, -1},
		{"an empty list", Rules{}, user(0), Request{Command: Status}, false, -1},

		{"its work", controller, mesh("controller01"), submit("echo"), true, 0},
		{"its work by expression", controller, mesh("controller01"), submit("run-x"), true, 0},
		{"other work", controller, mesh("controller01"), submit("other"), false, -1},
		{"work of an empty type", controller, mesh("controller01"), submit(""), false, -1},
		{"another node", controller, mesh("x"), submit("echo"), false, -1},
		{"no node", controller, user(0), submit("echo"), false, -1},
		{"a node by its address", controller, Caller{Address: "controller01"}, submit("echo"), false, -1},
		{"no work", controller, mesh("controller01"), Request{Command: Status, Node: "a"}, false, -1},
		{"reload", controller, mesh("controller01"), Request{Command: Reload, Node: "a"}, false, -1},
		{"some unit", controller, mesh("controller01"), Request{Command: WorkList, Any: true}, true, 0},
		{"some unit of another", controller, mesh("x"), Request{Command: WorkList, Any: true}, false, -1},

		{"denied first", order, mesh("bad"), Request{Command: Ping, Node: "a"}, false, 0},
		{"denied second", order, mesh("good"), submit("root"), false, 1},
		{"allowed third", order, mesh("good"), submit("echo"), true, 2},
		{"a rule to deny does not stop the list", order, mesh("good"), Request{Command: WorkCancel, Any: true}, true, 2},
		{"everything reaches control services", order, mesh("good"), Request{Command: Connect, Node: "b", Service: "control", Control: true}, true, 2},
		{"connect", order, user(1000), Request{Command: Connect, Node: "b", Service: "http"}, true, 3},
		{"connect does not reach control services", order, user(1000), Request{Command: Connect, Node: "b", Service: "control", Control: true}, false, -1},
		{"connect by name", order, user(7, 1, 50), Request{Command: Connect, Node: "b", Service: "control", Control: true}, true, 4},
		{"connect by name elsewhere", order, user(7, 1, 50), Request{Command: Connect, Node: "c", Service: "control", Control: true}, false, -1},
		{"a rule with a service is not about work", order, user(7, 50), Request{Command: WorkList, Any: true}, false, -1},
		{"another user", order, user(1001), Request{Command: Status}, false, -1},

		{"common name", Rules{{Allow: true, CertName: exact("ctl")}}, cert("ctl"), Request{Command: Status}, true, 0},
		{"node name", Rules{{Allow: true, CertName: re("c.*")}}, cert("x", "y", "ctl"), Request{Command: Status}, true, 0},
		{"no such name", Rules{{Allow: true, CertName: exact("ctl")}}, cert("x", "y"), Request{Command: Status}, false, -1},
		{"no certificate", Rules{{Allow: true, CertName: re(".*")}}, mesh("ctl"), Request{Command: Status}, false, -1},
		{"a certificate without names", Rules{{Allow: true, CertName: re(".*")}}, cert(""), Request{Command: Status}, false, -1},
		{"root by number", Rules{{Allow: true, UID: id(0)}}, mesh("root"), Request{Command: Status}, false, -1},
		{"deny names the control service or not", Rules{{Commands: []string{Connect}}, {Allow: true}}, user(0),
			Request{Command: Connect, Service: "control", Control: true}, false, 0},
	}
	for _, tt := range tests {
		got := tt.rules.Decide(tt.caller, tt.r)
		if got != (Decision{tt.want, tt.rule}) {
			t.Errorf("%s: %+v, want %v by rule %d", tt.name, got, tt.want, tt.rule)
		}
	}
}

// TestCommands: each command is reached by its own name, by none of the others,
// and work stands for all that are about units.
func TestCommands(t *testing.T) {
	for _, name := range Commands() {
		for _, asked := range Commands() {
			if asked == Work {
				continue
			}
			want := name == asked || name == Work && strings.HasPrefix(asked, "work-")
			got := Rules{{Allow: true, Commands: []string{name}}}.Decide(user(1), Request{Command: asked})
			if got.Allowed != want {
				t.Errorf("a rule for %s allows %s: %v", name, asked, got.Allowed)
			}
		}
	}
}

func TestTexts(t *testing.T) {
	for want, x := range map[string]fmt.Stringer{
		"node a":                          mesh("a"),
		"user 5":                          user(5),
		"certificate n, c":                cert("c", "n"),
		"address 192.0.2.1:1":             Caller{Address: "192.0.2.1:1"},
		"signal SIGHUP":                   Caller{Signal: "SIGHUP"},
		"unknown":                         Caller{},
		"reload":                          Request{Command: Reload, Node: "a"},
		"work-submit of work type w on b": Request{Command: WorkSubmit, WorkType: "w", Node: "b"},
		"connect to b:s":                  Request{Command: Connect, Node: "b", Service: "s"},
		"ping of b":                       Request{Command: Ping, Node: "b"},
	} {
		if got := x.String(); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
