package main

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/receptor-go/receptor/internal/controlproto"
)

// Certificates that end soon, have ended, or could not be renewed have a line; all others have none.
func TestStatusCertificates(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	c := func(name string, left time.Duration, problem string) controlproto.Certificate {
		return controlproto.Certificate{Section: "tls-server", Name: name, Use: "certificate", File: "/f.crt", NotAfter: now.Add(left), Problem: problem}
	}
	for _, test := range []struct {
		certs []controlproto.Certificate
		want  string
	}{
		{nil, ""},
		{[]controlproto.Certificate{c("a", 31*24*time.Hour, "")}, ""},
		{[]controlproto.Certificate{c("a", 90*24*time.Hour, ""), c("b", 49*time.Hour, ""), c("c", -time.Hour, ""), c("d", 90*24*time.Hour, "no such file")},
			"\nWarning: tls-server b: certificate in /f.crt ends at 2026-03-03 13:00:00 UTC, in 2 days\n" +
				"Warning: tls-server c: certificate in /f.crt has ended at 2026-03-01 11:00:00 UTC\n" +
				"Warning: tls-server d: certificate in /f.crt has changed and cannot be used: no such file\n"},
	} {
		var out bytes.Buffer
		a := &app{env: env{stdout: &out}}
		(&status{Certificates: test.certs}).printCertificates(a, now)
		if got := out.String(); got != test.want {
			t.Errorf("got:\n%s\nwant:\n%s", got, strings.TrimSpace(test.want))
		}
	}
	s, err := parseStatus([]byte(`{"NodeID":"n","Version":"1","SystemCPUCount":1,"SystemMemoryMiB":1,"Certificates":[{"Name":"x"}],"More":1}`))
	if err != nil || len(s.Certificates) != 1 || len(s.other) != 1 {
		t.Errorf("%+v, %v", s, err)
	}
}
