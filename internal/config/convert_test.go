package config

import (
	"fmt"
	"math"
	"strings"
	"testing"
	"time"
)

// TestPlainScalars are the rules of YAML 1.1 for what has no quotes (spec
// configuration 4).
func TestPlainScalars(t *testing.T) {
	tests := []struct {
		text string
		kind kind
		want any
	}{
		{"y", kindBool, true}, {"N", kindBool, false}, {"Yes", kindBool, true}, {"OFF", kindBool, false}, {"on", kindBool, true},
		{"true", kindBool, true}, {"tRuE", kindText, nil}, {"t", kindText, nil},
		{"", kindNull, nil}, {"~", kindNull, nil}, {"Null", kindNull, nil},
		{"0600", kindInt, int64(384)}, {"0o600", kindInt, int64(384)}, {"0x8AE", kindInt, int64(2222)}, {"0b11", kindInt, int64(3)},
		{"2_222", kindInt, int64(2222)}, {"-5", kindInt, int64(-5)}, {"+5", kindInt, int64(5)},
		{"9223372036854775807", kindInt, int64(math.MaxInt64)}, {"9223372036854775808", kindHuge, nil}, {"18446744073709551616", kindFloat, float64(1 << 64)},
		{"1e3", kindFloat, 1000.0}, {"1.5", kindFloat, 1.5}, {".5", kindFloat, 0.5}, {"089", kindFloat, 89.0}, {"1.", kindFloat, 1.0},
		{".inf", kindFloat, math.Inf(1)}, {"-.INF", kindFloat, math.Inf(-1)},
		{"1:30", kindText, nil}, {"2026-11-23", kindText, nil}, {"60s", kindText, nil}, {"127.0.0.1", kindText, nil}, {"-", kindText, nil},
		{"1e999", kindText, nil}, {"0x", kindText, nil}, {"...", kindText, nil},
	}
	for _, tt := range tests {
		v := plain(tt.text)
		var got any
		switch v.kind {
		case kindBool:
			got = v.bool
		case kindInt:
			got = v.int
		case kindFloat:
			got = v.float
		}
		if v.kind != tt.kind || got != tt.want || v.text != tt.text {
			t.Errorf("%q: kind %d, %v; want kind %d, %v", tt.text, v.kind, got, tt.kind, tt.want)
		}
	}
	if v := plain(".nan"); v.kind != kindFloat || !math.IsNaN(v.float) {
		t.Errorf(".nan: got %+v", v)
	}
}

// convertOne gives the value of a key in a file, or the problem or warning.
func convertOne(t *testing.T, format, yaml string, get func(*File) any) string {
	t.Helper()
	f, err := LoadReader(testOptions, "c.yml", strings.NewReader(fmt.Sprintf(format, yaml)))
	if err != nil {
		ps := err.(Problems)
		if len(ps) != 1 {
			t.Errorf("%s: several problems:\n%v", yaml, err)
		}
		return "! " + ps[0].Text
	}
	s := fmt.Sprintf("%v", get(f))
	if len(f.Warnings) > 0 {
		s += " ~"
	}
	return s
}

