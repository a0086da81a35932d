package config

import (
	"slices"
	"strconv"
	"strings"
)

// AccessRule says who may do what over a control service. All that is set must
// hold. Rules are numbered from 0 in messages.
type AccessRule struct {
	Origin    Origin    // of the rule: File and Line
	Allow     bool      // or deny
	Node      Pattern   // node at the other end
	CertName  Pattern   // a name of the client's certificate
	User      string    // name or number; empty for all
	Group     string    // name or number; empty for all
	Commands  []string  // of AccessCommands; empty for all
	WorkTypes []Pattern // empty for all, and for requests about no work
	ToNode    Pattern   // that the request is about
	ToService Pattern   // to connect to
}

// AccessCommands are what the commands of access rules can be.
func AccessCommands() []string { return slices.Clone(accessCommands) }

var accessCommands = []string{
	"status", "ping", "traceroute", "connect", "reload",
	"work", "work-submit", "work-list", "work-results", "work-cancel", "work-release", "work-adopt",
}

// accessKeys are the keys of an access rule, as they are written.
var accessKeys = []string{"action", "node", "certname", "user", "group", "commands", "worktypes", "tonode", "toservice"}

// The actions of access rules.
const (
	allow = "allow"
	deny  = "deny"
)

// asAccess takes a list of access rules, each a map. A rule that is wrong is
// refused, never widened.
func (c *conversion) asAccess(v value) ([]AccessRule, bool) {
	list, ok := c.ruleList(v)
	if !ok {
		return nil, false
	}
	rules := []AccessRule{} // an empty list admits nobody
	good := true
	for i, item := range list {
		rule, ok := c.asAccessRule(i, item)
		rules = append(rules, rule)
		good = good && ok
	}
	return rules, good
}

// asAccessRule takes one rule.
func (c *conversion) asAccessRule(number int, item value) (AccessRule, bool) {
	rule := AccessRule{Origin: ruleOrigin(c.origin, item)}
	r := accessReader{ruleReader: ruleReader{c: c, number: number, good: true}, rule: &rule}
	if item.kind != kindDict {
		r.bad(item.place, "", "must be a map, not %s", item.describe())
		return rule, false
	}
	seen := make(map[string]bool)
	for _, e := range item.dict {
		key := strings.ToLower(e.key.text)
		if seen[key] {
			r.bad(e.key.place, "", "key %s given twice", e.key.text)
			continue
		}
		seen[key] = true
		r.key(key, e)
	}
	if !seen["action"] {
		r.bad(item.place, "allow or deny", "no action")
	}
	if r.good && (rule.User != "" || rule.Group != "") && (rule.Node.text != "" || rule.CertName.text != "") {
		p := at(item.place, "rule %d: never matches: who has a user came over a Unix socket, and has no node and no certificate", number)
		p.Section, p.Key = c.origin.Section, c.key
		c.report.warn(p)
	}
	return rule, r.good
}

// accessReader reads one access rule.
type accessReader struct {
	ruleReader
	rule *AccessRule
}

func (r *accessReader) key(key string, e entry) {
	switch key {
	case "action":
		text, ok := r.text(e)
		switch strings.ToLower(text) {
		case allow:
			r.rule.Allow = true
		case deny:
		default:
			if ok {
				r.bad(e.key.place, "allow or deny", "unknown action: %s", text)
			}
		}
	case "node":
		r.rule.Node = r.pattern(e)
	case "certname":
		r.rule.CertName = r.pattern(e)
	case "tonode":
		r.rule.ToNode = r.pattern(e)
	case "toservice":
		r.rule.ToService = r.pattern(e)
	case "user":
		r.rule.User = r.account(e)
	case "group":
		r.rule.Group = r.account(e)
	case "commands":
		for _, text := range r.texts(e) {
			name := strings.ToLower(text)
			if !slices.Contains(accessCommands, name) {
				hint := didYouMean(text, accessCommands)
				if hint == "" {
					hint = "known: " + strings.Join(accessCommands, ", ")
				}
				r.bad(e.key.place, hint, "unknown command: %s", text)
				continue
			}
			r.rule.Commands = append(r.rule.Commands, name)
		}
	case "worktypes":
		for _, text := range r.texts(e) {
			p, err := ParsePattern(text)
			if err != nil {
				r.bad(e.key.place, "", "%s: %v", e.key.text, err)
			}
			r.rule.WorkTypes = append(r.rule.WorkTypes, p)
		}
	default:
		r.bad(e.key.place, "known keys: "+strings.Join(accessKeys, ", "), "unknown key: %s", e.key.text)
	}
}

// account is the name or number of a user or group.
func (r *accessReader) account(e entry) string {
	switch {
	case e.value.kind == kindInt && e.value.int >= 0 && e.value.int < 1<<32-1:
		return strconv.FormatInt(e.value.int, 10)
	case e.value.kind == kindText && e.value.text != "" && !strings.HasPrefix(e.value.text, "/"):
		return e.value.text
	case e.value.kind == kindText:
		r.bad(e.key.place, "", "%s: must be one name or number, not %q", e.key.text, e.value.text)
	default:
		r.bad(e.key.place, quoteHint(e.value), "%s must be a name or a number, not %s", e.key.text, e.value.describe())
	}
	return ""
}

// texts is a list of texts, or one text.
func (r *accessReader) texts(e entry) []string {
	list := []value{e.value}
	if e.value.kind == kindList {
		list = e.value.list
	}
	if len(list) == 0 {
		r.bad(e.key.place, "leave the key out for all", "%s: an empty list matches nothing", e.key.text)
	}
	var texts []string
	for _, v := range list {
		if v.kind != kindText {
			r.bad(e.key.place, quoteHint(v), "%s must be a list of texts, but has %s in it", e.key.text, v.describe())
			continue
		}
		texts = append(texts, v.text)
	}
	return texts
}

// equal tells that two rules mean the same, wherever they stand.
func (r AccessRule) equal(s AccessRule) bool {
	return r.Allow == s.Allow && r.Node.text == s.Node.text && r.CertName.text == s.CertName.text && r.User == s.User && r.Group == s.Group &&
		slices.Equal(r.Commands, s.Commands) && slices.EqualFunc(r.WorkTypes, s.WorkTypes, func(a, b Pattern) bool { return a.text == b.text }) &&
		r.ToNode.text == s.ToNode.text && r.ToService.text == s.ToService.text
}
