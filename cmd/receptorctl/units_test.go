package main

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/spf13/viper"

	"github.com/receptor-go/receptor/internal/controlproto"
)

func TestParseAddress(t *testing.T) {
	a := &app{env: env{getenv: func(string) string { return "/home/me" }}}
	tests := []struct {
		in   string
		want address // the zero one: refused
	}{
		{"/run/x.sock", address{network: "unix", path: "/run/x.sock"}},
		{"unix:/run/x.sock", address{network: "unix", path: "/run/x.sock"}},
		{"unix:///run/x.sock", address{network: "unix", path: "/run/x.sock"}},
		{"x.sock", address{network: "unix", path: "x.sock"}},
		{"unix:../x.sock", address{network: "unix", path: "../x.sock"}},
		{"~/x.sock", address{network: "unix", path: "/home/me/x.sock"}},
		{"unix:~/x.sock", address{network: "unix", path: "/home/me/x.sock"}},
		{"~nosuchuser/x.sock", address{network: "unix", path: "~nosuchuser/x.sock"}},
		{"tcp://127.0.0.1:4000", address{network: "tcp", host: "127.0.0.1", port: "4000"}},
		{"tcp:host-1.example.org:4000", address{network: "tcp", host: "host-1.example.org", port: "4000"}},
		{"tls://h:1", address{network: "tls", host: "h", port: "1"}},
		{"tcp://::1:4000", address{network: "tcp", host: "::1", port: "4000"}},
		{"tcp://[::1]:4000", address{network: "tcp", host: "::1", port: "4000"}}, // the original refuses it
		{"", address{}},
		{"tcp://host", address{}},
		{"tcp://host:port", address{}},
		{"tcp://ho_st:1", address{}},
		{"http:/run/x", address{}},
		{"unix:/run/a:b", address{}},
		{"/run/a:b", address{}},
		{"tcp://host:1\n", address{}},
	}
	for _, tt := range tests {
		got, err := a.parseAddress(tt.in)
		if got != tt.want || (err == nil) != (tt.want != address{}) {
			t.Errorf("%q: %+v, %v, want %+v", tt.in, got, err, tt.want)
		}
	}
}

// A socket that was not asked for by name must belong to root or the user, and
// be a socket.
func TestDefaultSockets(t *testing.T) {
	_, socket := listenUnix(t)
	file := filepath.Join(t.TempDir(), "file")
	writeFile(t, file, "")
	a := &app{settings: viper.New()}
	a.sockets = []string{"/nosuch", file, filepath.Dir(file), socket}
	if got, err := a.address(); err != nil || got.path != socket {
		t.Errorf("%+v, %v, want %s", got, err, socket)
	}
	if os.Geteuid() == 0 {
		if err := os.Chown(socket, 12345, -1); err != nil {
			t.Skip(err)
		}
		if got, err := a.address(); err == nil {
			t.Errorf("took the socket of somebody else: %+v", got)
		}
	}
}

func TestPythonJSON(t *testing.T) {
	// The wanted texts are those of json.dumps(json.loads(in), indent=4, sort_keys=True).
	tests := []struct{ in, want string }{
		{`{}`, `{}`},
		{`[]`, `[]`},
		{`{"b":[],"a":{}}`, "{\n    \"a\": {},\n    \"b\": []\n}"},
		{`[1,-0,1.0,1.50,1e3,1E400,-1e400,12345678901234567890123,1e16,123456789012345680.0,0.0001,0.00001,-2.5e-7]`,
			"[\n    1,\n    0,\n    1.0,\n    1.5,\n    1000.0,\n    Infinity,\n    -Infinity,\n    12345678901234567890123,\n    1e+16,\n    1.2345678901234568e+17,\n    0.0001,\n    1e-05,\n    -2.5e-07\n]"},
		{`"µ \u0000\u001f\u007f\n\r\t\b\f\"\\/<>&😀"`, `"\u00b5 \u0000\u001f\u007f\n\r\t\b\f\"\\/<>&\ud83d\ude00"`},
		{`{"Z":1,"a":2,"_":3,"é":4,"😀":5,"\uffee":6}`,
			"{\n    \"Z\": 1,\n    \"_\": 3,\n    \"a\": 2,\n    \"\\u00e9\": 4,\n    \"\\uffee\": 6,\n    \"\\ud83d\\ude00\": 5\n}"},
		{`{"a":{"b":[true,false,null]}}`, "{\n    \"a\": {\n        \"b\": [\n            true,\n            false,\n            null\n        ]\n    }\n}"},
	}
	for _, tt := range tests {
		v, err := decoded(json.RawMessage(tt.in))
		if err != nil {
			t.Fatal(err)
		}
		if got := string(appendJSON(nil, v, 0)); got != tt.want {
			t.Errorf("%s:\n%s\nwant\n%s", tt.in, got, tt.want)
		}
	}
}

func TestPythonLiteral(t *testing.T) {
	tests := []struct{ in, want string }{
		{`{"type":"Control Service"}`, `{'type': 'Control Service'}`},
		{`{"b":"it's","a":"say \"it's\"","c":"\"x\""}`, `{'a': 'say "it\'s"', 'b': "it's", 'c': '"x"'}`},
		{`["é\n\t\r\\\u0007\u00a0\u2028"]`, `['é\n\t\r\\\x07\xa0\u2028']`},
		{`[1,1.0,true,false,null,{}]`, `[1, 1.0, True, False, None, {}]`},
	}
	for _, tt := range tests {
		v, err := decoded(json.RawMessage(tt.in))
		if err != nil {
			t.Fatal(err)
		}
		if got := pythonLiteral(v); got != tt.want {
			t.Errorf("%s: %s, want %s", tt.in, got, tt.want)
		}
	}
}

