package config

import "strings"

// ruleKeys are the keys of a firewall rule.
var ruleKeys = []string{"action", "fromnode", "tonode", "fromservice", "toservice"}

// asRules takes a list of firewall rules, each a map of texts (spec
// configuration 7.1). Nothing is converted to text here, and no pattern is
// left out of its rule: that would widen what the rule matches.
func (c *conversion) asRules(v value) ([]FirewallRule, bool) {
	if v.kind == kindNull {
		return nil, true
	}
	v, ok := c.fromJSON(v, "[", "a list of rules")
	if !ok {
		return nil, false
	}
	if c.form == mapForm && v.kind == kindDict { // one is enough
		v = value{kind: kindList, place: v.place, list: []value{v}}
	}
	if v.kind != kindList {
		return nil, c.mustBe("a list of rules", v)
	}
	var rules []FirewallRule
	good := true
	for i, item := range v.list {
		rule, ok := c.asRule(i, item)
		rules = append(rules, rule)
		good = good && ok
	}
	return rules, good
}

// asRule takes one rule.
func (c *conversion) asRule(number int, item value) (FirewallRule, bool) {
	var rule FirewallRule
	bad := func(p place, suggestion, format string, args ...any) bool {
		problem := at(p, "rule %d: "+format, append([]any{number}, args...)...).suggest("%s", suggestion)
		problem.Section, problem.Key = c.origin.Section, c.key
		c.report.problem(problem)
		return false
	}
	if item.kind != kindDict {
		return rule, bad(item.place, "", "must be a map, not %s", item.describe())
	}
	good, action := true, false
	seen := make(map[string]bool)
	for _, e := range item.dict {
		key := strings.ToLower(e.key.text)
		switch {
		case seen[key]:
			good = bad(e.key.place, "", "key %s given twice", e.key.text)
		case e.value.kind != kindText:
			good = bad(e.key.place, quoteHint(e.value), "%s must be a text, not %s", e.key.text, e.value.describe())
			action = action || key == "action"
		case key == "action":
			action = true
			rule.Action = Action(strings.ToLower(e.value.text))
			if rule.Action != Accept && rule.Action != Reject && rule.Action != Drop {
				good = bad(e.key.place, didYouMean(e.value.text, []string{"accept", "reject", "drop"}), "unknown action: %s", e.value.text)
			}
		default:
			target := rule.pattern(key)
			if target == nil {
				good = bad(e.key.place, "known keys: "+strings.Join(ruleKeys, ", "), "unknown key: %s", e.key.text)
				break
			}
			p, err := ParsePattern(e.value.text)
			if err != nil {
				good = bad(e.key.place, "", "%s: %v", e.key.text, err)
			}
			*target = p
		}
		seen[key] = true
	}
	if !action {
		good = bad(item.place, "accept, reject or drop", "no action")
	}
	return rule, good
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
