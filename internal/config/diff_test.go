package config

import (
	"encoding/json"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// TestReloadVectors: what ansible/receptor answers to a reload, against what
// the configurations are here and how they differ.
func TestReloadVectors(t *testing.T) {
	data, err := os.ReadFile("testdata/reload.json")
	if err != nil {
		t.Fatal(err)
	}
	var cases []struct {
		Name          string
		Args          []string
		Before, Reply string
		After, Second *string
	}
	if err := json.Unmarshal(data, &cases); err != nil || len(cases) != 27 {
		t.Fatalf("%d cases, %v", len(cases), err)
	}
	// The difference of those that are good; "refused" for those that are not.
	want := map[string]string{
		"unchanged": "", "unchanged-with-peer": "", "reorder-keys-and-comments": "", "cli-listener-plus-file": "",
		"change-log-level-style":        "", // refused there
		"add-listener":                  "tcp-listener 127.0.0.1:2223: added",
		"remove-listener":               "tcp-listener 127.0.0.1:2222: removed",
		"change-port":                   "tcp-listener 127.0.0.1:2230: added\ntcp-listener 127.0.0.1:2222: removed",
		"change-cost":                   "tcp-listener 127.0.0.1:2222: changed Cost",
		"add-local-only":                "local-only: added",
		"add-work-command":              "work-command e2: added",
		"modify-work-command":           "work-command echo: changed Command",
		"remove-work-command":           "work-command echo: removed",
		"change-log-level":              "log-level: changed from info to debug",
		"change-node-id":                "node: changed ID",
		"add-tls-server-and-use":        "tls-server s: added\ntcp-listener 127.0.0.1:2222: changed TLS",
		"empty-file":                    "node: changed ID\ntcp-listener 127.0.0.1:2222: removed\ncontrol-service control foo.sock: removed\nwork-command echo: removed",
		"duplicate-non-reloadable-copy": "refused", // taken there
	}
	for _, c := range cases {
		t.Run(c.Name, func(t *testing.T) {
			t.Chdir(t.TempDir())
			file := func(text *string) {
				os.Remove("config.yml")
				if text == nil {
					return
				}
				if err := os.WriteFile("config.yml", []byte(*text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			a, err := ParseArgs(c.Args)
			if err != nil {
				t.Fatal(err)
			}
			file(&c.Before)
			before, err := a.Load(testOptions)
			if err != nil {
				t.Fatal(err)
			}
			file(c.After)
			after, err := a.Load(testOptions)
			expect, known := want[c.Name]
			if !known { // what there is an error of the file is one here
				expect = "refused"
				if !strings.Contains(c.Reply, "ERRORCODE 4") {
					t.Errorf("there: %s", c.Reply)
				}
			}
			if (err != nil) != (expect == "refused") {
				t.Fatalf("%v, want %q", err, expect)
			}
			if err == nil {
				if got := strings.Join(Diff(before, after).Lines(), "\n"); got != expect {
					t.Errorf("got\n%s\nwant\n%s", got, expect)
				}
			}
			if c.Second != nil {
				file(c.Second)
				if again, err := a.Load(testOptions); err != nil || !Diff(before, again).Empty() {
					t.Errorf("the first one again: %v", err)
				}
			}
		})
	}
}

// TestDiff has one line for each thing that changes.
func TestDiff(t *testing.T) {
	const base = `
- node: {id: a, firewallrules: [{action: drop, fromnode: /x.*/}]}
- tls-server: {name: s, cert: c, key: k}
- tls-client: {name: c, cert: c, key: k}
- tcp-listener: {port: 0}
- tcp-listener: {port: 0, cost: 2}
- tcp-listener: {port: 1, tls: s}
- tcp-peer: {address: "h:1", tls: c}
- tcp-peer: {address: "h:1"}
- udp-peer: {address: "h:1"}
- control-service: {filename: a.sock}
- work-command: {worktype: w, command: c}
- work-signing: {privatekey: k}
- tcp-server: {port: 2, remotenode: b, remoteservice: x, tlsclient: c}
- unix-socket-client: {service: u, filename: u.sock, tls: s}
- ip-router: {networkname: net, localnet: 10.0.0.0/30}
`
	tests := []struct {
		old, new string // what is replaced; an empty old appends
		want     []string
	}{
		{"id: a, ", "ID: 'a', ", nil},
		{"/x.*/", "/y.*/", []string{"node: changed Firewall"}},
		{"id: a,", "id: a, maxidleconnectiontimeout: 60s, syncunits: no, datadir: /d,", []string{"node: changed DataDir, IdleTimeout, Unsynced"}},
		{"id: a,", "id: a, receptorkubeclientsetqps: 5,", []string{"node: changed Kubernetes"}},
		{"", "- log-level: {level: info, format: json}", []string{"log-level: changed from info to info json"}},
		{"", "- log-level: warning", []string{"log-level: changed from info to warning"}},
		{"", "- local-only", []string{"local-only: added"}},
		{"", "- trace", nil},
		{"cost: 2", "cost: 3", []string{"tcp-listener 0.0.0.0:0: changed Cost"}},
		{"- tcp-listener: {port: 0}\n", "", []string{"tcp-listener 0.0.0.0:0: changed Cost", "tcp-listener 0.0.0.0:0: removed"}},
		{"", "- tcp-listener: {port: 0}", []string{"tcp-listener 0.0.0.0:0: added"}},
		{"port: 0}", "port: 0, allowedpeers: []}", []string{"tcp-listener 0.0.0.0:0: changed AllowedPeers"}},
		{"{name: s, cert: c", "{name: s, cert: d", []string{
			"tls-server s: changed Cert", "tcp-listener 0.0.0.0:1: changed TLS", "unix-socket-client u: changed TLS",
		}},
		{"{name: c, cert: c", "{name: c, mintls13: true, cert: c", []string{
			"tls-client c: changed MinTLS13", "tcp-peer h:1: changed TLS", "tcp-server 0.0.0.0:2: changed TLSClient",
		}},
		{"{name: c, cert: c", "{name: c, mintls13: false, cert: c", nil},
		{"- udp-peer: {address: \"h:1\"}", "- udp-peer: {address: \"h:2\"}", []string{"udp-peer h:2: added", "udp-peer h:1: removed"}},
		{"- udp-peer: {address: \"h:1\"}", "- udp-peer: \"h:1\"", nil},
		{"filename: a.sock", "filename: b.sock", []string{"control-service control b.sock: added", "control-service control a.sock: removed"}},
		{"filename: a.sock", "filename: a.sock, permissions: 0660", []string{"control-service control a.sock: changed Permissions"}},
		{"worktype: w, command: c", "worktype: w, command: c, maxunits: 2, keepfor: 1d", []string{"work-command w: changed MaxUnits, KeepFor"}},
		{"- work-command: {worktype: w, command: c}", "- work-python: {worktype: w, plugin: p, function: f}", []string{"work-command w: removed", "work-python w: added"}},
		{"{privatekey: k}", "{privatekey: l}", []string{"work-signing: changed PrivateKey"}},
		{"- work-signing: {privatekey: k}\n", "", []string{"work-signing: removed"}},
		{"", "- work-verification: {publickey: k}", []string{"work-verification: added"}},
		{"10.0.0.0/30", "10.0.0.4/30", []string{"ip-router net: changed LocalNet"}},
		{"filename: u.sock", "filename: v.sock", []string{"unix-socket-client u: changed Filename"}},
		{"", "- command-service: {service: c, command: c}\n- udp-server: {port: 5, remotenode: b, remoteservice: x}", []string{
			"udp-server 0.0.0.0:5: added", "command-service c: added",
		}},
	}
	for _, tt := range tests {
		changed := base + tt.new
		if tt.old != "" {
			if changed = strings.Replace(base, tt.old, tt.new, 1); changed == base {
				t.Fatalf("%q changes nothing", tt.old)
			}
		}
		d := Diff(load(t, base), load(t, changed))
		if got := d.Lines(); !slices.Equal(got, tt.want) || d.Empty() != (len(tt.want) == 0) {
			t.Errorf("%q to %q:\ngot  %q\nwant %q", tt.old, tt.new, got, tt.want)
		}
		if len(Diff(load(t, changed), load(t, changed)).Lines()) != 0 {
			t.Errorf("%q differs from itself", tt.new)
		}
		back := Diff(load(t, changed), load(t, base))
		if back.Empty() != d.Empty() || len(back.WorkCommands.Added) != len(d.WorkCommands.Removed) || len(back.Listeners.Removed) != len(d.Listeners.Added) {
			t.Errorf("%q to %q: the way back is not the reverse", tt.old, tt.new)
		}
	}
}

// TestDiffPairs: what is kept comes with both of its forms, and is equal.
func TestDiffPairs(t *testing.T) {
	before := load(t, "- tcp-listener: {port: 1}\n- tcp-listener: {port: 2}\n- tcp-peer: a:1")
	after := load(t, "- tcp-peer: a:1\n- tcp-listener: {port: 2, cost: 2}\n- tcp-listener: {port: 3}\n- tcp-listener: {port: 1}")
	d := Diff(before, after).Listeners
	if len(d.Added) != 1 || d.Added[0].Address != "0.0.0.0:3" || len(d.Removed) != 0 || len(d.Kept) != 1 || d.Kept[0].New.Address != "0.0.0.0:1" {
		t.Errorf("got %+v", d)
	}
	if c := d.Changed; len(c) != 1 || c[0].Old.Cost != 1 || c[0].New.Cost != 2 || !slices.Equal(c[0].Fields, []string{"Cost"}) || d.Empty() {
		t.Errorf("changed %+v", c)
	}
	if p := Diff(before, after).Peers; !p.Empty() || len(p.Kept) != 1 || p.Kept[0].Old.Origin.Line != 3 || p.Kept[0].New.Origin.Line != 1 {
		t.Errorf("got %+v", p)
	}
}

// TestDiffIsComplete: there is no field of File that Diff does not look at,
// but for those that are done once.
func TestDiffIsComplete(t *testing.T) {
	once := []string{"Warnings", "ToolsOnly", "PrintVersion", "CertInits", "CertRequests", "CertSignings", "CommandRunners", "Trace"}
	file, difference := reflect.TypeFor[File](), reflect.TypeFor[Difference]()
	for i := range file.NumField() {
		name := file.Field(i).Name
		if _, found := difference.FieldByName(name); !found && !slices.Contains(once, name) {
			t.Errorf("Diff does not look at %s", name)
		}
	}
	node, changes := reflect.TypeFor[Node](), reflect.TypeFor[NodeDifference]()
	for i := range node.NumField() {
		if name := node.Field(i).Name; name != "Origin" {
			if _, found := changes.FieldByName(name); !found {
				t.Errorf("Diff does not look at Node.%s", name)
			}
		}
	}
}
