package config

import (
	"strings"
)

// ruleKeys are the keys of a firewall rule.
var ruleKeys = []string{"action", "fromnode", "tonode", "fromservice", "toservice"}

// asRules takes a list of firewall rules, each a map of texts (spec
// configuration 7.1). Nothing is converted to text here, and no pattern is
// left out of its rule: that would widen what the rule matches.
func (c *conversion) asRules(v value) ([]FirewallRule, bool) {
	if v.kind == kindNull {
		return nil, true
	}
	list, ok := c.ruleList(v)
	if !ok {
		return nil, false
	}
	var rules []FirewallRule
	good := true
	for i, item := range list {
		rule, ok := c.asRule(i, item)
		rules = append(rules, rule)
		good = good && ok
	}
	return rules, good
}

// ruleList takes the items of a list of rules, or of one in JSON as text.
func (c *conversion) ruleList(v value) ([]value, bool) {
	v, ok := c.fromJSON(v, "[", "a list of rules")
	if !ok {
		return nil, false
	}
	if c.form == mapForm && v.kind == kindDict { // one is enough
		return []value{v}, true
	}
	if v.kind != kindList {
		return nil, c.mustBe("a list of rules", v)
	}
	return v.list, true
}

// ruleOrigin is where a rule of a section stands.
func ruleOrigin(section Origin, rule value) Origin {
	return Origin{File: rule.place.file, Line: rule.place.line, Section: section.Section, column: rule.place.column}
}

// ruleReader reads one rule of a list.
type ruleReader struct {
	c      *conversion
	number int
	good   bool
}

// bad reports what is wrong with the rule.
func (r *ruleReader) bad(p place, suggestion, format string, args ...any) {
	problem := at(p, "rule %d: "+format, append([]any{r.number}, args...)...).suggest("%s", suggestion)
	problem.Section, problem.Key = r.c.origin.Section, r.c.key
	r.c.report.problem(problem)
	r.good = false
}

// text is the value of a key, which must be a text.
func (r *ruleReader) text(e entry) (string, bool) {
	if e.value.kind != kindText {
		r.bad(e.key.place, quoteHint(e.value), "%s must be a text, not %s", e.key.text, e.value.describe())
		return "", false
	}
	return e.value.text, true
}

// pattern is the value of a key, which must be a pattern.
func (r *ruleReader) pattern(e entry) Pattern {
	text, ok := r.text(e)
	if !ok {
		return Pattern{}
	}
	p, err := ParsePattern(text)
	if err != nil {
		r.bad(e.key.place, "", "%s: %v", e.key.text, err)
	}
	return p
}

// asRule takes one rule.
func (c *conversion) asRule(number int, item value) (FirewallRule, bool) {
	rule := FirewallRule{Origin: ruleOrigin(c.origin, item)}
	r := ruleReader{c: c, number: number, good: true}
	if item.kind != kindDict {
		r.bad(item.place, "", "must be a map, not %s", item.describe())
		return rule, false
	}
	action := false
	seen := make(map[string]bool)
	for _, e := range item.dict {
		key := strings.ToLower(e.key.text)
		target := rule.pattern(key)
		switch {
		case seen[key]:
			r.bad(e.key.place, "", "key %s given twice", e.key.text)
		case key == "action":
			action = true
			text, ok := r.text(e)
			rule.Action = Action(strings.ToLower(text))
			if ok && rule.Action != Accept && rule.Action != Reject && rule.Action != Drop {
				r.bad(e.key.place, didYouMean(text, []string{"accept", "reject", "drop"}), "unknown action: %s", text)
			}
		case target == nil && e.value.kind == kindText:
			r.bad(e.key.place, "known keys: "+strings.Join(ruleKeys, ", "), "unknown key: %s", e.key.text)
		case target == nil:
			r.text(e)
		default:
			*target = r.pattern(e)
			r.otherwise(e, *target)
		}
		seen[key] = true
	}
	if !action {
		r.bad(item.place, "accept, reject or drop", "no action")
	}
	return rule, r.good
}

// otherwise warns of a pattern that ansible/receptor takes for another one.
func (r *ruleReader) otherwise(e entry, p Pattern) {
	if p.loose == "" {
		return
	}
	problem := at(e.key.place, "rule %d: %s matches whole names only: ansible/receptor, which does not group the expression, takes it for %s",
		r.number, p.text, p.loose).suggest("put it in parentheses if it is meant for both")
	problem.Section, problem.Key = r.c.origin.Section, r.c.key
	r.c.report.warn(problem)
}

// pattern is the pattern of a rule that a key sets, or nil.
func (r *FirewallRule) pattern(key string) *Pattern {
	switch key {
	case "fromnode":
		return &r.FromNode
	case "tonode":
		return &r.ToNode
	case "fromservice":
		return &r.FromService
	case "toservice":
		return &r.ToService
	}
	return nil
}