// TestConversion goes through spec configuration 5. A result that ends in ~
// comes with a warning, one that begins with ! is a problem.
func TestConversion(t *testing.T) {
	id := func(f *File) any { return f.Node.ID }
	port := func(f *File) any { return strings.TrimPrefix(f.Listeners[0].Address, "0.0.0.0:") }
	cost := func(f *File) any { return f.Listeners[0].Cost }
	costs := func(f *File) any { return f.Listeners[0].NodeCost }
	redial := func(f *File) any { return f.Peers[0].Redial }
	mode := func(f *File) any { return fmt.Sprintf("%04o", f.ControlServices[0].Permissions) }
	idle := func(f *File) any { return f.Node.IdleTimeout }
	peers := func(f *File) any { return f.Listeners[0].AllowedPeers }
	const (
		idKey     = "- node: {id: %s}"
		portKey   = "- tcp-listener: {port: %s}"
		costKey   = "- tcp-listener: {port: 0, cost: %s}"
		costsKey  = "- tcp-listener: {port: 0, nodecost: %s}"
		peersKey  = "- tcp-listener: {port: 0, allowedpeers: %s}"
		redialKey = "- tcp-peer: {address: 'a:1', redial: %s}"
		modeKey   = "- control-service: {permissions: %s}"
		idleKey   = "- node: {id: a, maxidleconnectiontimeout: %s}"
	)
	tests := []struct {
		format, yaml string
		get          func(*File) any
		want         string
	}{
		{idKey, "foo", id, "foo"},
		{idKey, "Foo", id, "Foo"},
		{idKey, "123", id, "123"},
		{idKey, "0123", id, "83 ~"},
		{idKey, "1.5", id, "1.500000 ~"},
		{idKey, "true", id, "true"},
		{idKey, "yes", id, "true ~"},
		{idKey, `"yes"`, id, "yes"},
		{idKey, "!!str yes", id, "yes"},
		{idKey, "! 0123", id, "83 ~"},
		{idKey, "!custom x", id, "x"},
		{idKey, "!!binary eA==", id, "! binary values are not supported"},
		{idKey, "18446744073709551615", id, "! number too large"},
		{idKey, "~", id, "! has no value: must be a text"},
		{idKey, "[a]", id, "! must be a text, not a list"},
		{idKey, "{a: b}", id, "! must be a text, not a map"},
		{idKey, `""`, id, "host.example.com"},
		{idKey, "2026-11-23", id, "2026-11-23"},

		{portKey, "2222", port, "2222"},
		{portKey, "2222.7", port, "2222 ~"},
		{portKey, "1e3", port, "1000"},
		{portKey, `"2222"`, port, "2222"},
		{portKey, `"0x8AE"`, port, "2222"},
		{portKey, `"04256"`, port, "2222"},
		{portKey, `"0b1"`, port, "1"},
		{portKey, "!!int '5'", port, "5"},
		{portKey, `" 1"`, port, `! " 1" is not an integer`},
		{portKey, `""`, port, `! "" is not an integer`},
		{portKey, "true", port, "! must be an integer, not the boolean true"},
		{portKey, ".nan", port, "! .nan is not an integer"},
		{portKey, ".inf", port, "! .inf is not an integer"},
		{portKey, "1e300", port, "! 1e300 is not an integer"},
		{portKey, "0", port, "0"},
		{portKey, "65535", port, "65535"},
		{portKey, "65536", port, "! port 65536 is not between 0 and 65535"},
		{portKey, "18446744073709551615", port, "! number too large: 18446744073709551615"},

		{costKey, "2", cost, "2"},
		{costKey, `"2.5"`, cost, "2.5"},
		{costKey, "true", cost, "! must be a number, not the boolean true"},
		{costKey, ".nan", cost, "! connection cost must be positive"},
		{costKey, ".inf", cost, "! connection cost must be positive"},
		{costKey, `"inf"`, cost, "! connection cost must be positive"},
		{costKey, "1e-300", cost, "1e-300"},

		{costsKey, "{bar: 2.5, Baz: 3}", costs, "map[Baz:3 bar:2.5]"},
		{costsKey, `'{"bar": 2}'`, costs, "map[bar:2]"},
		{costsKey, "", costs, "map[]"},
		{costsKey, "{}", costs, "map[]"},
		{costsKey, "{bar: '2'}", costs, `! the cost of "bar" must be a number, not a text`},
		{costsKey, "{1: 2}", costs, "! must be a map of node IDs to numbers, but has the number 1 as a node ID"},
		{costsKey, "bar", costs, "! must be a map of node IDs to numbers, not a text"},
		{costsKey, "{bar: -1}", costs, "! connection cost must be positive for bar"},
		{costsKey, "{bar: 1, bar: 2}", costs, "map[bar:2] ~"},

		{peersKey, "[1]", peers, "! must be a list of texts, but has the number 1 in it"},
		{peersKey, "[y]", peers, "! must be a list of texts, but has the boolean y in it"},
		{peersKey, "[~]", peers, "! must be a list of texts, but has nothing in it"},
		{peersKey, "1", peers, "! must be a list of texts, not the number 1"},
		{peersKey, `'["a"'`, peers, "! not a JSON list of texts: unexpected end of JSON input"},

		{redialKey, "true", redial, "true"},
		{redialKey, "no", redial, "false"},
		{redialKey, "off", redial, "false"},
		{redialKey, "n", redial, "false"},
		{redialKey, `"Y"`, redial, "true"},
		{redialKey, `"1"`, redial, "true"},
		{redialKey, `"F"`, redial, "false"},
		{redialKey, `"n"`, redial, `! "n" is not a boolean`},
		{redialKey, `"off"`, redial, `! "off" is not a boolean`},
		{redialKey, `"tRuE"`, redial, `! "tRuE" is not a boolean`},
		{redialKey, "1", redial, "! must be a boolean, not the number 1"},
		{redialKey, "~", redial, "! has no value: must be a boolean"},

		{modeKey, "0660", mode, "0660"},
		{modeKey, `"0660"`, mode, "0660"},
		{modeKey, "0o660", mode, "0660"},
		{modeKey, "0777", mode, "0777"},
		{modeKey, "432", mode, "0660"},
		{modeKey, "384", mode, "0600"},
		{modeKey, "600", mode, "0130 ~"},
		{modeKey, "660", mode, "0224 ~"},
		{modeKey, "666", mode, "0232 ~"},
		{modeKey, "400", mode, "0620 ~"},
		{modeKey, `"600"`, mode, "0130 ~"},
		{modeKey, "0", mode, "0000"},
		{modeKey, "-1", mode, "! -1 is not a file mode"},
		{modeKey, "0x10000", mode, "! 0x10000 is not a file mode"},

		{idleKey, "1m30s", idle, "1m30s"},
		{idleKey, "21s", idle, "21s"},
		{idleKey, `""`, idle, "21s"},
		{idleKey, "20.999s", idle, "! 20.999s is less than the least possible, 21s"},
		{idleKey, "0s", idle, "! 0s is less than the least possible, 21s"},
		{idleKey, "-1h", idle, "! -1h0m0s is less than the least possible, 21s"},
		{idleKey, "60", idle, `! "60" is not a duration`},
	}
	for _, tt := range tests {
		if got := convertOne(t, tt.format, tt.yaml, tt.get); got != tt.want {
			t.Errorf(tt.format+": got %s, want %s", tt.yaml, got, tt.want)
		}
	}
}

