//go:build interop

package interop

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestCertificateTools makes an authority with one program, a request with another, signs it with each of the two, and
// has a node of ansible/receptor and our own check look at the result.
func TestCertificateTools(t *testing.T) {
	programs := map[string]string{"ours": ours.Receptor, "the original": peer(t).Receptor}
	for authority, makes := range programs {
		for requester, asks := range programs {
			for signer, signs := range programs {
				t.Run(authority+" makes, "+requester+" asks, "+signer+" signs", func(t *testing.T) {
					dir := t.TempDir()
					do := func(program string, args ...string) string {
						t.Helper()
						cmd := exec.Command(program, args...)
						cmd.Dir = dir
						out, err := cmd.CombinedOutput()
						if err != nil {
							t.Fatalf("%s %q: %v\n%s", program, args, err, out)
						}
						return string(out)
					}
					id := "node-" + strings.Repeat("n", 95)
					if requester == "ours" {
						id += strings.Repeat("n", 150) // more than the original can ask for, but not more than it can read
					}
					do(makes, "--cert-init", "commonname=CA of "+authority, "bits=2048", "outcert=ca.crt", "outkey=ca.key")
					do(asks, "--cert-makereq", "commonname=x", "bits=2048", "dnsname=localhost", "ipaddress=127.0.0.1", "nodeid="+id, "outreq=n.csr", "outkey=n.key")
					do(signs, "--cert-signreq", "req=n.csr", "cacert=ca.crt", "cakey=ca.key", "outcert=n.crt", "verify=yes")
					do(ours.Receptor, "cert", "check", "n.crt", "n.key", "ca.crt", "--ca", "ca.crt", "--node", id, "--host", "127.0.0.1", "--server", "--client")
					if got := acceptedBy(t, dir, id); !strings.Contains(got, "Initialization complete") {
						t.Errorf("a node of the original says\n%s", got)
					}
					if got := acceptedBy(t, dir, id+"x"); strings.Contains(got, "Initialization complete") {
						t.Errorf("a node of another name starts:\n%s", got)
					}
				})
			}
		}
	}
}

// TestCertificatesOfEveryKind: the original's nodes take what `receptor cert` makes with other keys than RSA.
func TestCertificatesOfEveryKind(t *testing.T) {
	peer(t)
	for _, kind := range []string{"rsa-3072", "ecdsa-p256", "ecdsa-p384", "ed25519"} {
		dir := t.TempDir()
		for _, args := range [][]string{
			{"cert", "init", "--commonname", "CA", "--keytype", kind},
			{"cert", "request", "--nodeid", "n", "--keytype", kind},
			{"cert", "sign", "n.csr", "--yes"},
		} {
			cmd := exec.Command(ours.Receptor, args...)
			cmd.Dir = dir
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Fatalf("%q: %v\n%s", args, err, out)
			}
		}
		if got := acceptedBy(t, dir, "n"); !strings.Contains(got, "Initialization complete") {
			t.Errorf("%s: a node of the original says\n%s", kind, got)
		}
	}
}

// acceptedBy starts a node of the original with the certificate in a directory, and returns what it says until it is up
// or has ended.
func acceptedBy(t *testing.T, dir, id string) string {
	t.Helper()
	cmd := exec.Command(peer(t).Receptor, "--node", "id="+id, "datadir="+filepath.Join(dir, "data"), "--local-only",
		"--tls-server", "name=s", "cert=n.crt", "key=n.key", "clientcas=ca.crt", "requireclientcert=true")
	cmd.Dir = dir
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		cmd.Process.Kill()
		cmd.Wait()
	}()
	var said strings.Builder
	for buf := make([]byte, 4096); !strings.Contains(said.String(), "Initialization complete"); {
		n, err := out.Read(buf)
		said.Write(buf[:n])
		if err != nil {
			break
		}
	}
	return said.String()
}
