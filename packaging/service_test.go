// Package packaging holds files that are installed beside the programs; there is
// nothing in it but their tests.
package packaging

import (
	"bufio"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// read returns the settings of a unit file by section and key. A key that is there
// several times has all its values.
func read(t *testing.T, name string) map[string][]string {
	t.Helper()
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	all := map[string][]string{}
	section := ""
	for lines := bufio.NewScanner(f); lines.Scan(); {
		line := strings.TrimSpace(lines.Text())
		key, value, ok := strings.Cut(line, "=")
		switch {
		case line == "" || line[0] == '#':
		case line[0] == '[':
			section = strings.Trim(line, "[]") + "."
		case !ok || section == "":
			t.Errorf("%s: %q is no setting", name, line)
		default:
			all[section+key] = append(all[section+key], value)
		}
	}
	return all
}

// TestService holds what work that outlives the daemon depends on.
func TestService(t *testing.T) {
	s := read(t, "receptor.service")
	for key, want := range map[string]string{
		"Service.KillMode":                 "process", // the supervisor and the commands go on
		"Service.OOMPolicy":                "continue",
		"Service.TasksMax":                 "infinity",
		"Service.ExecReload":               "/bin/kill -HUP $MAINPID",
		"Service.StateDirectory":           "receptor",
		"Service.StateDirectoryMode":       "0700",
		"Service.RuntimeDirectoryPreserve": "restart",
		"Service.User":                     "receptor",
		"Service.UMask":                    "0077",
	} {
		if got := strings.Join(s[key], "|"); got != want {
			t.Errorf("%s is %q, want %q", key, got, want)
		}
	}
	hardened := read(t, "hardened.conf")
	for _, key := range []string{"Service.PrivateTmp", "Service.PrivateMounts", "Service.PrivatePIDs", "Service.DynamicUser"} {
		if s[key] != nil || hardened[key] != nil {
			t.Errorf("%s is set: commands outlive the daemon, and what is private to its service does not", key)
		}
	}
	// Each of these means NoNewPrivileges, without saying so.
	for key := range s {
		if regexp.MustCompile(`^Service\.(NoNewPrivileges|Restrict\w+|SystemCall\w+|PrivateDevices|ProtectKernel\w+|ProtectClock|LockPersonality|MemoryDenyWriteExecute)$`).MatchString(key) {
			t.Errorf("%s keeps commands of every node from using sudo or rootless containers: it belongs into hardened.conf", key)
		}
	}
	for _, key := range []string{"Service.NoNewPrivileges", "Service.RestrictNamespaces", "Service.SystemCallFilter", "Service.ProtectSystem", "Service.ProtectHome"} {
		if hardened[key] == nil {
			t.Errorf("hardened.conf has no %s", key)
		}
	}
}

// TestVerify has systemd itself look at the files, where it is installed.
func TestVerify(t *testing.T) {
	tool, err := exec.LookPath("systemd-analyze")
	if err != nil {
		t.Skip("systemd-analyze is not installed")
	}
	dir := t.TempDir()
	unit, err := os.ReadFile("receptor.service")
	if err != nil {
		t.Fatal(err)
	}
	// The programs and the user need not be installed where this is tested.
	text := strings.NewReplacer("/usr/bin/receptor", "/bin/true", "User=receptor", "User=daemon", "Group=receptor", "Group=daemon").Replace(string(unit))
	conf, err := os.ReadFile("hardened.conf")
	if err == nil {
		err = os.Mkdir(filepath.Join(dir, "receptor.service.d"), 0o700)
	}
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, "receptor.service.d", "hardened.conf"), conf, 0o600)
	}
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, "receptor.service"), []byte(text), 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(tool, "verify", "--man=no", filepath.Join(dir, "receptor.service")).CombinedOutput()
	for line := range strings.Lines(string(out)) {
		if strings.Contains(line, "receptor.service") || strings.Contains(line, "hardened.conf") {
			t.Errorf("%s", strings.TrimSpace(line))
		}
	}
	if err != nil && !t.Failed() {
		t.Logf("systemd-analyze could not look at the whole system: %v\n%s", err, out)
	}
}
