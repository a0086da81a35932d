package config

import (
	"fmt"
	"strings"
	"testing"
)

// TestLimits has the keys of work that ansible/receptor does not know.
func TestLimits(t *testing.T) {
	tests := []struct {
		key, yaml, want string
	}{
		{"stderr", "mixed", "false"}, {"stderr", "Separate", "true"},
		{"stderr", "seperate", `! "seperate" is not a way to keep error output`}, {"stderr", "''", `! "" is not a way to keep error output`},
		{"stderr", "~", "! has no value: must be a text"},
		{"maxunits", "0", "0"}, {"maxunits", "12", "12"}, {"maxunits", "'12'", "12"}, {"maxunits", "2.0", "2"},
		{"maxunits", "-1", "! -1 is not between 0 and 2147483647"}, {"maxunits", "1.5", "! 1.5 is not an integer"},
		{"maxunits", "many", `! "many" is not an integer`}, {"maxunits", "2147483648", "! 2147483648 is not between 0 and 2147483647"},
		{"maxunits", "yes", "! must be an integer, not the boolean yes"},
		{"maxruntime", "90m", "1h30m0s"}, {"maxruntime", "0", "0s"}, {"maxruntime", "2d", "48h0m0s"},
		{"maxruntime", "90", `! "90" is not a duration`}, {"maxruntime", "-1s", `! "-1s" is not a duration that can be waited for`},
		{"maxruntime", "''", `! "" is not a duration`}, {"maxruntime", "[]", "! must be a duration, not a list"},
		{"keepfor", "7d", "168h0m0s"}, {"keepfor", "1d12h", "36h0m0s"}, {"keepfor", "12h", "12h0m0s"}, {"keepfor", "7days", `! "7days" is not a duration`},
		{"keepfor", "1d-2d", `! "1d-2d" is not a duration`}, {"keepfor", "1d-5m", `! "1d-5m" is not a duration that can be waited for`},
		{"keepfor", "d", `! "d" is not a duration`}, {"keepfor", "-1d", `! "-1d" is not a duration`},
		{"keepfor", "106751d", `! "106751d" is too long`}, {"keepfor", "106750d", "2562000h0m0s"},
		{"keepfor", "99999999999999999999d", `! "99999999999999999999d" is too long`},
		{"keepfor", "106750d100h", `! "106750d100h" is not a duration that can be waited for`},
		{"keepcount", "100", "100"}, {"keepcount", "-5", "! -5 is not between 0 and 2147483647"},
		{"maxoutput", "1000", "1000"}, {"maxoutput", "0x10", "16"}, {"maxoutput", "10M", "10000000"}, {"maxoutput", "10 MiB", "10485760"},
		{"maxoutput", "1KiB", "1024"}, {"maxoutput", "1k", "1000"}, {"maxoutput", "2GB", "2000000000"}, {"maxoutput", "3gib", "3221225472"},
		{"maxoutput", "1X", `! "1X" is not a size: unknown unit "X"`}, {"maxoutput", "1.5M", `! "1.5M" is not a size`},
		{"maxoutput", "-1", `! "-1" is not a size`}, {"maxoutput", "9999999999G", `! "9999999999G" is too large`},
		{"maxoutput", "1e9", `! "1e9" is not a size`}, {"maxoutput", "99999999999999999999", `! "99999999999999999999" is too large`},
	}
	for _, tt := range tests {
		got := convertOne(t, "- work-command: {worktype: w, command: c, "+tt.key+": %s}", tt.yaml, func(f *File) any {
			w := f.WorkCommands[0]
			return map[string]any{
				"stderr": w.SeparateStderr, "maxunits": w.MaxUnits, "maxruntime": w.MaxRuntime,
				"maxoutput": w.MaxOutput, "keepfor": w.KeepFor, "keepcount": w.KeepCount,
			}[tt.key]
		})
		if got != tt.want {
			t.Errorf("%s: %s: got %q, want %q", tt.key, tt.yaml, got, tt.want)
		}
	}
	w := load(t, "- work-command: {worktype: w, command: c}").WorkCommands[0]
	if got := fmt.Sprint(w.SeparateStderr, w.MaxUnits, w.MaxRuntime, w.MaxOutput, w.KeepFor, w.KeepCount); got != "false 0 0s 0 0s 0" {
		t.Errorf("defaults: %s", got)
	}
}

// TestSyncUnits: accepted work survives a power cut unless it is said that it
// need not.
func TestSyncUnits(t *testing.T) {
	for text, want := range map[string]bool{
		"- local-only": false, "- node: a": false, "- node: {id: a, syncunits: true}": false, "- node: {id: a, SyncUnits: false}": true,
	} {
		if got := load(t, text).Node.Unsynced; got != want {
			t.Errorf("%s: unsynced %v, want %v", text, got, want)
		}
	}
	_, err := LoadReader(testOptions, "c.yml", strings.NewReader("- node: {id: a, syncunit: no}"))
	if want := `c.yml:1: section "node", key "syncunit": unknown key (did you mean "syncunits"?)`; err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}
