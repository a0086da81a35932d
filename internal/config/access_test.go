package config

import (
	"encoding/json"
	"errors"
	"os"
	"reflect"
	"strings"
	"testing"
)

// TestFirewallVectors: verdicts as those of ansible/receptor, but for an
// expression that is anchored as a whole here, of which a warning tells.
func TestFirewallVectors(t *testing.T) {
	data, err := os.ReadFile("testdata/firewall-cases.json")
	if err != nil {
		t.Fatal(err)
	}
	var cases struct {
		Packets []struct{ FromNode, FromService, ToNode, ToService string }
		Rows    []struct {
			Rule     map[string]any
			Verdicts []string
			Error    string
		}
	}
	if err := json.Unmarshal(data, &cases); err != nil {
		t.Fatal(err)
	}
	checked := 0
	for _, row := range cases.Rows {
		rule, _ := json.Marshal(row.Rule)
		text := "- node: {firewallrules: [" + string(rule) + "]}"
		f, err := LoadReader(testOptions, "c.yml", strings.NewReader(text))
		if row.Error != "" || len(row.Verdicts) == 0 {
			if err == nil {
				t.Errorf("%s: taken, although the original says %q", rule, row.Error)
			}
			continue
		}
		if err != nil {
			t.Logf("%s: refused: %v", rule, err)
			for _, v := range row.Verdicts { // it lost its condition there
				if v == "no match" {
					t.Errorf("%s: refused: %v", rule, err)
				}
			}
			continue
		}
		for i, p := range cases.Packets {
			want := row.Verdicts[i]
			if strings.Contains(string(rule), "/foo|abc/") {
				if want = "no match"; p.FromNode == "foo" || p.FromNode == "abc" {
					want = "reject"
				}
				if len(f.Warnings) != 1 || !strings.Contains(f.Warnings[0].Text, "^foo|abc$") {
					t.Errorf("%s: warnings %v", rule, f.Warnings)
				}
			}
			action, at := Decide(f.Node.Firewall, p.FromNode, p.ToNode, p.FromService, p.ToService)
			got := string(action)
			if at < 0 {
				got = "no match"
			}
			if got != want {
				t.Errorf("%s, packet %v: %s, want %s", rule, p, got, want)
			}
			checked++
		}
	}
	if checked < 60 {
		t.Errorf("%d verdicts", checked)
	}
}

const accessYAML = `
- control-service:
    filename: s
    accessrules:
    - {action: deny, node: bad}
    - {ACTION: Allow, Node: /controller.*/, certname: ctl, commands: [Work, status], worktypes: [echo, "/run-.*/"]}
    - {action: allow, user: 1000}
    - {action: allow, user: jane, group: "0050", commands: ping, tonode: a, toservice: b}
    - {action: allow, worktypes: x}
`

