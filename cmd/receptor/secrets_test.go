package main

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/receptor-go/receptor/internal/config"
)

// secret stands where the configuration may have one.
const secret = "s3cr3t-of-the-mesh"

// TestSecretsAreNotLogged: passwords in addresses, headers and parameters of units
// are in no line of the log, at whatever level.
func TestSecretsAreNotLogged(t *testing.T) {
	d := startDaemon(t, `
- node: {id: a, datadir: DIR/data}
- log-level: debug
- trace
- control-service: {filename: DIR/s}
- work-command: {worktype: cat, command: cat, allowruntimeparams: true}
- tcp-listener: {bindaddr: HOST, port: 7323}
- ws-peer: {address: "ws://user:`+secret+`@HOST:1/", extraheader: "Authorization: Bearer `+secret+`"}
- ws-peer: {address: "ws://HOST:2/?x=y", extraheader: "Authorization: Bearer `+secret+`"}
`)
	if _, err := ask(d.socket(), `{"command":"work","subcommand":"submit","node":"nowhere","worktype":"x","tlsclient":"","secret_token":"`+secret+`"}`); err != nil {
		t.Fatal(err)
	}
	if _, err := ask(d.socket(), `{"command":"work","subcommand":"submit","node":"a","worktype":"cat","signature":"`+secret+`","params":"`+secret+`","secret_kube_config":"`+secret+`","x":{}}`); err != nil {
		t.Fatal(err)
	}
	list, err := ask(d.socket(), "work list")
	if err != nil || strings.Contains(list, secret) {
		t.Errorf("the list of units: %v, %s", err, list)
	}
	d.waitLog("Backend connection failed", "Running Websocket peer connection ws://user:xxxxx@")
	d.stop()
	if log := d.logged(); strings.Contains(log, secret) {
		t.Errorf("the log has a secret in it:\n%s", log)
	}
}

// TestSecretsAreNotInErrors: nor are they in what is said about a wrong configuration.
func TestSecretsAreNotInErrors(t *testing.T) {
	key := "-----BEGIN RSA PRIVATE KEY-----\n" + secret + "\n-----END RSA PRIVATE KEY-----\n"
	for _, wrong := range []string{
		`- ws-peer: {address: "http://user:` + secret + `@127.0.0.1/"}`,
		`- ws-peer: {address: "ws://user:` + secret + `@127.0.0.1:port/"}`,
		`- ws-peer: {address: "ws://user:` + secret + `@/%zz"}`,
		`- ws-peer: {address: "ws://h/", extraheader: "Authorization ` + secret + `"}`,
		`- ws-peer: {address: "ws://h/", extraheader: ["` + secret + `"]}`,
		`- ws-peer: {address: "ws://h/", extraheader: "A: ` + secret + `\nB: c"}`,
		`- tls-server: {name: x, cert: key.pem, key: key.pem}`,
		`- tls-client: {name: x, rootcas: key.pem}`,
		`- work-signing: {privatekey: key.pem}`,
		`- work-verification: {publickey: key.pem}`,
	} {
		dir := t.TempDir()
		file := filepath.Join(dir, "c.yml")
		text := "- node: {id: a}\n- local-only\n" + strings.ReplaceAll(wrong, "key.pem", filepath.Join(dir, "key.pem")) + "\n"
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, "key.pem"), []byte(key), 0o600); err != nil {
			t.Fatal(err)
		}
		var said []string
		for _, args := range [][]string{{"check", file}, {"check", "--json", file}} {
			var out bytes.Buffer
			run(args, strings.NewReader(""), &out, &out)
			said = append(said, out.String())
		}
		args, err := config.ParseArgs([]string{"--config", file})
		if err == nil {
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			var out bytes.Buffer
			if err = runDaemon(ctx, args, strings.NewReader(""), &out, &out); err != nil {
				out.WriteString(err.Error())
			}
			said = append(said, out.String())
		}
		for i, s := range said {
			if s == "" {
				t.Errorf("%s: nothing is said (%d)", wrong, i)
			}
			if strings.Contains(s, secret) {
				t.Errorf("%s: the secret is said: %s", wrong, s)
			}
		}
	}
}
