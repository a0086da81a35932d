package config

import (
	"errors"
	"fmt"
	"regexp"
	"regexp/syntax"
	"strings"
)

// Action is what a firewall rule does with a packet that it matches.
type Action string

// The actions (spec configuration 7.1).
const (
	Accept Action = "accept"
	Reject Action = "reject" // the sender is told
	Drop   Action = "drop"   // silently
)

// FirewallRule matches a packet if all its patterns do. Rules are numbered
// from 0 in messages.
type FirewallRule struct {
	Origin      Origin // of the rule: File and Line
	Action      Action
	FromNode    Pattern
	ToNode      Pattern
	FromService Pattern
	ToService   Pattern
}

// Match tells whether the rule applies to a packet.
func (r *FirewallRule) Match(fromNode, toNode, fromService, toService string) bool {
	return r.FromNode.Match(fromNode) && r.ToNode.Match(toNode) &&
		r.FromService.Match(fromService) && r.ToService.Match(toService)
}

// Pattern matches names: all of them if it is the zero Pattern, one by exact
// comparison, or those that a regular expression matches as a whole.
type Pattern struct {
	text  string
	expr  *regexp.Regexp // nil compares exactly
	loose string         // the expression as ansible/receptor has it, if that is another one
}

// ParsePattern reads a pattern as written in a rule: `/expression/`, or a name.
// A malformed expression is an error; ansible/receptor leaves such a pattern
// out of its rule, which makes the rule match more than was meant.
func ParsePattern(s string) (Pattern, error) {
	if s == "" {
		return Pattern{}, errors.New("an empty pattern is ambiguous: leave the key out to match everything")
	}
	if !strings.HasPrefix(s, "/") {
		return Pattern{text: s}, nil
	}
	if len(s) < 2 || !strings.HasSuffix(s, "/") {
		return Pattern{}, fmt.Errorf("regular expression %s does not end with /", s)
	}
	inner := s[1 : len(s)-1]
	// On its own first: `a)|(b` is only well formed inside of the group.
	_, err := regexp.Compile(inner)
	if err != nil {
		return Pattern{}, badExpression(s, err)
	}
	expr, err := regexp.Compile(`^(?:` + inner + `)$`)
	if err != nil {
		return Pattern{}, badExpression(s, err)
	}
	return Pattern{text: s, expr: expr, loose: loose(inner)}, nil
}

// loose is the expression with the anchors where ansible/receptor puts them, or
// empty if that means the same.
func loose(inner string) string {
	text := "^" + inner + "$"
	there, err := syntax.Parse(text, syntax.Perl)
	if err != nil {
		return text
	}
	here, err := syntax.Parse("^(?:"+inner+")$", syntax.Perl)
	if err != nil || here.String() != there.String() {
		return text
	}
	return ""
}

// Decide finds the first rule that applies to a packet; its index is -1 if none
// does, and the packet accepted.
func Decide(rules []FirewallRule, fromNode, toNode, fromService, toService string) (Action, int) {
	for i := range rules {
		if rules[i].Match(fromNode, toNode, fromService, toService) {
			return rules[i].Action, i
		}
	}
	return Accept, -1
}

func badExpression(s string, err error) error {
	return fmt.Errorf("regular expression %s: %s", s, strings.TrimPrefix(err.Error(), "error parsing regexp: "))
}

// Match tells whether the pattern matches a name.
func (p Pattern) Match(name string) bool {
	switch {
	case p.expr != nil:
		return p.expr.MatchString(name)
	case p.text != "":
		return p.text == name
	}
	return true
}

// String is the pattern as written, empty for one that matches everything.
func (p Pattern) String() string { return p.text }
