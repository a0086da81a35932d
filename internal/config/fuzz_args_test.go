package config

import (
	"strings"
	"testing"
)

// FuzzArgs: whatever the command line says (arguments are between NULs), it is taken
// apart or refused with a text.
func FuzzArgs(f *testing.F) {
	for _, line := range []string{
		"", "\x00", "--node\x00id=a\x00--local-only", "--tcp-listener\x00port=7323\x00nodecost={\"a\":1}", "--help", "-c", "--config-v2", "--node\x00id=a=b",
		"--tcp-peer\x00address=x:1\x00redial=f", "--work-command\x00worktype=x\x00command=y", "--node\x00firewallrules=[{\"action\":\"drop\"}]",
	} {
		f.Add(line)
	}
	f.Fuzz(func(t *testing.T, line string) {
		for _, option := range []string{"-c", "--c", "config"} {
			if strings.Contains(strings.ToLower(line), option) {
				return // files are not read here
			}
		}
		a, err := ParseArgs(strings.Split(line, "\x00"))
		if err == nil {
			_, err = a.Load(Options{})
		}
		if err != nil && err.Error() == "" {
			t.Error("an error without a text")
		}
	})
}

// FuzzPattern: a pattern of a firewall rule matches names or is refused; one without
// slashes matches itself alone.
func FuzzPattern(f *testing.F) {
	for _, s := range []string{"", "/", "//", "/a/", "/a|b/", "/([/", "/abc", "a", "/(?i)x/", "/^$/", "/a{1000}{1000}/"} {
		f.Add(s, "a")
	}
	f.Fuzz(func(t *testing.T, s, name string) {
		p, err := ParsePattern(s)
		if err != nil {
			if err.Error() == "" {
				t.Error("an error without a text")
			}
			return
		}
		if got := p.Match(name); !strings.HasPrefix(s, "/") && s != "" && got != (s == name) {
			t.Errorf("%q matches %q: %v", s, name, got)
		}
	})
}

// FuzzRedacted: a password in an address is never shown.
func FuzzRedacted(f *testing.F) {
	f.Add("ws", "user", "host/path?q#f")
	f.Add("", "", "@")
	f.Fuzz(func(t *testing.T, scheme, user, host string) {
		const password = "pass-of-nobody"
		if strings.ContainsAny(scheme+user, ":/?#@") || strings.Contains(host, password) {
			return
		}
		if got := Redacted(scheme + "://" + user + ":" + password + "@" + host); strings.Contains(got, password) {
			t.Errorf("%q", got)
		}
	})
}
