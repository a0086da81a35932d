package config

import (
	"fmt"
	"strings"
	"testing"
)

// TestNameLimits: names of nodes, services and sockets exactly as long as they may be are
// taken; one byte more is a problem that says so.
func TestNameLimits(t *testing.T) {
	for _, c := range []struct {
		section string // with a text of x's in the place of %s
		limit   int
		says    string
	}{
		{"- node: {id: %s}", maxNodeID, "255"},
		{"- control-service: {service: %s}", maxService, "at most 8 bytes"},
		{"- tcp-server: {port: 1, remotenode: b, remoteservice: %s}", maxService, ""}, // a warning: the original starts
		{"- udp-client: {address: 'localhost:1', service: %s}", maxService, "at most 8 bytes"},
		{"- command-service: {service: %s, command: cat}", maxService, "at most 8 bytes"},
		{"- control-service: {filename: /%s}", maxSocketPath - 1, "108 bytes are too long for the name of a socket: at most 107 are possible"},
		{"- unix-socket-server: {filename: /%s, remotenode: b, remoteservice: c}", maxSocketPath - 1, "at most 107"},
	} {
		load := func(size int) error {
			text := fmt.Sprintf(c.section, strings.Repeat("x", size))
			if !strings.Contains(text, "node: {") {
				text = "- node: {id: a}\n" + text
			}
			_, err := LoadReader(testOptions, "c.yml", strings.NewReader(text))
			return err
		}
		if err := load(c.limit); err != nil {
			t.Errorf("%s: %d bytes: %v", c.section, c.limit, err)
		}
		if err := load(c.limit + 1); (err == nil) != (c.says == "") || err != nil && !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: one byte more: %v, want %q", c.section, err, c.says)
		}
	}
}