func TestAddresses(t *testing.T) {
	bind := func(f *File) any { return f.Listeners[0].Address }
	peer := func(f *File) any { return f.Peers[0].Address }
	listen := func(f *File) any { return f.ControlServices[0].TCPListen }
	const (
		bindKey   = "- udp-listener: {port: 1, bindaddr: %s}"
		peerKey   = "- tcp-peer: {address: %s}"
		urlKey    = "- ws-peer: {address: %s}"
		listenKey = "- control-service: {tcplisten: %s}"
	)
	tests := []struct {
		format, yaml string
		get          func(*File) any
		want         string
	}{
		{bindKey, "127.0.0.1", bind, "127.0.0.1:1"},
		{bindKey, "'[::1]'", bind, "[::1]:1"},
		{bindKey, "'[fe80::1%eth0]'", bind, "[fe80::1%eth0]:1"},
		{bindKey, "''", bind, ":1"},
		{bindKey, "relayer01", bind, "relayer01:1"},
		{bindKey, "'::1'", bind, "! an IPv6 address must stand in brackets"},
		{bindKey, "'[x]'", bind, "! [x] is not an IPv6 address"},
		{bindKey, "'127.0.0.1:2'", bind, `! "127.0.0.1:2" is not an address without a port`},

		{peerKey, "'relayer01:7323'", peer, "relayer01:7323"},
		{peerKey, "'[::1]:7323'", peer, "[::1]:7323"},
		{peerKey, "':7323'", peer, ":7323"},
		{peerKey, "'a:http'", peer, "a:http"},
		{peerKey, "'a:'", peer, "! address a:: invalid port"},
		{peerKey, "'a:-1'", peer, "! address a:-1: invalid port"},
		{peerKey, "'a:65536'", peer, "! address a:65536: invalid port"},
		{peerKey, "'::1:1'", peer, "! address ::1:1: too many colons in address"},
		{peerKey, "''", peer, "! missing port in address"},
		{peerKey, "'tcp://a:1'", peer, `! "tcp://a:1" is a URL; an address is HOST:PORT`},

		{urlKey, "'ws://a:1/x?y'", peer, "ws://a:1/x?y"},
		{urlKey, "'WS://a'", peer, "WS://a"},
		{urlKey, "'ws://[::1]:1'", peer, "ws://[::1]:1"},
		{urlKey, "'ws:///x'", peer, "! address ws:///x is not the URL of a WebSocket"},
		{urlKey, "'ws://u:secret@a:99999'", peer, "! address ws://u:xxxxx@a:99999: invalid port"},
		{urlKey, "''", peer, "! address  is not the URL of a WebSocket"},

		{listenKey, "2223", listen, "0.0.0.0:2223"},
		{listenKey, "'2223'", listen, "0.0.0.0:2223"},
		{listenKey, "'localhost:0'", listen, "localhost:0"},
		{listenKey, "'x:1:2'", listen, "! address x:1:2: too many colons in address"},
		{listenKey, "'70000'", listen, "! address 0.0.0.0:70000: invalid port"},
	}
	for _, tt := range tests {
		if got := convertOne(t, tt.format, tt.yaml, tt.get); got != tt.want {
			t.Errorf(tt.format+": got %s, want %s", tt.yaml, got, tt.want)
		}
	}
}

func TestDefaultsOfSigning(t *testing.T) {
	f := load(t, "- work-signing: key.pem")
	if f.WorkSigning.PrivateKey != "key.pem" || f.WorkSigning.TokenExpiration != 5*time.Minute {
		t.Errorf("got %+v", f.WorkSigning)
	}
	f = load(t, "- node: {id: a, datadir: ''}")
	if f.Node.DataDir != "/var/tmp/receptor" {
		t.Errorf("an empty datadir is %q", f.Node.DataDir)
	}
	f = load(t, "- log-level")
	if f.Log.Level.String() != "ERROR" {
		t.Errorf("log-level without a level is %v", f.Log.Level)
	}
	f = load(t, "- log-level: {format: JSON}")
	if f.Log.Format != LogJSON {
		t.Errorf("format %q", f.Log.Format)
	}
}