// TestAccessRules: all keys, in all forms.
func TestAccessRules(t *testing.T) {
	f := load(t, accessYAML)
	pattern := func(s string) Pattern {
		p, err := ParsePattern(s)
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	want := []AccessRule{
		{Node: pattern("bad")},
		{
			Allow: true, Node: pattern("/controller.*/"), CertName: pattern("ctl"), Commands: []string{"work", "status"},
			WorkTypes: []Pattern{pattern("echo"), pattern("/run-.*/")},
		},
		{Allow: true, User: "1000"},
		{Allow: true, User: "jane", Group: "0050", Commands: []string{"ping"}, ToNode: pattern("a"), ToService: pattern("b")},
		{Allow: true, WorkTypes: []Pattern{pattern("x")}},
	}
	if got := plainly(f).ControlServices[0].Access; !reflect.DeepEqual(got, want) {
		t.Errorf("got\n%+v\nwant\n%+v", got, want)
	}
	if o := f.ControlServices[0].Access[1].Origin; o.String() != "c.yml:6" {
		t.Errorf("place of rule 1: %v", o)
	}
	name := t.TempDir() + "/c.yml"
	for _, text := range []string{accessYAML, "- control-service: {accessrules: []}\n- audit-log: {filename: f, permissions: 0640, reads: true}", "- audit-log: f"} {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		want := plainly(load(t, text))
		for _, form := range forms {
			written, _, err := FromFiles(false, name).Convert(testOptions, form)
			if err != nil {
				t.Fatalf("%s: %v", form, err)
			}
			got, err := reload(t, form, written)
			if err != nil {
				t.Errorf("%s: %v in\n%s", form, err, written)
			} else if g := plainly(got); !reflect.DeepEqual(g, want) {
				t.Errorf("%s: got\n%+v\nwant\n%+v\nin\n%s", form, g, want, written)
			}
		}
	}
	if a := load(t, "- control-service: {}").ControlServices[0].Access; a != nil {
		t.Errorf("without the key: %v", a)
	}
	if a := load(t, "- control-service: {accessrules: []}").ControlServices[0].Access; a == nil || len(a) != 0 {
		t.Errorf("an empty list: %v", a)
	}
	if a := load(t, "- audit-log: f").AuditLog; a.Filename != "f" || a.Permissions != 0o600 || a.Reads {
		t.Errorf("audit-log: %+v", a)
	}
}

// TestAccessRulesRefused: nothing that is wrong with a rule widens it.
func TestAccessRulesRefused(t *testing.T) {
	for rules, want := range map[string]string{
		"":                                  "has no value",
		"yes":                               "must be a list of rules",
		"[x]":                               "rule 0: must be a map",
		"[{node: a}]":                       "rule 0: no action (allow or deny)",
		"[{action: accept}]":                "rule 0: unknown action: accept (allow or deny)",
		"[{action: allow, nod: a}]":         "rule 0: unknown key: nod",
		"[{action: allow, node: 1}]":        "node must be a text, not the number 1",
		`[{action: allow, node: ""}]`:       "empty pattern",
		"[{action: allow, node: \"/([/\"}]": "regular expression",
		"[{action: allow}, {action: allow, commands: [submit]}]": `rule 1: unknown command: submit (`,
		"[{action: allow, commands: []}]":                        "commands: an empty list matches nothing",
		"[{action: allow, worktypes: []}]":                       "worktypes: an empty list matches nothing",
		"[{action: allow, worktypes: [1]}]":                      "must be a list of texts, but has the number 1",
		"[{action: allow, worktypes: [/x]}]":                     "does not end with /",
		"[{action: allow, user: -1}]":                            "user must be a name or a number",
		"[{action: allow, user: [a, b]}]":                        "user must be a name or a number, not a list",
		"[{action: allow, user: /.*/}]":                          "must be one name or number",
		"[{action: allow, group: ''}]":                           "must be one name or number",
		"[{action: allow, Node: a, node: b}]":                    "key node given twice",
	} {
		_, err := LoadReader(testOptions, "c.yml", strings.NewReader("- control-service: {accessrules: "+rules+"}"))
		ps, _ := errors.AsType[Problems](err)
		if len(ps) != 1 || !strings.Contains(ps[0].String(), want) {
			t.Errorf("%s: %v, want %q", rules, err, want)
		}
	}
	f := load(t, "- control-service: {accessrules: [{action: allow, user: a, node: b}]}")
	if len(f.Warnings) != 1 || !strings.Contains(f.Warnings[0].Text, "rule 0: never matches") {
		t.Errorf("warnings %v", f.Warnings)
	}
	if _, err := LoadReader(testOptions, "c.yml", strings.NewReader("- audit-log: ''")); err == nil {
		t.Error("an audit log without a name is taken")
	}
}

// TestAccessDiff: rules that change belong to a service that stays.
func TestAccessDiff(t *testing.T) {
	before := load(t, accessYAML)
	moved := load(t, "- local-only\n"+accessYAML)
	if d := Diff(before, moved); d.Access || len(d.ControlServices.Kept) != 1 {
		t.Errorf("rules on other lines: %v", d.Lines())
	}
	for _, text := range []string{
		strings.Replace(accessYAML, "1000", "1001", 1), strings.Replace(accessYAML, "deny", "allow", 1),
		strings.Replace(accessYAML, "echo", "ecco", 1), "- control-service: {filename: s}", "- control-service: {filename: s, accessrules: []}",
	} {
		d := Diff(before, load(t, text))
		if !d.Access || len(d.ControlServices.Kept) != 1 || len(d.ControlServices.Changed) != 0 || len(d.Lines()) != 1 {
			t.Errorf("%s: %+v, %v", text, d.ControlServices, d.Lines())
		}
	}
	if d := Diff(load(t, "- control-service: {filename: s}"), load(t, "- control-service: {filename: s, accessrules: []}")); !d.Access {
		t.Error("a list that nobody is on is taken for none")
	}
	both := Diff(before, load(t, strings.Replace(accessYAML, "filename: s", "filename: s\n    permissions: 0660", 1)+"    - {action: deny}\n"))
	if len(both.ControlServices.Changed) != 1 || both.Access {
		t.Errorf("rules and mode: %+v", both.ControlServices)
	}
	if d := Diff(load(t, "- audit-log: f"), load(t, "- audit-log: g")); !d.AuditLog {
		t.Errorf("audit-log: %v", d.Lines())
	}
}