func TestRequest(t *testing.T) {
	t.Chdir(t.TempDir())
	writeFile(t, "text", "a\nfile")
	writeFile(t, "latin1", "\xe9")
	tests := []struct {
		name string
		o    workSubmitOptions
		want controlproto.Submit
		err  string
	}{
		{name: "defaults", o: workSubmitOptions{workType: "cat"}, want: controlproto.Submit{Node: "localhost", WorkType: "cat"}},
		{name: "words", o: workSubmitOptions{args: []string{"a", "b c"}, params: []string{"params=x y"}},
			want: controlproto.Submit{Node: "localhost", Params: map[string]string{"params": "x y a b c"}}},
		{name: "last wins", o: workSubmitOptions{params: []string{"k=1", "k=a=b"}},
			want: controlproto.Submit{Node: "localhost", Params: map[string]string{"k": "a=b"}}},
		{name: "file", o: workSubmitOptions{params: []string{"k=@text", "l=@@text"}},
			want: controlproto.Submit{Node: "localhost", Params: map[string]string{"k": "a\nfile", "l": "@@text"}}},
		{name: "file of words", o: workSubmitOptions{args: []string{"@text"}},
			want: controlproto.Submit{Node: "localhost", Params: map[string]string{"params": "a\nfile"}}},
		{name: "as options", o: workSubmitOptions{params: []string{"ttl=1h", "tlsclient=c", "signwork=true", "signature=s"}},
			want: controlproto.Submit{Node: "localhost", TTL: "1h", TLSClient: "c", SignWork: true, Signature: "s"}},
		{name: "twice", o: workSubmitOptions{ttl: "1h", params: []string{"ttl=2h"}}, err: "Duplicate or illegal parameter ttl"},
		{name: "twice", o: workSubmitOptions{signWork: true, params: []string{"signwork=true"}}, err: "Duplicate or illegal parameter signwork"},
		{name: "reserved", o: workSubmitOptions{params: []string{"command=x"}}, err: "Duplicate or illegal parameter command"},
		{name: "no text", o: workSubmitOptions{params: []string{"k=@latin1"}}, err: "could not read from file latin1"},
		{name: "no file", o: workSubmitOptions{params: []string{"k=@nosuch"}}, err: "nosuch does not exist"},
		{name: "directory", o: workSubmitOptions{params: []string{"k=@."}}, err: "could not read from file ."},
	}
	for _, tt := range tests {
		got, err := tt.o.request()
		if tt.err != "" {
			f, ok := errors.AsType[*failure](err)
			if !ok || f.message != tt.err || f.code != exitSubmit {
				t.Errorf("%s: error %v, want %q with code 101", tt.name, err, tt.err)
			}
			continue
		}
		if tt.want.Params == nil {
			tt.want.Params = map[string]string{}
		}
		if err != nil || !reflect.DeepEqual(got, tt.want) {
			t.Errorf("%s: %+v, %v, want %+v", tt.name, got, err, tt.want)
		}
	}
}

// --insecureskipverify leaves out the check of the host name and nothing else,
// and the hints of a TLS failure tell its reason.
func TestTLS(t *testing.T) {
	v := readVector(t, filepath.Join(packageDir, "testdata/vectors/tls-cli-tcp.txt"))
	s := newScene(t, v, controlproto.V2)
	_, port, _ := net.SplitHostPort(s.fake.ln.Addr().String())
	tests := []struct {
		options string
		code    int
		hint    string
	}{
		{"--socket tls://127.0.0.1:PORT --rootcas ca.crt", 0, ""},
		{"--socket tls://wrong.example.org:PORT --rootcas ca.crt", 1, "--insecureskipverify true"},
		{"--socket tls://wrong.example.org:PORT --rootcas ca.crt --insecureskipverify yes", 0, ""},
		{"--socket tls://wrong.example.org:PORT --rootcas ca.crt --insecureskipverify no", 1, "wrong.example.org"},
		{"--socket tls://127.0.0.1:PORT --rootcas otherca.crt --insecureskipverify true", 1, "leaves out the check of the host name only"},
		{"--socket tls://127.0.0.1:PORT --rootcas otherca.crt", 1, "--rootcas"},
		{"--socket tls://127.0.0.1:PORT --rootcas missing.crt", 1, "no such file"},
		{"--socket tls://127.0.0.1:PORT --rootcas payload.txt", 1, "no certificate in payload.txt"},
		{"--socket tls://127.0.0.1:PORT --config controller01.yml --tls-client nosuch", 1, "no tls-client entry named 'nosuch'"},
		{"--socket tls://127.0.0.1:PORT --rootcas ca.crt --cert payload.txt --key payload.txt", 1, "client certificate"},
		{"--socket tls://127.0.0.1:PORT --rootcas ca.crt --cert payload.txt", 0, ""}, // they count only together
	}
	for _, tt := range tests {
		c := newCall(nil, nil)
		c.dial = func(ctx context.Context, network, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, s.fake.ln.Addr().String())
		}
		args := strings.Fields(strings.ReplaceAll(tt.options, "PORT", port))
		code := run(t.Context(), c.env, append(args, "version"))
		if got := c.err.String(); code != tt.code || !strings.Contains(got, tt.hint) {
			t.Errorf("%s: exit code %d, want %d\n%s", tt.options, code, tt.code, got)
		}
	}
}
