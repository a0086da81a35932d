package config

import (
	"log/slog"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

// load reads one configuration without problems.
func load(t *testing.T, text string) *File {
	t.Helper()
	f, err := LoadReader(testOptions, "c.yml", strings.NewReader(text))
	if err != nil {
		t.Fatalf("%v\nin\n%s", err, text)
	}
	return f
}

// plainly removes the places and the warnings, for comparing.
func plainly(f *File) File {
	g := *f
	g.Warnings = nil
	v := reflect.ValueOf(&g).Elem()
	for i := range v.NumField() {
		switch x := v.Field(i); x.Kind() {
		case reflect.Slice:
			if x.Len() == 0 {
				continue
			}
			fresh := reflect.MakeSlice(x.Type(), x.Len(), x.Len())
			for j := range x.Len() {
				fresh.Index(j).Set(x.Index(j))
				fresh.Index(j).FieldByName("Origin").SetZero()
				if c, ok := fresh.Index(j).Addr().Interface().(*ControlService); ok {
					c.Access = slices.Clone(c.Access)
					for k := range c.Access {
						c.Access[k].Origin = Origin{}
					}
				}
			}
			x.Set(fresh)
		case reflect.Pointer:
			if !x.IsNil() {
				fresh := reflect.New(x.Type().Elem())
				fresh.Elem().Set(x.Elem())
				fresh.Elem().FieldByName("Origin").SetZero()
				x.Set(fresh)
			}
		case reflect.Struct:
			x.FieldByName("Origin").SetZero()
		}
	}
	g.Node.Firewall = slices.Clone(g.Node.Firewall)
	for i := range g.Node.Firewall {
		g.Node.Firewall[i].Origin = Origin{}
	}
	return g
}

// minimal is what an empty configuration is completed to.
func minimal() File {
	return File{
		Node: Node{ID: testOptions.Hostname, DataDir: "/tmp/receptor", IdleTimeout: 21 * time.Second},
		Log:  Log{Level: slog.LevelInfo, Format: LogText},
	}
}

// foo is minimal for most of the vectors.
func foo() File {
	f := minimal()
	f.Node.ID, f.Node.DataDir = "foo", "data"
	f.ControlServices = []ControlService{{Service: "control", Filename: "foo.sock", Permissions: 0o600}}
	return f
}

// pin is a fingerprint that begins and ends as said.
func pinned(first, last byte, size int) func([]byte) bool {
	return func(b []byte) bool { return len(b) == size && b[0] == first && b[size-1] == last }
}

func pattern(s string) Pattern {
	p, err := ParsePattern(s)
	if err != nil {
		panic(err)
	}
	return p
}

// TestTypedValues has the complete value of most of the valid vectors.
func TestTypedValues(t *testing.T) {
	want := map[string]func(f *File){
		"01-minimal-local-only": func(f *File) { f.LocalOnly = true },
		"02-tcp-listener-all-keys": func(f *File) {
			f.Listeners = []Listener{{Transport: TCP, Address: "127.0.0.1:2222", Cost: 1.5,
				NodeCost: map[string]float64{"bar": 2.5, "baz": 3}, AllowedPeers: []string{"bar", "baz"}}}
		},
		"03-tcp-peer-all-keys": func(f *File) {
			f.Peers = []Peer{{Transport: TCP, Address: "127.0.0.1:2222", Redial: true, Cost: 2, AllowedPeers: []string{"bar"}}}
		},
		"04-udp-listener-and-peer": func(f *File) {
			f.Listeners = []Listener{{Transport: UDP, Address: "127.0.0.1:2222", Cost: 1.5,
				NodeCost: map[string]float64{"bar": 2}, AllowedPeers: []string{"bar"}}}
			f.Peers = []Peer{{Transport: UDP, Address: "127.0.0.1:2223", Redial: true, Cost: 1, AllowedPeers: []string{"baz"}}}
		},
		"05-ws-listener-and-peer": func(f *File) {
			f.Listeners = []Listener{{Transport: WebSocket, Address: "127.0.0.1:2222", Path: "/mesh", Cost: 1.5,
				NodeCost: map[string]float64{"bar": 2}, AllowedPeers: []string{"bar"}}}
			f.Peers = []Peer{{Transport: WebSocket, Address: "ws://127.0.0.1:2223/mesh", Redial: true,
				ExtraHeader: "X-Mesh: yes", Cost: 1, AllowedPeers: []string{"baz"}}}
		},
		"06-node-all-keys": func(f *File) {
			f.LocalOnly = true
			f.Node.IdleTimeout = time.Minute
			f.Node.Firewall = []FirewallRule{
				{Action: Accept, FromNode: pattern("bar"), ToService: pattern("control")},
				{Action: Reject, ToNode: pattern("/(?i)a.*b/")},
				{Action: Drop, FromNode: pattern("baz"), ToNode: pattern("foo"), FromService: pattern("src"), ToService: pattern("dst")},
			}
			f.Node.Kubernetes = Kubernetes{SupportReconnect: "auto", QPS: "50", Burst: "500", RateLimiter: "tokenbucket"}
		},
		"07-node-without-firewall": func(f *File) { f.LocalOnly = true; f.Node.IdleTimeout = 90 * time.Second },
		"08-log-level-debug":       func(f *File) { f.LocalOnly = true; f.Log.Level = slog.LevelDebug },
		"08-log-level-error":       func(f *File) { f.LocalOnly = true; f.Log.Level = slog.LevelError },
		"08-log-level-info":        func(f *File) { f.LocalOnly = true },
		"08-log-level-warning":     func(f *File) { f.LocalOnly = true; f.Log.Level = slog.LevelWarn },
		"09-trace":                 func(f *File) { f.LocalOnly, f.Trace = true, true },
		"10-control-service-unix-and-tcp": func(f *File) {
			f.LocalOnly = true
			f.ControlServices[0].Permissions = 0o660
			f.ControlServices[0].TCPListen = "127.0.0.1:2223"
		},
		"11-control-service-two": func(f *File) {
			f.LocalOnly = true
			f.ControlServices = append(f.ControlServices, ControlService{Service: "ctl2", Filename: "foo2.sock", Permissions: 0o600})
		},
		"12-control-service-tls": func(f *File) {
			f.LocalOnly = true
			f.TLSServers = []TLSServer{{Name: "srv", Cert: "certs/foo.crt", Key: "certs/foo.key", RequireClientCert: true, ClientCAs: "certs/ca.crt"}}
			f.ControlServices[0].TLS, f.ControlServices[0].TCPTLS, f.ControlServices[0].TCPListen = "srv", "srv", "127.0.0.1:2223"
		},
		"15-tls-skip-name-check": func(f *File) {
			f.TLSServers = []TLSServer{{Name: "srv", Cert: "certs/nonode.crt", Key: "certs/nonode.key", SkipReceptorNamesCheck: true}}
			f.Listeners = []Listener{{Transport: TCP, Address: "127.0.0.1:2222", TLS: "srv", Cost: 1}}
		},
		"16-tls-ws-listener": func(f *File) {
			f.TLSServers = []TLSServer{{Name: "srv", Cert: "certs/foo.crt", Key: "certs/foo.key"}}
			f.Listeners = []Listener{{Transport: WebSocket, Address: "127.0.0.1:2222", Path: "/", TLS: "srv", Cost: 1}}
		},
		"17-work-command": func(f *File) {
			f.LocalOnly = true
			f.WorkCommands = []WorkCommand{
				{WorkType: "echo", Command: "bash", Params: `-c "echo hello"`, AllowRuntimeParams: true},
				{WorkType: "cat", Command: "cat"},
			}
		},
		"18-work-signing-and-verification": func(f *File) {
			f.LocalOnly = true
			f.WorkSigning = &WorkSigning{PrivateKey: "certs/sign-private.pem", TokenExpiration: 10*time.Minute + 30*time.Second}
			f.WorkVerification = &WorkVerification{PublicKey: "certs/sign-public.pem"}
			f.WorkCommands = []WorkCommand{{WorkType: "signed", Command: "cat", VerifySignature: true}}
		},
		"22-tcp-server-and-client": func(f *File) {
			f.LocalOnly = true
			f.TCPServers = []TCPServer{{Address: "127.0.0.1:2230", RemoteNode: "foo", RemoteService: "svc"}}
			f.TCPClients = []TCPClient{{Service: "svc", Address: "127.0.0.1:2231"}}
		},
		"29-order-reversed": func(f *File) {
			f.TLSServers = []TLSServer{{Name: "srv", Cert: "certs/foo.crt", Key: "certs/foo.key"}}
			f.Listeners = []Listener{{Transport: TCP, Address: "127.0.0.1:2222", TLS: "srv", Cost: 1}}
		},
		"40-bare-values": func(f *File) {
			f.Node.DataDir = "/tmp/receptor"
			f.Log.Level = slog.LevelDebug
			f.Listeners = []Listener{{Transport: TCP, Address: "0.0.0.0:2222", Cost: 1}}
			f.Peers = []Peer{{Transport: TCP, Address: "127.0.0.1:2223", Redial: true, Cost: 1}}
			f.WorkVerification = &WorkVerification{PublicKey: "certs/sign-public.pem"}
		},
		"42-key-case": func(f *File) {
			f.LocalOnly = true
			f.WorkCommands = []WorkCommand{{WorkType: "echo", Command: "echo"}}
		},
		"45-two-files": func(f *File) { f.LocalOnly = true; f.Node.DataDir = "/tmp/receptor" },
		"46-container-default": func(f *File) {
			f.Node.ID, f.Node.DataDir = testOptions.Hostname, "/tmp/receptor"
			f.Listeners = []Listener{{Transport: TCP, Address: "0.0.0.0:7323", Cost: 1}}
		},
		"47-odd-scalars": func(f *File) {
			f.Node.ID, f.Node.DataDir = "123", "/tmp/receptor"
			f.ControlServices[0].Permissions = 0o660
			f.Listeners = []Listener{{Transport: TCP, Address: "127.0.0.1:2222", Cost: 2.5, AllowedPeers: []string{"bar"}}}
			f.Peers = []Peer{{Transport: TCP, Address: "127.0.0.1:2223", Redial: true, Cost: 1}}
		},
	}
	for _, v := range vectors(t, "valid.txtar") {
		edit := want[v.name]
		if edit == nil {
			continue
		}
		delete(want, v.name)
		for _, r := range v.Runs {
			t.Chdir(v.dir)
			got, err := loadArgs(r.Args, r.Env)
			if err != nil {
				t.Errorf("%s: %q: %v", v.name, r.Args, err)
				continue
			}
			w := foo()
			edit(&w)
			if g := plainly(got); !reflect.DeepEqual(g, w) {
				t.Errorf("%s: %q:\n got %+v\nwant %+v", v.name, r.Args, g, w)
			}
		}
	}
	for name := range maps.Keys(want) {
		t.Errorf("there is no case %s", name)
	}
}

// TestTLSValues looks at the cases with fingerprints, which are long.
func TestTLSValues(t *testing.T) {
	for _, v := range vectors(t, "valid.txtar") {
		switch v.name {
		case "13-tls-server-all-keys":
			t.Chdir(v.dir)
			f, err := Load(testOptions, "config.yml")
			if err != nil {
				t.Fatal(err)
			}
			s := f.TLSServers[0]
			if pins := s.PinnedClientCert; len(pins) != 2 || !pinned(0x8f, 0x69, 32)(pins[0]) || !pinned(0xe3, 0x74, 64)(pins[1]) {
				t.Errorf("fingerprints %x", pins)
			}
			if !s.RequireClientCert || !s.MinTLS13 || s.SkipReceptorNamesCheck || s.ClientCAs != "certs/ca.crt" {
				t.Errorf("got %+v", s)
			}
		case "14-tls-client-all-keys":
			t.Chdir(v.dir)
			f, err := Load(testOptions, "config.yml")
			if err != nil {
				t.Fatal(err)
			}
			s := f.TLSClients[0]
			if pins := s.PinnedServerCert; len(pins) != 1 || !pinned(0x8f, 0x69, 32)(pins[0]) {
				t.Errorf("fingerprints %x", pins)
			}
			if s.Name != "cli" || s.RootCAs != "certs/ca.crt" || s.InsecureSkipVerify || s.MinTLS13 || f.Peers[0].TLS != "cli" {
				t.Errorf("got %+v, %+v", s, f.Peers[0])
			}
		}
	}
}

func TestEmptyConfiguration(t *testing.T) {
	for _, text := range []string{"", "\n", "# nothing", "---\n", "---\n---\n", "[]", "~"} {
		if f := plainly(load(t, text)); !reflect.DeepEqual(f, minimal()) || f.HasBackend() {
			t.Errorf("%q: got %+v", text, f)
		}
	}
	f, err := Load(testOptions)
	if err != nil || !reflect.DeepEqual(plainly(f), minimal()) {
		t.Errorf("no files: got %+v, %v", f, err)
	}
}

func TestBackends(t *testing.T) {
	for text, want := range map[string]bool{
		"[local-only]":                        true,
		"[local-only: {local: false}]":        true, // ignored in version 1
		"- tcp-listener: '1'":                 true,
		"- udp-peer: a:1":                     true,
		"- ws-peer: ws://a":                   true,
		"[trace, node: a, control-service: ]": false,
	} {
		if got := load(t, text).HasBackend(); got != want {
			t.Errorf("%s: %v, want %v", text, got, want)
		}
	}
}

func TestOrigins(t *testing.T) {
	f := load(t, "# comment\n- node: a\n-\n  tcp-listener:\n    port: 1\n")
	o := f.Listeners[0].Origin
	if o.String() != "c.yml:4" || o.Section != "tcp-listener" || o.place("port").line != 5 || o.place("cost").line != 4 {
		t.Errorf("got %+v", o)
	}
	if (Origin{}).String() != "" {
		t.Error("the zero Origin has a place")
	}
}

// TestAllowedPeers: no list and an empty list are opposites (spec configuration
// 7.9).
func TestAllowedPeers(t *testing.T) {
	tests := map[string][]string{
		"{port: 1}":                                 nil,
		"{port: 1, allowedpeers: []}":               {},
		"{port: 1, allowedpeers: }":                 {},
		"{port: 1, allowedpeers: ~}":                {},
		"{port: 1, allowedpeers: a}":                {"a"},
		"{port: 1, allowedpeers: 'a,b'}":            {"a,b"},
		"{port: 1, allowedpeers: ''}":               {""},
		`{port: 1, allowedpeers: '["a","b"]'}`:      {"a", "b"},
		"{port: 1, allowedpeers: '[]'}":             {},
		"{port: 1, allowedpeers: ['1', \"yes\"]}":   {"1", "yes"},
		"{port: 1, allowedpeers: [a, b, 2026-1-1]}": {"a", "b", "2026-1-1"},
	}
	for text, want := range tests {
		got := load(t, "- tcp-listener: "+text).Listeners[0].AllowedPeers
		if (got == nil) != (want == nil) || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: got %#v, want %#v", text, got, want)
		}
	}
}
